/*
 * test_stuck.c: what becomes of everything else that was given to a worker which turned out slow,
 * is stuck or shall end (app_tick.c, app_withdraw(), and what app_link.c waits for), on a virtual
 * clock.
 */
#include "deadline_rig.h"
#include "lib/must.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* What waits behind another gate's request goes to who is free in milliseconds, also when only
 * something slow was looked at until now; but not when some of its body has gone. */
static void test_free_elsewhere(void **state)
{
	static const struct {
		bool slow, moved, goes;
	} rows[] = {{.goes = true}, {.slow = true, .goes = true}, {.moved = true}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rig r;
		struct peer *p, *other;
		struct fake_req *f;
		uint16_t seat;

		rig_up(&r);
		r.g.route.request_timeout_ms = 10000;
		p = add_worker(&r, 2, false);
		if (rows[i].slow) {
			struct fake_req *gone = ask(&r, "GET", 0);

			assert_true(begin(p, gone));
			busy(p, 1);
			fake_req_abort(gone);
			pass_ms(&r, 3 * APP_TICK_MS);
			assert_true(r.g.t->ticking && r.g.t->tick_slow);
		}
		f = ask(&r, "POST", rows[i].moved ? 10 : 0);
		if (rows[i].moved) {
			fake_req_body(f, "12345", 5, false);
			step(&r);
		}
		assert_true(take(p) > 0 && has(p, f, &seat));
		busy(p, 2);
		other = add_worker(&r, 1, false);
		pass_ms(&r, 3 * APP_TICK_MS);
		(void)take(other);
		assert_int_equal(has(other, f, &seat), rows[i].goes);
		assert_int_equal(begin(p, f), !rows[i].goes);
		rig_done(&r);
	}
}

/* … but not to one that is stuck: there is nothing to be had by taking it back. */
static void test_stuck_elsewhere(void **state)
{
	struct rig r;
	struct fake_req *stuck, *f;

	(void)state;
	rig_up(&r);
	(void)add_worker(&r, 2, false);
	stuck = ask(&r, "GET", 0);
	assert_true(begin(&r.p[0], stuck));
	busy(&r.p[0], 1);
	pass_ms(&r, TIMEOUT_MS + 10);
	assert_int_equal(r.g.stucks, 1);
	(void)add_worker(&r, 1, false);
	f = ask(&r, "GET", 0);
	busy(&r.p[1], 1);
	pass_ms(&r, 3 * APP_TICK_MS);
	assert_true(begin(&r.p[1], f));
	rig_done(&r);
}

/* Behind one that turned out slow nothing waits in the ring: it is taken back, and not given there
 * again until something has ended. */
static void test_hold(void **state)
{
	struct rig r;
	struct peer *p;
	struct fake_req *f[3];

	(void)state;
	rig_up(&r);
	p = add_worker(&r, 1, false);
	atomic_store(&p->status->service_us, FAST_US);
	for (int i = 0; i < 3; i++)
		f[i] = ask(&r, "POST", 0);
	assert_int_equal(take(p), 3);
	busy(p, 1);
	assert_true(begin(p, f[0]));
	pass_ms(&r, 3 * APP_TICK_MS);
	assert_int_equal(worker_at(&r, 0)->app->queued, 2);
	assert_false(begin(p, f[1]));
	assert_int_equal(p->nheld, 3);
	say(&r, p, f[1], LINK_WITHDRAWN, LINK_END, 0);
	say(&r, p, f[2], LINK_WITHDRAWN, LINK_END, 0);
	say(&r, p, f[0], LINK_HEAD, LINK_END, 1);
	assert_true(f[0]->over);
	assert_int_equal(worker_at(&r, 0)->app->queued, 0);
	rig_done(&r);
}

/* What cannot be taken back any more is no reason to give a fast worker less. */
static void test_hold_not_for_moved(void **state)
{
	struct rig r;
	struct peer *p;
	struct fake_req *f[3];
	uint16_t seat;

	(void)state;
	rig_up(&r);
	p = add_worker(&r, 1, false);
	atomic_store(&p->status->service_us, FAST_US);
	f[0] = ask(&r, "POST", 0);
	assert_true(begin(p, f[0]));
	busy(p, 1);
	f[1] = ask(&r, "POST", 10);
	fake_req_body(f[1], "12345", 5, false);
	pass_ms(&r, 3 * APP_TICK_MS);
	f[2] = ask(&r, "POST", 0);
	(void)take(p);
	assert_true(has(p, f[1], &seat) && has(p, f[2], &seat));
	rig_done(&r);
}

