/*
 * ws.c: the load of bench/run's WebSocket row: so many WebSockets that each send a text of 32 bytes,
 * wait for it to come back, and send again (RFC 6455). One thread, one epoll loop; what comes back is
 * compared, and anything else ends the run.
 *
 * Usage: ws PORT PATH CONNECTIONS SECONDS. Prints "messages N p50_us N p99_us N".
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1024, TEXT = 32, FRAME = 6 + TEXT, ECHO = 2 + TEXT, US_MAX = 200000 };

struct ws {
	int fd;
	unsigned got;
	uint64_t sent_ns;
	unsigned char in[ECHO];
};

static const char text[TEXT + 1] = "a message of thirty-two bytes...";

static void fail(const char *what)
{
	fprintf(stderr, "ws: %s\n", what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void say(struct ws *w)
{
	static const unsigned char mask[4] = {1, 2, 3, 4};
	unsigned char frame[FRAME] = {0x81, 0x80 | TEXT, 1, 2, 3, 4};

	for (int i = 0; i < TEXT; i++)
		frame[6 + i] = (unsigned char)(text[i] ^ mask[i % 4]);
	w->got = 0;
	w->sent_ns = now_ns();
	if (send(w->fd, frame, sizeof frame, MSG_NOSIGNAL) != sizeof frame)
		fail("a message could not be sent");
}

static int open_one(unsigned port, const char *path)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((unsigned short)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char head[2048];
	size_t n = 0;
	int len;

	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
		fail("no connection");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	len = snprintf(head, sizeof head,
		"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		path);
	if (send(fd, head, (size_t)len, MSG_NOSIGNAL) != len)
		fail("the handshake could not be sent");
	/* Byte by byte: nothing behind the head is taken. */
	while (n < sizeof head - 1 && recv(fd, head + n, 1, 0) == 1) {
		n++;
		if (n >= 4 && memcmp(head + n - 4, "\r\n\r\n", 4) == 0)
			break;
	}
	head[n] = 0;
	if (strncmp(head, "HTTP/1.1 101 ", 13) != 0 || !strstr(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
		fail("the handshake was not accepted");
	return fd;
}

/* True: the message is back whole. */
static int hear(struct ws *w)
{
	ssize_t n = recv(w->fd, w->in + w->got, ECHO - w->got, 0);

	if (n <= 0)
		fail("a connection ended");
	w->got += (unsigned)n;
	if (w->got < ECHO)
		return 0;
	if (w->in[0] != 0x81 || w->in[1] != TEXT || memcmp(w->in + 2, text, TEXT) != 0)
		fail("another message came back");
	return 1;
}

static unsigned percentile(const unsigned *counts, uint64_t all, unsigned percent)
{
	uint64_t sum = 0;

	for (unsigned us = 0; us < US_MAX; us++) {
		sum += counts[us];
		if (sum * 100 >= all * percent)
			return us;
	}
	return US_MAX;
}

int main(int argc, char **argv)
{
	static struct ws all[CONNECTIONS_MAX];
	static unsigned counts[US_MAX];
	struct epoll_event events[CONNECTIONS_MAX];
	unsigned long n, messages = 0;
	uint64_t end;
	int ep = epoll_create1(EPOLL_CLOEXEC);

	if (argc != 5 || (n = strtoul(argv[3], NULL, 10)) < 1 || n > CONNECTIONS_MAX)
		fail("usage: ws PORT PATH CONNECTIONS SECONDS");
	for (unsigned long i = 0; i < n; i++) {
		all[i].fd = open_one((unsigned)strtoul(argv[1], NULL, 10), argv[2]);
		(void)epoll_ctl(ep, EPOLL_CTL_ADD, all[i].fd,
			&(struct epoll_event){.events = EPOLLIN, .data.ptr = &all[i]});
	}
	end = now_ns() + strtoul(argv[4], NULL, 10) * 1000000000u;
	for (unsigned long i = 0; i < n; i++)
		say(&all[i]);
	while (now_ns() < end) {
		int ready = epoll_wait(ep, events, CONNECTIONS_MAX, 1000);

		for (int i = 0; i < ready; i++) {
			struct ws *w = events[i].data.ptr;
			uint64_t us;

			if (!hear(w))
				continue;
			us = (now_ns() - w->sent_ns) / 1000;
			counts[us < US_MAX ? us : US_MAX - 1]++;
			messages++;
			say(w);
		}
	}
	printf("messages %lu p50_us %u p99_us %u\n", messages, percentile(counts, messages, 50),
		percentile(counts, messages, 99));
	return messages ? 0 : 1;
}
