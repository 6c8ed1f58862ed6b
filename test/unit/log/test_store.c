/*
 * test_store.c: files that stay within their bound, lines that stay whole, a disk that is full.
 */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MIB = 8, FILE_BYTES = FILE_MIB * 1024 * 1024 };

static uint64_t size_of(struct rig *r, const char *file)
{
	char path[128];
	struct stat st;

	(void)snprintf(path, sizeof path, "%s/%s", r->dir, file);
	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

struct back {
	long last;
	unsigned n, max;
};

static bool newest_first(void *arg, const char *line, size_t n)
{
	struct back *b = arg;
	long number = strtol(line, NULL, 10);

	assert_true(n > 0 && line[n - 1] == '.');
	assert_true(b->n == 0 || number == b->last - 1);
	b->last = number;
	return ++b->n < b->max;
}

static void put_numbers(struct rig *r, long from, long to)
{
	static char line[1001];

	for (long i = from; i < to; i++) {
		int n = snprintf(line, sizeof line, "%ld", i);

		memset(line + n, ' ', sizeof line - (size_t)n);
		line[sizeof line - 2] = '.';
		line[sizeof line - 1] = '\n';
		store_put(&r->g->store, line, sizeof line);
	}
	store_flush(&r->g->store);
}

static void turns_at_the_bound(void **state)
{
	static const char *const files[] = {
		"current.jsonl", "1.jsonl", "2.jsonl", "3.jsonl", "4.jsonl"};
	struct back b = {.max = UINT32_MAX};
	struct rig r;

	(void)state;
	rig_open(&r);
	store_bound(&r.g->store, 5 * FILE_MIB);
	put_numbers(&r, 0, 46000);
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		assert_true(size_of(&r, files[i]) > 0);
		assert_true(size_of(&r, files[i]) <= FILE_BYTES);
	}
	assert_int_equal(size_of(&r, "5.jsonl"), 0);
	store_back(&r.g->store, newest_first, &b);
	assert_true(b.n > 30000);
	assert_int_equal(b.last + b.n, 46000);
	b = (struct back){.max = 10};
	store_back(&r.g->store, newest_first, &b);
	assert_int_equal(b.n, 10);
	assert_int_equal(r.g->store.lost_bytes, 0);
	rig_done(&r);
}

static uint64_t size_of_all(struct rig *r)
{
	uint64_t all = size_of(r, "current.jsonl");

	for (unsigned i = 1; i < STORE_FILES; i++) {
		char name[32];

		(void)snprintf(name, sizeof name, "%u.jsonl", i);
		all += size_of(r, name);
	}
	return all;
}

/* A smaller bound lets the oldest go at once; a larger one lets files grow; none leaves it as it was. */
static void the_bound_is_changed(void **state)
{
	struct back b = {.max = UINT32_MAX};
	struct rig r;

	(void)state;
	rig_open(&r);
	store_bound(&r.g->store, 5 * FILE_MIB);
	put_numbers(&r, 0, 39000);
	assert_true(size_of_all(&r) > 30 * 1024 * 1024);
	store_bound(&r.g->store, 20);
	assert_true(size_of_all(&r) <= 20 * 1024 * 1024);
	assert_true(size_of_all(&r) > 8 * 1024 * 1024);
	store_bound(&r.g->store, 0);
	put_numbers(&r, 39000, 65000);
	assert_true(size_of_all(&r) <= 20 * 1024 * 1024);
	store_back(&r.g->store, newest_first, &b);
	assert_int_equal(b.last + b.n, 65000);
	store_bound(&r.g->store, 50);
	put_numbers(&r, 65000, 110000);
	assert_true(size_of_all(&r) > 35 * 1024 * 1024);
	assert_int_equal(r.g->store.lost_bytes, 0);
	rig_done(&r);
}

