/*
 * mutate.c: many changed requests through a gate to a backend that takes the one canonical form
 * only. Both ends are here, so that each request which the backend reads must be answered to
 * exactly one client.
 *
 * Called by test/scenario/test_mutations.py. Usage:
 *
 *   mutate GATE-PORT LISTENER-FD CORPUS COUNT SEED SECONDS [KEEP [KEEP-MAX]]
 *
 * GATE-PORT 0: nothing is sent; the COUNT changed requests are printed in hex. KEEP: a file for the
 * different messages that came to the backend, each behind its length (4 bytes). A row is sent on a
 * connection of its own, with a plain request behind it and the end of what the client says; then
 * everything is read.
 *
 * Wrong is: bytes at the backend in another form; a request there that no client got the answer to,
 * or two did; a connection that does not end. Each is printed as `wrong SEED WHY`; last comes `end
 * {JSON}`; exit status 1: something was wrong, or the time was over.
 */
#include "change.h"
#include "strict.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	CLIENTS = 32,
	FDS = 4096,
	BUF = 1 << 20,
	EVENTS = 128,
	LATE_MS = 25000,
	SEEN = 1 << 20, /* places for hashes of messages */
	WRONG_SHOWN = 20,
};

static const char behind[] = "GET /behind HTTP/1.1\r\nHost: behind\r\nConnection: close\r\n\r\n";

struct end {
	int fd;
	bool client;
	uint64_t seed, since_ms;
	size_t out_n, out_at, n;
	char *out, *in;
};

struct run {
	int epoll, listener;
	struct sockaddr_in gate;
	struct corpus corpus;
	struct end *end[FDS];
	uint64_t count, seed, sent, over, numbers, answered, refused, cut, wrong, kept, keep_max,
		limit_ms;
	uint64_t *seen, told_n;
	uint8_t *told; /* by number: how often its answer came to a client */
	FILE *keep;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void is_wrong(struct run *r, uint64_t seed, const char *why, const char *p, size_t n)
{
	if (r->wrong++ >= WRONG_SHOWN)
		return;
	printf("wrong %" PRIu64 " %s: ", seed, why);
	for (size_t i = 0; i < n && i < 400; i++)
		printf(p[i] >= ' ' && p[i] < 0x7f && p[i] != '\\' ? "%c" : "\\x%02x",
			(unsigned char)p[i]);
	printf("\n");
	(void)fflush(stdout);
}

static struct end *end_new(struct run *r, int fd, bool client)
{
	struct end *e = calloc(1, sizeof(*e));
	struct epoll_event ev = {.events = EPOLLIN | (client ? EPOLLOUT : 0), .data.fd = fd};

	if (!e || fd >= FDS || epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &ev) < 0) {
		perror("mutate");
		exit(2);
	}
	*e = (struct end){.fd = fd, .client = client, .since_ms = now_ms(), .in = malloc(BUF)};
	r->end[fd] = e;
	return e;
}

static void end_free(struct run *r, struct end *e)
{
	r->end[e->fd] = NULL;
	(void)close(e->fd);
	free(e->in);
	free(e->out);
	free(e);
}

static void client_new(struct run *r)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in from = {.sin_family = AF_INET};
	struct end *e;

	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(r->sent % 200));
	if (fd < 0 ||
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int)) < 0 ||
		bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
		(connect(fd, (struct sockaddr *)&r->gate, sizeof(r->gate)) < 0 &&
			errno != EINPROGRESS)) {
		perror("mutate: connect");
		exit(2);
	}
	e = end_new(r, fd, true);
	e->seed = r->seed + r->sent++;
	e->out = malloc(CHANGED_MAX + sizeof(behind));
	e->out_n = change_make(&r->corpus, e->seed, e->out);
	memcpy(e->out + e->out_n, behind, sizeof(behind) - 1);
	e->out_n += sizeof(behind) - 1;
}

