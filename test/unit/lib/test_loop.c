/*
 * test_loop.c: the loop's promises, each on both backends.
 */
#include "rig.h"

#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>

enum { OP_A = OP_USER, OP_B, OP_SEND, OP_TIMER, OP_ACCEPT, OP_CLOSER, OP_FREER, OP_KINDS };

/* What a completion left behind; ops are embedded beside it. */
struct end {
	struct lfd f;
	struct op a, b;
	struct send_op s;
	struct timer t;
	bool done_a, done_b, done_s, done_t;
	int res_a, res_b, res_s, calls_a, calls_b;
	char got[64 * 1024];
	size_t got_n;
	struct end *other; /* closed or freed by a completion of this one */
	bool again;        /* receive again at once */
	bool take;
	char *taken;
};

static void end_init(struct end *e)
{
	memset(e, 0, sizeof(*e));
	e->f = (struct lfd)LFD_INIT;
	e->a.kind = OP_A;
	e->b.kind = OP_B;
	e->s.op.kind = OP_SEND;
	e->t.op.kind = OP_TIMER;
}

static void on_a(struct loop *l, struct op *op, int res)
{
	struct end *e = container_of(op, struct end, a);

	e->done_a = true;
	e->calls_a++;
	e->res_a = res;
	if (res > 0 && op->buf) {
		assert_true((size_t)res <= loop_buf_bytes(l) && op->buf_len == loop_buf_bytes(l));
		assert_true(e->got_n + (size_t)res <= sizeof(e->got));
		memcpy(e->got + e->got_n, op->buf, (size_t)res);
		e->got_n += (size_t)res;
		if (e->take)
			e->taken = loop_buf_take(l, op);
		if (e->again)
			loop_recv(l, &e->f, op);
	}
}

static void on_b(struct loop *l, struct op *op, int res)
{
	struct end *e = container_of(op, struct end, b);

	(void)l;
	e->done_b = true;
	e->calls_b++;
	e->res_b = res;
}

static void on_send(struct loop *l, struct op *op, int res)
{
	struct end *e = container_of(op, struct end, s.op);

	(void)l;
	e->done_s = true;
	e->res_s = res;
}

static void on_timer(struct loop *l, struct op *op, int res)
{
	struct end *e = container_of(op, struct end, t.op);

	assert_int_equal(res, 0);
	assert_int_equal(e->t.at_ms, 0);
	e->done_t = true;
	e->calls_b++;
	if (e->again) {
		e->again = false;
		loop_timer_in(l, &e->t, 1);
	}
}

static void on_accept(struct loop *l, struct op *op, int res)
{
	struct end *e = container_of(op, struct end, b);
	socklen_t len;
	const struct sockaddr *peer = loop_accepted_peer(l, &len);

	e->done_b = true;
	e->calls_b++;
	e->res_b = res;
	if (res >= 0) {
		assert_int_equal(peer->sa_family, AF_INET);
		assert_int_equal(len, sizeof(struct sockaddr_in));
	}
}

/* A completion that closes another owner, which may have its own completion waiting in this batch. */
static void on_closer(struct loop *l, struct op *op, int res)
{
	struct end *e = container_of(op, struct end, a);

	e->done_a = true;
	e->res_a = res;
	loop_close(l, &e->other->f);
}

/* The same, and both are freed, this one too. */
static void on_freer(struct loop *l, struct op *op, int res)
{
	struct end *e = container_of(op, struct end, a), *other = e->other;

	assert_true(res > 0);
	if (other) {
		other->other = NULL;
		loop_close(l, &other->f);
		loop_timer_stop(l, &other->t);
		memset(other, 0xee, sizeof(*other));
		free(other);
	}
	loop_close(l, &e->f);
	loop_timer_stop(l, &e->t);
	memset(e, 0xee, sizeof(*e));
	free(e);
}

static op_done *const table[OP_KINDS] = {
	[OP_A] = on_a,
	[OP_B] = on_b,
	[OP_SEND] = on_send,
	[OP_TIMER] = on_timer,
	[OP_ACCEPT] = on_accept,
	[OP_CLOSER] = on_closer,
	[OP_FREER] = on_freer,
};

