/*
 * init.c: the data folder from nothing to whole, so that a crash at any moment leaves none or a
 * whole one.
 *
 * initdb works in DATA/.new; then every entry but PG_VERSION moves up, then PG_VERSION: that rename
 * is the commit. A folder without PG_VERSION that has .new is a half-made one and is made again;
 * one without both that is not empty belongs to somebody else and is refused. initdb runs without
 * fsync, which would keep the user waiting; .stead-unsynced says so until init_sync() has made the
 * whole filesystem durable, and ctl reports nothing as live before. A power cut before that can
 * leave a cluster whose control file is empty: together with the mark that proves that nothing in
 * it was ever reported, so it is made again too.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sys.h"
#include "oneshot/run.h"
#include "oneshot/tree.h"

#include "db.h"

#define NEW_DIR ".new"
#define UNSYNCED ".stead-unsynced"
#define COMMIT_FILE "PG_VERSION"
enum { CONTROL_FILE_BYTES = 8192 };

static const char *user_name(uid_t uid, char *mem, size_t cap)
{
	struct passwd *pw = getpwuid(uid);

	if (pw)
		(void)snprintf(mem, cap, "%s", pw->pw_name);
	else
		(void)snprintf(mem, cap, "number %u", (unsigned)uid);
	return mem;
}

/* One folder, made when missing, ours, with this mode. -errno with the failure set. */
static int open_own(struct db *db, const char *path, mode_t mode, const char *what, int *ret_fd)
{
	char name[64];
	struct stat st;
	int fd, e;

	if (mkdir(path, mode) < 0 && errno != EEXIST) {
		e = errno;
		return failure_set(db->f, e,
			e == EACCES ? EXIT_CODE_NOT_PERMITTED : EXIT_CODE_FAILED,
			e == ENOSPC ? "free some disk space, then start again"
				    : "see that the folder above it exists and that this user may "
				      "write there",
			"%s %s could not be made by the user %s: %s.", what, path, db->owner,
			strerror(e));
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		e = errno;
		if (fd >= 0)
			(void)close(fd);
		return failure_set(db->f, e,
			e == EACCES ? EXIT_CODE_NOT_PERMITTED : EXIT_CODE_FAILED,
			"see that it is a folder of this user",
			"%s %s cannot be used by the user %s: %s.", what, path, db->owner,
			strerror(e));
	}
	if (st.st_uid != geteuid()) {
		(void)close(fd);
		return failure_set(db->f, EPERM, EXIT_CODE_NOT_PERMITTED,
			"start stead as that user, or choose another folder with --state",
			"%s %s belongs to the user %s, and the database runs as %s.", what, path,
			user_name(st.st_uid, name, sizeof name), db->owner);
	}
	*ret_fd = fd;
	return 0;
}

/* The folder that clients of the server must be able to enter, and nobody else. */
static int socket_folder(struct db *db)
{
	struct stat st;
	int fd, r = open_own(db, db->sockets, 0700, "The runtime folder", &fd);

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0 ||
		(db->gid && st.st_gid != db->gid && fchown(fd, (uid_t)-1, db->gid) < 0) ||
		fchmod(fd, db->many ? 0711 : db->gid ? 0710 : 0700) < 0)
		r = failure_set(db->f, errno, EXIT_CODE_NOT_PERMITTED,
			"remove that folder and start again",
			"The runtime folder %s cannot be opened to the app's group %u: %s.",
			db->sockets, (unsigned)db->gid, strerror(errno));
	(void)close(fd);
	return r;
}

static bool exists(int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool folder_empty(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	bool empty = true;
	struct dirent *e;

	while (d && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			empty = false;
	if (d)
		(void)closedir(d);
	return d && empty;
}

/* Empty the folder, .new last: until then it says whose the rest is. */
static int remove_half_made(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d)
		return -errno;
	if (mkdirat(dirfd, NEW_DIR, 0700) < 0 && errno != EEXIST)
		r = -errno;
	while (r == 0 && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
			strcmp(e->d_name, NEW_DIR) != 0)
			r = tree_remove(dirfd, e->d_name);
	(void)closedir(d);
	return r == 0 ? tree_remove(dirfd, NEW_DIR) : r;
}

/* Was this boot the one in which the cluster was made? */
static bool same_boot(int dirfd)
{
	char *now = NULL, *then = NULL;
	size_t n;
	bool same = sys_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &now, &n) == 0 &&
		    sys_read_file(dirfd, UNSYNCED, 64, &then, &n) == 0 && strcmp(now, then) == 0;

	free(now);
	free(then);
	return same;
}

