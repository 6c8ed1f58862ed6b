"""FastCGI's records on the backend's side, for backends that behave as the test says."""

import struct

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR = range(1, 8)


def record(kind, data=b"", padding=0, number=1):
    return struct.pack(">BBHHBx", 1, kind, number, len(data), padding) + data + b"\0" * padding


def end(protocol=0, app=0, padding=0):
    return record(END, struct.pack(">IB3x", app, protocol), padding)


def said(head=b"Content-Type: text/plain", body=b"hello", errors=b""):
    """A whole answer as PHP sends it."""
    out = head + b"\r\n\r\n" + body
    records = [record(STDOUT, out[at:at + 60000], 4) for at in range(0, len(out), 60000)]
    return (record(STDERR, errors) if errors else b"") + b"".join(records) + end()


def read_record(reader):
    head = reader.read(8)
    if not head:
        return None
    version, kind, number, length, padding = struct.unpack(">BBHHBx", head)
    assert version == 1 and number == 1
    data = reader.read(length)
    assert len(data) == length and len(reader.read(padding)) == padding
    return kind, data


def pairs(data):
    """Whole pairs only."""
    out, at = [], 0

    def length(at):
        if data[at] < 128:
            return data[at], at + 1
        return struct.unpack(">I", data[at:at + 4])[0] & 0x7fffffff, at + 4
    while at < len(data):
        name, at = length(at)
        value, at = length(at)
        assert at + name + value <= len(data)
        out.append((data[at:at + name].decode(), data[at + name:at + name + value].decode()))
        at += name + value
    return out


def question(talk):
    """The next request: its variables, its body, how many records of variables; None at the connection's end."""
    first = read_record(talk.reader)
    if first is None:
        return None
    assert first == (BEGIN, b"\0\1\1\0\0\0\0\0"), first
    variables, body, records = [], b"", 0
    while (got := read_record(talk.reader))[1]:
        assert got[0] == PARAMS
        variables += pairs(got[1])
        records += 1
    assert got[0] == PARAMS
    while (got := read_record(talk.reader))[1]:
        assert got[0] == STDIN
        body += got[1]
    assert got[0] == STDIN and len(dict(variables)) == len(variables)
    return dict(variables), body, records


def answering(*answers):
    """A script of Backend: each question is answered by the next of these, the last one for ever; bytes, or
    what they are of (variables, body, records)."""
    def script(talk):
        at = 0
        while (got := question(talk)) is not None:
            it = answers[min(at, len(answers) - 1)]
            at += 1
            talk.send(it(*got) if callable(it) else it)
    return script
