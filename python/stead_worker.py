"""stead_worker.py: one worker process of a WSGI or ASGI app, run by the app's own interpreter.

Started by the parent as

    INTERPRETER DIR/stead_worker.py --wsgi MODULE:OBJECT [--path DIR]… [--threads N] [--workers N]
    INTERPRETER DIR/stead_worker.py --asgi MODULE:OBJECT [--path DIR]… [--concurrency N] …

in the app's folder, with fd 3 = the channel from the parent (SEQPACKET; it brings the gates' links), and
stdout and stderr to the log. OBJECT is an attribute, dotted or not; with "()" behind it, it is called once
without arguments and returns the app. The app is imported before the first link is answered, so that a
gate hears of a worker only once it can serve; an error in the import is a traceback and exit status 1.
The extension _steadlink.abi3.so lies beside this file, or in $STEAD_LINK_DIR. Nothing of stead stays on
sys.path. SIGTERM: finish what runs, exit 0. SIGUSR1: every thread's stack on stderr.
"""

import io
import os
import sys


def load_link(here):
    from importlib.machinery import ExtensionFileLoader, ModuleSpec
    from importlib.util import module_from_spec

    for folder in (os.environ.get("STEAD_LINK_DIR"), here):
        path = folder and os.path.join(folder, "_steadlink.abi3.so")
        if path and os.path.exists(path):
            loader = ExtensionFileLoader("_steadlink", path)
            module = module_from_spec(ModuleSpec("_steadlink", loader, origin=path))
            loader.exec_module(module)
            return module
    raise SystemExit("stead: _steadlink.abi3.so is missing beside " + here)


class FileWrapper:
    """wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling")."""

    def __init__(self, filelike, blksize=65536):
        self.filelike = filelike
        self.blksize = blksize
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self):
        return self

    def __next__(self):
        data = self.filelike.read(self.blksize)
        if not data:
            raise StopIteration
        return data


def real_file(wrapper):
    """(descriptor, offset) of a plain file; None for what only looks like one.

    An object with a fileno() may still change what read() yields (gzip), so only the known types count.
    """
    f = wrapper.filelike
    if type(f).__name__ == "_TemporaryFileWrapper":
        f = f.file
    raw = f.raw if type(f) in (io.BufferedReader, io.BufferedRandom) else f
    if type(raw) is not io.FileIO:
        return None
    if type(f) is io.BufferedRandom:
        f.flush()
    return f.fileno(), f.tell()


def show(kind, value, trace):
    import traceback

    traceback.print_exception(kind, value, trace)
    sys.stderr.flush()


def find_app(spec):
    import importlib

    name, _, attr = spec.partition(":")
    call = attr.endswith("()")
    obj = importlib.import_module(name)
    for part in (attr[:-2] if call else attr or "application").split("."):
        obj = getattr(obj, part)
    obj = obj() if call else obj
    if not callable(obj):
        raise TypeError("%s is not callable, so it is no app" % spec)
    return obj


def options(argv):
    import argparse

    p = argparse.ArgumentParser(prog="stead_worker.py")
    kind = p.add_mutually_exclusive_group(required=True)
    kind.add_argument("--wsgi", metavar="MODULE:OBJECT")
    kind.add_argument("--asgi", metavar="MODULE:OBJECT")
    p.add_argument("--path", action="append", default=[])
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--concurrency", type=int, default=512)
    p.add_argument("--websocket-max", type=int, default=16 * 1024 * 1024, metavar="BYTES")
    p.add_argument("--ping", type=int, default=20, metavar="SECONDS")
    p.add_argument("--parent-fd", type=int, default=3)
    p.add_argument("--link-fd", type=int, action="append", default=[])
    return p.parse_args(argv)


def first_environ(o):
    return {
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_SOFTWARE": "stead",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": o.threads > 1,
        "wsgi.multiprocess": o.workers > 1,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
    }


def load_asgi(here):
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("stead_asgi", os.path.join(here, "stead_asgi.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def serve(link, server, threads):
    import threading

    def run(number):
        try:
            link.run(server, number)
        except BaseException:  # a thread that ends takes the worker with it: it would only look alive
            show(*sys.exc_info())
            os._exit(1)

    others = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(1, threads)]
    for t in others:
        t.start()
    link.run(server, 0)
    for t in others:
        t.join()


def main():
    import faulthandler
    import signal

    here = os.path.dirname(os.path.abspath(__file__))
    o = options(sys.argv[1:])
    link = load_link(here)
    folders = [os.path.abspath(p) for p in o.path] or [os.getcwd()]
    sys.path[:] = folders + [p for p in sys.path if p and os.path.abspath(p) not in (here, *folders)]
    sys.argv[:] = [(o.wsgi or o.asgi).partition(":")[0]]
    faulthandler.register(signal.SIGUSR1, all_threads=True, chain=False)
    for fd in [o.parent_fd] + o.link_fd:
        if fd >= 0:
            os.set_inheritable(fd, False)
    try:
        app = find_app(o.wsgi or o.asgi)
    except BaseException:
        show(*sys.exc_info())
        raise SystemExit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal's group; the parent says when to end
    if o.asgi:
        load_asgi(here).main(link, app, o, show)
    server = link.open(app, first_environ(o), show, FileWrapper, real_file, o.threads, o.parent_fd)
    signal.signal(signal.SIGTERM, lambda *_: link.stop(server))
    signal.set_wakeup_fd(link.wakeup_fd(server), warn_on_full_buffer=False)
    for fd in o.link_fd:
        link.add(server, fd)
    serve(link, server, o.threads)
    signal.set_wakeup_fd(-1)


if __name__ == "__main__":
    main()