/* True when a power cut took the cluster before it was made durable: see the file's head. */
static bool lost_before_sync(int dirfd)
{
	char *text = NULL;
	bool lost = true;
	size_t n = 0;

	if (!exists(dirfd, UNSYNCED) || same_boot(dirfd))
		return false;
	if (sys_read_file(dirfd, COMMIT_FILE, 64, &text, &n) == 0 && n > 0) {
		free(text);
		text = NULL;
		if (sys_read_file(dirfd, "global/pg_control", 1 << 20, &text, &n) == 0 &&
			n >= CONTROL_FILE_BYTES)
			for (size_t i = 0; i < n && lost; i++)
				lost = text[i] == 0;
	}
	free(text);
	return lost;
}

static int write_mark(int dirfd)
{
	char *boot;
	size_t n;
	int fd, r = sys_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &boot, &n);

	if (r < 0)
		return r;
	fd = openat(dirfd, UNSYNCED, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		r = -errno;
	else if (write(fd, boot, n) != (ssize_t)n)
		r = -ENOSPC;
	if (fd >= 0)
		(void)close(fd);
	free(boot);
	return r;
}

/* Everything in .new up one level, PG_VERSION last. */
static int commit(int dirfd)
{
	int fd = openat(dirfd, NEW_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct dirent *e;
	int r = 0;
	DIR *d;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		(void)close(fd);
		return -ENOMEM;
	}
	while (r == 0 && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
			strcmp(e->d_name, COMMIT_FILE) == 0)
			continue;
		if (renameat(fd, e->d_name, dirfd, e->d_name) < 0)
			r = -errno;
	}
	if (r == 0)
		r = write_mark(dirfd);
	if (r == 0 && renameat(fd, COMMIT_FILE, dirfd, COMMIT_FILE) < 0)
		r = -errno;
	(void)closedir(d);
	if (r == 0)
		(void)unlinkat(dirfd, NEW_DIR, AT_REMOVEDIR);
	return r;
}

/* initdb's own words with what to do about the usual ones. */
static int initdb_failed(struct db *db, int r, const struct run_end *end)
{
	const char *todo = "the last lines above are initdb's own and say why";

	if (r < 0)
		return failure_set(db->f, -r, EXIT_CODE_FAILED,
			"apt install --reinstall postgresql", "%s/initdb could not be started: %s.",
			db->bin, strerror(-r));
	if (strstr(end->tail, "No space left") || strstr(end->tail, "Disk quota"))
		todo = "free some disk space, then start again; nothing half-made is left in use";
	else if (end->status == -9)
		todo = "free some memory (the kernel kills what asks for too much), then start "
		       "again";
	else if (strstr(end->tail, "locale"))
		todo = "the locale C.UTF-8 is missing here: apt install libc-bin";
	if (end->timed_out)
		return failure_set(db->f, ETIMEDOUT, EXIT_CODE_FAILED,
			"the disk may be very slow or full; try again",
			"initdb did not finish making %s within %d s.", db->data,
			DB_INIT_MS / 1000);
	return failure_set(db->f, EIO, EXIT_CODE_FAILED, todo,
		"initdb could not make the database cluster in %s (%s %d):\n%s", db->data,
		end->status < 0 ? "killed by signal" : "exit status",
		end->status < 0 ? -end->status : end->status, end->tail);
}

