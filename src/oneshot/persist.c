/*
 * persist.c: see persist.h. Every step goes below a descriptor and follows no link, so that neither a release nor the
 * app's own data folder leads anywhere else.
 */
#include "persist.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/parcel.h"
#include "lib/sys.h"
#include "tree.h"

/* The next line of *at, in ret. False at the end. */
static bool next(const char **at, char ret[PARCEL_PATH_MAX + 1])
{
	size_t n = strcspn(*at, "\n");

	if (n == 0 || n > PARCEL_PATH_MAX)
		return false;
	memcpy(ret, *at, n);
	ret[n] = '\0';
	*at += n + ((*at)[n] == '\n');
	return true;
}

bool persist_valid(const char *paths)
{
	char path[PARCEL_PATH_MAX + 1];

	while (*paths)
		if (!next(&paths, path) || !parcel_path_valid(path))
			return false;
	return true;
}

static int failed(struct failure *f, int e, const char *path)
{
	return failure_set(f, e, EXIT_CODE_FAILED,
		e == ENOSPC	? "free some disk space, then deploy again"
		: e == ELOOP || e == ENOTDIR ? "a path of Persist= may not lead over a link or a file"
					     : "see what lies there",
		"Persist=%s cannot be kept: %s.", path, strerror(e));
}

/* The folder above the path below dir, its parents made; the last part in *ret_name. */
static int above(int dir, const char *path, const char **ret_name)
{
	char part[256];
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *slash;

	for (; fd >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
		size_t n = (size_t)(slash - path);
		int down;

		memcpy(part, path, n);
		part[n] = '\0';
		down = mkdirat(fd, part, 0755) < 0 && errno != EEXIST
			       ? -errno
			       : openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (down == -1)
			down = -errno;
		(void)close(fd);
		fd = down;
	}
	*ret_name = path;
	return fd == -1 ? -errno : fd;
}

static int copy(int from, const char *name, int to, const char *as, unsigned depth);

static int copy_file(int in, int to, const char *as, mode_t mode)
{
	int out = openat(to, as, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0777), r = 0;
	char mem[65536];
	ssize_t n = 0;

	if (out < 0)
		return -errno;
	while (r == 0 && (n = read(in, mem, sizeof mem)) > 0)
		for (ssize_t done = 0, w; done < n && r == 0; done += w)
			if ((w = write(out, mem + done, (size_t)(n - done))) < 0)
				r = -errno;
	if (r == 0 && (n < 0 || fsync(out) < 0))
		r = -errno;
	return close(out) < 0 && r == 0 ? -errno : r;
}

static int copy_folder(int in, int to, const char *as, unsigned depth)
{
	int dup = openat(in, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), out, r = 0;
	DIR *d = dup < 0 ? NULL : fdopendir(dup);
	struct dirent *e;

	if (!d || depth > PARCEL_DEPTH_MAX || mkdirat(to, as, 0755) < 0) {
		r = depth > PARCEL_DEPTH_MAX ? -ELOOP : -errno;
		if (d)
			(void)closedir(d);
		else if (dup >= 0)
			(void)close(dup);
		return r;
	}
	out = openat(to, as, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = out < 0 ? -errno : 0;
	while (r == 0 && (errno = 0, e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = copy(in, e->d_name, out, e->d_name, depth + 1);
	if (r == 0 && errno)
		r = -errno;
	(void)closedir(d);
	if (out >= 0)
		(void)close(out);
	return r;
}

static int copy(int from, const char *name, int to, const char *as, unsigned depth)
{
	struct stat st;
	int in, r = 0;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	/* A link in what is kept would lead out of the next release. */
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (in < 0 || fstat(in, &st) < 0)
		r = -errno;
	else
		r = S_ISDIR(st.st_mode) ? copy_folder(in, to, as, depth) : copy_file(in, to, as, st.st_mode | 0200);
	if (in >= 0)
		(void)close(in);
	return r;
}

/* Under a temporary name first, so that half of it is never taken for the whole. */
static int keep_one(int keep, int release, const char *path)
{
	const char *name, *slash = strrchr(path, '/');
	char temp[300], from[PARCEL_PATH_MAX + 1];
	struct stat st;
	int dir = above(keep, path, &name), src, r = dir < 0 ? dir : 0;

	if (r == 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		(void)close(dir);
		return S_ISLNK(st.st_mode) ? -ELOOP : 0;
	}
	(void)snprintf(temp, sizeof temp, ".%.250s.new", name);
	(void)snprintf(from, sizeof from, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
	src = r ? -1 : sys_open_nosymlink(release, from, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (r == 0)
		r = tree_remove(dir, temp);
	if (r == 0)
		r = src < 0 ? -ENOENT : copy(src, name, dir, temp, 0);
	if (r == -ENOENT)
		r = mkdirat(dir, temp, 0755) < 0 ? -errno : 0;
	if (r == 0 && (renameat(dir, temp, dir, name) < 0 || fsync(dir) < 0))
		r = -errno;
	if (src >= 0)
		(void)close(src);
	if (dir >= 0)
		(void)close(dir);
	return r;
}

int persist_keep(struct failure *f, int keep, const char *release, const char *paths)
{
	int from = open(release, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
	char path[PARCEL_PATH_MAX + 1];

	if (from < 0 || !persist_valid(paths))
		r = failed(f, from < 0 ? errno : EINVAL, "");
	while (r == 0 && next(&paths, path)) {
		r = keep_one(keep, from, path);
		if (r < 0)
			r = failed(f, -r, path);
	}
	if (from >= 0)
		(void)close(from);
	return r;
}

int persist_link(struct failure *f, int release, const char *keep, const char *paths)
{
	char path[PARCEL_PATH_MAX + 1], target[2 * PARCEL_PATH_MAX];
	int r = persist_valid(paths) ? 0 : failed(f, EINVAL, "");

	while (r == 0 && next(&paths, path)) {
		const char *name;
		int dir = above(release, path, &name);

		(void)snprintf(target, sizeof target, "%s/%s", keep, path);
		r = dir < 0 ? dir : tree_remove(dir, name);
		if (r == 0 && (symlinkat(target, dir, name) < 0 || fsync(dir) < 0))
			r = -errno;
		if (dir >= 0)
			(void)close(dir);
		if (r < 0)
			r = failed(f, -r, path);
	}
	return r;
}
