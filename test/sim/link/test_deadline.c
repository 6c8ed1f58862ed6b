/*
 * test_deadline.c: whose time runs, from when, and whose fault its end is (app_tick.c,
 * to_app_done_deadline()), on a virtual clock, each rule alone.
 *
 * "Broken:" names what a request or a worker would suffer without the rule.
 */
#include "deadline_rig.h"
#include "lib/must.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Its own time begins when it is begun, and not when it was given. Broken: uWSGI #2606, too early;
 * or the queue's deadline, which is long, counts for it. */
static void test_own_time(void **state)
{
	struct rig r;
	struct peer *p;
	struct fake_req *f;

	(void)state;
	rig_up(&r);
	p = add_worker(&r, 1, false);
	f = ask(&r, "POST", 0);
	busy(p, 1);
	pass_ms(&r, 70);
	assert_true(begin(p, f));
	pass_ms(&r, TIMEOUT_MS - 10);
	assert_false(f->over);
	assert_int_equal(r.g.stucks, 0);
	pass_ms(&r, 20);
	assert_int_equal(f->failed, CLOSE_APP_TIMEOUT);
	assert_int_equal(r.g.stucks, 1);
	assert_int_equal(r.g.deadlines, 1);
	assert_int_equal(r.g.hung, 0);
	/* … and the app can see that nobody waits. */
	assert_true(link_stopped(&p->e, p->held[0].seat, f->r.id));
	rig_done(&r);
}

/* Begun after the last look and before the queue's deadline. Broken: 503 for one that runs. */
static void test_just_begun(void **state)
{
	struct rig r;
	struct peer *p;
	struct fake_req *f;

	(void)state;
	rig_up(&r);
	r.g.site.queue_timeout_ms = 52;
	p = add_worker(&r, 1, false);
	f = ask(&r, "POST", 0);
	busy(p, 1);
	pass_ms(&r, 51);
	assert_true(begin(p, f));
	pass_ms(&r, TIMEOUT_MS - 5);
	assert_false(f->over);
	pass_ms(&r, 15);
	assert_int_equal(f->failed, CLOSE_APP_TIMEOUT);
	rig_done(&r);
}

/* Never begun: it waited in the queue, and the worker, which runs something else, is not to blame.
 */
static void test_queue_time(void **state)
{
	struct rig r;
	struct peer *p;
	struct fake_req *f;

	(void)state;
	rig_up(&r);
	r.g.site.queue_timeout_ms = 400;
	p = add_worker(&r, 1, false);
	f = ask(&r, "POST", 0);
	busy(p, 1);
	pass_ms(&r, 390);
	assert_false(f->over);
	pass_ms(&r, 20);
	assert_int_equal(f->failed, CLOSE_QUEUE_TIMEOUT);
	assert_false(begin(p, f));
	assert_int_equal(r.g.stucks, 0);
	rig_done(&r);
}

/* Each word of the worker gives it its time anew, also while the gate looks every few milliseconds
 * at something else. Broken: a long download is cut. */
static void test_progress(void **state)
{
	struct rig r;
	struct peer *p;
	struct fake_req *f;

	(void)state;
	rig_up(&r);
	p = add_worker(&r, 2, false);
	f = ask(&r, "GET", 0);
	assert_true(begin(p, f));
	(void)ask(&r, "POST", 0);
	busy(p, 2);
	pass_ms(&r, TIMEOUT_MS - 10);
	say(&r, p, f, LINK_HEAD, 0, 10);
	for (int i = 0; i < 3; i++) {
		pass_ms(&r, TIMEOUT_MS - 10);
		assert_false(f->over);
		say(&r, p, f, LINK_BODY, 0, 10);
	}
	assert_int_equal(r.g.stucks, 0);
	pass_ms(&r, TIMEOUT_MS + 10);
	assert_int_equal(f->failed, CLOSE_APP_TIMEOUT);
	assert_int_equal(f->body.len, 40);
	rig_done(&r);
}

/* Who answers has begun, whatever its page says. Broken: the end of what it runs is never its
 * fault. */
static void test_begun_by_answer(void **state)
{
	struct rig r;
	struct peer *p;
	struct fake_req *f;

	(void)state;
	rig_up(&r);
	p = add_worker(&r, 1, false);
	f = ask(&r, "GET", 0);
	busy(p, 1);
	(void)take(p);
	say(&r, p, f, LINK_HEAD, 0, 10);
	pass_ms(&r, TIMEOUT_MS + 10);
	assert_int_equal(f->failed, CLOSE_APP_TIMEOUT);
	assert_int_equal(r.g.stucks, 1);
	rig_done(&r);
}

/* Nobody waits for it, and it holds its worker: its time counts from there, and is over once.
 * Broken: the worker is lost for ever (nothing looks at it), is told again and again, or is ended
 * too early. */
static void test_abandoned(void **state)
{
	struct rig r;
	struct peer *p;
	struct fake_req *f;

	(void)state;
	rig_up(&r);
	r.g.route.request_timeout_ms = LONG_MS;
	p = add_worker(&r, 1, false);
	f = ask(&r, "GET", 0);
	assert_true(begin(p, f));
	busy(p, 1);
	pass_ms(&r, LONG_MS - 50);
	fake_req_abort(f);
	pass_ms(&r, LONG_MS - 10);
	assert_int_equal(r.g.stucks, 0);
	pass_ms(&r, APP_TICK_SLOW_MS + 10);
	assert_int_equal(r.g.stucks, 1);
	assert_int_equal(r.g.hung, 1);
	/* Said, it is looked at no more: a gate without work has no timer. */
	pass_ms(&r, 2 * APP_TICK_SLOW_MS);
	assert_false(r.g.t->ticking);
	/* … and the worker's end does not wait for it. */
	assert_int_equal(r.g.idles, 0);
	to_app_on_worker_drain(r.g.t, &r.m[0]);
	step(&r);
	assert_int_equal(r.g.idles, 1);
	assert_int_equal(r.g.stucks, 1);
	rig_done(&r);
}

