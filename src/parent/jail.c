/*
 * jail.c: what a process loses between clone and exec when the parent is root.
 *
 * Called in the child by spawn.c. The table names each step and the kinds of jail (tbl/procs.h)
 * that take it; steps run in order and the first failure ends the child, so no process ever runs
 * with half of its jail. Owns nothing; never runs in the parent itself. Without root only
 * no_new_privs is left, and the parent says at start that the rest is off.
 *
 * JAIL_ROOT: a root folder in memory, read-only, that holds the libraries, the one executable and
 * STATE/public (the published files) at their usual paths, so that paths in a snapshot mean the
 * same with and without a jail. What is mounted below STATE/public in the gates' namespace (view.c), now and later, a gate
 * has too; of all other mounts of the machine it hears nothing. A gate's also has /run/stead/backends, where backends put the Unix
 * sockets that it shall connect to: a folder that stays, so what comes and goes in it is seen.
 */
#include "parent.h"
#include "filter.h"
#include "mounts.h"
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CAP_LAST_MAX = 63, NO_SYMLINKS = 256 /* MS_NOSYMFOLLOW, which older headers do not have */ };

static int fail_errno(int r)
{
	return r < 0 ? -errno : 0;
}

/* What the app or the role sees, made before (view.c). */
static int step_view(const struct jail_plan *j)
{
	if (j->mounts_fd < 0)
		return 0;
	return fail_errno(setns(j->mounts_fd, CLONE_NEWNS));
}

/* /proc shows the processes of the namespace of whoever mounts it, so this one needs a view of its own. */
static int step_own_pids(const struct jail_plan *j)
{
	const struct msg_jail *hold = j->spec != NULL ? &j->spec->jail : NULL;
	bool strict = hold == NULL || hold->system == JAIL_DEFAULT || hold->system == JAIL_STRICT;

	if (!j->own_pids)
		return 0;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	return mounts_proc(hold == NULL || hold->proc != JAIL_OFF, strict ? JAIL_STRICT : JAIL_FULL);
}

static int step_own_ipc(const struct jail_plan *j)
{
	const struct msg_jail *hold = j->spec != NULL ? &j->spec->jail : NULL;
	bool alone = hold != NULL && (hold->flags & JAIL_NO_NETWORK) != 0;

	/* PostgreSQL sees by its shared memory that another server has its data. */
	if (j->role == PROC_POSTGRES || j->role == PROC_DB)
		return 0;

	return fail_errno(unshare(CLONE_NEWIPC | (alone ? CLONE_NEWNET : 0)));
}

/* Nothing that it starts, whatever file it finds, can have one again. */
static int step_capabilities(const struct jail_plan *j)
{
	(void)j;
	for (int cap = 0; cap <= CAP_LAST_MAX; cap++)
		/* Who may not drop it (a container without SETPCAP) has no_new_privs, by which the set does not matter. */
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL && errno != EPERM)
			return -errno;
	return fail_errno(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
}

static int step_filter(const struct jail_plan *j)
{
	struct filter f;

	filter_base(&f, j->spec != NULL ? &j->spec->jail : NULL);
	return filter_install(&f);
}

int jail_calls(const struct jail_plan *j)
{
	struct filter f;

	if (j->spec == NULL)
		return 0;
	filter_calls(&f, &j->spec->jail, j->spec->calls);
	return filter_install(&f);
}

static int step_mount_namespace(const struct jail_plan *j)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWIPC) < 0)
		return -errno;
	return fail_errno(mount(NULL, "/", NULL, MS_REC | (j->mounts_fd >= 0 ? MS_SLAVE : MS_PRIVATE), NULL));
}