/* What it answers for each of the client's own requests; refusals are the gate's. */
static void client_over(struct run *r, struct end *e, bool late)
{
	static const char mark[] = "x-n: ";
	const char *p = e->in, *end = e->in + e->n;

	if (late)
		is_wrong(r, e->seed, "the connection does not end", e->out,
			e->out_n - sizeof(behind) + 1);
	while ((p = memmem(p, (size_t)(end - p), mark, sizeof(mark) - 1)) != NULL) {
		uint64_t number = strtoull(p + sizeof(mark) - 1, NULL, 10);

		p += sizeof(mark) - 1;
		if (number >= r->numbers || r->told[number]++)
			is_wrong(r, e->seed, "an answer that is not its own", e->out, e->out_n);
		r->answered++;
	}
	r->refused += e->n > 12 && memcmp(e->in, "HTTP/1.1 4", 10) == 0;
	r->over++;
	end_free(r, e);
	if (r->sent < r->count && now_ms() < r->limit_ms)
		client_new(r);
}

static void client_event(struct run *r, struct end *e)
{
	ssize_t n = 0;

	/* The end goes with the bytes: one that came later would be that of a client who is gone.
	 */
	while (e->out_at < e->out_n && (n = send(e->fd, e->out + e->out_at, e->out_n - e->out_at,
						MSG_NOSIGNAL | MSG_MORE)) > 0)
		e->out_at += (size_t)n;
	if (e->out_at < e->out_n && n < 0 && errno != EAGAIN)
		e->out_at = e->out_n; /* it was refused before it was whole */
	if (e->out_at == e->out_n) {
		struct epoll_event ev = {.events = EPOLLIN, .data.fd = e->fd};

		(void)epoll_ctl(r->epoll, EPOLL_CTL_MOD, e->fd, &ev);
		(void)shutdown(e->fd, SHUT_WR);
	}
	while ((n = recv(e->fd, e->in + e->n, BUF - e->n, 0)) > 0)
		e->n += (size_t)n;
	if (n == 0 || errno != EAGAIN)
		client_over(r, e, false);
}

static void keep(struct run *r, const char *p, size_t n)
{
	uint64_t h = 14695981039346656037u;
	uint32_t len = (uint32_t)n;
	const char *id = memmem(p, n, "\r\nx-request-id: ", 16), *past = NULL;

	/* The id is another for each. */
	if (id)
		past = memmem(id + 2, n - (size_t)(id + 2 - p), "\r\n", 2);
	for (const char *q = p; q < p + n; q++) {
		if (q == id)
			q = past;
		h = (h ^ (unsigned char)*q) * 1099511628211u;
	}
	for (size_t at = h % SEEN; r->seen[at] != h; at = (at + 1) % SEEN)
		if (!r->seen[at]) {
			if (r->kept >= SEEN / 2)
				return;
			r->seen[at] = h;
			r->kept++;
			if (r->keep && r->kept <= r->keep_max &&
				(fwrite(&len, 4, 1, r->keep) != 1 || fwrite(p, n, 1, r->keep) != 1))
				perror("mutate: keep");
			return;
		}
}

/* The backend answers each request with its number. */
static bool backend_reads(struct run *r, struct end *e)
{
	char answer[128];
	struct strict s;
	int got, n;

	while (e->n && r->numbers < r->told_n && (got = strict_read(e->in, e->n, &s)) != 0) {
		if (got < 0) {
			is_wrong(r, 0, s.why, e->in, e->n);
			return false;
		}
		keep(r, e->in, s.used);
		memmove(e->in, e->in + s.used, e->n - s.used);
		e->n -= s.used;
		n = snprintf(answer, sizeof(answer),
			"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-n: %" PRIu64 "\r\n\r\n%s",
			r->numbers++, s.head ? "" : "ok");
		if (send(e->fd, answer, (size_t)n, MSG_NOSIGNAL) != n)
			return false;
	}
	return true;
}

