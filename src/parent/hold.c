/*
 * hold.c: what a process is held to by the kernel's limits of processes: setrlimit(2), nice, who is
 * ended first when memory is gone, umask; and its way into the v1 hierarchies of its app.
 *
 * Called in the child by spawn.c, before its jail, while it still may. Owns nothing; never runs in
 * the parent itself.
 */
#include "parent.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OOM_ADJUST_APP = 200, ROLE_TASKS_MAX = 256 };

static bool of_app(const struct spawn *ask)
{
	return ask->jail.role == PROC_WORKER || ask->jail.role == PROC_SERVICE ||
	       ask->jail.role == PROC_BUILD;
}

int hold_enter(const struct spawn *ask)
{
	if (ask->group == NULL)
		return 0;
	for (unsigned i = 0; i < PROTECTION_CONTROLLERS; i++)
		if (ask->group->procs[i] >= 0 && write(ask->group->procs[i], "0", 1) < 0)
			return -errno;
	return 0;
}

/* A hard limit above the present one is root's to give; where even root may not, the nearest is
 * taken, as systemd does. */
static int set_limit(int resource, uint64_t soft, uint64_t hard)
{
	struct rlimit now, want = {soft == JAIL_INFINITY ? RLIM_INFINITY : soft,
				   hard == JAIL_INFINITY ? RLIM_INFINITY : hard};

	if (setrlimit((__rlimit_resource_t)resource, &want) == 0)
		return 0;
	if (errno != EPERM || getrlimit((__rlimit_resource_t)resource, &now) < 0)
		return -errno;
	want.rlim_max = min_of(want.rlim_max, now.rlim_max);
	want.rlim_cur = min_of(want.rlim_cur, want.rlim_max);
	return setrlimit((__rlimit_resource_t)resource, &want) < 0 ? -errno : 0;
}

static int oom_adjust(int value, bool asked)
{
	char text[16];
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC), e = 0;

	if (fd < 0)
		return asked ? -errno : 0;
	int n = snprintf(text, sizeof(text), "%d", value);
	/* Who may not lower it is in a container, and has what it was given. */
	if (write(fd, text, (size_t)n) < 0 && errno != EPERM && errno != EACCES)
		e = -errno;
	close(fd);
	return e;
}

int hold_limits(const struct spawn *ask)
{
	const struct msg_jail *j = ask->hold;
	struct rlimit files = {ask->files_max, ask->jail.parent->files_hard};
	uint32_t has = j != NULL ? j->has : 0;
	int e;

	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return -errno;
	/* Private keys stay out of swap; the one who may say so is still root here. */
	if (ask->jail.role == PROC_KEYS && ask->jail.parent->root)
		(void)setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
	/* A core file of stead's own would hold clients' data; an app's, what it was told. */
	if (setrlimit(RLIMIT_CORE, &(struct rlimit){0, RLIM_INFINITY}) < 0 &&
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) < 0)
		return -errno;
	if (!of_app(ask) && setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) < 0)
		return -errno;
	/* All of a role together: none of them starts anybody. */
	if (ask->jail.parent->root && ask->jail.uid != 0 &&
		ask->jail.uid == ask->jail.parent->account[ask->jail.role].uid &&
		set_limit(RLIMIT_NPROC, ROLE_TASKS_MAX, ROLE_TASKS_MAX) < 0)
		return -errno;
	for (int i = 0; j != NULL && i < JAIL_LIMITS; i++)
		if ((j->limits & 1U << i) != 0 &&
			(e = set_limit(i, j->limit[i][0], j->limit[i][1])) < 0)
			return e;
	if (has & JAIL_HAS_OOM)
		e = oom_adjust(j->oom_adjust, true);
	else
		e = of_app(ask) ? oom_adjust(OOM_ADJUST_APP, false) : 0;
	if (e < 0)
		return e;
	if (ask->nice != 0 && setpriority(PRIO_PROCESS, 0, ask->nice) < 0)
		return -errno;
	umask((mode_t)(has & JAIL_HAS_UMASK ? j->umask_bits : ask->mask));
	return 0;
}
