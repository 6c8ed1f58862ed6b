/*
 * region.c: see region.h. Called by ctl, which gives the descriptor to the parent and so to the gates,
 * and by tests. Owns nothing.
 */
#include "region.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096 };

static off_t whole(size_t bytes)
{
	return (off_t)((bytes + PAGE - 1) / PAGE * PAGE);
}

int region_memfd(const char *name, size_t bytes, int *ret_fd)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), err;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, whole(bytes)) < 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

int region_file(int dirfd, const char *name, size_t bytes, int *ret_fd)
{
	int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), err = 0;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (st.st_size != whole(bytes) && ftruncate(fd, 0) < 0)
		err = -errno;
	if (!err)
		err = -posix_fallocate(fd, 0, whole(bytes));
	if (err) {
		/* Half of it would only fill the disk. */
		if (ftruncate(fd, 0) < 0)
			err = -errno;
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}
