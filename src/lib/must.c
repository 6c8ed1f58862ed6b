/*
 * must.c: what to do when the program itself is wrong. Called by every part; owns nothing;
 * allocates nothing, because memory may be what is broken.
 */
#include "lib/must.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void must_failed(const char *file, int line, const char *func, const char *cond)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "stead: bug at %s:%d in %s(): not true: %s (pid %d)\n",
		file, line, func, cond, (int)getpid());

	if (n > 0) {
		size_t len = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
		ssize_t ignored = write(STDERR_FILENO, text, len);

		(void)ignored;
	}
	abort();
}

_Noreturn void fatal(const char *role, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "stead-%s: ", role);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}
