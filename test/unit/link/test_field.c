/*
 * test_field.c: each byte at each place of a name and a value against the RFC's words, said
 * plainly.
 */
#include "link/link_field.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>

enum { LONGEST = 19 }; /* two pieces of eight, and what is left */

/* RFC 9110 section 5.6.2 */
static bool is_tchar(unsigned c)
{
	return c && ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    strchr("!#$%&'*+-.^_`|~", (int)c));
}

/* Section 5.5: VCHAR, obs-text, and blanks between them. */
static bool is_vchar(unsigned c)
{
	return c == '\t' || (c >= ' ' && c != 0x7f);
}

static void test_every_byte(void **state)
{
	(void)state;
	for (size_t n = 1; n <= LONGEST; n++) {
		/* As large as its bytes: a sanitizer sees one that is read behind them. */
		char *p = malloc(n);

		assert_non_null(p);
		for (size_t at = 0; at < n; at++) {
			for (unsigned c = 0; c < 256; c++) {
				memset(p, 'x', n);
				p[at] = (char)c;
				assert_int_equal(link_field_name_ok(p, n), is_tchar(c));
				assert_int_equal(link_field_value_ok(p, n), is_vchar(c));
				/* Among bytes that make the quick look stop early. */
				memset(p, '\t', at);
				assert_int_equal(link_field_value_ok(p, n), is_vchar(c));
				memset(p, 0xff, at);
				assert_int_equal(link_field_value_ok(p, n), is_vchar(c));
				/* Beside those that sums and differences might carry from. */
				for (unsigned beside = 0; beside < 4; beside++) {
					memset(p, "-zA~"[beside], n);
					p[at] = (char)c;
					assert_int_equal(link_field_name_ok(p, n), is_tchar(c));
					assert_int_equal(link_field_value_ok(p, n), is_vchar(c));
				}
			}
		}
		free(p);
	}
	assert_false(link_field_name_ok("", 0));
	assert_true(link_field_value_ok("", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_byte)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
