/*
 * test_counters.c: what a gate takes over of the one before it in its place: every counter of every
 * row that was used, no gauge, and no memory for rows that nobody used.
 */
#include "counters.h"
#include "lib/must.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The end of a gate, which the process defines. */
void gate_drained(struct gate *g)
{
	(void)g;
}

static off_t blocks(int fd)
{
	struct stat st;

	must(fstat(fd, &st) == 0);
	return st.st_blocks;
}

/* In the first page and the last, side by side, at both ends of a page, and alone. */
static const unsigned sites[] = {0, 1, 2, 11, 12, 13, 500, 8191, 8192, COUNTER_SITES_MAX - 1};
static const unsigned upstreams[] = {0, 3, 4, 700, COUNTER_UPSTREAMS_MAX - 1};

static bool is_among(unsigned i, const unsigned *list, size_t n)
{
	for (size_t k = 0; k < n; k++)
		if (list[k] == i)
			return true;
	return false;
}

static void test_used_rows(void **state)
{
	struct gate first = {0}, next = {0};
	off_t before;

	(void)state;
	must(counters_new(&first) == 0 && counters_new(&next) == 0);
	atomic_store(&first.counters->gate[METRIC_REQUESTS], 5);
	for (size_t i = 0; i < ARRAY_LEN(sites); i++) {
		struct counters_site *c = &first.counters->site[sites[i]];

		atomic_store(&c->col[SITE_REQUESTS], 100 + sites[i]);
		atomic_store(&c->col[SITE_QUEUED], 7);
		atomic_store(&c->bucket[METRIC_BUCKETS - 1], 1 + sites[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(upstreams); i++)
		atomic_store(&first.counters->upstream[upstreams[i]].col[UPSTREAM_TIME_US],
			9 + upstreams[i]);
	before = blocks(first.counters_fd);
	counters_inherit(&next, first.counters_fd);
	/* To read what nobody wrote has made no memory of it. */
	assert_int_equal(blocks(first.counters_fd), before);
	assert_true(blocks(next.counters_fd) <= before);
	assert_int_equal(next.counters->gate[METRIC_REQUESTS], 5);
	for (unsigned i = 0; i < COUNTER_SITES_MAX; i++) {
		bool used = is_among(i, sites, ARRAY_LEN(sites));

		assert_int_equal(next.counters->site[i].col[SITE_REQUESTS], used ? 100 + i : 0);
		assert_int_equal(next.counters->site[i].col[SITE_QUEUED], 0);
		assert_int_equal(
			next.counters->site[i].bucket[METRIC_BUCKETS - 1], used ? 1 + i : 0);
	}
	for (unsigned i = 0; i < COUNTER_UPSTREAMS_MAX; i++) {
		bool used = is_among(i, upstreams, ARRAY_LEN(upstreams));

		assert_int_equal(
			next.counters->upstream[i].col[UPSTREAM_TIME_US], used ? 9 + i : 0);
	}
	counters_free(&first);
	counters_free(&next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_used_rows)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
