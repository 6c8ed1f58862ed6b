/*
 * names.c: a gate's question becomes c-ares', its result the gate's answer. Called by aide.c and c-ares.
 * Owns the channel of c-ares and the questions under way, bounded in number; one too many is answered with
 * an error at once. The system's settings are read anew when resolv.conf changes.
 */
#include "resolve.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/must.h"

enum {
	HOST_MAX = 253,
	TTL_MIN_MS = 1000,
	TTL_MAX_MS = 300000,
	FAILED_TTL_MS = 5000,
	TRY_MS = 2000, /* a name server's answer; then the next one is asked */
	TRIES = 3,
	CONF_LOOK_MS = 2000,
};

struct query {
	struct query *next, *prev;
	struct resolver *resolver;
	struct aide_peer *from; /* NULL: it is gone */
	uint64_t id;
	char host[HOST_MAX + 1];
};

int names_open(struct resolver *r)
{
	struct ares_options o = {.timeout = TRY_MS,
		.tries = TRIES,
		.sock_state_cb = sockets_want,
		.sock_state_cb_data = &r->names};
	struct stat st;
	ares_channel channel;

	if (ares_init_options(
		    &channel, &o, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) != ARES_SUCCESS)
		return -ENOMEM;
	r->names.resolver = r;
	r->names.channel = channel;
	r->conf_time = stat("/etc/resolv.conf", &st) == 0 ? st.st_mtim : (struct timespec){0};
	return 0;
}

/* Other name servers since we looked? */
static void look_at_conf(struct resolver *r)
{
	uint64_t now = loop_now_ms(r->loop);
	struct stat st;
	ares_channel old = r->names.channel, old_caa = r->caa.channel;

	if (r->queries_n || now < r->conf_looked_ms + CONF_LOOK_MS)
		return;
	r->conf_looked_ms = now;
	if (stat("/etc/resolv.conf", &st) < 0 || !memcmp(&st.st_mtim, &r->conf_time, sizeof(st.st_mtim)))
		return;
	/* Without memory the old settings are better than none. */
	if (names_open(r) == 0)
		ares_destroy(old);
	if (caa_open(r) == 0)
		ares_destroy(old_caa);
}

static void answer(struct aide_peer *to, uint64_t id, const char *host, struct msg_resolved m,
	const uint8_t (*addresses)[16])
{
	char tail[RESOLVED_MAX * 16 + HOST_MAX + 1];
	size_t n = m.addresses * 16, len = strlen(host) + 1;

	if (n)
		memcpy(tail, addresses, n);
	memcpy(tail + n, host, len);
	aide_answer(to, MSG_RESOLVED, id, &m, sizeof(m), tail, n + len);
}

static void refuse(struct aide_peer *to, uint64_t id, const char *host, int err)
{
	answer(to, id, host, (struct msg_resolved){.err = (uint32_t)err, .ttl_ms = FAILED_TTL_MS}, NULL);
}

static void drop(struct query *q)
{
	*(q->prev ? &q->prev->next : &q->resolver->queries) = q->next;
	if (q->next)
		q->next->prev = q->prev;
	q->resolver->queries_n--;
	free(q);
}

static int errno_of(int status)
{
	switch (status) {
	case ARES_ENOTFOUND:
	case ARES_ENODATA:
		return ENOENT;
	case ARES_ETIMEOUT:
		return ETIMEDOUT;
	case ARES_ECONNREFUSED:
		return ECONNREFUSED;
	case ARES_ENOMEM:
		return ENOMEM;
	default:
		return EIO;
	}
}

/* One address in its 16 bytes. False: another family. */
static bool take(const struct ares_addrinfo_node *n, uint8_t ret[static 16])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	if (n->ai_family == AF_INET) {
		memcpy(ret, mapped, sizeof(mapped));
		memcpy(ret + 12, &((const struct sockaddr_in *)(const void *)n->ai_addr)->sin_addr, 4);
		return true;
	}
	if (n->ai_family != AF_INET6)
		return false;
	memcpy(ret, &((const struct sockaddr_in6 *)(const void *)n->ai_addr)->sin6_addr, 16);
	return true;
}

static void resolved(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
	struct query *q = arg;
	uint8_t addresses[RESOLVED_MAX][16];
	struct msg_resolved m = {.ttl_ms = TTL_MAX_MS};

	(void)timeouts;
	for (struct ares_addrinfo_node *n = result ? result->nodes : NULL;
		n && m.addresses < RESOLVED_MAX; n = n->ai_next) {
		uint32_t ttl = n->ai_ttl < 0 ? 0 : min_of((uint32_t)n->ai_ttl, 300u) * 1000;

		if (!take(n, addresses[m.addresses]))
			continue;
		m.addresses++;
		m.ttl_ms = min_of(m.ttl_ms, ttl);
	}
	m.ttl_ms = max_of(m.ttl_ms, (uint32_t)TTL_MIN_MS);
	if (q->from && status == ARES_SUCCESS && m.addresses)
		answer(q->from, q->id, q->host, m, (const uint8_t(*)[16])addresses);
	else if (q->from)
		refuse(q->from, q->id, q->host, errno_of(status));
	ares_freeaddrinfo(result);
	drop(q);
}

void names_heard(struct aide *a, struct aide_peer *from, struct msg *m)
{
	struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT, .ai_socktype = SOCK_STREAM};
	struct resolver *r = a->own;
	struct msg_resolve ask;
	const char *host;
	struct query *q;
	size_t n;

	look_at_conf(r);
	if (m->h.type == MSG_CAA_LOOK) {
		caa_heard(r, from, m);
		return;
	}
	if (m->h.type == MSG_SPREAD) {
		spread_heard(r, from, m);
		return;
	}
	if (m->h.type != MSG_RESOLVE || msg_get(m, &ask, sizeof(ask), sizeof(ask)) < 0)
		return;
	host = msg_tail(m, sizeof(ask), &n);
	/* A name that is none gets no answer: only a broken gate asks so. */
	if (n < 2 || n > HOST_MAX + 1 || memchr(host, 0, n) != host + n - 1)
		return;
	q = r->queries_n < QUERIES_MAX ? calloc(1, sizeof(*q)) : NULL;
	if (!q) {
		refuse(from, m->h.id, host, ENOBUFS);
		return;
	}
	q->resolver = r;
	q->from = from;
	q->id = m->h.id;
	memcpy(q->host, host, n);
	q->next = r->queries;
	if (q->next)
		q->next->prev = q;
	r->queries = q;
	r->queries_n++;
	hints.ai_family = ask.family == 4 ? AF_INET : ask.family == 6 ? AF_INET6 : AF_UNSPEC;
	ares_getaddrinfo(r->names.channel, q->host, NULL, &hints, resolved, q);
	sockets_time(r);
}

void names_gone(struct aide *a, struct aide_peer *peer)
{
	struct resolver *r = a->own;

	for (struct query *q = r->queries; q; q = q->next)
		if (q->from == peer)
			q->from = NULL;
	caa_gone(r, peer);
	spread_gone(r, peer);
}
