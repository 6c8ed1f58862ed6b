/*
 * folders.c: the folders that are an app's own, StateDirectory= and its kin, made before its program runs.
 *
 * Called in the child by spawn.c when the jail is closed, so whatever lies there, nothing is done that the app could not
 * do itself; each folder's owner is who makes it. Owns nothing.
 */
#include "parent.h"
#include "mounts.h"
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* While this goes on the parent waits: what is more than that goes at the next try, a moment later. */
enum { CLEARED_MAX = 4096, DEPTH_MAX = 32 };

static int make(const char *path, mode_t mode)
{
	char part[PATH_MAX];
	size_t n = strlen(path);
	struct stat st;

	if (n >= sizeof(part))
		return -ENAMETOOLONG;
	memcpy(part, path, n + 1);
	for (char *slash = part + 1; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
		*slash = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST && stat(part, &st) < 0)
			return -errno;
	}
	mode_t mask = umask(0);
	int made = mkdir(part, mode) < 0 && errno != EEXIST ? -errno : 0;
	umask(mask);
	if (made < 0)
		return made;
	int fd = open(part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int e = fstat(fd, &st) < 0 ? -errno : 0;
	/* One that hands the gates' group on to sockets in it came with that from the folder above; nothing of an app's may
	 * say so anew. */
	if (e == 0 && (st.st_mode & S_ISGID) == 0 && (st.st_mode & 07777) != mode && fchmod(fd, mode) < 0)
		e = -errno;
	close(fd);
	return e;
}

/* All in that folder, which is closed then. -EAGAIN: there is more. */
static int clear(int dir, unsigned *left, unsigned depth)
{
	DIR *d = fdopendir(dir);
	const struct dirent *at;
	int e = 0;

	if (d == NULL) {
		close(dir);
		return -errno;
	}
	while (e == 0 && (at = readdir(d)) != NULL) {
		if (strcmp(at->d_name, ".") == 0 || strcmp(at->d_name, "..") == 0)
			continue;
		if (*left == 0 || depth == 0) {
			e = -EAGAIN;
			break;
		}
		--*left;
		if (unlinkat(dirfd(d), at->d_name, 0) == 0)
			continue;
		int inner = openat(dirfd(d), at->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		e = inner < 0 ? -errno : clear(inner, left, depth - 1);
		if (e == 0 && unlinkat(dirfd(d), at->d_name, AT_REMOVEDIR) < 0)
			e = -errno;
	}
	closedir(d);
	return e;
}

static int clear_at(const char *path, unsigned *left)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return clear(fd, left, DEPTH_MAX);
}

int folders_make(const struct spawn *ask)
{
	const struct spec *spec = ask->jail.spec;
	unsigned left = CLEARED_MAX;
	int e = 0;

	for (uint32_t i = 0; spec != NULL && e == 0 && i < spec->jail.paths; i++) {
		uint32_t kind = spec->paths[i].kind & JAIL_PATH_KINDS;
		mode_t mode = spec->paths[i].kind >> JAIL_PATH_MODE_SHIFT & 07777;

		if (kind == JAIL_PATH_RUNTIME && ask->fresh)
			e = clear_at(spec->paths[i].path, &left);
		if (e == 0 && (kind == JAIL_PATH_MAKE || kind == JAIL_PATH_RUNTIME))
			e = make(spec->paths[i].path, mode);
	}
	return e;
}
