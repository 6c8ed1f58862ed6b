/*
 * test_loop_turns.c: what the loop promises of turns, timers, clocks and raw readiness, each on
 * both backends.
 */
#include "ends.h"

#include <time.h>

static op_done *const table[OP_KINDS] = {
	[OP_A] = on_a,
	[OP_B] = on_b,
	[OP_SEND] = on_send,
	[OP_TIMER] = on_timer,
};

static void timers(void **state)
{
	static struct end e, many[300];
	struct rig r;
	uint64_t start;

	rig_open(&r, state, table, OP_KINDS);
	end_init(&e);
	start = loop_now_ms(r.l);
	loop_timer_in(r.l, &e.t, 20);
	while (!e.done_t)
		assert_int_equal(loop_step(r.l, -1), 0);
	assert_true(loop_now_ms(r.l) >= start + 20);
	assert_true(loop_now_ms(r.l) < start + 500);
	/* Stopped, armed anew, armed for the past, armed again by its completion. */
	e.done_t = false;
	loop_timer_in(r.l, &e.t, 1);
	loop_timer_stop(r.l, &e.t);
	loop_timer_stop(r.l, &e.t);
	assert_int_equal(e.t.at_ms, 0);
	assert_int_equal(loop_step(r.l, 5), 0);
	assert_false(e.done_t);
	loop_timer(r.l, &e.t, 1);
	loop_timer_stop(r.l, &e.t);
	rig_settle(&r);
	assert_false(e.done_t);
	loop_timer_in(r.l, &e.t, 100000);
	loop_timer_in(r.l, &e.t, 3);
	e.again = true;
	e.calls_b = 0;
	while (e.calls_b < 2)
		assert_int_equal(loop_step(r.l, -1), 0);
	for (int i = 0; i < 300; i++) {
		end_init(&many[i]);
		loop_timer_in(r.l, &many[i].t, (uint64_t)i);
	}
	for (int i = 0; i < 300; i++) {
		while (!many[i].done_t)
			assert_int_equal(loop_step(r.l, -1), 0);
		assert_int_equal(many[i].calls_b, 1);
	}
	loop_timer_in(r.l, &e.t, UINT64_MAX);
	loop_timer_stop(r.l, &e.t);
	rig_done(&r);
}

