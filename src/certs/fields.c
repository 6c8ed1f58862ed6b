/*
 * fields.c: what the heads of HTTP answers tell, line by line; see process.h.
 *
 * Called by http.c with each line that libcurl found, of an authority's answer, a guard's or a probed site's. Writes into the
 * transfer's own strings, each of which ends and is bounded. Owns nothing.
 */
#include "process.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The field's value when that is its name; what does not fit is none. */
static bool take_field(const char *p, size_t n, const char *name, char *ret, size_t cap)
{
	size_t len = strlen(name);

	if (n <= len || strncasecmp(p, name, len) != 0 || p[len] != ':')
		return false;
	p += len + 1;
	n -= len + 1;
	while (n && (*p == ' ' || *p == '\t')) {
		p++;
		n--;
	}
	while (n && (p[n - 1] == '\r' || p[n - 1] == '\n' || p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	if (n >= cap || memchr(p, 0, n))
		n = 0;
	memcpy(ret, p, n);
	ret[n] = '\0';
	return true;
}

/* There may be several; they are one list (RFC 9110 section 5.3). What has no room is left out. */
static bool add_link(struct transfer *t, const char *p, size_t n)
{
	char one[ACME_URL_BYTES + 128];
	size_t at = strlen(t->link);

	if (!take_field(p, n, "Link", one, sizeof one))
		return false;
	if (at + strlen(one) + 3 <= sizeof t->link)
		(void)snprintf(t->link + at, sizeof t->link - at, "%s%s", at ? ", " : "", one);
	return true;
}

void fields_take(struct transfer *t, const char *p, size_t n)
{
	/* Of the last answer, where there are several. */
	if (n > 5 && memcmp(p, "HTTP/", 5) == 0)
		t->location[0] = t->nonce[0] = t->retry_after[0] = t->link[0] = '\0';
	else if (!take_field(p, n, "Location", t->location, sizeof t->location) &&
		 !take_field(p, n, "Replay-Nonce", t->nonce, sizeof t->nonce) && !add_link(t, p, n))
		(void)take_field(p, n, "Retry-After", t->retry_after, sizeof t->retry_after);
}
