"""How long is the body? Content-Length and Transfer-Encoding (RFC 9112 section 6)."""

from .shape import CUT, ENDS, bad, get, post, to

LENGTH = "An invalid Content-Length is an unrecoverable error: 400 and close."
TWICE = "stricter: equal lengths MAY be taken as one; a backend that takes the first and one that takes the last never meet then."
BOTH = "Content-Length beside Transfer-Encoding: a server MAY refuse, and stead does; it is the oldest way to smuggle."
CODING = "A transfer coding that is not known: 501."
NOT = "That is not the coding's name: it is never read as chunked."
END = b"0\r\n\r\n"
IN = b"GET /in HTTP/1.1\r\nHost: h\r\n\r\n"
TE = b"Transfer-Encoding: "
CL = b"Content-Length: "


def cl(value, body=b"12345"):
    return post(CL + value, body=body)


def te(value, body=b"5\r\n12345\r\n" + END):
    return post(TE + value, body=body)


P = b"POST"
ROWS = [
    ("a length", cl(b"5"), to(method=P, body=b"12345"), "9112 6.2", "The plain form."),
    ("length 0", cl(b"0", b""), to(method=P, has=[b"content-length: 0"]), "9112 6.2", "No body, and it is said."),
    ("POST without a length", post(), to(method=P, has=[b"content-length: 0"]), "9112 6.3", "No length, no body: the backend is told so."),
    ("leading zeros", cl(b"0005"), to(method=P, body=b"12345", has=[b"content-length: 5"]), "9110 8.6", "1*DIGIT: decimal, and one form goes on."),
    ("leading zeros that look octal", cl(b"010", b"1234567890"), to(method=P, body=b"1234567890"), "9110 8.6", "Decimal, never octal."),
    ("blanks around a length", cl(b"  5\t "), to(method=P, body=b"12345"), "9112 5", "OWS is no part of the value."),
    ("a body that is a request", cl(b"29", IN), to(method=P, body=IN), "9112 6.2", "What is inside a body is never a request."),
    ("a length on GET of 0", get(CL + b"0"), to(), "9110 8.6", "No body."),
    ("an empty length", cl(b""), bad(), "9112 6.3", LENGTH),
    ("a length with a plus", cl(b"+5"), bad(), "9112 6.3", LENGTH),
    ("a negative length", cl(b"-5"), bad(), "9112 6.3", LENGTH),
    ("minus zero", cl(b"-0"), bad(), "9112 6.3", LENGTH),
    ("a length in hexadecimal", cl(b"0x5"), bad(), "9112 6.3", LENGTH),
    ("a length in hexadecimal digits", cl(b"a"), bad(), "9112 6.3", LENGTH),
    ("a length with a point", cl(b"5.0"), bad(), "9112 6.3", LENGTH),
    ("a length with an exponent", cl(b"5e0"), bad(), "9112 6.3", LENGTH),
    ("a length with an underscore", cl(b"1_0"), bad(), "9112 6.3", "Some languages read 10."),
    ("two lengths with a blank", cl(b"5 5"), bad(), "9112 6.3", LENGTH),
    ("a length and text", cl(b"5 bytes"), bad(), "9112 6.3", LENGTH),
    ("a length and a semicolon", cl(b"5;a=b"), bad(), "9112 6.3", LENGTH),
    ("a quoted length", cl(b'"5"'), bad(), "9112 6.3", LENGTH),
    ("a length in wide digits", cl("\uff15".encode()), bad(), "9112 6.3", "Only ASCII's digits are digits."),
    ("a length in Arabic digits", cl("\u0665".encode()), bad(), "9112 6.3", "Only ASCII's digits are digits."),
    ("a superscript length", cl(b"\xb2"), bad(), "9112 6.3", "Only ASCII's digits are digits."),
    ("a length and a no-break space", cl(b"5\xa0"), bad(), "9112 6.3", LENGTH),
    ("a length and a vertical tab", cl(b"5\x0b"), bad(), "9110 5.5", "A control character in a value."),
    ("a length and a NUL", cl(b"5\0"), bad(), "9110 5.5", "A NUL in a value."),
    ("a length of 2^63", cl(b"9223372036854775808"), bad(400, 413), "9110 8.6", "Overflow must not happen: refused."),
    ("a length of 2^64", cl(b"18446744073709551616"), bad(400, 413), "9110 8.6", "Overflow must not happen."),
    ("a length of 2^64 + 5", cl(b"18446744073709551621"), bad(400, 413), "9110 8.6", "Cut to 64 bits it would be 5."),
    ("a length of 2^32 + 5", cl(b"4294967301"), bad(413), "9110 8.6", "Cut to 32 bits it would be 5; more than the site takes."),
    ("a length of a hundred nines", cl(b"9" * 100), bad(400, 413), "9110 8.6", "Overflow must not happen."),
    ("a length of twenty zeros and 5", cl(b"0" * 20 + b"5"), bad(), "9110 8.6", "stricter: no number that fits needs 21 digits."),
    ("two equal lengths", post(CL + b"5", CL + b"5", body=b"12345"), bad(), "9112 6.3", TWICE),
    ("two different lengths", post(CL + b"5", CL + b"0", body=b"12345"), bad(), "9112 6.3", LENGTH),
    ("a list of equal lengths", cl(b"5, 5"), bad(), "9112 6.3", TWICE),
    ("a list of different lengths", cl(b"5, 0"), bad(), "9112 6.3", LENGTH),
    ("a length and an empty one", post(CL + b"5", b"Content-Length:", body=b"12345"), bad(), "9112 6.3", LENGTH),
    ("a length and a comma", cl(b"5,"), bad(), "9112 6.3", LENGTH),
    ("a comma and a length", cl(b",5"), bad(), "9112 6.3", LENGTH),
    ("lengths that differ in zeros", post(CL + b"5", CL + b"05", body=b"12345"), bad(), "9112 6.3", TWICE),
    ("a body shorter than its length", cl(b"10"), (CUT,), "9112 8", "An incomplete message is never forwarded as a whole one."),
    ("no body where one was told", cl(b"5", b""), (CUT,), "9112 8", "An incomplete message."),
    ("a body longer than its length", cl(b"5", b"12345GARBAGE / HTTP/1.1\r\n\r\n"), to(method=P, body=b"12345") + bad(), "9112 6.2", "What follows is the next message, and this one is none (no Host)."),
    ("CR LF behind a body", cl(b"5", b"12345\r\n"), to(method=P, body=b"12345"), "9112 2.2", "Old clients sent one; it is the empty line before the next request."),
    ("a body in 1.0 by length", b"POST / HTTP/1.0\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345", to(method=P, body=b"12345") + (ENDS,), "9112 6.3", "A length means the same in 1.0."),
    ("a body in 1.0 without a length", b"POST / HTTP/1.0\r\nHost: h\r\n\r\n12345", to(method=P) + (ENDS,), "9112 6.3", "No length, no body: a request is never read until the end of a connection."),
    # Transfer-Encoding
    ("chunked", te(b"chunked"), to(method=P, body=b"12345"), "9112 6.1", "The plain form."),
    ("Chunked in capitals", te(b"CHUNKED"), to(method=P, body=b"12345", has=[b"transfer-encoding: chunked"]), "9112 7", "Names of codings are the same in any case; one form goes on."),
    ("cHuNkEd", te(b"cHuNkEd"), to(method=P, body=b"12345", has=[b"transfer-encoding: chunked"]), "9112 7", "As above."),
    ("chunked with blanks", te(b" \tchunked \t"), to(method=P, body=b"12345"), "9112 5", "OWS is no part of the value."),
    ("GET with a chunked body", get(TE + b"chunked") + b"5\r\n12345\r\n" + END, to(body=b"12345"), "9112 6.1", "Framed: passed."),
    ("GET with an empty chunked body", get(TE + b"chunked") + END, to(), "9112 7.1", "An empty body."),
    ("a chunked body that is a request", te(b"chunked", b"1d\r\n" + IN + b"\r\n" + END), to(method=P, body=IN), "9112 7.1", "What is inside a body is never a request."),
    ("chunked and a length", post(TE + b"chunked", CL + b"5", body=b"5\r\n12345\r\n" + END), bad(), "9112 6.3", BOTH),
    ("a length and chunked", post(CL + b"5", TE + b"chunked", body=b"5\r\n12345\r\n" + END), bad(), "9112 6.3", BOTH),
    ("chunked and the right length", post(CL + b"15", TE + b"chunked", body=b"5\r\n12345\r\n" + END), bad(), "9112 6.3", BOTH),
    ("chunked and length 0", post(CL + b"0", TE + b"chunked", body=END), bad(), "9112 6.3", BOTH),
    ("CL.TE: a request behind the last chunk", post(CL + b"33", TE + b"chunked", body=END + IN), bad(), "9112 6.3", BOTH),
    ("TE.CL: a request in a chunk", post(CL + b"4", TE + b"chunked", body=b"1d\r\n" + IN + b"\r\n" + END), bad(), "9112 6.3", BOTH),
    ("chunked and a bad length", post(CL + b"x", TE + b"chunked", body=END), bad(), "9112 6.3", BOTH),
    ("chunked and two lengths", post(CL + b"5", CL + b"6", TE + b"chunked", body=END), bad(), "9112 6.3", BOTH),
    ("chunked in 1.0", b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + END, bad(), "9112 6.1", "Its framing is to be taken as faulty: 400 and close."),
    ("chunked and a length in 1.0", b"POST / HTTP/1.0\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n12345", bad(), "9112 6.1", "As above."),
    ("chunked twice in a list", te(b"chunked, chunked"), bad(), "9112 6.1", "A sender MUST NOT apply chunked more than once."),
    ("chunked in two lines", post(TE + b"chunked", TE + b"chunked", body=END), bad(), "9112 6.1", "A sender MUST NOT apply chunked more than once."),
    ("chunked, then identity", te(b"chunked, identity"), bad(), "9112 6.3", "chunked is not the last one: the length cannot be told, 400."),
    ("chunked and identity in two lines", post(TE + b"chunked", TE + b"identity", body=END), bad(), "9112 6.3", "chunked is not the last one."),
    ("identity and chunked in two lines", post(TE + b"identity", TE + b"chunked", body=END), bad(400, 501), "9112 7", "identity is no transfer coding any more."),
    ("identity", te(b"identity", b""), bad(501, 400), "9112 7", CODING),
    ("identity and a length", post(TE + b"identity", CL + b"5", body=b"12345"), bad(), "9112 6.3", BOTH),
    ("gzip", te(b"gzip"), bad(501, 400), "9112 6.3", "A request whose last coding is not chunked: 400; unknown: 501."),
    ("gzip, then chunked", te(b"gzip, chunked"), bad(501), "9112 6.1", CODING),
    ("gzip and chunked in two lines", post(TE + b"gzip", TE + b"chunked", body=END), bad(501, 400), "9112 6.1", CODING),
    ("deflate, then chunked", te(b"deflate, chunked"), bad(501), "9112 6.1", CODING),
    ("a coding nobody knows", te(b"frob"), bad(501, 400), "9112 6.1", CODING),
    ("an empty Transfer-Encoding", te(b"", b""), bad(400, 501), "9112 6.1", "Present and empty: two readers take it for there and for not there."),
    ("an empty Transfer-Encoding and a length", post(b"Transfer-Encoding:", CL + b"5", body=b"12345"), bad(), "9112 6.3", BOTH),
    ("a comma before chunked", te(b", chunked"), bad(400, 501), "9110 5.6.1", "stricter: empty elements may be ignored; not here."),
    ("a comma behind chunked", te(b"chunked,"), bad(400, 501), "9110 5.6.1", "stricter: empty elements may be ignored; not here."),
    ("chunked and a parameter", te(b"chunked;q=1"), bad(400, 501), "9112 7.1", "chunked has no parameters; a recipient should take them for an error."),
    ("quoted chunked", te(b'"chunked"'), bad(501, 400), "9112 7", NOT),
    ("chunked in apostrophes", te(b"'chunked'"), bad(501, 400), "9112 7", NOT),
    ("xchunked", te(b"xchunked"), bad(501, 400), "9112 7", NOT),
    ("chunkedx", te(b"chunkedx"), bad(501, 400), "9112 7", NOT),
    ("chunk", te(b"chunk"), bad(501, 400), "9112 7", NOT),
    ("chunked with a blank inside", te(b"chun ked"), bad(501, 400), "9112 7", NOT),
    ("x chunked", te(b"x chunked"), bad(501, 400), "9112 7", NOT),
    ("chunked in brackets", te(b"[chunked]"), bad(501, 400), "9112 7", NOT),
    ("a vertical tab before chunked", te(b"\x0bchunked"), bad(), "9110 5.5", "A control character in a value."),
    ("a vertical tab behind chunked", te(b"chunked\x0b"), bad(), "9110 5.5", "A control character in a value."),
    ("a NUL behind chunked", te(b"chunked\0"), bad(), "9110 5.5", "A NUL in a value."),
    ("a bare CR before chunked", te(b"\rchunked"), bad(), "9112 2.2", "A bare CR in a value."),
    ("a no-break space behind chunked", te(b"chunked\xa0"), bad(501, 400), "9112 7", NOT),
    ("a long s for chunked", te("chun\u212aed".encode()), bad(501, 400), "9112 7", "Lower-casing by Unicode would make it chunked."),
    ("Transfer-Encoding of another name", post(b"Transfer-Encodin: chunked", CL + b"5", body=b"12345"), to(method=P, body=b"12345", has=[b"transfer-encodin: chunked"]), "9110 5.1", "Just another field."),
    ("Content-Length of another name", post(b"Content-Lengths: 99", CL + b"5", body=b"12345"), to(method=P, body=b"12345"), "9110 5.1", "Just another field."),
    ("X-Transfer-Encoding", post(b"X-Transfer-Encoding: chunked", CL + b"5", body=b"12345"), to(method=P, body=b"12345"), "9110 5.1", "Just another field."),
    ("Content-Encoding: chunked", post(b"Content-Encoding: chunked", CL + b"5", body=b"12345"), to(method=P, body=b"12345", has=[b"content-encoding: chunked"]), "9110 8.4", "A content coding frames nothing."),
    ("Transfer-Encoding behind a repeated CR", post(b"X: y\r", TE + b"chunked", body=END), bad(), "9112 2.2", "A bare CR is invalid."),
    ("Transfer-Encoding behind a LF", post(b"X: y\nTransfer-Encoding: chunked", body=END), bad(), "9112 2.2", "stricter: a lone LF is no line end."),
    ("Content-Length behind a LF in a value", post(b"X: y\nContent-Length: 5", body=b"12345"), bad(), "9112 2.2", "stricter: a lone LF is no line end."),
    ("two bodies: chunked then length, pipelined", te(b"chunked") + cl(b"5"), to(method=P, body=b"12345") + to(method=P, body=b"12345"), "9112 9.3.2", "Each is framed by itself."),
]
