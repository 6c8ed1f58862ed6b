/*
 * test_act.c: stead-act's validation and refusals, and the copy of a folder below a scratch root.
 * As root everything runs; an ordinary user skips what needs to give files away.
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "act.h"

static void test_valid(void **state)
{
	unsigned long v;

	(void)state;
	assert_true(act_role_valid("gate"));
	assert_false(act_role_valid("parent"));
	assert_false(act_role_valid(""));
	assert_false(act_role_valid("gate "));
	assert_true(act_app_valid("a"));
	assert_true(act_app_valid("shop-2"));
	assert_true(act_app_valid("abcdefghijklmnopqrstuvwxyz0"));
	assert_false(act_app_valid("abcdefghijklmnopqrstuvwxyz01"));
	assert_false(act_app_valid("2a"));
	assert_false(act_app_valid("-a"));
	assert_false(act_app_valid("a:b"));
	assert_false(act_app_valid("a\nb"));
	assert_false(act_app_valid(""));
	assert_true(act_number("50000", ACT_UID_MIN, ACT_UID_MAX, &v));
	assert_int_equal(v, 50000);
	assert_true(act_number("59999", ACT_UID_MIN, ACT_UID_MAX, &v));
	assert_false(act_number("49999", ACT_UID_MIN, ACT_UID_MAX, &v));
	assert_false(act_number("60000", ACT_UID_MIN, ACT_UID_MAX, &v));
	assert_false(act_number("", 0, 9, &v));
	assert_false(act_number("-1", 0, 9, &v));
	assert_false(act_number(" 1", 0, 9, &v));
	assert_false(act_number("99999999999", 0, 9, &v));
}

static void test_below(void **state)
{
	static const char *const bad[] = {"/var/lib/stead", "/var/lib/stead/", "/var/lib/steady/x",
		"/var/lib/stead/../x", "/var/lib/stead/a/..", "/var/lib/stead/./a",
		"/var/lib/stead//a", "/var/lib/stead/a/", "/var/lib/stead/a\nb", "x", "", "/etc"};

	(void)state;
	assert_string_equal(act_below("/var/lib/stead", "/var/lib/stead/up/a"), "up/a");
	assert_string_equal(act_below("/var/lib/stead", "/var/lib/stead/..a"), "..a");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_null(act_below("/var/lib/stead", bad[i]));
}

static struct act_ctx ctx_in(struct failure *f, const char *root)
{
	*f = (struct failure){0};
	return (struct act_ctx){.f = f, .state_root = root, .run_root = "/nonexistent/run", .operators = "/nonexistent/etc"};
}

static void test_refusals(void **state)
{
	struct failure f;
	struct act_ctx c = ctx_in(&f, "/nonexistent/state");

	(void)state;
	assert_int_equal(act_user_role(&c, "root"), -EINVAL);
	c = ctx_in(&f, "/nonexistent/state");
	assert_int_equal(act_user_app(&c, "x", "0", "/nonexistent/state/up/a"), -EINVAL);
	c = ctx_in(&f, "/nonexistent/state");
	assert_int_equal(act_user_app(&c, "../x", "", "/nonexistent/state/up/a"), -EINVAL);
	c = ctx_in(&f, "/nonexistent/state");
	assert_int_equal(act_user_app(&c, "x", "", "/etc"), -EINVAL);
	c = ctx_in(&f, "/nonexistent/state");
	assert_int_equal(act_user_app(&c, "x", "", "/nonexistent/state/a:b"), -EINVAL);
	c = ctx_in(&f, "/nonexistent/state");
	assert_int_equal(act_trees_clear(&c, "/nonexistent/state/up/a", "3"), -EINVAL);
	c = ctx_in(&f, "/nonexistent/state");
	assert_int_equal(act_trees_clear(&c, "/etc/releases", "3"), -EINVAL);
	c = ctx_in(&f, "/nonexistent/state");
	assert_int_equal(act_trees_clear(&c, "/nonexistent/state/up/releases", "x"), -EINVAL);
	c = ctx_in(&f, "/nonexistent/state");
	assert_int_equal(act_tree_copy(&c, "/tmp", "/etc/x", "50000"), -EINVAL);
	c = ctx_in(&f, "/nonexistent/state");
	assert_int_equal(act_tree_copy(&c, "/tmp", "/nonexistent/state/x", "0"), -EINVAL);
	c = ctx_in(&f, "/nonexistent/state");
	assert_int_equal(act_tree_copy(&c, "relative", "/nonexistent/state/x", "50000"), -EINVAL);
	c = ctx_in(&f, "/nonexistent/state");
	assert_int_equal(act_tree_copy(&c, "/", "/nonexistent/state/x", "50000"), -EINVAL);
	c = ctx_in(&f, "/nonexistent/state");
	assert_int_equal(
		act_folder_make(&c, "/nonexistent/state/x", "root", "root", "0777"), -EINVAL);
	c = ctx_in(&f, "/nonexistent/state");
	assert_int_equal(
		act_folder_make(&c, "/nonexistent/state/x", "daemon", "root", "0700"), -EINVAL);
	c = ctx_in(&f, "/nonexistent/state");
	assert_int_equal(act_folder_make(&c, "/etc/x", "root", "root", "0700"), -EINVAL);
}

static void make_source(const char *dir)
{
	assert_int_equal(mkdir(rig_path(dir, "app"), 0700), 0);
	assert_int_equal(mkdir(rig_path(dir, "app/.git"), 0700), 0);
	assert_int_equal(mkdir(rig_path(dir, "app/.stead"), 0700), 0);
	assert_int_equal(mkdir(rig_path(dir, "app/sub"), 0700), 0);
	rig_write(dir, "app/app.py", "print(1)\n", 0600);
	rig_write(dir, "app/sub/run.sh", "#!/bin/sh\n", 0700);
	rig_write(dir, "app/.git/HEAD", "x", 0600);
	assert_int_equal(symlink("/etc/shadow", rig_path(dir, "app/evil")), 0);
	assert_int_equal(mkfifo(rig_path(dir, "app/fifo"), 0600), 0);
}

/* A state of `stead up`, whose parent runs: that holds its lock. The lock's descriptor. */
static int make_running(const char *root, const char *name)
{
	char path[600];
	int fd;

	for (unsigned i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof path, "%s/up/%s", root, name);
		path[strlen(path) - (i ? 0 : strlen(name) + 1)] = '\0';
		(void)mkdir(path, 0700);
	}
	(void)snprintf(path, sizeof path, "%s/up/%s/lock", root, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && flock(fd, LOCK_EX) == 0);
	return fd;
}