static void open_end(struct rig *r, struct end *e, int *ret_peer)
{
	int fds[2];

	end_init(e);
	rig_pair(r, fds);
	assert_int_equal(loop_add(r->l, &e->f, fds[0]), 0);
	*ret_peer = fds[1];
}

static void receives(void **state)
{
	static struct end e;
	struct rig r;
	int peer;

	rig_open(&r, state, table, OP_KINDS);
	open_end(&r, &e, &peer);
	loop_recv(r.l, &e.f, &e.a);
	rig_settle(&r);
	assert_false(e.done_a);
	assert_int_equal(rig_write(&r, peer, "hello"), 5);
	assert_false(e.done_a);
	rig_until(&r, &e.done_a);
	assert_int_equal(e.res_a, 5);
	assert_memory_equal(e.got, "hello", 5);
	/* Submitted after the bytes came. */
	e.done_a = false;
	rig_write(&r, peer, "again");
	rig_settle(&r);
	assert_false(e.done_a);
	loop_recv(r.l, &e.f, &e.a);
	assert_false(e.done_a);
	rig_until(&r, &e.done_a);
	assert_memory_equal(e.got, "helloagain", 10);
	/* The end, told as often as it is asked for. */
	rig_close(&r, peer);
	for (int i = 0; i < 2; i++) {
		e.done_a = false;
		loop_recv(r.l, &e.f, &e.a);
		rig_until(&r, &e.done_a);
		assert_int_equal(e.res_a, 0);
	}
	loop_close(r.l, &e.f);
	loop_close(r.l, &e.f);
	assert_int_equal(e.f.fd, -1);
	rig_done(&r);
}

/* Bytes and end in one edge: the end is not lost behind a short receive. */
static void bytes_then_end_in_one_edge(void **state)
{
	static struct end e;
	struct rig r;
	int peer;

	rig_open(&r, state, table, OP_KINDS);
	open_end(&r, &e, &peer);
	e.again = true;
	rig_write(&r, peer, "last words");
	rig_close(&r, peer);
	loop_recv(r.l, &e.f, &e.a);
	for (int i = 0; i < 100 && (e.res_a != 0 || !e.done_a); i++)
		assert_int_equal(loop_step(r.l, 1), 0);
	assert_int_equal(e.got_n, 10);
	assert_int_equal(e.res_a, 0);
	assert_int_equal(e.calls_a, 2);
	loop_close(r.l, &e.f);
	rig_done(&r);
}

static void cancelled_receive_keeps_the_bytes(void **state)
{
	static struct end e;
	struct rig r;
	int peer;

	rig_open(&r, state, table, OP_KINDS);
	open_end(&r, &e, &peer);
	loop_recv_cancel(r.l, &e.f);
	loop_recv(r.l, &e.f, &e.a);
	loop_recv_cancel(r.l, &e.f);
	rig_write(&r, peer, "kept");
	rig_settle(&r);
	assert_false(e.done_a);
	loop_recv(r.l, &e.f, &e.a);
	loop_recv_cancel(r.l, &e.f);
	rig_settle(&r);
	assert_false(e.done_a);
	loop_recv(r.l, &e.f, &e.a);
	rig_until(&r, &e.done_a);
	assert_memory_equal(e.got, "kept", 4);
	loop_close(r.l, &e.f);
	rig_close(&r, peer);
	rig_done(&r);
}

static void buffers_are_lent_and_taken(void **state)
{
	static struct end e;
	struct rig r;
	char *first;
	int peer;

	rig_open(&r, state, table, OP_KINDS);
	open_end(&r, &e, &peer);
	e.take = true;
	rig_write(&r, peer, "one");
	loop_recv(r.l, &e.f, &e.a);
	rig_until(&r, &e.done_a);
	first = e.taken;
	assert_non_null(first);
	e.done_a = false;
	rig_write(&r, peer, "two");
	loop_recv(r.l, &e.f, &e.a);
	rig_until(&r, &e.done_a);
	assert_ptr_not_equal(e.taken, first);
	assert_memory_equal(first, "one", 3);
	assert_memory_equal(e.taken, "two", 3);
	loop_buf_give(r.l, first);
	loop_buf_give(r.l, e.taken);
	loop_buf_give(r.l, NULL);
	loop_close(r.l, &e.f);
	rig_close(&r, peer);
	rig_done(&r);
}

