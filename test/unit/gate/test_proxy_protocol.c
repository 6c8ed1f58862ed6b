/*
 * test_proxy_protocol.c: PROXY headers of both versions: what is told, what is passed over, what is
 * refused; and each of them cut at every byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gate.h"
#include "proxy_protocol.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIG "\r\n\r\n\0\r\nQUIT\n"
/* A string literal's bytes and their number, without the NUL. */
#define B(s) (s), sizeof(s) - 1

/* The end of a gate, which the process defines. */
void gate_drained(struct gate *g)
{
	(void)g;
}

static int parse(const char *p, size_t n, struct proxy_header *h)
{
	/* Exactly as many bytes as there are, so that a sanitizer sees what reads on. */
	char *copy = malloc(n ? n : 1);
	int res;

	assert_non_null(copy);
	memcpy(copy, p, n);
	res = proxy_parse(copy, n, h);
	free(copy);
	return res;
}

static const char *text_of(const uint8_t address[16])
{
	static char text[46];
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool v4 = memcmp(address, mapped, sizeof(mapped)) == 0;

	return inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? address + 12 : address, text, sizeof(text));
}

/* Whole, with bytes behind it, and cut at each byte: then more is needed, and nothing is told. */
static struct proxy_header good(const char *p, size_t n)
{
	struct proxy_header h, part;
	char more[5000];

	assert_int_equal(parse(p, n, &h), (int)n);
	memcpy(more, p, n);
	memcpy(more + n, "GET /", 5);
	assert_int_equal(parse(more, n + 5, &part), (int)n);
	assert_memory_equal(&part, &h, sizeof(h));
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(parse(p, i, &part), 0);
		assert_false(part.known);
	}
	return h;
}

static void bad(const char *p, size_t n, int err)
{
	struct proxy_header h;

	assert_int_equal(parse(p, n, &h), err);
	assert_false(h.known);
}

static void v1_says_who(void **state)
{
	struct proxy_header h = good(B("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"));

	(void)state;
	assert_true(h.known && !h.tls);
	assert_string_equal(text_of(h.from), "192.0.2.7");
	assert_string_equal(text_of(h.to), "198.51.100.1");
	assert_int_equal(h.from_port, 56324);
	assert_int_equal(h.to_port, 443);
	h = good(B("PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n"));
	assert_string_equal(text_of(h.from), "2001:db8::7");
	assert_int_equal(h.to_port, 65535);
	/* The longest that there is, with its 104 bytes and their end, and two more of UNKNOWN. */
	h = good(B("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"));
	assert_true(h.known);
	h = good(B("PROXY UNKNOWN\r\n"));
	assert_false(h.known);
	h = good(B("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"));
	assert_false(h.known);
}

