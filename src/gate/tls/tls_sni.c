/*
 * tls_sni.c: the name that a client asks for (RFC 6066 section 3), from the extension's bytes; see
 * tls_server.h. Called by tls_server.c for each hello. Owns nothing.
 */
#include "tls_server.h"

enum { TYPE_HOST_NAME = 0 };

bool tls_sni_read(const uint8_t *p, size_t n, char ret[TLS_NAME_MAX], size_t *ret_n)
{
	size_t len;

	*ret_n = 0;
	if (n < 5 || (size_t)(p[0] << 8 | p[1]) != n - 2 || p[2] != TYPE_HOST_NAME)
		return false;
	len = (size_t)(p[3] << 8 | p[4]);
	if (len == 0 || len >= TLS_NAME_MAX || len > n - 5)
		return false;
	for (size_t i = 0; i < len; i++) {
		uint8_t c = p[5 + i];

		if (c <= ' ' || c >= 0x7f)
			return false;
		ret[i] = (char)(c >= 'A' && c <= 'Z' ? c | 32 : c);
	}
	/* A dot at the end is the same name. */
	*ret_n = len > 1 && ret[len - 1] == '.' ? len - 1 : len;
	return true;
}
