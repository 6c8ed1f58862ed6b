/*
 * fuzz_notify.c: a datagram of sd_notify(3) as an app may send it: what is found in it lies in it, is one line,
 * and stands for something that was said.
 */
#include "log.h"

#include <stdlib.h>
#include <string.h>

#include "lib/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool says(const char *p, size_t n, const char *word)
{
	return memmem(p, n, word, strlen(word)) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A piece of its own, so that a byte read beyond it is seen. */
	char *p = malloc(size ? size : 1);
	struct said said;
	const char *status;
	uint32_t what;
	size_t n;

	must(p);
	memcpy(p, data, size);
	notify_parse(p, size, &said);
	what = said.what, status = said.status, n = said.status_n;
	must(said.main_pid >= 0 && (!said.main_pid || says(p, size, "MAINPID=")));
	must(said.extend_ms <= 24 * 3600 * 1000U && (!said.extend_ms || says(p, size, "EXTEND_TIMEOUT_USEC=")));
	must(!(what & ~(uint32_t)(SAID_READY | SAID_WATCHDOG | SAID_STOPPING | SAID_RELOADING |
				  SAID_TRIGGER)));
	must(!(what & SAID_RELOADING) || says(p, size, "RELOADING=1"));
	must(!(what & SAID_TRIGGER) || says(p, size, "WATCHDOG=trigger"));
	must(!(what & SAID_READY) || says(p, size, "READY=1"));
	must(!(what & SAID_WATCHDOG) || says(p, size, "WATCHDOG=1"));
	must(!(what & SAID_STOPPING) || says(p, size, "STOPPING=1"));
	must(says(p, size, "STATUS=") || !status);
	if (status)
		must(status >= p + 7 && status + n <= p + size && !memchr(status, '\n', n));
	free(p);
	return 0;
}
