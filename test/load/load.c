/*
 * load.c: a client for many requests at once that believes nobody: each asks for a token of its
 * own, which the answer must hold, and what fails is told apart by new and reused connections.
 *
 * Called by test/scenario/loadgen.py. Usage: load PORT NAME=VALUE... get=WEIGHT:WORD:TARGET...
 *
 *   requests=N sec=S   it ends after N requests, but not before its standard input ends, and after
 * S seconds at most kept= thinks= new= connections of each manner (load.h); pause_ms= the longest
 * pause of one that thinks steps=N            prints `step K` after each Nth part of the requests
 *   files=N late_sec=N seed=N
 *
 * A line on its standard input is answered with `asked PORT...`: its own ports that wait for an
 * answer just now. Prints `fault KIND new|reused PORT MICROSECONDS WORD FIRST-LINE` for each
 * failure, and last `end {JSON}`; the exit status is 1 when the time was over before the requests
 * were done.
 *
 * A client looks before it sends: a resting connection that the server has closed is no failure
 * (closed_idle). One that is closed behind the request is.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, SOURCES = 200, STDIN_EVENT = UINT32_MAX };

static uint64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* A bijection, so that no two numbers give the same token. */
static uint64_t mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static const struct ask *choose(const struct load *l, uint64_t random)
{
	unsigned at = (unsigned)(random % l->weights), i = 0;

	while (at >= l->ask[i].weight)
		at -= l->ask[i++].weight;
	return &l->ask[i];
}

static void write_request(struct load *l, struct conn *c)
{
	uint64_t number = l->number++, random = mix(number ^ l->seed << 40);
	const struct ask *a = choose(l, random >> 8);
	const char *mark = strchr(a->target, '%');
	bool closes = c->manner == MANNER_NEW && c->asks++ % 2;
	int n;

	c->ask = a;
	if (mark[1] == 'u')
		(void)snprintf(c->token, sizeof(c->token), "%016" PRIx64, random);
	else
		(void)snprintf(c->token, sizeof(c->token), "%03" PRIu64, random % l->files);
	n = snprintf(c->out, sizeof(c->out), "GET %.*s%s%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n",
		(int)(mark - a->target), a->target, c->token, mark + 2,
		closes ? "Connection: close\r\n" : "");
	c->out_len = (size_t)n;
	c->out_at = 0;
	c->in_len = 0;
	c->in[0] = '\0';
}

static void watch(const struct load *l, struct conn *c, int op, uint32_t events)
{
	struct epoll_event e = {.events = events | EPOLLRDHUP, .data.u32 = (uint32_t)(c - l->conn)};

	if (epoll_ctl(l->epoll, op, c->fd, &e) < 0) {
		perror("load: epoll_ctl");
		exit(2);
	}
}

static void shut(struct load *l, struct conn *c)
{
	if (c->state == STATE_ASKED || c->state == STATE_CONNECTS)
		l->out--;
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
	c->state = STATE_OFF;
	c->due_us = 0;
}

static void fail(struct load *l, struct conn *c, enum fault f)
{
	seen_add(l, c, f, now_us());
	shut(l, c);
	/* A server that is down is not to be stormed. */
	if (f == FAULT_REFUSED)
		c->due_us = now_us() + 10000;
}

/* Sends what is left of the request. A closed connection is told by its reading end. */
static void send_on(struct load *l, struct conn *c)
{
	ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL);

	if (n > 0)
		c->out_at += (size_t)n;
	if (c->out_at < c->out_len && (n >= 0 || errno == EAGAIN))
		watch(l, c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
	else if (n < 0)
		fail(l, c, FAULT_ENDED);
}

