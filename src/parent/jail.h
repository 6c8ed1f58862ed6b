/*
 * jail.h: who a process is and what it may see and do, from the moment before its program runs.
 */
#ifndef STEAD_PARENT_JAIL_H
#define STEAD_PARENT_JAIL_H

#include "tbl/tbl.h"
#include <stdbool.h>
#include <sys/types.h>

struct parent;
struct spec;

/* ---- jail.c ---- */
struct jail_plan {
	uint8_t kind; /* enum jail */
	uint8_t role; /* enum proc */
	uid_t uid;
	gid_t gid;
	gid_t gid_extra; /* a second group, or the same */
	const char *exe; /* the one file that JAIL_ROOT maps besides the libraries */
	int mounts_fd;   /* the mount namespace to enter, or -1 */
	bool own_pids;   /* it is process 1 of a namespace of its own */
	const struct spec *spec; /* of an app's process, or NULL */
	const struct parent *parent;
};
/* In the child, after clone and before exec: every step of the table that fits. 0, or -errno with
 * the step's name. */
int jail_enter(const struct jail_plan *j, const char **ret_step);

/* ---- landlock.c ---- */
/* The version that the kernel speaks; 0: it has none, or it is off. */
int jail_landlock_abi(void);
/* In the child, behind no_new_privs: of files only those below the app's own folders may be written, and no abstract
 * socket of anybody else connected to; as far as the kernel knows it. 0 or -errno. */
int jail_landlock(const struct jail_plan *j);
/* The last before exec: SystemCallFilter=. */
int jail_calls(const struct jail_plan *j);

#endif
