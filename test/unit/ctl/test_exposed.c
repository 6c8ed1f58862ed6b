/*
 * test_exposed.c: lines of /proc/net/tcp and tcp6: which of them says that a port is open to the network.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "ctl.h"
#include "lib/must.h"

static void lines(void **state)
{
	static const struct {
		const char *line;
		bool want;
	} rows[] = {
		{"   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0", true},
		{"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000", false},
		{"   0: 0500007F:1F90 00000000:0000 0A 0", false},
		{"   0: 0102A8C0:1F90 00000000:0000 0A 0", true},
		{"  10: 00000000:1F91 00000000:0000 0A 0", false},
		{"  10: 00000000:1F90 0102A8C0:1234 01 0", false},
		{"   1: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 0", true},
		{"   1: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0", false},
		{"   1: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000000000000:0000 0A 0", false},
		{"   1: 0000000000000000FFFF00000102A8C0:1F90 00000000000000000000000000000000:0000 0A 0", true},
		{"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt", false},
		{"", false},
		{"   1: zz", false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(exposed_line(rows[i].line, 8080), rows[i].want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(lines)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
