/*
 * test_parse_bounds.c: what parsers of HTTP/1 do at their bounds: lines, heads, fields, chunks and trailers that are
 * just too long, forms that few clients send, and the heads of backends. What ordinary bytes mean is in test_parse.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http1_parse.h"
#include "httpdate.h"
#include "lib/must.h"
#include "range.h"
#include "target.h"
#include "up_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct http1_head head;
static char mem[3 * HTTP1_HEAD_MAX];

static int parse_of(size_t head_max, const char *text)
{
	size_t n = strlen(text);

	must(n < sizeof(mem));
	memmove(mem, text, n + 1);
	return http1_parse_head(mem, n, head_max, &head);
}

static int parse(const char *text)
{
	return parse_of(HTTP1_HEAD_MAX, text);
}

static int scan(const char *text, size_t head_max)
{
	size_t at = 0;

	return http1_scan_head(text, strlen(text), head_max, &at);
}

/* "FROM", then `times` pieces, then "TO", in memory of its own. */
static char *many(const char *from, const char *piece, size_t times, const char *to)
{
	size_t n = strlen(piece);
	char *text = malloc(strlen(from) + n * times + strlen(to) + 1), *p = text;

	must(text);
	p = stpcpy(p, from);
	while (times--)
		p = stpcpy(p, piece);
	stpcpy(p, to);
	return text;
}

static int parse_many(const char *from, const char *piece, size_t times, const char *to)
{
	char *text = many(from, piece, times, to);
	int res = parse(text);

	free(text);
	return res;
}

static void methods(void **state)
{
	static const struct {
		const char *name;
		enum method method;
	} rows[] = {{"GET", METHOD_GET}, {"PUT", METHOD_PUT}, {"POST", METHOD_POST}, {"HEAD", METHOD_HEAD},
		{"PATCH", METHOD_PATCH}, {"TRACE", METHOD_TRACE}, {"DELETE", METHOD_DELETE},
		{"OPTIONS", METHOD_OPTIONS}, {"CONNECT", METHOD_CONNECT}, {"get", METHOD_OTHER},
		{"HEAP", METHOD_OTHER}, {"TRACY", METHOD_OTHER}, {"DELETS", METHOD_OTHER},
		{"CONNEXT", METHOD_OTHER}, {"PROPFIND", METHOD_OTHER}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[64];

		snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: a:1\r\n\r\n", rows[i].name,
			rows[i].method == METHOD_CONNECT ? "a:1" : "/");
		assert_int_equal(parse(text), strlen(text));
		assert_int_equal(head.method, rows[i].method);
	}
}

static void long_lines(void **state)
{
	(void)state;
	/* without an end in sight, in the method, in the target and before the version */
	assert_int_equal(parse_many("", "A", HTTP1_LINE_MAX, ""), 0);
	assert_int_equal(parse_many("", "A", HTTP1_LINE_MAX + 1, ""), -CLOSE_LINE_TOO_LONG);
	assert_int_equal(parse_many("GET /", "a", HTTP1_LINE_MAX, ""), -CLOSE_LINE_TOO_LONG);
	assert_int_equal(parse_many("GET /", "a", HTTP1_LINE_MAX - 5, " HT"), -CLOSE_LINE_TOO_LONG);
	/* and with it */
	assert_true(parse_many("GET /", "a", HTTP1_LINE_MAX - 5, " HTTP/1.1\r\nHost: a\r\n\r\n") > 0);
	assert_int_equal(parse_many("GET /", "a", HTTP1_LINE_MAX, " HTTP/1.1\r\nHost: a\r\n\r\n"), -CLOSE_LINE_TOO_LONG);
	/* the empty line before a request may come in two pieces */
	assert_int_equal(parse("\r"), 0);
	assert_int_equal(parse("\rG"), -CLOSE_BAD_REQUEST);
	assert_true(parse("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n") > 0);
}

