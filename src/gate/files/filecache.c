/*
 * filecache.c: the gate's own cache of files and of the folders that they lie in.
 *
 * Called by to_static.c and errorpage.c. Owns descriptors, contents and entries; all three are
 * bounded, the least recently used goes first. Every path is opened below its folder's descriptor
 * by the kernel's own rule (openat2, RESOLVE_BENEATH), so neither ".." nor a symlink leads out of
 * it. Never writes.
 */
#include "filecache.h"
#include "encoding.h"
#include "httpdate.h"
#include "lib/must.h"
#include "lib/sys.h"
#include "mime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUCKETS = 1024, ROOTS_MAX = 64, FRESH_MS = 1000, RACY_NS = 1000000000 };

struct entry {
	struct file file; /* first: a struct file is its entry */
	struct entry *hash_next;
	struct entry *newer, *older;
	uint64_t hash, checked_ms, ino, dev, mtime_ns;
	bool cached; /* the cache itself holds one of file.refs */
	bool racy;   /* written so shortly before it was read that the time may not show a change */
	uint32_t root_len, path_len;
	char key[]; /* root, path, NUL */
};

/* A folder, opened once; looked at again like a file, because a build may have made it anew. */
struct root {
	char *path;
	size_t len;
	int fd;
	uint64_t ino, dev, checked_ms, used_ms;
};

struct filecache {
	struct entry *buckets[BUCKETS];
	struct entry *newest, *oldest;
	unsigned entries, fds;
	size_t memory;
	struct root roots[ROOTS_MAX];
};

/* All of fewer than eight bytes, some of them twice. */
static uint64_t tail(const char *p, size_t n)
{
	const unsigned char *b = (const unsigned char *)p;
	uint32_t first, last;

	if (n < 4)
		return n ? b[0] | (uint64_t)b[n / 2] << 8 | (uint64_t)b[n - 1] << 16 : 0;
	memcpy(&first, p, 4);
	memcpy(&last, p + n - 4, 4);
	return first | (uint64_t)last << 32;
}

static uint64_t mix(uint64_t h, const char *p, size_t n)
{
	for (; n >= 8; n -= 8, p += 8) {
		uint64_t w;

		memcpy(&w, p, 8);
		h = (h ^ w) * 0x9fb21c651e98df25ull;
		h ^= h >> 32;
	}
	h ^= tail(p, n) ^ (uint64_t)n << 56;
	h *= 0x9fb21c651e98df25ull;
	return h ^ h >> 29;
}

int filecache_new(struct gate *g)
{
	g->files = calloc(1, sizeof(*g->files));
	if (!g->files)
		return -ENOMEM;
	for (unsigned i = 0; i < ROOTS_MAX; i++)
		g->files->roots[i].fd = -1;
	return 0;
}

static void entry_free(struct gate *g, struct entry *e)
{
	if (e->file.fd >= 0) {
		close(e->file.fd);
		g->files->fds--;
	}
	if (e->file.body) {
		g->files->memory -= (size_t)e->file.size;
		free((char *)e->file.body);
	}
	free(e);
}

void file_release(struct gate *g, struct file *f)
{
	struct entry *e = (struct entry *)f;

	must(f->refs > 0);
	if (--f->refs == 0)
		entry_free(g, e);
}

/* Cache order. */

static void unlink_order(struct filecache *fc, struct entry *e)
{
	*(e->newer ? &e->newer->older : &fc->newest) = e->older;
	*(e->older ? &e->older->newer : &fc->oldest) = e->newer;
}

static void link_newest(struct filecache *fc, struct entry *e)
{
	e->newer = NULL;
	e->older = fc->newest;
	*(fc->newest ? &fc->newest->newer : &fc->oldest) = e;
	fc->newest = e;
}

static void drop(struct gate *g, struct entry *e)
{
	struct filecache *fc = g->files;
	struct entry **at = &fc->buckets[e->hash % BUCKETS];

	while (*at != e)
		at = &(*at)->hash_next;
	*at = e->hash_next;
	unlink_order(fc, e);
	fc->entries--;
	e->cached = false;
	file_release(g, &e->file);
}

static void make_room(struct gate *g)
{
	struct filecache *fc = g->files;

	while (fc->oldest && (fc->entries >= FILE_ENTRIES_MAX || fc->fds >= FILE_FDS_MAX ||
				     fc->memory > FILE_MEMORY_MAX - FILE_SMALL_MAX)) {
		/* What clients still read keeps its descriptor; letting go of it here frees
		 * nothing. */
		drop(g, fc->oldest);
	}
}

void filecache_free(struct gate *g)
{
	struct filecache *fc = g->files;

	if (!fc)
		return;
	while (fc->oldest)
		drop(g, fc->oldest);
	for (unsigned i = 0; i < ROOTS_MAX; i++) {
		if (fc->roots[i].fd >= 0)
			close(fc->roots[i].fd);
		free(fc->roots[i].path);
	}
	free(fc);
	g->files = NULL;
}

