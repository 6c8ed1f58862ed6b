/*
 * mount.c: a folder of the machine is mounted for the gates: read-only, without devices, programs or set-uid, as a part of STATE/public
 * in the mount namespace in which their roots begin (src/parent/view.c), from where every gate has it at once.
 * Nothing is copied, no file's mode or owner changes, and nothing else of the machine comes into sight.
 *
 * A gate reads with its own user's rights. So that the owner's files need not be everybody's, the mount maps the folder's owner
 * and group to the gates' (mount_setattr(2), MOUNT_ATTR_IDMAP), in this mount alone. Root's are never mapped: what only root may read
 * stays closed. Not every file system can do it; then gates read what everybody may.
 *
 * Its own mount namespace has the place as an empty folder: it is removed like any other, and with it the mount goes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/sys.h"

#include "act.h"

enum { STACKED_MAX = 16, LOOKED_MAX = 2000, LOOKED_MS = 100, LOOKED_DEPTH = 16, NUMBER_MAX = 1000000000 };

/* ---- owner and group, seen as the gates' ---- */

struct owners {
	uid_t uid, gate_uid;
	gid_t gid, gate_gid;
	bool mapped;
};

static int write_map(pid_t pid, const char *name, unsigned inside, unsigned outside)
{
	char path[48], text[32];
	int n = snprintf(text, sizeof text, "%u %u 1\n", inside, outside), fd, r;

	(void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = write(fd, text, (size_t)n) == n ? 0 : -errno;
	(void)close(fd);
	return r;
}

/* A user namespace is what a mapping is written down in; nothing ever runs in this one. */
static int name_space(const struct owners *o)
{
	int ready[2], go[2] = {-1, -1}, fd = -1, r = pipe2(ready, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0 ? -errno : 0;
	char path[40], byte = 0;
	pid_t pid = r == 0 ? fork() : -1;

	if (pid == 0) {
		(void)close(go[1]);
		if (unshare(CLONE_NEWUSER) == 0 && write(ready[1], &byte, 1) == 1)
			(void)!read(go[0], &byte, 1);
		_exit(0);
	}
	if (r < 0)
		return r;
	(void)close(ready[1]);
	(void)close(go[0]);
	r = pid < 0 ? -errno : read(ready[0], &byte, 1) == 1 ? 0 : -ENOSPC;
	/* Root's own are not mapped; a map that says something is asked for. */
	if (r == 0)
		r = write_map(pid, "uid_map", o->uid ? o->uid : o->gate_uid, o->gate_uid);
	if (r == 0)
		r = write_map(pid, "gid_map", o->gid ? o->gid : o->gate_gid, o->gate_gid);
	(void)snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
	if (r == 0 && (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		r = -errno;
	(void)close(ready[0]);
	(void)close(go[1]);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	return r < 0 ? r : fd;
}

static int set_attr(int tree, struct mount_attr *a, unsigned flags)
{
	return syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | flags, a, sizeof *a) < 0 ? -errno : 0;
}

static void map_owner(int tree, struct owners *o)
{
	struct mount_attr a = {.attr_set = MOUNT_ATTR_IDMAP};
	int ns = o->uid || o->gid ? name_space(o) : -EPERM;

	if (ns < 0)
		return;
	a.userns_fd = (uint64_t)ns;
	/* What is mounted below may be of a kind that cannot. */
	o->mapped = set_attr(tree, &a, AT_RECURSIVE) == 0 || set_attr(tree, &a, 0) == 0;
	(void)close(ns);
}

/* What lies there as it is, with all that is mounted below it. */
static int clone_tree(int dir, const char *path)
{
	int fd = (int)syscall(
		SYS_open_tree, dir, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | (*path ? 0 : AT_EMPTY_PATH));

	return fd < 0 ? -errno : fd;
}

static int close_tree(int tree)
{
	struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
		.propagation = MS_PRIVATE};

	return set_attr(tree, &a, AT_RECURSIVE);
}

/* ---- what gates cannot read ---- */

struct look {
	const struct owners *o;
	unsigned looked, closed;
	uint64_t until_ms;
	char at[ACT_RESULT_MAX / 2], first[ACT_RESULT_MAX / 2];
};

static uint64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool is_open(const struct owners *o, const struct stat *st)
{
	unsigned need = S_ISDIR(st->st_mode) ? 1 : 4, bits = st->st_mode;

	if (st->st_uid == (o->mapped && o->uid ? o->uid : o->gate_uid))
		bits >>= 6;
	else if (st->st_gid == (o->mapped && o->gid ? o->gid : o->gate_gid))
		bits >>= 3;
	return (bits & need) != 0;
}

static void look_below(struct look *l, int dir, unsigned depth);

static void look_at(struct look *l, int dir, const char *name, unsigned depth)
{
	size_t n = strlen(l->at);
	struct stat st;
	int fd;

	if (snprintf(l->at + n, sizeof l->at - n, "%s%s", n ? "/" : "", name) >= (int)(sizeof l->at - n) ||
		fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))) {
		l->at[n] = '\0';
		return;
	}
	l->looked++;
	if (!is_open(l->o, &st)) {
		if (l->closed++ == 0)
			memcpy(l->first, l->at, sizeof l->first);
	} else if (S_ISDIR(st.st_mode) && depth > 0) {
		fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0)
			look_below(l, fd, depth - 1);
	}
	l->at[n] = '\0';
}

