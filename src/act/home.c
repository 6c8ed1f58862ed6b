/*
 * home.c: stead's lines of a person's ~/.ssh/authorized_keys, written with the person's own rights.
 *
 * What lies in a home is its owner's to arrange, symlinks too, so root never walks there: a child that has become the
 * person does it, and can do no more than he could himself. The file takes its place whole and durably (mode 0600), and
 * lines outside of stead's marks stay as they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/durable.h"
#include "lib/must.h"
#include "lib/sys.h"
#include "person/person.h"

#include "act.h"

enum { AUTHORIZED_MAX = 256 * 1024 };
static const char authorized[] = "authorized_keys";

/* What the file holds, malloc'd; none: "". */
static int read_keys(int dir, char **ret, size_t *ret_n)
{
	struct stat st;
	int fd = openat(dir, authorized, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), r;

	if (fd < 0 && errno == ENOENT) {
		*ret = calloc(1, 1);
		*ret_n = 0;
		return *ret ? 0 : -ENOMEM;
	}
	if (fd < 0)
		return -errno;
	r = fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
	(void)close(fd);
	return r < 0 ? r : sys_read_file(dir, authorized, AUTHORIZED_MAX, ret, ret_n);
}

static int change(int dir, const char *keys)
{
	char *text = NULL;
	struct buf b;
	size_t n;
	int r = read_keys(dir, &text, &n);

	buf_init(&b, AUTHORIZED_MAX + PERSON_KEYS_BYTES * 2);
	if (r == 0)
		r = person_keys_splice(text, n, keys, strlen(keys), &b);
	if (r == 0 && (b.len != n || memcmp(b.p ? b.p : "", text, n) != 0))
		r = durable_write(dir, authorized, b.p, b.len, 0600);
	buf_done(&b);
	free(text);
	return r;
}

/* As the person. */
static int write_keys(const char *home, const char *keys)
{
	int fd = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC), dir, r;

	if (fd < 0)
		return errno == ENOENT && !*keys ? 0 : -errno;
	r = *keys && mkdirat(fd, ".ssh", 0700) < 0 && errno != EEXIST ? -errno : 0;
	dir = r == 0 ? sys_open_nosymlink(fd, ".ssh", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0) : r;
	(void)close(fd);
	if (dir < 0)
		return dir == -ENOENT && !*keys ? 0 : dir;
	r = change(dir, keys);
	(void)close(dir);
	return r;
}

int act_home_keys(const struct passwd *pw, const char *keys)
{
	int status = 0, r;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		(void)umask(0077);
		if (setgroups(1, &pw->pw_gid) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
			setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
			_exit(EPERM);
		r = write_keys(pw->pw_dir, keys);
		_exit(r < 0 ? -r : 0);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (!WIFEXITED(status))
		return -EIO;
	return -WEXITSTATUS(status);
}
