/*
 * test_format.c: lines of access records: what each variable gives, and that nothing which a client sent ends
 * a line or leaves its quotes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <errno.h>
#include <cmocka.h>

#include "record/record.h"

static const uint64_t when = 1767323045678901ull; /* 2026-01-02T03:04:05.678901Z */

static struct record example(void)
{
	struct record r = {.head = {.flags = RECORD_HAS_FIRST,
				   .id = {0x0123456789abcdef, 0xfedcba9876543210},
				   .whole_us = 1234567,
				   .first_us = 1999,
				   .upstream_us = 50000,
				   .body_in = 7,
				   .body_out = 1024,
				   .status = 200,
				   .upstream_status = 201,
				   .port = 4711,
				   .close = CLOSE_DONE}};
	static const char *const texts[RECORD_TEXTS] = {"shop", "192.0.2.1", "ann", "GET", "/a/b?c=d&e",
		"shop.example", "http://x.example/", "curl/8", "", "shop/api", "10.0.0.1:80", "hit", "TLSv1.3",
		"TLS_AES_128_GCM_SHA256", "", "", "CN=ann,O=x"};

	for (unsigned i = 0; i < RECORD_TEXTS; i++)
		r.text[i] = (struct record_str){texts[i], strlen(texts[i])};
	return r;
}

static const char *line(const struct record *r, char *mem, size_t cap)
{
	struct record_lines lines = {0};
	struct buf b;

	buf_fixed(&b, mem, cap);
	if (record_line(&lines, &b, when, r) < 0)
		return "(none)";
	return buf_str(&b);
}

static void check(struct record *r, const char *format, const char *expect)
{
	char mem[8192];

	r->text[RECORD_FORMAT] = (struct record_str){format, strlen(format)};
	assert_string_equal(line(r, mem, sizeof(mem)), expect);
}

static void combined_is_as_nginx_writes_it(void **state)
{
	struct record r = example(), empty = {.head = {.flags = 0}};
	char mem[8192];

	(void)state;
	assert_string_equal(line(&r, mem, sizeof(mem)),
		"192.0.2.1 - ann [02/Jan/2026:03:04:05 +0000] \"GET /a/b?c=d&e HTTP/1.1\" 200 1024 "
		"\"http://x.example/\" \"curl/8\"");
	assert_string_equal(line(&empty, mem, sizeof(mem)),
		"- - - [02/Jan/2026:03:04:05 +0000] \"-\" 000 0 \"-\" \"-\"");
}

static void every_variable(void **state)
{
	static const struct {
		const char *format, *expect;
	} rows[] = {
		{"$remote_addr $remote_port $remote_user", "192.0.2.1 4711 ann"},
		{"[$time_local] $time_iso8601 $msec", "[02/Jan/2026:03:04:05 +0000] 2026-01-02T03:04:05+00:00 1767323045.678"},
		{"$request|$request_method|$request_uri|$uri|$args", "GET /a/b?c=d&e HTTP/1.1|GET|/a/b?c=d&e|/a/b|c=d&e"},
		{"$server_protocol $scheme $host $site", "HTTP/1.1 http shop.example shop"},
		{"$status $body_bytes_sent $request_length", "200 1024 7"},
		{"$request_time $first_byte_time", "1.234 0.001"},
		{"$http_referer $http_user_agent", "http://x.example/ curl/8"},
		{"$request_id", "0123456789abcdeffedcba9876543210"},
		{"$upstream $upstream_addr $upstream_status $upstream_response_time", "shop/api 10.0.0.1:80 201 0.050"},
		{"$upstream_cache_status $ssl_protocol $ssl_cipher $close", "hit TLSv1.3 TLS_AES_128_GCM_SHA256 done"},
		{"\"$ssl_client_s_dn\"", "\"CN=ann,O=x\""},
		{"${status}x$$y$$", "200x$y$"},
		{"", "192.0.2.1 - ann [02/Jan/2026:03:04:05 +0000] \"GET /a/b?c=d&e HTTP/1.1\" 200 1024 \"http://x.example/\" \"curl/8\""},
	};
	struct record r = example();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(&r, rows[i].format, rows[i].expect);
	r.head.flags |= RECORD_IS_TLS | RECORD_HTTP_1_0;
	r.text[RECORD_ID] = (struct record_str){"edge-1", 6};
	check(&r, "$scheme $server_protocol $request_id", "https HTTP/1.0 edge-1");
	r = (struct record){.head = {.flags = 0}};
	check(&r, "$remote_port $status $args $upstream_status $upstream_response_time $first_byte_time $request_id",
		"- 000 - - - - -");
}