/* Folders. */

static int root_open(struct root *r)
{
	struct stat st;
	int fd = open(r->path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		close(fd);
		return -EIO;
	}
	r->fd = fd;
	r->ino = st.st_ino;
	r->dev = st.st_dev;
	return 0;
}

static void root_check(struct root *r, uint64_t now)
{
	struct stat st;

	if (r->fd < 0 || now - r->checked_ms < FRESH_MS)
		return;
	r->checked_ms = now;
	if (stat(r->path, &st) == 0 && st.st_ino == r->ino && st.st_dev == r->dev)
		return;
	close(r->fd);
	r->fd = -1;
}

/* The folder's descriptor, the cache's. */
static int root_get(struct gate *g, const char *path, size_t len, int *ret_fd)
{
	struct filecache *fc = g->files;
	uint64_t now = loop_now_ms(g->loop);
	struct root *r = NULL, *spare = &fc->roots[0];
	int err;

	for (unsigned i = 0; i < ROOTS_MAX && !r; i++) {
		struct root *it = &fc->roots[i];

		if (it->path && it->len == len && !memcmp(it->path, path, len))
			r = it;
		else if (spare->path && (!it->path || it->used_ms < spare->used_ms))
			spare = it;
	}
	if (!r) {
		char *copy = strndup(path, len);

		if (!copy)
			return -ENOMEM;
		r = spare;
		if (r->fd >= 0)
			close(r->fd);
		free(r->path);
		*r = (struct root){.path = copy, .len = len, .fd = -1};
	}
	r->used_ms = now;
	root_check(r, now);
	if (r->fd < 0) {
		err = root_open(r);
		if (err)
			return err;
		r->checked_ms = now;
	}
	*ret_fd = r->fd;
	return 0;
}

/* Files. */

/* Open for reading below root; a device or a pipe must not hold the gate. */
static int open_file(struct gate *g, const struct entry *key, struct stat *ret_st, int *ret_fd)
{
	const char *path = key->key + key->root_len;
	int root, fd, err = root_get(g, key->key, key->root_len, &root);

	if (err)
		return err;
	while (*path == '/')
		path++;
	if (!*path)
		return -EISDIR;
	fd = sys_open_beneath(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd == -ENOTDIR || fd == -ENAMETOOLONG || fd == -ELOOP || fd == -EXDEV
			       ? -ENOENT
			       : fd;
	if (fstat(fd, ret_st) < 0) {
		close(fd);
		return -EIO;
	}
	if (!S_ISREG(ret_st->st_mode)) {
		close(fd);
		return S_ISDIR(ret_st->st_mode) ? -EISDIR : -ENOENT;
	}
	*ret_fd = fd;
	return 0;
}

static uint64_t mtime_ns(const struct stat *st)
{
	return (uint64_t)st->st_mtim.tv_sec * 1000000000ull + (uint64_t)st->st_mtim.tv_nsec;
}

static char *read_all(int fd, size_t n)
{
	char *p = malloc(n ? n : 1);
	size_t got = 0;

	while (p && got < n) {
		ssize_t r = pread(fd, p + got, n - got, (off_t)got);

		if (r <= 0) {
			if (r < 0 && errno == EINTR)
				continue;
			free(p);
			return NULL;
		}
		got += (size_t)r;
	}
	return p;
}

/* Take the open file into e. */
static int fill(struct gate *g, struct entry *e, int fd, const struct stat *st)
{
	struct file *f = &e->file;
	size_t type_len;

	f->fd = -1;
	f->size = (uint64_t)st->st_size;
	/* Never later than the answer itself (RFC 9110 section 8.8.2.1). */
	f->mtime_s = min_of((int64_t)st->st_mtim.tv_sec, (int64_t)(loop_wall_us(g->loop) / 1000000));
	e->mtime_ns = mtime_ns(st);
	e->ino = st->st_ino;
	e->dev = st->st_dev;
	e->racy = loop_wall_us(g->loop) * 1000 < e->mtime_ns + RACY_NS;
	if (st->st_size <= FILE_SMALL_MAX) {
		f->body = read_all(fd, (size_t)st->st_size);
		if (!f->body)
			return -EIO;
		g->files->memory += (size_t)f->size;
		close(fd);
	} else {
		f->fd = fd;
		g->files->fds++;
	}
	f->type = mime_of(g->mime, e->key, e->root_len + e->path_len, &type_len);
	f->type_len = (uint32_t)type_len;
	f->text = encoding_worth(f->type, type_len);
	f->etag_len = (uint32_t)snprintf(f->etag, sizeof(f->etag), "\"%llx-%llx-%llx\"",
		(unsigned long long)e->mtime_ns, (unsigned long long)f->size,
		(unsigned long long)e->ino);
	http_date_format(f->mtime_s, f->modified);
	return 0;
}

/* What lies encoded beside a text, and is not older. Asked when the file itself is looked at. */
static void find_siblings(struct gate *g, struct entry *e)
{
	const char *path = e->key + e->root_len;
	struct file *f = &e->file;
	char name[4096];
	struct stat st;
	int root;

	f->siblings = 0;
	if (!f->text || e->path_len + 8 > sizeof(name) ||
		root_get(g, e->key, e->root_len, &root) < 0)
		return;
	while (*path == '/')
		path++;
	for (unsigned i = CODING_GZIP; i < CODING_END; i++) {
		int fd;

		(void)snprintf(name, sizeof(name), "%s%s", path, coding_extensions[i]);
		fd = sys_open_beneath(root, name, O_PATH | O_CLOEXEC, 0);
		if (fd < 0)
			continue;
		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && mtime_ns(&st) >= e->mtime_ns)
			f->siblings |= (uint8_t)(1u << i);
		close(fd);
	}
}

