/*
 * mounts.h: what of the file system a jailed process sees (mounts.c), and for whom that is made (view.c).
 */
#ifndef STEAD_PARENT_MOUNTS_H
#define STEAD_PARENT_MOUNTS_H

#include "tbl/tbl.h"
#include <stdbool.h>
#include <sys/types.h>

struct parent;
struct spec;

struct mounts_path {
	uint32_t kind; /* enum jail_path */
	const char *path;
};
struct mounts_plan {
	const struct parent *parent;
	const char *shared; /* nothing of what follows: the machine's files as they are, and what is mounted below this
			       folder later is seen in each namespace that was made of this one; or NULL */
	uid_t uid; /* of the app, for what is its own */
	gid_t gid;
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

/* A /proc of the caller's processes over the one that is there: others' users' invisible, what of it is the machine's only
 * to read or hidden. 0 or -errno. */
int mounts_proc(bool invisible, uint32_t system);

/* ---- usual.c: JAIL_PATH_PLACE ---- */
enum { USUAL_MAX = 5 * 16 };
struct usual {
	struct usual_place {
		int fd;
		const char *path;
		bool write;
	} at[USUAL_MAX];
	unsigned n;
};
/* Is it a place that this app may have for the folder before it? */
bool usual_fits(const char *app, const struct mounts_path *folder, const struct mounts_path *place);
/* Which folders the places are now: another sum when one of them was removed, with which the kernel takes away what was
 * shown there (systemd does so with those of a unit that ends). */
uint64_t usual_seen(const struct mounts_path *path, unsigned paths);
/* In the child, while the machine is seen as it is: take each folder that has a place. 0 or -errno. */
int usual_take(struct usual *u, const struct mounts_plan *m);
/* … and at last: show them there. Closes what was taken. 0 or -errno. */
int usual_put(struct usual *u);

/* ---- view.c: mount namespaces; *ret_fd is -1 where there is none, and the parent's. -errno with the step's name in
 * ret_step (SPAWN_STEP_MAX bytes) ---- */
int view_app(struct parent *p, struct spec *spec, int *ret_fd, char *ret_step);
int view_role(struct parent *p, enum proc role, int *ret_fd, char *ret_step);
/* Its next process gets a namespace made anew. */
void view_forget(struct spec *spec);
void view_done(struct parent *p);

#endif
