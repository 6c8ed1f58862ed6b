"""Find the WSGI app of a folder, and say what else it needs.

Run by stead-check with the app's own interpreter, in a process of its own that is ended afterwards: the
likely module is chosen by reading the source, then imported once. Answers with packed records on a
descriptor: what was found is a value, what is wrong is a finding. It writes no file and needs nothing
but the standard library; Python 3.6 must be able to read it, so that an old one can be refused in words.
"""
import os
import re
import struct
import sys

PREFERRED = ("application", "app", "wsgi_app", "wsgi", "api", "server", "web")
FACTORIES = ("create_app", "make_app", "create_application", "build_app", "app_factory", "get_app")
WSGI_CALLS = {"Flask", "APIFlask", "Bottle", "default_app", "get_wsgi_application", "make_wsgi_app", "wsgifunc",
              "WSGIApplication", "Eve", "Morepath", "Nereid"}
ASGI_CALLS = {"FastAPI", "Starlette", "Quart", "Litestar", "Sanic", "BlackSheep", "get_asgi_application"}
ASGI_MODULES = ("fastapi", "starlette", "quart", "litestar", "sanic", "blacksheep", "aiohttp")
DRIVERS = ("psycopg2", "psycopg", "asyncpg", "pg8000", "psycopg2cffi", "aiopg")
DRIVER_DISTS = DRIVERS + ("psycopg2-binary", "psycopg-binary", "psycopg-c", "django-environ-postgres")
DIST_OF = {"PIL": "Pillow", "yaml": "PyYAML", "dotenv": "python-dotenv", "bs4": "beautifulsoup4",
           "cv2": "opencv-python", "sklearn": "scikit-learn", "MySQLdb": "mysqlclient", "jwt": "PyJWT",
           "dateutil": "python-dateutil", "psycopg2": "psycopg2-binary", "markdown": "Markdown",
           "flask_sqlalchemy": "Flask-SQLAlchemy", "rest_framework": "djangorestframework",
           "corsheaders": "django-cors-headers", "environ": "django-environ", "redis": "redis"}
SKIP_DIRS = {"venv", ".venv", "env", "node_modules", "__pycache__", "tests", "test", "migrations", "docs",
             "static", "templates", "build", "dist", "site-packages"}
FILE_MAX = 1 << 20
LOOKED_FOR = ("app.py, wsgi.py, main.py, application.py, a package with one of them or with create_app(), "
              "the same below src/, Django's manage.py, and index.html or public/index.html")


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


# ---- what is installed, and what is asked for ----

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
        deps = re.search(r"(?ms)^dependencies\s*=\s*\[(.*?)^?\]", text)
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


# ---- reading the source ----

class Module:
    """One module that may hold the app: what its source says."""

    def __init__(self, folder, path, name, file):
        self.folder = folder
        self.path = path          # of sys.path, from the folder
        self.name = name          # as it is imported
        self.file = file          # from the folder
        self.found = []           # (rank, object's name, kind, line)
        self.broken = None        # SyntaxError
        self.runs_at = 0          # line of a call of run() at import
        self.order = 0

    def best(self):
        return min(self.found) if self.found else None


def callee(node):
    import ast

    f = node.func
    if isinstance(f, ast.Attribute):
        root = f.value
        while isinstance(root, (ast.Attribute, ast.Call)):
            root = root.value if isinstance(root, ast.Attribute) else root.func
        return (root.id if isinstance(root, ast.Name) else ""), f.attr
    return "", f.id if isinstance(f, ast.Name) else ""


def name_rank(name):
    return PREFERRED.index(name) if name in PREFERRED else len(PREFERRED)


def read_assign(mod, names, value, line):
    import ast

    if not isinstance(value, ast.Call):
        for n in names:
            if n in PREFERRED[:3]:
                mod.found.append((30 + name_rank(n), n, "weak", line))
        return
    root, call = callee(value)
    for n in names:
        known = n in PREFERRED
        if call in WSGI_CALLS or (root == "falcon" and call in ("App", "API")):
            mod.found.append((name_rank(n), n, "wsgi", line))
        elif call in ASGI_CALLS:
            mod.found.append((40 + name_rank(n), n, "asgi", line))
        elif call in FACTORIES:
            mod.found.append((name_rank(n), n, "wsgi", line))
        elif known and not call.startswith(("get_logger", "getLogger", "Blueprint", "ArgumentParser")):
            mod.found.append((30 + name_rank(n), n, "weak", line))


