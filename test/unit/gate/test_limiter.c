/*
 * test_limiter.c: buckets and sketches: rates exact over time, one table for several gates, strangers
 * that fill it, garbage in it, and connections of gates that died.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/must.h"
#include "lib/sim.h"
#include "lib/sys.h"
#include "limiter.h"
#include "req.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GATES = 3 };

struct world {
	struct sim *s;
	struct loop *l[GATES];
	struct gate *g[GATES];
	struct timer t[GATES];
	int fd;
	struct limits_page *page;
};

/* The end of a gate, which the process defines. */
void gate_drained(struct gate *g)
{
	(void)g;
}

static void on_turn(struct loop *l, struct op *op, int res)
{
	(void)l, (void)op, (void)res;
}

static op_done *const ops[OP_GATE_END] = {[OP_FAKE_TURN] = on_turn};
static const struct stream_ops *const protos[PROTO_END];
static const struct handler_ops *const handlers[HANDLER_END];

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	const struct sim_options o = {.seed = 1};
	const struct limits_start start = {.magic = LIMITS_MAGIC, .secret = "0123456789abcde"};
	void *map;

	assert_non_null(w);
	assert_int_equal(sim_new(&w->s, &o), 0);
	assert_int_equal(sys_shm_common("limits", sizeof(*w->page), &start, sizeof(start), &w->fd), 0);
	assert_int_equal(sys_shm_map_common(w->fd, sizeof(*w->page), &map), 0);
	w->page = map;
	for (unsigned i = 0; i < GATES; i++) {
		assert_int_equal(loop_new_sim(&w->l[i], w->s, ops, OP_GATE_END), 0);
		assert_int_equal(gate_new(&w->g[i], w->l[i], protos, handlers), 0);
		w->g[i]->index = w->g[i]->place = i;
		w->t[i].op.kind = OP_FAKE_TURN;
	}
	/* The last one counts for itself. */
	for (unsigned i = 0; i + 1 < GATES; i++)
		assert_int_equal(limiter_attach(w->g[i], w->fd), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < GATES; i++) {
		loop_timer_stop(w->l[i], &w->t[i]);
		gate_free(w->g[i]);
		loop_free(w->l[i]);
	}
	sim_free(w->s);
	sys_shm_unmap(w->page, sizeof(*w->page));
	close(w->fd);
	free(w);
	return 0;
}

/* Each loop takes a turn, so that it knows what time it is. */
static void pass_ms(struct world *w, uint64_t ms)
{
	sim_advance_us(w->s, ms * 1000);
	for (unsigned i = 0; i < GATES; i++)
		loop_timer_in(w->l[i], &w->t[i], 0);
	for (unsigned i = 0; i < GATES; i++)
		while (loop_now_us(w->l[i]) < sim_now_us(w->s))
			assert_true(sim_step(w->s));
}

static bool take(struct gate *g, uint64_t who, uint32_t per_s_milli, uint32_t burst)
{
	uint64_t wait;

	return limiter_take(g, limiter_hash(g, 1, &who, sizeof(who)), per_s_milli, burst, &wait);
}

static void a_rate_over_time(void **state)
{
	struct world *w = *state;
	struct gate *g = w->g[0];
	uint64_t wait, hash = limiter_hash(g, 1, "a", 1);
	unsigned passed = 0;

	for (unsigned i = 0; i < 10; i++)
		assert_true(limiter_take(g, hash, 2000, 10, &wait));
	assert_false(limiter_take(g, hash, 2000, 10, &wait));
	assert_in_range(wait, 500, 501);
	/* Who asks on and on gets the rate, neither more nor less, and asking costs nothing. */
	for (unsigned ms = 0; ms < 20000; ms += 10) {
		pass_ms(w, 10);
		passed += limiter_take(g, hash, 2000, 10, &wait);
	}
	assert_in_range(passed, 39, 41);
	/* Idle for long: the burst, and no more than that. */
	pass_ms(w, 3600 * 1000);
	for (passed = 0; limiter_take(g, hash, 2000, 10, &wait); passed++)
		;
	assert_int_equal(passed, 10);
	/* Another limit of the same client is another bucket. */
	assert_true(limiter_take(g, limiter_hash(g, 2, "a", 1), 2000, 10, &wait));
}