static void large_heads(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n";
	size_t n = strlen(text);

	(void)state;
	assert_int_equal(parse_of(n, text), n);
	assert_int_equal(parse_of(n - 1, text), -CLOSE_HEAD_TOO_LARGE);
	assert_int_equal(parse_of(n - 2, "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n"), -CLOSE_HEAD_TOO_LARGE);
	assert_int_equal(parse_of(n - 1, "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n"), 0);
	assert_true(parse_many("GET / HTTP/1.1\r\nHost: a\r\n", "A: b\r\n", REQ_FIELDS_MAX - 1, "\r\n") > 0);
	assert_int_equal(head.nfields, REQ_FIELDS_MAX);
	assert_int_equal(parse_many("GET / HTTP/1.1\r\nHost: a\r\n", "A: b\r\n", REQ_FIELDS_MAX, "\r\n"), -CLOSE_HEAD_TOO_LARGE);
}

static void scanned_heads(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
	size_t n = strlen(text);
	char *line;

	(void)state;
	assert_int_equal(scan(text, n), n);
	assert_int_equal(scan(text, n - 1), -CLOSE_HEAD_TOO_LARGE);
	assert_int_equal(scan("GET / HTTP/1.1\r\nHost: a\r\n", n - 2), -CLOSE_HEAD_TOO_LARGE);
	assert_int_equal(scan("\n", n), -CLOSE_BAD_REQUEST);
	assert_int_equal(scan("GET /\n", n), -CLOSE_BAD_REQUEST);
	assert_int_equal(scan("GET /\rx", n), -CLOSE_BAD_REQUEST);
	assert_int_equal(scan("\r\nG", n), 0);
	line = many("GET /", "a", HTTP1_LINE_MAX - 5, "");
	assert_int_equal(scan(line, HTTP1_HEAD_MAX), -CLOSE_LINE_TOO_LONG);
	free(line);
	line = many("GET / HTTP/1.1\r\nA: ", "a", HTTP1_LINE_MAX, "");
	assert_int_equal(scan(line, HTTP1_HEAD_MAX), 0);
	free(line);
}

static void rare_targets(void **state)
{
	(void)state;
	assert_true(parse("GET https://h/x HTTP/1.1\r\nHost: a\r\n\r\n") > 0);
	assert_int_equal(parse("GET https:/h/x HTTP/1.1\r\nHost: a\r\n\r\n"), -CLOSE_BAD_TARGET);
	assert_int_equal(parse("GET http:/h/xyz HTTP/1.1\r\nHost: a\r\n\r\n"), -CLOSE_BAD_TARGET);
	assert_int_equal(parse("GET http://h_:0/ HTTP/1.1\r\nHost: a\r\n\r\n"), -CLOSE_BAD_TARGET);
	assert_int_equal(parse("OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n"), -CLOSE_BAD_TARGET);
	assert_int_equal(parse("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n"), -CLOSE_BAD_TARGET);
	assert_int_equal(parse("CONNECT a/b HTTP/1.1\r\nHost: a\r\n\r\n"), -CLOSE_BAD_TARGET);
	/* Host takes its new value wherever it stands, behind a name of as many letters too. */
	assert_true(parse("GET http://h/x HTTP/1.1\r\nDate: x\r\nA: b\r\nHost: a\r\n\r\n") > 0);
	assert_int_equal(head.fields[2].value_len, 1);
	assert_memory_equal(head.fields[2].value, "h", 1);
	assert_memory_equal(head.fields[0].value, "x", 1);
	/* HTTP/1.0 needs none. */
	assert_true(parse("GET http://h/x HTTP/1.0\r\nA: b\r\n\r\n") > 0);
	assert_int_equal(head.nfields, 1);
	assert_memory_equal(head.host, "h", 1);
}

