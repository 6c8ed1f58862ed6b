"""Which packages a folder asks for, and which of them the interpreter has.

The first of three files that stead-check runs as one program, in this order: detect_packages.py,
detect_source.py, stead_detect.py. Python 3.6 must be able to read them, so that an old one can be refused
in words.
"""
import os
import re
import struct
import sys

DRIVERS = ("psycopg2", "psycopg", "asyncpg", "pg8000", "psycopg2cffi", "aiopg")
DRIVER_DISTS = DRIVERS + ("psycopg2-binary", "psycopg-binary", "psycopg-c")
DIST_OF = {"PIL": "Pillow", "yaml": "PyYAML", "dotenv": "python-dotenv", "bs4": "beautifulsoup4",
           "cv2": "opencv-python", "sklearn": "scikit-learn", "MySQLdb": "mysqlclient", "jwt": "PyJWT",
           "dateutil": "python-dateutil", "psycopg2": "psycopg2-binary", "markdown": "Markdown",
           "flask_sqlalchemy": "Flask-SQLAlchemy", "rest_framework": "djangorestframework",
           "corsheaders": "django-cors-headers", "environ": "django-environ", "redis": "redis"}
FILE_MAX = 1 << 20


class Answer:
    """Records for stead-check: each is a count and that many length-prefixed strings."""

    def __init__(self, fd):
        self.fd = fd
        self.records = []

    def put(self, *fields):
        out = [struct.pack("<I", len(fields))]
        for f in fields:
            b = str(f).encode("utf-8", "replace").replace(b"\0", b"?")[:16000]
            out.append(struct.pack("<I", len(b)) + b + b"\0")
        self.records.append(b"".join(out))

    def value(self, section, key, text):
        self.put("value", section, key, text)

    def finding(self, level, text, todo="", file="", line=0, col=0):
        self.put("finding", level, file, line, col, text, todo)

    def error(self, *a, **k):
        self.finding("error", *a, **k)

    def warn(self, *a, **k):
        self.finding("warning", *a, **k)

    def note(self, *a, **k):
        self.finding("note", *a, **k)

    def send(self):
        self.put("end")
        data = b"".join(self.records)
        while data:
            data = data[os.write(self.fd, data):]


def read_text(path):
    try:
        with open(path, "rb") as f:
            return f.read(FILE_MAX).decode("utf-8", "replace")
    except OSError:
        return ""


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def installed():
    """Name and version of every distribution on sys.path, by its folder's name: one listing each."""
    found = {}
    for folder in sys.path:
        try:
            entries = os.listdir(folder or ".")
        except OSError:
            continue
        for e in entries:
            if e.endswith((".dist-info", ".egg-info")):
                stem = e.rsplit(".", 1)[0]
                parts = stem.split("-")
                version = parts[1] if len(parts) > 1 else ""
                found.setdefault(normal(parts[0]), version)
    return found


def version_key(v):
    return [int(x) for x in re.findall(r"\d+", v.split("+")[0])[:4]]


def fits(have, spec):
    """Does version `have` meet `spec`? Unknown forms count as met: pip decides where it matters."""
    for op, want in re.findall(r"(===|==|>=|<=|!=|~=|<|>)\s*([^\s,;]+)", spec):
        wild = want.endswith(".*")
        h, w = version_key(have), version_key(want)
        n = len(w) if wild else max(len(h), len(w))
        h2, w2 = (h + [0] * n)[:n], (w + [0] * n)[:n]
        ok = {"==": h2 == w2, "===": h2 == w2, ">=": h2 >= w2, "<=": h2 <= w2, "!=": h2 != w2,
              "<": h2 < w2, ">": h2 > w2,
              "~=": h2 >= w2 and h[:len(w) - 1] == w[:len(w) - 1]}[op]
        if not ok:
            return False
    return True


def marker_holds(marker):
    """Only the markers that are plain enough to decide; others count as holding."""
    m = re.match(r"""\s*(python_version|sys_platform|platform_system|os_name)\s*(<=|>=|==|!=|<|>)\s*["']([^"']+)["']\s*$""",
                 marker)
    if not m:
        return "extra" not in marker
    what, op, want = m.groups()
    if what == "python_version":
        return fits("%d.%d" % sys.version_info[:2], op + want)
    have = {"sys_platform": sys.platform, "platform_system": "Linux", "os_name": os.name}[what]
    return (have == want) == (op == "==")


def requirement(line):
    m = re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*([^;@]*)(@[^;]*)?(;.*)?$", line)
    if not m:
        return None
    if m.group(5) and not marker_holds(m.group(5)[1:]):
        return None
    return normal(m.group(1)), m.group(3).strip(), m.group(1)


def requirements_file(path, depth=0):
    all_ = []
    text = read_text(path).replace("\\\n", " ")
    for line in text.splitlines():
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        m = re.match(r"(-r|--requirement)[ =]+(\S+)", line)
        if m and depth < 4:
            all_ += requirements_file(os.path.join(os.path.dirname(path), m.group(2)), depth + 1)
        elif line and not line.startswith("-"):
            line = re.sub(r"\s--hash\S*", "", line).strip()
            r = requirement(line)
            if r:
                all_.append(r)
    return all_


def load_toml(path):
    try:
        import tomllib
        with open(path, "rb") as f:
            return tomllib.load(f)
    except Exception:
        return None


def pyproject(folder):
    """(name, requirements) of pyproject.toml."""
    path = os.path.join(folder, "pyproject.toml")
    if not os.path.isfile(path):
        return "", []
    doc = load_toml(path)
    if doc is None:
        text = read_text(path)
        name = re.search(r"(?m)^name\s*=\s*[\"']([^\"']+)", text)
        deps = re.search(r"(?ms)^dependencies\s*=\s*\[(.*?)\][ \t]*(?:#[^\n]*)?$", text)
        lines = re.findall(r"[\"']([^\"']+)[\"']", deps.group(1)) if deps else []
        return (name.group(1) if name else ""), [r for r in map(requirement, lines) if r]
    project = doc.get("project", {})
    poetry = doc.get("tool", {}).get("poetry", {})
    lines = [str(x) for x in project.get("dependencies", [])]
    lines += [k for k in poetry.get("dependencies", {}) if k != "python"]
    name = project.get("name") or poetry.get("name") or ""
    return str(name), [r for r in map(requirement, lines) if r]


class Wanted:
    """The packages that the folder asks for."""

    def __init__(self, folder, written):
        self.file = ""
        self.all = []
        self.name, from_project = pyproject(folder)
        if os.path.basename(written) == "pyproject.toml":
            path = os.path.join(folder, written)
            self.file = written if os.path.isfile(path) else ""
            self.all = pyproject(os.path.dirname(path))[1]
            return
        for f in [written] if written else ["requirements.txt", "requirements/base.txt", "requirements/prod.txt"]:
            if os.path.isfile(os.path.join(folder, f)):
                self.file = f
                self.all = requirements_file(os.path.join(folder, f))
                break
        if not self.file and from_project:
            self.file = "pyproject.toml"
            self.all = from_project

    def missing(self):
        if not self.all:
            return []
        have = installed()
        out = []
        for name, spec, shown in self.all:
            if name not in have:
                # A distribution's package may bring the module under another name.
                if not (name.endswith("-binary") and name[:-7] in have):
                    out.append(shown)
            elif have[name] and not fits(have[name], spec):
                out.append("%s%s (there is %s)" % (shown, spec, have[name]))
        return out
