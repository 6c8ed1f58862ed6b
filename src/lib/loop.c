/*
 * loop.c: turns of the loop: what is ready, what is due, whose turn it is; descriptors and buffers.
 *
 * Called by every process that waits. Owns the ready queue, the timer wheel, the buffer pool and
 * the table of descriptors; a backend (loop_epoll.c, loop_sim.c) owns the waiting. Never delivers a
 * completion from inside a submission, and touches neither an op nor its descriptor after
 * completing it, because the owner may have freed both.
 */
#include "lib/loop_priv.h"
#include "lib/must.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void loop_init(struct loop *l, const struct loop_backend *be, void *backend, int fd_base,
	op_done *const *table, unsigned kinds)
{
	l->be = be;
	l->backend = backend;
	l->table = table;
	l->kinds = kinds;
	l->fd_base = fd_base;
	l->accepted_fd = -1;
	l->jump_lfd = (struct lfd)LFD_INIT;
	op_list_init(&l->ready);
	op_list_init(&l->deferred);
	op_list_init(&l->napping);
	l->now_us = be->mono_us(l);
	wheel_init(&l->wheel, l->now_us / 1000);
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	loop_close(l, &l->jump_lfd);
	l->be->free(l);
	loop_free_bufs(l);
	free(l->slots);
	free(l);
}

/* Ready queue. */

void op_queue(struct loop *l, struct op *op)
{
	op->state = OPS_QUEUED;
	op_list_append(&l->ready, op);
}

void op_cancel(struct op *op)
{
	if (op->state == OPS_QUEUED || op->state == OPS_DEFERRED)
		op_list_del(op);
	op->state = OPS_IDLE;
}

void op_complete(struct loop *l, struct op *op, int res)
{
	op->state = OPS_IDLE;
	must(op->kind != OP_NONE && op->kind < l->kinds && l->table[op->kind]);
	l->table[op->kind](l, op, res);
}

void loop_defer(struct loop *l, struct op *op)
{
	if (op->state == OPS_DEFERRED)
		return;
	must(op->state == OPS_IDLE);
	op->what = WHAT_DEFER;
	op->state = OPS_DEFERRED;
	op_list_append(&l->deferred, op);
}

void loop_nap(struct loop *l, struct op *op, unsigned us)
{
	must(op->state == OPS_IDLE);
	op->what = WHAT_DEFER;
	op->state = OPS_DEFERRED;
	l->nap_us = op_list_empty(&l->napping) ? us : min_of(l->nap_us, us);
	op_list_append(&l->napping, op);
}

void loop_defer_cancel(struct loop *l, struct op *op)
{
	(void)l;
	op_cancel(op);
}

static void run_op(struct loop *l, struct op *op)
{
	op_list_del(op);
	op->state = OPS_WAIT;
	switch (op->what) {
	case WHAT_TIMER:
		container_of(op, struct timer, op)->at_ms = 0;
		op_complete(l, op, 0);
		return;
	case WHAT_JUMP:
		op_complete(l, op, 0);
		return;
	default:
		loop_io_run(l, op);
	}
}

/* Move all of `from` to the empty list head `to`, so that what is added meanwhile waits its turn.
 */
static void take_list(struct op *from, struct op *to)
{
	op_list_init(to);
	if (op_list_empty(from))
		return;
	*to = *from;
	to->next->prev = to;
	to->prev->next = to;
	op_list_init(from);
}

static void run_ready(struct loop *l)
{
	struct op batch;

	for (int round = 0; round < LOOP_ROUNDS_MAX && !op_list_empty(&l->ready); round++) {
		take_list(&l->ready, &batch);
		while (!op_list_empty(&batch))
			run_op(l, batch.next);
	}
}

static void run_deferred(struct loop *l)
{
	struct op batch;

	take_list(&l->deferred, &batch);
	while (!op_list_empty(&batch)) {
		struct op *op = batch.next;

		op_list_del(op);
		op_complete(l, op, 0);
	}
}

bool loop_busy(const struct loop *l)
{
	return !op_list_empty(&l->ready) || !op_list_empty(&l->deferred);
}

uint64_t loop_next_timer_ms(const struct loop *l)
{
	return wheel_next_ms(&l->wheel);
}

static void queue_due_timers(struct loop *l)
{
	struct timer *t;

	while ((t = wheel_take_due(&l->wheel, l->now_us / 1000)) != NULL)
		op_queue(l, &t->op);
}

