/*
 * unpack.c: a file that anybody may have made is looked at, and then unpacked beside the state.
 *
 * Called by main.c. The reader (read.c) runs behind the jail: of the machine it sees the file, its
 * channel and, when it unpacks, the one folder STATE/restore/new. All that it can do wrong is to
 * make something wrong there, and nothing of that is used before all sums are seen to hold. Whose
 * things are is the command line's to say: numbers of this machine by the names in the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/must.h"
#include "lib/sys.h"
#include "oneshot/restored.h"
#include "oneshot/tree.h"

#include "backup.h"

enum { PIECE = 256 * 1024 };

struct unpacking {
	struct backup *b;
	const char *users;
	bool tell, root;        /* root: it can give things away */
	int folder, parent, fd; /* -1: nothing is written; of the last entry; its file */
	char parent_path[ARCHIVE_PATH_MAX + 1];
	uint64_t size; /* of the file */
	uint64_t changed_us, at, read;
	uint32_t id[2][ARCHIVE_NAMES_MAX]; /* of this machine, by the file's numbers */
	unsigned id_n[2];
	struct archive_in in;
};

static int damaged(struct unpacking *u, const char *why, const char *todo)
{
	return failure_set(u->b->f, EBADMSG, EXIT_CODE_USAGE, todo,
		"%s cannot be restored: %s. Nothing was changed.", u->b->file, why);
}

static int failed(struct unpacking *u, int err, const char *path)
{
	return failure_set(u->b->f, -err, EXIT_CODE_FAILED,
		err == -ENOSPC || err == -EDQUOT ? "free some disk space, then restore again"
						 : "see that the file system can be written",
		"%s could not be unpacked: %s. Nothing was changed.", path, strerror(-err));
}

/* ---- what the file says ---- */

static int on_head(void *arg, const struct archive_head *h)
{
	struct unpacking *u = arg;
	struct statvfs v;
	uint64_t have, need;

	u->b->head = *h;
	if (u->size != h->file_bytes)
		return damaged(u,
			u->size < h->file_bytes ? "a part of it is missing"
						: "something stands behind its end",
			"take a whole copy of the file");
	if (u->folder < 0 || fstatvfs(u->folder, &v) < 0)
		return 0;
	have = (uint64_t)v.f_bavail * v.f_frsize;
	/* A database takes more than its dump. */
	need = h->content_bytes + h->content_bytes / 2 + h->entries * BACKUP_BLOCK_BYTES +
	       BACKUP_SPARE_BYTES;
	if (h->entries < UINT32_MAX && h->content_bytes < ARCHIVE_FILE_MAX && have >= need)
		return 0;
	return failure_set(u->b->f, ENOSPC, EXIT_CODE_FAILED,
		"free some disk space, then restore again",
		"What is in %s needs %llu MB beside what is there, and %llu MB are left. Nothing "
		"was changed.",
		u->b->file, (unsigned long long)(need >> 20), (unsigned long long)(have >> 20));
}

/* The number that a line "u NAME NUMBER" or "g NAME NUMBER" gives that name; else root's. */
static uint32_t number_of(const char *lines, char kind, const char *name)
{
	size_t n = strlen(name);

	for (const char *l = lines; *l; l += strcspn(l, "\n") + (l[strcspn(l, "\n")] == '\n'))
		if (l[0] == kind && l[1] == ' ' && strncmp(l + 2, name, n) == 0 && l[2 + n] == ' ')
			return (uint32_t)strtoul(l + 3 + n, NULL, 10);
	return 0;
}

static int on_name(void *arg, unsigned group, const char *name)
{
	const struct msg_backup_name m = {.group = group};
	struct unpacking *u = arg;
	struct buf b;
	int r = 0;

	if (u->id_n[group] == ARCHIVE_NAMES_MAX)
		return -EOVERFLOW;
	u->id[group][u->id_n[group]++] = number_of(u->users, group ? 'g' : 'u', name);
	if (!u->tell)
		return 0;
	buf_init(&b, CHAN_PAYLOAD_MAX - sizeof m);
	pack_str(&b, name);
	r = b.error ? b.error
		    : chan_send_blocking(u->b->o->fd, MSG_BACKUP_NAME, u->b->o->id, &m, sizeof m,
			      b.p, b.len, NULL, 0);
	buf_done(&b);
	return r;
}

static int on_part_end(void *arg, const struct archive_part *p)
{
	const struct msg_backup_part m = {.bytes = p->bytes, .entries = p->entries};
	struct unpacking *u = arg;
	char sum[2 * ARCHIVE_SUM_BYTES + 1];
	struct buf b;
	int r;

	if (!u->tell)
		return 0;
	for (unsigned i = 0; i < ARCHIVE_SUM_BYTES; i++)
		(void)snprintf(sum + 2 * i, 3, "%02x", p->sum[i]);
	buf_init(&b, CHAN_PAYLOAD_MAX - sizeof m);
	pack_str(&b, p->name);
	pack_str(&b, p->user);
	pack_str(&b, sum);
	r = b.error ? b.error
		    : chan_send_blocking(u->b->o->fd, MSG_BACKUP_PART, u->b->o->id, &m, sizeof m,
			      b.p, b.len, NULL, 0);
	buf_done(&b);
	return r;
}

