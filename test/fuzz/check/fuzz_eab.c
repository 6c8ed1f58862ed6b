/*
 * fuzz_eab.c: any bytes as the file of AcmeEabKey=: what is taken has the size of a key, and is the same however it is
 * padded.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "lib/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t key[128], again[128];
	size_t key_n = 0, again_n = 0;
	char *padded;

	if (eab_decode((const char *)data, n, key, &key_n) < 0)
		return 0;
	must(key_n >= 16 && key_n <= sizeof key);
	padded = malloc(n + 2);
	must(padded != NULL);
	memcpy(padded, data, n);
	memcpy(padded + n, "=\n", 2);
	must(eab_decode(padded, n + 2, again, &again_n) == 0);
	must(again_n == key_n && memcmp(key, again, key_n) == 0);
	free(padded);
	return 0;
}
