/*
 * hop.c: the raw floor of a server that is two processes: floor.c, with each answer given by the
 * other one.
 *
 * One process receives and sends, one epoll loop that parses nothing; what it received it gives to
 * the other over shared memory, and that one gives it back. Who sleeps says so, and is woken by a
 * byte in a pipe; nobody writes to one who is awake. So it makes the system calls of stead's gate and
 * of one worker, with nothing between them: what no server of two processes can be cheaper than.
 *
 * Usage: hop PORT BODY-BYTES. Prints nothing; ends on a signal, both of it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, BODY_MAX = 65536, SLOTS = 4096 };

/* What one of them writes: connections that are asked for, or answered; more than there can be. */
struct side {
	_Alignas(64) _Atomic unsigned head;
	_Alignas(64) _Atomic unsigned sleep; /* odd: it waits, or is about to */
	_Alignas(64) int fd[SLOTS];
};

struct end {
	struct side *own, *peer;
	unsigned tail, woken;
	int to_peer, from_peer; /* pipes */
};

static void put(struct end *e, int fd)
{
	unsigned head = atomic_load_explicit(&e->own->head, memory_order_relaxed);

	e->own->fd[head % SLOTS] = fd;
	atomic_store_explicit(&e->own->head, head + 1, memory_order_release);
}

static bool take(struct end *e, int *ret_fd)
{
	if (atomic_load_explicit(&e->peer->head, memory_order_acquire) == e->tail)
		return false;
	*ret_fd = e->peer->fd[e->tail++ % SLOTS];
	return true;
}

static void wake(struct end *e)
{
	unsigned s;

	atomic_thread_fence(memory_order_seq_cst);
	s = atomic_load_explicit(&e->peer->sleep, memory_order_relaxed);
	if (!(s & 1) || s == e->woken)
		return;
	e->woken = s;
	(void)!write(e->to_peer, "", 1);
}

/* True: something came, do not wait. */
static bool fall_asleep(struct end *e)
{
	atomic_fetch_add_explicit(&e->own->sleep, 1, memory_order_seq_cst);
	return atomic_load_explicit(&e->peer->head, memory_order_acquire) != e->tail;
}

static void worker(struct end *e)
{
	char junk[64];
	int fd;

	for (;;) {
		struct pollfd p = {.fd = e->from_peer, .events = POLLIN};

		while (take(e, &fd)) {
			put(e, fd);
			wake(e);
		}
		if (!fall_asleep(e) && poll(&p, 1, -1) == 1)
			(void)!read(e->from_peer, junk, sizeof(junk));
		atomic_fetch_add(&e->own->sleep, 1);
	}
}

static void watch(int ep, int fd)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.fd = fd};

	(void)epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

static void accept_all(int ep, int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
		watch(ep, fd);
	}
}

static void gate(struct end *e, int listener, const char *answer, size_t n)
{
	static char request[16384];
	struct epoll_event events[EVENTS];
	int ep = epoll_create1(EPOLL_CLOEXEC), fd;
	bool more = false;

	watch(ep, listener);
	watch(ep, e->from_peer);
	for (;;) {
		int got = epoll_wait(ep, events, EVENTS, more ? 0 : -1);

		atomic_fetch_add(&e->own->sleep, 1);
		for (int i = 0; i < got; i++) {
			fd = events[i].data.fd;
			if (fd == listener) {
				accept_all(ep, listener);
			} else if (fd == e->from_peer) {
				(void)!read(fd, request, sizeof(request));
			} else {
				ssize_t r = recv(fd, request, sizeof(request), 0);

				if (r > 0)
					put(e, fd);
				else if (r == 0 || errno != EAGAIN)
					(void)close(fd);
			}
		}
		while (take(e, &fd))
			(void)send(fd, answer, n, MSG_NOSIGNAL);
		wake(e);
		more = fall_asleep(e);
	}
}

int main(int argc, char **argv)
{
	static char answer[BODY_MAX + 256];
	struct side *sides = mmap(NULL, 2 * sizeof(*sides), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), to_worker[2], to_gate[2], head;
	unsigned long port, body;

	if (argc != 3)
		return 2;
	port = strtoul(argv[1], NULL, 10);
	body = strtoul(argv[2], NULL, 10);
	if (port > 65535 || body > BODY_MAX)
		return 2;
	a.sin_port = htons((unsigned short)port);
	(void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (sides == MAP_FAILED || pipe(to_worker) < 0 || pipe(to_gate) < 0 ||
		bind(listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(listener, 4096) < 0) {
		perror("hop");
		return 1;
	}
	head = snprintf(answer, sizeof(answer),
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %lu\r\n\r\n", body);
	memset(answer + head, 'x', body);
	/* The gate is awake at first, as its worker is. */
	if (fork() == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		worker(&(struct end){.own = &sides[1], .peer = &sides[0], .to_peer = to_gate[1], .from_peer = to_worker[0]});
	}
	atomic_store(&sides[0].sleep, 1);
	gate(&(struct end){.own = &sides[0], .peer = &sides[1], .to_peer = to_worker[1], .from_peer = to_gate[0]},
		listener, answer, (size_t)head + body);
}
