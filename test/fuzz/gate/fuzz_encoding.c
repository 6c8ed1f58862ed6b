/*
 * fuzz_encoding.c: an Accept-Encoding field as garbage: always an answer, and identity always among
 * it.
 */
#include "encoding.h"
#include "lib/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned bits = encoding_accepted((const char *)data, size);

	must(bits & 1);
	must(bits < 1u << CODING_END);
	must(encoding_best(bits) < CODING_END);
	(void)encoding_worth((const char *)data, size);
	return 0;
}
