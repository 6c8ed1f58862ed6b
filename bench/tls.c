/*
 * tls.c: the load of bench/run's rows of TLS handshakes: so many clients that each connect, shake hands, ask for one
 * path with Connection: close, read the answer to its end, and begin again (RFC 8446). One thread, one epoll loop. With
 * "resume" each brings the session of its last connection, and a connection that was not resumed ends the run, but the
 * first of each.
 *
 * Usage: tls PORT PATH CLIENTS SECONDS full|resume. Prints "connections N p50_us N p99_us N".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS_MAX = 1024, US_MAX = 1000000, HEAD_MAX = 1024, READ_MAX = 16384 };

struct client {
	int fd;
	SSL *ssl;
	SSL_SESSION *session;
	int asked;
	uint64_t began_ns, got;
	char first[16];
};

struct load {
	SSL_CTX *ctx;
	int ep, resume;
	unsigned port;
	char ask[HEAD_MAX];
	int ask_len;
	uint64_t done;
	uint32_t us[US_MAX]; /* how many connections took so long */
};

static void fail(const char *what)
{
	fprintf(stderr, "tls: %s\n", what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void begin(struct load *l, struct client *c)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((unsigned short)l->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};

	c->began_ns = now_ns();
	c->asked = 0;
	c->got = 0;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || (connect(c->fd, (struct sockaddr *)&a, sizeof a) < 0 && errno != EINPROGRESS))
		fail("connect");
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	c->ssl = SSL_new(l->ctx);
	if (!c->ssl || !SSL_set_fd(c->ssl, c->fd) || !SSL_set_tlsext_host_name(c->ssl, "localhost"))
		fail("a client could not be made");
	SSL_set_connect_state(c->ssl);
	if (c->session && !SSL_set_session(c->ssl, c->session))
		fail("a session could not be set");
	if (epoll_ctl(l->ep, EPOLL_CTL_ADD, c->fd, &e) < 0)
		fail("epoll_ctl");
}

/* The answer is whole: the server has said so by closing. */
static void end(struct load *l, struct client *c)
{
	uint64_t us = (now_ns() - c->began_ns) / 1000;

	if (c->got < 12 || memcmp(c->first, "HTTP/1.1 200", 12) != 0)
		fail("an answer was not 200");
	if (l->resume) {
		if (c->session && !SSL_session_reused(c->ssl))
			fail("a session was not resumed");
		SSL_SESSION_free(c->session);
		c->session = SSL_get1_session(c->ssl);
	}
	l->us[us < US_MAX ? us : US_MAX - 1]++;
	l->done++;
	SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(c->ssl);
	close(c->fd);
	begin(l, c);
}

static int waits(SSL *ssl, int n)
{
	int why = SSL_get_error(ssl, n);

	return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ||
	       (why == SSL_ERROR_SYSCALL && (errno == EAGAIN || errno == ENOTCONN));
}

static void go_on(struct load *l, struct client *c)
{
	char in[READ_MAX];
	int n;

	if (!c->asked) {
		n = SSL_write(c->ssl, l->ask, l->ask_len); /* shakes hands first */
		if (n <= 0) {
			if (!waits(c->ssl, n))
				fail("a handshake failed");
			return;
		}
		c->asked = 1;
	}
	while ((n = SSL_read(c->ssl, in, sizeof in)) > 0) {
		if (c->got < sizeof c->first)
			memcpy(c->first + c->got, in,
				(size_t)n < sizeof c->first - c->got ? (size_t)n : sizeof c->first - c->got);
		c->got += (uint64_t)n;
	}
	if (SSL_get_error(c->ssl, n) == SSL_ERROR_ZERO_RETURN)
		end(l, c);
	else if (!waits(c->ssl, n))
		fail("a connection broke");
}

static unsigned at_part(const struct load *l, double part)
{
	uint64_t want = (uint64_t)((double)l->done * part), seen = 0;

	for (unsigned i = 0; i < US_MAX; i++) {
		seen += l->us[i];
		if (seen > want)
			return i;
	}
	return US_MAX;
}

int main(int argc, char **argv)
{
	static struct client clients[CLIENTS_MAX];
	static struct load l;
	struct epoll_event events[256];
	unsigned n, seconds;
	uint64_t until;

	if (argc != 6)
		return 2;
	l.port = (unsigned)strtoul(argv[1], NULL, 10);
	n = (unsigned)strtoul(argv[3], NULL, 10);
	seconds = (unsigned)strtoul(argv[4], NULL, 10);
	l.resume = strcmp(argv[5], "resume") == 0;
	l.ask_len = snprintf(l.ask, sizeof l.ask, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", argv[2]);
	if (!n || n > CLIENTS_MAX || !seconds || l.ask_len >= (int)sizeof l.ask)
		return 2;
	l.ctx = SSL_CTX_new(TLS_client_method());
	l.ep = epoll_create1(EPOLL_CLOEXEC);
	if (!l.ctx || l.ep < 0)
		fail("could not begin");
	/* As browsers do: TLS 1.3, X25519. What the certificate is worth is not what is measured. */
	if (!SSL_CTX_set_min_proto_version(l.ctx, TLS1_3_VERSION) || !SSL_CTX_set1_groups_list(l.ctx, "X25519"))
		fail("could not begin");
	SSL_CTX_set_session_cache_mode(l.ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	for (unsigned i = 0; i < n; i++)
		begin(&l, &clients[i]);
	until = now_ns() + seconds * 1000000000ull;
	while (now_ns() < until) {
		int got = epoll_wait(l.ep, events, 256, 100);

		for (int i = 0; i < got; i++)
			go_on(&l, events[i].data.ptr);
	}
	if (!l.done)
		fail("no connection was served");
	printf("connections %llu p50_us %u p99_us %u\n", (unsigned long long)l.done, at_part(&l, 0.5), at_part(&l, 0.99));
	return 0;
}