def read_function(mod, node, is_async):
    a = node.args
    required = len(a.args) + len(getattr(a, "posonlyargs", [])) - len(a.defaults)
    required += len([d for d in a.kw_defaults if d is None])
    n = node.name
    if n in ("application", "app", "wsgi_app", "simple_app", "wsgi") and required in (2, 3):
        kind = "asgi" if is_async or required == 3 else "wsgi"
        mod.found.append((name_rank(n) + (40 if kind == "asgi" else 0), n, kind, node.lineno))
    elif n in FACTORIES and required == 0 and not is_async:
        mod.found.append((20 + FACTORIES.index(n), n, "factory", node.lineno))


def read_body(mod, body):
    import ast

    for node in body:
        if isinstance(node, ast.Assign):
            names = [t.id for t in node.targets if isinstance(t, ast.Name)]
            read_assign(mod, names, node.value, node.lineno)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            read_assign(mod, [node.target.id], node.value, node.lineno)
        elif isinstance(node, ast.FunctionDef):
            read_function(mod, node, False)
        elif isinstance(node, ast.AsyncFunctionDef):
            read_function(mod, node, True)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                n = alias.asname or alias.name
                if n in PREFERRED[:3]:
                    rank = 0 if mod.name.split(".")[-1] == "wsgi" else 10
                    mod.found.append((rank + name_rank(n), n, "import", node.lineno))
                elif n in FACTORIES:
                    mod.found.append((25 + FACTORIES.index(n), n, "factory", node.lineno))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            root, call = callee(node.value)
            if call in ("run", "run_simple", "serve_forever") and root in PREFERRED + ("bottle", ""):
                if call != "run" or root:
                    mod.runs_at = node.lineno
        elif isinstance(node, ast.Try):
            read_body(mod, node.body + node.orelse)
        elif isinstance(node, ast.If) and "__name__" not in ast.dump(node.test):
            read_body(mod, node.body + node.orelse)


def read_module(mod):
    import ast

    text = read_text(os.path.join(mod.folder, mod.file))
    try:
        tree = ast.parse(text, mod.file)
    except SyntaxError as e:
        mod.broken = e
    except ValueError as e:
        mod.broken = SyntaxError(str(e))
    else:
        read_body(mod, tree.body)
    return mod


TOP_NAMES = ("wsgi", "app", "main", "application", "run", "server", "web", "index", "site", "api")
PACKAGE_NAMES = ("wsgi", "app", "main", "application", "__init__", "server", "web", "api", "factory")


def is_package(folder, path, d):
    """A folder of modules: is it imported as a package, or put on sys.path?"""
    full = os.path.join(folder, path, d)
    if os.path.isfile(os.path.join(full, "__init__.py")):
        return True
    says = re.compile(r"(?m)^\s*(from|import)\s+%s[. ]" % re.escape(d))
    for f in sorted(os.listdir(full))[:50]:
        if f.endswith(".py"):
            text = read_text(os.path.join(full, f))
            if says.search(text) or re.search(r"(?m)^\s*from\s+\.", text):
                return True
    return False


