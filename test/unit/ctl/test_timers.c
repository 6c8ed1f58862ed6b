/*
 * test_timers.c: when [Timer]s run, on a virtual clock that is also set forth and back: delays by chance, and no
 * run twice or over another, whatever the clock does. The state is a real one; the parent is the test.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "ctl.h"
#include "lib/sim.h"
#include "oneshot/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NUMBER = 9, SECOND = 1000 * 1000 };

static const uint64_t minute = 60ull * SECOND, hour = 3600ull * SECOND, day = 24 * 3600ull * SECOND;
/* 2024-01-10 00:00:00 UTC */
static const uint64_t begin = 1704844800ull * SECOND;

static op_done *const ops[CTL_OP_KINDS] = {
	[OP_TIMED] = timers_on_timer,
	[OP_TIMED_JUMP] = timers_on_jump,
};

struct bed {
	struct ctl *c;
	struct sim *sim;
	char dir[64];
};

void say(struct ctl *c, enum event id, ...)
{
	(void)c;
	(void)id;
}

void ctl_started(struct ctl *c)
{
	(void)c;
}

static int setup(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	setenv("TZ", "UTC", 1);
	b->c = calloc(1, sizeof(*b->c));
	assert_non_null(b->c);
	(void)snprintf(b->dir, sizeof(b->dir), "/tmp/stead-test-timers-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	assert_int_equal(sim_new(&b->sim, &(struct sim_options){.seed = 1}), 0);
	assert_int_equal(loop_new_sim(&b->c->loop, b->sim, ops, CTL_OP_KINDS), 0);
	sim_set_wall_us(b->sim, begin);
	(void)snprintf(b->c->state_dir, sizeof(b->c->state_dir), "%s", b->dir);
	b->c->state_fd = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(b->c->state_fd >= 0);
	assert_int_equal(apps_init(b->c), 0);
	assert_int_equal(state_open(b->c), 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bed *b = *state;
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	apps_free(b->c);
	loop_timer_stop(b->c->loop, &b->c->timed_timer);
	state_close(b->c);
	loop_free(b->c->loop);
	sim_free(b->sim);
	close(b->c->state_fd);
	assert_int_equal(tree_remove(tmp, b->dir + 5), 0);
	close(tmp);
	free(b->c);
	free(b);
	return 0;
}

static struct timed *set(struct bed *b, struct conf_timer timer, const char *when)
{
	const char *const calendar[] = {when, NULL};
	struct conf_program p = {.name = "nightly", .timer = &timer};

	timer.calendar = when ? calendar : calendar + 1;
	timers_begin(b->c->app.run);
	timers_add(b->c->app.run, &p, NUMBER, false);
	timers_end(b->c->app.run);
	return &b->c->app.run->timed[0];
}

/* What the parent tells of a run that ended well. */
static void ends(struct bed *b)
{
	struct msg_proc_state st = {.role = PROC_SERVICE, .app = NUMBER, .phase = PHASE_DOWN};

	timers_heard(b->c, &st);
}

static bool runs(void *arg)
{
	return ((struct timed *)arg)->running;
}

/* Until it runs: the wall time; it ends at once. */
static uint64_t run_of(struct bed *b, struct timed *t, uint64_t ms_max)
{
	uint64_t at, stored;

	assert_int_equal(sim_run_until(b->sim, runs, t, ms_max), 0);
	at = loop_wall_us(b->c->loop);
	assert_int_equal(state_meta_get(b->c, "timer/nightly/run", &stored), 0);
	assert_int_equal(stored, t->run_us);
	ends(b);
	assert_false(t->running);
	return at;
}

static void rests(struct bed *b, struct timed *t, uint64_t us)
{
	assert_int_equal(sim_run_until(b->sim, runs, t, us / 1000), -ETIMEDOUT);
}

/* A hundred times: never before its time, never later than the delay, spread over all of it; and the chance is
 * taken once for a time, however often ctl looks again meanwhile. */
static void a_delay_by_chance(void **state)
{
	struct bed *b = *state;
	const uint64_t most = 5 * minute;
	struct timed *t = set(b, (struct conf_timer){.delay_ms = most / 1000}, "*:00");
	unsigned fifth[5] = {0};

	for (unsigned i = 1; i <= 100; i++) {
		uint64_t due = begin + i * hour, next = t->next_us, at;

		assert_int_equal(t->due_us, due);
		assert_in_range(next, due, due + most - 1);
		timers_on_timer(b->c->loop, &b->c->timed_timer.op, 0);
		assert_int_equal(t->next_us, next);
		at = run_of(b, t, 2 * hour / 1000);
		assert_in_range(at, next, next + 1000); /* the loop's milliseconds */
		fifth[(next - due) * 5 / most]++;
	}
	for (unsigned i = 0; i < 5; i++)
		assert_in_range(fifth[i], 5, 40);
}

/* A reload that takes the delay away: also of the time that is awaited. */
static void no_delay_any_more(void **state)
{
	struct bed *b = *state;
	struct timed *t = set(b, (struct conf_timer){.delay_ms = hour / 1000}, "daily");

	while (t->next_us == t->due_us)
		set(b, (struct conf_timer){.delay_ms = hour / 1000}, "daily");
	set(b, (struct conf_timer){0}, "daily");
	assert_int_equal(t->next_us, begin + day);
	assert_in_range(run_of(b, t, 2 * day / 1000), begin + day, begin + day + 1000);
}

/* Over two nights at once: the time that passed is made up for, once. */
static void the_clock_is_set_forth(void **state)
{
	struct bed *b = *state;
	struct timed *t = set(b, (struct conf_timer){0}, "03:00");

	rests(b, t, hour);
	sim_set_wall_us(b->sim, begin + 2 * day + 5 * hour);
	assert_in_range(run_of(b, t, 1000), begin + 2 * day + 5 * hour, begin + 2 * day + 5 * hour + SECOND);
	assert_int_equal(t->next_us, begin + 3 * day + 3 * hour);
	rests(b, t, 21 * hour);
	assert_in_range(run_of(b, t, 2 * hour / 1000), begin + 3 * day + 3 * hour, begin + 3 * day + 3 * hour + 1000);
}

/* Behind a run: the next one is by the new clock, and no number comes again. */
static void the_clock_is_set_back(void **state)
{
	struct bed *b = *state;
	struct timed *t = set(b, (struct conf_timer){0}, "03:00");
	uint64_t first;

	(void)run_of(b, t, 4 * hour / 1000);
	first = t->run_us;
	sim_set_wall_us(b->sim, begin - 2 * day);
	rests(b, t, 2 * hour);
	assert_int_equal(t->next_us, begin - 2 * day + 3 * hour);
	(void)run_of(b, t, 2 * hour / 1000);
	assert_true(t->run_us > first);
	rests(b, t, 22 * hour);
}

/* A time after the last run is one by the clock that passes: not years later because the clock went back. */
static void so_long_after_the_last(void **state)
{
	struct bed *b = *state;
	struct timed *t = set(b, (struct conf_timer){.unit_active_ms = 60 * 1000, .active_ms = 1000}, NULL);

	(void)run_of(b, t, 2000);
	sim_set_wall_us(b->sim, begin - 300 * day);
	rests(b, t, 50ull * SECOND);
	(void)run_of(b, t, 20 * 1000);
	sim_set_wall_us(b->sim, begin + 300 * day);
	(void)run_of(b, t, 1000);
	rests(b, t, 50ull * SECOND);
	(void)run_of(b, t, 20 * 1000);
}

/* However the clock is set meanwhile. */
static void never_over_a_run(void **state)
{
	struct bed *b = *state;
	struct timed *t = set(b, (struct conf_timer){0}, "*:*");
	uint64_t number;

	assert_int_equal(sim_run_until(b->sim, runs, t, 120 * 1000), 0);
	number = t->run_us;
	for (unsigned i = 0; i < 6; i++) {
		sim_set_wall_us(b->sim, begin + (i % 2 ? i * day : 0));
		assert_int_equal(sim_run_ms(b->sim, 5 * 60 * 1000), 0);
		assert_int_equal(t->run_us, number);
		assert_true(t->running);
	}
	ends(b);
	(void)run_of(b, t, 120 * 1000);
	assert_true(t->run_us > number);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_delay_by_chance, setup, teardown),
		cmocka_unit_test_setup_teardown(no_delay_any_more, setup, teardown),
		cmocka_unit_test_setup_teardown(the_clock_is_set_forth, setup, teardown),
		cmocka_unit_test_setup_teardown(the_clock_is_set_back, setup, teardown),
		cmocka_unit_test_setup_teardown(so_long_after_the_last, setup, teardown),
		cmocka_unit_test_setup_teardown(never_over_a_run, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
