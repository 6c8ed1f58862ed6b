/*
 * test_hostname.c: what is local, and what a list of names covers.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "lib/hostname.h"

static void test_loopback(void **state)
{
	static const char *const near[] = {"localhost", "127.0.0.1", "127.255.0.9", "[::1]", "::1"};
	static const char *const far[] = {"127.example.org", "127.0.0.1.example.org", "127.0.0", "x.localhost", "127.test", "10.0.0.1", "[::2]", ""};

	(void)state;
	for (size_t i = 0; i < sizeof near / sizeof near[0]; i++)
		assert_true(hostname_is_loopback(near[i], strlen(near[i])));
	for (size_t i = 0; i < sizeof far / sizeof far[0]; i++)
		assert_false(hostname_is_loopback(far[i], strlen(far[i])));
}

static void test_local(void **state)
{
	static const struct {
		const char *name;
		bool local;
	} rows[] = {
		{"localhost", true},
		{"shop.localhost", true},
		{"a.b.localhost", true},
		{"test", true},
		{"shop.test", true},
		{"127.0.0.1", true},
		{"127.255.1.2", true},
		{"::1", true},
		{"[::1]", true},
		{"", false},
		{".localhost", false},
		{"notlocalhost", false},
		{"localhost.example", false},
		{"shop.testing", false},
		{"latest", false},
		{"128.0.0.1", false},
		{"127.0.0.1.example", false},
		{"127.0.0", false},
		{"127.0.0.1.1", false},
		{"127.0.0.256", false},
		{"127.0.0.01", false},
		{"127.0.0.1234", false},
		{"127..0.1", false},
		{"[::2]", false},
		{"[]", false},
		{"[", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (hostname_is_local(rows[i].name, strlen(rows[i].name)) != rows[i].local)
			fail_msg("%s", rows[i].name);
}

static void test_among(void **state)
{
	static const char names[] = "shop.example *.shop.example 192.0.2.7 2001:db8::7 * *. *.com";
	static const struct {
		const char *host;
		bool covered;
	} rows[] = {
		{"shop.example", true},
		{"www.shop.example", true},
		{"a.b.shop.example", false},
		{".shop.example", false},
		{"xshop.example", false},
		{"example", false},
		{"shop.exampl", false},
		{"shop.example2", false},
		{"192.0.2.7", true},
		{"192.0.2.70", false},
		{"192.0.2.8", false},
		{"[2001:db8::7]", true},
		{"2001:db8::7", true},
		{"[2001:db8::70]", false},
		{"localhost", false},
		{"a.com", true},
		{"", false},
		{"*.shop.example", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (hostname_among(names, strlen(names), rows[i].host, strlen(rows[i].host)) !=
			rows[i].covered)
			fail_msg("%s", rows[i].host);
	/* "*.2.7" is no wildcard of addresses. */
	assert_false(hostname_among("*.0.2.7", 7, "192.0.2.7", 9));
	assert_false(hostname_among("", 0, "a.example", 9));
	/* The length counts, not a NUL. */
	assert_true(hostname_among("a.example.org", 9, "a.example", 9));
}

static void test_addresses(void **state)
{
	static const struct {
		const char *text;
		bool address, public;
		const char *reverse;
	} rows[] = {
		{"203.0.113.7", true, true, "7.113.0.203.in-addr.arpa"},
		{"2001:db8::7", true, true,
			"7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"},
		{"10.1.2.3", true, false, "3.2.1.10.in-addr.arpa"},
		{"172.16.0.1", true, false, "1.0.16.172.in-addr.arpa"},
		{"172.32.0.1", true, true, "1.0.32.172.in-addr.arpa"},
		{"192.168.1.1", true, false, "1.1.168.192.in-addr.arpa"},
		{"100.64.0.1", true, false, "1.0.64.100.in-addr.arpa"},
		{"100.128.0.1", true, true, "1.0.128.100.in-addr.arpa"},
		{"169.254.1.1", true, false, "1.1.254.169.in-addr.arpa"},
		{"169.253.1.1", true, true, "1.1.253.169.in-addr.arpa"},
		{"192.167.1.1", true, true, "1.1.167.192.in-addr.arpa"},
		{"127.0.0.1", true, false, "1.0.0.127.in-addr.arpa"},
		{"0.0.0.0", true, false, "0.0.0.0.in-addr.arpa"},
		{"224.0.0.1", true, false, "1.0.0.224.in-addr.arpa"},
		{"::1", true, false,
			"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa"},
		{"a.example", false, false, "a.example"},
		{"[2001:db8::7]", false, false, "[2001:db8::7]"},
		/* Another spelling would be another name in a certificate's list. */
		{"2001:0db8::7", false, false, "2001:0db8::7"},
		{"2001:DB8::7", false, false, "2001:DB8::7"},
		{"", false, false, ""},
	};
	char reverse[HOSTNAME_REVERSE_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		hostname_reverse(rows[i].text, reverse);
		assert_string_equal(reverse, rows[i].reverse);
		if (hostname_is_address(rows[i].text) != rows[i].address ||
			hostname_is_public_address(rows[i].text) != rows[i].public)
			fail_msg("%s", rows[i].text);
	}
	assert_false(hostname_is_public_address("fd00::7") || hostname_is_public_address("fe80::7"));
}

static void test_public(void **state)
{
	static const struct {
		const char *name;
		bool public;
	} rows[] = {
		{"shop.example", true},
		{"a-b.xn--bcher-kva.example", true},
		{"1.2.3.example", true},
		{"a.123x", true},
		{"example", false},
		{"", false},
		{".", false},
		{".example", false},
		{"shop..example", false},
		{"shop.example.", false},
		{"-a.example", false},
		{"a-.example", false},
		{"a_b.example", false},
		{"*.example.org", false},
		{"Shop.example", false},
		{"a.123", false},
		{"a.1-2", true},
		{"192.0.2.7", false},
		{"[2001:db8::7]", false},
		{"a.localhost", false},
		{"a.test", false},
		{"printer.local", false},
		{"a.internal", false},
		{"a.home.arpa", false},
		{"x.onion", false},
		{"a b.example", false},
	};
	char label[80], longest[300];

	(void)state;
	for (size_t n = 0; n < sizeof longest; n++)
		longest[n] = n % 50 == 49 ? '.' : 'a';
	for (size_t n = 252; n < 256; n++)
		assert_true(hostname_is_public(longest, n) == (n <= 253));
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (hostname_is_public(rows[i].name, strlen(rows[i].name)) != rows[i].public)
			fail_msg("%s", rows[i].name);
	for (size_t n = 62; n < 66; n++) {
		memset(label, 'a', n);
		memcpy(label + n, ".example", 9);
		assert_true(hostname_is_public(label, n + 8) == (n <= 63));
	}
	/* The length counts. */
	assert_false(hostname_is_public("shop.example", 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loopback), cmocka_unit_test(test_local), cmocka_unit_test(test_among), cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_public)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
