/*
 * own.c: an app's folder gets another owner, when it is to run as somebody else (User=).
 *
 * Called by folder.c. Only what belongs to the owner before is given away, by a descriptor of the very file that was
 * looked at, so nothing that somebody puts in the way meanwhile is; no link is followed, no other file system entered.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/unitword.h"

#include "act.h"

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int give_all(int dir, dev_t dev, uid_t from, uid_t to, unsigned depth);

/* One name; a folder's contents before the folder itself. */
static int give(int dir, const char *name, dev_t dev, uid_t from, uid_t to, unsigned depth)
{
	int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), inner, r = 0;
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0) {
		r = -errno;
	} else if (S_ISDIR(st.st_mode) && st.st_dev == dev) {
		inner = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = inner < 0 ? -errno : depth == 0 ? -ELOOP : give_all(inner, dev, from, to, depth - 1);
		if (inner >= 0 && depth == 0)
			(void)close(inner);
	}
	if (r == 0 && st.st_dev == dev && st.st_uid == from &&
		fchownat(fd, "", to, (gid_t)-1, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	(void)close(fd);
	return r;
}

/* Takes `dir`. */
static int give_all(int dir, dev_t dev, uid_t from, uid_t to, unsigned depth)
{
	DIR *d = fdopendir(dir);
	const struct dirent *e;
	int r = 0;

	if (!d) {
		(void)close(dir);
		return -ENOMEM;
	}
	while (r == 0 && (errno = 0, e = readdir(d)) != NULL)
		if (!is_dots(e->d_name))
			r = give(dirfd(d), e->d_name, dev, from, to, depth);
	if (r == 0 && errno)
		r = -errno;
	(void)closedir(d);
	return r;
}

int act_own_inside(int fd, uid_t from, uid_t to)
{
	int dir = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (dir < 0)
		return -errno;
	if (fstat(dir, &st) < 0) {
		(void)close(dir);
		return -EIO;
	}
	return give_all(dir, st.st_dev, from, to, ACT_DEPTH_MAX);
}

bool act_user_allowed(const char *name, uid_t *ret)
{
	char words[ACT_ALLOWED_MAX];
	const struct passwd *pw;

	if (unitword_read("/etc/stead/stead.conf", "Server", "AllowUsers", words, sizeof words) < 0 ||
		!unitword_has(words, name))
		return false;
	pw = getpwnam(name);
	/* Not root, nobody of stead's own, no app. */
	if (!pw || pw->pw_uid == 0 || (pw->pw_uid >= ACT_UID_MIN && pw->pw_uid <= ACT_UID_MAX) ||
		strncmp(name, ACT_ROLE_PREFIX, sizeof ACT_ROLE_PREFIX - 1) == 0 || strcmp(name, "postgres") == 0)
		return false;
	*ret = pw->pw_uid;
	return true;
}
