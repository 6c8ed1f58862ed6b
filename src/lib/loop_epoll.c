/*
 * loop_epoll.c: the loop on the kernel's epoll, edge-triggered.
 *
 * Reached through loop.c only. Owns the epoll descriptor and the timerfd that notices a set clock.
 * Each descriptor is registered once, for everything; there is no epoll_ctl per request.
 * Descriptors are deregistered before they are closed, because another process may hold the same
 * open file, which would keep the registration alive.
 */
#include "lib/loop_priv.h"
#include "lib/must.h"
#include "lib/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 512 };

struct epoll_backend {
	int fd;
	struct epoll_event events[EVENTS_MAX];
};

static int epoll_fd(const struct loop *l)
{
	return ((struct epoll_backend *)l->backend)->fd;
}

static ssize_t or_errno(ssize_t res)
{
	return res < 0 ? -errno : res;
}

static void ep_free(struct loop *l)
{
	close(epoll_fd(l));
	free(l->backend);
}

/* A listening socket that several gates share is not watched with EPOLLEXCLUSIVE. The kernel then
 * wakes the first waiter only, which with two idle gates is always the same one: of 200 connections
 * opened in a row it got 188 to 200, and without it 94 to 169. A process that was woken and closes
 * the listener or dies before it accepts would leave the connection waiting for the next one. What
 * it saves is one accept4() in vain: about 5 % of the rate when every connection is new. */
static int ep_watch(struct loop *l, int fd, uint32_t generation)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.u64 = (uint64_t)generation << 32 | (uint32_t)fd,
	};

	return (int)or_errno(epoll_ctl(epoll_fd(l), EPOLL_CTL_ADD, fd, &ev));
}

static void ep_unwatch(struct loop *l, int fd)
{
	epoll_ctl(epoll_fd(l), EPOLL_CTL_DEL, fd, NULL);
}

/* Whole milliseconds by the old call, which every kernel and sandbox has; less than one by the new.
 */
static int wait_for(struct epoll_backend *ep, int64_t us)
{
	struct timespec ts = {0, us % 1000 * 1000};
	int n;

	if (us > 0 && us < 1000) {
		n = epoll_pwait2(ep->fd, ep->events, EVENTS_MAX, &ts, NULL);
		if (n >= 0 || errno != ENOSYS)
			return n;
	}
	return epoll_wait(ep->fd, ep->events, EVENTS_MAX,
		us < 0 ? -1 : (int)min_of((us + 999) / 1000, (int64_t)INT_MAX));
}

static int ep_wait(struct loop *l, int64_t timeout_us)
{
	struct epoll_backend *ep = l->backend;
	int n = wait_for(ep, timeout_us);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		const struct epoll_event *ev = &ep->events[i];
		uint32_t flags = 0;

		if (ev->events & (EPOLLIN | EPOLLPRI))
			flags |= LFD_READABLE;
		if (ev->events & EPOLLOUT)
			flags |= LFD_WRITABLE;
		if (ev->events & EPOLLRDHUP)
			flags |= LFD_RDHUP;
		if (ev->events & EPOLLHUP)
			flags |= LFD_HUP;
		if (ev->events & EPOLLERR)
			flags |= LFD_ERR;
		loop_note(l, (int)(uint32_t)ev->data.u64, (uint32_t)(ev->data.u64 >> 32), flags);
	}
	return 0;
}

static uint64_t clock_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t ep_mono_us(struct loop *l)
{
	(void)l;
	return clock_us(CLOCK_MONOTONIC);
}

static uint64_t ep_wall_us(struct loop *l)
{
	(void)l;
	return clock_us(CLOCK_REALTIME);
}

/* A timer on the wall clock that never runs out; the kernel cancels it when the clock is set. */
static int ep_watch_clock(struct loop *l)
{
	struct itimerspec never = {.it_value.tv_sec = (time_t)0x7fffffffffff};
	int err = 0;
	int fd = l->jump_lfd.fd;

	if (fd < 0) {
		fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
		if (fd < 0)
			return -errno;
		err = loop_add(l, &l->jump_lfd, fd);
		if (err) {
			close(fd);
			return err;
		}
		l->jump_op =
			(struct op){.what = WHAT_JUMP_FD, .state = OPS_WAIT, .lfd = &l->jump_lfd};
		l->jump_lfd.rd = &l->jump_op;
	}
	if (timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0)
		err = errno == ECANCELED ? 0 : -errno;
	return err;
}

