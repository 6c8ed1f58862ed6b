/*
 * test_listeners.c: lines of /proc/net/tcp and tcp6: who listens where, and which port is open to the network.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "listeners.h"
#include "lib/must.h"

#define REST " 00000000:00000000 00:00000000 00000000  1001        0 4711 1 0 100 0 0 10 0"

static void lines(void **state)
{
	static const struct {
		const char *line;
		bool listens, exposed;
	} rows[] = {
		{"   0: 00000000:1F90 00000000:0000 0A" REST, true, true},
		{"   0: 0100007F:1F90 00000000:0000 0A" REST, true, false},
		{"   0: 0500007F:1F90 00000000:0000 0A" REST, true, false},
		{"   0: 0102A8C0:1F90 00000000:0000 0A" REST, true, true},
		{"  10: 00000000:1F90 0102A8C0:1234 01" REST, false, false},
		{"   1: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A" REST, true, true},
		{"   1: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A" REST, true, false},
		{"   1: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000000000000:0000 0A" REST, true, false},
		{"   1: 0000000000000000FFFF00000102A8C0:1F90 00000000000000000000000000000000:0000 0A" REST, true, true},
		{"   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001", false, false},
		{"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt", false, false},
		{"", false, false},
		{"   1: zz", false, false},
	};
	struct listener l;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(listener_line(rows[i].line, &l), rows[i].listens);
		if (!rows[i].listens)
			continue;
		assert_int_equal(l.exposed, rows[i].exposed);
		assert_int_equal(l.port, 8080);
		assert_int_equal(l.uid, 1001);
		assert_int_equal(l.inode, 4711);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(lines)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
