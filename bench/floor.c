/*
 * floor.c: the raw floor of bench/run: one epoll loop that answers each read with the same bytes
 * and parses nothing. What a server of HTTP over loopback cannot be cheaper than on this machine.
 * With a backend's port it passes what it reads to a connection of its own there, and back: what no
 * reverse proxy that reads and writes can be cheaper than.
 *
 * Usage: floor PORT BODY-BYTES [BACKEND-PORT]. Prints nothing; ends on a signal.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, BODY_MAX = 65536, FDS_MAX = 4096 };

static int listen_on(unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((unsigned short)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 4096) < 0) {
		perror("floor");
		exit(1);
	}
	return fd;
}

/* The other end of what fd is to be passed to; 0: it is answered here. */
static int other[FDS_MAX];

static void watch(int ep, int fd)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.fd = fd};

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	(void)epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

static void connect_behind(int ep, int fd, unsigned long port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((unsigned short)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int behind = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (behind < 0 || behind >= FDS_MAX || fd >= FDS_MAX ||
		connect(behind, (struct sockaddr *)&a, sizeof a) < 0) {
		perror("floor");
		exit(1);
	}
	other[fd] = behind;
	other[behind] = fd;
	watch(ep, behind);
}

static void drop(int fd)
{
	if (other[fd]) {
		(void)close(other[fd]);
		other[other[fd]] = 0;
		other[fd] = 0;
	}
	(void)close(fd);
}

static void accept_all(int ep, int listener, unsigned long behind)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		if (behind)
			connect_behind(ep, fd, behind);
		watch(ep, fd);
	}
}

int main(int argc, char **argv)
{
	static char answer[BODY_MAX + 256], request[16384];
	struct epoll_event events[EVENTS];
	unsigned long port, body, behind;
	int ep, listener, head;

	if (argc != 3 && argc != 4)
		return 2;
	port = strtoul(argv[1], NULL, 10);
	body = strtoul(argv[2], NULL, 10);
	behind = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
	if (port > 65535 || behind > 65535 || body > BODY_MAX)
		return 2;
	head = snprintf(answer, sizeof answer,
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %lu\r\n\r\n", body);
	memset(answer + head, 'x', body);
	ep = epoll_create1(EPOLL_CLOEXEC);
	listener = listen_on((unsigned)port);
	(void)epoll_ctl(ep, EPOLL_CTL_ADD, listener,
		&(struct epoll_event){.events = EPOLLIN, .data.fd = listener});
	for (;;) {
		int n = epoll_wait(ep, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd == listener) {
				accept_all(ep, listener, behind);
				continue;
			}
			ssize_t got = recv(fd, request, sizeof request, 0);
			if (got > 0 && other[fd])
				got = send(other[fd], request, (size_t)got, MSG_NOSIGNAL);
			else if (got > 0)
				got = send(fd, answer, (size_t)head + body, MSG_NOSIGNAL);
			if (got == 0 || (got < 0 && errno != EAGAIN))
				drop(fd);
		}
	}
}
