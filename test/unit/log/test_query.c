/*
 * test_query.c: who asks gets the newest lines that match, oldest first, whatever stands in the
 * files.
 */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t s = 1000000, t0 = 1767323045ull * 1000000;
static char got[1 << 20];

static void filters(void **state)
{
	char mem[RECORD_RAW_MAX];
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_line(&r, t0 + 1 * s, "a", 1, "one");
	rig_line(&r, t0 + 2 * s, "b", 2, "two");
	rig_line(&r, t0 + 3 * s, "a", 2, "\"app\":\"b\"");
	rig_line(&r, t0 + 4 * s, "b", 1, "four");
	buf_reset(&r.g->line);
	render_access(&r.g->line, &r.g->lines, t0 + 5 * s, "{\"site\":\"b\"}", 10);
	log_line(r.g);
	buf_reset(&r.g->line);
	render_access(&r.g->line, &r.g->lines, t0 + 6 * s, mem, rig_access(mem, "b", 500, "/\"site\":\"a\"", 1));
	log_line(r.g);
	rig_ask(&r, (struct msg_log_query){.lines = 100}, "", got, sizeof got);
	assert_string_equal(got, "one two \"app\":\"b\" four a malformed access record (none)");
	rig_ask(&r, (struct msg_log_query){.lines = 2}, "a", got, sizeof got);
	assert_string_equal(got, "one \"app\":\"b\"");
	rig_ask(&r, (struct msg_log_query){.lines = 100}, "b", got, sizeof got);
	assert_string_equal(got, "two four (none)");
	rig_ask(&r, (struct msg_log_query){.lines = 100, .level = LEVEL_NOTICE}, NULL, got,
		sizeof got);
	assert_string_equal(got, "two \"app\":\"b\" a malformed access record (none)");
	rig_ask(&r, (struct msg_log_query){.lines = 100, .level = LEVEL_ERROR}, NULL, got,
		sizeof got);
	assert_string_equal(got, "(none)");
	rig_ask(&r, (struct msg_log_query){.lines = 100, .since_wall_us = t0 + 4 * s}, "", got,
		sizeof got);
	assert_string_equal(got, "four a malformed access record (none)");
	rig_ask(&r, (struct msg_log_query){.lines = 0}, "", got, sizeof got);
	assert_string_equal(got, "");
	rig_ask(&r, (struct msg_log_query){.lines = 10}, "nobody", got, sizeof got);
	assert_string_equal(got, "");
	rig_done(&r);
}

/* Lines of another ring, older than the ones before them, hide nothing. */
static void nearly_in_order(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_line(&r, t0 + 10 * s, "a", 1, "ten");
	rig_line(&r, t0 + 1 * s, "a", 1, "one");
	rig_line(&r, t0 + 11 * s, "a", 1, "eleven");
	rig_ask(&r, (struct msg_log_query){.lines = 9, .since_wall_us = t0 + 5 * s}, "", got,
		sizeof got);
	assert_string_equal(got, "ten eleven");
	rig_done(&r);
}

static void what_a_crash_left_is_passed_over(void **state)
{
	static const char *const junk[] = {"\n\n", "{\"ts\":\"1999\n",
		"{\"ts\":\"2026-01-02T03:04:05.678901Z\"\n",
		"{\"ts\":\"2026-01-02T03:04:05.678901Z\",}\n", "not json\n", "{\"ts\":\"0000",
		"\n}\n", "{\"ts\":\"2026-01-02T03:04:05.678901Z\",\"a\":\"\xff\"}\n",
		"{\"ts\":\"2026-01-02T03:04:05.678901Z\",\"level\":\"\n", "{\"level\":\"\n"};
	static char zeros[5000], longest[RECORD_BYTES_MAX + 100];
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_line(&r, t0, "a", 1, "one");
	log_flush(r.g);
	for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++)
		rig_write(&r, "current.jsonl", junk[i], strlen(junk[i]));
	rig_write(&r, "current.jsonl", zeros, sizeof zeros);
	memset(longest, 'x', sizeof longest);
	rig_write(&r, "current.jsonl", longest, sizeof longest);
	rig_kill(&r);
	rig_start(&r, -1);
	rig_line(&r, t0 + s, "a", 1, "two");
	for (unsigned level = 0; level <= LEVEL_DEBUG; level += LEVEL_DEBUG) {
		rig_ask(&r, (struct msg_log_query){.lines = 100, .level = level}, "", got,
			sizeof got);
		assert_string_equal(got, "one two");
	}
	rig_ask(&r, (struct msg_log_query){.lines = 100, .since_wall_us = t0}, "a", got,
		sizeof got);
	assert_string_equal(got, "one two");
	rig_done(&r);
}

