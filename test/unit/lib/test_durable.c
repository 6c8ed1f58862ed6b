/*
 * test_durable.c: durable files: whole or old, checksum, and a disk that is full.
 */
#include "test.h"

#include "lib/durable.h"
#include "lib/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct folder {
	char path[64];
	int fd;
};

static int setup(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));

	snprintf(f->path, sizeof(f->path), "/tmp/stead-test-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	f->fd = open(f->path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	*state = f;
	return 0;
}

static unsigned entries(int dirfd)
{
	int fd = openat(dirfd, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	DIR *d = fdopendir(fd);
	struct dirent *e;
	unsigned n = 0;

	while ((e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			n++;
	closedir(d);
	return n;
}

static int teardown(void **state)
{
	struct folder *f = *state;

	unlinkat(f->fd, "f", 0);
	assert_int_equal(entries(f->fd), 0);
	close(f->fd);
	rmdir(f->path);
	free(f);
	return 0;
}

static void replaces_whole(void **state)
{
	struct folder *f = *state;
	struct stat st;
	char *text;
	size_t n;

	umask(077);
	assert_int_equal(durable_write(f->fd, "f", "one", 3, 0644), 0);
	assert_int_equal(durable_write(f->fd, "f", "second", 6, 0640), 0);
	assert_int_equal(sys_read_file(f->fd, "f", 100, &text, &n), 0);
	assert_string_equal(text, "second");
	free(text);
	assert_int_equal(fstatat(f->fd, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(entries(f->fd), 1);
	assert_int_equal(durable_write(f->fd, "a/b", "x", 1, 0600), -EINVAL);
	assert_int_equal(durable_write(f->fd, "", "x", 1, 0600), -EINVAL);
	assert_int_equal(durable_write(-1, "f", "x", 1, 0600), -EBADF);
}

static void checks_the_sum(void **state)
{
	struct folder *f = *state;
	char *text;
	size_t n;
	int fd;

	assert_int_equal(durable_write_sum(f->fd, "f", "con\0tent", 8, 0600), 0);
	assert_int_equal(durable_read_sum(f->fd, "f", 8, &text, &n), 0);
	assert_int_equal(n, 8);
	assert_memory_equal(text, "con\0tent", 9);
	free(text);
	assert_int_equal(durable_read_sum(f->fd, "f", 7, &text, &n), -EFBIG);
	/* Any byte changed, any length cut. */
	for (off_t at = 0; at < 8 + 25; at++) {
		assert_int_equal(durable_write_sum(f->fd, "f", "con\0tent", 8, 0600), 0);
		fd = openat(f->fd, "f", O_RDWR | O_CLOEXEC);
		assert_int_equal(pwrite(fd, "\xfe", 1, at), 1);
		assert_int_equal(durable_read_sum(f->fd, "f", 100, &text, &n), -EBADMSG);
		assert_int_equal(ftruncate(fd, at), 0);
		assert_int_equal(durable_read_sum(f->fd, "f", 100, &text, &n), -EBADMSG);
		close(fd);
	}
	assert_int_equal(durable_write_sum(f->fd, "f", "", 0, 0600), 0);
	assert_int_equal(durable_read_sum(f->fd, "f", 0, &text, &n), 0);
	assert_int_equal(n, 0);
	free(text);
	assert_int_equal(durable_read_sum(f->fd, "none", 10, &text, &n), -ENOENT);
}

/* In a child with a mount namespace of its own; exit 0 good, 77 cannot be tried here. */
static int on_a_full_disk(const char *path)
{
	static char big[256 * 1024];
	char *text;
	size_t n;
	int d;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("none", path, "tmpfs", 0, "size=64k") < 0)
		return 77;
	d = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (durable_write(d, "f", "old", 3, 0600) != 0)
		return 1;
	if (durable_write(d, "f", big, sizeof(big), 0600) != -ENOSPC)
		return 2;
	if (sys_read_file(d, "f", 100, &text, &n) != 0 || strcmp(text, "old") != 0)
		return 3;
	free(text);
	return entries(d) == 1 ? 0 : 4;
}

static void a_full_disk_keeps_the_old(void **state)
{
	struct folder *f = *state;
	int status;
	pid_t pid;

	pid = fork();
	if (pid == 0)
		_exit(on_a_full_disk(f->path));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("SKIPPED: a full disk needs a mount of its own, which needs root\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(replaces_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(checks_the_sum, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_keeps_the_old, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
