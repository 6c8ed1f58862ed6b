/*
 * fuzz_ship.c: a line of the log (an app's output may stand in it) as journald's and syslog's datagrams.
 */
#include <stdint.h>

#include "log.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	for (unsigned i = 0; i < 2; i++) {
		struct buf b;

		buf_init(&b, 1 << 20);
		(void)ship_build(&b, i != 0, (const char *)p, n);
		buf_done(&b);
	}
	return 0;
}