static void rates_at_the_ends(void **state)
{
	struct world *w = *state;
	struct gate *g = w->g[0];
	uint64_t wait, hash = limiter_hash(g, 1, "slow", 4);
	unsigned n = 0;

	/* One in a thousand seconds; a burst of 0 is one. */
	assert_true(limiter_take(g, hash, 1, 0, &wait));
	assert_false(limiter_take(g, hash, 1, 0, &wait));
	assert_in_range(wait, 999999, 1000001);
	/* A million a second, a million at once. */
	hash = limiter_hash(g, 1, "fast", 4);
	while (n < 2000000 && limiter_take(g, hash, 1000000000, 1000000, &wait))
		n++;
	assert_int_equal(n, 1000000);
	/* The largest burst at the lowest rate does not wrap. */
	hash = limiter_hash(g, 1, "deep", 4);
	for (n = 0; n < 1000; n++)
		assert_true(limiter_take(g, hash, 1, 1000000, &wait));
}

static void one_table_for_all_gates(void **state)
{
	struct world *w = *state;
	unsigned passed = 0, alone = 0;

	for (unsigned i = 0; i < 100; i++)
		passed += take(w->g[i % 2], 7, 1000, 20);
	assert_int_equal(passed, 20);
	for (unsigned i = 0; i < 100; i++)
		alone += take(w->g[2], 7, 1000, 20);
	assert_int_equal(alone, 20);
}

static void a_table_full_of_strangers(void **state)
{
	struct world *w = *state;
	struct gate *g = w->g[0];
	unsigned early = 0;

	/* 200 clients have used up what is theirs. Then 300,000 others come once each: more than there are
	 * buckets. None of the 200 gets more for it. */
	for (uint64_t who = 0; who < 200; who++)
		while (take(g, who, 100, 10))
			;
	for (uint64_t who = 1000; who < 301000; who++) {
		assert_true(take(g, who, 100, 10));
		if (who % 1000 == 0)
			for (uint64_t old = 0; old < 200; old++)
				early += take(g, old, 100, 10);
	}
	assert_int_equal(early, 0);
}

static void garbage_in_the_table(void **state)
{
	struct world *w = *state;
	uint64_t wait;
	unsigned passed = 0;

	/* Whatever a gate gone wrong writes: a client waits no longer than for its whole burst. */
	assert_true(take(w->g[0], 7, 1000, 20));
	for (unsigned s = 0; s < LIMITS_SETS; s++)
		for (unsigned i = 0; i < LIMITS_WAYS; i++)
			w->page->rate[s][i].full_ns = UINT64_MAX;
	assert_false(limiter_take(
		w->g[0], limiter_hash(w->g[0], 1, &(uint64_t){7}, sizeof(uint64_t)), 1000, 20, &wait));
	assert_in_range(wait, 1000, 1001);
	/* A stranger passes all the same, though no bucket is free. */
	assert_true(take(w->g[0], 8, 1000, 20));
	pass_ms(w, 21000);
	w->page->gates = UINT32_MAX;
	for (unsigned i = 0; i < 30; i++)
		passed += take(w->g[0], 8, 1000, 20);
	assert_int_equal(passed, 20);
	assert_true(limiter_conn_add(w->g[0], (const uint8_t[16]){1}) >= 1);
}

static void name(uint8_t address[16], uint32_t n)
{
	memset(address, 0, 16);
	address[10] = address[11] = 0xff;
	memcpy(address + 12, &n, 4);
}

static void connections(void **state)
{
	struct world *w = *state;
	unsigned more = 0;
	uint8_t a[16];

	name(a, 1);
	for (unsigned i = 1; i <= 6; i++)
		assert_int_equal(limiter_conn_add(w->g[i % 2], a), i);
	limiter_conn_drop(w->g[0], a);
	assert_int_equal(limiter_conn_add(w->g[1], a), 6);
	assert_int_equal(limiter_conn_add(w->g[2], a), 1);
	/* With 15,000 others: never less than there are, seldom more. */
	for (uint32_t n = 1000; n < 16000; n++) {
		uint8_t other[16];
		uint32_t seen;

		name(other, n);
		seen = limiter_conn_add(w->g[n % 2], other);
		assert_true(seen >= 1 && seen < 6);
		more += seen > 1;
	}
	assert_true(more < 15000 / 100);
	assert_in_range(limiter_conn_add(w->g[0], a), 7, 9);
	for (uint32_t n = 1000; n < 16000; n++) {
		uint8_t other[16];

		name(other, n);
		limiter_conn_drop(w->g[n % 2], other);
	}
	assert_int_equal(limiter_conn_add(w->g[0], a), 8);
	/* A drop too many takes nothing from nobody. */
	name(a, 2);
	limiter_conn_drop(w->g[0], a);
	assert_int_equal(limiter_conn_add(w->g[0], a), 1);
}

