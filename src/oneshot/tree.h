/*
 * tree.h: remove folders and ask for disk space, for the one-shots. Never follows a symlink and
 * never crosses into another filesystem.
 */
#ifndef STEAD_ONESHOT_TREE_H
#define STEAD_ONESHOT_TREE_H

#include <stdint.h>

enum { TREE_DEPTH_MAX = 64 };

/* Remove `name` below dirfd, whatever it is. 0 also when there is no such name. However deep it
 * is. -ELOOP: somebody makes it deeper meanwhile; -EXDEV: something is mounted in it. */
int tree_remove(int dirfd, const char *name);
/* Remove all that is in the folder dirfd, and keep the folder. */
int tree_empty(int dirfd);
/* Bytes that this user may still write on the filesystem of fd; UINT64_MAX when it cannot be told.
 */
uint64_t tree_free_bytes(int fd);

#endif
