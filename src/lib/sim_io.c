/*
 * sim_io.c: what goes through simulated sockets and pipes, and how it goes wrong.
 *
 * Called by tests, sim.c and loop_sim.c. Owns the bytes and messages under way. It keeps what the
 * kernel promises and the loop relies on: a short read of a stream has emptied it, a full socket
 * that has room again makes an edge, an end comes behind all data. It promises nothing else.
 */
#include "lib/sim_priv.h"
#include "lib/must.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Queues. */

static void message_free(struct sim *s, struct sim_message *m)
{
	for (unsigned i = 0; i < m->nfds; i++) {
		if (m->fds[i].file)
			sim_file_unref(s, m->fds[i].file);
		else if (m->fds[i].real_fd >= 0)
			close(m->fds[i].real_fd);
	}
	free(m);
}

void sim_queue_done(struct sim *s, struct sim_queue *q)
{
	while (q->first) {
		struct sim_message *m = q->first;

		q->first = m->next;
		message_free(s, m);
	}
	q->last = &q->first;
	free(q->bytes);
	q->bytes = NULL;
	q->len = q->arrived = q->weight = 0;
	q->due_us = 0;
}

/* Something was added to what `reader` will read: it arrives now, or begins to arrive later. */
static void queue_added(struct sim *s, struct sim_file *reader)
{
	struct sim_queue *q = &reader->in;

	if (q->due_us)
		return;
	if (sim_chance(s, s->o.pieces_permille) || s->o.latency_us_max) {
		q->due_us = s->now_us + sim_below(s, s->o.latency_us_max + 1);
		return;
	}
	q->arrived = q->len;
	q->fin_arrived = q->fin;
	sim_edge(s, reader);
}

void sim_queue_arrive(struct sim *s, struct sim_file *reader)
{
	struct sim_queue *q = &reader->in;
	size_t under_way = q->len - q->arrived;

	q->due_us = 0;
	if (under_way && sim_chance(s, s->o.pieces_permille))
		under_way = 1 + (size_t)sim_below(s, under_way);
	q->arrived += under_way;
	if (q->arrived < q->len)
		q->due_us = s->now_us + 1 + sim_below(s, s->o.latency_us_max + 1);
	else
		q->fin_arrived = q->fin;
	sim_edge(s, reader);
}

void sim_queue_put_end(struct sim *s, struct sim_file *reader)
{
	if (reader->in.fin)
		return;
	reader->in.fin = true;
	queue_added(s, reader);
}

void sim_queue_lose_unarrived(struct sim *s, struct sim_queue *q)
{
	(void)s;
	must(!q->first);
	q->len = q->weight = q->arrived;
	q->due_us = 0;
	/* An end that was under way is lost too; the one that the reset makes is put behind. */
	if (!q->fin_arrived)
		q->fin = false;
}

/* Room was made in what f reads: its peer may write on. */
static void queue_taken(struct sim *s, struct sim_file *f)
{
	if (f->in.writer_waits && f->peer) {
		f->in.writer_waits = false;
		sim_edge(s, f->peer);
	}
}

/* Writing. */

/* 0 may write, else -errno. */
static int may_write(struct sim *s, struct sim_file *f)
{
	if (f->kind == SIM_PIPE_IN || f->kind == SIM_LISTENER)
		return -EBADF;
	if (f->err && f->kind != SIM_PIPE_OUT) {
		int err = f->err;

		f->err = 0;
		return -err;
	}
	if (f->shut_write || (f->peer && f->peer->shut_read))
		return -EPIPE;
	if (!f->peer)
		return -EPIPE;
	if (f->poke_us)
		return -EAGAIN;
	if (sim_chance(s, s->o.refuse_permille)) {
		f->poke_us = s->now_us + 1 + sim_below(s, s->o.latency_us_max + 1);
		/* The other side may be full too when the refusal is over; then the room tells. */
		f->peer->in.writer_waits = true;
		return -EAGAIN;
	}
	return 0;
}

static size_t iov_bytes(const struct msghdr *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->msg_iovlen; i++)
		n += m->msg_iov[i].iov_len;
	return n;
}

