/*
 * test_render.c: whatever comes in becomes one line that is one JSON object and says what it is.
 */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/event.h"

static const uint64_t when = 1767323045678901ull; /* 2026-01-02T03:04:05.678901Z */

static json_t *access_of(const char *p, size_t n)
{
	char *copy = malloc(n ? n : 1);
	struct buf b;
	json_t *o;

	memcpy(copy, p, n);
	buf_init(&b, SIZE_MAX);
	render_access(&b, when, copy, n);
	assert_int_equal(b.error, 0);
	o = rig_object(b.p, b.len);
	assert_string_equal(rig_text(o, "kind"), "access");
	assert_string_equal(rig_text(o, "ts"), "2026-01-02T03:04:05.678901Z");
	buf_done(&b);
	free(copy);
	return o;
}

static void times(void **state)
{
	char ts[TS_LEN + 1];

	(void)state;
	render_time(when, ts);
	assert_string_equal(ts, "2026-01-02T03:04:05.678901Z");
	render_time(0, ts);
	assert_string_equal(ts, "1970-01-01T00:00:00.000000Z");
	render_time(UINT64_MAX, ts);
	assert_string_equal(ts, "1970-01-01T00:00:00.000000Z");
	render_time(253402300799999999ull, ts);
	assert_string_equal(ts, "9999-12-31T23:59:59.999999Z");
}

static void good_access_is_spliced(void **state)
{
	static const struct {
		const char *in, *level, *site;
	} rows[] = {
		{"{\"site\":\"a\",\"status\":200}", "info", "a"},
		{"{\"site\":\"a\",\"status\":502,\"n\":[1,{\"b\":-1.5e+3},null,true]}", "error",
			"a"},
		{"{\"ts\":\"x\",\"site\":\"a\"}", "info", "a"},
		{"{\"ts\":\"x\"}", "info", "(none)"},
		{"{}", "info", "(none)"},
		{"{ }", "info", "(none)"},
		{"{\"site\":\"\xc3\xa9\\u00e9\\ud83d\\ude00\"}", "info",
			"\xc3\xa9\xc3\xa9\xf0\x9f\x98\x80"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		json_t *o = access_of(rows[i].in, strlen(rows[i].in));

		assert_string_equal(rig_text(o, "level"), rows[i].level);
		assert_string_equal(rig_text(o, "site"), rows[i].site);
		assert_string_equal(rig_text(o, "text"), "(none)");
		json_decref(o);
	}
}

static void hostile_access_is_wrapped(void **state)
{
	static const char *const rows[] = {"", "{", "}", "{}}", "{\"a\":}", "{\"a\"}", "{a:1}",
		"{junk}", "[1]", "{\"a\":1,}", "{\"a\":1}{\"b\":2}", "{\"a\":\"\n\"}", "{\"a\":01}",
		"{\"a\":\"\\x\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\u0000\"}", "{\"a\":\"\xff\"}",
		"{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"\xc0\xaf\"}", "{\"a\":1\n}",
		"{\"kind\":\"event\"}", "{\"a\":1,\"level\":\"info\"}", "{\"a\":1,\"ts\":\"x\"}",
		"{\"\\u0074s\":\"x\"}", "{\"ts\":\"a\\\",b\":1}", "{\"ts\":\"x", "{\"a\":-}",
		"{\"a\":1e}", "{\"a\":tru}", "{\"ts\":\"",
		"{\"a\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}"};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		json_t *o = access_of(rows[i], strlen(rows[i]));

		assert_string_equal(rig_text(o, "level"), "warning");
		assert_string_not_equal(rig_text(o, "text"), "(none)");
		json_decref(o);
	}
	json_decref(access_of("{\"a\":\"x\0y\"}", 11));
}

static json_t *event_of(struct buf *in)
{
	struct buf b;
	json_t *o;

	buf_init(&b, SIZE_MAX);
	render_event(&b, when, in->p, in->len);
	assert_true(b.len <= RECORD_BYTES_MAX);
	o = rig_object(b.p, b.len);
	assert_string_equal(rig_text(o, "kind"), "event");
	buf_done(&b);
	buf_done(in);
	return o;
}

static void events(void **state)
{
	struct buf in;
	json_t *o;

	(void)state;
	buf_init(&in, SIZE_MAX);
	event_begin(&in, EV_PROC_DIED);
	event_field_str(&in, "app", "b\"l\\o\ng\x01\xff");
	event_field_u64(&in, "pid", 12);
	event_field_str(&in, "kind", "access");
	event_field_str(&in, "a\"b", "x");
	o = event_of(&in);
	assert_string_equal(rig_text(o, "event"), "PROC_DIED");
	assert_string_equal(rig_text(o, "level"), "error");
	assert_string_equal(rig_text(o, "app"), "b\"l\\o\ng\x01\xef\xbf\xbd");
	assert_string_equal(rig_text(o, "pid"), "12");
	assert_string_equal(rig_text(o, "text"), "a process died and is started again");
	assert_int_equal(json_object_size(o), 8);
	json_decref(o);

	buf_init(&in, SIZE_MAX);
	event_begin(&in, 4711);
	o = event_of(&in);
	assert_string_equal(rig_text(o, "text"), "a malformed event");
	json_decref(o);
	buf_init(&in, SIZE_MAX);
	pack_u32(&in, EV_STARTED);
	pack_u32(&in, 99);
	json_decref(event_of(&in));
}

/* The most that a ring carries, each byte of which takes six. */
static void a_flood_of_fields_fits(void **state)
{
	char value[1024], name[8];
	struct buf in;

	(void)state;
	memset(value, 1, sizeof value - 1);
	value[sizeof value - 1] = 0;
	buf_init(&in, SIZE_MAX);
	event_begin(&in, EV_STARTED);
	for (int i = 0; i < 15; i++) {
		(void)snprintf(name, sizeof name, "f%d", i);
		event_field_str(&in, name, value);
	}
	json_decref(event_of(&in));
}

static void streams(void **state)
{
	struct stream st = {.info = {.kind = 99, .which = 2, .pid = -1}, .app = "a\"\n"};
	static char text[LINE_BYTES_MAX];
	struct buf b;
	json_t *o;

	(void)state;
	memset(text, 1, sizeof text);
	memcpy(text, "\"},{\xff\r\t\x7f", 8);
	buf_init(&b, SIZE_MAX);
	render_stream(&b, when, &st, text, sizeof text);
	assert_true(b.len <= RECORD_BYTES_MAX);
	o = rig_object(b.p, b.len);
	assert_string_equal(rig_text(o, "app"), "a\"\n");
	assert_string_equal(rig_text(o, "stream"), "stderr");
	assert_string_equal(rig_text(o, "level"), "notice");
	assert_int_equal(json_string_length(json_object_get(o, "text")), sizeof text + 2);
	json_decref(o);
	buf_reset(&b);
	render_dropped(&b, when, "a\"", UINT64_MAX / 4);
	json_decref(rig_object(b.p, b.len));
	buf_reset(&b);
	render_gap(&b, when);
	json_decref(rig_object(b.p, b.len));
	buf_done(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(times),
		cmocka_unit_test(good_access_is_spliced),
		cmocka_unit_test(hostile_access_is_wrapped),
		cmocka_unit_test(events),
		cmocka_unit_test(a_flood_of_fields_fits),
		cmocka_unit_test(streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