static ssize_t ep_recv(struct loop *l, int fd, void *p, size_t n)
{
	(void)l;
	return or_errno(recv(fd, p, n, 0));
}

static ssize_t ep_send(struct loop *l, int fd, const void *p, size_t n, int flags)
{
	(void)l;
	return or_errno(send(fd, p, n, flags));
}

static ssize_t ep_read(struct loop *l, int fd, void *p, size_t n)
{
	(void)l;
	return or_errno(read(fd, p, n));
}

static ssize_t ep_write(struct loop *l, int fd, const void *p, size_t n)
{
	(void)l;
	return or_errno(write(fd, p, n));
}

static ssize_t ep_writev(struct loop *l, int fd, const struct iovec *iov, int n)
{
	(void)l;
	return or_errno(writev(fd, iov, n));
}

static ssize_t ep_recvmsg(struct loop *l, int fd, struct msghdr *m, int flags)
{
	(void)l;
	return or_errno(recvmsg(fd, m, flags));
}

static ssize_t ep_sendmsg(struct loop *l, int fd, const struct msghdr *m, int flags)
{
	(void)l;
	return or_errno(sendmsg(fd, m, flags));
}

static ssize_t ep_sendfile(struct loop *l, int fd, int file_fd, uint64_t off, size_t n)
{
	off_t at = (off_t)off;

	(void)l;
	return or_errno(sendfile(fd, file_fd, &at, n));
}

static int ep_accept(struct loop *l, int fd, struct sockaddr_storage *ret_peer, socklen_t *ret_len)
{
	(void)l;
	*ret_len = sizeof(*ret_peer);
	return (int)or_errno(
		accept4(fd, (struct sockaddr *)ret_peer, ret_len, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

/* Small pieces of a stream leave at once: what can be put together was, before it was sent. */
static int ep_connect(struct loop *l, const struct sockaddr *to, socklen_t len)
{
	int on = 1, fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)l;
	if (fd < 0)
		return -errno;
	if (to->sa_family != AF_UNIX) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	}
	if (connect(fd, to, len) < 0 && errno != EINPROGRESS) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static int ep_socket_error(struct loop *l, int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);

	(void)l;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 ? 0 : err;
}

static int ep_nonblock(struct loop *l, int fd)
{
	(void)l;
	return sys_nonblock(fd, true);
}

static int ep_shutdown(struct loop *l, int fd, int how)
{
	(void)l;
	return (int)or_errno(shutdown(fd, how));
}

static void ep_close(struct loop *l, int fd)
{
	(void)l;
	close(fd);
}

static int ep_pipe(struct loop *l, int ret_fds[2])
{
	(void)l;
	return (int)or_errno(pipe2(ret_fds, O_CLOEXEC | O_NONBLOCK));
}

static int ep_socketpair(struct loop *l, int ret_fds[2])
{
	(void)l;
	return sys_socketpair_seqpacket(ret_fds);
}

static int ep_dup(struct loop *l, int fd)
{
	(void)l;
	return (int)or_errno(fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

static const struct loop_backend epoll_backend = {
	.free = ep_free,
	.watch = ep_watch,
	.unwatch = ep_unwatch,
	.wait = ep_wait,
	.mono_us = ep_mono_us,
	.wall_us = ep_wall_us,
	.watch_clock = ep_watch_clock,
	.recv = ep_recv,
	.send = ep_send,
	.read = ep_read,
	.write = ep_write,
	.writev = ep_writev,
	.recvmsg = ep_recvmsg,
	.sendmsg = ep_sendmsg,
	.sendfile = ep_sendfile,
	.accept = ep_accept,
	.connect = ep_connect,
	.socket_error = ep_socket_error,
	.nonblock = ep_nonblock,
	.shutdown = ep_shutdown,
	.close = ep_close,
	.pipe = ep_pipe,
	.socketpair = ep_socketpair,
	.dup = ep_dup,
};

int loop_new_epoll(struct loop **ret_loop, op_done *const *table, unsigned kinds)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct epoll_backend *ep = malloc(sizeof(*ep));
	struct loop *l = calloc(1, sizeof(*l));
	int err = -ENOMEM;

	if (!ep || !l)
		goto fail;
	ep->fd = epoll_create1(EPOLL_CLOEXEC);
	if (ep->fd < 0) {
		err = -errno;
		goto fail;
	}
	sigaction(SIGPIPE, &ignore, NULL);
	loop_init(l, &epoll_backend, ep, 0, table, kinds);
	*ret_loop = l;
	return 0;
fail:
	free(ep);
	free(l);
	return err;
}