/* How long this turn may wait, in us; -1: for ever. */
static int64_t wait_us(const struct loop *l, int timeout_ms)
{
	uint64_t next = wheel_next_ms(&l->wheel);
	uint64_t left = timeout_ms < 0 ? UINT64_MAX : (uint64_t)timeout_ms * 1000;

	if (loop_busy(l))
		return 0;
	if (next != UINT64_MAX)
		left = min_of(left, next * 1000 > l->now_us ? next * 1000 - l->now_us : 0);
	if (!op_list_empty(&l->napping))
		left = min_of(left, (uint64_t)l->nap_us);
	return left > INT64_MAX ? -1 : (int64_t)left;
}

int loop_step(struct loop *l, int timeout_ms)
{
	int err = l->be->wait(l, wait_us(l, timeout_ms));

	while (!op_list_empty(&l->napping)) {
		struct op *op = l->napping.next;

		op_list_del(op);
		op_list_append(&l->deferred, op);
	}
	l->now_us = l->be->mono_us(l);
	l->wall_us = 0;
	if (err)
		return err;
	queue_due_timers(l);
	run_ready(l);
	run_deferred(l);
	return 0;
}

int loop_run(struct loop *l)
{
	int err = 0;

	while (!l->stopping && !err)
		err = loop_step(l, -1);
	l->stopping = false;
	return err;
}

void loop_stop(struct loop *l)
{
	l->stopping = true;
}

/* Descriptors. */

static struct loop_slot *slot_of(struct loop *l, int fd)
{
	int at = fd - l->fd_base;

	return at >= 0 && at < l->slots_n ? &l->slots[at] : NULL;
}

