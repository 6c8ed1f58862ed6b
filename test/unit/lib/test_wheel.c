/*
 * test_wheel.c: the timer wheel alone, against a plain list of deadlines.
 */
#include "test.h"

#include "lib/loop_priv.h"
#include "lib/must.h"

#include <stdlib.h>
#include <string.h>

static uint64_t rnd(uint64_t *s)
{
	*s = *s * 6364136223846793005ull + 1442695040888963407ull;
	return *s >> 33;
}

static void arm(struct wheel *w, struct timer *t, uint64_t at)
{
	t->at_ms = at;
	wheel_add(w, t);
}

static void far_deadlines_are_exact(void **state)
{
	static const uint64_t in[] = {1, 2, 255, 256, 257, 511, 512, 65279, 65280, 65535, 65536,
		65537, (1 << 24) - 1, 1 << 24, (1 << 24) + 1, UINT32_MAX - 1ull, UINT32_MAX,
		1ull << 32, (1ull << 32) + 1, 5ull << 32, 1ull << 40};
	static const uint64_t starts[] = {
		0, 1, 255, 256, 65535, 123456789, (1ull << 32) - 1, 1ull << 41};
	struct wheel *w = malloc(sizeof(*w));

	(void)state;
	for (size_t s = 0; s < ARRAY_LEN(starts); s++) {
		for (size_t i = 0; i < ARRAY_LEN(in); i++) {
			struct timer t = {0};
			uint64_t at = starts[s] + in[i];
			unsigned looks = 0;

			wheel_init(w, starts[s]);
			arm(w, &t, at);
			/* Sleeping from look to look, as the loop does: never late, and no look but the one, for what the
			 * wheel reaches. */
			for (;;) {
				uint64_t next = wheel_next_ms(w);
				struct timer *due;

				assert_true(next > w->now_ms && next <= at);
				due = wheel_take_due(w, next);
				looks++;
				if (due) {
					assert_ptr_equal(due, &t);
					assert_int_equal(next, at);
					break;
				}
			}
			assert_true(looks <= 1 + (in[i] >> 32) * 2);
			assert_true(in[i] > UINT32_MAX || looks == 1);
			assert_int_equal(w->armed, 0);
			assert_true(wheel_next_ms(w) == UINT64_MAX);
		}
	}
	free(w);
}

static void take_all(struct wheel *w, uint64_t now, struct timer *all, size_t n)
{
	struct timer *t;

	while ((t = wheel_take_due(w, now)) != NULL) {
		assert_true(t->at_ms <= now);
		t->at_ms = 0;
	}
	for (size_t i = 0; i < n; i++)
		assert_true(all[i].at_ms == 0 || all[i].at_ms > now);
}

static void sleeps_to_the_first_deadline(void **state)
{
	enum { TIMERS = 50 };
	struct wheel *w = malloc(sizeof(*w));
	struct timer all[TIMERS];

	(void)state;
	for (uint64_t seed = 1; seed <= 50; seed++) {
		uint64_t r = seed, now = rnd(&r), first;

		memset(all, 0, sizeof(all));
		wheel_init(w, now);
		for (size_t i = 0; i < TIMERS; i++)
			arm(w, &all[i], now + 1 + rnd(&r) % (1u << (4 + rnd(&r) % 27)));
		/* Each look finds what it was for: somebody is due, and nobody was before. */
		for (size_t left = TIMERS; left > 0;) {
			struct timer *t;

			first = UINT64_MAX;
			for (size_t i = 0; i < TIMERS; i++)
				if (all[i].at_ms)
					first = min_of(first, all[i].at_ms);
			assert_true(wheel_next_ms(w) == first);
			while ((t = wheel_take_due(w, first)) != NULL) {
				assert_true(t->at_ms == first);
				t->at_ms = 0;
				left--;
			}
		}
	}
	free(w);
}

static void as_a_plain_list(void **state)
{
	enum { TIMERS = 200 };
	static const unsigned spans[] = {3, 300, 70000, 20000000};
	struct wheel *w = malloc(sizeof(*w));
	struct timer all[TIMERS];

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		uint64_t r = seed, now = rnd(&r);

		memset(all, 0, sizeof(all));
		wheel_init(w, now);
		for (int step = 0; step < 2000; step++) {
			struct timer *t = &all[rnd(&r) % TIMERS];
			unsigned span = spans[rnd(&r) % ARRAY_LEN(spans)];

			if (t->at_ms) {
				wheel_del(w, t);
				t->at_ms = 0;
			}
			if (rnd(&r) % 3)
				arm(w, t, w->now_ms + 1 + rnd(&r) % span);
			if (rnd(&r) % 4 == 0) {
				now += rnd(&r) % span;
				take_all(w, now, all, TIMERS);
				assert_int_equal(w->now_ms, now);
			}
		}
		take_all(w, now + 1000000000, all, TIMERS);
		assert_int_equal(w->armed, 0);
	}
	free(w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(far_deadlines_are_exact),
		cmocka_unit_test(sleeps_to_the_first_deadline),
		cmocka_unit_test(as_a_plain_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
