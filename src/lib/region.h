/*
 * region.h: memory that several processes write to together: the response cache's region.
 */
#ifndef STEAD_LIB_REGION_H
#define STEAD_LIB_REGION_H

#include <stddef.h>

/* A memfd of so many bytes (rounded up to pages), zeroed, whose size nobody can change. Close-on-exec.
 * -errno. */
int region_memfd(const char *name, size_t bytes, int *ret_fd);
/* A file `name` in dirfd of so many bytes, all of them allocated: a full disk is told here, and not by a
 * signal to whoever writes. What stood in one of the same size stands still. -errno. */
int region_file(int dirfd, const char *name, size_t bytes, int *ret_fd);

#endif
