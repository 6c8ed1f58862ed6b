/*
 * test_cache_store.c: the region: what is stored is found by another gate, a bound holds, what is dropped
 * is gone, damage loses answers and never mixes them, and a gate that dies with a lock stops nobody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cache_store.h"
#include "lib/must.h"
#include "lib/region.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BYTES = 2 << 20 };

struct two {
	struct cache_store *a, *b; /* as two gates have it */
	int fd;
};

static struct two open_two(void)
{
	struct two t;

	assert_int_equal(region_memfd("test", BYTES, &t.fd), 0);
	assert_int_equal(cache_store_open(&t.a, t.fd), 0);
	assert_int_equal(cache_store_open(&t.b, t.fd), 0);
	cache_store_clock(t.a, 1000);
	cache_store_clock(t.b, 1000);
	return t;
}

static void close_two(struct two *t)
{
	cache_store_free(t->a);
	cache_store_free(t->b);
	close(t->fd);
}

static bool is_named(void *arg, const char *head, size_t n)
{
	return n == strlen(arg) && memcmp(head, arg, n) == 0;
}

static bool put(struct cache_store *s, uint64_t hash, const char *name, size_t n)
{
	char *body = malloc(n + 1);
	struct cache_writer w;
	bool good;

	must(body);
	for (size_t i = 0; i < n; i++)
		body[i] = (char)(hash + i / 7);
	good = cache_writer_open(s, hash, &w);
	for (size_t at = 0; good && at < n; at += 5000)
		good = cache_writer_put(s, &w, body + at, n - at < 5000 ? n - at : 5000);
	good = good && cache_writer_commit(s, &w, hash, 0, 0, name, strlen(name));
	free(body);
	return good;
}

/* Bytes that were read, all of them right; < 0 as the reader says. */
static int64_t get(struct cache_store *s, uint64_t hash, const char *name, uint64_t from)
{
	struct cache_reader rd;
	struct cache_ref ref;
	char piece[3000];
	int64_t sum = 0, got;

	if (!cache_store_find(s, hash, is_named, (void *)name, &ref))
		return -ENOENT;
	if (!cache_reader_open(s, &ref, from, &rd))
		return -ESTALE;
	while ((got = cache_reader_read(s, &rd, piece, sizeof(piece))) > 0) {
		for (int64_t i = 0; i < got; i++)
			assert_int_equal(piece[i], (char)(hash + (from + (uint64_t)(sum + i)) / 7));
		sum += got;
	}
	return got < 0 ? got : sum;
}

static void test_shared(void **state)
{
	struct two t = open_two();

	(void)state;
	assert_true(put(t.a, 1, "one", 100000));
	assert_true(put(t.a, 2, "two", 0));
	assert_int_equal(get(t.b, 1, "one", 0), 100000);
	assert_int_equal(get(t.b, 1, "one", 99999), 1);
	assert_int_equal(get(t.b, 1, "one", CACHE_PAYLOAD), 100000 - CACHE_PAYLOAD);
	assert_int_equal(get(t.b, 2, "two", 0), 0);
	assert_int_equal(get(t.b, 1, "two", 0), -ENOENT);
	assert_int_equal(cache_store_drop(t.b, 1), 1);
	assert_int_equal(get(t.a, 1, "one", 0), -ENOENT);
	close_two(&t);
}

/* More than fits: the bound holds, and the newest is there. */
static void test_bound(void **state)
{
	struct two t = open_two();
	struct cache_counts n;
	char name[32];

	(void)state;
	for (uint64_t i = 1; i <= 500; i++) {
		cache_store_clock(t.a, i * 100000);
		snprintf(name, sizeof(name), "n%llu", (unsigned long long)i);
		assert_true(put(t.a, i << 20, name, 20000));
		assert_int_equal(get(t.a, i << 20, name, 0), 20000);
	}
	cache_store_count(t.b, &n);
	assert_true(n.entries > 20 && n.entries < 110);
	assert_true(n.blocks_used <= n.blocks && n.blocks * CACHE_BLOCK <= BYTES);
	assert_false(put(t.a, 5, "huge", BYTES / 2));
	close_two(&t);
}

