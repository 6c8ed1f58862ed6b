/*
 * test_parse.c: heads, chunks, targets, ranges, dates and media types, without a socket. The
 * malformed requests are in test/scenario/test_http.py; here is what the bytes mean, however they
 * are cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http1_parse.h"
#include "httpdate.h"
#include "lib/must.h"
#include "mime.h"
#include "range.h"
#include "target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct http1_head head;

static int parse(const char *text)
{
	static char mem[70000];
	size_t n = strlen(text);

	must(n < sizeof(mem));
	memcpy(mem, text, n + 1);
	return http1_parse_head(mem, n, HTTP1_HEAD_MAX, &head);
}

static void assert_text(const char *p, size_t n, const char *want)
{
	assert_int_equal(n, strlen(want));
	assert_memory_equal(p, want, n);
}

static void a_head(void **state)
{
	static const char text[] = "POST /a?b HTTP/1.1\r\nHost: EXAMPLE.org:81\r\nX-A:\t v w \r\n"
				   "Content-Length: 12\r\nCookie: a=b\r\nConnection: keep-alive, "
				   "X-Drop, Cookie\r\nx-drop: 1\r\n"
				   "TE: trailers\r\nExpect: 100-Continue\r\n\r\nrest";

	(void)state;
	assert_int_equal(parse(text), strlen(text) - 4);
	assert_int_equal(head.method, METHOD_POST);
	assert_text(head.target, head.target_len, "/a?b");
	assert_text(head.host, head.host_len, "example.org");
	assert_int_equal(head.host_port, 81);
	assert_int_equal(head.content_length, 12);
	assert_true(head.keep_alive && head.expect_continue && !head.chunked);
	/* hop-by-hop fields and what Connection nominates are gone, but never what belongs to the
	 * message */
	assert_int_equal(head.nfields, 5);
	assert_text(head.fields[1].name, head.fields[1].name_len, "x-a");
	assert_text(head.fields[1].value, head.fields[1].value_len, "v w");
	assert_text(head.fields[3].name, head.fields[3].name_len, "cookie");
}

static void absolute_form_takes_hosts_place(void **state)
{
	(void)state;
	assert_true(parse("GET http://Real.example:8080/x?y HTTP/1.1\r\nHost: other\r\n\r\n") > 0);
	assert_text(head.host, head.host_len, "real.example");
	assert_text(head.path, head.path_len, "/x?y");
	assert_text(head.fields[0].value, head.fields[0].value_len, "real.example:8080");
}

/* RFC 9112 sections 3.2.1 and 3.2.4: without a path it is "/", for OPTIONS the server as a whole. */
static void absolute_form_without_a_path(void **state)
{
	(void)state;
	assert_true(parse("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n") > 0);
	assert_text(head.path, head.path_len, "/");
	assert_true(parse("OPTIONS http://h:81 HTTP/1.1\r\nHost: h\r\n\r\n") > 0);
	assert_text(head.path, head.path_len, "*");
	assert_text(head.host, head.host_len, "h");
	assert_int_equal(head.host_port, 81);
	assert_true(parse("OPTIONS http://h/ HTTP/1.1\r\nHost: h\r\n\r\n") > 0);
	assert_text(head.path, head.path_len, "/");
	assert_true(parse("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n") > 0);
	assert_text(head.path, head.path_len, "*");
	assert_int_equal(parse("GET http://h?a=b HTTP/1.1\r\nHost: h\r\n\r\n"), -CLOSE_BAD_TARGET);
	assert_int_equal(parse("OPTIONS http://h?a HTTP/1.1\r\nHost: h\r\n\r\n"), -CLOSE_BAD_TARGET);
	assert_int_equal(parse("GET * HTTP/1.1\r\nHost: h\r\n\r\n"), -CLOSE_BAD_TARGET);
}

static void every_prefix_needs_more(void **state)
{
	static const char text[] =
		"GET /x HTTP/1.1\r\nHost: a\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n";
	size_t n = sizeof(text) - 1, at = 0;
	char mem[sizeof(text)];

	(void)state;
	for (size_t cut = 1; cut < n; cut++) {
		memcpy(mem, text, cut);
		assert_int_equal(http1_parse_head(mem, cut, HTTP1_HEAD_MAX, &head), 0);
		assert_int_equal(http1_scan_head(mem, cut, HTTP1_HEAD_MAX, &at), 0);
	}
	memcpy(mem, text, n);
	assert_int_equal(http1_scan_head(mem, n, HTTP1_HEAD_MAX, &at), n);
	assert_int_equal(http1_parse_head(mem, n, HTTP1_HEAD_MAX, &head), n);
	assert_true(head.chunked);
	assert_int_equal(head.content_length, -1);
}

