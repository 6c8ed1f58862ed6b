/*
 * test_render.c: whatever comes in becomes one line that is one JSON object and says what it is.
 */
#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/event.h"

static const uint64_t when = 1767323045678901ull; /* 2026-01-02T03:04:05.678901Z */

static json_t *access_of(const char *p, size_t n)
{
	struct record_lines lines = {0};
	char *copy = malloc(n ? n : 1);
	struct buf b;
	json_t *o;

	memcpy(copy, p, n);
	buf_init(&b, SIZE_MAX);
	render_access(&b, &lines, when, copy, n);
	assert_true(b.len <= RECORD_BYTES_MAX);
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

static void good_access_is_one_object(void **state)
{
	static const struct {
		unsigned status;
		const char *level, *target, *shown;
	} rows[] = {
		{200, "info", "/", "/"},
		{0, "info", "", ""},
		{502, "error", "/\xc3\xa9", "/\xc3\xa9"},
		{499, "info", "/\"\\\x1b\r\n\x7f", "/\"\\\x1b\r\n\x7f"},
		{404, "info", "/\xff\xed\xa0\x80\xc0\xaf", "/\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
							    "\xef\xbf\xbd\xef\xbf\xbd"},
		{200, "info", "\",\"kind\":\"event", "\",\"kind\":\"event"},
	};
	char mem[RECORD_RAW_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		json_t *o = access_of(mem, rig_access(mem, "a", rows[i].status, rows[i].target, 1));

		assert_string_equal(rig_text(o, "level"), rows[i].level);
		assert_string_equal(rig_text(o, "site"), "a");
		assert_string_equal(rig_text(o, "target"), rows[i].shown);
		assert_int_equal(json_integer_value(json_object_get(o, "status")), rows[i].status);
		json_decref(o);
	}
}

/* Each byte at each place among plain ones is shown as it must be, wherever a step of eight begins. */
static void every_byte_at_every_place(void **state)
{
	char mem[RECORD_RAW_MAX];

	(void)state;
	for (unsigned c = 1; c < 256; c++)
		for (unsigned at = 0; at < 19; at++) {
			char text[20] = "0123456789abcdefghi";
			json_t *o;

			text[at] = (char)c;
			o = access_of(mem, rig_access(mem, "a", 200, text, 1));
			if (c < 0x80)
				assert_string_equal(rig_text(o, "target"), text);
			else
				assert_int_equal(strlen(rig_text(o, "target")), 21);
			json_decref(o);
		}
}

/* The longest texts, of bytes that grow most in JSON and in a line. */
static void longest_access_fits(void **state)
{
	static char many[RECORD_FORMAT_MAX + 1024 * 4];
	static const char bytes[] = "\x01\xff\"\\";
	char mem[RECORD_RAW_MAX];

	(void)state;
	for (unsigned k = 0; bytes[k]; k++) {
		struct record r = {.head = {.status = 200}};
		json_t *o;

		memset(many, bytes[k], sizeof many);
		for (unsigned i = 0; i < RECORD_TEXTS; i++)
			r.text[i] = (struct record_str){many, sizeof many};
		r.head.flags = RECORD_COMBINED;
		memset(many, '\\', sizeof many);
		for (unsigned i = 0; i < 30; i++)
			memcpy(many + i * 12, "$request_uri", 12);
		o = access_of(mem, record_put(&r, mem));
		assert_true(json_string_length(json_object_get(o, "line")) > 1000);
		json_decref(o);
	}
}

static void malformed_access_is_said(void **state)
{
	char mem[RECORD_RAW_MAX];
	size_t n = rig_access(mem, "a", 200, "/x", 1);
	struct record_head h;

	(void)state;
	for (size_t cut = 0; cut <= n + 1; cut++) {
		json_t *o;

		if (cut == n)
			continue;
		o = access_of(mem, cut);
		assert_string_equal(rig_text(o, "level"), "warning");
		assert_string_equal(rig_text(o, "text"), "a malformed access record");
		json_decref(o);
	}
	memcpy(&h, mem, sizeof h);
	/* Longer than it may be, also where the bytes are there. */
	for (unsigned i = 0; i < RECORD_TEXTS; i++) {
		char *longer = calloc(1, sizeof h + record_text_max[i] + 1u);
		struct record_head bad = {.bytes = sizeof h};
		json_t *o;

		bad.len[i] = (uint16_t)(record_text_max[i] + 1);
		memcpy(longer, &bad, sizeof bad);
		o = access_of(longer, sizeof h + bad.len[i]);
		assert_string_equal(rig_text(o, "text"), "a malformed access record");
		json_decref(o);
		free(longer);
	}
	for (unsigned i = 0; i < RECORD_TEXTS + 2u; i++) {
		struct record_head bad = h;
		json_t *o;

		if (i < RECORD_TEXTS)
			bad.len[i] = (uint16_t)(record_text_max[i] + 1);
		else if (i == RECORD_TEXTS)
			bad.bytes = UINT16_MAX;
		else
			bad.close = CLOSE_END;
		memcpy(mem, &bad, sizeof bad);
		o = access_of(mem, n);
		assert_string_equal(rig_text(o, "text"), "a malformed access record");
		json_decref(o);
	}
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

/* More fields than an event has, and names that are none, are left out. */
static void odd_fields(void **state)
{
	char name[40];
	struct buf in;
	json_t *o;

	(void)state;
	buf_init(&in, SIZE_MAX);
	event_begin(&in, EV_STARTED);
	memset(name, 'a', 33);
	name[33] = 0;
	event_field_str(&in, name, "x");
	event_field_str(&in, name + 1, "x");
	event_field_str(&in, "", "x");
	for (unsigned i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof name, "f%u", i);
		event_field_str(&in, name, "x");
	}
	o = event_of(&in);
	assert_null(json_object_get(o, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
	assert_string_equal(rig_text(o, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "x");
	assert_string_equal(rig_text(o, "f12"), "x");
	assert_null(json_object_get(o, "f13"));
	json_decref(o);
}

/* Two records of one second share its text; each has its own microseconds. */
static void one_second(void **state)
{
	struct record_lines lines = {0};
	char mem[RECORD_RAW_MAX];
	size_t n = rig_access(mem, "a", 200, "/", 1);
	struct buf b;

	(void)state;
	buf_init(&b, SIZE_MAX);
	render_access(&b, &lines, when, mem, n);
	buf_reset(&b);
	render_access(&b, &lines, when + 1000, mem, n);
	assert_memory_equal(b.p, "{\"ts\":\"2026-01-02T03:04:05.679901Z\"", 35);
	buf_reset(&b);
	render_access(&b, &lines, when + 1000000, mem, n);
	assert_memory_equal(b.p, "{\"ts\":\"2026-01-02T03:04:06.678901Z\"", 35);
	buf_done(&b);
}

/* What the gate says of a request besides: its scheme, its protocol, a connection that was passed on, a NUL in a text. */
static void kinds_of_access(void **state)
{
	char mem[RECORD_RAW_MAX];
	struct record r = {.head = {.status = 200, .flags = RECORD_IS_TLS | RECORD_HTTP_2}};
	json_t *o;

	(void)state;
	r.text[RECORD_TARGET] = (struct record_str){"/a\0b", 4};
	r.text[RECORD_FORMAT] = (struct record_str){"$nothing", 8};
	o = access_of(mem, record_put(&r, mem));
	assert_string_equal(rig_text(o, "scheme"), "https");
	assert_string_equal(rig_text(o, "protocol"), "HTTP/2.0");
	assert_string_equal(rig_text(o, "target"), "/a\xef\xbf\xbd" "b");
	/* A format that nobody can have checked gives no line; and no id none. */
	assert_null(json_object_get(o, "line"));
	assert_string_equal(rig_text(o, "id"), "");
	json_decref(o);
	r.head.flags = RECORD_IS_TCP;
	r.head.id[1] = 7;
	r.text[RECORD_FORMAT].n = 0;
	o = access_of(mem, record_put(&r, mem));
	assert_null(json_object_get(o, "port"));
	json_decref(o);
	r.head.port = 5432;
	o = access_of(mem, record_put(&r, mem));
	assert_int_equal(json_integer_value(json_object_get(o, "port")), 5432);
	assert_string_equal(rig_text(o, "close"), "none");
	json_decref(o);
	r.head.flags = RECORD_HTTP_1_0 | RECORD_COMBINED;
	o = access_of(mem, record_put(&r, mem));
	assert_string_equal(rig_text(o, "protocol"), "HTTP/1.0");
	assert_string_equal(rig_text(o, "id"), "00000000000000000000000000000007");
	assert_string_equal(rig_text(o, "line"), "- - - [02/Jan/2026:03:04:05 +0000] \"-\" 200 0 \"-\" \"-\"");
	json_decref(o);
}

/* A text that was cut is shown as cut, where there is room for it; without room nothing is written behind the error. */
static void cut_texts(void **state)
{
	static const char mark[] = "a\xe2\x80\xa6\"";
	static char longer[3000], room[4096];
	char mem[RECORD_RAW_MAX];
	struct record r = {.head = {.status = 200}}, back;
	struct buf b;
	size_t n;

	(void)state;
	memset(longer, 'a', sizeof longer);
	r.text[RECORD_TARGET] = (struct record_str){longer, sizeof longer};
	n = record_put(&r, mem);
	assert_int_equal(record_get(mem, n, &back), 0);
	for (size_t cap = sizeof room; cap > 0; cap /= 2) {
		buf_fixed(&b, room, cap);
		record_members(&b, &back);
		assert_int_equal(b.error, cap == sizeof room ? 0 : -EOVERFLOW);
		assert_int_equal(memmem(room, b.len, mark, sizeof mark - 1) != NULL, cap == sizeof room);
	}
}

static void what_the_log_says_itself(void **state)
{
	struct stream st = {.info = {.kind = PROC_END, .slot = 3}, .app = "a"};
	struct buf b;
	json_t *o;

	(void)state;
	buf_init(&b, SIZE_MAX);
	render_refused(&b, when, &st, "there are too many");
	o = rig_object(b.p, b.len);
	assert_string_equal(rig_text(o, "role"), "");
	json_decref(o);
	buf_reset(&b);
	st.info.kind = PROC_WORKER;
	render_refused(&b, when, &st, "there are too many");
	o = rig_object(b.p, b.len);
	assert_string_equal(rig_text(o, "role"), "worker");
	assert_string_equal(rig_text(o, "why"), "there are too many");
	json_decref(o);
	buf_reset(&b);
	render_ring_broken(&b, when, "gate 0");
	o = rig_object(b.p, b.len);
	assert_string_equal(rig_text(o, "ring"), "gate 0");
	json_decref(o);
	buf_done(&b);
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
	render_stream(&b, when, &st, LEVEL_NOTICE, text, sizeof text);
	assert_true(b.len <= RECORD_BYTES_MAX);
	o = rig_object(b.p, b.len);
	assert_string_equal(rig_text(o, "app"), "a\"\n");
	assert_string_equal(rig_text(o, "stream"), "stderr");
	assert_string_equal(rig_text(o, "level"), "notice");
	assert_int_equal(json_string_length(json_object_get(o, "text")), sizeof text + 2);
	json_decref(o);
	buf_reset(&b);
	render_dropped(&b, when, "a\"", UINT64_MAX / 4, 7);
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
		cmocka_unit_test(good_access_is_one_object),
		cmocka_unit_test(every_byte_at_every_place),
		cmocka_unit_test(longest_access_fits),
		cmocka_unit_test(malformed_access_is_said),
		cmocka_unit_test(events),
		cmocka_unit_test(a_flood_of_fields_fits),
		cmocka_unit_test(odd_fields),
		cmocka_unit_test(one_second),
		cmocka_unit_test(kinds_of_access),
		cmocka_unit_test(cut_texts),
		cmocka_unit_test(what_the_log_says_itself),
		cmocka_unit_test(streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
