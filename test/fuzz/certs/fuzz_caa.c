/*
 * fuzz_caa.c: CAA records as garbage: each line is flags, tag and value. Somebody whom no record names is never let in where
 * records say who may issue.
 */
#include "certs.h"
#include "lib/must.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { MAX = 32 };
	static const struct caa_who us = {.identities = "ca.example", .account = "https://ca.example/1", .method = "http-01"},
				    stranger = {.identities = "stranger.invalid", .account = "", .method = "http-01"};
	struct caa_record all[MAX] = {{0}};
	char *text = size ? malloc(size) : NULL, *at = text;
	const char *forbidden;
	unsigned n = 0;
	bool any = false, named;

	if (!text)
		return 0;
	memcpy(text, data, size);
	while (n < MAX && at < text + size) {
		char *end = memchr(at, '\n', (size_t)(text + size - at)), *blank;

		end = end ? end : text + size;
		blank = memchr(at, ' ', (size_t)(end - at));
		if (!blank || blank == at)
			break;
		*blank = '\0';
		/* A value of its own, so that a sanitizer sees a read behind its end. */
		all[n] = (struct caa_record){.flags = (uint8_t)*at, .tag = strdup(at + 1), .n = (size_t)(end - blank - 1)};
		all[n].value = malloc(all[n].n ? all[n].n : 1);
		must(all[n].tag && all[n].value);
		memcpy((char *)all[n].value, blank + 1, all[n].n);
		any |= strcasecmp(all[n].tag, "issue") == 0;
		n++;
		at = end + 1;
	}
	named = memmem(data, size, "stranger", 8) != NULL || memmem(data, size, "STRANGER", 8) != NULL;
	(void)caa_look(all, n, &us, false, &forbidden);
	(void)caa_look(all, n, &us, true, &forbidden);
	if (any && !named)
		must(caa_look(all, n, &stranger, false, &forbidden) != CAA_SAYS_YES ||
			memmem(data, size, "tranger", 7) != NULL);
	while (n) {
		free((char *)all[--n].tag);
		free((char *)all[n].value);
	}
	free(text);
	return 0;
}
