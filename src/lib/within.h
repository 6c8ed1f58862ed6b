/*
 * within.h: does one path lie in another? By their words: nothing is looked up, and no link is followed.
 *
 * Used by the parent, ctl and act, of paths that are absolute or below the same folder, without "." and "..".
 */
#ifndef STEAD_LIB_WITHIN_H
#define STEAD_LIB_WITHIN_H

#include <stdbool.h>
#include <string.h>

/* Is `path` that folder, or in it? In "" there is nothing. */
static inline bool path_is_within(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	return n > 0 && strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

#endif
