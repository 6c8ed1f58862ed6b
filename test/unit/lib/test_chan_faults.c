/*
 * test_chan_faults.c: what a channel makes of each answer of the kernel's that a healthy machine does not give: sockets
 * that are reset, descriptors and memory that are not to be had.
 *
 * The calls are wrapped by the linker (meson.build): those that this test has prepared it answers itself.
 */
#include "rig.h"

#include "lib/chan.h"

enum call { CALL_MALLOC, CALL_ADD, CALL_DUP, CALL_RECVMSG, CALL_SENDMSG, CALL_SHUTDOWN, CALL_LOST, CALLS };

/* What the next calls answer, last first; behind them the real ones. */
static struct answers {
	int err[8];
	unsigned n;
} *answers_of(enum call call)
{
	static struct answers all[CALLS];

	return &all[call];
}

static void answer(enum call call, int err)
{
	struct answers *a = answers_of(call);

	must(a->n < ARRAY_LEN(a->err));
	a->err[a->n++] = err;
}

static bool answered(enum call call, int *ret)
{
	struct answers *a = answers_of(call);

	if (!a->n)
		return false;
	*ret = a->err[--a->n];
	return true;
}

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_malloc(size_t n)
{
	int err;

	return answered(CALL_MALLOC, &err) ? NULL : __real_malloc(n);
}

int __real_loop_add(struct loop *l, struct lfd *f, int fd);
int __wrap_loop_add(struct loop *l, struct lfd *f, int fd);
int __wrap_loop_add(struct loop *l, struct lfd *f, int fd)
{
	int err;

	return answered(CALL_ADD, &err) ? err : __real_loop_add(l, f, fd);
}

int __real_loop_sys_dup(struct loop *l, int fd);
int __wrap_loop_sys_dup(struct loop *l, int fd);
int __wrap_loop_sys_dup(struct loop *l, int fd)
{
	int err = 0;

	/* 0: this one may. */
	return answered(CALL_DUP, &err) && err ? err : __real_loop_sys_dup(l, fd);
}

int __real_loop_sys_shutdown(struct loop *l, int fd, int how);
int __wrap_loop_sys_shutdown(struct loop *l, int fd, int how);
int __wrap_loop_sys_shutdown(struct loop *l, int fd, int how)
{
	int err;

	return answered(CALL_SHUTDOWN, &err) ? err : __real_loop_sys_shutdown(l, fd, how);
}

ssize_t __real_loop_sys_recvmsg(struct loop *l, int fd, struct msghdr *m, int flags);
ssize_t __wrap_loop_sys_recvmsg(struct loop *l, int fd, struct msghdr *m, int flags);
ssize_t __wrap_loop_sys_recvmsg(struct loop *l, int fd, struct msghdr *m, int flags)
{
	int err = 0;
	ssize_t n;

	if (answered(CALL_RECVMSG, &err) && err)
		return err;
	n = __real_loop_sys_recvmsg(l, fd, m, flags);
	/* As when no descriptor is left for all that came. */
	if (n > 0 && answered(CALL_LOST, &err))
		m->msg_flags |= MSG_CTRUNC;
	return n;
}

ssize_t __real_loop_sys_sendmsg(struct loop *l, int fd, const struct msghdr *m, int flags);
ssize_t __wrap_loop_sys_sendmsg(struct loop *l, int fd, const struct msghdr *m, int flags);
ssize_t __wrap_loop_sys_sendmsg(struct loop *l, int fd, const struct msghdr *m, int flags)
{
	int err;

	return answered(CALL_SENDMSG, &err) ? err : __real_loop_sys_sendmsg(l, fd, m, flags);
}

static op_done *const table[] = {CHAN_OPS};

struct peer {
	struct chan c;
	unsigned got, gone;
	int why;
};

static bool allowed(struct chan *c, const struct msg_head *h, unsigned nfds)
{
	(void)c;
	(void)h;
	(void)nfds;
	return true;
}

