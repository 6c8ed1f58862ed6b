/*
 * test_tcp.c: the PROXY headers that servers of [Tcp] get: their bytes as the specification writes them, and
 * that the gate's own reader takes them for what they are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "proxy_protocol.h"
#include "tcp.h"

static const uint8_t four[16] = "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1";
static const uint8_t four_b[16] = "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\2";
static const uint8_t six[16] = "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1";
static const uint8_t six_b[16] = "\x20\1\x0d\xb8\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\2";

static void lines(void **state)
{
	static const struct {
		const uint8_t *from, *to;
		const char *want;
	} rows[] = {
		{four, four_b, "PROXY TCP4 192.0.2.1 198.51.100.2 65535 1\r\n"},
		{six, six_b, "PROXY TCP6 2001:db8::1 2001:db8:ffff:ffff:ffff:ffff:ffff:ff02 65535 1\r\n"},
		{NULL, four, "PROXY UNKNOWN\r\n"},
		{four, six, "PROXY UNKNOWN\r\n"},
	};
	char text[TCP_PROXY_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = tcp_proxy_header(1, rows[i].from, 65535, rows[i].to, 1, text);

		assert_int_equal(n, strlen(rows[i].want));
		assert_memory_equal(text, rows[i].want, n);
	}
}

static void bytes(void **state)
{
	static const char want[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\xff\xff\0\1";
	static const char local[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
	char text[TCP_PROXY_MAX];

	(void)state;
	assert_int_equal(tcp_proxy_header(2, four, 65535, four_b, 1, text), sizeof(want) - 1);
	assert_memory_equal(text, want, sizeof(want) - 1);
	assert_int_equal(tcp_proxy_header(2, six, 1, six_b, 2, text), 16 + 36);
	assert_int_equal(tcp_proxy_header(2, NULL, 0, NULL, 0, text), 16);
	assert_memory_equal(text, local, 16);
}

static void read_back(void **state)
{
	char text[TCP_PROXY_MAX];

	(void)state;
	for (unsigned version = 1; version <= 2; version++)
		for (unsigned is_six = 0; is_six < 2; is_six++) {
			const uint8_t *from = is_six ? six : four, *to = is_six ? six_b : four_b;
			size_t n = tcp_proxy_header(version, from, 54321, to, 443, text);
			struct proxy_header got;

			assert_int_equal(proxy_parse(text, n, &got), n);
			assert_true(got.known);
			assert_memory_equal(got.from, from, 16);
			assert_memory_equal(got.to, to, 16);
			assert_int_equal(got.from_port, 54321);
			assert_int_equal(got.to_port, 443);
		}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines), cmocka_unit_test(bytes), cmocka_unit_test(read_back)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
