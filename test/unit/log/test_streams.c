/*
 * test_streams.c: an app's output as lines: long ones, unended ones, floods.
 */
#include "rig.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char got[1 << 20];

static int open_stream(struct rig *r, const char *app)
{
	char payload[sizeof(struct msg_stream) + 80] = {0};
	struct msg_stream info = {.kind = PROC_WORKER, .which = 1, .slot = 2, .pid = 77};
	size_t n = sizeof info + strlen(app) + 1;
	struct msg m;
	int fds[2];

	memcpy(payload, &info, sizeof info);
	memcpy(payload + sizeof info, app, strlen(app));
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	m = rig_msg(MSG_STREAM, 0, payload, n, fds[0]);
	streams_add(r->g, &m);
	assert_int_equal(r->g->streams_n, 1);
	if (m.fds[0] >= 0)
		close(m.fds[0]); /* it was not taken */
	return fds[1];
}

static void say(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void ask(struct rig *r)
{
	rig_ask(r, (struct msg_log_query){.lines = QUERY_LINES_MAX}, "web", got, sizeof got);
}

/* A program says why it ends, ends, and is asked about at once: the pipe and the question are there in the same turn. */
static void last_words(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	rig_open(&r);
	fd = open_stream(&r, "web");
	say(fd, "no such column\n");
	close(fd);
	ask(&r);
	assert_string_equal(got, "no such column");
	rig_turns(&r, 2);
	assert_int_equal(r.g->streams_n, 0);
	ask(&r);
	assert_string_equal(got, "no such column");
	rig_done(&r);
}

static void lines(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	rig_open(&r);
	fd = open_stream(&r, "web");
	say(fd, "one\r\ntw");
	rig_turns(&r, 2);
	ask(&r);
	assert_string_equal(got, "one");
	say(fd, "o\n\nthree");
	rig_turns(&r, 2);
	ask(&r);
	assert_string_equal(got, "one two ");
	close(fd);
	rig_turns(&r, 2);
	ask(&r);
	assert_string_equal(got, "one two  three");
	assert_int_equal(r.g->streams_n, 0);
	rig_done(&r);
}

static void the_last_words_at_the_end(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	rig_open(&r);
	fd = open_stream(&r, "web");
	say(fd, "last");
	streams_finish(r.g);
	ask(&r);
	assert_string_equal(got, "last");
	close(fd);
	rig_done(&r);
}

/* Cut in pieces, none of which ends inside a character; together they are what was written. */
static void a_long_line(void **state)
{
	static char text[3 * LINE_BYTES_MAX + 2];
	size_t n = 0;
	struct rig r;
	int fd;

	(void)state;
	rig_open(&r);
	fd = open_stream(&r, "web");
	text[n++] = 'x';
	while (n + 3 < sizeof text) {
		memcpy(text + n, "\xe2\x82\xac", 3);
		n += 3;
	}
	say(fd, text);
	say(fd, "\n");
	rig_turns(&r, 3);
	ask(&r);
	assert_null(strstr(got, "\xef\xbf\xbd"));
	size_t pieces = 1, len = 0;

	for (char *p = got; *p; p++) {
		if (*p == ' ')
			pieces++;
		else
			got[len++] = *p;
	}
	assert_true(pieces == 3 || pieces == 4);
	assert_int_equal(len, n);
	assert_memory_equal(got, text, n);
	close(fd);
	rig_done(&r);
}

static void a_flood_is_counted(void **state)
{
	static char flood[60000];
	uint64_t wrote = 0, stored;
	struct rig r;
	int fd;

	(void)state;
	rig_open(&r);
	fd = open_stream(&r, "web");
	memset(flood, 'x', sizeof flood);
	for (size_t i = 99; i < sizeof flood; i += 100)
		flood[i] = '\n';
	for (unsigned i = 0; i < 140; i++) {
		assert_int_equal(write(fd, flood, sizeof flood), sizeof flood);
		wrote += sizeof flood;
		rig_turns(&r, 0);
	}
	assert_true(r.g->streams->dropped > 0);
	close(fd);
	rig_turns(&r, 5);
	assert_int_equal(r.g->streams_n, 0);
	stored = r.g->store.bytes;
	assert_true(stored > 0 && wrote > 5 * STREAM_RATE_BYTES);
	assert_true(rig_count(&r, "current.jsonl", "LOG_DROPPED") +
			    rig_count(&r, "1.jsonl", "LOG_DROPPED") >=
		    1);
	assert_true(rig_count(&r, "current.jsonl", "LOG_DROPPED") +
			    rig_count(&r, "1.jsonl", "LOG_DROPPED") <=
		    10);
	rig_done(&r);
}

/* The reader's pieces of 16384 bytes end inside of lines: no line may be told in part. */
static void a_hole_takes_whole_lines(void **state)
{
	static char flood[59995];
	char want[128];
	unsigned lines, wholes;
	struct rig r;
	int fd;

	(void)state;
	rig_open(&r);
	fd = open_stream(&r, "web");
	memset(flood, 'x', sizeof flood);
	for (size_t i = 64; i < sizeof flood; i += 65)
		flood[i] = '\n';
	for (unsigned i = 0; i < 140; i++) {
		assert_int_equal(write(fd, flood, sizeof flood), sizeof flood);
		rig_turns(&r, i % 20 == 19 ? 30 : 0);
	}
	assert_true(r.g->streams->dropped > 0);
	close(fd);
	rig_turns(&r, 5);
	(void)snprintf(want, sizeof want, "\"text\":\"%.64s\"}", flood);
	lines = rig_count(&r, "current.jsonl", "\"kind\":\"app\"") +
		rig_count(&r, "1.jsonl", "\"kind\":\"app\"");
	wholes = rig_count(&r, "current.jsonl", want) + rig_count(&r, "1.jsonl", want);
	assert_true(lines > 1000);
	assert_int_equal(lines, wholes);
	rig_done(&r);
}

static void too_many_are_told(void **state)
{
	struct rig r;
	int fd, other;

	(void)state;
	rig_open(&r);
	r.g->streams_max = 1;
	fd = open_stream(&r, "web");
	other = open_stream(&r, "shop");
	assert_int_equal(r.g->streams_n, 1);
	assert_int_equal(rig_count(&r, "current.jsonl", "\"LOG_STREAM_REFUSED\""), 1);
	assert_int_equal(rig_count(&r, "current.jsonl", "\"app\":\"shop\""), 1);
	close(other);
	close(fd);
	rig_done(&r);
}

static void malformed(void **state)
{
	struct rig r;
	struct msg m = rig_msg(MSG_STREAM, 0, "", 0, -1);
	struct msg_stream info = {0};

	(void)state;
	rig_open(&r);
	streams_add(r.g, &m);
	m = rig_msg(MSG_STREAM, 0, &info, sizeof info, -1);
	streams_add(r.g, &m);
	assert_int_equal(r.g->streams_n, 0);
	rig_done(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(last_words),
		cmocka_unit_test(lines),
		cmocka_unit_test(the_last_words_at_the_end),
		cmocka_unit_test(a_long_line),
		cmocka_unit_test(a_flood_is_counted),
		cmocka_unit_test(a_hole_takes_whole_lines),
		cmocka_unit_test(too_many_are_told),
		cmocka_unit_test(malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