static void got(struct chan *c, struct msg *m)
{
	struct peer *p = c->owner;

	(void)m;
	p->got++;
}

static void gone(struct chan *c, int why)
{
	struct peer *p = c->owner;

	assert_false(chan_open(c));
	p->gone++;
	p->why = why;
}

static const struct chan_ops ops = {.allowed = allowed, .got = got, .gone = gone};

struct two {
	struct rig r;
	struct peer a, b;
};

static void open_two(struct two *t, void **state)
{
	int fds[2];

	memset(t, 0, sizeof(*t));
	rig_open(&t->r, state, table, ARRAY_LEN(table));
	assert_int_equal(loop_sys_socketpair(t->r.l, fds), 0);
	assert_int_equal(chan_init(&t->a.c, t->r.l, fds[0], &ops, &t->a), 0);
	assert_int_equal(chan_init(&t->b.c, t->r.l, fds[1], &ops, &t->b), 0);
}

static void close_two(struct two *t)
{
	chan_close(&t->a.c);
	chan_close(&t->b.c);
	rig_done(&t->r);
}

static int say(struct two *t, const int *fds, unsigned nfds)
{
	return chan_send(&t->a.c, 7, 1, "hello", 5, NULL, 0, fds, nfds);
}

static void turns(struct two *t)
{
	for (unsigned n = 0; n < 5; n++)
		assert_int_equal(loop_step(t->r.l, 0), 0);
}

static void sends_that_fail(void **state)
{
	static const struct {
		int answer, told;
	} rows[] = {{-ECONNRESET, -EPIPE}, {-ENOTCONN, -EPIPE}, {-EPIPE, -EPIPE}, {-ETOOMANYREFS, -ENOBUFS}, {-ENOMEM, -ENOBUFS},
		{-ENOBUFS, -ENOBUFS}, {-EMSGSIZE, -EMSGSIZE}};
	static struct two t;
	char big[1] = "x";

	open_two(&t, state);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		answer(CALL_SENDMSG, rows[i].answer);
		answer(CALL_SENDMSG, -EINTR);
		assert_int_equal(say(&t, NULL, 0), rows[i].told);
	}
	/* The channel stays: the owner decides. */
	assert_true(chan_open(&t.a.c));
	assert_int_equal(say(&t, NULL, 0), 0);
	turns(&t);
	assert_int_equal(t.b.got, 1);
	assert_int_equal(chan_send(&t.a.c, 7, 1, big, CHAN_PAYLOAD_MAX + 1, NULL, 0, NULL, 0), -EMSGSIZE);
	assert_int_equal(chan_send(&t.a.c, 7, 1, NULL, 0, NULL, 0, NULL, CHAN_FDS_MAX + 1), -EMSGSIZE);
	close_two(&t);
}

static void queues_that_cannot_be(void **state)
{
	static struct two t;
	int pipe_fds[2], pass[2];
	char p[1];

	open_two(&t, state);
	assert_int_equal(loop_sys_pipe(t.r.l, pipe_fds), 0);
	pass[0] = pass[1] = pipe_fds[1];
	answer(CALL_SENDMSG, -EAGAIN);
	answer(CALL_MALLOC, 0);
	assert_int_equal(say(&t, pass, 2), -ENOBUFS);
	/* The second copy of a descriptor is not to be had: the first is closed. */
	answer(CALL_SENDMSG, -EAGAIN);
	answer(CALL_DUP, -EMFILE);
	answer(CALL_DUP, 0);
	assert_int_equal(say(&t, pass, 2), -ENOBUFS);
	loop_sys_close(t.r.l, pipe_fds[1]);
	assert_int_equal(loop_sys_read(t.r.l, pipe_fds[0], p, 1), 0);
	loop_sys_close(t.r.l, pipe_fds[0]);
	assert_int_equal(t.a.gone, 0);
	assert_int_equal(say(&t, NULL, 0), 0);
	turns(&t);
	assert_int_equal(t.b.got, 1);
	close_two(&t);
}

