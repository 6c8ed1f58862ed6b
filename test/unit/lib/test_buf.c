/*
 * test_buf.c: growing text, its sticky error, JSON strings and packed fields.
 */
#include "test.h"

#include "lib/buf.h"
#include "lib/must.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void grows_and_keeps(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, SIZE_MAX);
	for (unsigned i = 0; i < 1000; i++)
		buf_printf(&b, "%u,", i);
	buf_putc(&b, '!');
	assert_true(buf_valid(&b));
	assert_int_equal(b.error, 0);
	assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4 + 1);
	assert_memory_equal(b.p, "0,1,2,3,", 8);
	assert_string_equal(buf_str(&b) + b.len - 5, "999,!");
	buf_drop(&b, 2);
	assert_memory_equal(b.p, "1,2,", 4);
	buf_drop(&b, b.len);
	assert_int_equal(b.len, 0);
	assert_string_equal(buf_str(&b), "");
	buf_done(&b);
	assert_true(buf_valid(&b));
}

static void error_sticks(void **state)
{
	char mem[8];
	struct buf b;

	(void)state;
	buf_fixed(&b, mem, sizeof(mem));
	buf_puts(&b, "12345678");
	assert_int_equal(b.error, 0);
	assert_int_equal(b.len, 8);
	buf_putc(&b, '9');
	assert_int_equal(b.error, -EOVERFLOW);
	buf_puts(&b, "");
	assert_null(buf_room(&b, 0));
	assert_string_equal(buf_str(&b), "");
	assert_true(buf_valid(&b));
	buf_reset(&b);
	buf_puts(&b, "ok");
	assert_string_equal(buf_str(&b), "ok");
	buf_init(&b, 10);
	buf_puts(&b, "0123456789");
	assert_int_equal(b.error, 0);
	buf_puts(&b, "0");
	assert_int_equal(b.error, -EOVERFLOW);
	assert_int_equal(b.len, 10);
	buf_done(&b);
}

/* A text that leaves no room for printf's NUL still fits. */
static void printf_fits_exactly(void **state)
{
	char mem[6];
	struct buf b;

	(void)state;
	buf_fixed(&b, mem, sizeof(mem));
	buf_printf(&b, "%s", "abcdef");
	assert_int_equal(b.error, 0);
	assert_int_equal(b.len, 6);
	assert_memory_equal(b.p, "abcdef", 6);
	buf_printf(&b, "%s", "");
	assert_int_equal(b.error, 0);
	buf_printf(&b, "%s", "g");
	assert_int_equal(b.error, -EOVERFLOW);
	buf_init(&b, 3);
	buf_printf(&b, "%d", 123);
	assert_int_equal(b.error, 0);
	buf_printf(&b, "%d", 4);
	assert_int_equal(b.error, -EOVERFLOW);
	buf_done(&b);
}

static void numbers(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} cases[] = {{0, "0"}, {9, "9"}, {10, "10"}, {UINT64_MAX, "18446744073709551615"}};
	struct buf b;

	(void)state;
	buf_init(&b, SIZE_MAX);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_reset(&b);
		buf_putu(&b, cases[i].n);
		assert_string_equal(buf_str(&b), cases[i].text);
	}
	buf_done(&b);
}

static void json(void **state)
{
	static const struct {
		const char *in, *out;
		size_t n;
	} cases[] = {
		{"", "\"\"", 0},
		{NULL, "\"\"", 0},
		{"a\"b\\c", "\"a\\\"b\\\\c\"", 5},
		{"\b\f\n\r\t\x01\x1f\x7f", "\"\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\"", 8},
		{"a\0b", "\"a\\u0000b\"", 3},
		{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\x89", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\x89\"",
			9},
		{"x\xff", "\"x\xef\xbf\xbd\"", 2},               /* never in UTF-8 */
		{"\xc3", "\"\xef\xbf\xbd\"", 1},                 /* cut */
		{"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"", 2}, /* overlong */
		{"\xe0\x80\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", 3}, /* overlong */
		{"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", 3}, /* a surrogate */
		{"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", 4},
		{"\xef\xbf\xbf", "\"\xef\xbf\xbf\"", 3},
	};
	struct buf b;

	(void)state;
	buf_init(&b, SIZE_MAX);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_reset(&b);
		buf_put_json(&b, cases[i].in, cases[i].n);
		assert_string_equal(buf_str(&b), cases[i].out);
	}
	buf_done(&b);
}

/* Eight bytes are looked at at once: each byte, at each place among others that are plain, pair by pair. */
static void json_at_each_place(void **state)
{
	enum { LENGTH = 19 };

	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		for (size_t at = 0; at < LENGTH; at++) {
			size_t second = (at + 1 + c % (LENGTH - 1)) % LENGTH;
			char in[LENGTH], want[8 * LENGTH], escaped[8];
			struct buf b;

			if (c >= 0x80)
				snprintf(escaped, sizeof(escaped), "\xef\xbf\xbd");
			else if (c == '"' || c == '\\')
				snprintf(escaped, sizeof(escaped), "\\%c", c);
			else if (c && strchr("\b\f\n\r\t", (int)c))
				snprintf(escaped, sizeof(escaped), "\\%c", "btn?fr"[c - 8]);
			else if (c < 0x20 || c == 0x7f)
				snprintf(escaped, sizeof(escaped), "\\u%04x", c);
			else
				snprintf(escaped, sizeof(escaped), "%c", c);
			memset(in, '~', sizeof(in));
			in[at] = in[second] = (char)c;
			snprintf(want, sizeof(want), "\"");
			for (size_t k = 0; k < LENGTH; k++)
				snprintf(want + strlen(want), sizeof(want) - strlen(want), "%s",
					k == at || k == second ? escaped : "~");
			snprintf(want + strlen(want), sizeof(want) - strlen(want), "\"");
			buf_init(&b, SIZE_MAX);
			buf_put_json(&b, in, sizeof(in));
			assert_string_equal(buf_str(&b), want);
			buf_done(&b);
		}
	}
}