static void open_conn(struct load *l, struct conn *c, uint64_t now)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	socklen_t len = sizeof(from);
	int r;

	/* Sources in turn: ports that wait for their second life never run out. */
	from.sin_addr.s_addr =
		htonl(INADDR_LOOPBACK +
			(c->manner == MANNER_NEW ? 1 + (uint32_t)(l->number % SOURCES) : 0));
	write_request(l, c);
	c->used = 0;
	c->port = 0;
	c->sent_us = now;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		perror("load: socket");
		exit(2);
	}
	(void)setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	if (bind(c->fd, (struct sockaddr *)&from, sizeof(from)) < 0) {
		perror("load: bind");
		exit(2);
	}
	c->state = STATE_CONNECTS;
	l->out++;
	r = connect(c->fd, (const struct sockaddr *)&l->to, sizeof(l->to));
	if (r < 0 && errno != EINPROGRESS) {
		fail(l, c, FAULT_REFUSED);
		return;
	}
	if (getsockname(c->fd, (struct sockaddr *)&from, &len) == 0)
		c->port = ntohs(from.sin_port);
	watch(l, c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

static void ask_on(struct load *l, struct conn *c, uint64_t now)
{
	write_request(l, c);
	c->sent_us = now;
	c->state = STATE_ASKED;
	l->out++;
	send_on(l, c);
}

/* No more requests are begun: all are asked, and nobody wants to hear more. */
static bool ends(const struct load *l, uint64_t now)
{
	return (l->may_end && seen_done(l) + l->out >= l->requests) ||
	       now > l->began_us + l->sec * 1000000;
}

/* What this place does next, when it rests or is off. */
static void go_on(struct load *l, struct conn *c, uint64_t now)
{
	if (ends(l, now) || (c->state != STATE_OFF && c->state != STATE_RESTS))
		return;
	if (c->due_us > now)
		return;
	if (c->state == STATE_OFF)
		open_conn(l, c, now);
	else
		ask_on(l, c, now);
}

static void answered(struct load *l, struct conn *c, enum answer a, enum fault f)
{
	uint64_t now = now_us();

	seen_add(l, c, f, now);
	l->out--;
	c->used++;
	c->state = STATE_RESTS;
	if (a == ANSWER_CLOSES || c->manner == MANNER_NEW || f == FAULT_WRONG ||
		(l->renew && c->used >= l->renew)) {
		l->closed_told += a == ANSWER_CLOSES && c->manner != MANNER_NEW && f == FAULT_NONE;
		shut(l, c);
	} else if (c->manner == MANNER_THINKS) {
		c->due_us = now + mix(l->number ^ now) % (l->pause_ms * 1000 + 1);
	}
	while (l->steps && l->step < l->steps &&
		seen_done(l) * l->steps >= l->requests * (l->step + 1)) {
		printf("step %u\n", ++l->step);
		(void)fflush(stdout);
	}
	go_on(l, c, now);
}

static void take(struct load *l, struct conn *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, IN_BYTES - c->in_len, 0);
	enum fault f = FAULT_WRONG;
	enum answer a;

	if (n < 0 && errno == EAGAIN)
		return;
	if (c->state == STATE_RESTS) {
		/* Closed, or said something that nobody asked for. */
		l->closed_idle++;
		if (n > 0)
			seen_add(l, c, FAULT_WRONG, now_us());
		shut(l, c);
		go_on(l, c, now_us());
		return;
	}
	if (n < 0) {
		fail(l, c, FAULT_ENDED);
		return;
	}
	c->in_len += (size_t)n;
	c->in[c->in_len] = '\0';
	a = answer_read(c, n == 0, &f);
	if (a != ANSWER_MORE)
		answered(l, c, a, f);
	else if (n == 0 || c->in_len == IN_BYTES)
		fail(l, c, n == 0 ? FAULT_ENDED : FAULT_WRONG);
}

static void connected(struct load *l, struct conn *c)
{
	socklen_t len = sizeof(int);
	int err = 0;

	(void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err) {
		fail(l, c, FAULT_REFUSED);
		return;
	}
	c->state = STATE_ASKED;
	watch(l, c, EPOLL_CTL_MOD, EPOLLIN);
	send_on(l, c);
}

static void on_event(struct load *l, struct conn *c, uint32_t events)
{
	if (c->state == STATE_OFF)
		return;
	if (c->state == STATE_CONNECTS) {
		connected(l, c);
		return;
	}
	if (events & EPOLLOUT && c->out_at < c->out_len) {
		watch(l, c, EPOLL_CTL_MOD, EPOLLIN);
		send_on(l, c);
	}
	if (c->state != STATE_OFF && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		take(l, c);
}

static void on_stdin(struct load *l)
{
	char line[256];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line));

	if (n <= 0) {
		l->may_end = true;
		(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
		return;
	}
	printf("asked");
	for (unsigned i = 0; i < l->conns; i++)
		if (l->conn[i].state == STATE_ASKED && l->conn[i].manner != MANNER_NEW)
			printf(" %u", l->conn[i].port);
	printf("\n");
	(void)fflush(stdout);
}