def listdir(path):
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def candidates(folder, hint):
    """Modules in the order in which they are likely to be the app."""
    out = []

    def add(path, name, rel):
        if os.path.isfile(os.path.join(folder, rel)):
            m = Module(folder, path, name, rel)
            m.order = len(out)
            out.append(m)

    for base in (".", "src"):
        here = os.path.normpath(os.path.join(folder, base))
        if not os.path.isdir(here):
            continue
        pre = "" if base == "." else base + "/"
        files = [f[:-3] for f in listdir(here) if f.endswith(".py") and f[:-3].isidentifier()]
        firsts = [n for n in TOP_NAMES if n in files]
        if hint in files and hint not in firsts:
            firsts.append(hint)
        for n in firsts:
            add(base, n, pre + n + ".py")
        dirs = [d for d in listdir(here) if d.isidentifier() and d not in SKIP_DIRS and
                not (base == "." and d == "src") and os.path.isdir(os.path.join(here, d))]
        dirs.sort(key=lambda d: (d != hint, d not in ("app", "backend", "server", "web"), d))
        for d in dirs[:40]:
            inside = {f[:-3] for f in listdir(os.path.join(here, d)) if f.endswith(".py")}
            if not inside:
                continue
            package = is_package(folder, base, d)
            for n in PACKAGE_NAMES:
                if n not in inside:
                    continue
                rel = "%s%s/%s.py" % (pre, d, n)
                if package:
                    add(base, d if n == "__init__" else d + "." + n, rel)
                elif n != "__init__":
                    add(pre + d, n, rel)
        for n in files:
            if n not in firsts and n not in ("setup", "conftest", "manage", "tasks", "fabfile", "gunicorn"):
                if not n.startswith("test_") and not n.endswith("_test"):
                    add(base, n, pre + n + ".py")
    return out[:120]


def python_files(folder, limit=300):
    for root, dirs, files in os.walk(folder):
        dirs[:] = [d for d in dirs if d not in SKIP_DIRS and not d.startswith(".")]
        for f in files:
            if f.endswith(".py"):
                yield os.path.join(root, f)
                limit -= 1
                if limit == 0:
                    return


# ---- the app in memory ----

def is_asgi(obj):
    for c in type(obj).__mro__:
        if c.__module__.split(".")[0] in ASGI_MODULES:
            return True
    call = obj if hasattr(obj, "__code__") else getattr(type(obj), "__call__", None)
    code = getattr(call, "__code__", None)
    return bool(code is not None and code.co_flags & 0x80)


def is_wsgi(obj):
    if obj is None or isinstance(obj, type) or not callable(obj) or is_asgi(obj):
        return False
    if hasattr(obj, "wsgi_app"):
        return True
    call = obj if hasattr(obj, "__code__") else getattr(type(obj), "__call__", None)
    call = getattr(call, "__func__", call)
    code = getattr(call, "__code__", None)
    if code is None:
        return type(obj).__module__ != "builtins" and not hasattr(obj, "__wrapped__")
    n = code.co_argcount - (0 if call is obj else 1)
    if code.co_flags & 0x04 and n <= 2:
        return True
    return n - len(call.__defaults__ or ()) <= 2 <= n


def frame_in(folder, tb):
    """The last frame of the user's own code."""
    last = None
    while tb is not None:
        file = tb.tb_frame.f_code.co_filename
        if file.startswith(folder + os.sep) and "site-packages" not in file:
            last = (file, tb.tb_lineno)
        tb = tb.tb_next
    return last


def shown_line(text, col):
    """The line itself and a caret under its column (from 1)."""
    text = text.rstrip("\n").replace("\t", " ")
    if not text.strip():
        return ""
    return "\n    %s\n    %s^" % (text[:200], " " * max(0, min(col, 200) - 1))


