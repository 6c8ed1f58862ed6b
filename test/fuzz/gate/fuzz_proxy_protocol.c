/*
 * fuzz_proxy_protocol.c: PROXY headers as garbage: an answer that stays the same when more bytes follow,
 * and every beginning of a header asks for more.
 */
#include "gate.h"
#include "lib/must.h"
#include "proxy_protocol.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The end of a gate, which the process defines. */
void gate_drained(struct gate *g)
{
	(void)g;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header whole, part;
	int res = proxy_parse(data, size, &whole);

	must(res <= (int)size && res <= PROXY_V2_MAX);
	must(res > 0 || !whole.known);
	/* Nobody waits for more than the bound. */
	must(res != 0 || size < PROXY_V2_MAX);
	for (size_t i = 0; i < size && i < 300; i++) {
		char *cut = malloc(i ? i : 1);
		int early;

		must(cut);
		memcpy(cut, data, i);
		early = proxy_parse(cut, i, &part);
		free(cut);
		if (res > 0)
			must((int)i < res ? early == 0 : early == res);
		else
			must(early == 0 || early == res || res == 0 || early < 0);
		/* What was refused stays refused. */
		must(!(early < 0 && res >= 0));
	}
	return 0;
}
