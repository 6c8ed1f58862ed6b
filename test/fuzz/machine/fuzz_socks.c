/*
 * fuzz_socks.c: the kernel's answer to a question about sockets, as bytes.
 */
#include <stdint.h>

#include "lib/must.h"
#include "machine/socks.h"

static bool count(void *arg, const struct sock_seen *s)
{
	unsigned *n = arg;

	(void)socks_is_loopback(s);
	return ++*n < 1000;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	unsigned seen = 0;
	int r = socks_read(p, n, count, &seen);

	must(r <= 1 && seen <= n / 16 + 1);
	return 0;
}
