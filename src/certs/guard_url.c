/*
 * guard_url.c: the parts of a guard's URL; see process.h.
 *
 * Called by guard.c. The URL is of stead.conf, and behind it stands a name that a stranger asked for: nothing of it
 * may lead elsewhere. Owns nothing.
 */
#include "process.h"

#include <stdlib.h>
#include <string.h>

#include "lib/hostname.h"

bool guard_read_url(const char *url, char host[ACME_NAME_BYTES], uint16_t *ret_port, bool *ret_plain)
{
	bool plain = strncmp(url, "http://", 7) == 0;
	const char *at, *end, *colon = NULL;
	unsigned long port = plain ? 80 : 443;
	size_t n;

	if (!plain && strncmp(url, "https://", 8) != 0)
		return false;
	at = url + (plain ? 7 : 8);
	end = at + strcspn(at, "/?#");
	for (const char *p = url; *p; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	for (const char *p = at; p < end; p++)
		colon = *p == ':' ? p : *p == ']' ? NULL : colon;
	if (colon) {
		port = strspn(colon + 1, "0123456789") == (size_t)(end - colon - 1) && end - colon < 7
			       ? strtoul(colon + 1, NULL, 10)
			       : 0;
		end = colon;
	}
	n = (size_t)(end - at);
	if (n == 0 || n >= ACME_NAME_BYTES || memchr(at, '@', n) || port == 0 || port > 65535)
		return false;
	memcpy(host, at, n);
	host[n] = '\0';
	*ret_port = (uint16_t)port;
	*ret_plain = plain;
	return !plain || hostname_is_local(host, n);
}
