/*
 * loop_sim.c: the loop in the simulated world of sim.c.
 *
 * Reached through loop.c only. Owns nothing but the link between a loop and its world. A loop that
 * is stepped by hand with a timeout lets virtual time pass by itself; in a world with several loops
 * sim_step() does that.
 */
#include "lib/must.h"
#include "lib/sim_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct sim *world(struct loop *l)
{
	return l->backend;
}

static void sm_free(struct loop *l)
{
	struct sim *s = world(l);
	unsigned i = 0;

	for (unsigned fd = 0; fd < s->fds_n; fd++)
		if (s->fds[fd].loop == l)
			s->fds[fd].loop = NULL;
	while (i < s->loops_n && s->loops[i] != l)
		i++;
	must(i < s->loops_n);
	memmove(s->loops + i, s->loops + i + 1, (s->loops_n - i - 1) * sizeof(s->loops[0]));
	s->loops_n--;
}

static int sm_watch(struct loop *l, int fd, uint32_t generation)
{
	struct sim_fd *d = sim_fd_of(world(l), fd);

	if (!d)
		return -EBADF;
	if (d->loop)
		return -EEXIST;
	d->loop = l;
	d->generation = generation;
	d->pending = true;
	return 0;
}

static void sm_unwatch(struct loop *l, int fd)
{
	struct sim_fd *d = sim_fd_of(world(l), fd);

	if (d && d->loop == l) {
		d->loop = NULL;
		d->pending = false;
	}
}

/* Tell the loop of its pending descriptors, in any order, and of some not yet. How many were told.
 */
static unsigned tell_pending(struct sim *s, struct loop *l)
{
	int fds[512];
	unsigned n = 0, told = 0;

	for (unsigned i = 0; i < s->fds_n && n < ARRAY_LEN(fds); i++)
		if (s->fds[i].loop == l && s->fds[i].pending)
			fds[n++] = (int)i;
	for (unsigned i = 0; i < n; i++) {
		unsigned pick = i + (unsigned)sim_below(s, n - i);
		struct sim_fd *d;
		uint32_t flags;
		int at = fds[pick];

		fds[pick] = fds[i];
		d = &s->fds[at];
		if (told && sim_chance(s, s->o.reorder_permille))
			continue;
		d->pending = false;
		flags = sim_readiness(d->file, sim_capacity(s));
		told++;
		if (flags)
			loop_note(l, SIM_FD_BASE + at, d->generation, flags);
	}
	return told;
}

static int sm_wait(struct loop *l, int64_t timeout_us)
{
	struct sim *s = world(l);
	uint64_t until = timeout_us < 0 ? UINT64_MAX : s->now_us + (uint64_t)timeout_us;

	for (;;) {
		uint64_t next;

		sim_arrive(s);
		if (tell_pending(s, l) || until <= s->now_us)
			return 0;
		next = min_of(sim_next_due_us(s), until);
		if (next == UINT64_MAX)
			return -EDEADLK;
		s->now_us = max_of(s->now_us, next);
	}
}

static uint64_t sm_mono_us(struct loop *l)
{
	return world(l)->now_us;
}

static uint64_t sm_wall_us(struct loop *l)
{
	return (uint64_t)((int64_t)world(l)->now_us + world(l)->wall_offset_us);
}

static int sm_watch_clock(struct loop *l)
{
	(void)l;
	return 0;
}

static bool is_pipe(struct loop *l, int fd)
{
	struct sim_file *f = sim_file_of(world(l), fd);

	return f && (f->kind == SIM_PIPE_IN || f->kind == SIM_PIPE_OUT);
}

static ssize_t sm_read(struct loop *l, int fd, void *p, size_t n)
{
	return sim_read(world(l), fd, p, n);
}

static ssize_t sm_recv(struct loop *l, int fd, void *p, size_t n)
{
	return is_pipe(l, fd) ? -ENOTSOCK : sim_read(world(l), fd, p, n);
}

static ssize_t sm_write(struct loop *l, int fd, const void *p, size_t n)
{
	return sim_write(world(l), fd, p, n);
}

static ssize_t sm_writev(struct loop *l, int fd, const struct iovec *iov, int n)
{
	struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};

	return sim_sendmsg(world(l), fd, &m, 0);
}

static ssize_t sm_send(struct loop *l, int fd, const void *p, size_t n, int flags)
{
	(void)flags;
	return is_pipe(l, fd) ? -ENOTSOCK : sim_write(world(l), fd, p, n);
}

