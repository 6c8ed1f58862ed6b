/*
 * unpack.c: a folder that comes as a stream is written below one of the app's own, as the app's user.
 *
 * The stream is whoever's who deploys, and its parser (lib/parcel.h) runs here because here is least to lose: this is
 * the user that the code is going to run as. Nothing is written outside the folder that is asked for, whatever lies in
 * it: each step goes by openat2 below its descriptor and follows no link. The disk is looked at first. What is written
 * bears a temporary name until all of it is on the disk.
 */
#include "unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/must.h"
#include "lib/parcel.h"
#include "lib/sys.h"
#include "oneshot/tree.h"
#include "oneshot/persist.h"

enum { QUIET_MS = 20 * 1000, PIECE = 256 * 1024 };
/* Others wait for their turn meanwhile, so a folder comes at this pace at least; how it begins is not looked at. */
enum { PACE_FREE_MS = 30 * 1000, PACE_BYTES_MS = 64 };
#define SPARE_BYTES (64ull << 20)
#define BLOCK_BYTES 4096ull

struct unpack_to {
	struct oneshot *o;
	struct failure *f;
	int root, parent, file; /* the folder; that of the last entry, and its file */
	char parent_path[PARCEL_PATH_MAX + 1];
	uint64_t bytes, done;
	uint32_t entries, told_permille;
	struct parcel parcel;
};

static int failed(struct unpack_to *t, int e, const char *what)
{
	return failure_set(t->f, e, EXIT_CODE_FAILED,
		e == ENOSPC || e == EDQUOT ? "free some disk space, then deploy again"
					   : "see that the filesystem can be written, then deploy again",
		"%s could not be written: %s.", what, strerror(e));
}

static int on_head(void *arg, uint64_t bytes, uint32_t entries)
{
	struct unpack_to *t = arg;
	uint64_t need = bytes + entries * BLOCK_BYTES, have = tree_free_bytes(t->root);

	t->bytes = bytes;
	/* As root it is copied once more; what the app needs to run comes on top. */
	if (have != UINT64_MAX && (have < SPARE_BYTES || have - SPARE_BYTES < 2 * need))
		return failure_set(t->f, ENOSPC, EXIT_CODE_FAILED, "free some disk space, then deploy again",
			"The release needs %llu MB of disk, and %llu MB are left.",
			(unsigned long long)(2 * need + SPARE_BYTES) >> 20, (unsigned long long)have >> 20);
	return 0;
}

/* The folder that the entry lies in, which came before it. */
static int enter(struct unpack_to *t, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;
	int fd;

	*ret_name = slash ? slash + 1 : path;
	if (t->parent >= 0 && strlen(t->parent_path) == n && memcmp(t->parent_path, path, n) == 0)
		return t->parent;
	memcpy(t->parent_path, path, n);
	t->parent_path[n] = '\0';
	fd = sys_open_nosymlink(
		t->root, n ? t->parent_path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (t->parent >= 0)
		(void)close(t->parent);
	t->parent = fd;
	return fd;
}

static int on_entry(void *arg, const struct parcel_entry *e)
{
	struct unpack_to *t = arg;
	const char *name;
	int dir = enter(t, e->path, &name), r = 0;

	if (dir < 0)
		return failed(t, -dir, e->path);
	if (e->kind == PARCEL_FOLDER)
		r = mkdirat(dir, name, 0755) < 0 ? -errno : 0;
	else if (e->kind == PARCEL_LINK)
		r = symlinkat(e->target, dir, name) < 0 ? -errno : 0;
	else if ((t->file = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			  e->executable ? 0755 : 0644)) < 0)
		r = -errno;
	return r < 0 ? failed(t, -r, e->path) : 0;
}

static int on_data(void *arg, const void *p, size_t n)
{
	struct unpack_to *t = arg;
	const char *at = p;
	uint32_t permille;

	t->done += n;
	while (n) {
		ssize_t got = write(t->file, at, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return failed(t, errno, "a file of the release");
		at += got;
		n -= (size_t)got;
	}
	permille = t->bytes ? (uint32_t)(t->done * 1000 / t->bytes) : 1000;
	if (t->o && permille >= t->told_permille + 100) {
		t->told_permille = permille;
		oneshot_step(t->o, permille, "receiving the folder");
	}
	return 0;
}

static int on_end(void *arg)
{
	struct unpack_to *t = arg;
	int r = close(t->file) < 0 ? -errno : 0;

	t->file = -1;
	return r < 0 ? failed(t, -r, "a file of the release") : 0;
}

static const struct parcel_ops ops = {on_head, on_entry, on_data, on_end};

static uint64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool unpack_too_slow(uint64_t bytes, uint64_t ms)
{
	return ms > PACE_FREE_MS && bytes / PACE_BYTES_MS < ms - PACE_FREE_MS;
}

/* 1 with bytes; 0 at the end; -errno. Whoever sends may be slow, and never silent for long. */
static ssize_t read_some(int fd, char *mem, size_t cap)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int ready = poll(&p, 1, QUIET_MS);
		ssize_t n;

		if (ready == 0)
			return -ETIMEDOUT;
		n = ready < 0 ? -1 : read(fd, mem, cap);
		if (n >= 0)
			return n;
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
	}
}

