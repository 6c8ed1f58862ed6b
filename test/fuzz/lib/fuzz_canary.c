/*
 * fuzz_canary.c: must fail. A target that dies on an input whose last byte alone differs from its
 * corpus; when it passes, the replay has stopped to change inputs or to notice a death.
 */
#include "lib/must.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	must(size != 4 || memcmp(data, "nar", 3) != 0 || data[3] == 'y');
	return 0;
}
