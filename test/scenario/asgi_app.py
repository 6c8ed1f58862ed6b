"""The app that test_asgi.py asks: one path for each rule of ASGI's specifications that a server must keep."""

import asyncio
import contextvars
import json
import os
import signal
import time
import weakref

PLAIN = (b"content-type", b"text/plain")
HERE = os.path.dirname(os.path.abspath(__file__))
SEEN = []           # what happened, for /seen
GATE = {}           # events by name, for requests that wait for others
NUMBER = contextvars.ContextVar("number", default=0)
TASKS = []          # of /step
MADE, CAME = [], []  # callbacks of call_while_tasks_are_made()
BEGUN = [0]         # requests of /among since the loop went on to something else
PAST = os.path.join(os.environ.get("ASGI_NOTES", HERE), "notes")


def note(text):
    with open(PAST, "a") as f:
        f.write(text + "\n")


def event(name):
    return GATE.setdefault(name, asyncio.Event())


async def lifespan(scope, receive, send):
    assert scope["asgi"]["version"] == "3.0" and scope["state"] == {}
    mode = os.environ.get("LIFESPAN", "on")
    if mode == "raises":
        raise RuntimeError("no lifespan here")
    assert await receive() == {"type": "lifespan.startup"}
    if mode == "fails":
        await send({"type": "lifespan.startup.failed", "message": "no database, on purpose"})
        return
    if os.environ.get("FACTORY"):
        asyncio.get_running_loop().set_task_factory(lambda loop, coro, **more: Own(coro, loop=loop, **more))
    if os.environ.get("CALLS"):
        call_while_tasks_are_made(asyncio.get_running_loop())
    scope["state"]["shared"] = []
    scope["state"]["pid"] = os.getpid()
    note("startup %d" % os.getpid())
    await send({"type": "lifespan.startup.complete"})
    assert await receive() == {"type": "lifespan.shutdown"}
    note("shutdown %d" % os.getpid())
    if mode == "hangs":
        await asyncio.sleep(600)
    await send({"type": "lifespan.shutdown.complete"})


class Own(asyncio.Task):
    pass


def call_while_tasks_are_made(loop):
    """As a finalizer could that the collector runs then: callbacks of every form, from inside Task()."""
    add, context = weakref.WeakSet.add, contextvars.copy_context()

    def with_calls(self, item):
        add(self, item)
        if isinstance(item, asyncio.Task):
            MADE.append(loop.call_soon(CAME.append, 1))
            MADE.append(loop.call_soon(lambda: CAME.append(2), context=context))
    weakref.WeakSet.add = with_calls


def beat():
    BEGUN[0] = 0
    if not event("enough").is_set():
        asyncio.get_running_loop().call_soon(beat)


async def whole(receive):
    body = b""
    while True:
        m = await receive()
        assert m["type"] == "http.request", m
        body += m["body"]
        if not m["more_body"]:
            return body


async def answer(send, body, status=200, headers=()):
    body = body if isinstance(body, bytes) else str(body).encode()
    await send({"type": "http.response.start", "status": status, "headers": [PLAIN, *headers]})
    await send({"type": "http.response.body", "body": body})


async def tried(send, message):
    """The name of what a message raises, or "nothing"."""
    try:
        await send(message)
    except Exception as e:
        return "%s: %s" % (type(e).__name__, e)
    return "nothing"


def shown(scope):
    return repr({k: v for k, v in scope.items() if k not in ("state", "extensions")})


START = {"type": "http.response.start", "status": 200}
BODY = {"type": "http.response.body", "body": b"x"}
WRONG = {
    "body first": [BODY],
    "started twice": [START, START],
    "no type": [{}],
    "unknown type": [{"type": "http.response.nonsense"}],
    "not a dict": [[1]],
    "no status": [{"type": "http.response.start"}],
    "status a str": [{"type": "http.response.start", "status": "200"}],
    "status 99": [{"type": "http.response.start", "status": 99}],
    "status 101": [{"type": "http.response.start", "status": 101}],
    "header a str": [{**START, "headers": [("a", "b")]}],
    "header a line": [{**START, "headers": [(b"a", b"b\r\nc: d")]}],
    "header a name": [{**START, "headers": [(b"a b", b"c")]}],
    "header of three": [{**START, "headers": [(b"a", b"b", b"c")]}],
    "body a str": [START, {"type": "http.response.body", "body": "x"}],
    "a WebSocket's message": [{"type": "websocket.accept"}],
    "trailers that were not offered": [{**START, "trailers": True}],
}