class Detect:
    def __init__(self, answer, o):
        self.a = answer
        self.o = o
        self.folder = o["folder"]
        self.target = ""
        self.module = None       # Module
        self.obj = None
        self.factory = False
        self.env = {}
        self.ran = False         # the app was imported whole

    # -- errors --

    def rel(self, file):
        return os.path.relpath(file, self.folder) if file.startswith(self.folder + os.sep) else file

    def syntax_error(self, e):
        file = self.rel(e.filename or (self.module.file if self.module else ""))
        col = e.offset or 1
        text = e.text or ""
        cut = len(text) - len(text.lstrip())
        self.a.error("the app does not load: %s: %s%s" % (type(e).__name__, e.msg,
                     shown_line(text[cut:], max(1, col - cut))),
                     "correct that line", file=file, line=e.lineno or 1, col=col)

    def place(self, e):
        at = frame_in(self.folder, e.__traceback__)
        if at is None:
            return "", 0, 0, ""
        lines = read_text(at[0]).splitlines()
        text = lines[at[1] - 1] if at[1] <= len(lines) else ""
        col = len(text) - len(text.lstrip()) + 1
        return self.rel(at[0]), at[1], col, shown_line(text.strip(), 1)

    def missing_module(self, e, wanted):
        top = (e.name or "").split(".")[0]
        file, line, col, shown = self.place(e)
        dist = DIST_OF.get(top, top.replace("_", "-"))
        asked = [r for r in wanted.all if normal(r[0]) in (normal(dist), normal(top))]
        python = self.o["python"]
        if asked and self.o["venv"]:
            todo = "%s asks for it, and %s lacks it: run %s -m pip install -r %s" % (
                wanted.file, self.o["venv"], python, wanted.file)
        elif wanted.file == "requirements.txt":
            todo = "write %s into requirements.txt" % dist
        elif self.o["venv"]:
            todo = "run %s -m pip install %s" % (python, dist)
        else:
            todo = "write %s into a file requirements.txt, which stead installs from" % dist
        self.a.error("the app does not load: the module %s is not there for %s%s" % (e.name, python, shown),
                     todo, file=file, line=line, col=col)

    def load_error(self, e, wanted):
        """What the import, or the call of the factory, raised."""
        if isinstance(e, SyntaxError):
            self.syntax_error(e)
        elif isinstance(e, ModuleNotFoundError) and e.name:
            self.missing_module(e, wanted)
        elif isinstance(e, SystemExit):
            file, line, col, shown = self.place(e)
            self.a.error("the app ends Python while it is imported (exit status %s)%s" % (e.code, shown),
                         "the app's output, if any, says why", file=file, line=line, col=col)
        else:
            file, line, col, shown = self.place(e)
            name = type(e).__name__
            todo = "correct that line"
            if isinstance(e, KeyError) and "environ" in shown:
                todo = "set the variable with Environment=%s=... in [Service] of stead.conf" % e.args[0]
            self.a.error("the app does not load: %s: %s%s" % (name, str(e)[:400], shown), todo,
                         file=file, line=line, col=col)

    @staticmethod
    def is_database_error(e):
        seen = 0
        while e is not None and seen < 10:
            for c in type(e).__mro__:
                if c.__module__.split(".")[0] in DRIVERS:
                    return True
                if c.__name__ in ("OperationalError", "InterfaceError") and c.__module__.split(".")[0] in (
                        "sqlalchemy", "django", "peewee"):
                    return True
            if "/nonexistent" in str(e):
                return True
            e = e.__cause__ or e.__context__
            seen += 1
        return False

    # -- the import --

    def load(self, mod, want, wanted):
        """Import mod and take its object. True: self.obj is the app; False: an error was said; None: it has
        no app."""
        import importlib

        base = os.path.normpath(os.path.join(self.folder, mod.path))
        for p in (self.folder, base):
            if p in sys.path:
                sys.path.remove(p)
        sys.path.insert(0, self.folder)
        if base != self.folder:
            sys.path.insert(0, base)
        try:
            m = importlib.import_module(mod.name)
            obj, name, factory = self.pick(mod, m, want)
            if name and factory:
                obj = obj()
        except BaseException as e:
            if isinstance(e, KeyboardInterrupt):
                raise
            if self.is_database_error(e) and self.by_source(mod, want):
                self.a.note("the app connects to its database while it is imported, so it was not run now; "
                            "%s is what its source says" % self.target)
                return True
            self.load_error(e, wanted)
            return False
        if not name:
            return None
        self.ran = True
        if is_asgi(obj):
            self.asgi(mod, name)
            return False
        if not callable(obj):
            self.a.error("%s:%s is no WSGI app: it is %s and cannot be called" % (
                mod.name, name, type(obj).__name__), "write Wsgi=MODULE:OBJECT in [Python] of stead.conf",
                file="@Wsgi" if want else mod.file)
            return False
        self.obj = obj
        self.factory = factory
        self.set_target(mod, name, factory)
        return True

    def set_target(self, mod, name, factory):
        self.module = mod
        self.target = "%s:%s%s" % (mod.name, name, "()" if factory else "")

    def by_source(self, mod, want):
        if want:
            self.module = mod
            self.target = want
            return True
        best = mod.best()
        if best is None:
            return False
        self.set_target(mod, best[1], best[2] == "factory")
        return True

    def pick(self, mod, m, want):
        """(object, name, is it a factory) of the loaded module; no name when there is none."""
        if want:
            text = want.partition(":")[2]
            factory = text.endswith("()")
            obj = m
            for part in text.replace("()", "").split("."):
                obj = getattr(obj, part)
            return obj, text.replace("()", ""), factory
        for rank, name, kind, line in sorted(mod.found):
            obj = getattr(m, name, None)
            if kind == "factory":
                if callable(obj):
                    return obj, name, True
            elif obj is not None and (is_wsgi(obj) or is_asgi(obj)):
                return obj, name, False
        for name, obj in sorted(vars(m).items()):
            if not name.startswith("_") and hasattr(obj, "wsgi_app") and is_wsgi(obj):
                return obj, name, False
        return None, "", False

    def asgi(self, mod, name):
        line = next((f[3] for f in mod.found if f[1] == name), 1)
        self.a.error("%s:%s is an ASGI app, and this version of stead serves WSGI apps only" % (mod.name, name),
                     "Flask, Django, Bottle, Falcon and Pyramid apps are served; FastAPI and Starlette come later",
                     file=mod.file, line=line, col=1)

    # -- ways to an app --

    def written(self, wanted):
        want = self.o["wsgi"]
        name = want.partition(":")[0]
        parts = name.split(".")
        for path in self.o["paths"] or [".", "src"]:
            base = os.path.normpath(os.path.join(self.folder, path))
            for file in (os.path.join(base, *parts) + ".py", os.path.join(base, *(parts + ["__init__.py"]))):
                if os.path.isfile(file):
                    mod = read_module(Module(self.folder, path, name, self.rel(file)))
                    return self.load_written(mod, want, wanted)
        mod = Module(self.folder, (self.o["paths"] or ["."])[0], name, "")
        try:
            import importlib.util
            sys.path.insert(0, os.path.join(self.folder, mod.path))
            there = importlib.util.find_spec(name) is not None
        except (ImportError, ValueError):
            there = False
        if there:
            return self.load_written(mod, want, wanted)
        self.a.error("Wsgi=: there is no module %s in %s" % (name, self.folder), self.near_module(parts),
                     file="@Wsgi")

    def near_module(self, parts):
        import difflib

        all_ = [m.name for m in candidates(self.folder, self.o["name"].replace("-", "_"))]
        near = difflib.get_close_matches(".".join(parts), all_, 1, 0.5)
        if near:
            return "did you mean %s?" % near[0]
        return "modules here: %s" % ", ".join(all_[:8]) if all_ else "there is no Python module in the folder"

    def load_written(self, mod, want, wanted):
        if mod.broken is not None:
            self.module = mod
            self.syntax_error(mod.broken)
            return
        if self.o["skip_import"]:
            self.by_source(mod, want)
            return
        try:
            self.load(mod, want, wanted)
        finally:
            m = sys.modules.get(mod.name)
        text = want.partition(":")[2].replace("()", "")
        if not self.target and m is not None and not hasattr(m, text.split(".")[0]):
            have = [n for n, v in vars(m).items() if not n.startswith("_") and is_wsgi(v) and
                    getattr(v, "__module__", mod.name).split(".")[0] == mod.name.split(".")[0]]
            have += [f[1] for f in mod.found if f[1] not in have]
            self.a.records.pop()  # the AttributeError, said better here
            self.a.error("Wsgi=: the module %s has no %s" % (mod.name, text),
                         "did you mean %s:%s?" % (mod.name, have[0]) if have else "", file="@Wsgi")

    def django(self, wanted):
        """True when it is a Django project (whatever came of it)."""
        places = [""] + [d for d in listdir(self.folder)
                         if d not in SKIP_DIRS and not d.startswith(".")][:60]
        for d in places:
            manage = os.path.join(self.folder, d, "manage.py")
            if not os.path.isfile(manage):
                continue
            m = re.search(r"DJANGO_SETTINGS_MODULE[\"']\s*,\s*[\"']([\w.]+)[\"']", read_text(manage))
            if m:
                self.django_project(d or ".", os.environ.get("DJANGO_SETTINGS_MODULE") or m.group(1), wanted)
                return True
        return False

    def django_project(self, path, settings, wanted):
        base = os.path.normpath(os.path.join(self.folder, path))
        pre = "" if path == "." else path + "/"
        text = read_text(os.path.join(base, *settings.split(".")) + ".py")
        m = re.search(r"(?m)^WSGI_APPLICATION\s*=\s*[\"']([\w.]+)\.(\w+)[\"']", text)
        packages = [settings.rsplit(".", 1)[0]] if "." in settings else []
        packages += [p.rsplit(".", 1)[0] for p in packages if "." in p]
        names = [m.group(1)] if m else []
        names += [p + ".wsgi" for p in packages] + ["wsgi"]
        for name in names:
            file = pre + name.replace(".", "/") + ".py"
            if os.path.isfile(os.path.join(self.folder, file)):
                mod = read_module(Module(self.folder, path, name, file))
                break
        else:
            mod = Module(self.folder, path, "django.core.wsgi", file=pre + settings.replace(".", "/") + ".py")
            mod.found = [(0, "get_wsgi_application", "factory", 1)]
            self.env["DJANGO_SETTINGS_MODULE"] = settings
            os.environ["DJANGO_SETTINGS_MODULE"] = settings
        if mod.broken is not None:
            self.module = mod
            self.syntax_error(mod.broken)
        elif self.o["skip_import"]:
            self.by_source(mod, "")
        elif self.load(mod, "", wanted) is None:
            self.a.error("%s has no WSGI app" % mod.file, "Django writes `application = get_wsgi_application()`",
                         file=mod.file, line=1, col=1)

    def search(self, wanted):
        hint = normal(wanted.name or self.o["name"]).replace("-", "_")
        mods = [read_module(m) for m in candidates(self.folder, hint)]
        primary = [m for m in mods if m.broken and m.name in TOP_NAMES[:4]]

        def likely(m):
            return (0 if m in primary else m.best()[0] // 10, m.order)

        mods = sorted([m for m in mods if m.found or m in primary], key=likely)
        for mod in mods:
            if mod.broken is not None:
                self.module = mod
                self.syntax_error(mod.broken)
                return
            best = mod.best()
            if best[2] == "asgi":
                self.asgi(mod, best[1])
                return
            if mod.runs_at:
                line = read_text(os.path.join(self.folder, mod.file)).splitlines()[mod.runs_at - 1]
                self.a.error("the module starts a server of its own while it is imported%s" % shown_line(
                    line.strip(), 1), "put that line below: if __name__ == \"__main__\":",
                    file=mod.file, line=mod.runs_at, col=len(line) - len(line.lstrip()) + 1)
                return
            if self.o["skip_import"]:
                self.by_source(mod, "")
                return
            if self.load(mod, "", wanted) is not None:
                return
        if not mods:
            self.a.put("none", "no app was found in %s" % self.folder,
                       "looked for %s; if the app is elsewhere, write Wsgi=MODULE:OBJECT in [Python] of "
                       "stead.conf" % LOOKED_FOR)
        else:
            self.a.error("no WSGI app was found: looked into %s" % ", ".join(m.file for m in mods[:5]), "write Wsgi=MODULE:OBJECT in [Python] of stead.conf")

    # -- what else it needs --

    def put_static(self, url, path):
        path = os.path.normpath(os.path.join(self.folder, path))
        url = "/" + url.strip("/")
        if url == "/" or not os.path.isdir(path) or " " in url or "%" in url or "://" in url:
            return
        inside = path.startswith(self.folder + os.sep)
        self.a.value("Site", "Static", "%s %s" % (url, os.path.relpath(path, self.folder) if inside else path))

    def static(self):
        app = self.obj
        settings = sys.modules.get("django.conf")
        if settings is not None and self.ran:
            s = settings.settings
            root, url = getattr(s, "STATIC_ROOT", None), getattr(s, "STATIC_URL", None)
            if root and url and os.path.isdir(str(root)):
                self.put_static(str(url), str(root))
            elif url and "django.contrib.staticfiles" in getattr(s, "INSTALLED_APPS", ()):
                self.a.note("Django's static files are not collected, so %s is not served" % url,
                            "set STATIC_ROOT in the settings and run manage.py collectstatic")
            return
        if app is not None and getattr(app, "has_static_folder", False):
            if app.static_folder and app.static_url_path:
                self.put_static(app.static_url_path, app.static_folder)
            return
        if not self.ran and self.module is not None:
            # Not run now: Flask's default, a folder `static` beside the module.
            near = os.path.dirname(self.module.file)
            text = read_text(os.path.join(self.folder, self.module.file))
            if "Flask(" in text and "static_" not in text:
                self.put_static("/static", os.path.join(near, "static"))

    def postgres(self, wanted):
        why = ""
        for name, spec, shown in wanted.all:
            if name in DRIVER_DISTS or (re.search(r"postgres", spec) and name == "psycopg"):
                why = "%s asks for %s" % (wanted.file, shown)
        for d in DRIVERS:
            if not why and d in sys.modules:
                why = "the app imports %s" % d
        if not why:
            says = re.compile(r"(?m)^\s*(?:import|from)\s+(%s)\b|django\.db\.backends\.postgresql|postgresql(?:\+\w+)?://"
                              % "|".join(DRIVERS))
            for f in python_files(self.folder):
                m = says.search(read_text(f))
                if m and os.path.basename(f) != "setup.py":
                    why = "%s uses %s" % (self.rel(f), m.group(1) or "PostgreSQL")
                    break
        self.a.value("Postgres", "Enabled", "yes" if why else "no")
        if why:
            self.a.note("the app has a database: %s" % why)

    def run(self):
        wanted = Wanted(self.folder, self.o["requirements"])
        missing = wanted.missing()
        if missing and not self.o["venv_theirs"]:
            self.o["skip_import"] = True
            self.a.put("build", wanted.file, ", ".join(missing[:6]))
        elif wanted.file and not missing and not self.o["venv"]:
            self.a.note("%s is met by the packages of %s" % (wanted.file, self.o["python"]))
        if self.o["wsgi"]:
            self.written(wanted)
        elif not self.django(wanted):
            self.search(wanted)
        if not self.target:
            return
        if not self.o["wsgi"]:
            self.a.value("Python", "Wsgi", self.target)
        if not self.o["paths"] and self.module.path != ".":
            self.a.value("Python", "Path", self.module.path)
            self.a.value("Python", "Path", ".")
        for k, v in self.env.items():
            self.a.value("Service", "Environment", "%s=%s" % (k, v))
        self.static()
        self.postgres(wanted)


def main():
    fd = int(sys.argv[1])
    keys = ("folder", "name", "wsgi", "paths", "python", "venv", "venv_theirs", "requirements", "skip_import")
    o = dict(zip(keys, sys.argv[2:]))
    o["paths"] = [p for p in o["paths"].split("\n") if p]
    for k in ("venv_theirs", "skip_import"):
        o[k] = o[k] == "1"
    os.set_inheritable(fd, False)
    answer = Answer(fd)
    sys.argv[:] = [o["folder"]]
    sys.path[:] = [p for p in sys.path if p]
    if sys.version_info < (3, 9):
        answer.error("%s is Python %d.%d, and stead needs 3.9 or later" % ((o["python"],) + sys.version_info[:2]),
                     "write Interpreter= in [Python] of stead.conf")
    else:
        Detect(answer, o).run()
    sys.stdout.flush()
    sys.stderr.flush()
    answer.send()
    os._exit(0)


main()
