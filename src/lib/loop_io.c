/*
 * loop_io.c: receiving, sending and accepting: submissions and their turns; the pool of buffers.
 *
 * Called by owners of descriptors and by loop.c when an op's turn comes. Owns nothing but the free
 * buffers. Readiness is remembered per descriptor (lfd.flags), so a request on a kept connection
 * costs one receive and one send: a receive that did not fill its buffer has emptied a stream, and
 * the next byte makes a new edge.
 */
#include "lib/loop_priv.h"
#include "lib/must.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { GATHER_MAX = 2048 };

/* The pool. */

static bool lend(struct loop *l)
{
	if (l->lent)
		return true;
	if (l->bufs_free) {
		l->lent = (char *)l->bufs_free;
		l->bufs_free = l->bufs_free->next;
		l->bufs_free_n--;
		return true;
	}
	l->lent = malloc(LOOP_BUF_BYTES);
	return l->lent != NULL;
}

char *loop_buf_take(struct loop *l, struct op *op)
{
	char *buf = l->lent;

	must(buf && op->buf == buf);
	if (l->bufs_out >= LOOP_BUFS_MAX)
		return NULL;
	l->bufs_out++;
	l->lent = NULL;
	return buf;
}

char *loop_buf_new(struct loop *l)
{
	struct loop_buf *b = l->bufs_free;

	if (l->bufs_out >= LOOP_BUFS_MAX)
		return NULL;
	if (b) {
		l->bufs_free = b->next;
		l->bufs_free_n--;
	} else {
		b = malloc(LOOP_BUF_BYTES);
		if (!b)
			return NULL;
	}
	l->bufs_out++;
	return (char *)b;
}

static void keep_free(struct loop *l, char *buf)
{
	struct loop_buf *b = (struct loop_buf *)buf;

	if (l->bufs_free_n >= LOOP_BUFS_KEEP) {
		free(buf);
		return;
	}
	b->next = l->bufs_free;
	l->bufs_free = b;
	l->bufs_free_n++;
}

void loop_buf_give(struct loop *l, char *buf)
{
	if (!buf)
		return;
	must(l->bufs_out > 0);
	l->bufs_out--;
	keep_free(l, buf);
}

size_t loop_buf_bytes(const struct loop *l)
{
	(void)l;
	return LOOP_BUF_BYTES;
}

void loop_free_bufs(struct loop *l)
{
	free(l->lent);
	while (l->bufs_free) {
		struct loop_buf *b = l->bufs_free;

		l->bufs_free = b->next;
		free(b);
	}
}

/* Errors that the kernel tells once. */

static void keep_errno(struct lfd *f, int err)
{
	if (err > 0 && !(f->flags >> LFD_ERRNO_SHIFT))
		f->flags |= (uint32_t)err << LFD_ERRNO_SHIFT;
}

static int kept_errno(const struct lfd *f)
{
	return (int)(f->flags >> LFD_ERRNO_SHIFT);
}

/* Submissions. */

static void submit_read(struct loop *l, struct lfd *f, struct op *op, enum op_what what)
{
	must(f->fd >= 0 && !f->rd && op->state == OPS_IDLE && op->kind);
	op->what = (uint8_t)what;
	op->lfd = f;
	op->buf = NULL;
	f->rd = op;
	if (f->flags & LFD_READABLE)
		op_queue(l, op);
	else
		op->state = OPS_WAIT;
}

void loop_recv(struct loop *l, struct lfd *f, struct op *op)
{
	submit_read(l, f, op, WHAT_RECV);
}

void loop_readable(struct loop *l, struct lfd *f, struct op *op)
{
	submit_read(l, f, op, WHAT_READABLE);
}

void loop_accept(struct loop *l, struct lfd *f, struct op *op)
{
	submit_read(l, f, op, WHAT_ACCEPT);
}

void loop_recv_cancel(struct loop *l, struct lfd *f)
{
	(void)l;
	if (!f->rd)
		return;
	op_cancel(f->rd);
	f->rd = NULL;
}

void loop_hup(struct loop *l, struct lfd *f, struct op *op)
{
	must(f->fd >= 0 && !f->hup && op->state == OPS_IDLE && op->kind);
	op->what = WHAT_HUP;
	op->lfd = f;
	f->hup = op;
	if (f->flags & (LFD_HUP | LFD_ERR) ||
		(f->flags & (LFD_RDHUP | LFD_RDHUP_TOLD)) == LFD_RDHUP)
		op_queue(l, op);
	else
		op->state = OPS_WAIT;
}

void loop_writable(struct loop *l, struct lfd *f, struct op *op)
{
	must(f->fd >= 0 && !f->wr && op->state == OPS_IDLE && op->kind);
	op->what = WHAT_WRITABLE;
	op->lfd = f;
	f->wr = op;
	if (f->flags & LFD_WRITABLE)
		op_queue(l, op);
	else
		op->state = OPS_WAIT;
}

/* Sending. */

