/*
 * child.h: the part of a run or a one-shot that the kernel knows: pid, process handle, cgroup (reap.c).
 */
#ifndef STEAD_PARENT_CHILD_H
#define STEAD_PARENT_CHILD_H

#include "cgroup.h"
#include "lib/loop.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct parent;

enum child_kind { CHILD_RUN = 1, CHILD_ONESHOT, CHILD_HOOK, CHILD_TRIAL };
struct child {
	struct child *next, **link; /* list of all that run; link NULL: not in it */
	pid_t pid;                  /* also its session and process group; 0: none */
	int pidfd;
	int cgroup_fd;              /* its own cgroup's folder, or -1 */
	struct cgroup_group *group; /* of an app's: what it is held to; or NULL */
	uint64_t generation;
	uint8_t kind; /* enum child_kind */
	uint32_t group_app; /* between state_load() and adopt.c: saved_run.group */
	bool foreign; /* a killed parent's, or a child's child: its end is seen by its pidfd, and its status by nobody */
	struct lfd lfd; /* … the same descriptor */
	struct op ended;
};

struct spawn;
/* ---- proc_as.c: what is read below /proc/PID between the two is read as that process's user ---- */
void proc_as_begin(const struct parent *p, const struct child *c);
void proc_as_end(const struct parent *p);

void child_init(struct child *c, enum child_kind kind);
/* spawn_run() into a child: its cgroup when there are cgroups, its place in the list. -errno, with
 * the failed step's name in ret_step; then the child is as before. */
int child_start(struct parent *p, struct child *c, struct spawn *ask, const char **ret_step);
/* SIGKILL goes to everything below it; other signals to the process itself, or to its whole group
 * when `group`. Harmless when it is dead. */
void child_signal(struct parent *p, struct child *c, int sig, bool group);
/* It was reaped: out of the list, its cgroup killed and removed. */
void child_ended(struct parent *p, struct child *c);
/* One that another parent had started, or this program before an exec: into the list. A foreign one without a pidfd
 * is told to have ended in a later turn. -errno: it cannot be watched, and was killed. */
int child_adopt(struct parent *p, struct child *c, bool foreign);
/* That process, which has to be in the child's cgroup, is watched in its place: its end is seen by its handle, and its
 * status only when it is a child of ours by then. -ESRCH: it is not there; -errno. */
int child_moves(struct parent *p, struct child *c, pid_t pid);
op_done child_on_foreign_end;
int reap_init(struct parent *p);
/* Collect all that died; each of ours goes to its owner, an orphan is only buried. */
void reap_all(struct parent *p);
/* Kill and bury whatever still descends from this process. Blocking, bounded in time; only at the
 * end. The number of processes that could not be ended (in the kernel's D state). */
unsigned reap_sweep(struct parent *p);

#endif
