/*
 * chan.c: messages between stead's processes on the loop.
 *
 * Called by every process that has a loop, and by loop.c with completions. Owns its descriptor, the
 * queue of unsent messages and the descriptors duplicated into it. What arrives is input: it is
 * checked whole before the owner sees it, and the first fault ends the channel. Never blocks.
 */
#include "lib/chan.h"
#include "lib/chan_priv.h"
#include "lib/must.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Messages received in a turn before others have theirs. */
enum { CHAN_BATCH_MAX = 32 };

/* One byte more than the largest message, so that a longer one is seen and not just cut. */
enum { CHAN_DATAGRAM_MAX = sizeof(struct msg_head) + CHAN_PAYLOAD_MAX + 1 };

/* An unsent message: its bytes follow it. */
struct chan_out {
	struct chan_out *next;
	size_t len;
	unsigned nfds;
	int fds[CHAN_FDS_MAX];
	char bytes[];
};

static void free_out(struct chan *c, struct chan_out *o)
{
	for (unsigned i = 0; i < o->nfds; i++)
		loop_sys_close(c->loop, o->fds[i]);
	free(o);
}

static void drop_queue(struct chan *c)
{
	while (c->q) {
		struct chan_out *o = c->q;

		c->q = o->next;
		free_out(c, o);
	}
	c->q_tail = &c->q;
	c->q_len = 0;
	c->q_bytes = 0;
}

static int init(struct chan *c, struct loop *l, int fd, const struct chan_ops *ops, void *owner)
{
	*c = (struct chan){
		.loop = l,
		.lfd = LFD_INIT,
		.in.kind = OP_CHAN_IN,
		.out.kind = OP_CHAN_OUT,
		.ops = ops,
		.owner = owner,
	};
	c->q_tail = &c->q;
	return loop_add(l, &c->lfd, fd);
}

int chan_init(struct chan *c, struct loop *l, int fd, const struct chan_ops *ops, void *owner)
{
	int err = init(c, l, fd, ops, owner);

	if (!err)
		loop_readable(l, &c->lfd, &c->in);
	return err;
}

int chan_init_oneway(
	struct chan *c, struct loop *l, int fd, const struct chan_ops *ops, void *owner)
{
	int err = init(c, l, fd, ops, owner);

	if (err)
		return err;
	err = loop_sys_shutdown(l, fd, SHUT_RD);
	if (err)
		loop_del(l, &c->lfd);
	return err;
}

void chan_close(struct chan *c)
{
	if (!chan_open(c))
		return;
	loop_close(c->loop, &c->lfd);
	drop_queue(c);
	if (c->closed_in_call)
		*c->closed_in_call = true;
	c->closed_in_call = NULL;
}

bool chan_drained(const struct chan *c)
{
	return c->q_len == 0;
}

/* Receiving. */

static void close_fds(struct loop *l, const int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (fds[i] >= 0)
			loop_sys_close(l, fds[i]);
}

/* Take one datagram from the socket. 1 a good message, 0 the peer's end, else -errno. */
static int recv_one(struct chan *c, char *mem, struct msg *ret_msg)
{
	union chan_control control;
	struct iovec iov = {mem, CHAN_DATAGRAM_MAX};
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room),
	};
	int fds[CHAN_SCM_FDS_MAX];
	unsigned nfds;
	ssize_t n;
	int err;

	n = loop_sys_recvmsg(c->loop, c->lfd.fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n <= 0)
		return (int)n;
	nfds = chan_take_fds(&m, fds);
	if (m.msg_flags & MSG_CTRUNC)
		err = -EMFILE;
	else if (m.msg_flags & MSG_TRUNC)
		err = -EPROTO;
	else
		err = chan_parse(mem, (size_t)n, nfds, ret_msg);
	if (!err && !c->ops->allowed(c, &ret_msg->h, nfds))
		err = -EPROTO;
	if (err) {
		close_fds(c->loop, fds, nfds);
		return err;
	}
	memcpy(ret_msg->fds, fds, nfds * sizeof(int));
	ret_msg->nfds = nfds;
	return 1;
}