static void test_copy(void **state)
{
	const char *dir;
	char root[512], to[600];
	int one, two;
	struct failure f;
	struct act_ctx c;
	struct stat st;

	(void)state;
	if (geteuid() != 0)
		skip();
	dir = rig_folder();
	make_source(dir);
	(void)snprintf(root, sizeof root, "%s/state", dir);
	assert_int_equal(mkdir(root, 0700), 0);
	(void)snprintf(to, sizeof to, "%s/up/one/releases/1", root);
	one = make_running(root, "one");
	two = make_running(root, "two");
	for (unsigned i = 0; i < 2; i++) {
		c = ctx_in(&f, root);
		if (act_tree_copy(&c, rig_path(dir, "app"), to, "50000") != 0)
			fail_msg("%s", f.text);
	}
	assert_int_equal(stat(rig_path(to, "app.py"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(st.st_gid, 50000);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(stat(rig_path(to, "sub/run.sh"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_int_equal(lstat(rig_path(to, "evil"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(lstat(rig_path(to, ".git"), &st), -1);
	assert_int_equal(lstat(rig_path(to, ".stead"), &st), -1);
	assert_int_equal(lstat(rig_path(to, "fifo"), &st), -1);
	/* A hard link to what the folder's owner does not own; the old copy stays. */
	assert_int_equal(chown(rig_path(dir, "app"), 12345, 12345), 0);
	assert_int_equal(link(rig_path(dir, "app/app.py"), rig_path(dir, "app/zz.py")), 0);
	c = ctx_in(&f, root);
	assert_int_equal(act_tree_copy(&c, rig_path(dir, "app"), to, "50000"), -EPERM);
	assert_int_equal(stat(rig_path(to, "app.py"), &st), 0);
	/* A symlink where a folder of the state should be. */
	assert_int_equal(symlink("/etc", rig_path(root, "up/two/releases")), 0);
	(void)snprintf(to, sizeof to, "%s/up/two/releases/1", root);
	c = ctx_in(&f, root);
	assert_int_equal(act_tree_copy(&c, rig_path(dir, "app/sub"), to, "50000"), -ELOOP);
	/* Where nobody runs any more, nothing is copied from elsewhere. */
	(void)close(one);
	(void)close(two);
	(void)snprintf(to, sizeof to, "%s/up/one/releases/2", root);
	c = ctx_in(&f, root);
	assert_int_equal(act_tree_copy(&c, rig_path(dir, "app/sub"), to, "50000"), -EINVAL);
	rig_remove(dir);
}

static void test_folder(void **state)
{
	const char *dir;
	char path[600];
	struct failure f;
	struct act_ctx c;
	struct stat st;

	(void)state;
	if (geteuid() != 0)
		skip();
	dir = rig_folder();
	(void)snprintf(path, sizeof path, "%s/up/one/own", dir);
	for (unsigned i = 0; i < 2; i++) {
		c = ctx_in(&f, dir);
		assert_int_equal(act_folder_make(&c, path, "50001", "50002", "0710"), 0);
	}
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 50001);
	assert_int_equal(st.st_gid, 50002);
	assert_int_equal(st.st_mode & 07777, 0710);
	c = ctx_in(&f, dir);
	assert_int_equal(act_folder_make(&c, path, "50003", "50003", "0710"), -EPERM);
	rig_remove(dir);
}

static void test_mount_places(void **state)
{
	static const char *const bad[] = {"/etc/x", "/nonexistent/state/x", "/nonexistent/state/public", "/nonexistent/state/public/1",
		"/nonexistent/state/public/0/root", "/nonexistent/state/public/x/root", "/nonexistent/state/public/1/a/b",
		"/nonexistent/state/public/1/a.b", "/nonexistent/state/public/1/..", "/nonexistent/state/releases/1/root",
		"/nonexistent/state/up/a/public/1/root", "/nonexistent/state/public/99999999999/root"};
	struct failure f;
	struct act_ctx c;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		c = ctx_in(&f, "/nonexistent/state");
		c.operators = "/nonexistent/etc";
		c.view_fd = -1;
		if (act_tree_mount(&c, "/usr/share", bad[i], "/nonexistent/etc/a.conf", "") != -EINVAL)
			fail_msg("%s is taken for a place", bad[i]);
	}
}

/* What the operator's file names may be had, by links of whoever owns the folder; and nothing else. */
static void test_source(void **state)
{
	static const struct {
		const char *from, *text;
		const char *why; /* NULL: it may */
	} rows[] = {
		{"/usr/share", "Root=/usr/share", NULL},
		{"/usr/share", "Static=/s /usr/share", NULL},
		{"/usr/share", "Root=/usr", "does not name it"},
		{"/etc/ssl", "Root=/etc/ssl", "the machine's configuration"},
		{"/usr/share/../../etc", "Root=/usr/share/../../etc", "the machine's configuration"},
		{"/nonexistent/folder", "Root=/nonexistent/folder", "No such file"},
		{"relative", "Root=relative", "a path of its own"},
	};
	char operators[512], file[600], real[ACT_PATH_MAX], text[700];
	const char *dir;
	struct failure f;
	struct act_ctx c;
	int fd;

	(void)state;
	if (geteuid() != 0)
		skip();
	dir = rig_folder();
	(void)snprintf(operators, sizeof operators, "%s/etc", dir);
	(void)snprintf(file, sizeof file, "%s/site.conf", operators);
	assert_int_equal(mkdir(operators, 0755), 0);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		rig_write(operators, "site.conf", rows[i].text, 0644);
		c = ctx_in(&f, "/nonexistent/state");
		c.operators = operators;
		fd = act_source_open(&c, rows[i].from, file, real);
		if ((fd >= 0) != (rows[i].why == NULL) || (rows[i].why && !strstr(f.text, rows[i].why)))
			fail_msg("row %zu: %d, %s", i, fd, f.text);
		if (fd >= 0) {
			assert_string_equal(real, "/usr/share");
			assert_int_equal(close(fd), 0);
		}
	}
	/* Links: root's leads there, another's does not. */
	assert_int_equal(symlink("/usr/share", rig_path(dir, "link")), 0);
	(void)snprintf(text, sizeof text, "Root=%s/link\n", dir);
	rig_write(operators, "site.conf", text, 0644);
	c = ctx_in(&f, "/nonexistent/state");
	c.operators = operators;
	fd = act_source_open(&c, rig_path(dir, "link"), file, real);
	assert_true(fd >= 0);
	assert_string_equal(real, "/usr/share");
	assert_int_equal(close(fd), 0);
	assert_int_equal(lchown(rig_path(dir, "link"), 12345, 12345), 0);
	assert_int_equal(act_source_open(&c, rig_path(dir, "link"), file, real), -EPERM);
	assert_non_null(strstr(f.text, "another user"));
	/* A file, or a folder above it, that others may write says nothing. */
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(chmod(file, i == 0 ? 0664 : 0644), 0);
		assert_int_equal(chmod(operators, i == 1 ? 0777 : 0755), 0);
		assert_int_equal(chown(file, i == 2 ? 12345 : 0, 0), 0);
		c = ctx_in(&f, "/nonexistent/state");
		c.operators = operators;
		assert_int_equal(act_source_open(&c, rig_path(dir, "link"), file, real), -EPERM);
		assert_non_null(strstr(f.text, "root's alone to write"));
	}
	rig_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_valid),
		cmocka_unit_test(test_below), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_copy), cmocka_unit_test(test_folder),
		cmocka_unit_test(test_mount_places), cmocka_unit_test(test_source)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
