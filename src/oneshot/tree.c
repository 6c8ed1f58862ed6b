/*
 * tree.c: see tree.h. Works by descriptors from folder to folder, so that a name which is replaced
 * by a symlink meanwhile leads nowhere.
 */
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int remove_at(int dirfd, const char *name, dev_t dev, unsigned depth);

static int empty_fd(int fd, dev_t dev, unsigned depth)
{
	struct dirent *e;
	DIR *d = fdopendir(fd); /* takes fd */
	int r = 0;

	if (!d) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	while (r == 0 && (errno = 0, e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		r = remove_at(dirfd(d), e->d_name, dev, depth);
	}
	if (r == 0 && errno)
		r = -errno;
	(void)closedir(d);
	return r;
}

static int remove_at(int dirfd, const char *name, dev_t dev, unsigned depth)
{
	struct stat st;
	int fd, r;

	if (depth > TREE_DEPTH_MAX)
		return -ELOOP;
	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || st.st_dev != dev) {
		(void)close(fd);
		return -EXDEV;
	}
	/* A folder without write permission for its owner (pip and git leave such) must go as well.
	 */
	if ((st.st_mode & S_IRWXU) != S_IRWXU)
		(void)fchmod(fd, S_IRWXU);
	r = empty_fd(fd, dev, depth + 1);
	if (r < 0)
		return r;
	return unlinkat(dirfd, name, AT_REMOVEDIR) == 0 ? 0 : -errno;
}

int tree_remove(int dirfd, const char *name)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	return remove_at(dirfd, name, st.st_dev, 0);
}

int tree_empty(int dirfd)
{
	struct stat st;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		(void)close(fd);
		return -EIO;
	}
	return empty_fd(fd, st.st_dev, 0);
}

uint64_t tree_free_bytes(int fd)
{
	struct statvfs v;

	if (fstatvfs(fd, &v) < 0)
		return UINT64_MAX;
	return (uint64_t)v.f_bavail * v.f_frsize;
}
