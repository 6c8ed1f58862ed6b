/*
 * test_scale.c: how many workers an app gets, over hours of virtual time: a queue and its workers, as a fluid, behind
 * the decisions of scale.c.
 */
#include "scale.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "lib/must.h"

/* An app whose requests take `service_ms`; a worker that is started is ready after two ticks. */
struct world {
	struct scaler s;
	struct scale_sample n;
	unsigned up, coming, service_ms, broken;
	double queue, left_over;
	unsigned changes, most;
};

static void world_init(struct world *w, unsigned min, unsigned max, uint64_t idle_ms, unsigned service_ms)
{
	memset(w, 0, sizeof *w);
	w->up = min;
	w->service_ms = service_ms;
	w->n.threads = 1;
	scale_set(&w->s, min, max, idle_ms, min);
}

static enum scale_why tick(struct world *w, double per_s)
{
	double arrived = per_s * SCALE_TICK_MS / 1000.0 + w->left_over, can, done;
	unsigned was = w->s.want;
	enum scale_why why;

	w->left_over = arrived - (double)(uint64_t)arrived;
	w->queue += (double)(uint64_t)arrived;
	can = (double)w->up * SCALE_TICK_MS / w->service_ms;
	done = w->queue < can ? w->queue : can;
	/* Who left waited for what was before it. */
	w->n.waited_us += (uint64_t)(done * (w->queue > can && w->up ? w->queue / can * SCALE_TICK_MS * 1000 / 2 : 0));
	w->queue -= done;
	w->n.given += (uint64_t)done;
	w->n.worked_us += (uint64_t)(done * w->service_ms * 1000);
	w->n.queued = (uint64_t)w->queue;
	w->n.running = w->queue >= 1 || !w->up ? w->up : (uint64_t)(done / can * w->up);
	w->n.up = w->up;
	w->n.now_ms += SCALE_TICK_MS;
	why = scale_decide(&w->s, &w->n);
	assert_true(w->s.want <= w->s.max && (w->s.want >= w->s.min || w->s.want == 0));
	assert_true((why != SCALE_STAY) == (was != w->s.want));
	w->changes += why != SCALE_STAY;
	w->most = max_of(w->most, w->s.want);
	if (w->up > w->s.want)
		w->up = w->s.want;
	else if (w->up < w->s.want && !w->broken && ++w->coming >= 2) {
		w->up = w->s.want;
		w->coming = 0;
	}
	return why;
}

static void run(struct world *w, double per_s, unsigned seconds)
{
	for (unsigned i = 0; i < seconds * 1000 / SCALE_TICK_MS; i++)
		(void)tick(w, per_s);
}

static void steady(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 2, 16, 0, 10);
	run(&w, 120, 3600);
	assert_int_equal(w.changes, 0);
}

/* Ten workers' worth of work: they are there in seconds, and not twice as many as are needed. */
static void grows_and_shrinks(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 1, 64, 0, 100);
	run(&w, 5, 60);
	assert_int_equal(w.s.want, 1);
	run(&w, 95, 25);
	assert_in_range(w.s.want, 10, 20);
	run(&w, 95, 300);
	assert_in_range(w.s.want, 10, 20);
	assert_true(w.queue < 2);
	run(&w, 5, 900);
	assert_int_equal(w.s.want, 1);
	assert_true(w.changes < 40);
}

static void never_above_max(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 1, 4, 0, 100);
	run(&w, 1000, 120);
	assert_int_equal(w.s.want, 4);
	assert_int_equal(w.most, 4);
}

/* Workers that do not come up are no reason to start yet more of them. */
static void not_while_some_are_missing(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 2, 64, 0, 100);
	w.broken = 1;
	run(&w, 100, 120);
	assert_int_equal(w.s.want, 3);
	w.broken = 0;
	run(&w, 100, 120);
	assert_true(w.s.want >= 10);
}

/* A load that comes and goes: the longer, the rarer it is followed downwards. */
static void bounded_flapping(void **state)
{
	struct world w;
	unsigned first_hour, second_hour;

	(void)state;
	world_init(&w, 1, 32, 0, 100);
	for (unsigned i = 0; i < 40; i++) {
		run(&w, 60, 45);
		run(&w, 2, 45);
	}
	first_hour = w.changes;
	for (unsigned i = 0; i < 40; i++) {
		run(&w, 60, 45);
		run(&w, 2, 45);
	}
	second_hour = w.changes - first_hour;
	assert_true(first_hour < 60);
	assert_true(second_hour <= 10);
}

