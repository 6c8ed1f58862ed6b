/*
 * short_memory.h: a test whose Nth allocation fails: libcrypto's, and stead's own where the linker leads malloc() and
 * realloc() through the test.
 */
#ifndef STEAD_TEST_SHORT_MEMORY_H
#define STEAD_TEST_SHORT_MEMORY_H

#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdlib.h>

#include "lib/must.h"

/* The allocation that fails, counted down to 1, and 0 behind it or when none shall. cmocka's state is no place for it:
 * libcrypto takes its allocators once for the process. */
static inline unsigned *short_memory_at(void)
{
	static _Thread_local unsigned at;

	return &at;
}

static inline bool short_memory_fails(void)
{
	return *short_memory_at() && --*short_memory_at() == 0;
}

static inline void *short_memory_get(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return short_memory_fails() ? NULL : malloc(n);
}

static inline void *short_memory_get_again(void *p, size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return short_memory_fails() ? NULL : realloc(p, n);
}

static inline void short_memory_give(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	free(p);
}

/* Before libcrypto allocates for the first time. */
static inline void short_memory_begin(void)
{
	must(CRYPTO_set_mem_functions(short_memory_get, short_memory_get_again, short_memory_give) == 1);
}

#endif