/* What was taken for sent and then cannot be: for a peer that is gone it is dropped, else the channel ends. */
static void queued_and_then_not_sent(void **state)
{
	for (unsigned ends = 0; ends < 2; ends++) {
		static struct two t;

		open_two(&t, state);
		answer(CALL_SENDMSG, ends ? -EMSGSIZE : -EPIPE);
		answer(CALL_SENDMSG, -EAGAIN);
		assert_int_equal(say(&t, NULL, 0), 0);
		assert_int_equal(say(&t, NULL, 0), 0);
		turns(&t);
		assert_int_equal(t.a.gone, ends);
		assert_int_equal(t.a.why, ends ? -EMSGSIZE : 0);
		assert_null(t.a.c.q);
		assert_int_equal(t.b.got, 0);
		close_two(&t);
	}
}

static void receives_that_fail(void **state)
{
	static const struct {
		int answer, told;
	} rows[] = {{-ECONNRESET, 0}, {-EBADF, -EBADF}};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		static struct two t;

		open_two(&t, state);
		/* One reset is told before what the peer sent last; a second is its end. */
		answer(CALL_RECVMSG, rows[i].answer);
		answer(CALL_RECVMSG, -ECONNRESET);
		answer(CALL_RECVMSG, -EINTR);
		assert_int_equal(say(&t, NULL, 0), 0);
		turns(&t);
		/* The one that met it; the other sees its end. */
		assert_true(t.a.gone == 1 && t.b.gone == 1);
		assert_true(t.a.why == rows[i].told || t.b.why == rows[i].told);
		close_two(&t);
	}
}

/* Descriptors for which there was no room: those that came are closed, and the channel ends. */
static void descriptors_that_got_lost(void **state)
{
	static struct two t;
	int pipe_fds[2];
	char p[1];

	open_two(&t, state);
	assert_int_equal(loop_sys_pipe(t.r.l, pipe_fds), 0);
	assert_int_equal(say(&t, &pipe_fds[1], 1), 0);
	loop_sys_close(t.r.l, pipe_fds[1]);
	answer(CALL_LOST, 0);
	turns(&t);
	assert_int_equal(t.b.got, 0);
	assert_int_equal(t.b.gone, 1);
	assert_int_equal(t.b.why, -EMFILE);
	assert_int_equal(loop_sys_read(t.r.l, pipe_fds[0], p, 1), 0);
	loop_sys_close(t.r.l, pipe_fds[0]);
	close_two(&t);
}

static void no_beginning(void **state)
{
	static struct two t;
	struct peer one = {.c.lfd = LFD_INIT};
	int fds[2];

	open_two(&t, state);
	assert_int_equal(loop_sys_socketpair(t.r.l, fds), 0);
	answer(CALL_ADD, -ENOSPC);
	assert_int_equal(chan_init(&one.c, t.r.l, fds[0], &ops, &one), -ENOSPC);
	answer(CALL_ADD, -ENOSPC);
	assert_int_equal(chan_init_oneway(&one.c, t.r.l, fds[0], &ops, &one), -ENOSPC);
	answer(CALL_SHUTDOWN, -ENOTCONN);
	assert_int_equal(chan_init_oneway(&one.c, t.r.l, fds[0], &ops, &one), -ENOTCONN);
	assert_false(chan_open(&one.c));
	/* It stays its owner's, and can be tried again. */
	assert_int_equal(chan_init_oneway(&one.c, t.r.l, fds[0], &ops, &one), 0);
	chan_close(&one.c);
	loop_sys_close(t.r.l, fds[1]);
	close_two(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		ON_BOTH(sends_that_fail),
		ON_BOTH(queues_that_cannot_be),
		ON_BOTH(queued_and_then_not_sent),
		ON_BOTH(receives_that_fail),
		ON_BOTH(descriptors_that_got_lost),
		ON_BOTH(no_beginning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
