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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_local), cmocka_unit_test(test_among)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
