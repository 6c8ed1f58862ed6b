/*
 * mounts.h: what of the file system a jailed process sees (mounts.c).
 */
#ifndef STEAD_PARENT_MOUNTS_H
#define STEAD_PARENT_MOUNTS_H

#include "tbl/tbl.h"
#include <stdbool.h>

struct parent;

struct mounts_path {
	uint32_t kind; /* enum jail_path */
	const char *path;
};
struct mounts_plan {
	const struct parent *parent;
	bool app;              /* its own shared memory has a bound */
	uint32_t system, home; /* enum jail_wish: system STRICT, FULL, ON (/usr, /boot), OFF; home
				  ON, FULL (to read), OFF */
	bool tmp, devices;     /* of its own */
	bool proc;             /* processes of other users are invisible */
	bool own_hidden;       /* stead's own folders are, but for `path` */
	const struct mounts_path *path;
	unsigned paths;
};
/* Make a namespace like that. Blocks for some milliseconds. 0 and a descriptor of it, the caller's;
 * or -errno with the part's name in ret_step (SPAWN_STEP_MAX bytes). */
int mounts_make(const struct mounts_plan *plan, int *ret_fd, char *ret_step);

#endif