/* A worker that shall end, and is not stuck, is waited for until nothing of the gate's is there any
 * more; what it has not begun goes to others, but for what has sent some of its body. */
static void test_drain(void **state)
{
	struct rig r;
	struct peer *p;
	struct fake_req *f, *moved;

	(void)state;
	rig_up(&r);
	p = add_worker(&r, 2, false);
	f = ask(&r, "POST", 0);
	moved = ask(&r, "POST", 10);
	fake_req_body(moved, "12345", 5, false);
	step(&r);
	busy(p, 2);
	to_app_on_worker_drain(r.g.t, &r.m[0]);
	step(&r);
	assert_false(begin(p, f));
	assert_true(begin(p, moved));
	say(&r, p, moved, LINK_HEAD, LINK_END, 3);
	assert_true(moved->over);
	assert_int_equal(r.g.idles, 0);
	say(&r, p, f, LINK_WITHDRAWN, LINK_END, 0);
	assert_int_equal(r.g.idles, 1);
	assert_false(f->over);
	rig_done(&r);
}

/* One thread is stuck: what else it runs is waited for, what it has not begun goes to others,
 * nothing new is given to it, and the end is said once, when only what is beyond its time is left.
 */
static void test_siblings(void **state)
{
	struct rig r;
	struct fake_req *stuck = rig_up_running(&r, 3), *sibling, *behind, *later;
	struct peer *p = r.p, *other;
	uint16_t seat;

	(void)state;
	pass_ms(&r, 60);
	sibling = ask(&r, "GET", 0);
	assert_true(begin(p, sibling));
	behind = ask(&r, "GET", 0);
	busy(p, 3);
	pass_ms(&r, 50);
	assert_int_equal(stuck->failed, CLOSE_APP_TIMEOUT);
	assert_false(sibling->over || behind->over);
	assert_int_equal(r.g.stucks, 1);
	assert_int_equal(worker_at(&r, 0)->app->queued, 1);
	to_app_on_worker_drain(r.g.t, &r.m[0]);
	step(&r);
	later = ask(&r, "GET", 0);
	assert_false(begin(p, behind));
	assert_false(has(p, later, &seat));
	assert_int_equal(r.g.idles, 0);
	other = add_worker(&r, 2, false);
	assert_true(begin(other, behind) && begin(other, later));
	say(&r, p, sibling, LINK_HEAD, LINK_END, 5);
	assert_true(sibling->over && sibling->body.len == 5);
	assert_int_equal(r.g.idles, 1);
	/* The other's own requests pass their time: that is the other's matter. */
	pass_ms(&r, TIMEOUT_MS + 10);
	assert_int_equal(r.g.stucks, 2);
	assert_int_equal(r.g.idles, 1);
	rig_done(&r);
}

/* Before the parent asks for its end, the stuck one takes nothing either. */
static void test_nothing_new(void **state)
{
	struct rig r;
	struct fake_req *stuck = rig_up_running(&r, 2), *later;
	struct peer *p = r.p;
	uint16_t seat;

	(void)state;
	pass_ms(&r, TIMEOUT_MS + 10);
	assert_true(stuck->fails && r.g.stucks == 1);
	later = ask(&r, "GET", 0);
	pass_ms(&r, 20);
	(void)take(p);
	assert_false(has(p, later, &seat));
	assert_false(later->over);
	rig_done(&r);
}

/* The last that is waited for is one that nobody waits for: only the look of every now and then
 * tells that its time is over. */
static void test_idle_by_tick(void **state)
{
	struct rig r;
	struct fake_req *stuck = rig_up_running(&r, 2), *gone;
	struct peer *p = r.p;

	(void)state;
	pass_ms(&r, 60);
	gone = ask(&r, "GET", 0);
	assert_true(begin(p, gone));
	busy(p, 2);
	pass_ms(&r, 20);
	fake_req_abort(gone);
	pass_ms(&r, 30);
	assert_true(stuck->fails && r.g.stucks == 1);
	to_app_on_worker_drain(r.g.t, &r.m[0]);
	step(&r);
	assert_int_equal(r.g.idles, 0);
	pass_ms(&r, TIMEOUT_MS + APP_TICK_SLOW_MS);
	assert_int_equal(r.g.idles, 1);
	assert_int_equal(r.g.stucks, 1);
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_free_elsewhere),
		cmocka_unit_test(test_stuck_elsewhere),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_hold_not_for_moved),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_siblings),
		cmocka_unit_test(test_nothing_new),
		cmocka_unit_test(test_idle_by_tick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