/* Takes dir. */
static void look_below(struct look *l, int dir, unsigned depth)
{
	DIR *d = fdopendir(dir);
	const struct dirent *e;

	if (!d) {
		(void)close(dir);
		return;
	}
	/* What begins with a dot is never served. */
	while (l->looked < LOOKED_MAX && now_ms() < l->until_ms && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			look_at(l, dirfd(d), e->d_name, depth);
	(void)closedir(d);
}

static void look(struct look *l, int src)
{
	int dir = openat(src, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	l->until_ms = now_ms() + LOOKED_MS;
	if (dir >= 0 && fstat(dir, &st) == 0 && !is_open(l->o, &st)) {
		l->closed++;
		l->first[0] = '.';
		(void)close(dir);
	} else if (dir >= 0) {
		look_below(l, dir, LOOKED_DEPTH);
	}
}

/* ---- where it is mounted ---- */

/* public/NUMBER/NAME: the only places. */
static bool is_place(const char *rel)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	char number[16];
	const char *name;
	unsigned long v;
	size_t n;

	if (!rel || strncmp(rel, "public/", 7) != 0)
		return false;
	n = strcspn(rel + 7, "/");
	name = rel + 7 + n;
	if (n == 0 || n >= sizeof number || name[0] != '/' || name[1] == '\0' || name[1 + strspn(name + 1, letters)] != '\0')
		return false;
	memcpy(number, rel + 7, n);
	number[n] = '\0';
	return act_number(number, 1, NUMBER_MAX, &v);
}

static int open_place(const struct act_ctx *ctx, const char *rel)
{
	int root = open(ctx->state_root, O_PATH | O_DIRECTORY | O_CLOEXEC), fd;

	if (root < 0)
		return -errno;
	fd = sys_open_nosymlink(root, rel, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	(void)close(root);
	return fd;
}

static bool is_mounted(int fd)
{
	struct statx sx;

	return statx(fd, "", AT_EMPTY_PATH, 0, &sx) == 0 && (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

/* In the gates' namespace: what is mounted there, taken as it is. */
static int clone_old(const struct act_ctx *ctx, const char *old)
{
	const char *rel = act_below(ctx->state_root, old);
	int fd = is_place(rel) ? open_place(ctx, rel) : -EINVAL, tree;

	if (fd < 0)
		return fd;
	tree = is_mounted(fd) ? clone_tree(fd, "") : -ENOENT;
	(void)close(fd);
	return tree;
}

/* In the gates' namespace. What an attempt before this one mounted there goes. */
static int attach(const struct act_ctx *ctx, int tree, const char *to)
{
	int fd, r = 0;

	for (unsigned i = 0; r == 0 && i < STACKED_MAX; i++)
		r = umount2(to, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
	if (r != -EINVAL)
		return r < 0 ? r : -EBUSY;
	fd = open_place(ctx, act_below(ctx->state_root, to));
	if (fd < 0)
		return fd;
	r = syscall(SYS_move_mount, tree, "", fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ? -errno : 0;
	(void)close(fd);
	return r;
}

static int make_place(const struct act_ctx *ctx, const char *rel)
{
	int fd, r = act_open_below(ctx->state_root, rel, &fd);

	if (r == 0)
		(void)close(fd);
	return r;
}

/* ---- the act ---- */

static int find_gate(struct act_ctx *ctx, struct owners *o)
{
	const struct passwd *pw = getpwnam(ACT_GATE);

	if (!pw || pw->pw_uid == 0 || pw->pw_gid == 0)
		return failure_set(ctx->f, ENOENT, EXIT_CODE_FAILED, "start stead again, which makes it",
			"There is no user " ACT_GATE ", whom published folders are for.");
	o->gate_uid = pw->pw_uid;
	o->gate_gid = pw->pw_gid;
	return 0;
}

/* The folder as a mount that lies nowhere yet. */
static int take(struct act_ctx *ctx, const char *from, const char *file, struct owners *o, struct look *l)
{
	char real[ACT_PATH_MAX];
	int src = act_source_open(ctx, from, file, real), tree, r;
	struct stat st;

	if (src < 0)
		return src;
	tree = clone_tree(src, "");
	r = tree < 0 ? tree : close_tree(tree);
	if (r == 0 && fstat(src, &st) == 0) {
		o->uid = st.st_uid;
		o->gid = st.st_gid;
		map_owner(tree, o);
		l->o = o;
		look(l, src);
	}
	(void)close(src);
	if (r == 0)
		return tree;
	if (tree >= 0)
		(void)close(tree);
	return failure_set(ctx->f, -r, EXIT_CODE_FAILED, "run `stead doctor`: it says what this kernel lacks",
		"The folder %s cannot be mounted for the gates: %s.", from, strerror(-r));
}

int act_tree_mount(struct act_ctx *ctx, const char *from, const char *to, const char *file, const char *old)
{
	const char *rel = act_below(ctx->state_root, to);
	struct owners o = {.mapped = false};
	struct look l = {.closed = 0};
	int tree, r;
	bool kept;

	if (!is_place(rel))
		return failure_set(ctx->f, EINVAL, EXIT_CODE_USAGE, "", "stead mounts folders below %s/public only (asked: \"%.200s\").",
			ctx->state_root, to);
	if (find_gate(ctx, &o) < 0)
		return -ctx->f->err;
	tree = take(ctx, from, file, &o, &l);
	if (tree < 0 && !*old)
		return -ctx->f->err;
	r = make_place(ctx, rel);
	if (r == 0 && setns(ctx->view_fd, CLONE_NEWNS) < 0)
		r = -errno;
	kept = tree < 0;
	if (r == 0 && kept)
		tree = r = clone_old(ctx, old);
	if (r >= 0)
		r = attach(ctx, tree, to);
	if (tree >= 0)
		(void)close(tree);
	/* Why that folder could not be had says more than why its old self could not. */
	if (kept && r < 0)
		return -ctx->f->err;
	if (kept)
		(void)snprintf(ctx->result, sizeof ctx->result, "kept %.*s", ACT_RESULT_MAX - 16, ctx->f->text);
	else
		(void)snprintf(ctx->result, sizeof ctx->result, "%s %u %s", o.mapped ? "mapped" : "plain", l.closed, l.first);
	if (kept)
		*ctx->f = (struct failure){.err = 0};
	return r == 0 ? 0 : failure_set(ctx->f, -r, EXIT_CODE_FAILED, "see `stead logs`, then reload again",
				     "The folder %s cannot be mounted at %s: %s.", from, to, strerror(-r));
}