/* Folders where the older files should be: the bound holds all the same. */
static void a_name_that_is_taken(void **state)
{
	char path[128];
	struct rig r;

	(void)state;
	rig_open(&r);
	for (unsigned i = 1; i < STORE_FILES; i++) {
		(void)snprintf(path, sizeof path, "%s/%u.jsonl", r.dir, i);
		assert_int_equal(mkdir(path, 0700), 0);
		(void)snprintf(path, sizeof path, "%u.jsonl/in", i);
		rig_write(&r, path, "x", 1);
	}
	store_bound(&r.g->store, 5 * FILE_MIB);
	put_numbers(&r, 0, 9000);
	assert_true(size_of(&r, "current.jsonl") <= FILE_BYTES);
	assert_true(r.g->store.lost_bytes > 0);
	for (unsigned i = 1; i < STORE_FILES; i++) {
		(void)snprintf(path, sizeof path, "%s/%u.jsonl/in", r.dir, i);
		assert_int_equal(unlink(path), 0);
	}
	rig_done(&r);
}

static void half_a_line_is_ended(void **state)
{
	struct back b = {.max = 2};
	struct rig r;

	(void)state;
	rig_open(&r);
	put_numbers(&r, 0, 3);
	rig_kill(&r);
	rig_write(&r, "current.jsonl", "half", 4);
	rig_start(&r, -1);
	put_numbers(&r, 3, 5);
	store_back(&r.g->store, newest_first, &b);
	assert_int_equal(b.n, 2);
	assert_int_equal(b.last, 3);
	assert_int_equal(rig_count(&r, "current.jsonl", "\nhalf\n3"), 1);
	rig_done(&r);
}

static void deleted_and_cut_files(void **state)
{
	char path[128];
	struct rig r;

	(void)state;
	rig_open(&r);
	put_numbers(&r, 0, 3);
	(void)snprintf(path, sizeof path, "%s/current.jsonl", r.dir);
	assert_int_equal(truncate(path, 0), 0);
	put_numbers(&r, 3, 4);
	assert_int_equal(size_of(&r, "current.jsonl"), 1001);
	assert_int_equal(r.g->store.bytes, 1001);
	assert_int_equal(unlink(path), 0);
	put_numbers(&r, 4, 6);
	assert_int_equal(size_of(&r, "current.jsonl"), 2002);
	rig_done(&r);
}

/* Full in the middle of a line, then room again: what was lost is counted and said, the rest whole.
 */
static void a_full_disk(void **state)
{
	struct rlimit was, small;
	struct rig r;
	char got[4096];

	(void)state;
	(void)sigaction(SIGXFSZ, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	rig_open(&r);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	small = (struct rlimit){.rlim_cur = 1000, .rlim_max = was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (unsigned i = 0; i < 20; i++)
		rig_line(&r, 1000000 * (i + 1), "a", 1, "before");
	log_flush(r.g);
	assert_true(r.g->store.failing && r.g->store.lost_bytes > 0);
	rig_line(&r, 50000000, "a", 1, "lost");
	log_flush(r.g);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	rig_line(&r, 60000000, "a", 1, "after");
	log_flush(r.g);
	assert_false(r.g->store.failing);
	assert_int_equal(r.g->store.lost_told, r.g->store.lost_bytes);
	rig_ask(&r, (struct msg_log_query){.lines = 2}, "", got, sizeof got);
	assert_string_equal(
		got, "after records were lost because they came faster than the disk takes them");
	assert_int_equal(rig_count(&r, "current.jsonl", "lost\""), 0);
	assert_int_equal(rig_count(&r, "current.jsonl", "\n{\"ts\":\"1970-01-01T00:01:00"), 1);
	rig_done(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(turns_at_the_bound),
		cmocka_unit_test(the_bound_is_changed),
		cmocka_unit_test(a_name_that_is_taken),
		cmocka_unit_test(half_a_line_is_ended),
		cmocka_unit_test(deleted_and_cut_files),
		cmocka_unit_test(a_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
