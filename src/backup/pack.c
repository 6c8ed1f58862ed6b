/*
 * pack.c: all of an instance into one file.
 *
 * Called by main.c with the rights of whoever typed `stead backup`, while ctl keeps the state's
 * copy and lets no deploy begin. It reads folders that apps own: every step goes by descriptor, no
 * link is followed, and of what is no file, folder or link there is a count. What is read is copied
 * and never looked into. The file has no name, or a temporary one, until all of it is on the disk.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/must.h"
#include "lib/sys.h"

#include "backup.h"

enum { PIECE = 256 * 1024, IDS_MAX = 32 };

struct pack {
	struct backup *b;
	struct archive_out *out; /* NULL: it is counted only */
	const struct pack_ask *ask;
	uint64_t all, done; /* bytes */
	uint64_t entries;
	int state;        /* the folder */
	const char *skip; /* a name in the folder itself that is left out; NULL: none */
	struct {
		uint32_t id;
		uint16_t name;
	} ids[2][IDS_MAX]; /* the last ones that were looked up */
	unsigned ids_n[2];
	char path[ARCHIVE_PATH_MAX + 1]; /* in the archive */
	uint8_t mem[PIECE];
};

/* ---- who owns it ---- */

static uint16_t name_of(struct pack *p, unsigned group, uint32_t id)
{
	const char *name = "root";
	uint16_t n;

	for (unsigned i = 0; i < min_of(p->ids_n[group], (unsigned)IDS_MAX); i++)
		if (p->ids[group][i].id == id)
			return p->ids[group][i].name;
	if (group) {
		const struct group *gr = getgrgid(id);

		name = gr && strlen(gr->gr_name) < ARCHIVE_NAME_MAX ? gr->gr_name : name;
	} else {
		const struct passwd *pw = getpwuid(id);

		name = pw && strlen(pw->pw_name) < ARCHIVE_NAME_MAX ? pw->pw_name : name;
	}
	n = archive_put_name(p->out, group, name);
	p->ids[group][p->ids_n[group]++ % IDS_MAX].id = id;
	p->ids[group][(p->ids_n[group] - 1) % IDS_MAX].name = n;
	return n;
}

static void put_entry(
	struct pack *p, enum archive_kind kind, const struct stat *st, const char *target)
{
	const struct archive_entry e = {.kind = kind,
		.mode = st->st_mode & 0777,
		.owner = name_of(p, 0, st->st_uid),
		.group = name_of(p, 1, st->st_gid),
		.changed_us = (uint64_t)st->st_mtim.tv_sec * 1000000 +
			      (uint64_t)st->st_mtim.tv_nsec / 1000,
		.path = p->path,
		.target = target};

	archive_put_entry(p->out, &e);
}

/* ---- what is in it ---- */

static int pack_folder(struct pack *p, int fd);

/* As many bytes as it had when it was opened; holes stay holes. */
static int pack_bytes_of(struct pack *p, int fd, off_t size)
{
	off_t at = 0;

	while (at < size) {
		off_t data = lseek(fd, at, SEEK_DATA), hole;

		if (data < 0 && errno != ENXIO)
			data = at; /* a file system without holes */
		if (data < 0 || data >= size)
			data = size;
		archive_put_hole(p->out, (uint64_t)(data - at));
		hole = data < size ? lseek(fd, data, SEEK_HOLE) : size;
		hole = hole < 0 || hole > size ? size : hole;
		for (at = data; at < hole;) {
			ssize_t n = pread(fd, p->mem, (size_t)min_of(hole - at, (off_t)PIECE), at);

			if (n < 0)
				return -errno;
			if (n == 0)
				return 0; /* it has become shorter */
			archive_put_piece(p->out, p->mem, (size_t)n);
			at += n;
			p->done += (uint64_t)n;
			backup_step(p->b, p->done, p->all, "packing");
		}
		if (p->out->err)
			return 0;
	}
	return 0;
}

static int pack_file(struct pack *p, int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), r = 0;
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return 0; /* gone meanwhile */
	if (fd < 0 || fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode))
		p->b->left_out++;
	else if (!p->out) {
		p->all += min_of((uint64_t)st.st_size, (uint64_t)st.st_blocks * 512);
	} else {
		put_entry(p, ARCHIVE_FILE, &st, "");
		r = pack_bytes_of(p, fd, min_of(st.st_size, (off_t)ARCHIVE_FILE_MAX));
		archive_put_end(p->out);
	}
	if (fd >= 0)
		(void)close(fd);
	return r < 0 ? backup_failed(p->b, r, "read", p->path) : 0;
}

