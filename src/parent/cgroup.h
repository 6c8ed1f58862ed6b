/*
 * cgroup.h: the folders of the kernel's cgroups that this parent made: one for each process that it
 * starts, one for each app above its processes (cgroup.c), and what they hold the app to
 * (limits.c).
 *
 *   OWN/stead-PID/GENERATION             a process of stead's own, or the database
 *   OWN/stead-PID/apps/app-N/GENERATION  one run of an app's process; the limits are app-N's
 *   OWN/stead-PID/parent                 the parent itself, where the kernel wants nobody above
 * controllers
 *
 * The same folders without GENERATION in each v1 hierarchy whose controller the v2 tree does not
 * have.
 */
#ifndef STEAD_PARENT_CGROUP_H
#define STEAD_PARENT_CGROUP_H

#include "tbl/tbl.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct parent;

struct cgroup_group {
	struct cgroup_group *next;
	uint32_t app;
	unsigned runs;                     /* processes in it */
	int v2;                            /* its folder, or -1 */
	int v1[PROTECTION_CONTROLLERS];    /* the same in that hierarchy, or -1 */
	int procs[PROTECTION_CONTROLLERS]; /* cgroup.procs of those, for children to enter by; or -1
					    */
	uint64_t oom_kills;                /* how many were seen */
	struct msg_jail set;               /* what was last written; version 0: nothing yet */
};

struct cgroups {
	int own;  /* the v2 folder that the parent was started in, or -1 */
	int apps; /* the v2 folder of all apps, or -1 */
	int v1_apps[PROTECTION_CONTROLLERS];
	uint8_t where[PROTECTION_CONTROLLERS]; /* enum protection_cgroup */
	bool moved;                            /* the parent left `own` for a folder below */
	uint64_t apps_memory_max;
	char why[128]; /* limits are not in effect, because …; "" */
	struct cgroup_group *groups;
};

/* ---- cgroup.c ---- */
/* As root: finds a writable cgroup v2 folder and makes stead's own below it; without one
 * p->cgroup_fd stays -1 and process groups do the work. Then where controllers are, by
 * limits_init(). */
void cgroup_init(struct parent *p);
/* A folder for one process, below the group's when there is one (may be NULL). A descriptor, or -1:
 * there are none. */
int cgroup_make(struct parent *p, const struct cgroup_group *g, uint64_t generation);
void cgroup_kill(int cgroup_fd);
/* A signal to every process in it. False: there is none, or they cannot be listed. */
bool cgroup_signal(int cgroup_fd, int sig);
/* The first process in it that is not `but`; 0: there is none, or they cannot be listed. */
pid_t cgroup_first(int cgroup_fd, pid_t but);
bool cgroup_has(int cgroup_fd, pid_t pid);
void cgroup_remove(struct parent *p, const struct cgroup_group *g, uint64_t generation);
/* End all that is in the groups of parents that are no more, below the group of this process. p is about to be thrown away. */
void cgroup_kill_left(struct parent *p);
/* Kill what stands in a folder of a process that is not in the list: the parent before had started it and was killed
 * before it could say so. */
void cgroup_kill_unknown(struct parent *p);
void cgroup_done(struct parent *p);
/* mkdir and open; a folder that is there already is taken. -errno. */
int cgroup_folder(int dirfd, const char *name);
/* Write a line into a file of the kernel's. 0 or -errno. */
int cgroup_write(int dirfd, const char *name, const char *text);
/* Remove a folder with the folders in it, at most `depth` deep; what is busy stays. */
void cgroup_remove_tree(int dirfd, const char *name, unsigned depth);
/* What parents left there that were killed: folders without processes; but not those of that name. */
void cgroup_remove_dead(int dirfd, char *but);
/* Call `each` with the name of every folder below dirfd that is the prefix and a number. */
void cgroup_each(int dirfd, const char *prefix,
	void (*each)(void *arg, int dirfd, const char *name), void *arg);
/* How many of our folders are left there, after those that are empty were removed. */
unsigned cgroup_remove_empty(int dirfd);

/* ---- limits.c ---- */
/* Turn the controllers on that this machine lets us have; `cgroup` is the text of
 * /proc/self/cgroup. */
void limits_init(struct parent *p, const char *cgroup);
/* The group of that app, made when it is not there. NULL: nothing can hold an app here, or -ENOMEM.
 */
struct cgroup_group *limits_group(struct parent *p, uint32_t app);
/* Write what the app is held to, where it differs from what is written. What cannot be set is an
 * event. */
void limits_apply(
	struct parent *p, struct cgroup_group *g, const struct msg_jail *j, const char *app);
/* How many processes the kernel ended for the group's memory since this was asked last. */
uint64_t limits_oom(struct cgroup_group *g);
/* No program of the app is wanted any more: the group goes when it is empty. */
void limits_forget(struct parent *p, uint32_t app);
/* PROTECTION, to ctl. */
void limits_tell(struct parent *p);
void limits_done(struct parent *p);

#endif
