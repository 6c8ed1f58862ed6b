/*
 * bare.c: is there anything in a folder but folders, and one without goes? See bare.h.
 *
 * What is looked at may be an app's, which changes it meanwhile: each step goes by descriptor, and the answer is of the moment.
 * Owns nothing.
 */
#include "bare.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_bare(int dirfd, const char *name, dev_t dev, unsigned depth)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	const struct dirent *e;
	bool bare = true;
	struct stat st;
	DIR *d;

	if (fd < 0)
		return errno == ENOENT;
	if (depth > BARE_DEPTH_MAX || fstat(fd, &st) < 0 || (depth > 0 && st.st_dev != dev) || !(d = fdopendir(fd))) {
		(void)close(fd);
		return false;
	}
	while (bare && (errno = 0, e = readdir(d)) != NULL)
		bare = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || is_bare(fd, e->d_name, st.st_dev, depth + 1);
	bare = bare && errno == 0;
	(void)closedir(d);
	return bare;
}

bool bare_folder(int dirfd, const char *name)
{
	return is_bare(dirfd, name, 0, 0);
}

static int remove_at(int dirfd, const char *name, unsigned depth)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
	const struct dirent *e;
	DIR *d;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (depth > BARE_DEPTH_MAX || !(d = fdopendir(fd))) {
		r = depth > BARE_DEPTH_MAX ? -ELOOP : -errno;
		(void)close(fd);
		return r;
	}
	while (r == 0 && (errno = 0, e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = remove_at(fd, e->d_name, depth + 1);
	if (r == 0 && errno)
		r = -errno;
	(void)closedir(d);
	if (r == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = -errno;
	return r;
}

int bare_remove(int dirfd, const char *name)
{
	return remove_at(dirfd, name, 0);
}
