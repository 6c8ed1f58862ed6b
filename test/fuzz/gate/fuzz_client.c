/*
 * fuzz_client.c: X-Forwarded-For as garbage: its items from the end, each an address or none; it ends.
 */
#include "client.h"
#include "gate.h"
#include "lib/must.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The end of a gate, which the process defines. */
void gate_drained(struct gate *g)
{
	(void)g;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *list = (const char *)data, *item;
	size_t n = size, len, before = size + 1;
	uint8_t address[16];
	char text[46];

	while (client_last_item(list, &n, &item, &len)) {
		must(n < before && item >= list && item + len <= list + size);
		before = n;
		if (client_address(item, len, text, address))
			must(strlen(text) < sizeof(text));
	}
	return 0;
}