async def http(scope, receive, send):
    path, query = scope["path"], scope["query_string"].decode()
    if path == "/scope":
        await answer(send, shown(scope))
    elif path == "/echo":
        await answer(send, await whole(receive))
    elif path == "/len":
        total = n = 0
        most = 0
        while True:
            m = await receive()
            total, n, most = total + len(m["body"]), n + 1, max(most, len(m["body"]))
            if not m["more_body"]:
                break
        await answer(send, "%d in %d of at most %d" % (total, n, most))
    elif path == "/wrong":
        *before, last = WRONG[query.replace("%20", " ")]
        for m in before:
            await send(m)
        said = await tried(send, last)
        if before and before[0]["type"] == "http.response.start":
            await send({"type": "http.response.body", "body": said.encode()})
        else:
            await answer(send, said)
    elif path == "/extra":
        await send({**START, "headers": ([PLAIN]), "more": 1})
        await send({"type": "http.response.body", "body": b"extra keys", "color": "blue"})
    elif path == "/defaults":
        await send(START)
        await send({"type": "http.response.body"})
    elif path == "/headers":
        await answer(send, "", headers=[(b"set-cookie", b"a=1"), (b"x-one", b"1"), (b"set-cookie", b"b=2"),
                                        (b"transfer-encoding", b"chunked")])
    elif path == "/iter":
        await send({**START, "headers": ([n, b"v"] for n in (b"x-a", b"x-b"))})
        await send({"type": "http.response.body", "body": bytearray(b"array"), "more_body": True})
        await send({"type": "http.response.body", "body": memoryview(b" view")})
    elif path == "/steps":
        await send({**START, "headers": [PLAIN]})
        for i in range(3):
            await send({"type": "http.response.body", "body": b"%d" % i, "more_body": True})
            await event("step%d" % i).wait()
        await send({"type": "http.response.body", "body": b"end"})
    elif path.startswith("/set/"):
        event(path[5:]).set()
        await answer(send, "set")
    elif path == "/ignored":
        await answer(send, "once")
        SEEN.append(await tried(send, BODY))
        SEEN.append(await receive())
    elif path == "/length":
        said, sent = query.split(",")
        await send({**START, "headers": [(b"content-length", said.encode())]})
        await send({"type": "http.response.body", "body": b"y" * int(sent)})
    elif path == "/raise":
        raise RuntimeError("raised on purpose")
    elif path == "/late":
        await send(START)
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        raise RuntimeError("late on purpose")
    elif path == "/nothing":
        return
    elif path == "/half":
        await send(START)
        return
    elif path == "/exit":
        raise SystemExit(3)
    elif path == "/background":
        await answer(send, "answered")
        await event("background").wait()
        SEEN.append("worked on")
    elif path == "/wait":
        assert (await receive())["type"] == "http.request"
        SEEN.append((await receive())["type"])
        SEEN.append((await tried(send, START)).partition(":")[0])
        await send({"type": "http.response.start", "status": 200})  # nobody shall read of this in the log
    elif path == "/tasks":
        # receive() and send() as others use them: a task of their own, with a limit, cancelled and again.
        task = asyncio.create_task(receive())
        first = await task
        again = asyncio.ensure_future(receive())
        done, _ = await asyncio.wait({again}, timeout=0.01)
        again.cancel()
        try:
            await again
        except asyncio.CancelledError:
            pass
        late = "no"
        try:
            await asyncio.wait_for(receive(), 0.01)
        except asyncio.TimeoutError:
            late = "yes"
        await asyncio.create_task(send({**START, "headers": [PLAIN]}))
        await send({"type": "http.response.body", "body": json.dumps(
            [first["type"], len(done), late, asyncio.current_task() is not None,
             asyncio.iscoroutinefunction(receive)]).encode()})
    elif path == "/context":
        NUMBER.set(int(query))
        event("in" + query).set()
        await event("go").wait()
        await answer(send, NUMBER.get())
    elif path == "/step":
        # All of it in its first step: a task like any other, that can be cancelled and has limits.
        me, before, said = asyncio.current_task(), NUMBER.get(), []
        TASKS.append(me)
        NUMBER.set(7)
        me.cancel()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            said.append("cancelled")
        try:
            await asyncio.wait_for(event("never").wait(), 0.01)
        except asyncio.TimeoutError:
            said.append("timed out")
        await answer(send, json.dumps([before, said, me in asyncio.all_tasks(), len(set(TASKS)) == len(TASKS),
                                       all(t.done() for t in TASKS[:-1]), asyncio.current_task() is me]))
    elif path == "/calls":
        await asyncio.sleep(0)
        await answer(send, json.dumps([len(MADE), len(CAME), not any(m.cancelled() for m in MADE)]))
    elif path == "/task":
        await answer(send, type(asyncio.current_task()).__name__)
    elif path == "/hold":
        # The whole loop waits, as with an app that computes; meanwhile requests gather.
        asyncio.get_running_loop().call_soon(beat)
        while not os.path.exists(PAST + ".go"):
            time.sleep(0.01)
        await answer(send, "held")
    elif path == "/among":
        BEGUN[0] += 1
        await answer(send, BEGUN[0])
    elif path == "/state":
        state = scope["state"]
        state["shared"].append(1)
        state["mine"] = 1 + state.get("mine", 0)
        await answer(send, "%d %d" % (len(state["shared"]), state["mine"]))
    elif path == "/big":
        for_all = int(query)
        await send({**START, "headers": [PLAIN]})
        for _ in range(for_all):
            await send({"type": "http.response.body", "body": b"x" * 100000, "more_body": True})
        SEEN.append("big is out")
        await send({"type": "http.response.body"})
    elif path == "/file":
        await send({**START, "headers": [PLAIN]})
        await send({"type": "http.response.pathsend", "path": os.path.join(HERE, query or "asgi_app.py")})
    elif path == "/seen":
        out = json.dumps(SEEN)
        SEEN.clear()
        await answer(send, out)
    elif path == "/peek":
        await answer(send, SEEN[0] if SEEN else 0)
    elif path == "/loop":
        await answer(send, type(asyncio.get_running_loop()).__module__)
    elif path == "/pid":
        await answer(send, os.getpid())
    elif path == "/die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif path == "/spin":
        time.sleep(600)
    else:
        await answer(send, "hello")