/* Read from the peer's end until `n` bytes came; they must be i % 251. */
static void drain_pattern(struct rig *r, int peer, size_t n)
{
	static unsigned char p[70000];
	size_t at = 0;

	for (int i = 0; i < 10000 && at < n; i++) {
		ssize_t got = rig_read(r, peer, p, sizeof(p));

		if (got == -EAGAIN) {
			assert_int_equal(loop_step(r->l, 1), 0);
			continue;
		}
		assert_true(got > 0);
		for (ssize_t k = 0; k < got; k++)
			assert_int_equal(p[k], (at + (size_t)k) % 251);
		at += (size_t)got;
	}
	assert_int_equal(at, n);
}

static void sends_more_than_fits(void **state)
{
	enum { HEAD = 1000, BODY = 3000000, FILE_PART = 500000 };
	static struct end e;
	unsigned char *all = malloc(HEAD + BODY + FILE_PART);
	struct rig r;
	int peer, file;

	rig_open(&r, state, table, OP_KINDS);
	open_end(&r, &e, &peer);
	for (size_t i = 0; i < HEAD + BODY + FILE_PART; i++)
		all[i] = (unsigned char)(i % 251);
	file = memfd_create("t", MFD_CLOEXEC);
	assert_int_equal(pwrite(file, all + HEAD + BODY, FILE_PART, 77), FILE_PART);
	e.s.iov[0] = (struct iovec){all, HEAD};
	e.s.iov[1] = (struct iovec){NULL, 0};
	e.s.iov[2] = (struct iovec){all + HEAD, BODY};
	e.s.iovcnt = 3;
	e.s.file_fd = file;
	e.s.file_off = 77;
	e.s.file_len = FILE_PART;
	assert_int_equal(loop_send(r.l, &e.f, &e.s), -EINPROGRESS);
	assert_true(e.s.sent > 0 && e.s.sent < HEAD + BODY);
	rig_settle(&r);
	assert_false(e.done_s);
	drain_pattern(&r, peer, HEAD + BODY + FILE_PART);
	rig_until(&r, &e.done_s);
	assert_int_equal(e.res_s, 0);
	assert_int_equal(e.s.sent, HEAD + BODY + FILE_PART);
	/* What fits is done at once and completes by its result. */
	e.done_s = false;
	e.s = (struct send_op){.op.kind = OP_SEND, .iov = {{all, 100}}, .iovcnt = 1};
	assert_int_equal(loop_send(r.l, &e.f, &e.s), 0);
	e.s.iovcnt = 0;
	assert_int_equal(loop_send(r.l, &e.f, &e.s), 0);
	rig_settle(&r);
	assert_false(e.done_s);
	drain_pattern(&r, peer, 100);
	/* A file that is shorter than promised. */
	e.s = (struct send_op){.op.kind = OP_SEND, .file_fd = file, .file_off = 77 + FILE_PART, .file_len = 1};
	assert_int_equal(loop_send(r.l, &e.f, &e.s), -EIO);
	close(file);
	loop_close(r.l, &e.f);
	rig_close(&r, peer);
	free(all);
	rig_done(&r);
}

static void send_to_nobody(void **state)
{
	static char big[1 << 20];
	static struct end e;
	struct rig r;
	int peer;

	rig_open(&r, state, table, OP_KINDS);
	open_end(&r, &e, &peer);
	e.s.iov[0] = (struct iovec){big, sizeof(big)};
	e.s.iovcnt = 1;
	assert_int_equal(loop_send(r.l, &e.f, &e.s), -EINPROGRESS);
	rig_close(&r, peer);
	rig_until(&r, &e.done_s);
	assert_true(e.res_s == -EPIPE || e.res_s == -ECONNRESET);
	/* What broke it is told again, where the kernel says only EPIPE by now. */
	assert_int_equal(loop_send(r.l, &e.f, &e.s), e.res_s);
	/* Cancelled: never heard of again. */
	loop_close(r.l, &e.f);
	open_end(&r, &e, &peer);
	e.s.iov[0] = (struct iovec){big, sizeof(big)};
	e.s.iovcnt = 1;
	assert_int_equal(loop_send(r.l, &e.f, &e.s), -EINPROGRESS);
	loop_send_cancel(r.l, &e.f);
	loop_send_cancel(r.l, &e.f);
	rig_close(&r, peer);
	rig_settle(&r);
	assert_false(e.done_s);
	loop_close(r.l, &e.f);
	rig_done(&r);
}