/* Four requests that take minutes are no calm, though none of them ends. */
static void long_requests(void **state)
{
	struct scaler s = {0};
	struct scale_sample n = {.threads = 1, .up = 6, .running = 4};

	(void)state;
	scale_set(&s, 1, 8, 60000, 6);
	for (unsigned i = 0; i < 1200; i++) {
		n.now_ms += SCALE_TICK_MS;
		(void)scale_decide(&s, &n);
		n.up = s.want;
	}
	/* At 70 % of six, four are too much for five. */
	assert_int_equal(s.want, 6);
}

static void idle(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 2, 2, 10000, 10);
	run(&w, 5, 60);
	assert_int_equal(w.s.want, 2);
	run(&w, 0, 9);
	assert_int_equal(w.s.want, 2);
	run(&w, 0, 3);
	assert_int_equal(w.s.want, 0);
	run(&w, 0, 3600);
	assert_int_equal(w.s.want, 0);
	scale_woken(&w.s, 2, w.n.now_ms);
	run(&w, 0, 9);
	assert_int_equal(w.s.want, 2);
	run(&w, 0, 2);
	assert_int_equal(w.s.want, 0);
}

/* A request that waits or runs keeps it awake, however long. */
static void not_idle(void **state)
{
	struct scaler s = {0};
	struct scale_sample n = {.threads = 1, .up = 1};

	(void)state;
	scale_set(&s, 1, 1, 1000, 1);
	for (unsigned i = 0; i < 100; i++) {
		n.now_ms += SCALE_TICK_MS;
		n.running = i % 2;
		n.queued = 1 - i % 2;
		assert_int_equal(scale_decide(&s, &n), SCALE_STAY);
	}
}

/* A gate that begins anew, and one that writes nonsense, lead within the bounds. */
static void sums_that_go_back(void **state)
{
	struct scaler s = {0};
	struct scale_sample n = {.threads = 64, .up = 256};
	uint64_t x = 88172645463325252u;

	(void)state;
	scale_set(&s, 2, 256, 5000, 2);
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t *at[] = {&n.given, &n.waited_us, &n.worked_us, &n.queued, &n.running};

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		*at[x % 5] = x >> (x % 60);
		n.now_ms += SCALE_TICK_MS;
		(void)scale_decide(&s, &n);
		assert_true(s.want == 0 || (s.want >= 2 && s.want <= 256));
		if (s.want == 0)
			scale_woken(&s, 2, n.now_ms);
	}
}

/* One tick: so many requests were given, each after so long in the queue; what there shall be is
 * up. */
static enum scale_why sample(
	struct scaler *s, struct scale_sample *n, uint64_t given, uint64_t wait_us)
{
	n->now_ms += SCALE_TICK_MS;
	n->given += given;
	n->waited_us += given * wait_us;
	n->up = s->want;
	return scale_decide(s, n);
}

/* How many ticks without a request until it changes its mind. */
static unsigned calm_ticks(struct scaler *s, struct scale_sample *n)
{
	unsigned ticks = 1;

	while (sample(s, n, 0, 0) == SCALE_STAY && ticks < 5000)
		ticks++;
	return ticks;
}

/* Two ticks in a row, and half of what there is each time. What was before the first sample is
 * nobody's. */
static void more_by_half(void **state)
{
	struct scaler s = {0};
	struct scale_sample n = {.threads = 1, .queued = 10};

	(void)state;
	scale_set(&s, 1, 100, 0, 8);
	assert_int_equal(sample(&s, &n, 1000, 1000000), SCALE_STAY);
	assert_int_equal(sample(&s, &n, 10, SCALE_WAIT_US), SCALE_STAY);
	assert_int_equal(sample(&s, &n, 10, SCALE_WAIT_US - 1), SCALE_STAY);
	assert_int_equal(sample(&s, &n, 10, SCALE_WAIT_US), SCALE_STAY);
	assert_int_equal(sample(&s, &n, 10, SCALE_WAIT_US), SCALE_QUEUE);
	assert_int_equal(s.want, 12);
	/* Nobody left the queue: whoever is in it waits for at least as long. */
	assert_int_equal(sample(&s, &n, 0, 0), SCALE_STAY);
	assert_int_equal(sample(&s, &n, 0, 0), SCALE_QUEUE);
	assert_int_equal(s.want, 18);
}