static void backend_event(struct run *r, struct end *e)
{
	ssize_t n;

	while ((n = recv(e->fd, e->in + e->n, BUF - e->n, 0)) > 0) {
		e->n += (size_t)n;
		if (!backend_reads(r, e)) {
			end_free(r, e);
			return;
		}
	}
	if (n == 0 || errno != EAGAIN) {
		r->cut += e->n > 0;
		end_free(r, e);
	}
}

static void accept_all(struct run *r)
{
	int fd;

	while ((fd = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		(void)end_new(r, fd, false);
}

static void end_late(struct run *r)
{
	uint64_t now = now_ms();

	for (int fd = 0; fd < FDS; fd++)
		if (r->end[fd] && r->end[fd]->client && now > r->end[fd]->since_ms + LATE_MS)
			client_over(r, r->end[fd], true);
}

static void run(struct run *r)
{
	struct epoll_event ev[EVENTS];
	uint64_t looked_ms = now_ms();

	for (unsigned i = 0; i < CLIENTS && r->sent < r->count; i++)
		client_new(r);
	while (r->over < r->sent) {
		int n = epoll_wait(r->epoll, ev, EVENTS, 1000);

		for (int i = 0; i < n; i++) {
			struct end *e = ev[i].data.fd == r->listener ? NULL : r->end[ev[i].data.fd];

			if (ev[i].data.fd == r->listener)
				accept_all(r);
			else if (e && e->client)
				client_event(r, e);
			else if (e)
				backend_event(r, e);
		}
		if (now_ms() > looked_ms + 1000) {
			end_late(r);
			looked_ms = now_ms();
		}
	}
	for (uint64_t i = 0; i < r->numbers; i++)
		if (!r->told[i])
			is_wrong(r, i, "a request at the backend whose answer nobody got", "", 0);
}

static void print_changed(const struct run *r)
{
	static char out[CHANGED_MAX];

	for (uint64_t i = 0; i < r->count; i++) {
		size_t n = change_make(&r->corpus, r->seed + i, out);

		for (size_t k = 0; k < n; k++)
			printf("%02x", (unsigned char)out[k]);
		printf("\n");
	}
}

int main(int argc, char **argv)
{
	static struct run r;

	if (argc < 7 || corpus_load(&r.corpus, argv[3]) < 0) {
		fprintf(stderr, "usage: mutate GATE-PORT LISTENER-FD CORPUS COUNT SEED SECONDS "
				"[KEEP [KEEP-MAX]]\n");
		return 2;
	}
	r.gate.sin_family = AF_INET;
	r.gate.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	r.gate.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
	r.listener = (int)strtol(argv[2], NULL, 10);
	r.count = strtoull(argv[4], NULL, 10);
	r.seed = strtoull(argv[5], NULL, 10);
	r.limit_ms = now_ms() + strtoull(argv[6], NULL, 10) * 1000;
	if (!r.gate.sin_port) {
		print_changed(&r);
		return 0;
	}
	r.keep = argc > 7 ? fopen(argv[7], "wb") : NULL;
	r.keep_max = argc > 8 ? strtoull(argv[8], NULL, 10) : SEEN;
	r.epoll = epoll_create1(EPOLL_CLOEXEC);
	r.seen = calloc(SEEN, sizeof(*r.seen));
	r.told_n = r.count * 8 + 1024; /* no change makes so many requests of one */
	r.told = calloc(r.told_n, 1);
	if (r.epoll < 0 || !r.seen || !r.told ||
		epoll_ctl(r.epoll, EPOLL_CTL_ADD, r.listener,
			&(struct epoll_event){.events = EPOLLIN, .data.fd = r.listener}) < 0)
		return 2;
	run(&r);
	printf("end {\"sent\": %" PRIu64 ", \"forwarded\": %" PRIu64 ", \"different\": %" PRIu64
	       ", \"answered\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"cut\": %" PRIu64
	       ", \"wrong\": %" PRIu64 "}\n",
		r.over, r.numbers, r.kept, r.answered, r.refused, r.cut, r.wrong);
	if (r.keep)
		(void)fclose(r.keep);
	return r.wrong || r.over < r.count ? 1 : 0;
}