void chan_on_in(struct loop *l, struct op *op, int res)
{
	struct chan *c = container_of(op, struct chan, in);
	/* Not zeroed for each message: the kernel fills what is read. */
	char mem[CHAN_DATAGRAM_MAX] __attribute__((uninitialized, aligned(8)));
	bool reset = false, closed = false;
	struct msg m;

	(void)res;
	for (int i = 0; i < CHAN_BATCH_MAX; i++) {
		int got = recv_one(c, mem, &m);

		if (got == 1) {
			c->closed_in_call = &closed;
			c->ops->got(c, &m);
			close_fds(l, m.fds, m.nfds);
			if (closed)
				return;
			c->closed_in_call = NULL;
			continue;
		}
		if (got == -EAGAIN)
			break;
		if (got == -EINTR)
			continue;
		/* A peer that ended with unread messages is told once as a reset; what it sent
		 * before is still there to be read. */
		if (got == -ECONNRESET && !reset) {
			reset = true;
			continue;
		}
		chan_close(c);
		c->ops->gone(c, got == -ECONNRESET ? 0 : got);
		return;
	}
	loop_readable(l, &c->lfd, &c->in);
}

/* Sending. */

/* 0 sent; -EAGAIN the socket is full; -EPIPE the peer is gone (the receiving side says so to the
 * owner); else -errno. */
static int send_now(struct chan *c, struct iovec *iov, size_t iovcnt, const int *fds, unsigned nfds)
{
	union chan_control control;
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = iovcnt};
	ssize_t n;

	chan_put_fds(&m, &control, fds, nfds);
	do
		n = loop_sys_sendmsg(c->loop, c->lfd.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n == -EINTR);
	if (n >= 0)
		return 0;
	if (n == -ECONNRESET || n == -ENOTCONN)
		return -EPIPE;
	/* Too many descriptors under way in this user's sockets, or no memory: the owner decides.
	 */
	if (n == -ETOOMANYREFS || n == -ENOMEM)
		return -ENOBUFS;
	return (int)n;
}

static int enqueue(
	struct chan *c, const struct iovec *iov, size_t iovcnt, const int *fds, unsigned nfds)
{
	struct chan_out *o;
	size_t len = 0;
	char *to;

	for (size_t i = 0; i < iovcnt; i++)
		len += iov[i].iov_len;
	if (c->q_len >= CHAN_QUEUE_MAX || len > CHAN_QUEUE_BYTES_MAX - c->q_bytes)
		return -ENOBUFS;
	o = malloc(sizeof(*o) + len);
	if (!o)
		return -ENOBUFS;
	*o = (struct chan_out){.len = len};
	for (unsigned i = 0; i < nfds; i++) {
		int fd = loop_sys_dup(c->loop, fds[i]);

		if (fd < 0) {
			free_out(c, o);
			return -ENOBUFS;
		}
		o->fds[o->nfds++] = fd;
	}
	to = o->bytes;
	for (size_t i = 0; i < iovcnt; i++) {
		if (iov[i].iov_len)
			memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
	*c->q_tail = o;
	c->q_tail = &o->next;
	c->q_len++;
	c->q_bytes += len;
	if (c->out.state == 0)
		loop_writable(c->loop, &c->lfd, &c->out);
	return 0;
}

int chan_send(struct chan *c, uint16_t type, uint64_t id, const void *a, size_t a_len,
	const void *b, size_t b_len, const int *fds, unsigned nfds)
{
	struct msg_head head = {
		.len = (uint32_t)(a_len + b_len), .type = type, .major = 1, .id = id};
	struct iovec iov[3] = {
		{&head, sizeof(head)}, {(void *)a, a ? a_len : 0}, {(void *)b, b ? b_len : 0}};
	int err;

	if (a_len > CHAN_PAYLOAD_MAX || b_len > CHAN_PAYLOAD_MAX - a_len || nfds > CHAN_FDS_MAX)
		return -EMSGSIZE;
	must((a || !a_len) && (b || !b_len));
	if (!chan_open(c))
		return -EPIPE;
	if (c->q)
		return enqueue(c, iov, 3, fds, nfds);
	err = send_now(c, iov, 3, fds, nfds);
	return err == -EAGAIN ? enqueue(c, iov, 3, fds, nfds) : err;
}

void chan_on_out(struct loop *l, struct op *op, int res)
{
	struct chan *c = container_of(op, struct chan, out);

	(void)res;
	while (c->q) {
		struct chan_out *o = c->q;
		struct iovec iov = {o->bytes, o->len};
		int err = send_now(c, &iov, 1, o->fds, o->nfds);

		if (err == -EAGAIN) {
			loop_writable(l, &c->lfd, &c->out);
			return;
		}
		if (err == -EPIPE) {
			drop_queue(c);
			return;
		}
		/* Its owner was told that it is sent, so it may be neither dropped nor kept for
		 * ever: no edge follows an error of this kind. */
		if (err) {
			chan_close(c);
			c->ops->gone(c, err);
			return;
		}
		c->q = o->next;
		if (!c->q)
			c->q_tail = &c->q;
		c->q_len--;
		c->q_bytes -= o->len;
		free_out(c, o);
	}
}
