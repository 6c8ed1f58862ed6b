/*
 * fuzz_base64.c: credentials as garbage: never more than fits, and one spelling only.
 */
#include "lib/base64.h"
#include "lib/must.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *out = malloc(size / 4 * 3 + 1);
	long n;

	if (!out)
		return 0;
	n = base64_decode((const char *)data, size, out);
	must(n <= (long)(size / 4 * 3));
	must(n < 0 || size % 4 == 0);
	free(out);
	return 0;
}