static void hup_beside_a_receive(void **state)
{
	static struct end e;
	struct rig r;
	int peer, listener;

	rig_open(&r, state, table, OP_KINDS);
	listener = rig_listen(&r);
	end_init(&e);
	e.b.kind = OP_ACCEPT;
	assert_int_equal(loop_add(r.l, &e.f, listener), 0);
	loop_accept(r.l, &e.f, &e.b);
	peer = rig_connect(&r, listener);
	assert_true(peer >= 0);
	rig_until(&r, &e.done_b);
	assert_true(e.res_b >= 0);
	loop_close(r.l, &e.f);
	assert_int_equal(loop_add(r.l, &e.f, e.res_b), 0);
	/* Bytes are there and nobody reads them; the half close is heard all the same. */
	e.b.kind = OP_B;
	e.done_b = false;
	loop_hup(r.l, &e.f, &e.b);
	rig_write(&r, peer, "unread");
	rig_settle(&r);
	assert_false(e.done_b);
	if (r.sim)
		sim_shutdown(r.sim, peer, SHUT_WR);
	else
		shutdown(peer, SHUT_WR);
	rig_until(&r, &e.done_b);
	assert_int_equal(e.res_b, 1);
	/* Asked again, it waits for the whole end and does not spin on the half. */
	e.done_b = false;
	loop_hup(r.l, &e.f, &e.b);
	rig_settle(&r);
	assert_false(e.done_b);
	loop_recv(r.l, &e.f, &e.a);
	rig_until(&r, &e.done_a);
	assert_int_equal(e.res_a, 6);
	rig_reset(&r, peer);
	rig_until(&r, &e.done_b);
	assert_true(e.res_b == -ECONNRESET || e.res_b == -EPIPE);
	/* The kernel told the error once; the receive hears of it all the same. */
	e.done_a = false;
	loop_recv(r.l, &e.f, &e.a);
	rig_until(&r, &e.done_a);
	assert_true(e.res_a == e.res_b);
	loop_close(r.l, &e.f);
	rig_done(&r);
}

static void accepts_and_runs_out(void **state)
{
	static struct end e;
	struct rig r;
	int listener, peers[3], got[3];

	rig_open(&r, state, table, OP_KINDS);
	listener = rig_listen(&r);
	end_init(&e);
	e.b.kind = OP_ACCEPT;
	assert_int_equal(loop_add(r.l, &e.f, listener), 0);
	for (int i = 0; i < 3; i++)
		peers[i] = rig_connect(&r, listener);
	for (int i = 0; i < 3; i++) {
		e.done_b = false;
		loop_accept(r.l, &e.f, &e.b);
		rig_until(&r, &e.done_b);
		got[i] = e.res_b;
		assert_true(got[i] >= 0);
		if (!r.sim) {
			assert_true(fcntl(got[i], F_GETFD) & FD_CLOEXEC);
			assert_true(fcntl(got[i], F_GETFL) & O_NONBLOCK);
		}
	}
	e.done_b = false;
	loop_accept(r.l, &e.f, &e.b);
	rig_settle(&r);
	assert_false(e.done_b);
	loop_close(r.l, &e.f);
	for (int i = 0; i < 3; i++) {
		rig_close(&r, peers[i]);
		rig_close(&r, got[i]);
	}
	rig_done(&r);
}

/* Two descriptors become ready in one batch; the first completion closes the second's owner. */
static void closing_another_in_a_batch(void **state)
{
	struct rig r;

	rig_open(&r, state, table, OP_KINDS);
	for (int round = 0; round < 20; round++) {
		static struct end a, b;
		int pa, pb;

		open_end(&r, &a, &pa);
		open_end(&r, &b, &pb);
		a.a.kind = b.a.kind = OP_CLOSER;
		a.other = &b;
		b.other = &a;
		loop_recv(r.l, &a.f, &a.a);
		loop_recv(r.l, &b.f, &b.a);
		loop_hup(r.l, &b.f, &b.b);
		rig_write(&r, pa, "x");
		rig_write(&r, pb, "x");
		rig_settle(&r);
		/* Exactly one of them ran. */
		assert_int_equal(a.done_a + b.done_a, 1);
		assert_false(b.done_b);
		loop_close(r.l, &a.f);
		loop_close(r.l, &b.f);
		rig_close(&r, pa);
		rig_close(&r, pb);
	}
	rig_done(&r);
}

