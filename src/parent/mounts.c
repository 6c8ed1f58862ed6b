/*
 * mounts.c: what a process sees of the file system as root: a mount namespace made once for each
 * app, and for each role of stead's own, which every run of it then enters in microseconds.
 *
 * Called by spawn.c before a process is made. Owns nothing: the namespace lives as long as the
 * descriptor that the caller keeps, or a process in it. The namespace is built by a child of its
 * own, so that the parent never leaves the machine's; the child ends when the parent holds the
 * namespace.
 *
 * What is put back into a hidden folder is taken (open_tree(2)) before it is hidden. The paths come
 * from ctl: whatever they are, they only change what is seen in this namespace, by a user who still
 * has to be let in by each file's own mode.
 */
#include "parent.h"
#include "mounts.h"
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KEPT_MAX = JAIL_PATHS_MAX + 16 };

/* What is put in its place behind everything else, a folder before what lies in it. */
struct kept {
	const char *path;
	int fd;    /* taken before; -1: an empty folder, still open to be filled */
	bool write;
};
struct view {
	const struct mounts_plan *plan;
	struct kept kept[KEPT_MAX];
	unsigned n;
	struct usual usual;
	const char *at; /* what is being done, for the message */
};

static int set_attr(const char *path, uint64_t set, uint64_t clear)
{
	struct mount_attr a = {.attr_set = set, .attr_clr = clear};

	return syscall(SYS_mount_setattr, AT_FDCWD, path, AT_RECURSIVE, &a, sizeof(a)) < 0 ? -errno
											   : 0;
}

/* Take it as it is now, to be put back at its path. Missing: nothing, when it may be. */
static int keep(struct view *v, const char *path, bool write, bool optional)
{
	if (v->n >= KEPT_MAX)
		return -E2BIG;
	int fd = (int)syscall(
		SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (fd < 0)
		return optional && errno == ENOENT ? 0 : -errno;
	v->kept[v->n++] = (struct kept){path, fd, write};
	return 0;
}

/* mkdir -p; what is there already stays. */
static int make_folders(const char *path)
{
	char part[PATH_MAX];
	int n = snprintf(part, sizeof(part), "%s", path);

	if (n < 0 || n >= (int)sizeof(part))
		return -ENAMETOOLONG;
	for (char *slash = part + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(part, 0755) < 0 && errno != EEXIST && errno != EROFS ? -errno : 0;
}

static int put_back(const struct kept *k)
{
	struct mount_attr a = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
		.attr_clr = k->write ? MOUNT_ATTR_RDONLY : 0};
	struct stat st;

	if (!k->write)
		a.attr_set |= MOUNT_ATTR_RDONLY;
	if (syscall(SYS_mount_setattr, k->fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &a, sizeof(a)) < 0)
		return -errno;
	if (stat(k->path, &st) < 0) {
		int e = fstat(k->fd, &st) == 0 && S_ISDIR(st.st_mode) ? make_folders(k->path)
								      : -ENOENT;

		if (e < 0)
			return e;
	}
	return syscall(SYS_move_mount, k->fd, "", AT_FDCWD, k->path,
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) < 0
		       ? -errno
		       : 0;
}

static int tmpfs(const char *path, const char *options, unsigned long flags)
{
	return mount("stead", path, "tmpfs", MS_NOSUID | MS_NODEV | flags, options) < 0 ? -errno
											: 0;
}

/* An empty folder over it that is still open to be filled; a file becomes an empty one. */
static int hide(const char *path, bool open)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISDIR(st.st_mode))
		/* A device on a mount without devices cannot be opened. */
		return mount("/dev/null", path, NULL, MS_BIND, NULL) < 0
			       ? -errno
			       : set_attr(path, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV, 0);
	return tmpfs(path,
		open ? "mode=0755,size=64k,nr_inodes=512" : "mode=0000,size=4k,nr_inodes=2",
		MS_NOEXEC | (open ? 0 : MS_RDONLY));
}

static int close_hidden(const char *path)
{
	struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY};
	int e = syscall(SYS_mount_setattr, AT_FDCWD, path, 0, &a, sizeof(a)) < 0 ? -errno : 0;

	return e == -ENOENT || e == -EINVAL ? 0 : e; /* it was never there to be hidden */
}

