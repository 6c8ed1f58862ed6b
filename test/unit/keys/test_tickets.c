/*
 * test_tickets.c: the keys of session tickets: a new one every 12 hours, three kept, handed on to a
 * successor.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "keys.h"

static const uint8_t secret[SEAL_KEY_BYTES] = {9};
enum { START = 1000 };

static void rotate_and_keep(void **state)
{
	struct tickets t, before;
	uint64_t next, now = START;

	(void)state;
	assert_int_equal(tickets_init(&t, secret, NULL, 0, now), 0);
	assert_int_equal(t.m.n, 1);
	assert_false(tickets_rotate(&t, now, &next));
	assert_int_equal(next, TICKETS_ROTATE_US);
	assert_false(tickets_rotate(&t, now + TICKETS_ROTATE_US - 1, &next));
	assert_int_equal(next, 1);
	for (unsigned i = 1; i < 6; i++) {
		before = t;
		now += TICKETS_ROTATE_US;
		assert_true(tickets_rotate(&t, now, &next));
		assert_int_equal(t.m.n, i + 1 < TICKET_KEYS_MAX ? i + 1 : TICKET_KEYS_MAX);
		assert_memory_not_equal(&t.m.key[0], &before.m.key[0], sizeof(t.m.key[0]));
		assert_memory_equal(&t.m.key[1], &before.m.key[0], sizeof(t.m.key[0]));
	}
	/* After a long sleep none of the old ones is good any more. */
	before = t;
	assert_true(tickets_rotate(&t, now + 10 * TICKETS_ROTATE_US, &next));
	assert_int_equal(t.m.n, 1);
	for (unsigned i = 0; i < TICKET_KEYS_MAX; i++)
		assert_memory_not_equal(&t.m.key[0], &before.m.key[i], sizeof(t.m.key[0]));
	assert_int_equal(next, TICKETS_ROTATE_US);
}

static void a_clock_that_goes_back(void **state)
{
	struct tickets t;
	uint64_t next;

	(void)state;
	assert_int_equal(tickets_init(&t, secret, NULL, 0, 100 * TICKETS_ROTATE_US), 0);
	assert_false(tickets_rotate(&t, 100 * TICKETS_ROTATE_US - 1000, &next));
	assert_true(tickets_rotate(&t, START, &next));
	assert_false(tickets_rotate(&t, START, &next));
	assert_int_equal(next, TICKETS_ROTATE_US);
}

static void a_successor_goes_on(void **state)
{
	uint8_t box[TICKETS_BOX_BYTES], other[SEAL_KEY_BYTES] = {0x90};
	struct tickets t, again;
	uint64_t next;

	(void)state;
	assert_int_equal(tickets_init(&t, secret, NULL, 0, START), 0);
	assert_true(tickets_rotate(&t, START + TICKETS_ROTATE_US, &next));
	assert_int_equal(tickets_keep(&t, secret, box), 0);
	assert_int_equal(
		tickets_init(&again, secret, box, sizeof(box), START + TICKETS_ROTATE_US), 0);
	assert_memory_equal(&again, &t, sizeof(t));
	assert_null(memmem(box, sizeof(box), &t.m.key[0], sizeof(t.m.key[0])));
	/* What is not ours, or damaged, is as if it was not there. */
	assert_int_equal(tickets_init(&again, other, box, sizeof(box), START), 0);
	assert_int_equal(again.m.n, 1);
	box[40] ^= 1;
	assert_int_equal(tickets_init(&again, secret, box, sizeof(box), START), 0);
	assert_int_equal(again.m.n, 1);
	assert_int_equal(tickets_init(&again, secret, box, 5, START), 0);
	assert_int_equal(again.m.n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(rotate_and_keep),
		cmocka_unit_test(a_clock_that_goes_back), cmocka_unit_test(a_successor_goes_on)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