static void many_lines_come_whole(void **state)
{
	char text[16];
	struct rig r;
	char *at;

	(void)state;
	rig_open(&r);
	for (unsigned i = 0; i < 12000; i++) {
		(void)snprintf(text, sizeof text, "%u", i);
		rig_line(&r, t0 + i, "a", 1, text);
	}
	rig_ask(&r, (struct msg_log_query){.lines = UINT32_MAX}, "", got, sizeof got);
	at = got;
	for (unsigned i = 12000 - QUERY_LINES_MAX; i < 12000; i++)
		assert_int_equal(strtoul(at, &at, 10), i);
	assert_int_equal(*at, 0);
	rig_done(&r);
}

static void followers(void **state)
{
	char text[256];
	struct rig r;
	struct msg m;

	(void)state;
	rig_open(&r);
	rig_line(&r, t0, "a", 1, "old");
	rig_ask(&r, (struct msg_log_query){.lines = 1, .follow = 1}, "a", got, sizeof got);
	assert_string_equal(got, "old");
	rig_line(&r, t0 + s, "b", 1, "other");
	rig_line(&r, t0 + s, "a", 1, "new");
	rig_turns(&r, 5);
	assert_int_equal(rig_hear(&r, text, sizeof text), MSG_LOG_LINE);
	assert_string_equal(text, "new");
	assert_int_equal(rig_hear(&r, text, sizeof text), 0);
	query_cancel(r.g, 7);
	assert_int_equal(r.g->queries_n, 0);
	rig_line(&r, t0 + s, "a", 1, "late");
	rig_turns(&r, 5);
	assert_int_equal(rig_hear(&r, text, sizeof text), 0);
	for (unsigned i = 0; i < QUERIES_MAX; i++)
		rig_ask(&r, (struct msg_log_query){.follow = 1}, "", got, sizeof got);
	assert_int_equal(r.g->queries_n, QUERIES_MAX);
	m = rig_msg(MSG_LOG_QUERY, 8, "", 0, -1);
	query_start(r.g, &m);
	assert_int_equal(rig_hear(&r, text, sizeof text), MSG_LOG_END);
	rig_done(&r);
}

/* A follower that does not read: a bound, a gap in its place, and the newest lines behind it. */
static void a_slow_follower(void **state)
{
	static char big[LINE_BYTES_MAX + 1], text[LINE_BYTES_MAX + 1];
	unsigned gaps = 0, after = 0, n = 0;
	struct rig r;

	(void)state;
	rig_open(&r);
	memset(big, 'x', LINE_BYTES_MAX);
	rig_ask(&r, (struct msg_log_query){.follow = 1}, "", got, sizeof got);
	for (unsigned i = 0; i < 3000; i++) {
		rig_line(&r, t0, "a", 1, big);
		if (i % 100 == 0)
			rig_turns(&r, 3);
		/* Now and then it reads a little, so that the buffer's front moves. */
		for (unsigned k = 0; i % 200 == 0 && k < 60; k++)
			n += rig_hear(&r, text, sizeof text) == MSG_LOG_LINE;
		assert_true(
			r.g->queries->out.len <= 2 * QUERY_BYTES_MAX + 2 * RECORD_BYTES_MAX + 4096);
	}
	for (unsigned quiet = 0; quiet < 20;) {
		int type = rig_hear(&r, text, sizeof text);

		if (type == 0) {
			rig_turns(&r, 1);
			quiet++;
			continue;
		}
		quiet = 0;
		n++;
		gaps += strncmp(text, "lines were left out", 19) == 0;
	}
	assert_true(gaps >= 1 && n < 3000);
	rig_line(&r, t0, "a", 1, "small");
	rig_turns(&r, 5);
	while (rig_hear(&r, text, sizeof text))
		after += strcmp(text, "small") == 0;
	assert_int_equal(after, 1);
	rig_done(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(filters),
		cmocka_unit_test(nearly_in_order),
		cmocka_unit_test(what_a_crash_left_is_passed_over),
		cmocka_unit_test(many_lines_come_whole),
		cmocka_unit_test(followers),
		cmocka_unit_test(a_slow_follower),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