static void freeing_in_a_batch(void **state)
{
	struct rig r;

	rig_open(&r, state, table, OP_KINDS);
	for (int round = 0; round < 20; round++) {
		struct end *e[8];
		int peer[8];

		for (int i = 0; i < 8; i++) {
			e[i] = malloc(sizeof(*e[i]));
			open_end(&r, e[i], &peer[i]);
			e[i]->a.kind = OP_FREER;
			loop_recv(r.l, &e[i]->f, &e[i]->a);
			loop_hup(r.l, &e[i]->f, &e[i]->b);
			loop_timer_in(r.l, &e[i]->t, 0);
		}
		for (int i = 0; i < 8; i++)
			e[i]->other = e[i ^ 1];
		for (int i = 0; i < 8; i++) {
			rig_write(&r, peer[i], "x");
			rig_close(&r, peer[i]);
		}
		rig_settle(&r);
	}
	rig_done(&r);
}

/* A descriptor's number is reused inside the batch; the old one's event must not reach the new owner. */
static void stale_events_miss_the_new_owner(void **state)
{
	static struct end a, b;
	struct rig r;
	int pa, pb;

	rig_open(&r, state, table, OP_KINDS);
	open_end(&r, &a, &pa);
	rig_write(&r, pa, "old");
	loop_close(r.l, &a.f);
	rig_close(&r, pa);
	open_end(&r, &b, &pb);
	loop_recv(r.l, &b.f, &b.a);
	loop_hup(r.l, &b.f, &b.b);
	rig_settle(&r);
	assert_false(b.done_a);
	assert_false(b.done_b);
	rig_write(&r, pb, "new");
	rig_until(&r, &b.done_a);
	assert_memory_equal(b.got, "new", 3);
	loop_close(r.l, &b.f);
	rig_close(&r, pb);
	rig_done(&r);
}

/* Someone closed the descriptor before the loop let go of it, and the open file lives on elsewhere: its
 * registration cannot be taken back, and its events name a number that is somebody else's by now. */
static void events_of_a_lost_file_miss_too(void **state)
{
	static struct end a, b;
	int pa, pb, kept, number;
	struct rig r;

	rig_open(&r, state, table, OP_KINDS);
	if (r.sim) {
		rig_done(&r);
		return;
	}
	open_end(&r, &a, &pa);
	rig_settle(&r);
	number = a.f.fd;
	kept = dup(number);
	close(number);
	assert_int_equal(loop_del(r.l, &a.f), number);
	open_end(&r, &b, &pb);
	assert_int_equal(b.f.fd, number);
	loop_readable(r.l, &b.f, &b.a);
	loop_hup(r.l, &b.f, &b.b);
	rig_write(&r, pa, "x");
	close(pa);
	rig_settle(&r);
	assert_false(b.done_a);
	assert_false(b.done_b);
	loop_close(r.l, &b.f);
	close(kept);
	close(pb);
	rig_done(&r);
}

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
	/* Not read at all: told again with the next edge only, so that who cannot read does not spin. */
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
		ON_BOTH(receives), ON_BOTH(bytes_then_end_in_one_edge),
		ON_BOTH(cancelled_receive_keeps_the_bytes), ON_BOTH(buffers_are_lent_and_taken),
		ON_BOTH(sends_more_than_fits), ON_BOTH(send_to_nobody), ON_BOTH(hup_beside_a_receive),
		ON_BOTH(accepts_and_runs_out), ON_BOTH(closing_another_in_a_batch),
		ON_BOTH(freeing_in_a_batch), ON_BOTH(stale_events_miss_the_new_owner),
		ON_BOTH(events_of_a_lost_file_miss_too), ON_BOTH(timers),
		ON_BOTH(idle_has_no_ticks), ON_BOTH(deferred_ops_come_last_and_once),
		ON_BOTH(raw_readiness), ON_BOTH(clock_jumps), ON_BOTH(stop_ends_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
