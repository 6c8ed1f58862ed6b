/*
 * durable.h: the one way in which a file that matters is written.
 *
 * write to a temporary name in the same folder, fsync, rename over, fsync the folder. After
 * durable_write() returned 0 the new content survives a power cut; before, the old one is whole.
 * durable_read() verifies the checksum line that durable_write_sum() put at the end.
 */
#ifndef STEAD_LIB_DURABLE_H
#define STEAD_LIB_DURABLE_H

#include <stddef.h>
#include <sys/types.h>

/* -errno of the failing step; then the old file is untouched and no temporary is left (best effort). */
int durable_write(int dirfd, const char *name, const void *p, size_t n, mode_t mode);
int durable_write_sum(int dirfd, const char *name, const void *p, size_t n, mode_t mode);
/* -EBADMSG when the sum does not match. Malloc'd, NUL-terminated. */
int durable_read_sum(int dirfd, const char *name, size_t max, char **ret_p, size_t *ret_n);

#endif