static void hosts(void **state)
{
	static const struct {
		const char *text;
		unsigned len, port; /* len 0: none */
	} rows[] = {{"a", 1, 0}, {"a.", 1, 0}, {"A-b_c.d:65535", 7, 65535}, {"a:65536", 0, 0}, {"a:0", 0, 0},
		{"a:", 0, 0}, {"a:123456", 0, 0}, {"a:1x", 0, 0}, {"a:+1", 0, 0}, {"", 0, 0}, {".", 0, 0}, {"a..b", 0, 0},
		{"[::1]:80", 5, 80}, {"[::FFFF:1.2.3.4]", 16, 0}, {"[::1", 0, 0}, {"[1]", 0, 0}, {"[::G]", 0, 0},
		{"[::1]x", 0, 0}, {"[::/]", 0, 0}, {"[::g]", 0, 0}, {"[::\x1f]", 0, 0}, {"[::f]", 5, 0}, {"[::@]", 0, 0}};
	char text[300];
	uint32_t len;
	uint16_t port;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		memcpy(text, rows[i].text, strlen(rows[i].text) + 1);
		if (http1_parse_host(text, strlen(text), &len, &port) != (rows[i].len > 0))
			fail_msg("%s", rows[i].text);
		if (rows[i].len) {
			assert_int_equal(len, rows[i].len);
			assert_int_equal(port, rows[i].port);
		}
	}
	memset(text, 'a', sizeof(text));
	assert_false(http1_parse_host(text, 262, &len, &port));
	assert_true(http1_parse_host(text, 261, &len, &port));
}

static void framings(void **state)
{
	static const struct {
		const char *fields;
		int res; /* 0: a head */
	} rows[] = {
		{"Transfer-Encoding: chunked\r\n", 0},
		{"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", -CLOSE_BAD_FRAMING},
		{"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", -CLOSE_BAD_FRAMING},
		{"Transfer-Encoding: chunked, gzip\r\n", -CLOSE_BAD_FRAMING},
		{"Transfer-Encoding: gzip, chunked\r\n", -CLOSE_BAD_CODING},
		{"Transfer-Encoding: ,\r\n", -CLOSE_BAD_CODING},
		{"Transfer-Encoding: gzip\r\n", -CLOSE_BAD_CODING},
		{"Content-Length: 1\r\nContent-Length: 1\r\n", -CLOSE_BAD_FRAMING},
		{"Content-Length: 9223372036854775808\r\n", -CLOSE_BAD_FRAMING},
		{"Content-Length: 12345678901234567890\r\n", -CLOSE_BAD_FRAMING},
	};
	char text[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int n = snprintf(text, sizeof(text), "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n", rows[i].fields);

		assert_int_equal(parse(text), rows[i].res ? rows[i].res : n);
		/* HTTP/1.0 knows no codings: that is told before what is wrong with one. */
		n = snprintf(text, sizeof(text), "POST / HTTP/1.0\r\n%s\r\n", rows[i].fields);
		assert_int_equal(parse(text), -CLOSE_BAD_FRAMING);
	}
}