static struct entry *find(struct filecache *fc, uint64_t hash, const char *root, size_t root_len,
	const char *path, size_t path_len)
{
	for (struct entry *e = fc->buckets[hash % BUCKETS]; e; e = e->hash_next)
		if (e->hash == hash && e->root_len == root_len && e->path_len == path_len &&
			!memcmp(e->key + root_len, path, path_len) &&
			!memcmp(e->key, root, root_len))
			return e;
	return NULL;
}

/* Is it still what lies there? A file that is gone or another loses its entry. */
static int check(struct gate *g, struct entry *e)
{
	struct stat st;
	int fd, err = open_file(g, e, &st, &fd);

	if (!err) {
		close(fd);
		if (!e->racy && st.st_ino == e->ino && st.st_dev == e->dev &&
			mtime_ns(&st) == e->mtime_ns && (uint64_t)st.st_size == e->file.size) {
			e->checked_ms = loop_now_ms(g->loop);
			find_siblings(g, e);
			return 0;
		}
	}
	drop(g, e);
	return err ? err : -ESTALE;
}

static int load(struct gate *g, uint64_t hash, const char *root, size_t root_len, const char *path,
	size_t path_len, struct entry **ret_entry)
{
	struct filecache *fc = g->files;
	struct entry *e = calloc(1, sizeof(*e) + root_len + path_len + 1);
	struct stat st;
	int fd, err;

	if (!e)
		return -ENOMEM;
	e->file.fd = -1;
	e->hash = hash;
	e->root_len = (uint32_t)root_len;
	e->path_len = (uint32_t)path_len;
	memcpy(e->key, root, root_len);
	memcpy(e->key + root_len, path, path_len);
	/* root_get() takes the folder by its length; the path ends with calloc's NUL. */
	make_room(g);
	err = open_file(g, e, &st, &fd);
	if (!err) {
		err = fill(g, e, fd, &st);
		if (err)
			close(fd);
	}
	if (err) {
		free(e);
		return err;
	}
	e->checked_ms = loop_now_ms(g->loop);
	find_siblings(g, e);
	e->cached = true;
	e->file.refs = 1;
	e->hash_next = fc->buckets[hash % BUCKETS];
	fc->buckets[hash % BUCKETS] = e;
	link_newest(fc, e);
	fc->entries++;
	*ret_entry = e;
	return 0;
}

int filecache_get(struct gate *g, const char *root, size_t root_len, const char *path,
	size_t path_len, struct file **ret_file)
{
	struct filecache *fc = g->files;
	uint64_t hash = mix(mix(root_len, root, root_len), path, path_len);
	struct entry *e = find(fc, hash, root, root_len, path, path_len);
	int err;

	if (path_len > 4096 || memchr(path, 0, path_len))
		return -ENOENT;
	if (e && loop_now_ms(g->loop) - e->checked_ms >= FRESH_MS) {
		err = check(g, e);
		if (err && err != -ESTALE)
			return err;
		if (err)
			e = NULL;
	}
	if (!e) {
		err = load(g, hash, root, root_len, path, path_len, &e);
		if (err)
			return err;
	} else if (fc->newest != e) {
		unlink_order(fc, e);
		link_newest(fc, e);
	}
	e->file.refs++;
	*ret_file = &e->file;
	return 0;
}

const char *filecache_path(const struct file *f)
{
	const struct entry *e = (const struct entry *)f;

	return e->key + e->root_len;
}

int filecache_folder(struct gate *g, const char *root, size_t root_len, const char *path,
	size_t path_len, int *ret_fd)
{
	char below[4096];
	int top, fd, err = root_get(g, root, root_len, &top);

	if (err)
		return err;
	while (path_len && *path == '/') {
		path++;
		path_len--;
	}
	if (path_len + 2 > sizeof(below))
		return -ENOENT;
	memcpy(below, path, path_len);
	memcpy(below + path_len, ".", 2);
	fd = sys_open_beneath(top, below, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd == -EACCES || fd == -EPERM ? fd : -ENOENT;
	*ret_fd = fd;
	return 0;
}
