/*
 * fuzz_chain.c: a chain of certificates as garbage: what is taken has its own first, within its
 * bounds.
 */
#include "certs.h"
#include "lib/must.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"a.example", "xn--a.example"};
	struct acme_chain c;

	if (chain_parse((const char *)data, size, &c) < 0)
		return 0;
	must(c.n > 0 && c.n <= ACME_CHAIN_MAX);
	must(c.not_after_s > c.not_before_s);
	must(c.serial[0] && strlen(c.serial) < sizeof c.serial && strlen(c.ari) < sizeof c.ari);
	(void)chain_covers(&c, names, 2);
	chain_done(&c);
	return 0;
}
