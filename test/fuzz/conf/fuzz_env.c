/* fuzz_env.c: any bytes as a file of variables. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct conf *c = fuzz_conf();

	(void)conf_read_env(c, "f", (const char *)data, n);
	fuzz_check(c, n);
	return 0;
}