static int pack_link(struct pack *p, int dir, const char *name, const struct stat *st)
{
	char target[ARCHIVE_PATH_MAX + 1];
	ssize_t n = readlinkat(dir, name, target, sizeof target);

	if (n <= 0 || n >= (ssize_t)sizeof target) {
		p->b->left_out++;
		return 0;
	}
	target[n] = '\0';
	if (p->out)
		put_entry(p, ARCHIVE_LINK, st, target);
	return 0;
}

static int pack_entry(struct pack *p, int dir, const char *name)
{
	size_t len = strlen(p->path), n = strlen(name);
	struct stat st;
	int r = 0, fd;

	if (len + n + 2 > sizeof p->path) {
		p->b->left_out++;
		return 0;
	}
	p->path[len] = '/';
	memcpy(p->path + len + 1, name, n + 1);
	/* As deep as it may be: the end of walking, too. */
	if (!archive_path_valid(p->path)) {
		p->path[len] = '\0';
		p->b->left_out++;
		return 0;
	}
	p->entries++;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = errno == ENOENT ? 0 : backup_failed(p->b, -errno, "look at", p->path);
	else if (S_ISREG(st.st_mode))
		r = pack_file(p, dir, name);
	else if (S_ISLNK(st.st_mode))
		r = pack_link(p, dir, name, &st);
	else if (S_ISDIR(st.st_mode)) {
		fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			r = errno == ENOENT ? 0 : backup_failed(p->b, -errno, "open", p->path);
		else
			r = pack_folder(p, fd);
	} else
		p->b->left_out++;
	p->path[len] = '\0';
	return r;
}

