/*
 * restored.c: see restored.h. Called by stead-backup and, when it was cut off, by whoever starts
 * next. Renames only, but for the configuration, which may lie on another file system and is
 * copied. Owns nothing.
 */
#include "restored.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/must.h"
#include "lib/sys.h"
#include "tree.h"

/* Below /etc. */
#define CONFIG_NEW "stead.new"
#define RESTORED_CONFIG "stead"
#define RESTORED_CONFIG_OLD "stead.before-restore"
/* In the folder: what was there is away. */
#define RESTORED_GONE "gone"

/* What a state is made of, as far as it is in a backup. */
static const char *const moved[] = {"state.db", "state.db-wal", "state.db-shm", "keys", "ca",
	"data", "public", "apps", "pg", RESTORED_MARK};

static bool exists(int dir, const char *name)
{
	return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int sync_folder(int dir)
{
	return fsync(dir) < 0 ? -errno : 0;
}

/* ---- the configuration ---- */

static int copy_file(int from, int to, const char *name, const struct stat *st)
{
	int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), out = -1,
	    r = in < 0 ? -errno : 0;
	char mem[16384];
	ssize_t n = 0;

	if (r == 0) {
		out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		r = out < 0 ? -errno : 0;
	}
	while (r == 0 && (n = read(in, mem, sizeof mem)) > 0)
		if (write(out, mem, (size_t)n) != n)
			r = errno ? -errno : -ENOSPC;
	if (r == 0 && (n < 0 || fchown(out, st->st_uid, st->st_gid) < 0 ||
			      fchmod(out, st->st_mode & 0777) < 0 || fsync(out) < 0))
		r = -errno;
	if (in >= 0)
		(void)close(in);
	if (out >= 0)
		(void)close(out);
	return r;
}

static int copy_folder(int from, int to, unsigned depth);

static int copy_entry(int from, int to, const char *name, unsigned depth)
{
	char target[4096];
	struct stat st;
	int in, out, r;
	ssize_t n;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISREG(st.st_mode))
		return copy_file(from, to, name, &st);
	if (S_ISLNK(st.st_mode)) {
		n = readlinkat(from, name, target, sizeof target - 1);
		if (n < 0)
			return -errno;
		target[n] = '\0';
		return symlinkat(target, to, name) < 0 ? -errno : 0;
	}
	if (!S_ISDIR(st.st_mode) || depth > TREE_DEPTH_MAX)
		return 0;
	if (mkdirat(to, name, 0700) < 0)
		return -errno;
	in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = in < 0 || out < 0 ? -errno : copy_folder(in, out, depth + 1);
	if (r == 0 && (fchown(out, st.st_uid, st.st_gid) < 0 || fchmod(out, st.st_mode & 0777) < 0))
		r = -errno;
	if (in >= 0)
		(void)close(in);
	if (out >= 0)
		(void)close(out);
	return r;
}

static int copy_folder(int from, int to, unsigned depth)
{
	int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d)
		return -errno;
	while (r == 0 && (errno = 0, e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = copy_entry(from, to, e->d_name, depth);
	if (r == 0 && errno)
		r = -errno;
	(void)closedir(d);
	return r == 0 ? sync_folder(to) : r;
}

/* Beside the one that is there, then in its place by one exchange. */
static int put_config(int fresh)
{
	int etc = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (etc < 0)
		return -errno;
	r = tree_remove(etc, CONFIG_NEW);
	if (r == 0 && exists(fresh, "etc") && renameat(fresh, "etc", fresh, CONFIG_NEW) < 0)
		r = -errno;
	if (r == 0)
		r = copy_entry(fresh, etc, CONFIG_NEW, 0);
	if (r == 0 && renameat2(etc, CONFIG_NEW, etc, RESTORED_CONFIG, RENAME_EXCHANGE) < 0)
		r = errno == ENOENT && renameat(etc, CONFIG_NEW, etc, RESTORED_CONFIG) == 0
			    ? 0
			    : -errno;
	if (r == 0 && exists(etc, CONFIG_NEW)) {
		r = tree_remove(etc, RESTORED_CONFIG_OLD);
		if (r == 0 && renameat(etc, CONFIG_NEW, etc, RESTORED_CONFIG_OLD) < 0)
			r = -errno;
	}
	if (r == 0)
		r = sync_folder(etc);
	(void)close(etc);
	/* Done: done again, the old one would be lost. */
	return r == 0 && renameat(fresh, CONFIG_NEW, fresh, "stead.done") < 0 ? -errno : r;
}

/* ---- the state ---- */

/* First everything goes, then everything comes: RESTORED_GONE is between, and so each move says by
 * itself whether it is done. */
static int take_away(int state, int old)
{
	for (size_t i = 0; i < ARRAY_LEN(moved); i++)
		if (exists(state, moved[i]) && renameat(state, moved[i], old, moved[i]) < 0)
			return -errno;
	return 0;
}

static int put_in_place(int state, int fresh)
{
	for (size_t i = 0; i < ARRAY_LEN(moved); i++)
		if (exists(fresh, moved[i]) && renameat(fresh, moved[i], state, moved[i]) < 0)
			return -errno;
	return 0;
}

static int open_below(int dir, const char *name, bool makes)
{
	int fd;

	if (makes && mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Who else may write to the state folder could have made one, and had root go by what lies in it. */
static bool is_own(int at)
{
	struct stat st;

	return fstat(at, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 077) == 0;
}

bool restored_waits(int state)
{
	int at = open_below(state, RESTORED_FOLDER, false);
	bool waits = at >= 0 && is_own(at) && exists(at, RESTORED_GO);

	if (at >= 0)
		(void)close(at);
	return waits;
}

static int set_mark(int at, const char *name)
{
	int fd = openat(at, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600),
	    r = fd < 0 || fsync(fd) < 0 ? -errno : 0;

	if (fd >= 0)
		(void)close(fd);
	return r < 0 ? r : sync_folder(at);
}

static int put_state(int state, int at, int fresh, int old)
{
	int r = exists(at, RESTORED_GONE) ? 0 : take_away(state, old);

	if (r == 0 && !exists(at, RESTORED_GONE))
		r = syncfs(state) < 0 ? -errno : set_mark(at, RESTORED_GONE);
	if (r == 0)
		r = put_in_place(state, fresh);
	if (r == 0 && (syncfs(state) < 0 || unlinkat(at, RESTORED_GO, 0) < 0 || fsync(at) < 0))
		r = -errno;
	return r;
}

int restored_finish(int state, bool sets)
{
	int at, fresh = -1, old = -1, r;

	if (!sets && !restored_waits(state))
		return 0;
	at = open_below(state, RESTORED_FOLDER, false);
	if (at < 0)
		return at;
	r = is_own(at) ? 0 : -EPERM;
	if (r == 0)
		r = fresh = open_below(at, RESTORED_NEW, false);
	if (r >= 0)
		r = old = open_below(at, RESTORED_OLD, true);
	if (r >= 0)
		r = sets ? set_mark(at, RESTORED_GO) : 0;
	if (r == 0 && geteuid() == 0 && (exists(fresh, "etc") || exists(fresh, CONFIG_NEW)))
		r = put_config(fresh);
	if (r == 0)
		r = put_state(state, at, fresh, old);
	if (fresh >= 0)
		(void)close(fresh);
	if (old >= 0)
		(void)close(old);
	(void)close(at);
	return r;
}

int restored_clean(int state)
{
	int r = restored_waits(state) ? -EBUSY : tree_remove(state, RESTORED_FOLDER);

	return r == 0 ? sync_folder(state) : r;
}
