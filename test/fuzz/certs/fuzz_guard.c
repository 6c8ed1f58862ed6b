/*
 * fuzz_guard.c: who is asked whether a name may have a certificate, and what its answer's head tells, as garbage. The first
 * line is the URL; the others are lines of a head. A URL that is taken leads where it says, and in the clear to this machine
 * alone; texts of the head end and are bounded.
 */
#include "lib/hostname.h"
#include "lib/must.h"
#include "process.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void url(const char *p, size_t n)
{
	char host[ACME_NAME_BYTES], *text = malloc(n + 1);
	bool plain = false;
	uint16_t port = 0;
	const char *at;

	must(text);
	memcpy(text, p, n);
	text[n] = '\0';
	if (guard_read_url(text, host, &port, &plain)) {
		must(strlen(text) == n || strlen(text) < n);
		must(memchr(host, 0, sizeof host) && host[0] && port);
		at = text + (plain ? 7 : 8);
		must(strncmp(text, plain ? "http://" : "https://", plain ? 7 : 8) == 0);
		/* The host stands where libcurl reads it, and ends where it does. */
		must(strncmp(at, host, strlen(host)) == 0 && !strpbrk(host, "/?#@ "));
		must(strchr(":/?#", at[strlen(host)]) != NULL);
		must(!plain || hostname_is_local(host, strlen(host)));
		for (at = text; *at; at++)
			must(*at > ' ' && *at <= '~');
	}
	free(text);
}

static void is_text(const char *p, size_t cap)
{
	must(memchr(p, 0, cap) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct transfer *t = calloc(1, sizeof *t);
	const char *p = (const char *)data, *end = p + size;
	bool first = true;

	must(t);
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = nl ? (size_t)(nl - p) + 1 : (size_t)(end - p);
		char *line = malloc(n);

		must(line);
		memcpy(line, p, n);
		if (first)
			url(line, nl ? n - 1 : n);
		else
			fields_take(t, line, n);
		is_text(t->location, sizeof t->location);
		is_text(t->nonce, sizeof t->nonce);
		is_text(t->retry_after, sizeof t->retry_after);
		is_text(t->link, sizeof t->link);
		free(line);
		first = false;
		p += n;
	}
	free(t);
	return 0;
}