static void packs_and_unpacks(void **state)
{
	struct unpack u;
	const char *p;
	struct buf b;
	size_t n;

	(void)state;
	buf_init(&b, SIZE_MAX);
	pack_u32(&b, 0x01020304);
	pack_str(&b, "name");
	pack_str(&b, NULL);
	pack_bytes(&b, "a\0b", 3);
	pack_u64(&b, 0x1122334455667788);
	assert_memory_equal(b.p, "\x04\x03\x02\x01\x04\0\0\0name\0", 13);
	unpack_init(&u, b.p, b.len);
	assert_int_equal(unpack_u32(&u), 0x01020304);
	assert_string_equal(unpack_str(&u), "name");
	assert_string_equal(unpack_str(&u), "");
	p = unpack_bytes(&u, &n);
	assert_int_equal(n, 3);
	assert_memory_equal(p, "a\0b", 4);
	assert_false(unpack_done(&u));
	assert_int_equal(unpack_u64(&u), 0x1122334455667788);
	assert_true(unpack_done(&u));
	assert_int_equal(unpack_u32(&u), 0);
	assert_true(u.bad);
	assert_false(unpack_done(&u));
	buf_done(&b);
}

/* Every cut of a good packing is bad, and reading it stays inside. */
static void every_cut_is_bad(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, SIZE_MAX);
	pack_str(&b, "abc");
	pack_u64(&b, 7);
	for (size_t cut = 0; cut < b.len; cut++) {
		char *copy = malloc(cut ? cut : 1);
		struct unpack u;

		if (cut)
			memcpy(copy, b.p, cut);
		unpack_init(&u, copy, cut);
		assert_non_null(unpack_str(&u));
		unpack_u64(&u);
		assert_true(u.bad);
		assert_false(unpack_done(&u));
		free(copy);
	}
	buf_done(&b);
}

static void hostile_packings(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} cases[] = {
		{"\xff\xff\xff\xff", 4}, /* a length that reaches far outside */
		{"\x00\x00\x00\x00", 4}, /* no NUL */
		{"\x02\x00\x00\x00"
		 "ab"
		 "x",
			7}, /* another byte where the NUL belongs */
		{"\x03\x00\x00\x00"
		 "a\0b\0",
			8}, /* a NUL inside a string */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct unpack u;

		unpack_init(&u, cases[i].bytes, cases[i].n);
		assert_string_equal(unpack_str(&u), "");
		assert_true(u.bad);
	}
}

static void edges(void **state)
{
	static const char wide[] = "\xf4\x90\x80\x80 \xf0\x80\x80\x80 \xf4\x8f\xbf\xbf";
	char mem[4] = "";
	struct buf b, odd;

	(void)state;
	buf_init(&b, 100);
	assert_non_null(buf_room(&b, 0));
	assert_true(buf_valid(&b));
	buf_puts(&b, "abc");
	assert_true(buf_valid(&b));
	buf_drop(&b, 0);
	assert_string_equal(buf_str(&b), "abc");
	buf_drop(&b, 1);
	assert_string_equal(buf_str(&b), "bc");
	buf_drop(&b, 2);
	assert_int_equal(b.len, 0);
	/* beyond what Unicode has, and longer than it need be */
	buf_put_json(&b, wide, sizeof(wide) - 1);
	assert_string_equal(buf_str(&b), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
					"\xef\xbf\xbd \xf4\x8f\xbf\xbf\"");
	/* a wide character that the locale cannot write fails printf itself */
	buf_reset(&b);
	buf_printf(&b, "%ls", L"\x80000000");
	assert_int_equal(b.error, -EOVERFLOW);
	buf_printf(&b, "more");
	assert_int_equal(b.len, 0);
	assert_string_equal(buf_str(&b), "");
	assert_true(buf_valid(&b));
	/* more than 32 bits say */
	buf_reset(&b);
	pack_bytes(&b, "", UINT32_MAX + (size_t)1);
	assert_int_equal(b.error, -EOVERFLOW);
	pack_bytes(&b, "", UINT32_MAX + (size_t)1);
	assert_int_equal(b.len, 0);
	buf_done(&b);
	/* no room for a NUL */
	buf_fixed(&b, mem, sizeof(mem));
	buf_puts(&b, "abcd");
	assert_string_equal(buf_str(&b), "");
	assert_int_equal(b.error, -EOVERFLOW);
	/* what no code of buf.c leaves behind */
	odd = (struct buf){.p = mem, .len = 5, .cap = 4, .max = 4};
	assert_false(buf_valid(&odd));
	odd = (struct buf){.p = mem, .cap = 4, .max = 3};
	assert_false(buf_valid(&odd));
	odd = (struct buf){.cap = 4, .max = 4};
	assert_false(buf_valid(&odd));
	odd = (struct buf){.p = mem, .cap = 4, .max = 4, .error = -ENOMEM};
	assert_true(buf_valid(&odd));
	odd.error = -EIO;
	assert_false(buf_valid(&odd));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_and_keeps),
		cmocka_unit_test(error_sticks),
		cmocka_unit_test(printf_fits_exactly),
		cmocka_unit_test(numbers),
		cmocka_unit_test(json),
		cmocka_unit_test(json_at_each_place),
		cmocka_unit_test(packs_and_unpacks),
		cmocka_unit_test(every_cut_is_bad),
		cmocka_unit_test(hostile_packings),
		cmocka_unit_test(edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