/* It says that it has nothing to do and does not begin what it was given: it is hung, and others
 * run that. One that is busy only has too much. Broken: nobody finds it, or the busy one is ended.
 */
static void test_hangs_free(void **state)
{
	static const bool is_busy[] = {false, true};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(is_busy); i++) {
		struct rig r;
		struct fake_req *f;

		rig_up(&r);
		(void)add_worker(&r, 1, false);
		f = ask(&r, "POST", 0);
		busy(&r.p[0], is_busy[i]);
		pass_ms(&r, TIMEOUT_MS - 10);
		assert_int_equal(r.g.hung, 0);
		pass_ms(&r, 3 * TIMEOUT_MS);
		assert_int_equal(r.g.hung, !is_busy[i]);
		assert_int_equal(r.g.stucks, !is_busy[i]);
		assert_false(f->over);
		if (!is_busy[i]) {
			(void)add_worker(&r, 1, false);
			assert_true(begin(&r.p[1], f));
			assert_false(begin(&r.p[0], f));
		}
		rig_done(&r);
	}
}

/* A client that does not read, or does not send, is no worker's fault; once it has, the worker's
 * time runs. */
static void test_slow_client(void **state)
{
	static const struct {
		bool upload, read;
		enum close_id failed;
	} rows[] = {
		{false, false, CLOSE_NONE},
		{false, true, CLOSE_APP_TIMEOUT},
		{true, false, CLOSE_APP_TIMEOUT}, /* it has sent, and the worker does not read */
		{true, true, CLOSE_NONE},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rig r;
		struct peer *p;
		struct fake_req *f;

		rig_up(&r);
		p = add_worker(&r, 1, false);
		f = ask(&r, "POST", rows[i].upload ? 10 : 0);
		assert_true(begin(p, f));
		busy(p, 1);
		pass_ms(&r, 10);
		if (rows[i].upload) {
			fake_req_body(f, "12345", 5, false);
			step(&r);
			if (rows[i].read) {
				struct link_desc d = {.id = f->r.id, .type = LINK_CREDIT, .arg = 5};
				int err;

				must(link_room(&p->e, 0, &err) && has(p, f, &d.seat));
				link_put(&p->e, &d, 0);
				link_publish(&p->e);
				(void)sim_write(r.sim, p->wake_wr, "", 1);
				step(&r);
			}
		} else {
			f->room = 0;
			say(&r, p, f, LINK_HEAD, 0, 100);
			if (rows[i].read)
				fake_req_room(f, 100);
		}
		pass_ms(&r, 3 * TIMEOUT_MS);
		assert_int_equal(f->fails ? f->failed : CLOSE_NONE, rows[i].failed);
		assert_int_equal(r.g.stucks, f->fails);
		rig_done(&r);
	}
}

/* A tunnel lives as long as it likes, whatever was said last in it, also when its client has gone
 * and the app takes its leave slowly; the requests beside it have their time. */
static void test_tunnel(void **state)
{
	struct rig r;
	struct peer *p;
	struct fake_req *f, *beside;

	(void)state;
	rig_up(&r);
	p = add_worker(&r, 1, true);
	f = fake_req_new(&r.g, "GET", "/", 0);
	r.req[r.nreq++] = f;
	fake_req_upgrade(f);
	fake_req_start(f);
	step(&r);
	assert_int_equal(take(p), 1);
	say(&r, p, f, LINK_HEAD, LINK_TUNNEL, 0);
	assert_int_equal(f->tunnels, 1);
	pass_ms(&r, 10 * TIMEOUT_MS);
	say(&r, p, f, LINK_BODY, 0, 10);
	pass_ms(&r, 10 * TIMEOUT_MS);
	assert_false(f->over);
	fake_req_abort(f);
	beside = ask(&r, "POST", 0);
	assert_true(begin(p, beside));
	say(&r, p, beside, LINK_HEAD, 0, 10);
	for (int i = 0; i < 10; i++) {
		pass_ms(&r, TIMEOUT_MS - 10);
		say(&r, p, beside, LINK_BODY, 0, 10);
		/* Something to look at, so that it is looked at all. */
		if (i == 2) {
			struct fake_req *gone = ask(&r, "POST", 0);

			assert_true(begin(p, gone));
			fake_req_abort(gone);
			pass_ms(&r, 5);
			say(&r, p, gone, LINK_FAIL, LINK_END, 0);
		}
	}
	assert_false(beside->over);
	assert_int_equal(r.g.stucks, 0);
	assert_int_equal(r.g.hung, 0);
	pass_ms(&r, TIMEOUT_MS + 10);
	assert_true(beside->over && r.g.stucks == 1);
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_time),
		cmocka_unit_test(test_just_begun),
		cmocka_unit_test(test_queue_time),
		cmocka_unit_test(test_progress),
		cmocka_unit_test(test_begun_by_answer),
		cmocka_unit_test(test_abandoned),
		cmocka_unit_test(test_hangs_free),
		cmocka_unit_test(test_slow_client),
		cmocka_unit_test(test_tunnel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
