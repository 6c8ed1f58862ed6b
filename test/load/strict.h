/*
 * strict.h: reads the one form in which stead hands requests on, and nothing else.
 *
 * Included by mutate.c, whose backend it is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct strict {
	const char *why; /* what is not in that form */
	size_t used;     /* bytes of the request */
	bool head;       /* a HEAD request: its answer has no body */
};

/* 1: a whole request lies at p; 0: more is needed; -1: it is not in the canonical form. */
int strict_read(const char *p, size_t n, struct strict *ret);