WS_WRONG = {
    "send first": {"type": "websocket.send", "text": "x"},
    "unknown": {"type": "websocket.nonsense"},
    "http": {"type": "http.response.start", "status": 200},
    "accept with str": {"type": "websocket.accept", "headers": [("a", "b")]},
    "accept with protocol header": {"type": "websocket.accept", "headers": [(b"sec-websocket-protocol", b"x")]},
    "accept with extension header": {"type": "websocket.accept", "headers": [(b"Sec-WebSocket-Extensions", b"x")]},
    "accept with bytes": {"type": "websocket.accept", "subprotocol": b"x"},
    "close with 1005": {"type": "websocket.close", "code": 1005},
    "both": {"type": "websocket.send", "text": "x", "bytes": b"y"},
    "neither": {"type": "websocket.send"},
    "text of bytes": {"type": "websocket.send", "text": b"x"},
    "accept twice": {"type": "websocket.accept"},
}


async def websocket(scope, receive, send):
    path, query = scope["path"], scope["query_string"].decode()
    connect = await receive()
    assert connect == {"type": "websocket.connect"}, connect
    if path == "/deny":
        await send({"type": "websocket.close"})
        SEEN.append((await receive())["type"])
        return
    if path == "/deny-http":
        assert "websocket.http.response" in scope["extensions"]
        await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-why", b"who are you")]})
        await send({"type": "websocket.http.response.body", "body": b"not ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"you"})
        SEEN.append(await tried(send, {"type": "websocket.accept"}))
        return
    if path == "/raise":
        raise RuntimeError("raised before accept")
    if path == "/return":
        return
    if path == "/never":
        SEEN.append((await receive()))
        return
    if path == "/wrong":
        said = await tried(send, WS_WRONG[query.replace("%20", " ")])
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": said})
        return
    if path == "/protocol":
        await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][-1],
                    "headers": [(b"x-greeting", b"hi"), (b"set-cookie", b"a=1")]})
    else:
        await send({"type": "websocket.accept"})
    if path == "/scope":
        await send({"type": "websocket.send", "text": shown(scope)})
    elif path == "/open-wrong":
        await send({"type": "websocket.send", "text": await tried(send, WS_WRONG[query.replace("%20", " ")])})
    elif path == "/close":
        code, _, reason = query.partition(",")
        await send({"type": "websocket.close", **({"code": int(code), "reason": reason} if code else {})})
        SEEN.append(await receive())
        SEEN.append((await tried(send, {"type": "websocket.send", "text": "x"})).partition(":")[0])
        return
    elif path == "/late":
        raise RuntimeError("raised behind accept")
    elif path == "/done":
        return
    elif path == "/none":
        await send({"type": "websocket.send", "text": None, "bytes": b"only bytes"})
        await send({"type": "websocket.send", "text": "only text", "bytes": None})
    elif path == "/flood":
        for i in range(int(query)):
            await send({"type": "websocket.send", "bytes": b"z" * 10000})
            SEEN[:] = [i + 1]
    elif path == "/lazy":
        await event("lazy").wait()
    while True:
        m = await receive()
        if m["type"] == "websocket.disconnect":
            SEEN.append(m)
            note("disconnect %d" % m["code"])
            return
        assert m["type"] == "websocket.receive"
        if m.get("text") == "pid":
            m = {"text": str(os.getpid())}
        if m.get("text") == "size":
            m = {"text": str(len(await asyncio.wait_for(next_bytes(receive), 30)))}
        await send({"type": "websocket.send", **{k: m[k] for k in ("text", "bytes") if k in m}})


async def next_bytes(receive):
    return (await receive())["bytes"]


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif scope["type"] == "http":
        await http(scope, receive, send)
    elif scope["type"] == "websocket":
        await websocket(scope, receive, send)
    else:
        raise ValueError(scope["type"])