static void values_are_searched_whole(void **state)
{
	char text[400];

	(void)state;
	/* a bad byte at each place of a long value, so that every step of the search meets one */
	for (size_t at = 0; at < 64; at++) {
		for (unsigned bad = 0; bad < 2; bad++) {
			int n = snprintf(text, sizeof(text),
				"GET / HTTP/1.1\r\nHost: a\r\nX: %064d\r\n\r\n", 0);
			char *value = strstr(text, "X: ") + 3;

			value[at] = bad ? 0x7f : '\t';
			assert_int_equal(http1_parse_head(text, (size_t)n, HTTP1_HEAD_MAX, &head),
				bad ? -CLOSE_BAD_REQUEST : n);
			value[at] = (char)0x80;
			assert_int_equal(
				http1_parse_head(text, (size_t)n, HTTP1_HEAD_MAX, &head), n);
		}
	}
}

/* The body of a chunked text that is cut into pieces of `step`; -1 when it is malformed. */
static long dechunk(const char *text, size_t step, char *out, char *trailer)
{
	struct http1_chunks k = {0};
	size_t n = strlen(text), len = 0;

	memset(trailer, 0, 100);

	for (size_t at = 0; at < n && !http1_chunks_done(&k);) {
		const char *data;
		size_t got;
		int64_t used = http1_chunks_take(&k, text + at, min_of(step, n - at), &data, &got);

		if (used < 0)
			return -1;
		if (got && !k.in_trailer) {
			memcpy(out + len, data, got);
			len += got;
		} else if (got) {
			memcpy(trailer + strlen(trailer), data, got);
		}
		at += (size_t)used;
	}
	return http1_chunks_done(&k) ? (long)len : -2;
}

static void chunks_however_cut(void **state)
{
	char out[100], trailer[100];

	(void)state;
	for (size_t step = 1; step < 60; step++) {
		assert_int_equal(
			dechunk("3;x=y\r\nabc\r\n00a\r\n0123456789\r\n0\r\nA: b\r\n\r\nnext", step,
				out, trailer),
			13);
		assert_string_equal(trailer, "A: b\r\n");
		assert_memory_equal(out, "abc0123456789", 13);
		assert_int_equal(dechunk("0\r\n\r\n", step, out, trailer), 0);
		assert_int_equal(dechunk("1\r\nab\r\n", step, out, trailer), -1);
		assert_int_equal(dechunk("5\r\nab", step, out, trailer), -2);
	}
}

static void targets(void **state)
{
	static const struct {
		const char *raw, *path, *query;
	} rows[] = {{"/", "/", ""}, {"/a/b?c?d", "/a/b", "c?d"}, {"/a/./b/../c", "/a/c", ""},
		{"/a/..", "/", ""}, {"/a/b/.", "/a/b/", ""}, {"/%41%2e%2E/x", "/A../x", ""},
		{"/a%2fb", "/a/b", ""}, {"/a/%2e%2e/b", "/b", ""},
		{"/..a/.b/...", "/..a/.b/...", ""}, {"//a//", "/a//", ""},
		{"///", "/", ""}, {"/.//a", "/a", ""}, {"/a/..//b", "/b", ""}, {"/%2fa", "//a", ""},
		{"/%e4%ff", "/\xe4\xff", ""}, {"/a//../b", "/a/b", ""}, {"/x?", "/x", ""},
		{"*", "*", ""}, {"/..", NULL, ""}, {"/../x", NULL, ""}, {"/a/../../x", NULL, ""},
		{"/%00", NULL, ""}, {"/%1f", NULL, ""}, {"/%7f", NULL, ""}, {"/%", NULL, ""},
		{"/%4", NULL, ""}, {"/%4g", NULL, ""}, {"/a%2f..%2fb", NULL, ""},
		{"/a/..%2fb", NULL, ""}, {"/a%2f../b", NULL, ""}, {"/a%5c..%5cb", NULL, ""},
		{"/a\\b", NULL, ""}, {"a", NULL, ""}, {"", NULL, ""}, {"/a%2f%2e%2e", NULL, ""}};
	struct arena_pool pool;

	(void)state;
	arena_pool_init(&pool, 4096, 100, 1);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct req r = {
			.path_raw = rows[i].raw, .path_raw_len = (uint32_t)strlen(rows[i].raw)};

		arena_init(&r.arena, &pool);
		if (target_parse(&r) != (rows[i].path != NULL))
			fail_msg("%s", rows[i].raw);
		if (rows[i].path) {
			assert_text(r.path, r.path_len, rows[i].path);
			assert_string_equal(r.path, rows[i].path);
			assert_text(r.query, r.query_len, rows[i].query);
		}
		arena_reset(&r.arena);
	}
	arena_pool_done(&pool);
}