/* The first n bytes of the message's buffers to `to`. */
static void iov_gather(const struct msghdr *m, char *to, size_t n)
{
	for (size_t i = 0; i < m->msg_iovlen && n; i++) {
		size_t part = min_of(n, m->msg_iov[i].iov_len);

		if (part)
			memcpy(to, m->msg_iov[i].iov_base, part);
		to += part;
		n -= part;
	}
}

static size_t iov_scatter(const struct msghdr *m, const char *from, size_t n)
{
	size_t done = 0;

	for (size_t i = 0; i < m->msg_iovlen && done < n; i++) {
		size_t part = min_of(n - done, m->msg_iov[i].iov_len);

		if (part)
			memcpy(m->msg_iov[i].iov_base, from + done, part);
		done += part;
	}
	return done;
}

static ssize_t write_bytes(struct sim *s, struct sim_file *f, const struct msghdr *m)
{
	struct sim_queue *q = &f->peer->in;
	size_t n = iov_bytes(m), room = s->o.stream_bytes - q->len;

	if (n == 0)
		return 0;
	if (room == 0) {
		q->writer_waits = true;
		return -EAGAIN;
	}
	if (!q->bytes) {
		q->bytes = malloc(s->o.stream_bytes);
		if (!q->bytes)
			return -ENOMEM;
	}
	if (n > room) {
		n = room;
		/* As in the kernel: who was told of a partial write hears of the room that comes.
		 */
		q->writer_waits = true;
	}
	if (sim_chance(s, s->o.short_permille))
		n = 1 + (size_t)sim_below(s, n);
	iov_gather(m, q->bytes + q->len, n);
	q->len += n;
	q->weight = q->len;
	queue_added(s, f->peer);
	return (ssize_t)n;
}

/* Duplicate what the sender passes into the message. */
static int pass_fds(struct sim *s, struct sim_message *out, const struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR((struct msghdr *)m, c)) {
		const int *fds = (const int *)(const void *)CMSG_DATA(c);
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			return -EINVAL;
		for (size_t i = 0; i < n; i++) {
			struct sim_passed *p = &out->fds[out->nfds];

			if (out->nfds == SIM_PASSED_MAX)
				return -EINVAL;
			*p = (struct sim_passed){.file = sim_file_of(s, fds[i]), .real_fd = -1};
			if (p->file) {
				sim_file_ref(p->file);
			} else {
				p->real_fd = fds[i] < SIM_FD_BASE
						     ? fcntl(fds[i], F_DUPFD_CLOEXEC, 3)
						     : -1;
				if (p->real_fd < 0)
					return -EBADF;
			}
			out->nfds++;
		}
	}
	return 0;
}

static ssize_t write_message(struct sim *s, struct sim_file *f, const struct msghdr *m)
{
	struct sim_queue *q = &f->peer->in;
	size_t n = iov_bytes(m);
	struct sim_message *out;
	int err;

	/* The bound is at least one of the largest messages, however small the streams are. */
	if (q->len && q->weight + n > s->o.stream_bytes) {
		q->writer_waits = true;
		return -EAGAIN;
	}
	out = calloc(1, sizeof(*out) + n);
	if (!out)
		return -ENOMEM;
	err = pass_fds(s, out, m);
	if (err) {
		message_free(s, out);
		return err;
	}
	out->len = n;
	iov_gather(m, out->bytes, n);
	*q->last = out;
	q->last = &out->next;
	q->len++;
	q->weight += n;
	queue_added(s, f->peer);
	return (ssize_t)n;
}

ssize_t sim_sendmsg(struct sim *s, int fd, const struct msghdr *m, int flags)
{
	struct sim_file *f = sim_file_of(s, fd);
	int err;

	(void)flags;
	if (!f)
		return -EBADF;
	err = may_write(s, f);
	if (err)
		return err;
	return f->kind == SIM_SEQPACKET ? write_message(s, f, m) : write_bytes(s, f, m);
}

ssize_t sim_write(struct sim *s, int fd, const void *p, size_t n)
{
	struct iovec iov = {(void *)p, n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd < SIM_FD_BASE) {
		ssize_t put = write(fd, p, n);

		return put < 0 ? -errno : put;
	}
	return sim_sendmsg(s, fd, &m, 0);
}

/* Reading. */