static int read_all(struct unpack_to *t, int fd)
{
	uint64_t began = now_ms(), bytes = 0;
	char *mem = malloc(PIECE);
	int r = mem ? 0 : failed(t, ENOMEM, "the release");

	while (r == 0) {
		ssize_t n = read_some(fd, mem, PIECE);

		bytes += n > 0 ? (uint64_t)n : 0;
		if (n > 0 && unpack_too_slow(bytes, now_ms() - began))
			n = -ETIMEDOUT;
		if (n <= 0)
			r = failure_set(t->f, n < 0 ? (int)-n : EPIPE, EXIT_CODE_FAILED, "deploy again",
				"The folder did not come whole: %s.",
				n < 0 ? strerror((int)-n) : "whoever sent it ended");
		else if ((r = parcel_feed(&t->parcel, mem, (size_t)n)) == -EBADMSG)
			(void)failure_set(t->f, EBADMSG, EXIT_CODE_USAGE,
				"use the `stead` command of the same version", "What came is no folder: %s.",
				t->parcel.why);
	}
	free(mem);
	return r == 1 ? 0 : r;
}

int unpack_receive(struct oneshot *o, struct failure *f, int fd, int dir, const char *name)
{
	struct unpack_to *t = calloc(1, sizeof *t);
	char temp[64];
	int r;

	if (!t)
		return failure_set(f, ENOMEM, EXIT_CODE_FAILED, "free some memory", "Out of memory.");
	*t = (struct unpack_to){.o = o, .f = f, .root = -1, .parent = -1, .file = -1};
	parcel_init(&t->parcel, &ops, t);
	(void)snprintf(temp, sizeof temp, ".%.40s.new", name);
	r = tree_remove(dir, temp);
	if (r == 0)
		r = tree_remove(dir, name);
	if (r == 0 && mkdirat(dir, temp, 0755) < 0)
		r = -errno;
	if (r == 0)
		r = t->root = openat(dir, temp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = r < 0 ? failed(t, -r, "the folder of the release") : read_all(t, fd);
	if (r == 0 && (syncfs(t->root) < 0 || renameat(dir, temp, dir, name) < 0 || fsync(dir) < 0))
		r = failed(t, errno, "the release");
	if (t->file >= 0)
		(void)close(t->file);
	if (t->parent >= 0)
		(void)close(t->parent);
	if (t->root >= 0)
		(void)close(t->root);
	if (r < 0)
		(void)tree_remove(dir, temp);
	free(t);
	return r;
}

/* ---- the question ---- */

struct question {
	struct msg_unpack_ask ask;
	const char *folder, *name, *other, *paths;
	int fd; /* the stream; -1: none */
};

static bool number(const char *name)
{
	return *name && strlen(name) < 12 && strspn(name, "0123456789") == strlen(name);
}

/* A release, or what an app has as a whole. */
static bool removable(const char *name)
{
	static const char *const whole[] = {"releases", "incoming", "own", "php", "data", "cache", "logs", "config"};

	for (size_t i = 0; i < ARRAY_LEN(whole); i++)
		if (strcmp(name, whole[i]) == 0)
			return true;
	return number(name);
}

static int read_question(struct oneshot *o, struct question *q)
{
	struct unpack u;
	const char *tail;
	size_t n;

	if (msg_get(&o->ask, &q->ask, sizeof q->ask, sizeof q->ask) < 0)
		return -EPROTO;
	tail = msg_tail(&o->ask, sizeof q->ask, &n);
	unpack_init(&u, tail, n);
	q->folder = unpack_str(&u);
	q->name = unpack_str(&u);
	q->other = unpack_str(&u);
	q->paths = unpack_str(&u);
	q->fd = o->ask.nfds ? msg_take_fd(&o->ask, 0) : -1;
	if (u.bad || *q->folder != '/' ||
		(q->ask.what == UNPACK_RECEIVE && !number(q->name)) ||
		(q->ask.what == UNPACK_REMOVE && !removable(q->name)) ||
		(q->ask.what == UNPACK_RECEIVE) != (q->fd >= 0))
		return -EPROTO;
	return 0;
}

static int answer(struct oneshot *o, struct failure *f, const struct question *q, int dir)
{
	static const char go[] = "go\n";
	int flags, r;

	switch ((enum unpack_what)q->ask.what) {
	case UNPACK_RECEIVE:
		/* Whoever sends waits for this: what came before it would have been read by another. */
		flags = fcntl(q->fd, F_GETFL);
		if (flags < 0 || fcntl(q->fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ||
			write(q->fd, go, sizeof go - 1) != (ssize_t)(sizeof go - 1))
			return failure_set(f, EPIPE, EXIT_CODE_FAILED, "deploy again",
				"Whoever should send the folder is gone.");
		return unpack_receive(o, f, q->fd, dir, q->name);
	case UNPACK_REMOVE:
		r = tree_remove(dir, q->name);
		return r < 0 ? failure_set(f, -r, EXIT_CODE_FAILED, "see what lies there",
				       "%s/%s cannot be removed: %s.", q->folder, q->name, strerror(-r))
			     : 0;
	case UNPACK_PERSIST:
		return persist_keep(f, dir, q->other, q->paths);
	case UNPACK_LINK:
		return persist_link(f, dir, q->other, q->paths);
	}
	return failure_set(f, ENOSYS, EXIT_CODE_FAILED, "install one version of stead whole",
		"stead-build does not know that question.");
}

int unpack_answer(struct oneshot *o, struct failure *f)
{
	struct question q;
	struct stat st;
	int dir, r;

	if (read_question(o, &q) < 0)
		return -EPROTO;
	dir = open(q.folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || fstat(dir, &st) < 0 || st.st_uid != geteuid())
		r = failure_set(f, dir < 0 ? errno : EPERM, EXIT_CODE_NOT_PERMITTED,
			"remove it: it is made again", "%s is not a folder of the app's user: %s.", q.folder,
			strerror(dir < 0 ? errno : EPERM));
	else
		r = answer(o, f, &q, dir);
	if (dir >= 0)
		(void)close(dir);
	if (q.fd >= 0)
		(void)close(q.fd);
	return r;
}
