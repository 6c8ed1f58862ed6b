/*
 * chan_blocking.c: a datagram of a channel, taken apart and put together; and the blocking channel
 * of one-shot processes, which have no loop.
 *
 * Called by chan.c and by check, db, build and act. Owns nothing: descriptors received are the
 * message's, and those of a refused message are closed here.
 */
#include "lib/chan_priv.h"
#include "lib/must.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* Is this the head of a datagram of n bytes with so many descriptors? */
static int check_head(const struct msg_head *h, size_t n, unsigned nfds)
{
	if (h->len > CHAN_PAYLOAD_MAX || h->len != n - sizeof(*h) || h->type == 0 || h->major == 0)
		return -EPROTO;
	return nfds > CHAN_FDS_MAX ? -EPROTO : 0;
}

int chan_parse(const void *p, size_t n, unsigned nfds, struct msg *ret_msg)
{
	struct msg_head h;
	int err;

	if (n < sizeof(h))
		return -EPROTO;
	memcpy(&h, p, sizeof(h));
	err = check_head(&h, n, nfds);
	if (err)
		return err;
	ret_msg->h = h;
	ret_msg->payload = (const char *)p + sizeof(h);
	return 0;
}

int msg_take_fd(struct msg *m, unsigned i)
{
	int fd;

	if (i >= m->nfds)
		return -1;
	fd = m->fds[i];
	m->fds[i] = -1;
	return fd;
}

int msg_get(const struct msg *m, void *ret_struct, size_t bytes, size_t bytes_min)
{
	size_t n = min_of(bytes, (size_t)m->h.len);

	if (m->h.len < bytes_min)
		return -EPROTO;
	memset(ret_struct, 0, bytes);
	if (n)
		memcpy(ret_struct, m->payload, n);
	return 0;
}

const char *msg_tail(const struct msg *m, size_t struct_bytes, size_t *ret_n)
{
	if (m->h.len <= struct_bytes) {
		*ret_n = 0;
		return "";
	}
	*ret_n = m->h.len - struct_bytes;
	return (const char *)m->payload + struct_bytes;
}

unsigned chan_take_fds(struct msghdr *m, int *fds)
{
	unsigned n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t bytes;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		bytes = c->cmsg_len - CMSG_LEN(0);
		must(bytes / sizeof(int) + n <= CHAN_SCM_FDS_MAX);
		memcpy(fds + n, CMSG_DATA(c), bytes / sizeof(int) * sizeof(int));
		n += (unsigned)(bytes / sizeof(int));
	}
	return n;
}

void chan_put_fds(struct msghdr *m, union chan_control *control, const int *fds, unsigned nfds)
{
	struct cmsghdr *c;

	if (nfds == 0)
		return;
	/* The padding behind the descriptors goes to the kernel too. */
	memset(control, 0, CMSG_SPACE(nfds * sizeof(int)));
	m->msg_control = control->room;
	m->msg_controllen = CMSG_SPACE(nfds * sizeof(int));
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
	memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
}

/* Wait where someone made the descriptor non-blocking. */
static int wait_for(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	if (poll(&p, 1, -1) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

/* A peer that ended with our last words unread is told once as ECONNRESET; what it sent before
 * still lies behind that, so the call is made again. */
static ssize_t recv_retrying(int fd, struct msghdr *m)
{
	bool reset = false;

	for (;;) {
		ssize_t n = recvmsg(fd, m, MSG_CMSG_CLOEXEC);
		int err = errno;

		if (n >= 0)
			return n;
		if (err == EINTR)
			continue;
		if (err == ECONNRESET && !reset) {
			reset = true;
			continue;
		}
		if (err != EAGAIN)
			return err == ECONNRESET ? 0 : -err;
		err = wait_for(fd, POLLIN);
		if (err)
			return err;
	}
}

int chan_recv_blocking(int fd, struct msg *ret_msg, void *mem)
{
	struct msg_head head;
	union chan_control control;
	struct iovec iov[2] = {{&head, sizeof(head)}, {mem, CHAN_PAYLOAD_MAX}};
	struct msghdr m = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room),
	};
	int fds[CHAN_SCM_FDS_MAX];
	unsigned nfds;
	ssize_t n = recv_retrying(fd, &m);
	int err = 0;

	if (n < 0)
		return (int)n;
	if (n == 0)
		return -EPIPE;
	nfds = chan_take_fds(&m, fds);
	if (m.msg_flags & MSG_CTRUNC)
		err = -EMFILE;
	if (!err && (m.msg_flags & MSG_TRUNC || (size_t)n < sizeof(head)))
		err = -EPROTO;
	if (!err)
		err = check_head(&head, (size_t)n, nfds);
	if (err) {
		for (unsigned i = 0; i < nfds; i++)
			close(fds[i]);
		return err;
	}
	ret_msg->h = head;
	ret_msg->payload = mem;
	ret_msg->nfds = nfds;
	memcpy(ret_msg->fds, fds, nfds * sizeof(int));
	return 0;
}

int chan_send_blocking(int fd, uint16_t type, uint64_t id, const void *a, size_t a_len,
	const void *b, size_t b_len, const int *fds, unsigned nfds)
{
	struct msg_head head = {
		.len = (uint32_t)(a_len + b_len), .type = type, .major = 1, .id = id};
	struct iovec iov[3] = {
		{&head, sizeof(head)}, {(void *)a, a ? a_len : 0}, {(void *)b, b ? b_len : 0}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 3};
	union chan_control control;

	if (a_len > CHAN_PAYLOAD_MAX || b_len > CHAN_PAYLOAD_MAX - a_len || nfds > CHAN_FDS_MAX)
		return -EMSGSIZE;
	chan_put_fds(&m, &control, fds, nfds);
	for (;;) {
		int err;

		if (sendmsg(fd, &m, MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno == EPIPE || errno == ECONNRESET)
			return -EPIPE;
		if (errno != EAGAIN)
			return -errno;
		err = wait_for(fd, POLLOUT);
		if (err)
			return err;
	}
}
