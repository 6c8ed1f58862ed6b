"""WebSocket messages compressed (RFC 7692), into an ASGI app: only when the client offers it, each message by itself,
bounded by the message's limit. With a client that hides nothing, and with Python's websockets."""

import asyncio
import zlib

import pytest

from test_asgi import site, up  # noqa: F401 (fixtures)
from test_asgi_ws import disconnect, saw
from wsclient import BINARY, TEXT, WebSocket

OFFER = "permessage-deflate; client_max_window_bits"
AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
LIMIT = 16 * 1024 * 1024


def small(data, final=False):
    how = zlib.compressobj(wbits=-15)
    out = how.compress(data) + how.flush(zlib.Z_FINISH if final else zlib.Z_SYNC_FLUSH)
    return out + b"\0" if final else out[:-4]


class Compressed(WebSocket):
    def __init__(self, port, path="/", offer=OFFER, **options):
        super().__init__(port, path, {"Sec-WebSocket-Extensions": offer}, **options)

    def put_small(self, opcode, data, **options):
        self.put(opcode, small(data), rsv=4, **options)

    def hear_raw(self):
        """(was it compressed, what it says): the next message, which is one frame."""
        first, second = self.exactly(2)
        assert first & 0xb0 == 0x80 and not second & 0x80, (first, second)
        n = second & 0x7f
        n = int.from_bytes(self.exactly({126: 2, 127: 8}[n]), "big") if n > 125 else n
        data = self.exactly(n)
        if first & 0x40:
            data = zlib.decompressobj(wbits=-15).decompress(data + b"\0\0\xff\xff")
        return bool(first & 0x40), data


@pytest.mark.smoke
def test_only_when_it_is_offered(up):  # noqa: F811
    one = up()
    for offer, agreed in ((OFFER, AGREED), ("permessage-deflate; server_max_window_bits=10", AGREED + "; server_max_window_bits=10"),
                          ("x-unknown, permessage-deflate", AGREED), ("permessage-deflate; server_max_window_bits=8", None),
                          ("permessage-deflate; nonsense", None), ("x-unknown", None), (None, None)):
        with Compressed(one.port, offer=offer) as ws:
            assert ws.opened and ws.shake["Sec-WebSocket-Extensions"] == agreed, offer
            ws.say("again and again " * 100)
            assert ws.hear_raw() == (agreed is not None, b"again and again " * 100), offer


def test_messages(up):  # noqa: F811
    """Each way compressed or not as its sender likes; empty, in pieces, many at once; nothing is kept from one to the next."""
    one = up()
    with Compressed(one.port) as ws:
        for data in (b"", b"x", b"Gr\xc3\xbc\xc3\x9fe", b"long " * 20000):
            ws.put_small(TEXT, data)
            assert ws.hear_raw() == (len(data) > 128, data)
            ws.put(BINARY, data)
            assert ws.hear_raw() == (len(data) > 128, data)
        ws.put(TEXT, small(b"the last block " * 3, final=True), rsv=4)
        assert ws.hear_raw() == (False, b"the last block " * 3)
        data = small("Grüße in pieces, Grüße in pieces".encode())
        ws.put(TEXT, data[:5], rsv=4, fin=False)
        ws.put(0, b"", fin=False)
        ws.put(0, data[5:])
        assert ws.hear_raw() == (False, "Grüße in pieces, Grüße in pieces".encode())
        for _ in range(300):
            ws.put_small(TEXT, b"same " * 100)
        assert [ws.hear_raw() for _ in range(300)] == [(True, b"same " * 100)] * 300


def test_what_a_client_must_not(up):  # noqa: F811
    one = up()
    bomb = zlib.compressobj(9, wbits=-15)
    bomb = bomb.compress(bytes(LIMIT + 1)) + bomb.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < 20000
    faults = [(BINARY, bomb[:-4], 4, 1009), (TEXT, small(b"\xff no text"), 4, 1007), (TEXT, small(b"cut \xc3"), 4, 1007),
              (BINARY, b"\x07 no deflate", 4, 1007), (BINARY, b"", 4, 1007), (TEXT, small(b"x"), 2, 1002), (9, small(b"x"), 4, 1002)]
    for opcode, data, rsv, code in faults:
        with Compressed(one.port) as ws:
            ws.put(opcode, data, rsv=rsv)
            assert ws.closing() == (code, ""), (data[:20], code)
            assert ws.ended()
        saw(one, disconnect(code))
    # Just the limit is a message; and who offered nothing may not send what is compressed.
    with Compressed(one.port) as ws:
        ws.put_small(BINARY, bytes(LIMIT))
        assert ws.hear_raw() == (True, bytes(LIMIT))
    with WebSocket(one.port) as ws:
        ws.put(TEXT, small(b"x"), rsv=4)
        assert ws.closing() == (1002, "")


def test_with_websockets(up):  # noqa: F811
    """Another's implementation, with what it offers by itself."""
    one = up()
    websockets = pytest.importorskip("websockets")

    async def talk():
        async with websockets.connect(f"ws://127.0.0.1:{one.port}/", max_size=None) as ws:
            assert [e.name for e in ws.extensions] == ["permessage-deflate"]
            for message in ("hello", "", "Grüße 🎈 " * 1000, b"\x00\xff" * 50000, "z" * 300000):
                await ws.send(message)
                assert await ws.recv() == message
            await ws.send(["in ", "several ", "fragments"])
            assert await ws.recv() == "in several fragments"
        assert ws.close_code == 1000
    asyncio.run(asyncio.wait_for(talk(), 60))
