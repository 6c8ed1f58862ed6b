/*
 * fuzz_up.c: a backend's answer: cut anywhere it is read as when it came whole, and never beyond
 * its bytes. The first byte says what was asked (HEAD, an upgrade) and the second where it is cut.
 */
#include "hear.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct up_ask ask = {.method_id = METHOD_GET};
	struct heard whole, cut;

	if (size < 2 || size > 20000)
		return 0;
	if (data[0] & 1)
		ask.method_id = METHOD_HEAD;
	ask.upgrade = data[0] & 2 ? "x" : NULL;
	whole = hear(&up_http_codec, (const char *)data + 2, size - 2, size, &ask);
	cut = hear(&up_http_codec, (const char *)data + 2, size - 2, 1u + data[1] % 64u, &ask);
	must_equal(&whole, &cut);
	return 0;
}
