/*
 * change.h: requests of the corpus, changed by chance: one number makes one request again.
 *
 * Included by mutate.c.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { CHANGED_MAX = 128 * 1024 };

struct corpus {
	const char **row;
	size_t *len;
	size_t n;
	char *bytes;
};

/* The file: for each row its length as four bytes, little-endian, and its bytes. 0 or -1. */
int corpus_load(struct corpus *c, const char *path);
/* One to four changes of one row, or two rows joined; the same for the same seed. Its length. */
size_t change_make(const struct corpus *c, uint64_t seed, char out[static CHANGED_MAX]);
