/* test_visible.c: what of others' text reaches a terminal (lib/visible.h). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>

#include "lib/visible.h"

static void expect(const char *text, const char *seen)
{
	char mem[64];

	(void)snprintf(mem, sizeof mem, "%s", text);
	visible_make(mem, '?');
	assert_string_equal(mem, seen);
}

static void test_what_is_shown(void **state)
{
	(void)state;
	expect("", "");
	expect("plain\ttext\n", "plain\ttext\n");
	expect("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
	/* ESC [, CSI, NEL, DEL, a carriage return */
	expect("\x1b[2J\r\x7f", "?[2J??");
	expect("a\xc2\x9b" "31mb\xc2\x85" "c", "a?31mb?c");
	/* what turns the order around, and ends of lines */
	expect("a\xe2\x80\xae" "b\xe2\x81\xa6" "c\xe2\x80\xa8" "d\xd8\x9c" "e\xe2\x80\x8f", "a?b?c?d?e?");
	/* no UTF-8: CSI as one byte, overlong, a surrogate, cut off */
	expect("\x9b" "a\xc0\x9b" "b\xed\xa0\x80" "c\xe2\x82", "?a??b???c??");
	expect("\xc2\xa0", "\xc2\xa0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_is_shown)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
