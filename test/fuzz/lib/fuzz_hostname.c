/*
 * fuzz_hostname.c: names that strangers send: as a Host, in a hello, as what a certificate is for. A name that is public is
 * one that a certificate may have, and none that stays on this machine; a list covers what stands in it, and an address
 * is itself alone.
 */
#include "lib/hostname.h"
#include "lib/must.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void public_name(const char *p, size_t n)
{
	size_t dots = 0;

	must(n <= 253 && p[0] != '.' && p[n - 1] != '.' && !hostname_is_local(p, n));
	for (size_t i = 0; i < n; i++) {
		must((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= '0' && p[i] <= '9') || p[i] == '-' || p[i] == '.');
		must(p[i] != '.' || (p[i + 1] != '.' && p[i + 1] != '-' && p[i - 1] != '-'));
		dots += p[i] == '.';
	}
	must(dots > 0);
}

static void address(const char *text)
{
	char reverse[HOSTNAME_REVERSE_MAX];
	size_t n;

	hostname_reverse(text, reverse);
	n = strlen(reverse);
	must(n < sizeof(reverse));
	must(!hostname_is_public_address(text) || hostname_is_address(text));
	if (hostname_is_address(text)) {
		must(n > 9 && strcmp(reverse + n - 5, ".arpa") == 0);
		must(!hostname_is_public(text, strlen(text)));
		must(hostname_among(text, strlen(text), text, strlen(text)));
	} else {
		must(strncmp(reverse, text, sizeof(reverse) - 1) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	size_t cut = size ? data[0] % size : 0;
	char text[300] = "";

	if (hostname_is_public(p, size))
		public_name(p, size);
	/* The input is a list and a name, whatever they are made of. */
	if (size > 1 && hostname_among(p + 1, cut, p + 1 + cut, size - 1 - cut) && cut < size - 1)
		must(cut > 0);
	if (size && !memchr(p, ' ', size) && p[0] != '[')
		must(hostname_among(p, size, p, size));
	if (size < sizeof(text)) {
		if (size)
			memcpy(text, p, size);
		address(text);
	}
	return 0;
}