/* The folder at p->path, and what is in it. Takes fd. */
static int pack_folder(struct pack *p, int fd)
{
	const char *skip = p->skip;
	struct dirent *e;
	struct stat st;
	DIR *d = fdopendir(fd);
	int r = 0;

	p->skip = NULL;
	if (!d || fstat(fd, &st) < 0) {
		r = backup_failed(p->b, -errno, "open", p->path);
		if (!d)
			(void)close(fd);
		else
			(void)closedir(d);
		return r;
	}
	if (p->out)
		put_entry(p, ARCHIVE_FOLDER, &st, "");
	while (r == 0 && (errno = 0, e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
			!(skip && strcmp(e->d_name, skip) == 0))
			r = pack_entry(p, fd, e->d_name);
	if (r == 0 && errno)
		r = backup_failed(p->b, -errno, "list", p->path);
	(void)closedir(d);
	return r;
}

/* A folder below `dir` under another name in the archive; one that is not there is left out. */
static int pack_tree(struct pack *p, int dir, const char *from, const char *as)
{
	int fd = sys_open_nosymlink(dir, from, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

	(void)snprintf(p->path, sizeof p->path, "%s", as);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	return fd < 0 ? backup_failed(p->b, fd, "open", from) : pack_folder(p, fd);
}

static void part(struct pack *p, const char *kind, const char *of, const char *user)
{
	char name[ARCHIVE_PART_MAX + 1];

	if (!p->out)
		return;
	(void)snprintf(name, sizeof name, "%.20s%s%.4000s", kind, *of ? " " : "", of);
	archive_put_part(p->out, name, user);
}

static void part_end(struct pack *p)
{
	if (p->out)
		archive_put_part_end(p->out);
}

/* ---- the parts ---- */

static int pack_state(struct pack *p)
{
	int r;

	part(p, "state", p->b->state, "");
	(void)snprintf(p->path, sizeof p->path, "state.db");
	r = pack_file(p, p->state, BACKUP_STATE_COPY);
	part_end(p);
	return r;
}

static int pack_keys(struct pack *p)
{
	int r;

	part(p, "keys", "", "");
	r = pack_tree(p, p->state, "keys", "keys");
	if (r == 0)
		r = pack_tree(p, p->state, "ca", "ca");
	part_end(p);
	return r;
}

static int pack_config(struct pack *p)
{
	int r, fd;

	if (!*p->ask->config)
		return 0;
	fd = open(p->ask->config, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return backup_failed(p->b, -errno, "open", p->ask->config);
	part(p, "config", "", "");
	(void)snprintf(p->path, sizeof p->path, "etc");
	r = pack_folder(p, fd);
	part_end(p);
	return r;
}

static const char *owner_of(int dir, const char *name)
{
	const struct passwd *pw;
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_uid == 0)
		return "";
	pw = getpwuid(st.st_uid);
	return pw && strlen(pw->pw_name) < ARCHIVE_NAME_MAX ? pw->pw_name : "";
}

/* What the folder's own app keeps; the published copies of all apps' static files. */
static int pack_own(struct pack *p)
{
	char user[ARCHIVE_NAME_MAX];
	int r;

	(void)snprintf(user, sizeof user, "%s", owner_of(p->state, "data"));
	part(p, "own", p->ask->own, user);
	r = pack_tree(p, p->state, "data", "data");
	if (r == 0)
		r = pack_tree(p, p->state, "public", "public");
	part_end(p);
	return r;
}

static int pack_app(struct pack *p, int apps, const char *name)
{
	char user[ARCHIVE_NAME_MAX], data[300], as[300];
	int r;

	(void)snprintf(data, sizeof data, "%.200s/data", name);
	(void)snprintf(user, sizeof user, "%s", owner_of(apps, data));
	(void)snprintf(as, sizeof as, "apps/%.200s", name);
	part(p, "app", name, user);
	p->skip = "incoming"; /* what a deploy that is cut off left */
	r = pack_tree(p, apps, name, as);
	p->skip = NULL;
	part_end(p);
	return r;
}

static int pack_apps(struct pack *p)
{
	int fd = sys_open_nosymlink(p->state, "apps", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), r = 0;
	struct stat st;
	struct dirent *e;
	DIR *d;

	if (fd == -ENOENT)
		return 0;
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d || fstat(fd, &st) < 0)
		return backup_failed(p->b, fd < 0 ? fd : -errno, "open", "apps");
	part(p, "apps", "", "");
	(void)snprintf(p->path, sizeof p->path, "apps");
	if (p->out)
		put_entry(p, ARCHIVE_FOLDER, &st, "");
	part_end(p);
	while (r == 0 && (errno = 0, e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			r = pack_app(p, fd, e->d_name);
	/* An app that is not seen would be missed when it is too late. */
	if (r == 0 && errno)
		r = backup_failed(p->b, -errno, "list", "apps");
	(void)closedir(d);
	return r;
}

static void put_folder_of(struct pack *p, const char *path, const struct stat *st)
{
	(void)snprintf(p->path, sizeof p->path, "%s", path);
	put_entry(p, ARCHIVE_FOLDER, st, "");
}

/* Each as a file for pg_restore(1), where the new cluster's process finds it. */
static int pack_databases(struct pack *p)
{
	const char *line = p->ask->databases;
	struct stat st;
	int r = 0;

	if (!p->out || !*line)
		return 0;
	if (fstatat(p->state, "pg", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return backup_failed(p->b, -errno, "look at", "pg");
	part(p, "databases", "", "");
	st.st_mode = S_IFDIR | 0700;
	put_folder_of(p, "pg", &st);
	put_folder_of(p, "pg/restore", &st);
	part_end(p);
	st.st_mode = S_IFREG | 0600;
	for (; r == 0 && *line; line += strcspn(line, "\n") + 1) {
		char database[64];

		(void)snprintf(database, sizeof database, "%.*s",
			(int)min_of(strcspn(line, "\n"), (size_t)63), line);
		part(p, "database", database, "");
		(void)snprintf(p->path, sizeof p->path, "pg/restore/%s.dump", database);
		put_entry(p, ARCHIVE_FILE, &st, "");
		oneshot_step(p->b->o, UINT32_MAX, "reading the database %s", database);
		r = dump_database(p->b, p->out, p->ask, database);
		archive_put_end(p->out);
		part_end(p);
	}
	return r;
}

static int pack_all(struct pack *p)
{
	int r = pack_state(p);

	if (r == 0)
		r = pack_keys(p);
	if (r == 0)
		r = pack_config(p);
	if (r == 0 && p->out && geteuid() == 0)
		r = pack_people(p->b, p->out);
	if (r == 0)
		r = pack_own(p);
	if (r == 0)
		r = pack_apps(p);
	if (r == 0)
		r = pack_databases(p);
	return r;
}

/* ---- the file ---- */

/* Of a database there is more on the disk than in its dump. */
static uint64_t folder_bytes(int dir, const char *name)
{
	int fd = sys_open_nosymlink(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	uint64_t n = 0;
	struct dirent *e;
	struct stat st;

	while (d && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		n += S_ISDIR(st.st_mode) ? folder_bytes(fd, e->d_name)
					 : (uint64_t)st.st_blocks * 512;
	}
	if (d)
		(void)closedir(d);
	return n;
}

static int see_to_room(struct pack *p, int dir)
{
	uint64_t need = p->all + p->entries * 128 + BACKUP_SPARE_BYTES, have;
	struct statvfs v;

	if (*p->ask->databases)
		need += folder_bytes(p->state, "pg/data/base");
	if (fstatvfs(dir, &v) < 0)
		return 0;
	have = (uint64_t)v.f_bavail * v.f_frsize;
	if (have >= need)
		return 0;
	return failure_set(p->b->f, ENOSPC, EXIT_CODE_FAILED,
		"free some disk space, or name a file on another disk",
		"%s may need %llu MB, and %llu MB are left there.", p->b->file,
		(unsigned long long)(need >> 20), (unsigned long long)(have >> 20));
}

/* Without a name when the file system can do that: a process that is killed leaves nothing. */
static int open_new(int dir, char temp[80])
{
	uint64_t rnd = 0;
	int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	(void)sys_random(&rnd, sizeof rnd);
	(void)snprintf(temp, 80, ".stead-backup.%016llx", (unsigned long long)rnd);
	if (fd < 0)
		fd = openat(dir, temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static int name_it(int fd, int dir, const char *temp, const char *name)
{
	char self[40];
	struct stat st;

	if (fchmod(fd, 0600) < 0 || fstat(fd, &st) < 0)
		return -errno;
	(void)snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
	if (st.st_nlink == 0 && linkat(AT_FDCWD, self, dir, temp, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	if (renameat(dir, temp, dir, name) < 0 || fsync(dir) < 0)
		return -errno;
	return 0;
}

static int pack_into(struct pack *p, int dir, const char *name)
{
	struct archive_out out = {.fd = -1};
	char temp[80];
	int r = pack_all(p); /* how much it is */

	if (r == 0)
		r = see_to_room(p, dir);
	if (r < 0)
		return r;
	p->b->left_out = 0;
	p->b->fd = open_new(dir, temp);
	if (p->b->fd < 0)
		return backup_failed(p->b, p->b->fd, "make", p->b->file);
	r = archive_out_init(&out, p->b->fd);
	p->out = &out;
	if (r == 0)
		r = pack_all(p);
	if (r == 0) {
		oneshot_step(p->b->o, UINT32_MAX, "writing it to the disk");
		r = archive_out_close(&out);
	}
	p->b->head = out.head;
	if (r == 0)
		r = name_it(p->b->fd, dir, temp, name);
	if (r < 0) {
		(void)unlinkat(dir, temp, 0);
		r = backup_failed(p->b, r, "write", p->b->file);
	}
	archive_out_done(&out);
	return r;
}

int pack(struct backup *b, const struct pack_ask *ask)
{
	struct pack *p = calloc(1, sizeof *p);
	const char *slash = strrchr(b->file, '/');
	char folder[PATH_MAX];
	struct stat st;
	int dir, r;

	must(slash != NULL);
	if (!p)
		return backup_failed(b, -ENOMEM, "make", b->file);
	*p = (struct pack){.b = b, .ask = ask, .state = -1};
	(void)snprintf(folder, sizeof folder, "%.*s", slash == b->file ? 1 : (int)(slash - b->file),
		b->file);
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p->state = open(b->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || p->state < 0)
		r = backup_failed(b, -errno, "open", dir < 0 ? folder : b->state);
	else if (fstatat(dir, slash + 1, &st, 0) == 0 && !S_ISREG(st.st_mode))
		r = failure_set(b->f, EEXIST, EXIT_CODE_USAGE, "name a file",
			"%s is there and is no file.", b->file);
	else
		r = pack_into(p, dir, slash + 1);
	if (dir >= 0)
		(void)close(dir);
	if (p->state >= 0)
		(void)close(p->state);
	free(p);
	return r;
}