static void connections(void **state)
{
	(void)state;
	assert_true(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n") > 0);
	assert_true(head.keep_alive);
	assert_true(parse("GET / HTTP/1.0\r\nConnection: x\r\n\r\n") > 0);
	assert_false(head.keep_alive);
	assert_true(parse("GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n") > 0);
	assert_false(head.keep_alive);
	/* four lines that take fields away, of any length, are borne */
	assert_true(parse_many("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n", "Connection: x\r\n", 4, "\r\n") > 0);
	assert_int_equal(head.nfields, 1);
	assert_int_equal(parse_many("GET / HTTP/1.1\r\nHost: a\r\n", "Connection: x\r\n", 5, "\r\n"), -CLOSE_BAD_REQUEST);
	assert_int_equal(parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: a b\r\n\r\n"), -CLOSE_BAD_REQUEST);
	/* an offer to go over to something counts in HTTP/1.1, for this connection, once, before no body */
	assert_true(parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n") > 0);
	assert_non_null(head.upgrade);
	assert_true(parse("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n") > 0);
	assert_null(head.upgrade);
	assert_true(parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\n") > 0);
	assert_null(head.upgrade);
	assert_true(parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nUpgrade: y\r\n\r\n") > 0);
	assert_null(head.upgrade);
	assert_true(parse("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n") > 0);
	assert_null(head.upgrade);
}

static int chunks(const char *from, const char *piece, size_t times, const char *to)
{
	struct http1_chunks k = {0};
	char *text = many(from, piece, times, to);
	size_t n = strlen(text), len;
	const char *data;
	int64_t used = 0;

	for (size_t at = 0; at < n && used >= 0 && !http1_chunks_done(&k); at += (size_t)used)
		used = http1_chunks_take(&k, text + at, n - at, &data, &len);
	free(text);
	return used < 0 ? (int)used : http1_chunks_done(&k);
}

static void chunk_bounds(void **state)
{
	(void)state;
	/* sizes: 16 digits, and none that a number of 60 bits cannot hold */
	assert_int_equal(chunks("", "0", 16, "\r\n\r\n"), 1);
	assert_int_equal(chunks("", "0", 17, "\r\n\r\n"), -CLOSE_BAD_CHUNK);
	assert_int_equal(chunks("", "F", 15, "\r\n"), 0);
	assert_int_equal(chunks("", "f", 16, "\r\n"), -CLOSE_BAD_CHUNK);
	assert_int_equal(chunks("", ";", 1, "\r\n"), -CLOSE_BAD_CHUNK);
	assert_int_equal(chunks("", "g", 1, "\r\n"), -CLOSE_BAD_CHUNK);
	assert_int_equal(chunks("0\n", "", 0, ""), -CLOSE_BAD_CHUNK);
	/* extensions: of one chunk, and of all */
	assert_int_equal(chunks("0;", "a", HTTP1_EXT_MAX, "\r\n\r\n"), 1);
	assert_int_equal(chunks("0;", "a", HTTP1_EXT_MAX + 1, "\r\n\r\n"), -CLOSE_BAD_CHUNK);
	assert_int_equal(chunks("", "1;0123456789abcde\r\nx\r\n", HTTP1_EXT_ALL_MAX / 15, "0;x\r\n\r\n"), 1);
	assert_int_equal(chunks("", "1;0123456789abcde\r\nx\r\n", HTTP1_EXT_ALL_MAX / 15, "0;xx\r\n\r\n"), -CLOSE_BAD_CHUNK);
	assert_int_equal(chunks("0;a\t\"b\"", "", 0, "\r\n\r\n"), 1);
	assert_int_equal(chunks("0;\x7f", "", 0, "\r\n\r\n"), -CLOSE_BAD_CHUNK);
	assert_int_equal(chunks("0;\x01", "", 0, "\r\n\r\n"), -CLOSE_BAD_CHUNK);
	/* trailers: names are tokens, values texts, all of them bounded */
	assert_int_equal(chunks("0\r\nAz09!~: \t\x80\r\nzA: b\r\n9{", "", 0, ": b\r\n\r\n"), -CLOSE_BAD_CHUNK);
	assert_int_equal(chunks("0\r\nAz09!~: \t\x80\r\nzA: b\r\n9-Z", "", 0, ": b\r\n\r\n"), 1);
	assert_int_equal(chunks("0\r\n/", "", 0, ": b\r\n\r\n"), -CLOSE_BAD_CHUNK);
	assert_int_equal(chunks("0\r\n[", "", 0, ": b\r\n\r\n"), -CLOSE_BAD_CHUNK);
	assert_int_equal(chunks("0\r\na: ", "b", HTTP1_TRAILER_MAX - 20, "\r\n\r\n"), 1);
	assert_int_equal(chunks("0\r\na: ", "b", HTTP1_TRAILER_MAX, "\r\n\r\n"), -CLOSE_BAD_CHUNK);
	assert_int_equal(chunks("0\r\na: b\rx", "", 0, ""), -CLOSE_BAD_CHUNK);
	assert_int_equal(chunks("0\r\n\rx", "", 0, ""), -CLOSE_BAD_CHUNK);
}

static int trailers(const char *text, struct field *f, unsigned max)
{
	static char section[1000];

	must(strlen(text) < sizeof(section));
	memcpy(section, text, strlen(text) + 1);
	return http1_parse_trailers(section, strlen(section), f, max);
}

static void trailer_fields(void **state)
{
	struct field f[3];

	(void)state;
	assert_int_equal(trailers("A: b\r\nX-Forwarded-For: c\r\nContent-Length: 3\r\na_b: c\r\nX-Sum: d\r\n", f, 2), 2);
	assert_memory_equal(f[1].name, "x-sum", 5);
	assert_int_equal(trailers("x-forwarded: c\r\nx-forwarded-: d\r\n", f, 3), 2);
	assert_int_equal(trailers("A: b\r\nB: c\r\n", f, 1), -CLOSE_HEAD_TOO_LARGE);
	assert_int_equal(trailers("A: b\r\nB", f, 3), -CLOSE_BAD_CHUNK);
	assert_int_equal(trailers("A: b\r\n\r\n", f, 3), -CLOSE_BAD_CHUNK);
	assert_int_equal(trailers("A b\r\n", f, 3), -CLOSE_BAD_CHUNK);
}

static struct up_head up;
static struct up_parsed parsed;

static int answer(bool to_head, const char *text)
{
	size_t n = strlen(text);

	must(n < sizeof(mem));
	memmove(mem, text, n + 1);
	memset(&parsed, 0, sizeof(parsed));
	return up_parse_head(mem, n, to_head, &up, &parsed);
}

static int answer_many(const char *from, const char *piece, size_t times, const char *to)
{
	char *text = many(from, piece, times, to);
	int res = answer(false, text);

	free(text);
	return res;
}

static void answers_of_backends(void **state)
{
	static const struct {
		const char *text;
		bool to_head;
		enum up_framing framing;
		int64_t length;
		bool keep;
	} rows[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false, UP_FRAMED_LENGTH, 3, true},
		{"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, UP_FRAMED_NONE, 0, true},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, UP_FRAMED_CHUNKED, -1, true},
		{"HTTP/1.1 200 OK\r\n\r\n", false, UP_FRAMED_CLOSE, -1, false},
		{"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", false, UP_FRAMED_LENGTH, 3, false},
		{"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\n", false, UP_FRAMED_LENGTH, 3, true},
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true, UP_FRAMED_NONE, 3, true},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true, UP_FRAMED_NONE, -1, true},
		{"HTTP/1.1 304 N\r\nContent-Length: 3\r\n\r\n", false, UP_FRAMED_NONE, 3, true},
		/* a body where none can be must not be taken for the next answer */
		{"HTTP/1.1 204 N\r\nContent-Length: 3\r\n\r\n", false, UP_FRAMED_NONE, 0, false},
		{"HTTP/1.1 204 N\r\nTransfer-Encoding: chunked\r\n\r\n", false, UP_FRAMED_NONE, 0, false},
		{"HTTP/1.1 103 E\r\nTransfer-Encoding: chunked\r\n\r\n", false, UP_FRAMED_NONE, 0, false},
		{"HTTP/1.1 204 N\r\n\r\n", false, UP_FRAMED_NONE, 0, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (answer(rows[i].to_head, rows[i].text) != (int)strlen(rows[i].text))
			fail_msg("%s", rows[i].text);
		assert_int_equal(parsed.framing, rows[i].framing);
		assert_int_equal(up.content_length, rows[i].length);
		assert_int_equal(parsed.keep, rows[i].keep);
	}
}

static void backends_at_their_bounds(void **state)
{
	(void)state;
	assert_true(answer_many("HTTP/1.1 200 OK\r\n", "A: b\r\n", REQ_FIELDS_MAX, "\r\n") > 0);
	assert_int_equal(answer_many("HTTP/1.1 200 OK\r\n", "A: b\r\n", REQ_FIELDS_MAX + 1, "\r\n"), -CLOSE_UP_GARBAGE);
	assert_int_equal(answer_many("HTTP/1.1 200 OK\r\nA: ", "b", UP_HEAD_MAX, ""), -CLOSE_UP_GARBAGE);
	assert_int_equal(answer_many("HTTP/1.1 200 OK\r\nA: ", "b", UP_HEAD_MAX, "\r\n\r\n"), -CLOSE_UP_GARBAGE);
	assert_true(answer_many("HTTP/1.1 200 OK\r\nX: y\r\nVary: a\r\nLocatiom: z\r\n", "Connection: x, vary\r\n", 4, "\r\n") > 0);
	assert_int_equal(up.nfields, 2);
	assert_memory_equal(up.fields[0].name, "vary", 4);
	assert_memory_equal(up.fields[1].name, "locatiom", 8);
	assert_int_equal(answer_many("HTTP/1.1 200 OK\r\n", "Connection: x\r\n", 5, "\r\n"), -CLOSE_UP_GARBAGE);
	assert_int_equal(answer(false, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), -CLOSE_UP_GARBAGE);
	assert_int_equal(answer(false, "HTTP/1.1 101 S\r\n\r\n"), -CLOSE_UP_GARBAGE);
}

/* A request that may have no more memory has no decoded path. */
static void a_target_without_memory(void **state)
{
	struct arena_pool pool;
	struct req r = {.path_raw = "/%41", .path_raw_len = 4};

	(void)state;
	arena_pool_init(&pool, 4096, 1, 0);
	arena_init(&r.arena, &pool);
	while (arena_alloc(&r.arena, 8))
		;
	assert_false(target_parse(&r));
	arena_reset(&r.arena);
	arena_init(&r.arena, &pool);
	r.path_raw_len = 4;
	assert_true(target_parse(&r));
	assert_string_equal(r.path, "/A");
	arena_reset(&r.arena);
	arena_pool_done(&pool);
}

static void range_bounds(void **state)
{
	struct range r[RANGES_MAX];
	char *text;

	(void)state;
	/* numbers end at what a file cannot have: multiplied, and by the last digit */
	assert_int_equal(range_parse("bytes=18446744073709551616-", 27, 10, r), -1);
	assert_int_equal(range_parse("bytes=18446744073709551615-", 27, UINT64_MAX, r), -1);
	assert_int_equal(range_parse("bytes=-0", 8, 10, r), -1);
	assert_int_equal(range_parse("bytes=-", 7, 10, r), 0);
	assert_int_equal(range_parse("bytes=", 6, 10, r), 0);
	assert_int_equal(range_parse("bytes=1", 7, 10, r), 0);
	assert_int_equal(range_parse("bytes= \t2-\t", 11, 10, r), 1);
	assert_int_equal(r[0].from, 2);
	assert_int_equal(range_parse("bytes=0-/", 9, 10, r), 0);
	assert_int_equal(range_parse("bytes=0-:", 9, 10, r), 0);
	assert_int_equal(range_parse("bytes=3-2", 9, 10, r), 0);
	text = many("bytes=", "0-0,", RANGES_MAX, "");
	assert_int_equal(range_parse(text, strlen(text), 1000, r), RANGES_MAX);
	free(text);
	text = many("bytes=", "0-0,", RANGES_MAX + 1, "");
	assert_int_equal(range_parse(text, strlen(text), 1000, r), 0);
	free(text);
}

static void date_bounds(void **state)
{
	static const char *const wrong[] = {"Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT",
		"Sun, 06 Nov 1994 08:60:00 GMT", "Sun, 06 Nov 1994 08:49:61 GMT"};
	char text[HTTP_DATE_BYTES + 1];
	int64_t t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(http_date_parse(wrong[i], strlen(wrong[i]), &t));
	assert_true(http_date_parse("Sat, 31 Dec 2016 23:59:60 GMT", HTTP_DATE_BYTES, &t));
	assert_int_equal(t, 1483228800);
	/* A year that four digits do not hold is written as the epoch. */
	http_date_format(253402300799, text);
	assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
	http_date_format(253402300800, text);
	assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
	http_date_format(-62167219201, text);
	assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
	assert_string_equal(http_reason(404), "Not Found");
	assert_string_equal(http_reason(299), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(methods),
		cmocka_unit_test(long_lines),
		cmocka_unit_test(large_heads),
		cmocka_unit_test(scanned_heads),
		cmocka_unit_test(rare_targets),
		cmocka_unit_test(hosts),
		cmocka_unit_test(framings),
		cmocka_unit_test(connections),
		cmocka_unit_test(chunk_bounds),
		cmocka_unit_test(trailer_fields),
		cmocka_unit_test(answers_of_backends),
		cmocka_unit_test(backends_at_their_bounds),
		cmocka_unit_test(a_target_without_memory),
		cmocka_unit_test(range_bounds),
		cmocka_unit_test(date_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
