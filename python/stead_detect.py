"""Find the WSGI or ASGI app of a folder, and say what else it needs.

Run by stead-check with the app's own interpreter, in a process of its own that is ended afterwards: the
likely module is chosen by reading the source, then imported once. Answers with packed records on a
descriptor: what was found is a value, what is wrong is a finding. It writes no file and needs nothing
but the standard library. The last of the three files of detect_packages.py.
"""

ASGI_MODULES = ("fastapi", "starlette", "quart", "litestar", "sanic", "blacksheep")
LOOKED_FOR = ("app.py, wsgi.py, asgi.py, main.py, application.py, a package with one of them or with create_app(), "
              "the same below src/, Django's manage.py, and index.html or public/index.html")


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
        self.kind = "Wsgi"       # the key that the app is written with
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
        if not callable(obj) or type(obj).__module__.split(".")[0] == "aiohttp":
            self.no_app(mod, name, obj, want)
            return False
        kind = "Asgi" if is_asgi(obj) else "Wsgi"
        if want and kind != self.o["key"]:
            self.other_kind(mod, name, obj, kind)
            return False
        self.obj = obj
        self.set_target(mod, name, factory, kind)
        return True

    def no_app(self, mod, name, obj, want):
        if callable(obj) or hasattr(obj, "router"):
            self.a.error("%s:%s is an app of aiohttp, which serves by itself: it is neither WSGI nor ASGI" % (
                mod.name, name), "start its server with ExecStart= in [Service] of stead.conf",
                file="@target" if want else mod.file)
            return
        self.a.error("%s:%s is no app: it is %s and cannot be called" % (mod.name, name, type(obj).__name__),
                     "write Wsgi=MODULE:OBJECT in [Python] of stead.conf, or Asgi=",
                     file="@target" if want else mod.file)

    def other_kind(self, mod, name, obj, kind):
        if kind == "Asgi":
            what, todo = "an ASGI app", "write Asgi=%s" % self.o["target"]
        elif isinstance(obj, type):
            what = "a class"
            todo = "apps of ASGI 2 are wrapped by asgiref.compatibility.guarantee_single_callable(%s)" % name
        else:
            what = "no app of ASGI 3, which is a coroutine function of (scope, receive, send)"
            todo = "write Wsgi=%s if it is a WSGI app" % self.o["target"]
        self.a.error("%s=: %s:%s is %s" % (self.o["key"], mod.name, name, what), todo, file="@target")

    def set_target(self, mod, name, factory, kind):
        self.module = mod
        self.kind = kind
        self.target = "%s:%s%s" % (mod.name, name, "()" if factory else "")

    def likely_kind(self, mod, kind):
        """Of an app that was not imported, by what its source calls."""
        if kind in ("asgi", "wsgi"):
            return kind.capitalize()
        texts = [read_text(os.path.join(self.folder, mod.file))] if mod.file else []
        if kind == "import":
            texts += [read_text(f) for f in python_files(self.folder)]
        for text in texts:
            if WSGI_SAYS.search(text):
                return "Wsgi"
            if ASGI_SAYS.search(text):
                return "Asgi"
        return "Wsgi"

    def by_source(self, mod, want):
        if want:
            self.module = mod
            self.kind = self.o["key"]
            self.target = want
            return True
        best = mod.best()
        if best is None:
            return False
        self.set_target(mod, best[1], best[2] == "factory", self.likely_kind(mod, best[2]))
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

    # -- ways to an app --

    def written(self, wanted):
        want = self.o["target"]
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
        self.a.error("%s=: there is no module %s in %s" % (self.o["key"], name, self.folder),
                     self.near_module(parts), file="@target")

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
            have = [n for n, v in vars(m).items() if not n.startswith("_") and (is_wsgi(v) or is_asgi(v)) and
                    getattr(v, "__module__", mod.name).split(".")[0] == mod.name.split(".")[0]]
            have += [f[1] for f in mod.found if f[1] not in have]
            self.a.records.pop()  # the AttributeError, said better here
            self.a.error("%s=: the module %s has no %s" % (self.o["key"], mod.name, text),
                         "did you mean %s:%s?" % (mod.name, have[0]) if have else "", file="@target")

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
        kind = self.django_kind(text)
        m = re.search(r"(?m)^%s_APPLICATION\s*=\s*[\"']([\w.]+)\.(\w+)[\"']" % kind.upper(), text)
        packages = [settings.rsplit(".", 1)[0]] if "." in settings else []
        packages += [p.rsplit(".", 1)[0] for p in packages if "." in p]
        names = [m.group(1)] if m else []
        names += ["%s.%s" % (p, kind) for p in packages] + [kind]
        for name in names:
            file = pre + name.replace(".", "/") + ".py"
            if os.path.isfile(os.path.join(self.folder, file)):
                mod = read_module(Module(self.folder, path, name, file))
                break
        else:
            mod = Module(self.folder, path, "django.core." + kind, file=pre + settings.replace(".", "/") + ".py")
            mod.found = [(0, "get_%s_application" % kind, "factory", 1)]
            self.env["DJANGO_SETTINGS_MODULE"] = settings
            os.environ["DJANGO_SETTINGS_MODULE"] = settings
        if mod.broken is not None:
            self.module = mod
            self.syntax_error(mod.broken)
        elif self.o["skip_import"]:
            self.by_source(mod, "")
        elif self.load(mod, "", wanted) is None:
            self.a.error("%s has no app" % mod.file, "Django writes `application = get_%s_application()`" % kind,
                         file=mod.file, line=1, col=1)

    @staticmethod
    def django_kind(settings):
        """WSGI, which every project has, unless what is installed needs ASGI, or only that is named."""
        if re.search(r"(?m)^\s*[\"'](channels|daphne)[\"']", settings):
            return "asgi"
        named = re.findall(r"(?m)^(WSGI|ASGI)_APPLICATION\s*=\s*[\"']", settings)
        return "asgi" if named == ["ASGI"] else "wsgi"

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
                       "looked for %s; if the app is elsewhere, write Wsgi=MODULE:OBJECT, or Asgi=, in "
                       "[Python] of stead.conf" % LOOKED_FOR)
        else:
            self.a.error("no app was found: looked into %s" % ", ".join(m.file for m in mods[:5]),
                         "write Wsgi=MODULE:OBJECT in [Python] of stead.conf, or Asgi=")

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
            if self.o["deploys"] and getattr(s, "DEBUG", False):
                self.a.warn("Django's DEBUG is on: each visitor who meets an error is shown the settings and the code",
                            "set DEBUG = False, and the site's names in ALLOWED_HOSTS, before others visit it")
            root, url = getattr(s, "STATIC_ROOT", None), getattr(s, "STATIC_URL", None)
            if root and url and os.path.isdir(str(root)):
                self.put_static(str(url), str(root))
            elif url and "django.contrib.staticfiles" in getattr(s, "INSTALLED_APPS", ()):
                self.a.note("Django's static files are not collected, so %s is not served" % url,
                            "run manage.py collectstatic, which makes %s" % root if root else
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
            if name in DRIVER_DISTS:
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
        if self.o["target"]:
            self.written(wanted)
        elif not self.django(wanted):
            self.search(wanted)
        if not self.target:
            return
        if not self.o["target"]:
            self.a.value("Python", self.kind, self.target)
        if not self.o["paths"] and self.module.path != ".":
            self.a.value("Python", "Path", self.module.path)
            self.a.value("Python", "Path", ".")
        for k, v in self.env.items():
            self.a.value("Service", "Environment", "%s=%s" % (k, v))
        self.static()
        self.postgres(wanted)


def main():
    fd = int(sys.argv[1])
    keys = ("folder", "name", "key", "target", "paths", "python", "venv", "venv_theirs", "requirements", "skip_import",
            "deploys")
    o = dict(zip(keys, sys.argv[2:]))
    o["paths"] = [p for p in o["paths"].split("\n") if p]
    for k in ("venv_theirs", "skip_import", "deploys"):
        o[k] = o.get(k) == "1"
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
