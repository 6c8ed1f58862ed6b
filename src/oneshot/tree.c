/*
 * tree.c: see tree.h. Works by descriptors from folder to folder, so that a name which is replaced
 * by a symlink meanwhile leads nowhere.
 */
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { LIFTED_MAX = 100000 };

/* What is being removed, and how many folders were too deep in it and went to its top. */
struct removal {
	int top;
	dev_t dev;
	unsigned lifted;
};

static int remove_at(struct removal *w, int dirfd, const char *name, unsigned depth);

/* Takes fd. */
static int empty_fd(struct removal *w, int fd, unsigned depth)
{
	struct dirent *e;
	DIR *d = fdopendir(fd);
	int r = 0;

	if (!d) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	while (r == 0 && (errno = 0, e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		r = remove_at(w, dirfd(d), e->d_name, depth);
	}
	if (r == 0 && errno)
		r = -errno;
	(void)closedir(d);
	return r;
}

/* Whoever owns the tree made folders in folders without end, which no stack and no number of descriptors can follow: what is too
 * deep becomes one of those at the top, where it is nobody's parent any more. */
static int lift(struct removal *w, int dirfd, const char *name)
{
	char to[40];

	while (w->lifted < LIFTED_MAX) {
		(void)snprintf(to, sizeof to, ".deep-%u", w->lifted++);
		if (renameat2(dirfd, name, w->top, to, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST)
			return errno == ENOENT ? 0 : -errno;
	}
	return -ELOOP;
}

/* What is no folder goes at once: -ENOENT then. A folder is opened, and may be emptied by its owner. */
static int unlink_or_open(int dirfd, const char *name, dev_t *ret_dev)
{
	struct stat st;
	int fd;

	if (unlinkat(dirfd, name, 0) == 0)
		return -ENOENT;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		(void)close(fd);
		return -EIO;
	}
	*ret_dev = st.st_dev;
	/* pip and git leave folders without write permission. */
	if ((st.st_mode & S_IRWXU) != S_IRWXU)
		(void)fchmod(fd, S_IRWXU);
	return fd;
}

static int remove_at(struct removal *w, int dirfd, const char *name, unsigned depth)
{
	dev_t dev = 0;
	int fd = unlink_or_open(dirfd, name, &dev), r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (dev != w->dev || depth > TREE_DEPTH_MAX) {
		(void)close(fd);
		return dev != w->dev ? -EXDEV : lift(w, dirfd, name);
	}
	r = empty_fd(w, fd, depth + 1);
	if (r < 0)
		return r;
	return unlinkat(dirfd, name, AT_REMOVEDIR) == 0 ? 0 : -errno;
}

/* All that is in the folder, also what was lifted into it while it was walked. */
static int empty(int top, dev_t dev)
{
	struct removal w = {.top = top, .dev = dev};
	unsigned lifted;
	int r, fd;

	do {
		lifted = w.lifted;
		fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : empty_fd(&w, fd, 0);
	} while (r == 0 && lifted != w.lifted);
	return r;
}

int tree_remove(int dirfd, const char *name)
{
	dev_t dev = 0;
	int fd = unlink_or_open(dirfd, name, &dev), r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = empty(fd, dev);
	(void)close(fd);
	if (r < 0)
		return r;
	return unlinkat(dirfd, name, AT_REMOVEDIR) == 0 ? 0 : -errno;
}

int tree_empty(int dirfd)
{
	struct stat st;

	return fstat(dirfd, &st) < 0 ? -EIO : empty(dirfd, st.st_dev);
}

uint64_t tree_free_bytes(int fd)
{
	struct statvfs v;

	if (fstatvfs(fd, &v) < 0)
		return UINT64_MAX;
	return (uint64_t)v.f_bavail * v.f_frsize;
}