/* ---- the parts ---- */

static const char *const homes[] = {"/home", "/root", "/run/user"};
static const char *const own_folders[] = {"/var/lib/stead", "/run/stead", "/etc/stead"};

static int keep_empty(struct view *v, const char *path)
{
	if (v->n >= KEPT_MAX)
		return -E2BIG;
	v->kept[v->n++] = (struct kept){path, -1, false};
	return 0;
}

/* Stead's own folders stay hidden also where a folder above them is shown again: they stand in the same row. A state
 * folder elsewhere is as much none of an app's business. */
static int keep_own_empty(struct view *v)
{
	const struct mounts_plan *m = v->plan;
	int e = 0;

	for (size_t i = 0; m->own_hidden && e == 0 && i < ARRAY_LEN(own_folders); i++)
		e = keep_empty(v, own_folders[i]);
	return m->own_hidden && e == 0 ? keep_empty(v, m->parent->state_dir) : e;
}

static int part_keep(struct view *v)
{
	const struct mounts_plan *m = v->plan;
	int e = keep_own_empty(v);

	if (e < 0)
		return e;
	for (unsigned i = 0; i < m->paths; i++) {
		uint32_t kind = m->path[i].kind & JAIL_PATH_KINDS;
		bool optional = (m->path[i].kind & JAIL_PATH_OPTIONAL) != 0;

		if (kind != JAIL_PATH_WRITE && kind != JAIL_PATH_READ)
			continue;
		v->at = m->path[i].path;
		if ((e = keep(v, m->path[i].path, kind == JAIL_PATH_WRITE, optional)) < 0)
			return e;
	}
	return usual_take(&v->usual, m);
}

static int part_system(struct view *v)
{
	static const char *const full[] = {"/usr", "/boot", "/efi", "/etc"};
	uint32_t system = v->plan->system;
	int e = set_attr(
		"/", MOUNT_ATTR_NOSUID | (system == JAIL_STRICT ? MOUNT_ATTR_RDONLY : 0), 0);

	for (size_t i = 0; e == 0 && i < ARRAY_LEN(full); i++) {
		struct stat st;

		if (system == JAIL_STRICT || system == JAIL_OFF || lstat(full[i], &st) < 0 ||
			!S_ISDIR(st.st_mode) || (i == ARRAY_LEN(full) - 1 && system != JAIL_FULL))
			continue;
		if (mount(full[i], full[i], NULL, MS_BIND | MS_REC, NULL) < 0)
			return -errno;
		e = set_attr(full[i], MOUNT_ATTR_RDONLY, 0);
	}
	return e;
}

static int part_hide(struct view *v)
{
	const struct mounts_plan *m = v->plan;
	int e = 0;

	for (size_t i = 0; e == 0 && i < ARRAY_LEN(homes); i++) {
		v->at = homes[i];
		if (m->home == JAIL_ON || m->home == JAIL_STRICT)
			e = hide(homes[i], true);
		else if (m->home == JAIL_FULL && access(homes[i], F_OK) == 0 &&
			 mount(homes[i], homes[i], NULL, MS_BIND | MS_REC, NULL) == 0)
			e = set_attr(homes[i], MOUNT_ATTR_RDONLY, 0);
	}
	return e;
}

static int part_tmp(struct view *v)
{
	static const char *const dirs[] = {"/tmp", "/var/tmp"};
	char options[64];
	int e = 0;

	/* Counted as the app's memory, so it can fill no disk; the size is for those without a
	 * limit. */
	snprintf(options, sizeof(options), "mode=1777,size=12%%,nr_inodes=200k");
	for (size_t i = 0; v->plan->tmp && e == 0 && i < ARRAY_LEN(dirs); i++) {
		v->at = dirs[i];
		if (access(dirs[i], F_OK) == 0)
			e = tmpfs(dirs[i], options, 0);
	}
	return e;
}