/* With nothing armed the loop waits for ever: it makes no turn by itself. */
static void idle_has_no_ticks(void **state)
{
	struct rig r;
	struct timespec a, b;

	rig_open(&r, state, table, OP_KINDS);
	if (r.sim) {
		assert_int_equal(loop_step(r.l, -1), -EDEADLK);
	} else {
		clock_gettime(CLOCK_MONOTONIC, &a);
		assert_int_equal(loop_step(r.l, 60), 0);
		clock_gettime(CLOCK_MONOTONIC, &b);
		assert_true((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 >= 59);
	}
	rig_done(&r);
}

static void deferred_ops_come_last_and_once(void **state)
{
	static struct end e;
	struct rig r;
	int peer;

	rig_open(&r, state, table, OP_KINDS);
	open_end(&r, &e, &peer);
	rig_write(&r, peer, "x");
	loop_defer(r.l, &e.b);
	loop_defer(r.l, &e.b);
	loop_recv(r.l, &e.f, &e.a);
	rig_settle(&r);
	assert_int_equal(e.calls_b, 1);
	assert_int_equal(e.calls_a, 1);
	loop_defer(r.l, &e.b);
	loop_defer_cancel(r.l, &e.b);
	rig_settle(&r);
	assert_int_equal(e.calls_b, 1);
	loop_close(r.l, &e.f);
	rig_close(&r, peer);
	rig_done(&r);
}

static void a_nap_ends_by_itself_or_with_what_happens(void **state)
{
	static struct end e;
	struct rig r;
	uint64_t start;
	int peer;

	rig_open(&r, state, table, OP_KINDS);
	open_end(&r, &e, &peer);
	rig_settle(&r);
	start = loop_now_us(r.l);
	loop_nap(r.l, &e.b, 300);
	assert_int_equal(loop_step(r.l, -1), 0);
	assert_int_equal(e.calls_b, 1);
	assert_true(loop_now_us(r.l) >= start + 300);
	if (r.sim)
		assert_int_equal(loop_now_us(r.l), start + 300);
	/* Once only; the next turn waits as long as it is told. */
	assert_int_equal(loop_step(r.l, 2), 0);
	assert_int_equal(e.calls_b, 1);
	/* What happens meanwhile comes first, and the nap is over with it. */
	loop_recv(r.l, &e.f, &e.a);
	rig_write(&r, peer, "x");
	start = loop_now_us(r.l);
	loop_nap(r.l, &e.b, 5000000);
	while (!e.calls_a)
		assert_int_equal(loop_step(r.l, -1), 0);
	assert_int_equal(e.calls_b, 2);
	assert_true(loop_now_us(r.l) < start + 4000000);
	loop_nap(r.l, &e.b, 100);
	loop_defer_cancel(r.l, &e.b);
	assert_int_equal(loop_step(r.l, 2), 0);
	assert_int_equal(e.calls_b, 2);
	loop_close(r.l, &e.f);
	rig_close(&r, peer);
	rig_done(&r);
}

static void raw_readiness(void **state)
{
	static struct end e, w;
	struct rig r;
	int fds[2];
	char p[8];

	rig_open(&r, state, table, OP_KINDS);
	end_init(&e);
	end_init(&w);
	assert_int_equal(loop_sys_pipe(r.l, fds), 0);
	assert_int_equal(loop_add(r.l, &e.f, fds[0]), 0);
	assert_int_equal(loop_add(r.l, &w.f, fds[1]), 0);
	loop_writable(r.l, &w.f, &w.a);
	rig_until(&r, &w.done_a);
	w.done_a = false;
	loop_writable(r.l, &w.f, &w.a);
	rig_settle(&r);
	assert_false(w.done_a);
	loop_send_cancel(r.l, &w.f);
	loop_readable(r.l, &e.f, &e.a);
	rig_settle(&r);
	assert_false(e.done_a);
	assert_int_equal(loop_sys_write(r.l, fds[1], "abc", 3), 3);
	rig_until(&r, &e.done_a);
	/* Not read at all: told again with the next edge only, so that who cannot read does not
	 * spin. */
	e.done_a = false;
	loop_readable(r.l, &e.f, &e.a);
	rig_settle(&r);
	assert_false(e.done_a);
	assert_int_equal(loop_sys_write(r.l, fds[1], "d", 1), 1);
	rig_until(&r, &e.done_a);
	/* Not read to its end: asked again, it completes again. */
	assert_int_equal(loop_sys_read(r.l, fds[0], p, 1), 1);
	e.done_a = false;
	loop_readable(r.l, &e.f, &e.a);
	rig_until(&r, &e.done_a);
	assert_int_equal(loop_sys_read(r.l, fds[0], p, 8), 3);
	assert_int_equal(loop_sys_read(r.l, fds[0], p, 8), -EAGAIN);
	e.done_a = false;
	loop_readable(r.l, &e.f, &e.a);
	rig_settle(&r);
	assert_false(e.done_a);
	/* A stream op works on a pipe too, and hears its end. */
	loop_recv_cancel(r.l, &e.f);
	loop_recv(r.l, &e.f, &e.a);
	w.s.iov[0] = (struct iovec){"pipe", 4};
	w.s.iovcnt = 1;
	assert_int_equal(loop_send(r.l, &w.f, &w.s), 0);
	rig_until(&r, &e.done_a);
	assert_memory_equal(e.got, "pipe", 4);
	e.done_a = false;
	loop_recv(r.l, &e.f, &e.a);
	loop_close(r.l, &w.f);
	rig_until(&r, &e.done_a);
	assert_int_equal(e.res_a, 0);
	assert_int_equal(loop_del(r.l, &e.f), fds[0]);
	assert_int_equal(loop_del(r.l, &e.f), -1);
	loop_sys_close(r.l, fds[0]);
	rig_done(&r);
}

static void reading_all_of_a_pipe(void **state)
{
	static struct end e;
	struct rig r;
	int fds[2];
	char p[8];

	rig_open(&r, state, table, OP_KINDS);
	end_init(&e);
	assert_int_equal(loop_sys_pipe(r.l, fds), 0);
	assert_int_equal(loop_add(r.l, &e.f, fds[0]), 0);
	loop_readable(r.l, &e.f, &e.a);
	/* Fewer bytes than there is room for: the pipe is known to be empty, and the next edge is heard. */
	assert_int_equal(loop_sys_write(r.l, fds[1], "efg", 3), 3);
	rig_until(&r, &e.done_a);
	assert_int_equal(loop_sys_read_all(r.l, &e.f, p, 2), 2);
	e.done_a = false;
	loop_readable(r.l, &e.f, &e.a);
	rig_until(&r, &e.done_a);
	assert_int_equal(loop_sys_read_all(r.l, &e.f, p, 8), 1);
	e.done_a = false;
	loop_readable(r.l, &e.f, &e.a);
	rig_settle(&r);
	assert_false(e.done_a);
	assert_int_equal(loop_sys_write(r.l, fds[1], "h", 1), 1);
	rig_until(&r, &e.done_a);
	assert_int_equal(loop_sys_read_all(r.l, &e.f, p, 8), 1);
	e.done_a = false;
	loop_readable(r.l, &e.f, &e.a);
	rig_settle(&r);
	assert_false(e.done_a);
	loop_sys_close(r.l, fds[1]);
	loop_close(r.l, &e.f);
	rig_done(&r);
}

/* Bytes and the end in one edge: behind the bytes the end is told, because no further edge comes. */
static void a_pipe_that_was_closed_is_read_to_its_end(void **state)
{
	static struct end e;
	struct rig r;
	int fds[2];
	char p[8];

	rig_open(&r, state, table, OP_KINDS);
	end_init(&e);
	assert_int_equal(loop_sys_pipe(r.l, fds), 0);
	assert_int_equal(loop_add(r.l, &e.f, fds[0]), 0);
	assert_int_equal(loop_sys_write(r.l, fds[1], "x", 1), 1);
	loop_sys_close(r.l, fds[1]);
	rig_settle(&r);
	loop_readable(r.l, &e.f, &e.a);
	rig_until(&r, &e.done_a);
	assert_int_equal(loop_sys_read_all(r.l, &e.f, p, 8), 1);
	e.done_a = false;
	loop_readable(r.l, &e.f, &e.a);
	rig_until(&r, &e.done_a);
	assert_int_equal(loop_sys_read_all(r.l, &e.f, p, 8), 0);
	loop_close(r.l, &e.f);
	rig_done(&r);
}

static void clock_jumps(void **state)
{
	static struct end e;
	struct rig r;
	uint64_t wall;

	rig_open(&r, state, table, OP_KINDS);
	end_init(&e);
	loop_clock_jump(r.l, &e.b);
	wall = loop_wall_us(r.l);
	assert_true(wall > 1600000000ull * 1000000);
	rig_settle(&r);
	assert_false(e.done_b);
	if (r.sim) {
		sim_set_wall_us(r.sim, wall + 500000);
		rig_settle(&r);
		assert_false(e.done_b);
		sim_set_wall_us(r.sim, wall - 5000000);
		rig_until(&r, &e.done_b);
		assert_true(loop_wall_us(r.l) < wall);
		e.done_b = false;
		loop_clock_jump(r.l, &e.b);
		rig_settle(&r);
		assert_false(e.done_b);
	}
	rig_done(&r);
}

static void stop_ends_run(void **state)
{
	struct rig r;

	rig_open(&r, state, table, OP_KINDS);
	loop_stop(r.l);
	assert_int_equal(loop_run(r.l), 0);
	rig_done(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		ON_BOTH(timers),
		ON_BOTH(idle_has_no_ticks),
		ON_BOTH(deferred_ops_come_last_and_once),
		ON_BOTH(a_nap_ends_by_itself_or_with_what_happens),
		ON_BOTH(raw_readiness),
		ON_BOTH(reading_all_of_a_pipe),
		ON_BOTH(a_pipe_that_was_closed_is_read_to_its_end),
		ON_BOTH(clock_jumps),
		ON_BOTH(stop_ends_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
