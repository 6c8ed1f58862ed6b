/*
 * base64.c: RFC 4648 section 4; see base64.h. Called by the gate with credentials, by check and ctl with
 * certificates, and by the fuzz target. Owns nothing.
 */
#include "lib/base64.h"

#include <stdbool.h>
#include <stdlib.h>

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

long base64_decode(const char *p, size_t n, char *ret)
{
	size_t pad = 0, len = 0;

	if (n % 4)
		return -1;
	while (pad < 2 && pad < n && p[n - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < n; i += 4) {
		bool last = i + 4 == n;
		unsigned v = 0;

		for (size_t k = 0; k < 4; k++) {
			int d = last && k >= 4 - pad ? 0 : digit(p[i + k]);

			if (d < 0)
				return -1;
			v = v << 6 | (unsigned)d;
		}
		/* Bits behind the end would be a second spelling of the same. */
		if (last && pad && (v & (pad == 1 ? 0xffu : 0xffffu)))
			return -1;
		ret[len++] = (char)(v >> 16);
		if (!last || pad < 2)
			ret[len++] = (char)(v >> 8);
		if (!last || pad < 1)
			ret[len++] = (char)v;
	}
	return (long)len;
}

void base64_encode(const void *bytes, size_t n, char *ret)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = bytes;

	for (size_t i = 0; i < n; i += 3) {
		size_t left = n - i;
		unsigned v = (unsigned)p[i] << 16 | (left > 1 ? (unsigned)p[i + 1] << 8 : 0) | (left > 2 ? p[i + 2] : 0);

		*ret++ = digits[v >> 18];
		*ret++ = digits[v >> 12 & 63];
		*ret++ = left > 1 ? digits[v >> 6 & 63] : '=';
		*ret++ = left > 2 ? digits[v & 63] : '=';
	}
	*ret = 0;
}

void *base64_new(const char *p, size_t n, size_t *ret_n)
{
	char *bytes = malloc(n / 4 * 3 + 1);
	long got = bytes ? base64_decode(p, n, bytes) : -1;

	if (got < 0) {
		free(bytes);
		return NULL;
	}
	*ret_n = (size_t)got;
	return bytes;
}
