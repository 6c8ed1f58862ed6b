/*
 * link_gate.c: a gate's end of the link to one worker: hello, wake-ups, descriptors.
 *
 * Called by src/gate/app_*.c. Owns the socket, both pipes' ends on this side and the memory. The
 * worker runs somebody's code, so each of its messages, descriptors and pages is taken for hostile.
 * Both pipes are made here: a descriptor that is written to here shares its open file description
 * with nobody.
 */
#include "link/link_gate.h"
#include "lib/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { FDS_MAX = 8 };

static int say_hello(
	struct link_gate *g, int ring_fd, const int *pipes, uint32_t index, uint64_t generation)
{
	struct link_hello hello;
	struct iovec iov = {&hello, sizeof(hello)};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(3 * sizeof(int))];
	} control;
	struct msghdr h = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.room)};
	int fds[3] = {ring_fd, pipes[0], pipes[1]};
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	ssize_t n;

	link_hello_fill(&hello);
	hello.gate = index;
	hello.generation = generation;
	memset(&control, 0, sizeof(control));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	/* The first datagram of an empty socket: what does not go now never would. */
	n = loop_sys_sendmsg(g->loop, g->sock.fd, &h, MSG_NOSIGNAL);
	return n < 0 ? (int)n : 0;
}

int link_gate_init(struct link_gate *g, struct loop *l, int sock, uint16_t sock_kind,
	uint16_t wake_kind, uint32_t index, uint64_t generation)
{
	int to_worker[2] = {-1, -1}, to_gate[2] = {-1, -1}, ring_fd = -1, err;

	memset(g, 0, sizeof(*g));
	g->loop = l;
	g->wake_wr = -1;
	g->sock.fd = g->wake.fd = -1;
	g->sock_op.kind = sock_kind;
	g->wake_op.kind = wake_kind;
	err = loop_add(l, &g->sock, sock);
	if (err) {
		loop_sys_close(l, sock);
		return err;
	}
	err = link_end_create(&g->end, &ring_fd);
	if (!err)
		err = loop_sys_pipe(l, to_worker);
	if (!err)
		err = loop_sys_pipe(l, to_gate);
	if (!err)
		err = loop_add(l, &g->wake, to_gate[0]);
	if (!err) {
		int pipes[2] = {to_worker[0], to_gate[1]};

		to_gate[0] = -1;
		err = say_hello(g, ring_fd, pipes, index, generation);
	}
	if (!err) {
		g->wake_wr = to_worker[1];
		to_worker[1] = -1;
		loop_readable(l, &g->sock, &g->sock_op);
		loop_readable(l, &g->wake, &g->wake_op);
	}
	for (int i = 0; i < 2; i++) {
		if (to_worker[i] >= 0)
			loop_sys_close(l, to_worker[i]);
		if (to_gate[i] >= 0)
			loop_sys_close(l, to_gate[i]);
	}
	if (ring_fd >= 0)
		close(ring_fd);
	if (err)
		link_gate_done(g);
	return err;
}

void link_gate_done(struct link_gate *g)
{
	if (!g->loop)
		return;
	loop_close(g->loop, &g->sock);
	loop_close(g->loop, &g->wake);
	if (g->wake_wr >= 0)
		loop_sys_close(g->loop, g->wake_wr);
	g->wake_wr = -1;
	while (g->nfiles)
		close(g->files[--g->nfiles].fd);
	link_end_done(&g->end);
	sys_shm_unmap(g->status, sizeof(*g->status));
	g->status = NULL;
	g->version = 0;
}

static void close_all(const int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
}

/* One datagram with its descriptors. Bytes, 0 at the end, -errno. */
static ssize_t receive(struct link_gate *g, void *p, size_t cap, int *fds, unsigned *nfds)
{
	struct iovec iov = {p, cap};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct msghdr h = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	ssize_t n = loop_sys_recvmsg(g->loop, g->sock.fd, &h, MSG_CMSG_CLOEXEC);

	*nfds = 0;
	if (n < 0)
		return n;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
		size_t bytes = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		if (bytes > (FDS_MAX - *nfds) * sizeof(int))
			bytes = (FDS_MAX - *nfds) * sizeof(int);
		memcpy(fds + *nfds, CMSG_DATA(c), bytes);
		*nfds += (unsigned)(bytes / sizeof(int));
	}
	return n;
}

