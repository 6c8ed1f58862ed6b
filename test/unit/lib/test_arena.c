/*
 * test_arena.c: an arena's pieces, its pool's bound, and that everything comes home.
 */
#include "test.h"

#include "lib/arena.h"
#include "lib/must.h"

#include <string.h>

static void pieces_are_aligned_and_apart(void **state)
{
	struct arena_pool pool;
	struct arena a;
	char *last = NULL;

	(void)state;
	arena_pool_init(&pool, 1024, 16, 2);
	arena_init(&a, &pool);
	assert_int_equal(pool.blocks_lent, 0);
	for (size_t n = 0; n < 100; n++) {
		char *p = arena_alloc(&a, n);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		assert_ptr_not_equal(p, last);
		memset(p, (int)n, n);
		last = p;
	}
	assert_false(arena_overflowed(&a));
	arena_reset(&a);
	assert_int_equal(pool.blocks_lent, 0);
	assert_int_equal(pool.blocks_free, 2);
	arena_pool_done(&pool);
}

static void bound_is_kept(void **state)
{
	struct arena_pool pool;
	struct arena a, b;

	(void)state;
	arena_pool_init(&pool, 1024, 4, 4);
	arena_init(&a, &pool);
	arena_init(&b, &pool);
	for (int i = 0; i < 4; i++)
		assert_non_null(arena_alloc(&a, 900));
	assert_null(arena_alloc(&b, 1));
	assert_true(arena_overflowed(&b));
	assert_null(arena_alloc(&a, 900));
	assert_true(arena_overflowed(&a));
	/* Once overflowed nothing more is given, also what would fit. */
	assert_null(arena_alloc(&a, 1));
	assert_null(arena_printf(&a, "x"));
	arena_reset(&a);
	assert_false(arena_overflowed(&a));
	arena_reset(&b);
	assert_non_null(arena_alloc(&b, 900));
	arena_reset(&b);
	arena_pool_done(&pool);
}

static void large_is_charged_by_size(void **state)
{
	struct arena_pool pool;
	struct arena a;
	char *small, *large;

	(void)state;
	arena_pool_init(&pool, 1024, 8, 8);
	arena_init(&a, &pool);
	large = arena_alloc(&a, 3000);
	assert_non_null(large);
	assert_int_equal(pool.blocks_lent, 3);
	memset(large, 1, 3000);
	small = arena_alloc(&a, 10);
	assert_int_equal(pool.blocks_lent, 4);
	assert_non_null(arena_alloc(&a, 2000));
	/* The block in use is still in use behind a large piece. */
	assert_ptr_equal(arena_alloc(&a, 10), small + 16);
	assert_null(arena_alloc(&a, SIZE_MAX - 8));
	arena_reset(&a);
	assert_int_equal(pool.blocks_lent, 0);
	/* Free blocks give way to a large piece instead of going over the bound. */
	for (int i = 0; i < 8; i++)
		assert_non_null(arena_alloc(&a, 900));
	arena_reset(&a);
	assert_int_equal(pool.blocks_free, 8);
	assert_non_null(arena_alloc(&a, 7 * 1024));
	assert_true(pool.blocks_lent + pool.blocks_free <= pool.blocks_max);
	arena_reset(&a);
	arena_pool_done(&pool);
}

static void strings(void **state)
{
	struct arena_pool pool;
	struct arena a;
	char *zero;

	(void)state;
	arena_pool_init(&pool, 256, 64, 0);
	arena_init(&a, &pool);
	assert_string_equal(arena_strndup(&a, "hello", 4), "hell");
	assert_string_equal(arena_strndup(&a, NULL, 0), "");
	assert_string_equal(arena_printf(&a, "%s-%d", "x", 42), "x-42");
	assert_int_equal(strlen(arena_printf(&a, "%1000d", 1)), 1000);
	zero = arena_zalloc(&a, 64);
	for (int i = 0; i < 64; i++)
		assert_int_equal(zero[i], 0);
	assert_null(arena_strndup(&a, "", SIZE_MAX));
	arena_reset(&a);
	assert_int_equal(pool.blocks_free, 0);
	arena_pool_done(&pool);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_aligned_and_apart),
		cmocka_unit_test(bound_is_kept),
		cmocka_unit_test(large_is_charged_by_size),
		cmocka_unit_test(strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
