/*
 * test_made.c: which app made most files since a moment: act's count, on trees as apps may make them to hide it.
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "act.h"

static struct failure f;

static struct act_ctx ctx_in(const char *root)
{
	f = (struct failure){0};
	return (struct act_ctx){.f = &f, .state_root = root};
}

static void folder(const char *dir, const char *name)
{
	assert_int_equal(mkdir(rig_path(dir, name), 0755), 0);
}

static void app(const char *dir, const char *name)
{
	static const char *const parts[] = {"", "/releases", "/data", "/own"};
	char path[256];

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		(void)snprintf(path, sizeof path, "apps/%s%s", name, parts[i]);
		folder(dir, path);
	}
}

static void files(const char *dir, const char *below, unsigned n)
{
	char path[256];

	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(path, sizeof path, "%s/f%u", below, i);
		rig_write(dir, path, "", 0644);
	}
}

static const char *state_in(void)
{
	const char *dir = rig_folder();

	folder(dir, "apps");
	app(dir, "old");
	app(dir, "shop");
	app(dir, "wiki");
	return dir;
}

/* A second that no file of before it has, as text. */
static const char *later(void)
{
	static char text[24];
	time_t now = time(NULL);

	while (time(NULL) == now)
		(void)usleep(20000);
	(void)snprintf(text, sizeof text, "%llu", (unsigned long long)now + 1);
	return text;
}

static const char *made(const char *dir, const char *since, const char *least)
{
	static struct act_ctx c;

	c = ctx_in(dir);
	assert_int_equal(act_inodes_made(&c, dir, since, "0", least), 0);
	return c.result;
}

/* Files of before that moment count for nobody, however many they are. */
static void test_since(void **state)
{
	const char *dir = state_in(), *since;
	struct statx s;

	(void)state;
	files(dir, "apps/old/data", 300);
	since = later();
	assert_string_equal(made(dir, since, "1"), "");
	files(dir, "apps/shop/data", 20);
	files(dir, "apps/wiki/data", 10);
	/* Written to is not made, where the file system knows when a file was. */
	if (statx(AT_FDCWD, dir, 0, STATX_BTIME, &s) == 0 && (s.stx_mask & STATX_BTIME))
		files(dir, "apps/old/data", 300);
	assert_string_equal(made(dir, since, "20"), "20 shop");
	assert_string_equal(made(dir, since, "21"), "");
	/* And a release, which its deploy made, is not the app's doing. */
	files(dir, "apps/wiki/releases", 50);
	assert_string_equal(made(dir, since, "1"), "20 shop");
	rig_remove(dir);
}

/* In folders of before, in new ones, with several names, behind links. */
static void test_places(void **state)
{
	const char *dir = state_in(), *since;
	char to[256];

	(void)state;
	folder(dir, "apps/shop/data/a");
	folder(dir, "apps/shop/data/a/b");
	since = later();
	files(dir, "apps/shop/data/a/b", 10);
	folder(dir, "apps/shop/own/new");
	files(dir, "apps/shop/own/new", 5);
	assert_string_equal(made(dir, since, "1"), "16 shop");
	/* Of two names each is half of a file. */
	(void)snprintf(to, sizeof to, "%s/apps/shop/own/again", dir);
	assert_int_equal(link(rig_path(dir, "apps/shop/data/a/b/f0"), to), 0);
	assert_string_equal(made(dir, since, "1"), "16 shop");
	/* A link counts, and what it leads to does not. */
	assert_int_equal(symlink(rig_path(dir, "apps/shop/data"), rig_path(dir, "apps/wiki/data/link")), 0);
	assert_string_equal(made(dir, since, "1"), "16 shop");
	for (unsigned i = 0; i < 20; i++) {
		(void)snprintf(to, sizeof to, "apps/wiki/data/pipe%u", i);
		assert_int_equal(mkfifo(rig_path(dir, to), 0600), 0);
	}
	assert_string_equal(made(dir, since, "1"), "21 wiki");
	rig_remove(dir);
}