static ssize_t sm_recvmsg(struct loop *l, int fd, struct msghdr *m, int flags)
{
	return is_pipe(l, fd) ? -ENOTSOCK : sim_recvmsg(world(l), fd, m, flags);
}

static ssize_t sm_sendmsg(struct loop *l, int fd, const struct msghdr *m, int flags)
{
	return is_pipe(l, fd) ? -ENOTSOCK : sim_sendmsg(world(l), fd, m, flags);
}

static ssize_t sm_sendfile(struct loop *l, int fd, int file_fd, uint64_t off, size_t n)
{
	char part[4096];
	ssize_t got = pread(file_fd, part, min_of(n, sizeof(part)), (off_t)off);

	if (got <= 0)
		return got < 0 ? -errno : 0;
	return sim_write(world(l), fd, part, (size_t)got);
}

static int sm_accept(struct loop *l, int fd, struct sockaddr_storage *ret_peer, socklen_t *ret_len)
{
	struct sim *s = world(l);
	struct sim_file *f = sim_file_of(s, fd), *got;
	struct sockaddr_in peer = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int new_fd;

	if (!f || f->kind != SIM_LISTENER)
		return -EINVAL;
	if (f->backlog_n == 0)
		return -EAGAIN;
	if (sim_chance(s, s->o.emfile_permille))
		return -EMFILE;
	got = f->backlog[0];
	new_fd = sim_fd_new(s, got);
	if (new_fd < 0)
		return new_fd;
	f->backlog_n--;
	memmove(f->backlog, f->backlog + 1, f->backlog_n * sizeof(f->backlog[0]));
	sim_file_unref(s, got);
	peer.sin_port = htons(s->next_port++);
	memcpy(ret_peer, &peer, sizeof(peer));
	*ret_len = sizeof(peer);
	return new_fd;
}

/* In this world a server's port is its listener's number. */
static int sm_connect(struct loop *l, const struct sockaddr *to, socklen_t len)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)to;

	if (len < sizeof(*v4) || to->sa_family != AF_INET)
		return -EAFNOSUPPORT;
	return sim_connect(world(l), SIM_FD_BASE + ntohs(v4->sin_port));
}

static int sm_socket_error(struct loop *l, int fd)
{
	struct sim_file *f = sim_file_of(world(l), fd);
	int err = f ? f->err : 0;

	if (f)
		f->err = 0;
	return err;
}

static int sm_nonblock(struct loop *l, int fd)
{
	return sim_fd_of(world(l), fd) ? 0 : -EBADF;
}

static int sm_shutdown(struct loop *l, int fd, int how)
{
	return sim_shutdown(world(l), fd, how);
}

static void sm_close(struct loop *l, int fd)
{
	if (fd < SIM_FD_BASE)
		close(fd);
	else
		sim_close(world(l), fd);
}

static int sm_pipe(struct loop *l, int ret_fds[2])
{
	return sim_pipe(world(l), ret_fds);
}

static int sm_socketpair(struct loop *l, int ret_fds[2])
{
	return sim_seqpacket_pair(world(l), ret_fds);
}

static int sm_dup(struct loop *l, int fd)
{
	return sim_dup(world(l), fd);
}

static const struct loop_backend sim_backend = {
	.free = sm_free,
	.watch = sm_watch,
	.unwatch = sm_unwatch,
	.wait = sm_wait,
	.mono_us = sm_mono_us,
	.wall_us = sm_wall_us,
	.watch_clock = sm_watch_clock,
	.recv = sm_recv,
	.send = sm_send,
	.read = sm_read,
	.write = sm_write,
	.writev = sm_writev,
	.recvmsg = sm_recvmsg,
	.sendmsg = sm_sendmsg,
	.sendfile = sm_sendfile,
	.accept = sm_accept,
	.connect = sm_connect,
	.socket_error = sm_socket_error,
	.nonblock = sm_nonblock,
	.shutdown = sm_shutdown,
	.close = sm_close,
	.pipe = sm_pipe,
	.socketpair = sm_socketpair,
	.dup = sm_dup,
};

int loop_new_sim(struct loop **ret_loop, struct sim *s, op_done *const *table, unsigned kinds)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	must(s->loops_n < SIM_LOOPS_MAX);
	loop_init(l, &sim_backend, s, SIM_FD_BASE, table, kinds);
	s->loops[s->loops_n++] = l;
	*ret_loop = l;
	return 0;
}
