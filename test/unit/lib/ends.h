/*
 * ends.h: an owner of one descriptor as the loop's tests use it, and completions that write down
 * what they were told.
 */
#ifndef STEAD_TEST_UNIT_LIB_ENDS_H
#define STEAD_TEST_UNIT_LIB_ENDS_H

#include "rig.h"

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

static inline void end_init(struct end *e)
{
	memset(e, 0, sizeof(*e));
	e->f = (struct lfd)LFD_INIT;
	e->a.kind = OP_A;
	e->b.kind = OP_B;
	e->s.op.kind = OP_SEND;
	e->t.op.kind = OP_TIMER;
}

static inline void on_a(struct loop *l, struct op *op, int res)
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

static inline void on_b(struct loop *l, struct op *op, int res)
{
	struct end *e = container_of(op, struct end, b);

	(void)l;
	e->done_b = true;
	e->calls_b++;
	e->res_b = res;
}

static inline void on_send(struct loop *l, struct op *op, int res)
{
	struct end *e = container_of(op, struct end, s.op);

	(void)l;
	e->done_s = true;
	e->res_s = res;
}

static inline void on_timer(struct loop *l, struct op *op, int res)
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

static inline void open_end(struct rig *r, struct end *e, int *ret_peer)
{
	int fds[2];

	end_init(e);
	rig_pair(r, fds);
	assert_int_equal(loop_add(r->l, &e->f, fds[0]), 0);
	*ret_peer = fds[1];
}

#endif