/* More than a first turn looks at, in each of two. */
static void test_turns(void **state)
{
	const char *dir = state_in(), *since = later();

	(void)state;
	files(dir, "apps/old/own", 4200);
	files(dir, "apps/shop/data", 4150);
	files(dir, "apps/wiki/own", 10);
	assert_string_equal(made(dir, since, "1000"), "4200 old");
	rig_remove(dir);
	/* One alone is not done in the first: no further than is enough. */
	dir = state_in();
	files(dir, "apps/old/own", 9000);
	files(dir, "apps/shop/data", 50);
	assert_string_equal(made(dir, since, "6000"), "6000 old");
	assert_string_equal(made(dir, since, "9001"), "");
	rig_remove(dir);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

/* Deeper than anybody's: it is taken to have made enough. The last folder that is looked at and of before is not held against it. */
static void test_deep(void **state)
{
	const char *dir = state_in(), *since;
	int at = open(rig_path(dir, "apps/old/data"), O_RDONLY | O_DIRECTORY), next;

	(void)state;
	for (unsigned i = 0; i < 129; i++) {
		assert_int_equal(mkdirat(at, "d", 0700), 0);
		next = openat(at, "d", O_RDONLY | O_DIRECTORY);
		assert_int_equal(close(at), 0);
		at = next;
	}
	since = later();
	assert_string_equal(made(dir, since, "500"), "");
	assert_int_equal(mkdirat(at, "e", 0700), 0);
	assert_int_equal(close(at), 0);
	assert_string_equal(made(dir, since, "500"), "500 old");
	files(dir, "apps/shop/data", 501);
	assert_string_equal(made(dir, since, "500"), "501 shop");
	/* tree_remove() stops before. */
	assert_int_equal(nftw(dir, remove_one, 200, FTW_DEPTH | FTW_PHYS), 0);
}

/* Folders elsewhere: only what the app's own user owns counts, once. */
static void test_elsewhere(void **state)
{
	const char *dir = state_in(), *since = later();
	struct act_ctx c = ctx_in(dir);
	struct buf b;

	(void)state;
	folder(dir, "srv");
	folder(dir, "srv/up");
	files(dir, "srv/up", 30);
	buf_init(&b, 4096);
	pack_str(&b, "shop");
	pack_u32(&b, getuid());
	pack_str(&b, rig_path(dir, "srv/up"));
	pack_str(&b, "shop");
	pack_u32(&b, getuid());
	pack_str(&b, rig_path(dir, "srv"));
	pack_str(&b, "wiki");
	pack_u32(&b, getuid() + 1);
	pack_str(&b, rig_path(dir, "srv"));
	pack_str(&b, "wiki");
	pack_u32(&b, getuid());
	pack_str(&b, "/nonexistent/folder");
	pack_str(&b, "wiki");
	pack_u32(&b, getuid());
	pack_str(&b, "../relative");
	/* Another file system. */
	pack_str(&b, "wiki");
	pack_u32(&b, getuid());
	pack_str(&b, "/proc/self");
	unpack_init(&c.more, b.p, b.len);
	assert_int_equal(act_inodes_made(&c, dir, since, "0", "30"), 0);
	assert_string_equal(c.result, "31 shop");
	/* Cut anywhere it is refused. */
	for (size_t n = 1; n < 40; n++) {
		int r;

		c = ctx_in(dir);
		unpack_init(&c.more, b.p, n);
		r = act_inodes_made(&c, dir, since, "0", "1");
		assert_true(r == -EPROTO || n == 17 + strlen(rig_path(dir, "srv/up")) + 1);
	}
	buf_done(&b);
	rig_remove(dir);
}

/* The state's own folder may be one below the root; no other is counted in. */
static void test_refused(void **state)
{
	const char *dir = state_in();
	const char *const bad[][4] = {{"/etc", "1", "0", "1"}, {"relative", "1", "0", "1"}, {rig_path(dir, "../x"), "1", "0", "1"},
		{dir, "x", "0", "1"}, {dir, "1", "1000", "1"}, {dir, "1", "", "1"}, {dir, "1", "0", "0"}, {dir, "1", "0", "-1"}};
	struct act_ctx c;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		c = ctx_in(dir);
		assert_int_equal(act_inodes_made(&c, bad[i][0], bad[i][1], bad[i][2], bad[i][3]), -EINVAL);
	}
	c = ctx_in(dir);
	assert_int_equal(act_inodes_made(&c, rig_path(dir, "none"), "1", "0", "1"), -ENOENT);
	folder(dir, "up");
	folder(dir, "up/data");
	files(dir, "up/data", 3);
	c = ctx_in(dir);
	assert_int_equal(act_inodes_made(&c, rig_path(dir, "up"), "1", "999", "1"), 0);
	assert_string_equal(c.result, "3 .");
	rig_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_since), cmocka_unit_test(test_places), cmocka_unit_test(test_turns),
		cmocka_unit_test(test_deep), cmocka_unit_test(test_elsewhere), cmocka_unit_test(test_refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