static void v1_refused(void **state)
{
	static const char *const lines[] = {"GET / HTTP/1.1\r\n", "PROXY\r\n", "PROXX TCP4\r\n",
		"PROXY TCP4\r\n", "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
		"PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 0x1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3 1 2\r\n", "PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n",
		"PROXY TCP4 ::1 ::1 1 2\r\n", "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP6 ::g ::1 1 2\r\n", "PROXY TCP4 1.2.3.4\r\nGET /\r\n"};
	char line[256];

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		bad(lines[i], strlen(lines[i]), -EBADMSG);
	bad(B("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n"), -EBADMSG);
	/* A word that is longer than the longest address. */
	bad(B("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:f:f 1.2.3.4 1 2\r\n"), -EBADMSG);
	memset(line, 'x', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	bad(line, PROXY_V1_MAX, -EMSGSIZE);
	bad(line, sizeof(line), -EMSGSIZE);
	memcpy(line + PROXY_V1_MAX - 2, "\r\n", 2);
	(void)good(line, PROXY_V1_MAX);
	/* An end that comes a byte too late is no end. */
	memset(line + 14, 'x', 200);
	memcpy(line + PROXY_V1_MAX - 1, "\r\n", 2);
	bad(line, PROXY_V1_MAX + 1, -EMSGSIZE);
	/* No number of bytes makes a beginning of what is none. */
	bad(B("P\r"), -EBADMSG);
	bad(B("G"), -EBADMSG);
}

static void v2_says_who(void **state)
{
	struct proxy_header h =
		good(B(SIG "\x21\x11\0\x0c\xc0\0\2\7\xc6\x33\x64\1\xdc\x04\x01\xbb"));

	(void)state;
	assert_true(h.known && !h.tls);
	assert_string_equal(text_of(h.from), "192.0.2.7");
	assert_string_equal(text_of(h.to), "198.51.100.1");
	assert_int_equal(h.from_port, 56324);
	assert_int_equal(h.to_port, 443);
	h = good(B(SIG "\x21\x21\0\x24 \1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\7"
		       " \1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\1\xff\xff"));
	assert_true(h.known);
	assert_string_equal(text_of(h.from), "2001:db8::7");
	assert_string_equal(text_of(h.to), "2001:db8::1");
	assert_int_equal(h.from_port, 1);
	assert_int_equal(h.to_port, 65535);
	/* Fields behind the addresses: one that is not known, an empty one, and the client's TLS. */
	h = good(B(SIG "\x21\x11\0\x1d\xc0\0\2\7\xc6\x33\x64\1\xdc\x04\x01\xbb"
		       "\x05\0\3abc\x04\0\0\x20\0\5\1\0\0\0\0"));
	assert_true(h.known && h.tls);
	h = good(B(SIG "\x21\x11\0\x14\xc0\0\2\7\xc6\x33\x64\1\xdc\x04\x01\xbb"
		       "\x20\0\5\0\0\0\0\0"));
	assert_true(h.known && !h.tls);
}

static void v2_without_addresses(void **state)
{
	char unix_header[16 + 216] = SIG "\x21\x31\0\xd8/run/a";

	(void)state;
	/* LOCAL, with and without something behind it; UNSPEC; datagrams; a Unix socket. */
	assert_false(good(B(SIG "\x20\0\0\0")).known);
	assert_false(good(B(SIG "\x20\x11\0\x0c\xc0\0\2\7\xc6\x33\x64\1\xdc\x04\x01\xbb")).known);
	assert_false(good(B(SIG "\x20\x11\0\3abc")).known);
	assert_false(good(B(SIG "\x21\0\0\0")).known);
	assert_false(good(B(SIG "\x21\0\0\3abc")).known);
	assert_false(good(B(SIG "\x21\x12\0\x0c\xc0\0\2\7\xc6\x33\x64\1\xdc\x04\x01\xbb")).known);
	assert_false(good(unix_header, sizeof(unix_header)).known);
}

static void v2_refused(void **state)
{
	char large[PROXY_V2_MAX + 16] = SIG "\x20\0";

	(void)state;
	bad(B("\r\n\r\n\0\r\nQUIT\r"), -EBADMSG);
	bad(B("\r\n\r\nG"), -EBADMSG);
	bad(B(SIG "\x11"), -EBADMSG);                 /* another version */
	bad(B(SIG "\x22"), -EBADMSG);                 /* another command */
	bad(B(SIG "\x21\x41"), -EBADMSG);             /* another family */
	bad(B(SIG "\x21\x13"), -EBADMSG);             /* another transport */
	bad(B(SIG "\x21\x11\0\x0b" "01234567890"), -EBADMSG); /* too short for its addresses */
	bad(B(SIG "\x21\x21\0\x0c" "012345678901"), -EBADMSG);
	bad(B(SIG "\x21\x31\0\x0c" "012345678901"), -EBADMSG);
	/* A field that is cut, one that runs over the end, and too little of TLS. */
	bad(B(SIG "\x21\x11\0\x0e" "012345678901" "\x05\0"), -EBADMSG);
	bad(B(SIG "\x21\x11\0\x10" "012345678901" "\x05\0\2a"), -EBADMSG);
	bad(B(SIG "\x21\x11\0\x13" "012345678901" "\x20\0\4\1\0\0\0"), -EBADMSG);
	/* The bound is of what is announced, not of what has come. */
	bad(B(SIG "\x20\0\x0f\xf1"), -EMSGSIZE);
	bad(B(SIG "\x21\x11\xff\xff"), -EMSGSIZE);
	large[14] = 0x0f;
	large[15] = (char)0xf0;
	assert_false(good(large, PROXY_V2_MAX).known);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v1_says_who),
		cmocka_unit_test(v1_refused),
		cmocka_unit_test(v2_says_who),
		cmocka_unit_test(v2_without_addresses),
		cmocka_unit_test(v2_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
