/* fuzz_unit.c: any bytes as stead.conf. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct conf *c = fuzz_conf();

	(void)conf_read(c, "f", (const char *)data, n);
	fuzz_check(c, n);
	return 0;
}