static ssize_t read_bytes(struct sim *s, struct sim_file *f, struct msghdr *m, bool peek)
{
	struct sim_queue *q = &f->in;
	size_t n = iov_scatter(m, q->bytes, q->arrived);

	if (peek)
		return (ssize_t)n;
	memmove(q->bytes, q->bytes + n, q->len - n);
	q->len -= n;
	q->arrived -= n;
	q->weight = q->len;
	if (n)
		queue_taken(s, f);
	return (ssize_t)n;
}

/* A descriptor of this world (or a real one) for what lay in a message; -1: there is none left. */
static int unpass_fd(struct sim *s, struct sim_passed *p)
{
	int fd = p->real_fd;

	if (p->file) {
		fd = sim_fd_new(s, p->file);
		sim_file_unref(s, p->file);
	}
	*p = (struct sim_passed){.real_fd = -1};
	return fd;
}

static void take_fds(struct sim *s, struct sim_message *in, struct msghdr *m)
{
	size_t room = m->msg_controllen >= CMSG_LEN(0)
			      ? (m->msg_controllen - CMSG_LEN(0)) / sizeof(int)
			      : 0;
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	unsigned n = 0;

	for (unsigned i = 0; i < in->nfds && n < room; i++) {
		int fd = unpass_fd(s, &in->fds[i]);

		if (fd < 0)
			break;
		memcpy(CMSG_DATA(c) + n++ * sizeof(int), &fd, sizeof(fd));
	}
	if (n < in->nfds)
		m->msg_flags |= MSG_CTRUNC;
	if (n == 0) {
		m->msg_controllen = 0;
		return;
	}
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	m->msg_controllen = CMSG_SPACE(n * sizeof(int));
}

static ssize_t read_message(struct sim *s, struct sim_file *f, struct msghdr *m)
{
	struct sim_queue *q = &f->in;
	struct sim_message *in = q->first;
	size_t n = iov_scatter(m, in->bytes, in->len);

	if (n < in->len)
		m->msg_flags |= MSG_TRUNC;
	q->first = in->next;
	if (!q->first)
		q->last = &q->first;
	q->len--;
	q->arrived--;
	q->weight -= in->len;
	take_fds(s, in, m);
	message_free(s, in);
	queue_taken(s, f);
	return (ssize_t)n;
}

ssize_t sim_recvmsg(struct sim *s, int fd, struct msghdr *m, int flags)
{
	struct sim_file *f = sim_file_of(s, fd);
	int err;

	m->msg_flags = 0;
	if (!f || f->kind == SIM_LISTENER || f->kind == SIM_PIPE_OUT)
		return -EBADF;
	err = f->err;
	/* The error comes before the messages of a SEQPACKET socket, but behind the bytes of a
	 * stream. */
	if (err && (f->kind == SIM_SEQPACKET || !f->in.arrived)) {
		f->err = 0;
		return -err;
	}
	if (!f->in.arrived || f->shut_read) {
		m->msg_controllen = 0;
		return f->in.fin_arrived || f->shut_read ? 0 : -EAGAIN;
	}
	if (f->kind == SIM_SEQPACKET)
		return read_message(s, f, m);
	m->msg_controllen = 0;
	return read_bytes(s, f, m, flags & MSG_PEEK);
}

ssize_t sim_read(struct sim *s, int fd, void *p, size_t n)
{
	struct iovec iov = {p, n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd < SIM_FD_BASE) {
		ssize_t got = read(fd, p, n);

		return got < 0 ? -errno : got;
	}
	return sim_recvmsg(s, fd, &m, 0);
}

int sim_shutdown(struct sim *s, int fd, int how)
{
	struct sim_file *f = sim_file_of(s, fd);

	if (!f)
		return -EBADF;
	if (f->kind != SIM_STREAM && f->kind != SIM_SEQPACKET)
		return -ENOTSOCK;
	if (how == SHUT_RD || how == SHUT_RDWR) {
		f->shut_read = true;
		sim_edge(s, f);
	}
	if ((how == SHUT_WR || how == SHUT_RDWR) && !f->shut_write) {
		f->shut_write = true;
		if (f->peer)
			sim_queue_put_end(s, f->peer);
	}
	return 0;
}