/* What slashes leave open: encoded ones, and empty segments. */
static void readings_of_a_path(void **state)
{
	static const struct {
		const char *raw, *literal, *merged;
	} rows[] = {{"/a/b", NULL, NULL}, {"/a%41", NULL, NULL}, {"//a/b/", NULL, NULL}, {"/.//a", NULL, NULL},
		{"/a//b", "/a//b", "/a/b"}, {"/a%2fb", "/a\1b", "/a/b"}, {"/%2Fa///b", "/\1a///b", "/a/b"},
		{"/a/b//", "/a/b//", "/a/b/"}, {"/a%5cb", NULL, NULL}, {"/a/b%2fc/../.", NULL, NULL},
		{"/a%2fb/../%2f/.", "/\1/", "/"}};
	struct arena_pool pool;
	char merged[32];

	(void)state;
	arena_pool_init(&pool, 4096, 100, 1);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct req r = {
			.path_raw = rows[i].raw, .path_raw_len = (uint32_t)strlen(rows[i].raw)};

		arena_init(&r.arena, &pool);
		assert_true(target_parse(&r));
		if (!r.path_literal != !rows[i].literal)
			fail_msg("%s", rows[i].raw);
		if (rows[i].literal) {
			assert_text(r.path_literal, r.path_len, rows[i].literal);
			assert_text(merged, target_merge(merged, r.path, r.path_len), rows[i].merged);
		}
		arena_reset(&r.arena);
	}
	arena_pool_done(&pool);
}

static void ranges(void **state)
{
	struct range r[RANGES_MAX];

	(void)state;
	assert_int_equal(range_parse("bytes=0-0", 9, 10, r), 1);
	assert_int_equal(range_parse("bytes=1-2, 4-5,-1", 17, 10, r), 3);
	assert_int_equal(r[2].from, 9);
	assert_int_equal(range_parse("bytes=0-", 8, 0, r), -1);
	assert_int_equal(range_parse("bytes=-5", 8, 0, r), -1);
	assert_int_equal(range_parse("bytes=0-18446744073709551615", 28, 10, r), 1);
	assert_int_equal(r[0].len, 10);
	assert_int_equal(range_parse("bytes=0-1;", 10, 10, r), 0);
	assert_int_equal(range_parse("bytes=,,0-1,", 12, 10, r), 1);
	assert_int_equal(range_parse("bytes=0-9,1-2", 13, 10, r), 0);
}

static void dates(void **state)
{
	static const char *const same[] = {"Sun, 06 Nov 1994 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"};
	static const char *const wrong[] = {"", "Sun", "Sun, 06 Nov 1994 08:49:37",
		"Sun, 06 Nov 1994 08:49:37 GMT ", "Sun, 6 Nov 1994 08:49:37 GMT",
		"Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:49:37 GMT",
		"Sun, 32 Nov 1994 08:49:37 GMT", "784111777"};
	char text[HTTP_DATE_BYTES + 1];
	int64_t t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		assert_true(http_date_parse(same[i], strlen(same[i]), &t));
		assert_int_equal(t, 784111777);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(http_date_parse(wrong[i], strlen(wrong[i]), &t));
	for (int64_t s = 0; s < 4000000000; s += 123456789) {
		http_date_format(s, text);
		assert_true(http_date_parse(text, HTTP_DATE_BYTES, &t));
		assert_int_equal(t, s);
	}
	http_date_format(INT64_MAX, text);
	assert_int_equal(strlen(text), HTTP_DATE_BYTES);
}

static void media_types(void **state)
{
	struct mime *m;
	size_t n;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(mime_new(&m, i ? "/etc/mime.types" : "/nonexistent"), 0);
		assert_string_equal(mime_of(m, "/a/b.CSS", 8, &n), "text/css; charset=utf-8");
		assert_string_equal(mime_of(m, "x.tar.gz", 8, &n), "application/gzip");
		assert_string_equal(mime_of(m, "noext", 5, &n), "application/octet-stream");
		assert_string_equal(mime_of(m, "a.b/c", 5, &n), "application/octet-stream");
		assert_string_equal(mime_of(m, "x.", 2, &n), "application/octet-stream");
		assert_string_equal(mime_of(m, "x.woff2", 7, &n), "font/woff2");
		mime_free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head),
		cmocka_unit_test(absolute_form_takes_hosts_place),
		cmocka_unit_test(absolute_form_without_a_path),
		cmocka_unit_test(every_prefix_needs_more),
		cmocka_unit_test(values_are_searched_whole),
		cmocka_unit_test(chunks_however_cut),
		cmocka_unit_test(targets),
		cmocka_unit_test(readings_of_a_path),
		cmocka_unit_test(ranges),
		cmocka_unit_test(dates),
		cmocka_unit_test(media_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