static void fewer_by_a_quarter(void **state)
{
	static const unsigned wants[] = {12, 9, 7, 6, 5, 4, 3, 2};
	struct scaler s = {0};
	struct scale_sample n = {.threads = 1, .running = 1};

	(void)state;
	scale_set(&s, 1, 100, 0, 16);
	(void)sample(&s, &n, 0, 0);
	for (unsigned i = 0; i < ARRAY_LEN(wants); i++) {
		assert_int_equal(calm_ticks(&s, &n), SCALE_CALM_MS / SCALE_TICK_MS);
		assert_int_equal(s.want, wants[i]);
	}
	/* One that runs is too much for one. */
	assert_int_equal(calm_ticks(&s, &n), 5000);
	scale_set(&s, 14, 100, 0, 16);
	(void)sample(&s, &n, 0, 0);
	(void)calm_ticks(&s, &n);
	assert_int_equal(s.want, 14);
}

/* Waits too short to ask for more are long enough to keep what there is. */
static void a_little_waiting_is_no_calm(void **state)
{
	struct scaler s = {0};
	struct scale_sample n = {.threads = 1};

	(void)state;
	scale_set(&s, 1, 8, 0, 8);
	for (unsigned i = 0; i < 600; i++)
		assert_int_equal(sample(&s, &n, 1, i % 40 ? 0 : SCALE_CALM_US), SCALE_STAY);
	for (unsigned i = 0; i < 600; i++)
		(void)sample(&s, &n, 1, i % 40 ? 0 : SCALE_CALM_US - 1);
	assert_true(s.want < 8);
}

/* Each time that more are needed soon after, it waits twice as long before the next time, and 8
 * minutes at most. */
static void ever_longer_calm(void **state)
{
	static const uint64_t ms[] = {30000, 60000, 120000, 240000, 480000, 480000, 480000};
	struct scaler s = {0};
	struct scale_sample n = {.threads = 1};

	(void)state;
	scale_set(&s, 1, 100, 0, 8);
	(void)sample(&s, &n, 0, 0);
	for (unsigned i = 0; i < ARRAY_LEN(ms); i++) {
		assert_int_equal(calm_ticks(&s, &n) * SCALE_TICK_MS, ms[i]);
		n.queued = 10;
		(void)sample(&s, &n, 1, SCALE_WAIT_US);
		assert_int_equal(sample(&s, &n, 1, SCALE_WAIT_US), SCALE_QUEUE);
		n.queued = 0;
	}
	/* Long after: it is as at first. */
	for (unsigned i = 0; i < 2 * SCALE_CALM_MAX_MS / SCALE_TICK_MS; i++)
		(void)sample(&s, &n, 1, SCALE_CALM_US);
	n.queued = 10;
	(void)sample(&s, &n, 1, SCALE_WAIT_US);
	assert_int_equal(sample(&s, &n, 1, SCALE_WAIT_US), SCALE_QUEUE);
	n.queued = 0;
	assert_int_equal(calm_ticks(&s, &n) * SCALE_TICK_MS, ms[0]);
}

/* An open WebSocket is no load, and yet somebody is there. */
static void an_open_one_is_not_idle(void **state)
{
	struct scaler s = {0};
	struct scale_sample n = {.threads = 1, .open = 1};

	(void)state;
	scale_set(&s, 1, 1, 1000, 1);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(sample(&s, &n, 0, 0), SCALE_STAY);
	n.open = 0;
	assert_int_equal(calm_ticks(&s, &n), 1000 / SCALE_TICK_MS);
	assert_int_equal(s.want, 0);
}

/* A gate's successor counts from nothing: that is no work of all these years. */
static void a_sum_that_begins_anew(void **state)
{
	struct scaler s = {0};
	struct scale_sample n = {.threads = 1, .worked_us = 1ull << 40};

	(void)state;
	scale_set(&s, 1, 8, 0, 8);
	(void)sample(&s, &n, 0, 0);
	n.worked_us = 0;
	assert_int_equal(calm_ticks(&s, &n), SCALE_CALM_MS / SCALE_TICK_MS);
	assert_int_equal(s.want, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steady),
		cmocka_unit_test(grows_and_shrinks),
		cmocka_unit_test(never_above_max),
		cmocka_unit_test(not_while_some_are_missing),
		cmocka_unit_test(bounded_flapping),
		cmocka_unit_test(long_requests),
		cmocka_unit_test(idle),
		cmocka_unit_test(not_idle),
		cmocka_unit_test(sums_that_go_back),
		cmocka_unit_test(more_by_half),
		cmocka_unit_test(fewer_by_a_quarter),
		cmocka_unit_test(a_little_waiting_is_no_calm),
		cmocka_unit_test(ever_longer_calm),
		cmocka_unit_test(an_open_one_is_not_idle),
		cmocka_unit_test(a_sum_that_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