/* Bytes on the left, what a line has of them on the right. */
static void nothing_leaves_its_quotes(void **state)
{
	static const struct {
		const char *bytes, *expect;
	} rows[] = {
		{"/\" 200 1 \"-\" \"-\"\n10.0.0.1", "/\\x22 200 1 \\x22-\\x22 \\x22-\\x22\\x0A10.0.0.1"},
		{"\\x22", "\\x5Cx22"},
		{"\x1b[31m\x7f\t\r\n", "\\x1B[31m\\x7F\\x09\\x0D\\x0A"},
		{"\xff\xc3\xa9", "\\xFF\\xC3\\xA9"},
		{" ~", " ~"},
	};
	struct record r = example();
	char mem[8192];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct record_str s = {rows[i].bytes, strlen(rows[i].bytes)};

		r.text[RECORD_TARGET] = r.text[RECORD_AGENT] = r.text[RECORD_REFERER] = s;
		check(&r, "$request_uri", rows[i].expect);
		check(&r, "$http_user_agent", rows[i].expect);
		check(&r, "$http_referer", rows[i].expect);
	}
	for (int c = 0; c < 256; c++) {
		char byte = (char)c;
		unsigned quotes = 0;

		for (unsigned i = 0; i < RECORD_FORMAT; i++)
			r.text[i] = (struct record_str){&byte, 1};
		r.text[RECORD_FORMAT].n = 0;
		(void)line(&r, mem, sizeof(mem));
		for (const char *p = mem; *p; p++) {
			assert_true(*p >= 0x20 && *p < 0x7f);
			quotes += *p == '"';
		}
		assert_int_equal(quotes, 6);
	}
}

static void what_is_cut_is_said(void **state)
{
	static char many[9000];
	char mem[RECORD_RAW_MAX], out[16384];
	struct record r = example(), got;
	size_t n;

	(void)state;
	memset(many, 'a', sizeof(many));
	r.text[RECORD_TARGET] = (struct record_str){many, sizeof(many)};
	n = record_put(&r, mem);
	assert_int_equal(record_get(mem, n, &got), 0);
	assert_int_equal(got.text[RECORD_TARGET].n, record_text_max[RECORD_TARGET]);
	got.text[RECORD_FORMAT] = (struct record_str){"$request_uri", 12};
	(void)line(&got, out, sizeof(out));
	assert_int_equal(strlen(out), record_text_max[RECORD_TARGET] + 3);
	assert_string_equal(out + strlen(out) - 4, "a...");
	assert_int_equal(record_get(mem, n - 1, &got), -EBADMSG);
}

static void bad_formats_are_placed(void **state)
{
	static const struct {
		const char *text;
		int err;
		size_t at, len;
	} rows[] = {
		{"$status $statsu", -EINVAL, 9, 6},
		{"${status", -EINVAL, 2, 6},
		{"a $", -EINVAL, 2, 1},
		{"$ x", -EINVAL, 0, 1},
		{"${}", -EINVAL, 0, 2},
		{"$Status", -EINVAL, 1, 6},
		{"plain", 0, 0, 0},
	};
	char long_text[RECORD_FORMAT_MAX + 2];
	struct record_format f;
	size_t at, len;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(record_format_parse(rows[i].text, strlen(rows[i].text), &f, &at, &len), rows[i].err);
		if (rows[i].err) {
			assert_int_equal(at, rows[i].at);
			assert_int_equal(len, rows[i].len);
		}
	}
	memset(long_text, 'x', sizeof(long_text));
	assert_int_equal(record_format_parse(long_text, RECORD_FORMAT_MAX, &f, &at, &len), 0);
	assert_int_equal(record_format_parse(long_text, RECORD_FORMAT_MAX + 1, &f, &at, &len), -E2BIG);
	for (unsigned i = 0; i < RECORD_FORMAT_MAX; i += 2)
		memcpy(long_text + i, "$$", 2);
	assert_int_equal(record_format_parse(long_text, 2 * (RECORD_PARTS_MAX - 1), &f, &at, &len), 0);
	assert_int_equal(record_format_parse(long_text, 2 * RECORD_PARTS_MAX, &f, &at, &len), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(combined_is_as_nginx_writes_it),
		cmocka_unit_test(every_variable),
		cmocka_unit_test(nothing_leaves_its_quotes),
		cmocka_unit_test(what_is_cut_is_said),
		cmocka_unit_test(bad_formats_are_placed),
	};

	setenv("TZ", "UTC0", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
