/*
 * sys_shm.c: memory shared between processes that do not trust each other; rule 2 of the house.
 *
 * Called by whoever writes or reads a ring, a counters page or a snapshot. A page has one writer:
 * it maps first and seals then, and F_SEAL_FUTURE_WRITE leaves its own mapping writable while every
 * later one, also through /proc/PID/fd, is refused. MADV_DONTFORK keeps that mapping out of its
 * children. The reader checks seals and size before it maps, so nobody can shrink the file below
 * its feet (SIGBUS).
 */
#include "lib/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

enum {
	SEALS_SHARED = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL,
	SEALS_COMMON = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
	SEALS_CONSTANT = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL,
};

static size_t round_to_pages(size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (n + page - 1) / page * page;
}

/* Zero bytes are no page and a size that wraps when rounded is none either. */
static bool size_ok(size_t n)
{
	return n > 0 && n <= SIZE_MAX / 4;
}

int sys_shm_create(const char *name, size_t bytes, int *ret_fd, void **ret_map)
{
	size_t size = round_to_pages(bytes);
	int fd, err;
	void *map;

	if (!size_ok(bytes))
		return -EINVAL;
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0)
		goto fail;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		goto fail;
	if (madvise(map, size, MADV_DONTFORK) < 0 || fcntl(fd, F_ADD_SEALS, SEALS_SHARED) < 0) {
		err = -errno;
		munmap(map, size);
		close(fd);
		return err;
	}
	*ret_fd = fd;
	*ret_map = map;
	return 0;
fail:
	err = -errno;
	close(fd);
	return err;
}

/* Check kind, seals and size of another's memory; the size in *ret_size. */
static int check_memfd(int fd, int seals_wanted, size_t *ret_size)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0)
		return errno == EINVAL ? -EBADMSG : -errno;
	if ((seals & seals_wanted) != seals_wanted)
		return -EPERM;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < 0)
		return -EBADMSG;
	*ret_size = (size_t)st.st_size;
	return 0;
}

static int map_read_only(int fd, size_t size, const void **ret_map)
{
	void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return -errno;
	*ret_map = map;
	return 0;
}

int sys_shm_map(int fd, size_t bytes, size_t bytes_max, size_t *ret_bytes, const void **ret_map)
{
	size_t size;
	int err = check_memfd(fd, SEALS_SHARED, &size);

	if (err)
		return err;
	if (!size_ok(size) || (bytes ? size != round_to_pages(bytes) : size > bytes_max))
		return -EBADMSG;
	err = map_read_only(fd, size, ret_map);
	if (!err && ret_bytes)
		*ret_bytes = size;
	return err;
}

int sys_shm_common(const char *name, size_t bytes, const void *p, size_t n, int *ret_fd)
{
	int fd, err;

	if (!size_ok(bytes) || n > bytes)
		return -EINVAL;
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)round_to_pages(bytes)) < 0 ||
		fcntl(fd, F_ADD_SEALS, SEALS_COMMON) < 0) {
		err = -errno;
	} else {
		ssize_t put = pwrite(fd, p, n, 0);

		err = put < 0 ? -errno : (size_t)put == n ? 0 : -EIO;
	}
	if (err) {
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

int sys_shm_map_common(int fd, size_t bytes, void **ret_map)
{
	size_t size;
	int err = check_memfd(fd, SEALS_COMMON, &size);
	void *map;

	if (err)
		return err;
	if (!size_ok(bytes) || size != round_to_pages(bytes))
		return -EBADMSG;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	if (madvise(map, size, MADV_DONTFORK) < 0) {
		err = -errno;
		munmap(map, size);
		return err;
	}
	*ret_map = map;
	return 0;
}

void sys_shm_unmap(const void *map, size_t bytes)
{
	if (map)
		munmap((void *)map, round_to_pages(bytes));
}

int sys_memfd_sealed(const char *name, const void *p, size_t n, int *ret_fd)
{
	const char *at = p;
	int fd, err;

	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	while (n) {
		ssize_t put = write(fd, at, n);

		if (put < 0) {
			if (errno == EINTR)
				continue;
			goto fail;
		}
		at += put;
		n -= (size_t)put;
	}
	if (fcntl(fd, F_ADD_SEALS, SEALS_CONSTANT) < 0)
		goto fail;
	*ret_fd = fd;
	return 0;
fail:
	err = -errno;
	close(fd);
	return err;
}

int sys_memfd_map(int fd, size_t bytes_max, size_t *ret_bytes, const void **ret_map)
{
	size_t size;
	int err = check_memfd(fd, SEALS_CONSTANT, &size);

	if (err)
		return err;
	if (!size_ok(size) || size > bytes_max)
		return -EBADMSG;
	err = map_read_only(fd, size, ret_map);
	if (!err)
		*ret_bytes = size;
	return err;
}
