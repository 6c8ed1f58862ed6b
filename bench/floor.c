/*
 * floor.c: the raw floor of bench/run: one epoll loop that answers each read with the same bytes
 * and parses nothing. What a server of HTTP over loopback cannot be cheaper than on this machine.
 *
 * Usage: floor PORT BODY-BYTES. Prints nothing; ends on a signal.
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

enum { EVENTS = 256, BODY_MAX = 65536 };

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

static void accept_all(int ep, int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.fd = fd};

		if (fd < 0)
			return;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
		(void)epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	}
}

int main(int argc, char **argv)
{
	static char answer[BODY_MAX + 256], request[16384];
	struct epoll_event events[EVENTS];
	unsigned long port, body;
	int ep, listener, head;

	if (argc != 3)
		return 2;
	port = strtoul(argv[1], NULL, 10);
	body = strtoul(argv[2], NULL, 10);
	if (port > 65535 || body > BODY_MAX)
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
				accept_all(ep, listener);
				continue;
			}
			ssize_t got = recv(fd, request, sizeof request, 0);
			if (got > 0)
				got = send(fd, answer, (size_t)head + body, MSG_NOSIGNAL);
			if (got == 0 || (got < 0 && errno != EAGAIN))
				(void)close(fd);
		}
	}
}