/* ---- entries ---- */

/* What an instance has, and nothing else. */
static bool known_place(const char *path)
{
	static const char *const tops[] = {
		"state.db", "keys", "ca", "etc", "people", "data", "public", "apps", "pg"};
	size_t n = strcspn(path, "/");

	for (size_t i = 0; i < ARRAY_LEN(tops); i++)
		if (strlen(tops[i]) == n && strncmp(tops[i], path, n) == 0)
			return true;
	return false;
}

/* The folder that the entry lies in, which came before it. */
static int enter(struct unpacking *u, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	*ret_name = slash ? slash + 1 : path;
	if (u->parent >= 0 && strlen(u->parent_path) == n && memcmp(u->parent_path, path, n) == 0)
		return u->parent;
	memcpy(u->parent_path, path, n);
	u->parent_path[n] = '\0';
	if (u->parent >= 0)
		(void)close(u->parent);
	u->parent = sys_open_nosymlink(
		u->folder, n ? u->parent_path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	return u->parent;
}

static int make_folder(
	struct unpacking *u, int dir, const char *name, mode_t mode, uid_t uid, gid_t gid)
{
	int fd, r = mkdirat(dir, name, 0700) < 0 ? -errno : 0;

	if (r < 0)
		return r;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* Without root's rights nothing could be made in a folder that its owner may not write. */
	if (fd < 0 || (u->root && fchown(fd, uid, gid) < 0) ||
		fchmod(fd, u->root ? mode : mode | 0700) < 0)
		r = -errno;
	if (fd >= 0)
		(void)close(fd);
	return r;
}

static int on_entry(void *arg, const struct archive_entry *e)
{
	struct unpacking *u = arg;
	uid_t uid = u->id[0][e->owner];
	gid_t gid = u->id[1][e->group];
	const char *name;
	int dir, r = 0;

	if (!known_place(e->path))
		return damaged(u, "it has something that no server of stead has",
			"see where the file is from");
	if (u->folder < 0)
		return 0;
	dir = enter(u, e->path, &name);
	if (dir < 0)
		return failed(u, dir, e->path);
	if (e->kind == ARCHIVE_FOLDER)
		r = make_folder(u, dir, name, e->mode, uid, gid);
	else if (e->kind == ARCHIVE_LINK)
		r = symlinkat(e->target, dir, name) < 0 ||
				    (u->root &&
					    fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
			    ? -errno
			    : 0;
	else if ((u->fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			  0600)) < 0 ||
		 (u->root && fchown(u->fd, uid, gid) < 0) || fchmod(u->fd, e->mode) < 0)
		r = -errno;
	u->changed_us = e->changed_us;
	u->at = 0;
	return r < 0 ? failed(u, r, e->path) : 0;
}

static int on_piece(void *arg, const void *p, size_t n)
{
	struct unpacking *u = arg;
	const char *at = p;

	u->at += n;
	if (u->folder < 0 || (!p && lseek(u->fd, (off_t)n, SEEK_CUR) >= 0))
		return 0;
	if (!p)
		return failed(u, -errno, "a file");
	while (n) {
		ssize_t put = write(u->fd, at, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return failed(u, -errno, "a file");
		at += put;
		n -= (size_t)put;
	}
	return 0;
}

static int on_file_end(void *arg)
{
	struct unpacking *u = arg;
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
		{.tv_sec = (time_t)(u->changed_us / 1000000 % (1ull << 40)),
			.tv_nsec = (long)(u->changed_us % 1000000) * 1000}};
	int r = 0;

	if (u->folder < 0)
		return 0;
	/* A hole may be the last of it. */
	if (ftruncate(u->fd, (off_t)u->at) < 0 || futimens(u->fd, times) < 0)
		r = -errno;
	(void)close(u->fd);
	u->fd = -1;
	return r < 0 ? failed(u, r, "a file") : 0;
}

static const struct archive_ops ops = {.head = on_head,
	.name = on_name,
	.entry = on_entry,
	.piece = on_piece,
	.end = on_file_end,
	.part_end = on_part_end};

/* ---- the whole file ---- */

static int read_all(struct unpacking *u)
{
	char *mem = malloc(PIECE);
	int r = mem ? archive_in_init(&u->in, &ops, u) : -ENOMEM;

	while (r == 0) {
		ssize_t n = read(u->b->fd, mem, PIECE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r = n < 0 ? backup_failed(u->b, -errno, "read", u->b->file)
				  : damaged(u, u->read ? "a part of it is missing" : "it is empty",
					    "take a whole copy of the file");
			break;
		}
		u->read += (uint64_t)n;
		r = archive_feed(&u->in, mem, (size_t)n);
		backup_step(u->b, u->read, u->size,
			u->folder < 0 ? "looking whether it is whole" : "unpacking");
	}
	/* Behind the last record nothing may follow. */
	if (r == 1 && u->read != u->size) {
		u->in.why = "something stands behind its end";
		r = -EBADMSG;
	}
	if (r == -EBADMSG)
		r = damaged(u, u->in.why,
			"take a whole copy of the file; see that it is one of `stead backup`");
	else if (r == -EPROTONOSUPPORT)
		r = damaged(u, u->in.why, "install that version of stead here first");
	else if (r < 0)
		r = backup_failed(u->b, r, "read", u->b->file);
	archive_in_done(&u->in);
	free(mem);
	return r == 1 ? 0 : r;
}

static struct unpacking *unpacking_new(struct backup *b, const char *users)
{
	struct unpacking *u = calloc(1, sizeof *u);
	struct stat st;

	if (!u)
		return NULL;
	u->b = b;
	u->users = users;
	u->root = geteuid() == 0;
	u->folder = u->parent = u->fd = -1;
	b->fd = open(b->file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (b->fd < 0 || fstat(b->fd, &st) < 0)
		(void)failure_set(b->f, errno,
			errno == ENOENT ? EXIT_CODE_NO_SUCH : EXIT_CODE_FAILED,
			"name a file of `stead backup`", "%s cannot be opened: %s.", b->file,
			strerror(errno));
	else if (!S_ISREG(st.st_mode))
		(void)damaged(u, "it is no file", "name a file of `stead backup`");
	else
		u->size = (uint64_t)st.st_size;
	return u;
}

static void unpacking_free(struct unpacking *u)
{
	if (u->parent >= 0)
		(void)close(u->parent);
	if (u->folder >= 0)
		(void)close(u->folder);
	if (u->fd >= 0)
		(void)close(u->fd);
	free(u);
}

int check_file(struct backup *b)
{
	struct unpacking *u = unpacking_new(b, "");
	int r;

	if (!u)
		return backup_failed(b, -ENOMEM, "read", b->file);
	u->tell = true;
	r = -b->f->err;
	if (r == 0 && (r = backup_jail(-1)) < 0)
		r = backup_failed(b, r, "hold the reader of", b->file);
	if (r == 0)
		r = read_all(u);
	unpacking_free(u);
	return r;
}

/* A folder that was not there, open. */
static int make_open(int dir, const char *name)
{
	int fd = mkdirat(dir, name, 0700) < 0
			 ? -1
			 : openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* STATE/restore/new, anew. */
static int make_place(struct unpacking *u)
{
	int state = open(u->b->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r, at;

	if (state < 0)
		return backup_failed(u->b, -errno, "open", u->b->state);
	r = tree_remove(state, RESTORED_FOLDER);
	at = r < 0 ? r : make_open(state, RESTORED_FOLDER);
	r = at < 0 ? at : make_open(at, RESTORED_NEW);
	if (r >= 0)
		u->folder = r;
	if (at >= 0)
		(void)close(at);
	(void)close(state);
	return r < 0 ? failed(u, r, u->b->state) : 0;
}

/* What ctl finds at its start: there are databases to load, and accounts have other numbers. */
static int put_mark(struct unpacking *u, const char *apps)
{
	int fd = openat(u->folder, RESTORED_MARK, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600),
	    r = 0;
	size_t n = strlen(apps);

	if (fd < 0 || write(fd, apps, n) != (ssize_t)n ||
		(u->root && fchown(fd, number_of(u->users, 'u', "stead-ctl"),
				    number_of(u->users, 'g', "stead-ctl")) < 0))
		r = errno ? -errno : -ENOSPC;
	if (fd >= 0)
		(void)close(fd);
	return r < 0 ? failed(u, r, RESTORED_MARK) : 0;
}

int unpack_file(struct backup *b, const char *users, const char *apps)
{
	struct unpacking *u = unpacking_new(b, users);
	int r;

	if (!u)
		return backup_failed(b, -ENOMEM, "read", b->file);
	r = b->f->err ? -b->f->err : make_place(u);
	if (r == 0 && (r = backup_jail(u->folder)) < 0)
		r = backup_failed(b, r, "hold the reader of", b->file);
	if (r == 0)
		r = read_all(u);
	if (r == 0)
		r = put_mark(u, apps);
	if (r == 0) {
		oneshot_step(b->o, UINT32_MAX, "writing it to the disk");
		if (syncfs(u->folder) < 0)
			r = failed(u, -errno, "it");
	}
	unpacking_free(u);
	return r;
}
