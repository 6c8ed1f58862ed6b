/*
 * spawn.h: how one process is made: spawn.c. Part of parent.h, which includes it behind what it needs.
 */
#ifndef STEAD_PARENT_SPAWN_H
#define STEAD_PARENT_SPAWN_H

struct spawn {
	const char *path; /* absolute */
	char *const *argv, *const *envp;
	const char *cwd; /* NULL: / */
	bool cwd_optional; /* / when it is missing */
	int fd[5];       /* 0 to 4; -1: /dev/null for 0 and 1, inherited for 2, none for 3 and 4 */
	char *pid_at[2]; /* in strings of envp: there the child writes its pid, 12 bytes; or NULL */
	int exe_fd;      /* the executable itself, or -1: by its path */
	int cgroup_fd;   /* -1: none */
	struct cgroup_group *group;  /* of the app, or NULL */
	const struct msg_jail *hold; /* its limits, or NULL */
	int nice;                    /* 0: as the parent */
	unsigned mask;               /* umask */
	int death_signal;            /* sent by the kernel when the parent dies */
	uint64_t files_max;          /* RLIMIT_NOFILE, soft */
	bool fresh;                  /* nothing of its program runs yet: what an earlier one left in RuntimeDirectory= goes */
	struct jail_plan jail;
	char failed[SPAWN_STEP_MAX]; /* the failed step's name, after a failure */
};
void spawn_init(struct spawn *ask, const struct parent *p);
/* One of stead's own executables, as its own user: path, environment, jail. The path lies in
 * ret_path and must live as long as `ask`; spawn_done() closes what was opened. */
int spawn_role(
	struct spawn *ask, const struct parent *p, enum proc role, char ret_path[static PATH_MAX]);
int spawn_role_in(struct spawn *ask, const struct parent *p, const char *dir, enum proc role,
	char ret_path[static PATH_MAX]);
void spawn_done(struct spawn *ask);
/* Blocks until the program runs (exec succeeded) or could not. The pid is also its session. -errno
 * and the step that failed. */
int spawn_run(struct spawn *ask, pid_t *ret_pid, int *ret_pidfd, const char **ret_step);
/* folders.c: in the child, as the app: its own folders. 0 or -errno; -EAGAIN: what is to go is more than goes at once. */
int folders_make(const struct spawn *ask);
/* Fill p->env, the environment that every process of stead's own gets: PATH, LANG, HOME. */
void spawn_env(struct parent *p);

struct run;

/* ---- priority.c: who starts leaves the processor to those that serve ---- */
/* May this parent do that, and take it back? As it is at its own start. */
void priority_init(struct parent *p);
/* Is a run that is about to start to be nicer until it is ready? Only where something tells when it is, and not one
 * that takes the place of a dead one. Before its generation is given. */
bool priority_nicer(const struct run *r);
/* What a process of an app begins with, as setpriority(2) has it; 0: as the parent. */
int priority_of(const struct spec *spec, bool nicer);
/* It is ready: as it was asked to be, all of its process group. */
void priority_ready(struct run *r);

#endif
