/* test_unpack.c: at which pace a folder has to come (build/unpack.h). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "unpack.h"

static void test_pace(void **state)
{
	static const struct {
		uint64_t bytes, ms;
		bool slow;
	} rows[] = {{0, 0, false}, {0, 30000, false}, {0, 30001, true}, {64, 30001, false}, {63, 30001, true},
		{1 << 20, 46000, false}, {1 << 20, 47000, true}, {16ull << 30, 10 * 60 * 1000, false}, {4096, UINT64_MAX, true}};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_int_equal(unpack_too_slow(rows[i].bytes, rows[i].ms), rows[i].slow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_pace)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