static void run(struct load *l)
{
	struct epoll_event events[EVENTS];

	l->began_us = now_us();
	for (;;) {
		uint64_t now = now_us();

		for (unsigned i = 0; i < l->conns; i++) {
			struct conn *c = &l->conn[i];

			if ((c->state == STATE_ASKED || c->state == STATE_CONNECTS) &&
				now > c->sent_us + l->late_sec * 1000000)
				fail(l, c, FAULT_LATE);
			go_on(l, c, now);
		}
		l->over = now > l->began_us + l->sec * 1000000;
		if (l->over || (ends(l, now) && !l->out))
			break;
		int n = epoll_wait(l->epoll, events, EVENTS, 1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.u32 == STDIN_EVENT)
				on_stdin(l);
			else
				on_event(l, &l->conn[events[i].data.u32], events[i].events);
		}
	}
	l->ended_us = now_us();
}

static bool add_ask(struct load *l, char *text)
{
	char *word = strchr(text, ':'), *target = word ? strchr(word + 1, ':') : NULL;
	const char *mark = target ? strchr(target + 1, '%') : NULL;
	struct ask *a = &l->ask[l->asks];

	if (!mark || (mark[1] != 'u' && mark[1] != 'n') || l->asks == ASKS_MAX ||
		strlen(target) > OUT_BYTES / 2)
		return false;
	*target++ = '\0';
	*a = (struct ask){word + 1, target, (unsigned)strtoul(text, NULL, 10)};
	l->weights += a->weight;
	l->asks++;
	return a->weight > 0 && a->weight < 1000;
}

static bool set(struct load *l, char *arg)
{
	static const char *const names[] = {"requests", "sec", "steps", "files", "seed", "late_sec",
		"pause_ms", "kept", "renew", "thinks", "new"};
	uint64_t *const at[] = {&l->requests, &l->sec, &l->steps, &l->files, &l->seed, &l->late_sec,
		&l->pause_ms, &l->places[MANNER_KEPT], &l->renew, &l->places[MANNER_THINKS],
		&l->places[MANNER_NEW]};
	char *value = strchr(arg, '=');

	if (!value)
		return false;
	*value++ = '\0';
	if (strcmp(arg, "get") == 0)
		return add_ask(l, value);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		if (strcmp(arg, names[i]) == 0) {
			*at[i] = strtoull(value, NULL, 10);
			return true;
		}
	return false;
}

static bool begin(struct load *l)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = STDIN_EVENT};
	struct rlimit lim;
	uint64_t conns = l->places[0] + l->places[1] + l->places[2];

	if (!l->asks || !conns || conns > CONNS_MAX || !l->requests || l->files < 1 ||
		l->files > 1000)
		return false;
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &lim);
	}
	l->conns = (unsigned)conns;
	l->conn = calloc(conns, sizeof(*l->conn));
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!l->conn || l->epoll < 0)
		return false;
	for (unsigned i = 0; i < conns; i++) {
		l->conn[i].fd = -1;
		l->conn[i].manner = i < l->places[0]                  ? MANNER_KEPT
				    : i < l->places[0] + l->places[1] ? MANNER_THINKS
								      : MANNER_NEW;
	}
	/* Whose input is a file or /dev/null is asked nothing, and may end at once. */
	l->may_end = epoll_ctl(l->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &e) < 0;
	return true;
}

int main(int argc, char **argv)
{
	static struct load l = {
		.requests = 1000, .sec = 60, .files = 1, .late_sec = 30, .pause_ms = 50};

	if (argc < 3) {
		fprintf(stderr, "usage: load PORT NAME=VALUE... get=WEIGHT:WORD:TARGET...\n");
		return 2;
	}
	l.to.sin_family = AF_INET;
	l.to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l.to.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
	for (int i = 2; i < argc; i++)
		if (!set(&l, argv[i])) {
			fprintf(stderr, "load: what is '%s'?\n", argv[i]);
			return 2;
		}
	if (!begin(&l)) {
		fprintf(stderr,
			"load: no connections, no requests, nothing to get, or too many of them\n");
		return 2;
	}
	run(&l);
	seen_print(&l);
	return seen_done(&l) >= l.requests ? 0 : 1;
}