static int make_cluster(struct db *db, int dirfd)
{
	static const char *const env[] = {"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", NULL};
	char program[DB_PATH_MAX + 16], path[DB_PATH_MAX + 16];
	const char *argv[] = {program, "-D", path, "--username=" DB_SUPERUSER, "--auth-local=peer",
		"--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8",
		"--data-checksums", "--wal-segsize=4", "--no-sync", NULL};
	struct run run = {.argv = argv, .envp = env, .cwd = "/", .timeout_ms = DB_INIT_MS};
	uint64_t free_bytes = tree_free_bytes(dirfd);
	struct run_end end;
	int fd, r;

	if (free_bytes < DB_FREE_BYTES_MIN)
		return failure_set(db->f, ENOSPC, EXIT_CODE_FAILED,
			"free some disk space, then start again",
			"A new database needs %llu MB, and the disk of %s has %llu MB left.",
			DB_FREE_BYTES_MIN >> 20, db->data, (unsigned long long)free_bytes >> 20);
	if (db->o)
		oneshot_step(db->o, UINT32_MAX, "making the database cluster");
	(void)snprintf(program, sizeof program, "%s/initdb", db->bin);
	(void)snprintf(path, sizeof path, "%s/" NEW_DIR, db->data);
	if (mkdirat(dirfd, NEW_DIR, 0700) < 0)
		r = -errno;
	else
		r = 0;
	if (r == 0) {
		r = run_program(&run, &end);
		if (r < 0 || end.status != 0 || end.timed_out) {
			(void)tree_remove(dirfd, NEW_DIR);
			return initdb_failed(db, r, &end);
		}
		fd = openat(dirfd, NEW_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = fd < 0 ? -errno : conf_write(db, fd, true);
		if (fd >= 0)
			(void)close(fd);
	}
	if (r == 0)
		r = commit(dirfd);
	if (r == 0)
		return 0;
	return failure_set(db->f, -r, EXIT_CODE_FAILED,
		r == -ENOSPC ? "free some disk space, then start again"
			     : "see that the folder is writable",
		"The database cluster in %s could not be made: %s.", db->data, strerror(-r));
}

static int existing_cluster(struct db *db, int dirfd)
{
	int r = stale_server(db, dirfd);

	return r < 0 ? r : conf_write(db, dirfd, false);
}

static int init_locked(struct db *db, int dirfd)
{
	if (exists(dirfd, COMMIT_FILE) && !lost_before_sync(dirfd)) {
		(void)tree_remove(dirfd, NEW_DIR);
		return existing_cluster(db, dirfd);
	}
	if (exists(dirfd, NEW_DIR) || exists(dirfd, COMMIT_FILE)) {
		int r;

		if (db->o)
			oneshot_step(db->o, UINT32_MAX, "removing a half-made database cluster");
		r = remove_half_made(dirfd);
		if (r < 0)
			return failure_set(db->f, -r, EXIT_CODE_FAILED,
				"remove that folder and start again",
				"The half-made database in %s could not be removed: %s.", db->data,
				strerror(-r));
	} else if (!folder_empty(dirfd)) {
		return failure_set(db->f, ENOTEMPTY, EXIT_CODE_PROTECTED,
			"move that folder away, or choose another one with --state",
			"%s holds files but no database cluster (there is no PG_VERSION); stead "
			"does not "
			"write over them.",
			db->data);
	}
	return make_cluster(db, dirfd);
}

int init_cluster(struct db *db)
{
	int fd, r = find_bin_again(db);

	if (r == 0)
		r = socket_folder(db);
	if (r == 0)
		r = open_own(db, db->data, 0700, "The data folder", &fd);
	if (r < 0)
		return r;
	if (fchmod(fd, 0700) < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		r = failure_set(db->f, errno, EXIT_CODE_BUSY, "wait for it to end, then try again",
			"The data folder %s is being made by another process.", db->data);
	if (r == 0)
		r = init_locked(db, fd);
	(void)close(fd);
	return r;
}

int init_sync(struct db *db)
{
	int fd, r = open_own(db, db->data, 0700, "The data folder", &fd);

	if (r < 0)
		return r;
	if (exists(fd, UNSYNCED) &&
		(syncfs(fd) < 0 || unlinkat(fd, UNSYNCED, 0) < 0 || fsync(fd) < 0))
		r = failure_set(db->f, errno, EXIT_CODE_FAILED,
			"see `dmesg` and the disk's free space; nothing was reported as done",
			"The new database in %s could not be written to the disk: %s.", db->data,
			strerror(errno));
	(void)close(fd);
	return r;
}