static void a_network_of_ipv6(void **state)
{
	struct world *w = *state;
	uint8_t a[16] = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 9}, b[16] = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 8};
	uint8_t c[16] = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 2, 9};

	assert_int_equal(limiter_conn_add(w->g[0], a), 1);
	assert_int_equal(limiter_conn_add(w->g[0], b), 2);
	assert_int_equal(limiter_conn_add(w->g[0], c), 1);
	name(a, 1);
	name(b, 2);
	assert_int_equal(limiter_network(a), 16);
	assert_int_equal(limiter_conn_add(w->g[0], a), 1);
	assert_int_equal(limiter_conn_add(w->g[0], b), 1);
}

static void a_gate_died(void **state)
{
	struct world *w = *state;
	struct gate *again;
	uint8_t a[16];

	name(a, 1);
	for (unsigned i = 0; i < 5; i++)
		(void)limiter_conn_add(w->g[1], a);
	(void)limiter_conn_add(w->g[0], a);
	/* The next of its number begins at nothing; the other's connections stand. */
	assert_int_equal(gate_new(&again, w->l[1], protos, handlers), 0);
	again->index = again->place = 1;
	assert_int_equal(limiter_attach(again, w->fd), 0);
	assert_int_equal(limiter_conn_add(again, a), 2);
	gate_free(again);
}

static void what_is_no_table(void **state)
{
	struct world *w = *state;
	const struct limits_start wrong = {.magic = 1};
	void *map;
	int fd;

	assert_int_equal(sys_shm_common("x", sizeof(*w->page), &wrong, sizeof(wrong), &fd), 0);
	assert_int_equal(limiter_attach(w->g[2], fd), -EBADMSG);
	close(fd);
	assert_int_equal(sys_shm_common("x", sizeof(*w->page) - 8192, &wrong, sizeof(wrong), &fd), 0);
	assert_int_equal(limiter_attach(w->g[2], fd), -EBADMSG);
	assert_int_equal(ftruncate(fd, 1), -1);
	close(fd);
	assert_int_equal(sys_shm_create("x", sizeof(*w->page), &fd, &map), 0);
	sys_shm_unmap(map, sizeof(*w->page));
	assert_true(limiter_attach(w->g[2], fd) < 0);
	close(fd);
	fd = memfd_create("x", MFD_CLOEXEC);
	assert_int_equal(limiter_attach(w->g[2], fd), -EPERM);
	close(fd);
	assert_int_equal(sys_shm_common("x", 0, NULL, 0, &fd), -EINVAL);
	assert_true(take(w->g[2], 1, 1000, 1));
	assert_false(take(w->g[2], 1, 1000, 1));
}

static void said_now_and_then(void **state)
{
	struct world *w = *state;
	unsigned said = 0;
	char count[24];

	assert_true(limiter_may_say(w->g[0], LIMITER_RATE, count));
	assert_string_equal(count, "1");
	for (unsigned i = 0; i < 1000; i++)
		said += limiter_may_say(w->g[0], LIMITER_RATE, count);
	assert_int_equal(said, 0);
	assert_true(limiter_may_say(w->g[0], LIMITER_CONNS, count));
	pass_ms(w, 1001);
	assert_true(limiter_may_say(w->g[0], LIMITER_RATE, count));
	assert_string_equal(count, "1001");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {T(a_rate_over_time), T(rates_at_the_ends),
		T(one_table_for_all_gates), T(a_table_full_of_strangers), T(garbage_in_the_table),
		T(connections), T(a_network_of_ipv6), T(a_gate_died), T(what_is_no_table),
		T(said_now_and_then)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
