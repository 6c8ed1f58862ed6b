"""stead_asgi.py: one worker process of an ASGI app (ASGI 3.0): the event loop, lifespan, and the end.

Loaded by stead_worker.py from beside it. The loop is uvloop's when the app's environment has it, else
asyncio's; it watches the link's descriptor itself, so requests meet no thread on their way. Requests are
tasks that the extension makes (asgi_serve.c). Startup comes before the first link is answered, so a gate
hears of a worker only once its app says that it is ready. SIGTERM: WebSockets get 1001, what runs may
finish for STOP_S, then the lifespan's shutdown, for SHUTDOWN_S at most.
"""

import asyncio
import signal
import sys

ASGI = {"version": "3.0", "spec_version": "2.5"}
LIFESPAN = {"version": "3.0", "spec_version": "2.0"}
STOP_S = 5
SHUTDOWN_S = 10
CLOSE_MS = 10000


class ClientGone(OSError):
    """send() was called when the client had gone."""


def new_loop():
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def check_app(app, spec):
    """ASGI 3: one call with three arguments. What is of ASGI 2 looks like a mistake of another kind later."""
    import inspect

    def takes(function):
        try:
            inspect.signature(function).bind(None, None, None)
        except TypeError:
            return False
        except ValueError:  # built in: it is asked when it is called
            pass
        return True

    if inspect.isclass(app) or not takes(app):
        raise TypeError("%s is no ASGI 3 app: it must take (scope, receive, send)%s" % (
            spec, ", and this is a class" if inspect.isclass(app) else
            "; an app of ASGI 2, which takes (scope), can be wrapped by asgiref.compatibility.guarantee_single_callable"))
    return app


def accept_key(key):
    import base64
    import hashlib

    text = key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
    return base64.b64encode(hashlib.sha1(text).digest())


async def run(conn, app, scope, receive, send):
    try:
        await app(scope, receive, send)
    except BaseException as e:  # also what ends other programs: here it ends one request
        conn.done(e)
    else:
        conn.done(None)


def marks():
    """The attributes by which others tell a coroutine function (inspect, asyncio, asgiref)."""
    import inspect

    found = {}
    mark = getattr(asyncio.coroutines, "_is_coroutine", None)
    if mark is not None:
        found["_is_coroutine"] = mark
    mark = getattr(inspect, "_is_coroutine_mark", None)
    if mark is not None:
        found["_is_coroutine_marker"] = mark
    return found


class Lifespan:
    """The app's own start and end (Lifespan Protocol 2.0). An app that does not know it is served without."""

    def __init__(self, app, show):
        self.app = app
        self.show = show
        self.state = {}
        self.events = asyncio.Queue()
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        self.failure = None      # the message of startup.failed
        self.supported = False
        self.task = None

    async def run(self):
        scope = {"type": "lifespan", "asgi": LIFESPAN, "state": self.state}
        try:
            await self.app(scope, self.events.get, self.send)
        except BaseException:
            if self.supported:
                self.show(*sys.exc_info())
        finally:
            self.started.set()
            self.ended.set()

    async def send(self, message):
        kind = message["type"]
        if kind == "lifespan.startup.complete" and not self.started.is_set():
            self.supported = True
            self.started.set()
        elif kind == "lifespan.startup.failed" and not self.started.is_set():
            self.failure = message.get("message", "") or "it sent lifespan.startup.failed"
            self.started.set()
        elif kind in ("lifespan.shutdown.complete", "lifespan.shutdown.failed") and self.supported:
            if kind.endswith("failed"):
                print("stead: the app's shutdown failed: " + message.get("message", ""), file=sys.stderr)
            self.ended.set()
        else:
            raise RuntimeError("this message may not be sent now: %r" % kind)

    async def startup(self):
        self.task = asyncio.ensure_future(self.run())
        self.events.put_nowait({"type": "lifespan.startup"})
        await self.started.wait()
        return self.failure is None

    async def shutdown(self):
        if not self.supported or self.ended.is_set():
            return
        self.events.put_nowait({"type": "lifespan.shutdown"})
        try:
            await asyncio.wait_for(self.ended.wait(), SHUTDOWN_S)
        except asyncio.TimeoutError:
            print("stead: the app's shutdown took more than %d s and was not waited for" % SHUTDOWN_S,
                  file=sys.stderr)


class Server:
    def __init__(self, link, app, o, show):
        self.link = link
        self.loop = asyncio.get_running_loop()
        self.over = self.loop.create_future()
        self.ticks = False
        base = {"asgi": ASGI, "http_version": "1.1", "root_path": "", "query_string": b""}
        # What each request says of itself: with its key here, a copy of these need not grow.
        base.update(dict.fromkeys(("path", "raw_path", "headers", "client", "server", "stead.request_id")))
        http = dict(base, type="http", scheme="http", method=None, extensions={"http.response.pathsend": {}})
        websocket = dict(base, type="websocket", scheme="ws", subprotocols=None,
                         extensions={"websocket.http.response": {}})
        self.server = link.asgi_open(
            app, run, self.loop.create_task, self.loop.create_future, self.loop.call_soon, show, accept_key,
            ClientGone, http, websocket, marks(), o.websocket_max, o.concurrency, o.ping * 1000, CLOSE_MS,
            o.parent_fd)
        link.asgi_turn_by(self.server, self.turn)
        for fd in o.link_fd:
            link.asgi_add(self.server, fd)

    def begin(self, state):
        self.link.asgi_state(self.server, state)
        # A loop of the app's own that makes or counts callbacks by itself keeps doing so.
        if not self.loop.get_debug() and "call_soon" not in vars(self.loop):
            self.link.asgi_eager(self.server, self.loop, asyncio.Task)
        self.loop.add_reader(self.link.asgi_fd(self.server), self.turn)
        self.loop.call_soon(self.turn)  # not from in here: a request's task may step in it

    def turn(self):
        more = self.link.asgi_turn(self.server)
        if not self.ticks:
            self.ticks = True
            self.loop.call_later(1, self.tick)
        if more == 1:
            self.loop.call_soon(self.turn)
        elif more == 2:
            self.stop()

    def tick(self):
        self.link.asgi_tick(self.server)
        self.ticks = self.link.asgi_live(self.server) > 0
        if self.ticks:
            self.loop.call_later(1, self.tick)

    def stop(self):
        if not self.over.done():
            self.over.set_result(None)

    async def end(self):
        self.link.asgi_stop(self.server)
        until = self.loop.time() + STOP_S
        while self.link.asgi_live(self.server) and self.loop.time() < until:
            await asyncio.sleep(0.02)
        tasks = self.link.asgi_tasks(self.server)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1)


async def serve(link, app, o, show):
    lifespan = Lifespan(app, show)
    server = Server(link, app, o, show)
    server.loop.add_signal_handler(signal.SIGTERM, server.stop)
    started = asyncio.ensure_future(lifespan.startup())
    await asyncio.wait({started, server.over}, return_when=asyncio.FIRST_COMPLETED)
    if not started.done():
        return 0
    if not started.result():
        print("stead: the app's startup failed: " + lifespan.failure, file=sys.stderr)
        return 1
    server.begin(lifespan.state if lifespan.supported else None)
    await server.over
    await server.end()
    await lifespan.shutdown()
    return 0


def main(link, app, o, show):
    check_app(app, o.asgi)
    loop = new_loop()
    asyncio.set_event_loop(loop)
    status = loop.run_until_complete(serve(link, app, o, show))
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(loop.shutdown_asyncgens())
    sys.stderr.flush()
    raise SystemExit(status)
