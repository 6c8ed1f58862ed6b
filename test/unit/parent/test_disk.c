/*
 * test_disk.c: who is blamed for a disk that is full; when the guard of inodes asks who made files, what it says, and what it
 * lets be.
 */
#include "parent.h"
#include "lib/room.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { TOTAL = 1000000, FLOOR = TOTAL / ROOM_SHARE };

static struct inodes begun(uint64_t left)
{
	struct inodes d = {.reserve_fd = -1};

	inodes_begin(&d, TOTAL, left, 1000);
	return d;
}

/* One that shows what it writes and wrote a quarter; else one that hides it and had the time. */
static void test_who_wrote(void **state)
{
	struct disk *d = calloc(1, sizeof(*d));
	uint64_t lost = 400 << 20, quarter_us = lost / 4 / 20000;

	(void)state;
	assert_non_null(d);
	assert_null(disk_most(d, lost));
	d->n = 3;
	d->writer[0] = (struct disk_writer){.app = 1, .before = 5, .now = 5 + lost / 4 - 1};
	d->writer[1] = (struct disk_writer){.app = 2, .before = lost, .now = lost};
	d->writer[2] = (struct disk_writer){.app = 3, .system_before_us = 7, .system_us = 7 + 10 * quarter_us};
	assert_null(disk_most(d, lost));
	d->writer[0].now++;
	assert_int_equal(disk_most(d, lost)->app, 1);
	d->writer[2].hides = true;
	assert_int_equal(disk_most(d, lost)->app, 1);
	d->writer[0].now--;
	assert_int_equal(disk_most(d, lost)->app, 3);
	d->writer[2].system_us = 7 + quarter_us;
	assert_null(disk_most(d, lost));
	d->writer[2].system_us++;
	assert_int_equal(disk_most(d, lost)->app, 3);
	/* What is seen explains half of it. */
	d->writer[0].now--;
	d->writer[1].now += lost / 4 - 2;
	d->writer[2].now = 2 + 2;
	assert_null(disk_most(d, lost));
	/* Not the first time that it is looked at. */
	d->writer[1].now = lost;
	d->writer[2].system_before_us = d->writer[2].system_us;
	assert_null(disk_most(d, lost));
	free(d);
}

static void test_floor(void **state)
{
	(void)state;
	assert_int_equal(room_inodes_floor(TOTAL), FLOOR);
	assert_int_equal(room_inodes_floor(100ull << 20), ROOM_INODES_MAX);
	assert_int_equal(room_inodes_floor(20000), ROOM_INODES_MIN);
	assert_int_equal(room_inodes_floor(1000), 125);
	assert_int_equal(room_inodes_floor(0), 0);
}

/* btrfs: there is nothing to run out of. */
static void test_uncounted(void **state)
{
	struct inodes d = {.reserve_fd = -1};

	(void)state;
	inodes_begin(&d, 0, 0, 1000);
	assert_false(d.counted);
	assert_int_equal(inodes_judge(&d, 0, 0, 2000), 0);
	assert_false(inodes_near(&d, 0, 5));
}

/* From much to little between two looks. */
static void test_fast(void **state)
{
	struct inodes d = begun(900000);

	(void)state;
	assert_int_equal(inodes_judge(&d, TOTAL, 800000, 2000), 0);
	assert_int_equal(d.mark_ms, 2000);
	assert_int_equal(inodes_judge(&d, TOTAL, FLOOR - 1, 3000), INODES_SAY_LOW | INODES_ASK);
	assert_int_equal(d.mark_ms, 2000);
	assert_int_equal(inodes_enough(&d, FLOOR - 1), (800000 - FLOOR + 1) / 4);
	/* One question at a time. */
	assert_int_equal(inodes_judge(&d, TOTAL, 10, 4000), 0);
	inodes_answered(&d, 5000, 5000);
	/* What went before it is told. */
	assert_int_equal(inodes_judge(&d, TOTAL, 5000, 6000), 0);
	assert_int_equal(inodes_judge(&d, TOTAL, 5000 - FLOOR / 64 + 1, 6000), 0);
	assert_int_equal(inodes_judge(&d, TOTAL, 5000 - FLOOR / 64, 7000), INODES_ASK);
	assert_int_equal(d.mark_ms, 5000);
}

/* By and by: the mark stays where twice the floor was left. */
static void test_slow(void **state)
{
	struct inodes d = begun(2 * FLOOR + 100);
	uint64_t at = 10000;

	(void)state;
	for (uint64_t left = 2 * FLOOR + 50; left >= FLOOR; left -= 50, at += 1000)
		assert_int_equal(inodes_judge(&d, TOTAL, left, at), 0);
	assert_int_equal(d.mark_ms, 11000);
	assert_int_equal(d.mark_free, 2 * FLOOR);
	assert_int_equal(inodes_judge(&d, TOTAL, FLOOR - 1, at), INODES_SAY_LOW | INODES_ASK);
	assert_int_equal(inodes_enough(&d, FLOOR - 1), (FLOOR + 1) / 4);
}

/* A start at which it is short already is nobody's doing. */
static void test_short_at_the_start(void **state)
{
	struct inodes d = begun(500);

	(void)state;
	assert_int_equal(inodes_judge(&d, TOTAL, 500, 2000), INODES_SAY_LOW | INODES_GIVE_UP);
	assert_int_equal(inodes_judge(&d, TOTAL, 490, 3000), 0);
	assert_true(inodes_near(&d, 490, 0));
}

static void test_no_answer(void **state)
{
	struct inodes d = begun(900000);

	(void)state;
	assert_int_equal(inodes_judge(&d, TOTAL, 100, 2000), INODES_SAY_LOW | INODES_ASK);
	assert_int_equal(inodes_judge(&d, TOTAL, 0, 2000 + INODES_ANSWER_MS - 1), 0);
	assert_int_equal(inodes_judge(&d, TOTAL, 0, 2000 + INODES_ANSWER_MS), INODES_ASK | INODES_GIVE_UP);
}

/* It is fine again with half of the floor more, and not sooner. */
static void test_fine(void **state)
{
	struct inodes d = begun(900000);

	(void)state;
	(void)inodes_judge(&d, TOTAL, 100, 2000);
	inodes_answered(&d, 100, 3000);
	assert_int_equal(inodes_judge(&d, TOTAL, FLOOR + FLOOR / 2 - 1, 4000), 0);
	assert_true(d.low);
	assert_int_equal(inodes_judge(&d, TOTAL, FLOOR + FLOOR / 2, 5000), INODES_SAY_FINE);
	assert_false(d.low);
	assert_int_equal(d.mark_free, FLOOR + FLOOR / 2);
}

static void test_near(void **state)
{
	struct inodes d = begun(900000);

	(void)state;
	assert_false(inodes_near(&d, 900000, 0));
	assert_false(inodes_near(&d, 900000, (900000 - FLOOR) / 4 - 1));
	assert_true(inodes_near(&d, 900000, (900000 - FLOOR) / 4));
	assert_true(inodes_near(&d, 2 * FLOOR - 1, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_who_wrote), cmocka_unit_test(test_floor), cmocka_unit_test(test_uncounted), cmocka_unit_test(test_fast),
		cmocka_unit_test(test_slow), cmocka_unit_test(test_short_at_the_start), cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_fine), cmocka_unit_test(test_near)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
