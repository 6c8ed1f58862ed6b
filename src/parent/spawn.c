/*
 * spawn.c: makes one process: clone3 with a pidfd and, as root, straight into its cgroup; then in
 * the child signals, descriptors, limits, jail and exec.
 *
 * Called by child_start() only. Every process is a fresh execution, so each has a layout of its
 * own; it leads a session of its own, so that a terminal's Ctrl-C reaches the parent alone and a
 * whole group can be killed. Owns nothing afterwards. Never passes a descriptor that was not asked
 * for, and never passes the parent's environment on.
 */
#include "parent.h"
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ENV_TEXT_MAX = 16 * 1024 };
enum { FD_ASIDE = 16 }; /* above every number that a child is given */

/* What a child that could not become its program says through the pipe. */
struct failure {
	int err;
	char step[SPAWN_STEP_MAX];
};

static int step_signals(const struct spawn *ask)
{
	struct sigaction act = {.sa_handler = SIG_DFL};
	sigset_t none;

	(void)ask;
	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			sigaction(sig, &act, NULL); /* the C library refuses its own two: fine */
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
}

static int step_session(const struct spawn *ask)
{
	(void)ask;
	return setsid() < 0 ? -errno : 0;
}

/* Put the given descriptors at 0 … 4: first out of the way of each other, then in place. */
static int step_descriptors(const struct spawn *ask)
{
	int aside[ARRAY_LEN(ask->fd)];

	for (int i = 0; i < (int)ARRAY_LEN(ask->fd); i++) {
		aside[i] = -1;
		if (ask->fd[i] >= 0) {
			aside[i] = fcntl(ask->fd[i], F_DUPFD_CLOEXEC, FD_ASIDE);
		} else if (i < 2) {
			int null = open("/dev/null", (i == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC);

			aside[i] = null < 0 ? -1 : fcntl(null, F_DUPFD_CLOEXEC, FD_ASIDE);
		} else {
			continue;
		}
		if (aside[i] < 0)
			return -errno;
	}
	for (int i = 0; i < (int)ARRAY_LEN(aside); i++)
		if (aside[i] >= 0 && dup2(aside[i], i) < 0)
			return -errno;
	return 0;
}

/* After the uid is final: a change of it clears the wish. Where the parent's state is kept they outlive it: the next
 * parent takes them over. */
static int step_death_signal(const struct spawn *ask)
{
	return prctl(PR_SET_PDEATHSIG, ask->jail.parent->store != NULL ? 0 : ask->death_signal) < 0 ? -errno : 0;
}

static int step_folder(const struct spawn *ask)
{
	if (chdir(ask->cwd != NULL ? ask->cwd : "/") == 0)
		return 0;
	return ask->cwd_optional && chdir("/") == 0 ? 0 : -errno;
}

struct spawn_step {
	const char *name;
	int (*run)(const struct spawn *ask);
};
static const struct spawn_step before_jail[] = {
	{"signals", step_signals},
	{"session", step_session},
	{"descriptors", step_descriptors},
	{"cgroup", hold_enter},
	{"limits", hold_limits},
};
static const struct spawn_step after_jail[] = {
	{"death signal", step_death_signal},
	{"own folders", folders_make},
	{"working folder", step_folder},
};

_Noreturn static void child_fail(int pipe_fd, const char *step, int err)
{
	struct failure f = {.err = err};

	snprintf(f.step, sizeof(f.step), "%s", step);
	if (write(pipe_fd, &f, sizeof(f)) < 0)
		_exit(126);
	_exit(127);
}

_Noreturn static void child_main(const struct spawn *ask, int pipe_fd, pid_t parent)
{
	const char *step = "descriptors";
	int e, report = fcntl(pipe_fd, F_DUPFD_CLOEXEC, FD_ASIDE);
	int exe = ask->exe_fd >= 0 ? fcntl(ask->exe_fd, F_DUPFD_CLOEXEC, FD_ASIDE) : -1;

	if (report < 0)
		_exit(127);
	for (size_t i = 0; i < ARRAY_LEN(before_jail); i++)
		if ((e = before_jail[i].run(ask)) < 0)
			child_fail(report, before_jail[i].name, e);
	if ((e = jail_enter(&ask->jail, &step)) < 0)
		child_fail(report, step, e);
	for (size_t i = 0; i < ARRAY_LEN(after_jail); i++)
		if ((e = after_jail[i].run(ask)) < 0)
			child_fail(report, after_jail[i].name, e);
	for (size_t i = 0; i < ARRAY_LEN(ask->pid_at); i++)
		if (ask->pid_at[i] != NULL)
			snprintf(ask->pid_at[i], 12, "%d", (int)getpid());
	/* The parent may have died before the death signal was armed. */
	if (!ask->jail.own_pids && getppid() != parent)
		_exit(127);
	/* Everything of the parent's is close-on-exec already; this holds for what others left
	 * open. */
	if (syscall(SYS_close_range, ask->fd[4] >= 0 ? 5U : ask->fd[3] >= 0 ? 4U : 3U, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		child_fail(report, "descriptors", -errno);
	if ((e = jail_calls(&ask->jail)) < 0)
		child_fail(report, "system calls", e);
	/* By descriptor when there is one: the folder of the roles may be closed to the role's
	 * user. */
	if (exe >= 0)
		syscall(SYS_execveat, exe, "", ask->argv, ask->envp, AT_EMPTY_PATH);
	else
		execve(ask->path, ask->argv, ask->envp);
	child_fail(report, "exec", -errno);
}

void spawn_init(struct spawn *ask, const struct parent *p)
{
	*ask = (struct spawn){
		.fd = {-1, -1, -1, -1, -1},
		.exe_fd = -1,
		.cgroup_fd = -1,
		.mask = 022,
		.death_signal = SIGTERM,
		.files_max = p->files_soft,
		.jail = {.kind = JAIL_NONE, .parent = p, .mounts_fd = -1},
	};
}

int spawn_run(struct spawn *ask, pid_t *ret_pid, int *ret_pidfd, const char **ret_step)
{
	struct failure f;
	int report[2], pidfd = -1;
	pid_t parent = getpid();
	ssize_t n;
	struct clone_args args = {
		.flags = CLONE_PIDFD | (ask->cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0) | (ask->jail.own_pids ? CLONE_NEWPID : 0),
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = ask->cgroup_fd >= 0 ? (uint64_t)ask->cgroup_fd : 0,
	};

	*ret_step = "pipe";
	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		child_main(ask, report[1], parent);
	if (pid < 0) {
		n = -errno;
		close(report[0]);
		close(report[1]);
		*ret_step = "clone";
		return (int)n;
	}
	close(report[1]);
	do
		n = read(report[0], &f, sizeof(f));
	while (n < 0 && errno == EINTR);
	close(report[0]);
	if (n == 0) {
		*ret_pid = pid;
		*ret_pidfd = pidfd;
		return 0;
	}
	/* It ends by itself; it was never anybody's, so it is buried here. */
	siginfo_t si;
	while (waitid(P_PID, (id_t)pid, &si, WEXITED) < 0 && errno == EINTR)
		;
	close(pidfd);
	if (n != (ssize_t)sizeof(f))
		return -EIO;
	memcpy(ask->failed, f.step, sizeof(ask->failed));
	ask->failed[sizeof(ask->failed) - 1] = '\0';
	*ret_step = ask->failed;
	return f.err < 0 ? f.err : -EIO;
}

int spawn_role(
	struct spawn *ask, const struct parent *p, enum proc role, char ret_path[static PATH_MAX])
{
	return spawn_role_in(ask, p, p->roles_dir, role, ret_path);
}

int spawn_role_in(struct spawn *ask, const struct parent *p, const char *dir, enum proc role,
	char ret_path[static PATH_MAX])
{
	int n = snprintf(ret_path, PATH_MAX, "%s/stead-%s", dir, proc_rows[role].name);

	if (n < 0 || n >= PATH_MAX)
		return -ENAMETOOLONG;
	/* While a package is being replaced, the roles of the version that runs lie there (pkg/debian/preinst.in). */
	const char *version = strrchr(p->roles_dir, '/');
	if (p->server.on && version != NULL && access(ret_path, X_OK) < 0 &&
		snprintf(ret_path, PATH_MAX, "%.*s/kept%s/stead-%s", (int)(version - p->roles_dir), p->roles_dir, version,
			proc_rows[role].name) >= PATH_MAX)
		return -ENAMETOOLONG;
	ask->path = ret_path;
	ask->envp = p->env;
	ask->jail.kind = proc_rows[role].jail;
	ask->jail.role = (uint8_t)role;
	ask->jail.uid = p->account[role].uid;
	ask->jail.gid = ask->jail.gid_extra = p->account[role].gid;
	ask->jail.exe = ret_path;
	/* Inside a root folder of its own the executable is mapped at its path. */
	if (p->root && ask->jail.kind != JAIL_ROOT)
		ask->exe_fd = open(ret_path, O_PATH | O_CLOEXEC);
	return 0;
}

void spawn_done(struct spawn *ask)
{
	if (ask->exe_fd >= 0)
		close(ask->exe_fd);
	ask->exe_fd = -1;
}

/* As root the values are fixed; the user's own stead keeps the user's, because that is where an
 * interpreter of the user's own is found. */
void spawn_env(struct parent *p)
{
	static const char *const fixed[SPAWN_ENV_BASE][2] = {
		{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		{"LANG", "C.UTF-8"},
		{"HOME", "/"},
	};

	for (unsigned i = 0; i < SPAWN_ENV_BASE; i++) {
		const char *own = p->root ? NULL : getenv(fixed[i][0]);
		char text[ENV_TEXT_MAX];
		int n = snprintf(
			text, sizeof(text), "%s=%s", fixed[i][0], own != NULL ? own : fixed[i][1]);

		if (n >= (int)sizeof(text))
			snprintf(text, sizeof(text), "%s=%s", fixed[i][0], fixed[i][1]);
		p->env[i] = strdup(text);
		if (p->env[i] == NULL)
			fatal("parent", "no memory");
	}
}