/* A reader keeps its answer from being taken for room. */
static void test_lease(void **state)
{
	struct two t = open_two();
	struct cache_reader rd;
	struct cache_ref ref;
	char byte;

	(void)state;
	assert_true(put(t.a, 1, "kept", 10000));
	assert_true(cache_store_find(t.b, 1, is_named, "kept", &ref));
	assert_true(cache_reader_open(t.b, &ref, 0, &rd));
	for (uint64_t i = 2; i < 300; i++)
		(void)put(t.a, i << 20, "x", 20000);
	assert_int_equal(cache_reader_read(t.b, &rd, &byte, 1), 1);
	assert_int_equal(get(t.a, 1, "kept", 0), 10000);
	close_two(&t);
}

/* What was asked before a purge is not stored behind it. */
static void test_purge_race(void **state)
{
	struct two t = open_two();
	struct cache_writer w;
	uint64_t at = 0;
	bool done = false;

	(void)state;
	assert_true(cache_writer_open(t.a, 1, &w));
	assert_true(cache_writer_put(t.a, &w, "abc", 3));
	assert_int_equal(cache_store_drop(t.b, 1), 0);
	assert_false(cache_writer_commit(t.a, &w, 1, 0, 0, "x", 1));
	assert_true(put(t.a, 1, "x", 3) && put(t.a, 2, "y", 3));
	while (!done)
		assert_true(cache_store_sweep(t.b, &at, 0, is_named, "y", &done) >= 0);
	assert_int_equal(get(t.a, 1, "x", 0), 3);
	assert_int_equal(get(t.a, 2, "y", 0), -ENOENT);
	close_two(&t);
}

/* The lock's owner is gone: the others do without for a while, and then begin that shard anew. */
static void test_dead_owner(void **state)
{
	struct two t = open_two();

	(void)state;
	assert_true(put(t.a, 1, "one", 10));
	assert_true(cache_store_hold(t.a, 1));
	assert_int_equal(get(t.b, 1, "one", 0), -ENOENT);
	cache_store_clock(t.b, 1000 + CACHE_LOCK_DEAD_MS - 1);
	assert_int_equal(get(t.b, 1, "one", 0), -ENOENT);
	assert_false(put(t.b, 1, "two", 10));
	cache_store_clock(t.b, 1000 + 2 * CACHE_LOCK_DEAD_MS);
	assert_true(put(t.b, 1, "two", 10));
	assert_int_equal(get(t.b, 1, "two", 0), 10);
	assert_int_equal(get(t.b, 1, "one", 0), -ENOENT);
	close_two(&t);
}

/* Bytes all over the region are damaged in turn: answers are lost, wrong ones never come. */
static void test_damage(void **state)
{
	struct two t = open_two();
	unsigned char *map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, t.fd, 0);
	unsigned lost = 0;

	(void)state;
	assert_true(map != MAP_FAILED);
	/* Not the lock itself: that one is test_dead_owner()'s. */
	for (size_t at = CACHE_BLOCK + 8; at < BYTES; at += at < 128 * 1024 ? 61 : 4099) {
		unsigned char was = map[at];
		int64_t got;

		cache_store_clock(t.a, 1000 + at * 100000);
		(void)put(t.a, 1, "one", 9000);
		map[at] = (unsigned char)~map[at];
		got = get(t.a, 1, "one", 0);
		lost += got != 9000;
		assert_true(got == 9000 || got < 0);
		(void)cache_store_drop(t.a, 1);
		map[at] = was;
	}
	assert_true(lost > 0);
	munmap(map, BYTES);
	close_two(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_lease),
		cmocka_unit_test(test_purge_race),
		cmocka_unit_test(test_dead_owner),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
