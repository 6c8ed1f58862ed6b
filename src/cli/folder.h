/*
 * folder.h: the folder that is deployed, read with the rights of whoever typed it; see folder.c.
 */
#ifndef STEAD_CLI_FOLDER_H
#define STEAD_CLI_FOLDER_H

#include <stddef.h>
#include <stdint.h>

#include "lib/parcel.h"

struct folder_entry {
	char *path, *target; /* target: of a link, else NULL */
	enum parcel_kind kind;
	int executable;
	uint64_t size;
};
struct folder {
	int fd;
	struct folder_entry *all;
	size_t n, room;
	uint64_t bytes;
	unsigned left_out; /* entries that are in it and do not go along … */
	char *first_out;   /* … and the path of the first, with why */
	char error[4600];  /* what could not be read, and why */
};

/* All that is in the folder at `path`, or in the one file `only` of it (NULL: all). -errno with `error`. To be closed
 * in any case. */
int folder_open(struct folder *f, const char *path, const char *only);
/* Write it to the socket fd as lib/parcel.h has it. -errno; `error` when it is the folder's fault. */
int folder_send(struct folder *f, int fd);
void folder_close(struct folder *f);

#endif