static int slots_grow(struct loop *l, int fd)
{
	int at = fd - l->fd_base, n = l->slots_n ? l->slots_n : 64;
	struct loop_slot *slots;

	if (at < 0)
		return -EBADF;
	if (at < l->slots_n)
		return 0;
	while (n <= at)
		n *= 2;
	slots = realloc(l->slots, (size_t)n * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	memset(slots + l->slots_n, 0, (size_t)(n - l->slots_n) * sizeof(*slots));
	l->slots = slots;
	l->slots_n = n;
	return 0;
}

int loop_add(struct loop *l, struct lfd *f, int fd)
{
	struct loop_slot *s;
	int err;

	err = slots_grow(l, fd);
	if (err)
		return err;
	s = slot_of(l, fd);
	must(!s->f);
	/* What was accepted a moment ago was made non-blocking there: one call less a connection.
	 */
	err = fd == l->accepted_fd ? 0 : l->be->nonblock(l, fd);
	if (err)
		return err;
	l->accepted_fd = -1;
	err = l->be->watch(l, fd, s->generation);
	if (err)
		return err;
	s->f = f;
	*f = (struct lfd){.fd = fd};
	return 0;
}

int loop_del(struct loop *l, struct lfd *f)
{
	struct loop_slot *s;
	int fd = f->fd;

	if (fd < 0)
		return -1;
	s = slot_of(l, fd);
	must(s && s->f == f);
	s->f = NULL;
	s->generation++;
	if (f->rd)
		op_cancel(f->rd);
	if (f->wr)
		op_cancel(f->wr);
	if (f->hup)
		op_cancel(f->hup);
	l->be->unwatch(l, fd);
	*f = (struct lfd)LFD_INIT;
	return fd;
}

void loop_close(struct loop *l, struct lfd *f)
{
	int fd = loop_del(l, f);

	if (fd >= 0)
		l->be->close(l, fd);
}

static void wake(struct loop *l, struct op *op)
{
	if (op && op->state == OPS_WAIT)
		op_queue(l, op);
}

void loop_note(struct loop *l, int fd, uint32_t generation, uint32_t flags)
{
	struct loop_slot *s = slot_of(l, fd);
	struct lfd *f;

	if (!s || !s->f || s->generation != generation)
		return;
	f = s->f;
	f->flags |= flags;
	/* An end or an error is seen by reading and writing alike. */
	if (flags & LFD_CLOSING)
		f->flags |= LFD_READABLE;
	if (flags & (LFD_HUP | LFD_ERR))
		f->flags |= LFD_WRITABLE;
	if (f->flags & LFD_READABLE)
		wake(l, f->rd);
	if (f->flags & LFD_WRITABLE) {
		f->flags &= ~(uint32_t)LFD_FULL;
		wake(l, f->wr);
	}
	if (flags & LFD_CLOSING)
		wake(l, f->hup);
}

/* Readiness that a raw call of the owner revealed. */
static void raw_result(struct loop *l, int fd, ssize_t res, uint32_t readiness)
{
	struct loop_slot *s = slot_of(l, fd);

	if (!s || !s->f)
		return;
	if (res == -EAGAIN)
		s->f->flags &= ~readiness;
	else if (res >= 0)
		s->f->flags |= readiness;
}

ssize_t loop_sys_read(struct loop *l, int fd, void *p, size_t n)
{
	ssize_t res = l->be->read(l, fd, p, n);

	raw_result(l, fd, res, LFD_READABLE);
	return res;
}

ssize_t loop_sys_read_all(struct loop *l, struct lfd *f, void *p, size_t n)
{
	ssize_t res = loop_sys_read(l, f->fd, p, n);

	/* Once an end or an error was announced no further edge comes. */
	if (res > 0 && (size_t)res < n && !(f->flags & LFD_CLOSING))
		f->flags &= ~(uint32_t)LFD_READABLE;
	return res;
}

ssize_t loop_sys_write(struct loop *l, int fd, const void *p, size_t n)
{
	ssize_t res = l->be->write(l, fd, p, n);

	raw_result(l, fd, res, LFD_WRITABLE);
	return res;
}

ssize_t loop_sys_recvmsg(struct loop *l, int fd, struct msghdr *m, int flags)
{
	ssize_t res = l->be->recvmsg(l, fd, m, flags);

	raw_result(l, fd, res, LFD_READABLE);
	return res;
}

ssize_t loop_sys_sendmsg(struct loop *l, int fd, const struct msghdr *m, int flags)
{
	ssize_t res = l->be->sendmsg(l, fd, m, flags);

	raw_result(l, fd, res, LFD_WRITABLE);
	return res;
}

void loop_sys_close(struct loop *l, int fd)
{
	struct loop_slot *s = slot_of(l, fd);

	must(!s || !s->f);
	l->be->close(l, fd);
}

int loop_sys_shutdown(struct loop *l, int fd, int how)
{
	return l->be->shutdown(l, fd, how);
}

int loop_sys_pipe(struct loop *l, int ret_fds[2])
{
	return l->be->pipe(l, ret_fds);
}

int loop_sys_socketpair(struct loop *l, int ret_fds[2])
{
	return l->be->socketpair(l, ret_fds);
}

int loop_sys_dup(struct loop *l, int fd)
{
	return l->be->dup(l, fd);
}

/* Timers and clocks. */

void loop_timer(struct loop *l, struct timer *t, uint64_t at_ms)
{
	loop_timer_stop(l, t);
	t->at_ms = at_ms ? at_ms : 1;
	t->op.what = WHAT_TIMER;
	t->op.lfd = NULL;
	if (t->at_ms <= l->wheel.now_ms) {
		op_queue(l, &t->op);
		return;
	}
	t->op.state = OPS_ARMED;
	wheel_add(&l->wheel, t);
}

void loop_timer_in(struct loop *l, struct timer *t, uint64_t ms)
{
	uint64_t now = loop_now_ms(l);

	loop_timer(l, t, ms > UINT64_MAX - now ? UINT64_MAX : now + ms);
}

void loop_timer_stop(struct loop *l, struct timer *t)
{
	if (t->op.state == OPS_ARMED) {
		wheel_del(&l->wheel, t);
		t->op.state = OPS_IDLE;
	} else {
		op_cancel(&t->op);
	}
	t->at_ms = 0;
}

uint64_t loop_now_ms(const struct loop *l)
{
	return l->now_us / 1000;
}

uint64_t loop_now_us(const struct loop *l)
{
	return l->now_us;
}

uint64_t loop_now_fresh_us(struct loop *l)
{
	return l->be->mono_us(l);
}

uint64_t loop_wall_us(struct loop *l)
{
	if (!l->wall_us)
		l->wall_us = l->be->wall_us(l);
	return l->wall_us;
}

static int64_t clock_offset(struct loop *l)
{
	return (int64_t)(l->be->wall_us(l) - l->be->mono_us(l));
}

void loop_clock_jump(struct loop *l, struct op *op)
{
	must(!l->jump && op->state == OPS_IDLE);
	if (l->jump_lfd.fd < 0) {
		l->jump_offset = clock_offset(l);
		/* Without this watch (no descriptor left) jumps are not told; nothing else is lost.
		 */
		(void)l->be->watch_clock(l);
	}
	l->jump = op;
	op->what = WHAT_JUMP;
	op->lfd = NULL;
	op->state = OPS_WAIT;
	loop_clock_was_set(l);
}

void loop_clock_was_set(struct loop *l)
{
	int64_t offset = clock_offset(l), by = offset - l->jump_offset;
	struct op *op = l->jump;

	l->wall_us = 0;
	if (!op || (by <= 1000000 && by >= -1000000))
		return;
	l->jump_offset = offset;
	l->jump = NULL;
	op_queue(l, op);
}