static int got_hello(struct link_gate *g, const struct link_hello *hello, size_t n, const int *fds,
	unsigned nfds)
{
	const void *status;
	int version = link_hello_check(hello, n);
	int err;

	if (version < 0 || nfds != 2)
		return version < 0 ? version : -EPROTO;
	if (hello->threads < 1 || hello->threads > LINK_THREADS_MAX)
		return -EPROTO;
	err = link_end_attach(&g->end, fds[0]);
	if (!err)
		err = sys_shm_map(fds[1], sizeof(struct link_status), 0, NULL, &status);
	if (err)
		return -EPROTO;
	g->status = status;
	g->threads = hello->threads;
	g->version = version;
	if (version >= 2) {
		g->form = hello->form == LINK_FORM_FIELDS ? LINK_FORM_FIELDS : LINK_FORM_CGI;
		g->async = hello->concurrency > 0;
	}
	if (g->async)
		g->threads = hello->concurrency < LINK_FAR ? hello->concurrency : LINK_FAR;
	return 1;
}

/* Read one datagram. 1 hello, 2 a file, -EAGAIN, -EPIPE, -EPROTO. */
static int read_one(struct link_gate *g)
{
	union {
		struct link_hello hello;
		struct link_file_msg file;
	} m;
	int fds[FDS_MAX], res = -EPROTO;
	unsigned nfds;
	ssize_t n;

	memset(&m, 0, sizeof(m));
	n = receive(g, &m, sizeof(m), fds, &nfds);

	if (n == -EAGAIN)
		return -EAGAIN;
	if (n < 0 || (n == 0 && !nfds))
		return -EPIPE;
	if (!link_gate_up(g)) {
		res = got_hello(g, &m.hello, (size_t)n, fds, nfds);
	} else if (n >= (ssize_t)sizeof(m.file) && m.file.magic == LINK_FILE_MAGIC && nfds == 1) {
		g->files[g->nfiles].fd = fds[0];
		g->files[g->nfiles++].number = m.file.number;
		return 2;
	}
	close_all(fds, nfds);
	return res;
}

int link_gate_on_sock(struct link_gate *g)
{
	int res = 0, up = 0;

	/* With all places taken the rest stays in the socket until a frame uses one up. */
	while (g->nfiles < LINK_FILES_MAX) {
		res = read_one(g);
		if (res == 1)
			up = 1;
		if (res < 0)
			break;
	}
	if (res < 0 && res != -EAGAIN)
		return res;
	if (res == -EAGAIN)
		loop_readable(g->loop, &g->sock, &g->sock_op);
	return up;
}

int link_gate_file(struct link_gate *g, uint32_t number)
{
	struct statx st;
	struct statfs fs;
	int fd, res = 0;
	bool full = g->nfiles == LINK_FILES_MAX;

	if (!g->nfiles)
		res = read_one(g);
	if (res < 0 || !g->nfiles || g->files[0].number != number)
		return -EPROTO;
	fd = g->files[0].fd;
	g->nfiles--;
	memmove(g->files, g->files + 1, g->nfiles * sizeof(g->files[0]));
	if (full)
		loop_readable(g->loop, &g->sock, &g->sock_op);
	/* The sender checks the same; one that does not would have this process wait in sendfile().
	 * Neither call asks a file system's server: the one is told not to, the other is answered
	 * by the kernel for the mounts of strangers. */
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0 ||
		fstatfs(fd, &fs) < 0) {
		res = -errno;
		close(fd);
		return res;
	}
	if (!S_ISREG(st.stx_mode))
		goto refuse;
	switch ((unsigned long)fs.f_type) {
	case 0x6969ul:     /* NFS */
	case 0x65735546ul: /* FUSE */
	case 0xff534d42ul: /* CIFS */
	case 0xfe534d42ul: /* SMB2 */
	case 0x517bul:     /* SMB */
	case 0x01021997ul: /* 9p */
	case 0x00c36400ul: /* Ceph */
	case 0x5346414ful: /* AFS */
		goto refuse;
	default:
		return fd;
	}
refuse:
	close(fd);
	return -EPROTO;
}

int link_gate_on_wake(struct link_gate *g)
{
	char junk[512];
	ssize_t n;

	/* A worker that fills the pipe is read for a while and then waits for the next turn. */
	for (int i = 0; i < 16; i++) {
		n = loop_sys_read_all(g->loop, &g->wake, junk, sizeof(junk));
		if (n < (ssize_t)sizeof(junk))
			break;
	}
	if (n < 0 && n != -EAGAIN && n != -EINTR)
		return (int)n;
	/* Every writer of the pipe is gone: the socket tells of that, and here no more can come. */
	if (n == 0)
		return 0;
	loop_readable(g->loop, &g->wake, &g->wake_op);
	return 0;
}

static void wake(struct link_gate *g)
{
	/* A full pipe is awake enough; one without a reader is told by the socket. */
	(void)loop_sys_write(g->loop, g->wake_wr, "", 1);
}

void link_gate_flush(struct link_gate *g)
{
	if (!g->put && !g->took)
		return;
	link_publish(&g->end);
	if (link_must_wake(&g->end, !g->put))
		wake(g);
	g->put = g->took = false;
}

void link_gate_poke(struct link_gate *g)
{
	if (link_must_wake(&g->end, false))
		wake(g);
}
