/* A folder of folders is bare and goes; one with anything else in it stays whole. */
#include "lib/bare.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int dir = -1;
static char path[] = "/tmp/stead-bare-XXXXXX";

static int setup(void **state)
{
	(void)state;
	memcpy(path + sizeof path - 7, "XXXXXX", 6);
	if (!mkdtemp(path))
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 || mkdirat(dir, "app", 0700) < 0 || mkdirat(dir, "app/data", 0700) < 0 || mkdirat(dir, "app/data/in", 0700) < 0 ||
		mkdirat(dir, "app/logs", 0700) < 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)close(dir);
	return rmdir(path);
}

static void test_folders_alone(void **state)
{
	(void)state;
	assert_true(bare_folder(dir, "app"));
	assert_int_equal(bare_remove(dir, "app"), 0);
	assert_int_equal(faccessat(dir, "app", F_OK, 0), -1);
	assert_true(bare_folder(dir, "app"));
	assert_int_equal(bare_remove(dir, "app"), 0);
}

static void test_a_file(void **state)
{
	int fd = openat(dir, "app/data/in/kept", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0);
	(void)close(fd);
	assert_false(bare_folder(dir, "app"));
	assert_false(bare_folder(dir, "app/data/in/kept"));
	assert_int_equal(bare_remove(dir, "app"), -ENOTDIR);
	assert_int_equal(bare_remove(dir, "app/data/in/kept"), -ENOTDIR);
	assert_int_equal(faccessat(dir, "app/data/in/kept", F_OK, 0), 0);
	assert_int_equal(unlinkat(dir, "app/data/in/kept", 0), 0);
	assert_int_equal(bare_remove(dir, "app"), 0);
}

/* One that leads to a folder is no folder; where it leads nothing changes. */
static void test_a_link(void **state)
{
	(void)state;
	assert_int_equal(mkdirat(dir, "other", 0700), 0);
	assert_int_equal(symlinkat("../../other", dir, "app/data/link"), 0);
	assert_false(bare_folder(dir, "app"));
	assert_int_not_equal(bare_remove(dir, "app"), 0);
	assert_int_equal(faccessat(dir, "other", F_OK, 0), 0);
	assert_int_equal(unlinkat(dir, "app/data/link", 0), 0);
	assert_int_equal(unlinkat(dir, "other", AT_REMOVEDIR), 0);
	assert_int_equal(bare_remove(dir, "app"), 0);
}

static void test_too_deep(void **state)
{
	char deep[200] = "app";

	(void)state;
	for (unsigned i = 0; i < BARE_DEPTH_MAX; i++) {
		memcpy(deep + strlen(deep), "/d", 3);
		assert_int_equal(mkdirat(dir, deep, 0700), 0);
	}
	assert_true(bare_folder(dir, "app"));
	memcpy(deep + strlen(deep), "/d", 3);
	assert_int_equal(mkdirat(dir, deep, 0700), 0);
	assert_false(bare_folder(dir, "app"));
	assert_int_equal(bare_remove(dir, "app"), -ELOOP);
	assert_int_equal(unlinkat(dir, deep, AT_REMOVEDIR), 0);
	assert_int_equal(bare_remove(dir, "app"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_folders_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_link, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_deep, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
