/*
 * test_limits.c: what is written for an app into the folders of cgroups, on v2 and on v1: with
 * plain files in the place of the kernel's, because a machine has one kind of tree only.
 */
#include "parent.h"
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char top[64];
static unsigned said;

static void count(struct parent *p, const void *event, size_t n)
{
	(void)p;
	(void)event;
	(void)n;
	said++;
}
static const struct parent_ops ops = {.say = count};

static void put(const char *path, const char *text)
{
	char full[256];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", top, path);
	f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static const char *got(const char *path)
{
	static char text[256];
	char full[256];
	FILE *f;
	size_t n;

	snprintf(full, sizeof(full), "%s/%s", top, path);
	f = fopen(full, "r");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

static int folder(const char *path)
{
	char full[256];

	snprintf(full, sizeof(full), "%s%s%s", top, path[0] ? "/" : "", path);
	(void)mkdir(full, 0700);
	int fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static struct parent *begin(void)
{
	struct parent *p = calloc(1, sizeof(*p));

	snprintf(top, sizeof(top), "/tmp/stead-limits-XXXXXX");
	assert_non_null(mkdtemp(top));
	parent_init(p, &ops);
	p->root = true;
	said = 0;
	return p;
}

static void remove_all(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY);
	DIR *d = fdopendir(fd);
	struct dirent *e;

	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlinkat(fd, e->d_name, 0) < 0)
			remove_all(fd, e->d_name);
	}
	closedir(d);
	unlinkat(dirfd, name, AT_REMOVEDIR);
}

static void end(struct parent *p)
{
	limits_done(p);
	if (p->cgroups.own >= 0)
		close(p->cgroups.own);
	if (p->cgroup_fd >= 0)
		close(p->cgroup_fd);
	remove_all(AT_FDCWD, top);
	free(p);
}

static const struct msg_jail wanted = {.version = JAIL_VERSION,
	.group = 7,
	.has = JAIL_HAS_SWAP,
	.memory_max = 300 << 20,
	.memory_high = 200 << 20,
	.swap_max = 0,
	.tasks_max = JAIL_INFINITY,
	.cpu_permille = 1500,
	.cpu_weight = 200,
	.io_weight = 50};

static void test_v2(void **state)
{
	static const char *const files[] = {"memory.max", "memory.high", "memory.swap.max",
		"pids.max", "cpu.max", "cpu.weight", "io.weight"};
	char path[64];

	(void)state;
	/* There a folder must be given to us by a mark that a plain one cannot have. */
	if (access("/run/systemd/system", F_OK) == 0)
		skip();
	struct parent *p = begin();
	p->cgroups.own = folder("");
	put("cgroup.controllers", "cpuset cpu io memory hugetlb pids\n");
	put("cgroup.subtree_control", "");
	p->cgroup_fd = folder("stead-1");
	put("stead-1/cgroup.subtree_control", "");
	close(folder("stead-1/apps"));
	put("stead-1/apps/cgroup.subtree_control", "");
	put("stead-1/apps/memory.max", "");
	limits_init(p, "");
	for (unsigned i = 0; i < PROTECTION_CONTROLLERS; i++)
		assert_int_equal(p->cgroups.where[i], PROTECTION_V2);
	assert_string_equal(p->cgroups.why, "");
	/* Each was turned on by itself; a plain file keeps the last one at its beginning. */
	assert_int_equal(strncmp(got("cgroup.subtree_control"), "+io", 3), 0);
	assert_int_equal(strncmp(got("stead-1/cgroup.subtree_control"), "+io", 3), 0);
	assert_int_equal(strncmp(got("stead-1/apps/cgroup.subtree_control"), "+io", 3), 0);
	assert_true(
		strtoull(got("stead-1/apps/memory.max"), NULL, 10) == p->cgroups.apps_memory_max);

	close(folder("stead-1/apps/app-7"));
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "stead-1/apps/app-7/%s", files[i]);
		put(path, "");
	}
	put("stead-1/apps/app-7/memory.events",
		"low 0\nhigh 3\nmax 9\noom 2\noom_kill 2\noom_group_kill 0\n");
	struct cgroup_group *g = limits_group(p, 7);
	assert_non_null(g);
	assert_ptr_equal(limits_group(p, 7), g);
	limits_apply(p, g, &wanted, "shop");
	assert_int_equal(said, 0);
	assert_string_equal(got("stead-1/apps/app-7/memory.max"), "314572800");
	assert_string_equal(got("stead-1/apps/app-7/memory.high"), "209715200");
	assert_string_equal(got("stead-1/apps/app-7/memory.swap.max"), "0");
	assert_string_equal(got("stead-1/apps/app-7/pids.max"), "max");
	assert_string_equal(got("stead-1/apps/app-7/cpu.max"), "150000 100000");
	assert_string_equal(got("stead-1/apps/app-7/cpu.weight"), "200");
	assert_string_equal(got("stead-1/apps/app-7/io.weight"), "default 50");
	/* Kills that were there before are not told; later ones are, once. */
	assert_int_equal(limits_oom(g), 0);
	put("stead-1/apps/app-7/memory.events", "low 0\noom_kill 5\n");
	assert_int_equal(limits_oom(g), 3);
	assert_int_equal(limits_oom(g), 0);
	end(p);
}

static void test_v1(void **state)
{
	static const char *const names[] = {"memory", "cpu", "tasks", "io"};
	struct parent *p = begin();

	(void)state;
	for (unsigned i = 0; i < PROTECTION_CONTROLLERS; i++) {
		p->cgroups.v1_apps[i] = folder(names[i]);
		p->cgroups.where[i] = PROTECTION_V1;
	}
	close(folder("memory/app-7"));
	close(folder("cpu/app-7"));
	close(folder("tasks/app-7"));
	close(folder("io/app-7"));
	put("memory/app-7/memory.limit_in_bytes", "");
	put("memory/app-7/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n");
	put("tasks/app-7/pids.max", "");
	put("cpu/app-7/cpu.cfs_quota_us", "");
	put("cpu/app-7/cpu.shares", "");
	struct cgroup_group *g = limits_group(p, 7);
	limits_apply(p, g, &wanted, "shop");
	assert_string_equal(got("memory/app-7/memory.limit_in_bytes"), "314572800");
	assert_string_equal(got("tasks/app-7/pids.max"), "max");
	assert_string_equal(got("cpu/app-7/cpu.cfs_quota_us"), "150000");
	assert_string_equal(got("cpu/app-7/cpu.shares"), "2048");
	/* MemoryHigh=, MemorySwapMax= and IOWeight= were asked for, and this tree cannot. */
	assert_int_equal(said, 3);
	/* The same again writes nothing, so it says nothing. */
	limits_apply(p, g, &wanted, "shop");
	assert_int_equal(said, 3);
	put("memory/app-7/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
	assert_int_equal(limits_oom(g), 1);
	end(p);
}

static void test_none(void **state)
{
	struct parent *p = begin();

	(void)state;
	limits_init(p, "");
	assert_true(p->cgroups.why[0] != '\0');
	assert_null(limits_group(p, 7));
	end(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v2),
		cmocka_unit_test(test_v1),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