/* mkdir -p of `path` below `root`, then the path itself in ret. */
static int make_below(const char *root, const char *path, bool file, char ret[static PATH_MAX])
{
	int n = snprintf(ret, PATH_MAX, "%s%s", root, path);

	if (n < 0 || n >= PATH_MAX)
		return -ENAMETOOLONG;
	for (char *slash = ret + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = '\0';
		if (mkdir(ret, 0755) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	if (!file)
		return mkdir(ret, 0755) < 0 && errno != EEXIST ? -errno : 0;
	int fd = open(ret, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0444);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* MS_REC among the flags: with what is mounted below it, now and later. */
static int bind_below(
	const char *root, const char *from, const char *path, bool file, unsigned long flags)
{
	char to[PATH_MAX];
	int e = make_below(root, path, file, to);

	if (e < 0)
		return e;
	if (mount(from, to, NULL, MS_BIND | (flags & MS_REC), NULL) < 0)
		return -errno;
	if ((flags & MS_REC) == 0 && mount(NULL, to, NULL, MS_PRIVATE, NULL) < 0)
		return -errno;
	return fail_errno(mount(NULL, to, NULL,
		MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | (flags & ~(unsigned long)MS_REC), NULL));
}

/* /lib and the like are folders of their own on some systems and symlinks into /usr on others. */
static int bind_libraries(const char *root)
{
	static const char *const dirs[] = {"/usr/lib", "/usr/lib64", "/lib", "/lib64"};
	char target[PATH_MAX], at[PATH_MAX];
	int e;

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		ssize_t n = readlink(dirs[i], target, sizeof(target) - 1);

		if (n >= 0) {
			target[n] = '\0';
			snprintf(at, sizeof(at), "%s%s", root, dirs[i]);
			if (symlink(target, at) < 0)
				return -errno;
		} else if (access(dirs[i], F_OK) == 0 &&
			   (e = bind_below(root, dirs[i], dirs[i], false, 0)) < 0) {
			return e;
		}
	}
	return 0;
}

/* What a gate checks its TLS backends with; without it every such backend is refused. */
static int bind_authorities(const char *root)
{
	static const char bundle[] = "/etc/ssl/certs/ca-certificates.crt";

	return access(bundle, R_OK) == 0 ? bind_below(root, bundle, bundle, true, MS_NOEXEC) : 0;
}

/* Root's own, or nothing is shown: whoever could swap it would choose what a gate sees. */
static int bind_backends(const char *root)
{
	struct stat st;

	if (lstat(BACKENDS_DIR, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != 0 ||
		(st.st_mode & 022) != 0)
		return 0;
	return bind_below(root, BACKENDS_DIR, BACKENDS_DIR, false, MS_NOEXEC);
}

/* Where programs of apps have their sockets an app may write in its own folder: what lies there under its socket's name must not
 * lead the gates to another's socket. Kernels before 5.10 cannot say that. */
static int bind_places(const char *root, const char *places)
{
	struct stat st;
	int e;

	if (places == NULL || lstat(places, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != 0)
		return 0;
	e = bind_below(root, places, places, false, MS_NOEXEC | NO_SYMLINKS);
	return e == -EINVAL ? bind_below(root, places, places, false, MS_NOEXEC) : e;
}

static int step_root(const struct jail_plan *j)
{
	char root[PATH_MAX], public[PATH_MAX], exe[PATH_MAX], at[2 * PATH_MAX];
	int e;

	snprintf(root, sizeof(root), "%s/root", j->parent->state_dir);
	snprintf(public, sizeof(public), "%s/public", j->parent->state_dir);
	if (realpath(j->exe, exe) == NULL)
		return -errno;
	if (mount("stead", root, "tmpfs", MS_NOSUID | MS_NODEV,
		    "mode=0755,size=64k,nr_inodes=256") < 0)
		return -errno;
	if ((e = bind_libraries(root)) < 0)
		return e;
	/* An installed one lies in /usr/lib, so it is there already, where nothing can be made. */
	snprintf(at, sizeof(at), "%s%s", root, j->exe);
	if (access(at, X_OK) < 0 && (e = bind_below(root, exe, j->exe, true, 0)) < 0)
		return e;
	if ((e = bind_below(root, public, public, false, MS_NOEXEC | (j->mounts_fd >= 0 ? MS_REC : 0))) < 0)
		return e;
	if (j->role == PROC_GATE && ((e = bind_authorities(root)) < 0 || (e = bind_backends(root)) < 0 ||
					   (e = bind_places(root, j->parent->places_dir)) < 0))
		return e;
	if (mount(NULL, root, NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV,
		    "mode=0755,size=64k,nr_inodes=256") < 0)
		return -errno;
	/* Both arguments the same folder: the old root lies on top of the new one until it is
	 * detached. */
	if (chdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
		umount2(".", MNT_DETACH) < 0)
		return -errno;
	return fail_errno(chdir("/"));
}

static int step_groups(const struct jail_plan *j)
{
	gid_t groups[2 + JAIL_GROUPS_MAX] = {j->gid, j->gid_extra};
	size_t n = j->gid_extra != j->gid ? 2 : 1;

	for (unsigned i = 0; j->spec != NULL && i < JAIL_GROUPS_MAX && j->spec->jail.groups[i] != 0; i++)
		groups[n++] = j->spec->jail.groups[i];
	return fail_errno(setgroups(n, groups));
}

static int step_gid(const struct jail_plan *j)
{
	return fail_errno(setresgid(j->gid, j->gid, j->gid));
}

static int step_uid(const struct jail_plan *j)
{
	must(j->uid != 0);
	return fail_errno(setresuid(j->uid, j->uid, j->uid));
}

/* What the uid change must have done; asked for again because everything rests on it. */
static int step_verify(const struct jail_plan *j)
{
	uid_t r, e, s;

	if (getresuid(&r, &e, &s) < 0)
		return -errno;
	return r == j->uid && e == j->uid && s == j->uid && setuid(0) < 0 ? 0 : -EPERM;
}

static int step_no_new_privs(const struct jail_plan *j)
{
	(void)j;
	return fail_errno(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

struct jail_step {
	const char *name;
	int (*run)(const struct jail_plan *j);
	unsigned kinds; /* bit per enum jail */
};
#define KIND(K) (1U << JAIL_##K)
enum { JAILED = KIND(USER) | KIND(ROOT) | KIND(APP) };
static const struct jail_step steps[] = {
	{"view", step_view, JAILED},
	{"own pids", step_own_pids, KIND(APP)},
	{"own ipc", step_own_ipc, KIND(USER) | KIND(APP)},
	{"mount namespace", step_mount_namespace, KIND(ROOT)},
	{"root folder", step_root, KIND(ROOT)},
	{"groups", step_groups, JAILED},
	{"gid", step_gid, JAILED},
	{"capabilities", step_capabilities, JAILED},
	{"uid", step_uid, JAILED},
	{"uid check", step_verify, JAILED},
	{"no_new_privs", step_no_new_privs, JAILED},
	{"landlock", jail_landlock, KIND(APP)},
	{"filter", step_filter, JAILED},
};

int jail_enter(const struct jail_plan *j, const char **ret_step)
{
	if (!j->parent->root) {
		/* An app of the user's own keeps what the user may do; stead's own processes do
		 * not. */
		bool own =
			j->kind == JAIL_ROOT || (j->kind == JAIL_USER && j->role != PROC_POSTGRES);

		*ret_step = "no_new_privs";
		return own ? step_no_new_privs(j) : 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		if ((steps[i].kinds & (1U << j->kind)) == 0)
			continue;
		int e = steps[i].run(j);

		if (e < 0) {
			*ret_step = steps[i].name;
			return e;
		}
	}
	return 0;
}
