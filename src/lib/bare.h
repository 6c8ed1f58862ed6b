/*
 * bare.h: is there anything in a folder but folders? Called before what an app left is taken away, by ctl and by act.
 */
#ifndef STEAD_LIB_BARE_H
#define STEAD_LIB_BARE_H

#include <stdbool.h>

enum { BARE_DEPTH_MAX = 32 };

/* The folder `name` below dirfd has nothing in it but folders of which the same is true; also when there is no such name. False too
 * for what is no folder, cannot be looked at, is deeper than BARE_DEPTH_MAX, or is another file system: no symlink is followed. */
bool bare_folder(int dirfd, const char *name);

/* Such a folder goes. What is no folder never does: -ENOTDIR or -ENOTEMPTY when somebody put a file in meanwhile. 0 also when there
 * is no such name. -ELOOP: deeper than BARE_DEPTH_MAX; else the system's -errno. */
int bare_remove(int dirfd, const char *name);

#endif
