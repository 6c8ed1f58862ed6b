"""Which modules of a folder may hold its app, by their source: nothing is imported here.

The second of the three files of detect_packages.py.
"""

PREFERRED = ("application", "app", "wsgi_app", "wsgi", "asgi_app", "asgi", "api", "server", "web")
FACTORIES = ("create_app", "make_app", "create_application", "build_app", "app_factory", "get_app")
WSGI_CALLS = {"Flask", "APIFlask", "Bottle", "default_app", "get_wsgi_application", "make_wsgi_app", "wsgifunc",
              "WSGIApplication", "Eve", "Morepath", "Nereid"}
ASGI_CALLS = {"FastAPI", "Starlette", "Quart", "Litestar", "Sanic", "BlackSheep", "get_asgi_application"}
SKIP_DIRS = {"venv", ".venv", "env", "node_modules", "__pycache__", "tests", "test", "migrations", "docs",
             "static", "templates", "build", "dist", "site-packages"}


ASGI_SAYS = re.compile(r"\b(%s)\(" % "|".join(sorted(ASGI_CALLS)))
WSGI_SAYS = re.compile(r"\b(%s)\(" % "|".join(sorted(WSGI_CALLS)))


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
            mod.found.append((name_rank(n), n, "asgi", line))
        elif call in FACTORIES:
            mod.found.append((name_rank(n), n, "wsgi", line))
        elif known and not call.startswith(("get_logger", "getLogger", "Blueprint", "ArgumentParser")):
            mod.found.append((30 + name_rank(n), n, "weak", line))


def read_function(mod, node, is_async):
    a = node.args
    required = len(a.args) + len(getattr(a, "posonlyargs", [])) - len(a.defaults)
    required += len([d for d in a.kw_defaults if d is None])
    n = node.name
    if n in ("application", "app", "wsgi_app", "simple_app", "wsgi", "asgi_app", "asgi") and required in (2, 3):
        kind = "asgi" if is_async or required == 3 else "wsgi"
        mod.found.append((name_rank(n), n, kind, node.lineno))
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
                    rank = 0 if mod.name.split(".")[-1] in ("wsgi", "asgi") else 10
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


TOP_NAMES = ("wsgi", "asgi", "app", "main", "application", "run", "server", "web", "index", "site", "api")
PACKAGE_NAMES = ("wsgi", "asgi", "app", "main", "application", "__init__", "server", "web", "api", "factory")


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
