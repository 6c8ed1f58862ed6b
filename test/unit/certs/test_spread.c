/*
 * test_spread.c: when an authority is told to look at a record, by what the servers of its zone said.
 */
#include "test.h"
#include "certs.h"

#include <errno.h>

static void judged(void **state)
{
	enum { MINUTE = 60 * 1000 };
	static const struct {
		struct msg_spread_told told;
		uint64_t since_ms;
		enum spread_judged judged;
	} cases[] = {
		{{.there = 2}, 0, SPREAD_GO},
		{{.there = 1, .missing = 1}, 0, SPREAD_AGAIN},
		{{.missing = 2}, 9 * MINUTE, SPREAD_AGAIN},
		{{.there = 3, .missing = 1}, 10 * MINUTE, SPREAD_FAIL},
		/* Who cannot be asked from here hinders nothing, … */
		{{.there = 1, .silent = 1}, 0, SPREAD_GO},
		{{.silent = 2}, 0, SPREAD_GO},
		{{.err = ENOENT}, 0, SPREAD_GO},
		/* … nor excuses who has it not. */
		{{.silent = 1, .missing = 1}, 0, SPREAD_AGAIN},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(spread_judge(&cases[i].told, cases[i].since_ms), cases[i].judged);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(judged)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
