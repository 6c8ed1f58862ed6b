/*
 * caa.c: which CAA records a name has (RFC 8659) and whether its DNSSEC holds, as far as the system's name servers tell:
 * what the process certs looks at before it asks an authority for a certificate.
 *
 * Called by main.c and c-ares. Owns a channel of its own, on which an answer that tells of a failure is an answer, and the
 * questions under way. Of a name whose DNSSEC does not hold a resolver that validates says SERVFAIL, but to a question
 * with CD (RFC 4035 section 3.2.2): so such a name is asked for three times, lest a server that failed once is taken for that.
 */
#include "resolve.h"

#include <ares.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/must.h"
#include "lib/sys.h"

enum {
	TYPE_CAA = 257,
	CLASS_IN = 1,
	UDP_MAX = 1232,
	HEAD_BYTES = 12,
	AD = 0x20, /* in its fourth byte */
	CD = 0x10,
	RCODE = 0x0f,
	SERVFAIL = 2,
	NXDOMAIN = 3,
	LOOKS_MAX = 64,
	TRY_MS = 2000,
	TRIES = 3,
	VALUE_MAX = 1024,
};

/* In their order: plainly; with CD, because it failed; plainly again, because that did not. */
enum turn { PLAIN, UNCHECKED, AGAIN };

struct caa_query {
	struct caa_query *next, *prev;
	struct resolver *resolver;
	struct aide_peer *from; /* NULL: it is gone */
	uint64_t id;
	enum turn turn;
	char host[256];
};

int caa_open(struct resolver *r)
{
	struct ares_options o = {.flags = ARES_FLAG_NOCHECKRESP | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
		.timeout = TRY_MS,
		.tries = TRIES,
		.sock_state_cb = sockets_want,
		.sock_state_cb_data = &r->caa};
	ares_channel channel;

	if (ares_init_options(&channel, &o,
		    ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) != ARES_SUCCESS)
		return -ENOMEM;
	r->caa.resolver = r;
	r->caa.channel = channel;
	return 0;
}

static void drop(struct caa_query *q)
{
	*(q->prev ? &q->prev->next : &q->resolver->caa_queries) = q->next;
	if (q->next)
		q->next->prev = q->prev;
	q->resolver->queries_n--;
	q->resolver->caa_n--;
	free(q);
}

static void answer(struct caa_query *q, struct msg_caa_looked m, const struct ares_caa_reply *records)
{
	struct buf b;

	buf_init(&b, CHAN_PAYLOAD_MAX - sizeof m);
	for (; records && m.records < CAA_RECORDS_MAX; records = records->next, m.records++) {
		pack_u32(&b, (uint32_t)records->critical & 0xff);
		pack_bytes(&b, records->property, records->plength);
		pack_bytes(&b, records->value, min_of(records->length, (size_t)VALUE_MAX));
	}
	/* Some of them would be another meaning. */
	if (records || b.error) {
		buf_reset(&b);
		m = (struct msg_caa_looked){.state = CAA_SILENT};
	}
	if (q->from)
		aide_answer(q->from, MSG_CAA_LOOKED, q->id, &m, sizeof m, b.p, b.len);
	buf_done(&b);
	drop(q);
}

static void tell(struct caa_query *q, const unsigned char *p, int n)
{
	struct msg_caa_looked m = {.state = CAA_NONE, .secure = (p[3] & AD) != 0};
	struct ares_caa_reply *records = NULL;
	int status = ares_parse_caa_reply(p, n, &records);

	if (status == ARES_SUCCESS && records)
		m.state = CAA_TOLD;
	else if (status != ARES_ENODATA && status != ARES_SUCCESS && (p[3] & RCODE) != NXDOMAIN)
		m.state = CAA_SILENT;
	answer(q, m, records);
	ares_free_data(records);
}

static void ask(struct caa_query *q);

static void answered(void *arg, int status, int timeouts, unsigned char *p, int n)
{
	struct caa_query *q = arg;
	unsigned rcode = status == ARES_SUCCESS && n >= HEAD_BYTES ? p[3] & RCODE : SERVFAIL + 100u;

	(void)timeouts;
	/* The channel is at its end, or who asked is gone. */
	if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED || !q->from) {
		drop(q);
		return;
	}
	if (q->turn != UNCHECKED && (rcode == 0 || rcode == NXDOMAIN)) {
		tell(q, p, n);
	} else if (q->turn == PLAIN && rcode == SERVFAIL) {
		q->turn = UNCHECKED;
		ask(q);
	} else if (q->turn == UNCHECKED && (rcode == 0 || rcode == NXDOMAIN)) {
		q->turn = AGAIN;
		ask(q);
	} else {
		answer(q,
			(struct msg_caa_looked){
				.state = q->turn == AGAIN && rcode == SERVFAIL ? CAA_BOGUS : CAA_SILENT},
			NULL);
	}
}

static void ask(struct caa_query *q)
{
	unsigned char *p = NULL;
	uint16_t id = 0;
	int n = 0;

	if (sys_random(&id, sizeof id) < 0 ||
		ares_create_query(q->host, CLASS_IN, TYPE_CAA, id, 1, &p, &n, UDP_MAX) != ARES_SUCCESS) {
		answer(q, (struct msg_caa_looked){.state = CAA_SILENT}, NULL);
		return;
	}
	/* With AD we say that we know what it means (RFC 6840 section 5.7). */
	p[3] |= q->turn == UNCHECKED ? CD : AD;
	ares_send(q->resolver->caa.channel, p, n, answered, q);
	ares_free_string(p);
}

void caa_heard(struct resolver *r, struct aide_peer *from, const struct msg *m)
{
	struct caa_query *q;
	struct unpack u;
	const char *host;

	unpack_init(&u, m->payload, m->h.len);
	host = unpack_str(&u);
	/* A name that is none gets no answer: only a broken certs asks so. */
	if (!unpack_done(&u) || !host[0] || strlen(host) >= sizeof q->host)
		return;
	q = r->caa_n < LOOKS_MAX && r->queries_n < QUERIES_MAX ? calloc(1, sizeof *q) : NULL;
	if (!q) {
		struct msg_caa_looked silent = {.state = CAA_SILENT};

		aide_answer(from, MSG_CAA_LOOKED, m->h.id, &silent, sizeof silent, NULL, 0);
		return;
	}
	q->resolver = r;
	q->from = from;
	q->id = m->h.id;
	memcpy(q->host, host, strlen(host) + 1);
	q->next = r->caa_queries;
	if (q->next)
		q->next->prev = q;
	r->caa_queries = q;
	r->queries_n++;
	r->caa_n++;
	ask(q);
	sockets_time(r);
}

void caa_gone(struct resolver *r, const struct aide_peer *peer)
{
	for (struct caa_query *q = r->caa_queries; q; q = q->next)
		if (q->from == peer)
			q->from = NULL;
}
