/*
 * test_ws.c: WebSocket's frames (RFC 6455): a row for each rule of sections 5 to 8, each given whole
 * and byte by byte; what is written is read back.
 */
#include "lib/must.h"
#include "link/ws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define M "\x80" /* the mask bit */
#define KEY "\x01\x02\x03\x04"
#define PLAIN M "\0\0\0\0" /* length 0 and a mask of zeros */

struct row {
	const char *about;
	const char *bytes;
	size_t n;
	enum ws_event event; /* the last one */
	unsigned code;       /* of ERROR and CLOSE */
	const char *text;    /* of MESSAGE, PING and PONG, and the reason */
	unsigned messages;   /* before the last event */
};
#define ROW(about, bytes, ...) {about, bytes, sizeof(bytes) - 1, __VA_ARGS__}

/* Masks are of zeros where nothing else is said, so that payloads can be read here. */
static const struct row rows[] = {
	ROW("text", "\x81\x85" KEY "\x69\x67\x6f\x68\x6e", WS_GOT_MESSAGE, 0, "hello"),
	ROW("binary", "\x82\x83\0\0\0\0abc", WS_GOT_MESSAGE, 0, "abc"),
	ROW("empty", "\x81\x80\0\0\0\0", WS_GOT_MESSAGE, 0, ""),
	ROW("fragments", "\x01\x82\0\0\0\0ab\x00\x81\0\0\0\0c\x80\x81\0\0\0\0d", WS_GOT_MESSAGE, 0,
		"abcd"),
	ROW("empty fragments", "\x01\x80\0\0\0\0\x00\x80\0\0\0\0\x80\x80\0\0\0\0", WS_GOT_MESSAGE,
		0, ""),
	ROW("a ping", "\x89\x82\0\0\0\0hi", WS_GOT_PING, 0, "hi"),
	ROW("a pong", "\x8a\x80\0\0\0\0", WS_GOT_PONG, 0, ""),
	ROW("a ping between fragments", "\x01\x81\0\0\0\0a\x89\x81\0\0\0\0p", WS_GOT_PING, 0, "p"),
	ROW("16 bits of length", "\x82\xfe\0\x7e\0\0\0\0", WS_NONE, 0, NULL),
	ROW("an empty close", "\x88\x80\0\0\0\0", WS_GOT_CLOSE, 1005, ""),
	ROW("a close", "\x88\x85\0\0\0\0\x03\xe8" "bye", WS_GOT_CLOSE, 1000, "bye"),
	ROW("a code of apps", "\x88\x82\0\0\0\0\x0f\xa0", WS_GOT_CLOSE, 4000, ""),
	ROW("a message and a close", "\x81\x81\0\0\0\0a\x88\x82\0\0\0\0\x03\xe9", WS_GOT_CLOSE, 1001,
		"", 1),
	ROW("nothing behind a close", "\x88\x80\0\0\0\0\x81\x81\0\0\0\0a", WS_GOT_CLOSE, 1005, ""),
	ROW("two bytes of a character in two frames", "\x01\x81\0\0\0\0\xc3\x80\x81\0\0\0\0\xa4",
		WS_GOT_MESSAGE, 0, "\xc3\xa4"),
	ROW("not masked (5.1)", "\x81\x01" "a", WS_ERROR, 1002),
	ROW("RSV1 (5.2)", "\xc1\x80\0\0\0\0", WS_ERROR, 1002),
	ROW("RSV2", "\xa1\x80\0\0\0\0", WS_ERROR, 1002),
	ROW("RSV3", "\x91\x80\0\0\0\0", WS_ERROR, 1002),
	ROW("opcode 3", "\x83\x80\0\0\0\0", WS_ERROR, 1002),
	ROW("opcode 11", "\x8b\x80\0\0\0\0", WS_ERROR, 1002),
	ROW("16 bits for less than 126", "\x82\xfe\0\x7d\0\0\0\0", WS_ERROR, 1002),
	ROW("64 bits for less than 65536", "\x82\xff\0\0\0\0\0\0\xff\xff\0\0\0\0", WS_ERROR, 1002),
	ROW("64 bits with the highest", "\x82\xff\x80\0\0\0\0\1\0\0\0\0\0\0", WS_ERROR, 1002),
	ROW("a long control frame (5.5)", "\x89\xfe\0\x7e\0\0\0\0", WS_ERROR, 1002),
	ROW("a control frame in fragments", "\x09\x80\0\0\0\0", WS_ERROR, 1002),
	ROW("a continuation of nothing (5.4)", "\x80\x80\0\0\0\0", WS_ERROR, 1002),
	ROW("a message within a message", "\x01\x81\0\0\0\0a\x81\x81\0\0\0\0b", WS_ERROR, 1002),
	ROW("a close of one byte (5.5.1)", "\x88\x81\0\0\0\0\x03", WS_ERROR, 1002),
	ROW("a code that is never sent (7.4.1)", "\x88\x82\0\0\0\0\x03\xed", WS_ERROR, 1002),
	ROW("code 999", "\x88\x82\0\0\0\0\x03\xe7", WS_ERROR, 1002),
	ROW("code 2999", "\x88\x82\0\0\0\0\x0b\xb7", WS_ERROR, 1002),
	ROW("code 5000", "\x88\x82\0\0\0\0\x13\x88", WS_ERROR, 1002),
	ROW("a reason that is no UTF-8", "\x88\x83\0\0\0\0\x03\xe8\xff", WS_ERROR, 1007),
	ROW("a reason that is cut", "\x88\x83\0\0\0\0\x03\xe8\xc3", WS_ERROR, 1007),
	ROW("text that is no UTF-8 (8.1)", "\x81\x81\0\0\0\0\xff", WS_ERROR, 1007),
	ROW("text that is cut", "\x81\x81\0\0\0\0\xc3", WS_ERROR, 1007),
	ROW("said before it is whole", "\x01\x82\0\0\0\0\xc3\x28", WS_ERROR, 1007),
	ROW("too big by its head", "\x82\xff\0\0\0\0\0\x10\0\0\0\0\0\0", WS_ERROR, 1009),
	ROW("too big together", "\x02\xfe\x02\xbc\0\0\0\0" /* 700 bytes follow */, WS_NONE, 0, NULL),
};
enum { MESSAGE_MAX = 1000 };