/* Put small pieces together: copying so few bytes costs less than the kernel's way with a vector. */
static size_t gather(char *to, const struct iovec *iov, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		if (iov[i].iov_len > GATHER_MAX - len)
			return 0;
		memcpy(to + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	return len;
}

static ssize_t send_iov(struct loop *l, struct lfd *f, struct send_op *s)
{
	char small[GATHER_MAX] __attribute__((uninitialized));
	struct iovec iov[SEND_IOV_MAX];
	struct msghdr m = {.msg_iov = iov};
	uint64_t skip = s->sent;
	int flags = MSG_NOSIGNAL | (s->more || s->file_len ? MSG_MORE : 0);
	size_t n = 0;
	ssize_t res;

	for (unsigned i = 0; i < s->iovcnt; i++) {
		if (skip >= s->iov[i].iov_len) {
			skip -= s->iov[i].iov_len;
			continue;
		}
		iov[n].iov_base = (char *)s->iov[i].iov_base + skip;
		iov[n++].iov_len = s->iov[i].iov_len - (size_t)skip;
		skip = 0;
	}
	if (f->flags & LFD_NOT_SOCKET)
		return l->be->writev(l, f->fd, iov, (int)n);
	if (n > 1) {
		size_t len = gather(small, iov, n);

		if (len) {
			iov[0] = (struct iovec){small, len};
			n = 1;
		}
	}
	m.msg_iovlen = n;
	/* The kernel takes one piece with less work by its address. */
	res = n == 1 ? l->be->send(l, f->fd, iov[0].iov_base, iov[0].iov_len, flags)
		     : l->be->sendmsg(l, f->fd, &m, flags);
	if (res != -ENOTSOCK)
		return res;
	f->flags |= LFD_NOT_SOCKET;
	return l->be->writev(l, f->fd, iov, (int)n);
}

/* 0 all sent, 1 let others run first, -EAGAIN the socket is full, else -errno. */
static int send_some(struct loop *l, struct lfd *f, struct send_op *s)
{
	uint64_t head = 0, all;
	uint64_t file_once = 0;

	for (unsigned i = 0; i < s->iovcnt; i++)
		head += s->iov[i].iov_len;
	all = head + s->file_len;
	while (s->sent < all) {
		ssize_t n;

		if (s->sent < head) {
			n = send_iov(l, f, s);
		} else {
			uint64_t off = s->sent - head;
			size_t want =
				(size_t)min_of(s->file_len - off, (uint64_t)LOOP_SENDFILE_ONCE);

			if (file_once >= LOOP_SENDFILE_ONCE)
				return 1;
			n = l->be->sendfile(l, f->fd, s->file_fd, s->file_off + off, want);
			/* The file is shorter than it was when its length was promised. */
			if (n == 0)
				return -EIO;
			file_once += n > 0 ? (uint64_t)n : 0;
		}
		if (n == -EINTR)
			continue;
		if (n < 0)
			return (int)n;
		s->sent += (uint64_t)n;
	}
	return 0;
}

static int send_failed(struct lfd *f, int err)
{
	int kept = kept_errno(f);

	keep_errno(f, -err);
	return err == -EPIPE && kept ? -kept : err;
}

int loop_send(struct loop *l, struct lfd *f, struct send_op *s)
{
	int res;

	must(f->fd >= 0 && !f->wr && s->op.state == OPS_IDLE && s->op.kind);
	must(s->iovcnt <= SEND_IOV_MAX);
	s->sent = 0;
	res = f->flags & LFD_FULL ? -EAGAIN : send_some(l, f, s);
	if (res == 0)
		return 0;
	if (res < 0 && res != -EAGAIN)
		return send_failed(f, res);
	s->op.what = WHAT_SEND;
	s->op.lfd = f;
	f->wr = &s->op;
	if (res == 1) {
		op_queue(l, &s->op);
	} else {
		f->flags = (f->flags | LFD_FULL) & ~(uint32_t)LFD_WRITABLE;
		s->op.state = OPS_WAIT;
	}
	return -EINPROGRESS;
}

void loop_send_cancel(struct loop *l, struct lfd *f)
{
	(void)l;
	if (!f->wr)
		return;
	op_cancel(f->wr);
	f->wr = NULL;
}

static void run_send(struct loop *l, struct lfd *f, struct op *op)
{
	int res = send_some(l, f, container_of(op, struct send_op, op));

	if (res == 1) {
		op_queue(l, op);
		return;
	}
	if (res == -EAGAIN) {
		f->flags = (f->flags | LFD_FULL) & ~(uint32_t)LFD_WRITABLE;
		return;
	}
	f->wr = NULL;
	op_complete(l, op, res < 0 ? send_failed(f, res) : 0);
}

/* Receiving. */

static ssize_t recv_once(struct loop *l, struct lfd *f)
{
	ssize_t n = -ENOTSOCK;

	do {
		if (!(f->flags & LFD_NOT_SOCKET))
			n = l->be->recv(l, f->fd, l->lent, LOOP_BUF_BYTES);
		if (n == -ENOTSOCK) {
			f->flags |= LFD_NOT_SOCKET;
			n = l->be->read(l, f->fd, l->lent, LOOP_BUF_BYTES);
		}
	} while (n == -EINTR);
	return n;
}

static void run_recv(struct loop *l, struct lfd *f, struct op *op)
{
	ssize_t n;

	if (!lend(l)) {
		f->rd = NULL;
		op_complete(l, op, -ENOMEM);
		return;
	}
	n = recv_once(l, f);
	if (n == -EAGAIN) {
		f->flags &= ~(uint32_t)LFD_READABLE;
		return;
	}
	/* A short read of a stream emptied it, and what comes now makes a new edge. Once an end or
	 * an error was announced no further edge comes, so then the next receive asks again. */
	if (n > 0 && n < LOOP_BUF_BYTES && !(f->flags & LFD_CLOSING))
		f->flags &= ~(uint32_t)LFD_READABLE;
	if (n < 0)
		keep_errno(f, (int)-n);
	else if (n == 0 && kept_errno(f))
		n = -kept_errno(f);
	f->rd = NULL;
	op->buf = l->lent;
	op->buf_len = LOOP_BUF_BYTES;
	op_complete(l, op, (int)n);
}

const struct sockaddr *loop_accepted_peer(struct loop *l, socklen_t *ret_len)
{
	*ret_len = l->peer_len;
	return (const struct sockaddr *)&l->peer;
}

static void run_accept(struct loop *l, struct lfd *f, struct op *op)
{
	int fd;

	/* A connection that died in the queue is nobody's error. */
	do
		fd = l->be->accept(l, f->fd, &l->peer, &l->peer_len);
	while (fd == -EINTR || fd == -ECONNABORTED);
	if (fd == -EAGAIN) {
		f->flags &= ~(uint32_t)LFD_READABLE;
		return;
	}
	f->rd = NULL;
	l->accepted_fd = fd;
	op_complete(l, op, fd);
	l->accepted_fd = -1;
}

int loop_connect(
	struct loop *l, struct lfd *f, const struct sockaddr *to, socklen_t len, struct op *op)
{
	int fd = l->be->connect(l, to, len), err;

	must(f->fd < 0 && op->state == OPS_IDLE && op->kind);
	if (fd < 0)
		return fd;
	l->accepted_fd = fd;
	err = loop_add(l, f, fd);
	l->accepted_fd = -1;
	if (err) {
		l->be->close(l, fd);
		return err;
	}
	op->what = WHAT_CONNECT;
	op->lfd = f;
	op->state = OPS_WAIT;
	f->wr = op;
	return 0;
}

static void run_connect(struct loop *l, struct lfd *f, struct op *op)
{
	int err = l->be->socket_error(l, f->fd);

	keep_errno(f, err);
	f->wr = NULL;
	op_complete(l, op, -err);
}

static void run_hup(struct loop *l, struct lfd *f, struct op *op)
{
	int res = 1;

	if (f->flags & LFD_ERR && !(f->flags & LFD_NOT_SOCKET))
		keep_errno(f, l->be->socket_error(l, f->fd));
	if (f->flags & (LFD_HUP | LFD_ERR))
		res = -kept_errno(f);
	else if (f->flags & LFD_RDHUP_TOLD)
		return;
	else
		f->flags |= LFD_RDHUP_TOLD;
	f->hup = NULL;
	op_complete(l, op, res);
}

void loop_io_run(struct loop *l, struct op *op)
{
	struct lfd *f = op->lfd;

	must(f && f->fd >= 0);
	switch (op->what) {
	case WHAT_RECV:
		run_recv(l, f, op);
		return;
	case WHAT_SEND:
		run_send(l, f, op);
		return;
	case WHAT_ACCEPT:
		run_accept(l, f, op);
		return;
	case WHAT_HUP:
		run_hup(l, f, op);
		return;
	case WHAT_CONNECT:
		run_connect(l, f, op);
		return;
	case WHAT_READABLE:
		/* Forgotten now, and remembered again by each raw read that yields something: an
		 * owner that reads until EAGAIN waits for an edge, one that stops earlier is called
		 * again. */
		f->flags &= ~(uint32_t)LFD_READABLE;
		f->rd = NULL;
		op_complete(l, op, 0);
		return;
	case WHAT_WRITABLE:
		f->flags &= ~(uint32_t)LFD_WRITABLE;
		f->wr = NULL;
		op_complete(l, op, 0);
		return;
	case WHAT_JUMP_FD: {
		uint64_t unused;

		/* Told by an error (ECANCELED); reading clears it, setting it anew watches on. */
		(void)l->be->read(l, f->fd, &unused, sizeof(unused));
		f->flags &= ~(uint32_t)LFD_READABLE;
		f->rd = op;
		op->state = OPS_WAIT;
		(void)l->be->watch_clock(l);
		loop_clock_was_set(l);
		return;
	}
	default:
		must(op->what == WHAT_NONE && false);
	}
}
