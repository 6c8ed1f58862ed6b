/*
 * test_sys.c: shared memory's seals, paths that stay below a folder, small files, checksums.
 */
#include "test.h"

#include "lib/must.h"
#include "lib/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *temp_folder(void)
{
	char *dir = strdup("/tmp/stead-test-XXXXXX");

	assert_non_null(mkdtemp(dir));
	return dir;
}

static void only_the_writer_writes(void **state)
{
	const void *seen = NULL;
	char path[64], *map;
	void *raw;
	int fd, other;

	(void)state;
	assert_int_equal(sys_shm_create("t", 5000, &fd, &raw), 0);
	map = raw;
	memcpy(map, "before", 7);
	assert_int_equal(sys_shm_map(fd, 5000, 0, NULL, &seen), 0);
	assert_string_equal(seen, "before");
	/* The mapping made before the seal stays writable, and the reader sees it. */
	memcpy(map + 4096, "after", 6);
	assert_string_equal((const char *)seen + 4096, "after");
	/* Whoever else has the descriptor, or opens it anew, can neither map it writable nor write
	 * nor change its size. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	other = open(path, O_RDWR | O_CLOEXEC);
	if (other >= 0) {
		assert_ptr_equal(
			mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0), MAP_FAILED);
		assert_int_equal(write(other, "x", 1), -1);
		close(other);
	}
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 1 << 20), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	sys_shm_unmap(seen, 5000);
	sys_shm_unmap(map, 5000);
	close(fd);
}

/* A child that touches the writer's page must die: it has no mapping there. */
static void a_child_has_no_mapping(void **state)
{
	void *map;
	int fd, status;
	pid_t pid;

	(void)state;
	assert_int_equal(sys_shm_create("t", 4096, &fd, &map), 0);
	pid = fork();
	if (pid == 0) {
		/* mincore() says whether anything is mapped, without a fault that a sanitizer would
		 * print. */
		unsigned char in_core;

		_exit(mincore(map, 4096, &in_core) == -1 && errno == ENOMEM ? 42 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
	sys_shm_unmap(map, 4096);
	close(fd);
}

static void refuses_what_is_not_sealed(void **state)
{
	const void *map = NULL;
	size_t size = 0;
	int fd, zero;
	void *own;

	(void)state;
	fd = memfd_create("t", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(sys_shm_map(fd, 4096, 0, NULL, &map), -EPERM);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	assert_int_equal(sys_shm_map(fd, 4096, 0, NULL, &map), -EPERM);
	assert_int_equal(sys_memfd_map(fd, 4096, &size, &map), -EPERM);
	close(fd);
	zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	assert_int_equal(sys_shm_map(zero, 4096, 0, NULL, &map), -EBADMSG);
	close(zero);
	assert_int_equal(sys_shm_map(-1, 4096, 0, NULL, &map), -EBADF);
	assert_int_equal(sys_shm_create("t", 8192, &fd, &own), 0);
	assert_int_equal(sys_shm_map(fd, 4096, 0, NULL, &map), -EBADMSG);
	assert_int_equal(sys_shm_map(fd, 0, 4096, &size, &map), -EBADMSG);
	assert_null(map);
	assert_int_equal(sys_shm_map(fd, 0, 8192, &size, &map), 0);
	assert_int_equal(size, 8192);
	sys_shm_unmap(map, size);
	/* Another writer may still be there: it is no constant. */
	assert_int_equal(sys_memfd_map(fd, 8192, &size, &map), -EPERM);
	sys_shm_unmap(own, 8192);
	close(fd);
	assert_int_equal(sys_shm_create("t", 0, &fd, &own), -EINVAL);
	assert_int_equal(sys_shm_create("t", SIZE_MAX, &fd, &own), -EINVAL);
}

static void constants(void **state)
{
	const void *map;
	size_t n;
	int fd;

	(void)state;
	assert_int_equal(sys_memfd_sealed("t", "hello", 5, &fd), 0);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(sys_memfd_map(fd, 4, &n, &map), -EBADMSG);
	assert_int_equal(sys_memfd_map(fd, 5, &n, &map), 0);
	assert_int_equal(n, 5);
	assert_memory_equal(map, "hello", 5);
	sys_shm_unmap(map, n);
	close(fd);
	assert_int_equal(sys_memfd_sealed("t", "", 0, &fd), 0);
	assert_int_equal(sys_memfd_map(fd, 5, &n, &map), -EBADMSG);
	close(fd);
}

static void paths_stay_below(void **state)
{
	char *dir = temp_folder();
	int d = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC), fd;

	(void)state;
	assert_int_equal(mkdirat(d, "sub", 0700), 0);
	assert_int_equal(symlinkat("sub", d, "inside"), 0);
	assert_int_equal(symlinkat("/etc", d, "outside"), 0);
	assert_int_equal(symlinkat("../..", d, "up"), 0);
	fd = sys_open_beneath(d, "sub/f", O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	fd = sys_open_beneath(d, "inside/f", O_RDONLY, 0);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(sys_open_beneath(d, "outside/passwd", O_RDONLY, 0), -EXDEV);
	assert_int_equal(sys_open_beneath(d, "up/etc", O_RDONLY, 0), -EXDEV);
	assert_int_equal(sys_open_beneath(d, "../x", O_RDONLY, 0), -EXDEV);
	assert_int_equal(sys_open_beneath(d, "/etc/passwd", O_RDONLY, 0), -EXDEV);
	assert_int_equal(sys_open_beneath(d, "none", O_RDONLY, 0), -ENOENT);
	assert_int_equal(sys_open_nosymlink(d, "inside/f", O_RDONLY, 0), -ELOOP);
	fd = sys_open_nosymlink(d, "sub/f", O_RDONLY, 0);
	assert_true(fd >= 0);
	close(fd);
	unlinkat(d, "sub/f", 0);
	unlinkat(d, "sub", AT_REMOVEDIR);
	unlinkat(d, "inside", 0);
	unlinkat(d, "outside", 0);
	unlinkat(d, "up", 0);
	close(d);
	rmdir(dir);
	free(dir);
}

static void reads_files(void **state)
{
	char *dir = temp_folder(), *text, big[10000];
	int d = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	size_t n;
	int fd;

	(void)state;
	memset(big, 'x', sizeof(big));
	fd = openat(d, "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, big, sizeof(big)), sizeof(big));
	close(fd);
	assert_int_equal(sys_read_file(d, "f", sizeof(big), &text, &n), 0);
	assert_int_equal(n, sizeof(big));
	assert_int_equal(strlen(text), n);
	free(text);
	assert_int_equal(sys_read_file(d, "f", sizeof(big) - 1, &text, &n), -EFBIG);
	assert_int_equal(sys_read_file(d, "f", 0, &text, &n), -EFBIG);
	assert_int_equal(sys_read_file(d, "g", 10, &text, &n), -ENOENT);
	assert_int_equal(sys_read_file(d, ".", 10, &text, &n), -EISDIR);
	unlinkat(d, "f", 0);
	close(d);
	rmdir(dir);
	free(dir);
}

static void small_things(void **state)
{
	char dir[4096], a[32] = {0}, b[32] = {0};
	int fds[2], pidfd, status;
	char whole[60 * 1024 + 16] = {1};
	bool exact;
	pid_t pid;

	(void)state;
	assert_int_equal(sys_random(a, sizeof(a)), 0);
	assert_int_equal(sys_random(b, sizeof(b)), 0);
	assert_memory_not_equal(a, b, sizeof(a));
	assert_true(sys_pss_bytes(getpid()) > 0);
	assert_true(sys_pss_bytes(0x7ffffff) == 0);
	assert_true(sys_memory_bytes(getpid(), true, &exact) > 0 && exact);
	assert_true(sys_memory_bytes(0x7ffffff, true, &exact) == 0 && exact);
	assert_true(sys_memory_bytes(-1, true, &exact) == 0);
	assert_int_equal(sys_exe_dir(dir, sizeof(dir)), 0);
	assert_int_equal(dir[0], '/');
	assert_int_not_equal(dir[strlen(dir) - 1], '/');
	assert_int_equal(sys_exe_dir(dir, 2), -ENAMETOOLONG);
	assert_int_equal(sys_socketpair_seqpacket(fds), 0);
	assert_int_equal(send(fds[0], whole, sizeof(whole), MSG_DONTWAIT), sizeof(whole));
	close(fds[0]);
	close(fds[1]);
	pid = fork();
	if (pid == 0) {
		pause();
		_exit(1);
	}
	pidfd = sys_pidfd_open(pid);
	assert_true(pidfd >= 0);
	assert_int_equal(sys_pidfd_signal(pidfd, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(sys_pidfd_signal(pidfd, 0), -ESRCH);
	close(pidfd);
}

static void checksums_differ(void **state)
{
	unsigned char p[64] = {0};
	uint64_t zero = sys_checksum(p, sizeof(p));

	(void)state;
	for (size_t n = 0; n < sizeof(p); n++)
		assert_true(sys_checksum(p, n) != zero);
	for (size_t bit = 0; bit < sizeof(p) * 8; bit++) {
		p[bit / 8] ^= (unsigned char)(1 << bit % 8);
		assert_true(sys_checksum(p, sizeof(p)) != zero);
		p[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	/* Part of a file's format: these may never change. */
	assert_true(sys_checksum("", 0) == 0xaf63bd4c29620a93ull);
	assert_true(sys_checksum("stead checksum", 14) == 0x718c15dfac8f6f17ull);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_writer_writes),
		cmocka_unit_test(a_child_has_no_mapping),
		cmocka_unit_test(refuses_what_is_not_sealed),
		cmocka_unit_test(constants),
		cmocka_unit_test(paths_stay_below),
		cmocka_unit_test(reads_files),
		cmocka_unit_test(small_things),
		cmocka_unit_test(checksums_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