/* As many bytes at a time as `step` says. */
static enum ws_event feed(struct ws *w, const char *p, size_t n, size_t step, unsigned *messages)
{
	enum ws_event last = WS_NONE, e = WS_NONE;

	for (size_t at = 0; at < n;) {
		size_t piece = n - at < step ? n - at : step, took = ws_read(w, p + at, piece, &e);

		must(took <= piece && (took || e != WS_NONE || w->over));
		at += took;
		if (last == WS_GOT_MESSAGE && e != WS_NONE)
			++*messages;
		if (e != WS_NONE)
			last = e;
		if (w->over)
			break;
	}
	return last;
}

static void check_row(const struct row *r, size_t step)
{
	struct ws w;
	unsigned messages = 0;
	enum ws_event e;
	const char *p = NULL;
	size_t n = 0;
	bool text, deflated;

	ws_init(&w, MESSAGE_MAX);
	e = feed(&w, r->bytes, r->n, step, &messages);
	if (e != r->event)
		printf("%s, %zu at a time\n", r->about, step);
	assert_int_equal(e, r->event);
	assert_int_equal(messages, r->messages);
	if (e == WS_ERROR || e == WS_GOT_CLOSE)
		assert_int_equal(ws_code(&w), r->code);
	if (e == WS_GOT_MESSAGE)
		p = ws_message(&w, &n, &text, &deflated);
	else if (e == WS_GOT_PING || e == WS_GOT_PONG || e == WS_GOT_CLOSE)
		p = ws_control(&w, &n);
	if (p) {
		assert_int_equal(n, strlen(r->text));
		assert_memory_equal(p, r->text, n);
	}
	ws_done(&w);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		check_row(&rows[i], SIZE_MAX);
		check_row(&rows[i], 1);
		check_row(&rows[i], 3);
	}
}

/* The bound counts for the message, not for a frame. */
static void test_sizes(void **state)
{
	char frame[8 + 700] = "\x02\xfe\x02\xbc", more[8 + 301] = "\x80\xfe\x01\x2d";
	unsigned messages = 0;
	struct ws w;

	(void)state;
	ws_init(&w, MESSAGE_MAX);
	assert_int_equal(feed(&w, frame, sizeof(frame), SIZE_MAX, &messages), WS_NONE);
	assert_int_equal(feed(&w, more, sizeof(more), SIZE_MAX, &messages), WS_ERROR);
	assert_int_equal(ws_code(&w), WS_TOO_BIG);
	ws_done(&w);
	ws_init(&w, MESSAGE_MAX);
	more[3]--;
	assert_int_equal(feed(&w, frame, sizeof(frame), 13, &messages), WS_NONE);
	assert_int_equal(feed(&w, more, sizeof(more) - 1, 13, &messages), WS_GOT_MESSAGE);
	assert_int_equal(w.len, 1000);
	ws_done(&w);
}

