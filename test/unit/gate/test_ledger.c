/*
 * test_ledger.c: what a connection may cost: counts, resets that are paid back, waste against content,
 * and the pace of whom we wait for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gate.h"
#include "ledger.h"

/* The end of a gate, which the process defines. */
void gate_drained(struct gate *g)
{
	(void)g;
}

static void requests(void **state)
{
	struct ledger l = {.requests = LEDGER_REQUESTS_MAX - 2};

	(void)state;
	assert_int_equal(ledger_request(&l), CLOSE_NONE);
	assert_int_equal(ledger_request(&l), CLOSE_KEEPALIVE_OFF);
	assert_int_equal(ledger_request(&l), CLOSE_KEEPALIVE_OFF);
	l.requests = UINT32_MAX;
	assert_int_equal(ledger_request(&l), CLOSE_KEEPALIVE_OFF);
	assert_int_equal(l.requests, UINT32_MAX);
}

static void resets(void **state)
{
	struct ledger l = {0};

	(void)state;
	for (unsigned i = 0; i < LEDGER_RESETS_MAX; i++)
		assert_int_equal(ledger_reset(&l), CLOSE_NONE);
	assert_int_equal(ledger_reset(&l), CLOSE_LEDGER);
	/* One that lets as many end as it takes back may go on for ever. */
	for (unsigned i = 0; i < 100000; i++) {
		ledger_answered(&l);
		assert_int_equal(ledger_reset(&l), CLOSE_NONE);
	}
	assert_int_equal(ledger_reset(&l), CLOSE_LEDGER);
	for (unsigned i = 0; i < 2 * LEDGER_RESETS_MAX; i++)
		ledger_answered(&l);
	assert_int_equal(l.resets, 0);
}

static void waste(void **state)
{
	struct ledger l = {0};

	(void)state;
	assert_int_equal(ledger_waste(&l, LEDGER_WASTE_MAX), CLOSE_NONE);
	assert_int_equal(ledger_waste(&l, 1), CLOSE_LEDGER);
	assert_int_equal(ledger_waste(&l, UINT64_MAX), CLOSE_LEDGER);
	/* Nothing of it wraps, and what was refused is not forgotten. */
	assert_int_equal(ledger_waste(&l, 1), CLOSE_LEDGER);
	ledger_answered(&l);
	assert_int_equal(ledger_waste(&l, LEDGER_WASTE_PER_ANSWER), CLOSE_NONE);
	assert_int_equal(ledger_waste(&l, 1), CLOSE_LEDGER);
	ledger_content(&l, 10);
	assert_int_equal(ledger_waste(&l, 10 * LEDGER_WASTE_PER_BYTE), CLOSE_NONE);
	assert_int_equal(ledger_waste(&l, 1), CLOSE_LEDGER);
	ledger_content(&l, UINT64_MAX);
	assert_int_equal(l.waste, 0);
	ledger_content(&l, 1000);
	ledger_answered(&l);
	assert_int_equal(l.waste, 0);
	/* Chunks of one byte cost five of framing: their content pays for that. */
	for (unsigned i = 0; i < 1000000; i++) {
		ledger_content(&l, 1);
		assert_int_equal(ledger_waste(&l, 5), CLOSE_NONE);
	}
	assert_true(l.waste < 100);
}

static void pace(void **state)
{
	struct ledger_pace p;

	(void)state;
	ledger_pace_begin(&p, 1000, 50);
	assert_int_equal(ledger_pace_check(&p, 1400, 50, 1000, 100), 600);
	assert_int_equal(ledger_pace_check(&p, 2000, 149, 1000, 100), -1);
	assert_int_equal(ledger_pace_check(&p, 2000, 150, 1000, 100), 0);
	/* The next window begins where this one ended: nothing is saved up. */
	assert_int_equal(ledger_pace_check(&p, 2500, 1000000, 1000, 100), 500);
	assert_int_equal(ledger_pace_check(&p, 3000, 1000000, 1000, 100), 0);
	assert_int_equal(ledger_pace_check(&p, 4000, 1000050, 1000, 100), -1);
	/* Looked at late: over what has passed. */
	assert_int_equal(ledger_pace_check(&p, 5000, 1000199, 1000, 100), -1);
	assert_int_equal(ledger_pace_check(&p, 5000, 1000200, 1000, 100), 0);
	/* Less than before (a queue grew) is nothing; without a bound everything is enough. */
	assert_int_equal(ledger_pace_check(&p, 6000, 1000100, 1000, 100), -1);
	assert_int_equal(ledger_pace_check(&p, 6000, 1000200, 1000, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(requests), cmocka_unit_test(resets),
		cmocka_unit_test(waste), cmocka_unit_test(pace)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