static int part_devices(struct view *v)
{
	static const char *const names[] = {"null", "zero", "full", "random", "urandom", "tty"};
	static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
		{"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"},
		{"/proc/self/fd/2", "/dev/stderr"}, {"pts/ptmx", "/dev/ptmx"},
		{"/run/systemd/journal/dev-log", "/dev/log"}};
	int fds[ARRAY_LEN(names)], e = 0;
	char path[32];

	if (!v->plan->devices)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "/dev/%s", names[i]);
		fds[i] = (int)syscall(
			SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	}
	if ((e = mount("stead", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC,
			 "mode=0755,size=64k,nr_inodes=64") < 0
			    ? -errno
			    : 0) < 0)
		return e;
	for (size_t i = 0; e == 0 && i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "/dev/%s", names[i]);
		int fd = fds[i] >= 0 ? open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0666) : -1;

		if (fd >= 0)
			close(fd);
		if (fds[i] >= 0 && syscall(SYS_move_mount, fds[i], "", AT_FDCWD, path,
					   MOVE_MOUNT_F_EMPTY_PATH) < 0)
			e = -errno;
		if (fds[i] >= 0)
			close(fds[i]);
	}
	for (size_t i = 0; e == 0 && i < ARRAY_LEN(links); i++)
		if (symlink(links[i][0], links[i][1]) < 0)
			e = -errno;
	if (e == 0 && (mkdir("/dev/shm", 0755) < 0 || mkdir("/dev/pts", 0755) < 0))
		e = -errno;
	if (e == 0)
		e = tmpfs("/dev/shm", v->plan->app ? "mode=1777,size=12%" : "mode=1777", MS_NOEXEC);
	if (e == 0 && mount("stead", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
			      "newinstance,ptmxmode=0666,mode=0620,gid=5") < 0)
		e = -errno;
	return e < 0 ? e : close_hidden("/dev");
}

int mounts_proc(bool invisible, uint32_t system)
{
	static const char *const fixed[] = {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq",
		"/proc/bus", "/proc/fs", "/proc/acpi", "/proc/scsi", "/proc/latency_stats",
		"/proc/mtrr", "/proc/timer_list"};
	static const char *const hidden[] = {"/proc/kcore", "/proc/kallsyms", "/proc/kmsg",
		"/proc/keys", "/proc/key-users", "/proc/kpagecgroup", "/proc/kpagecount",
		"/proc/kpageflags"};
	int e = 0;

	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		    invisible ? "hidepid=invisible" : "hidepid=off") < 0)
		return -errno;
	for (size_t i = 0; e == 0 && i < ARRAY_LEN(fixed); i++) {
		if (access(fixed[i], F_OK) < 0)
			continue;
		if (mount(fixed[i], fixed[i], NULL, MS_BIND, NULL) < 0)
			return -errno;
		e = set_attr(fixed[i],
			MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
				MOUNT_ATTR_NOEXEC,
			0);
	}
	for (size_t i = 0; e == 0 && i < ARRAY_LEN(hidden); i++)
		if (access(hidden[i], F_OK) == 0)
			e = hide(hidden[i], false);
	if (e == 0 && system != JAIL_STRICT && access("/sys", F_OK) == 0)
		e = set_attr("/sys", MOUNT_ATTR_RDONLY, 0);
	return e;
}

static int part_proc(struct view *v)
{
	return mounts_proc(v->plan->proc, v->plan->system);
}

static int by_depth(const void *a, const void *b)
{
	const struct kept *k = a, *l = b;
	size_t n = strlen(k->path), m = strlen(l->path);

	if (n != m)
		return n < m ? -1 : 1;
	/* A server's state is all of /var/lib/stead: hidden, and back for a role. */
	return (l->fd < 0) - (k->fd < 0);
}

/* A folder before what lies in it, so that ReadWritePaths= within ReadOnlyPaths= is one to write,
 * as in systemd. */
static int part_put_back(struct view *v)
{
	int e = 0;

	qsort(v->kept, v->n, sizeof(*v->kept), by_depth);

	for (unsigned i = 0; e == 0 && i < v->n; i++) {
		v->at = v->kept[i].path;
		if (v->kept[i].fd < 0) {
			e = hide(v->kept[i].path, true);
			continue;
		}
		e = put_back(&v->kept[i]);
		close(v->kept[i].fd);
	}
	return e;
}

/* Is what lies there now what was put back, and no hidden folder? A server's state is all of /var/lib/stead. */
static bool is_put_back(const struct view *v, const char *path)
{
	for (unsigned i = 0; i < v->n; i++)
		if (v->kept[i].fd >= 0 && strcmp(v->kept[i].path, path) == 0)
			return true;
	return false;
}