/* Each length that has a form of its own: what is written is what is read, when it is masked. */
static void test_heads(void **state)
{
	static const size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536, 70000};
	char *frame = malloc(80000);

	(void)state;
	must(frame != NULL);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		unsigned messages = 0;
		struct ws w;
		size_t n = ws_frame_head(frame, WS_BINARY, false, sizes[i]), got;
		bool text, deflated;
		const char *p;

		frame[1] |= (char)0x80;
		memcpy(frame + n, "abcd", 4);
		for (size_t k = 0; k < sizes[i]; k++)
			frame[n + 4 + k] = (char)((char)k ^ "abcd"[k % 4]);
		ws_init(&w, 100000);
		assert_int_equal(
			feed(&w, frame, n + 4 + sizes[i], 1000 + i, &messages), WS_GOT_MESSAGE);
		p = ws_message(&w, &got, &text, &deflated);
		assert_false(text);
		assert_int_equal(got, sizes[i]);
		for (size_t k = 0; k < got; k++)
			must(p[k] == (char)k);
		ws_done(&w);
	}
	free(frame);
}

static void test_close_frames(void **state)
{
	char to[WS_CLOSE_MAX], long_reason[200];
	size_t n;

	(void)state;
	assert_int_equal(ws_close_frame(to, WS_NO_CODE, "x", 1), 2);
	assert_memory_equal(to, "\x88\0", 2);
	assert_int_equal(ws_close_frame(to, 1000, "bye", 3), 7);
	assert_memory_equal(to, "\x88\x05\x03\xe8" "bye", 7);
	/* Cut where a character ends. */
	memset(long_reason, 'x', sizeof(long_reason));
	memcpy(long_reason + 122, "\xc3\xa4", 2);
	n = ws_close_frame(to, 1000, long_reason, sizeof(long_reason));
	assert_int_equal(n, 4 + 122);
	assert_int_equal(to[1], 124);
}

static void test_utf8(void **state)
{
	static const struct {
		const char *text;
		bool right;
	} texts[] = {{"a", true}, {"\xc2\x80", true}, {"\xdf\xbf", true}, {"\xe0\xa0\x80", true},
		{"\xed\x9f\xbf", true}, {"\xef\xbf\xbf", true}, {"\xf0\x90\x80\x80", true},
		{"\xf4\x8f\xbf\xbf", true}, {"0123456789\xc3\xa4 0123456789", true}, {"\x80", false},
		{"\xc0\x80", false}, {"\xc1\xbf", false}, {"\xe0\x9f\xbf", false},
		{"\xed\xa0\x80", false}, {"\xf0\x8f\xbf\xbf", false}, {"\xf4\x90\x80\x80", false},
		{"\xf5\x80\x80\x80", false}, {"\xc3", false}, {"\xe2\x82", false},
		{"\xc3(", false}, {"01234567\xff", false}};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		uint32_t at_once = 0, by_bytes = 0;
		const char *t = texts[i].text;
		bool right = ws_utf8(&at_once, t, strlen(t)) && !at_once, single = true;

		for (size_t k = 0; t[k] && single; k++)
			single = ws_utf8(&by_bytes, t + k, 1);
		if (right != texts[i].right)
			printf("text %zu\n", i);
		assert_int_equal(right, texts[i].right);
		assert_int_equal(single && !by_bytes, texts[i].right);
	}
}

static void test_keys(void **state)
{
	(void)state;
	assert_true(ws_key_ok("dGhlIHNhbXBsZSBub25jZQ==", 24));
	assert_false(ws_key_ok("dGhlIHNhbXBsZSBub25jZQ=", 23));
	assert_false(ws_key_ok("dGhlIHNhbXBsZSBub25jZR==", 24)); /* bits beyond the sixteenth byte */
	assert_false(ws_key_ok("dGhlIHNhbXBsZSBub25jZQ=x", 24));
	assert_false(ws_key_ok("dGhlIHNhbXBs\0SBub25jZQ==", 24));
	assert_false(ws_key_ok("dGhlIHNhbXBsZSBub25j-Q==", 24));
}

/* Agreed: RSV1 on the first frame of a message, whose bytes are not text yet. */
static void test_deflated(void **state)
{
	static const char first[] = "\x41\x81\0\0\0\0\xff", last[] = "\x80\x81\0\0\0\0\xfe";
	static const char twice[] = "\xc0\x81\0\0\0\0\xfe";
	unsigned messages = 0;
	bool text, deflated;
	struct ws w;
	size_t n;

	(void)state;
	ws_init(&w, 100);
	w.deflate = true;
	assert_int_equal(feed(&w, first, sizeof(first) - 1, 1, &messages), WS_NONE);
	assert_int_equal(feed(&w, last, sizeof(last) - 1, 1, &messages), WS_GOT_MESSAGE);
	(void)ws_message(&w, &n, &text, &deflated);
	assert_true(text && deflated && n == 2);
	assert_int_equal(feed(&w, first, sizeof(first) - 1, 1, &messages), WS_NONE);
	assert_int_equal(feed(&w, twice, sizeof(twice) - 1, 1, &messages), WS_ERROR);
	ws_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_close_frames),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_deflated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
