/*
 * test_loop.c: what the loop promises of descriptors, each on both backends.
 */
#include "ends.h"

#include <sys/mman.h>

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

/* A completion that closes another owner, which may have its own completion waiting in this batch.
 */
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
	e.s = (struct send_op){
		.op.kind = OP_SEND, .file_fd = file, .file_off = 77 + FILE_PART, .file_len = 1};
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

/* A descriptor's number is reused inside the batch; the old one's event must not reach the new
 * owner. */
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

/* Someone closed the descriptor before the loop let go of it, and the open file lives on elsewhere:
 * its registration cannot be taken back, and its events name a number that is somebody else's by
 * now. */
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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		ON_BOTH(receives),
		ON_BOTH(bytes_then_end_in_one_edge),
		ON_BOTH(cancelled_receive_keeps_the_bytes),
		ON_BOTH(buffers_are_lent_and_taken),
		ON_BOTH(sends_more_than_fits),
		ON_BOTH(send_to_nobody),
		ON_BOTH(hup_beside_a_receive),
		ON_BOTH(accepts_and_runs_out),
		ON_BOTH(closing_another_in_a_batch),
		ON_BOTH(freeing_in_a_batch),
		ON_BOTH(stale_events_miss_the_new_owner),
		ON_BOTH(events_of_a_lost_file_miss_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
