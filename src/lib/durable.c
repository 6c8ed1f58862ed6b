/*
 * durable.c: the one way in which a file that matters is written. Called by ctl and by one-shots;
 * owns nothing behind the call. Never leaves a half-written file under the real name.
 */
#include "lib/durable.h"
#include "lib/buf.h"
#include "lib/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* "\n# sum: " and 16 hexadecimal digits and a newline end a file that has a checksum. */
enum { SUM_BYTES = 8 + 16 + 1 };

static int write_all(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n) {
		ssize_t put = write(fd, at, n);

		if (put < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		at += put;
		n -= (size_t)put;
	}
	return 0;
}

static int temp_name(const char *name, char *ret, size_t cap)
{
	uint64_t rnd;
	int n, err = sys_random(&rnd, sizeof(rnd));

	if (err)
		return err;
	n = snprintf(ret, cap, ".%s.%016" PRIx64, name, rnd);
	return n < 0 || (size_t)n >= cap ? -ENAMETOOLONG : 0;
}

static int write_temp(int dirfd, const char *temp, const void *p, size_t n, mode_t mode)
{
	int fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int err;

	if (fd < 0)
		return -errno;
	err = write_all(fd, p, n);
	if (!err && fchmod(fd, mode) < 0)
		err = -errno;
	if (!err && fsync(fd) < 0)
		err = -errno;
	if (close(fd) < 0 && !err)
		err = -errno;
	if (err)
		unlinkat(dirfd, temp, 0);
	return err;
}

/* The rename itself is durable once the folder is; dirfd may be AT_FDCWD or opened with O_PATH. */
static int sync_folder(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		err = -errno;
	close(fd);
	return err;
}

int durable_write(int dirfd, const char *name, const void *p, size_t n, mode_t mode)
{
	char temp[256];
	int err;

	/* A plain name: the folder that is synchronised is dirfd itself. */
	if (!name[0] || strchr(name, '/'))
		return -EINVAL;
	err = temp_name(name, temp, sizeof(temp));
	if (err)
		return err;
	err = write_temp(dirfd, temp, p, n, mode);
	if (err)
		return err;
	if (renameat(dirfd, temp, dirfd, name) < 0) {
		err = -errno;
		unlinkat(dirfd, temp, 0);
		return err;
	}
	return sync_folder(dirfd);
}

static void put_sum(char out[SUM_BYTES + 1], const void *p, size_t n)
{
	snprintf(out, SUM_BYTES + 1, "\n# sum: %016" PRIx64 "\n", sys_checksum(p, n));
}

int durable_write_sum(int dirfd, const char *name, const void *p, size_t n, mode_t mode)
{
	char line[SUM_BYTES + 1];
	struct buf b;
	int err;

	put_sum(line, p, n);
	buf_init(&b, SIZE_MAX);
	buf_put(&b, p, n);
	buf_put(&b, line, SUM_BYTES);
	err = b.error;
	if (!err)
		err = durable_write(dirfd, name, b.p, b.len, mode);
	buf_done(&b);
	return err;
}

int durable_read_sum(int dirfd, const char *name, size_t max, char **ret_p, size_t *ret_n)
{
	char line[SUM_BYTES + 1], *text;
	size_t n;
	int err;

	if (max > SIZE_MAX / 2)
		max = SIZE_MAX / 2;
	err = sys_read_file(dirfd, name, max + SUM_BYTES, &text, &n);
	if (err)
		return err;
	if (n >= SUM_BYTES) {
		n -= SUM_BYTES;
		put_sum(line, text, n);
		if (memcmp(text + n, line, SUM_BYTES) == 0) {
			text[n] = 0;
			*ret_p = text;
			*ret_n = n;
			return 0;
		}
	}
	free(text);
	return -EBADMSG;
}