static int close_own(const struct view *v, const char *path)
{
	return is_put_back(v, path) ? 0 : close_hidden(path);
}

static int part_close(struct view *v)
{
	const struct mounts_plan *m = v->plan;
	int e = 0;

	for (size_t i = 0;
		(m->home == JAIL_ON || m->home == JAIL_STRICT) && e == 0 && i < ARRAY_LEN(homes);
		i++)
		e = close_hidden(homes[i]);
	for (size_t i = 0; m->own_hidden && e == 0 && i < ARRAY_LEN(own_folders); i++)
		e = close_own(v, own_folders[i]);
	if (m->own_hidden && e == 0)
		e = close_own(v, m->parent->state_dir);
	for (unsigned i = 0; e == 0 && i < m->paths; i++) {
		uint32_t kind = m->path[i].kind & JAIL_PATH_KINDS;

		v->at = m->path[i].path;
		if (kind == JAIL_PATH_HIDDEN)
			e = hide(m->path[i].path, false);
		else if (kind == JAIL_PATH_EMPTY)
			e = tmpfs(m->path[i].path, "mode=0755,size=12%", 0);
	}
	return e;
}

static int part_usual(struct view *v)
{
	return usual_put(&v->usual);
}

static const struct part {
	const char *name;
	int (*run)(struct view *v);
} parts[] = {
	{"keep folders", part_keep},
	{"system", part_system},
	{"hide folders", part_hide},
	{"private tmp", part_tmp},
	{"devices", part_devices},
	{"proc", part_proc},
	{"own folders", part_put_back},
	{"close folders", part_close},
	{"usual places", part_usual},
};

static int share(const char *folder)
{
	return mount(folder, folder, NULL, MS_BIND, NULL) < 0 || mount(NULL, folder, NULL, MS_SHARED, NULL) < 0 ? -errno : 0;
}

/* In the child: 0, or -errno with the part's name. */
static int build(const struct mounts_plan *plan, const char **ret_step)
{
	struct view *v = calloc(1, sizeof(*v));
	int e = 0;

	*ret_step = "mount namespace";
	if (v == NULL)
		return -ENOMEM;
	v->plan = plan;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return -errno;
	if (plan->shared != NULL) {
		*ret_step = "published folders";
		return share(plan->shared);
	}
	for (size_t i = 0; e == 0 && i < ARRAY_LEN(parts); i++) {
		*ret_step = parts[i].name;
		e = parts[i].run(v);
	}
	return e;
}

struct answer {
	int err;
	char step[SPAWN_STEP_MAX];
};

int mounts_make(const struct mounts_plan *plan, int *ret_fd, char *ret_step)
{
	struct answer a = {.err = -EIO};
	char path[40];
	int say[2], go[2];

	snprintf(ret_step, SPAWN_STEP_MAX, "mount namespace");
	if (pipe2(say, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(go, O_CLOEXEC) < 0) {
		int e = -errno;

		close(say[0]);
		close(say[1]);
		return e;
	}
	pid_t pid = fork();
	if (pid == 0) {
		const char *step;
		char byte;

		close(go[1]);
		umask(022);
		a.err = build(plan, &step);
		snprintf(a.step, sizeof(a.step), "%s", step);
		if (write(say[1], &a, sizeof(a)) == sizeof(a))
			while (read(go[0], &byte, 1) < 0 && errno == EINTR)
				;
		_exit(0);
	}
	int e = pid < 0 ? -errno : 0;
	close(say[1]);
	close(go[0]);
	ssize_t n = -1;
	while (pid > 0 && (n = read(say[0], &a, sizeof(a))) < 0 && errno == EINTR)
		;
	if (e == 0)
		e = n == (ssize_t)sizeof(a) ? a.err : -EIO;
	if (n == (ssize_t)sizeof(a))
		snprintf(ret_step, SPAWN_STEP_MAX, "%.*s", (int)sizeof(a.step) - 1, a.step);
	if (e == 0) {
		snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
		*ret_fd = open(path, O_RDONLY | O_CLOEXEC);
		e = *ret_fd < 0 ? -errno : 0;
	}
	close(say[0]);
	close(go[1]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return e;
}
