/*
 * fuzz_request.c: one line of the control socket. Whatever comes, the parsed request is bounded and
 * its strings end.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct request r;
	const char *why = NULL;
	char *copy = malloc(size ? size : 1);

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	if (request_parse(copy, size, &r, &why) == 0) {
		must(r.verb != REQUEST_NONE);
		must(memchr(r.folder, 0, sizeof r.folder) && memchr(r.http, 0, sizeof r.http));
		must(memchr(r.app, 0, sizeof r.app) && r.level <= 7);
		must(r.verb != REQUEST_UP || r.folder[0] == '/');
		must(!r.chain || strlen(r.chain) < size);
		request_done(&r);
	} else {
		must(why && *why);
	}
	free(copy);
	return 0;
}
