/*
 * acme_offer.c: what proves a name to an authority, for as long as it may look: tokens that all gates
 * answer, certificates (acme_prove.c) that all gates show.
 *
 * Called by acme_job.c for jobs of certs, and when gates come, go and know. Owns the tokens: each
 * new gate is told them again, in the order in which they came; at a job's end they are forgotten
 * everywhere. Those of a job whose process died stay for whoever goes on with its order.
 */
#include "ctl.h"

#include <stdlib.h>
#include <string.h>

#include "lib/hostname.h"

enum { CHALLENGE_MS = 60 * 60 * 1000 };

static void tell_token(struct gate_peer *g, const struct cert_challenge *ch, uint64_t forget_ms)
{
	struct msg_challenge m = {.forget_ms = forget_ms};
	struct buf b;

	buf_init(&b, 1024);
	pack_str(&b, ch->token);
	pack_str(&b, ch->text);
	if (!b.error)
		(void)chan_send(&g->chan, MSG_CHALLENGE, ch->id, &m, sizeof m, b.p, b.len, NULL, 0);
	buf_done(&b);
}

static void tell_certificate(
	struct gate_peer *g, const struct cert_challenge *ch, uint64_t forget_ms)
{
	struct msg_challenge_tls m = {.forget_ms = forget_ms};
	char sni[HOSTNAME_REVERSE_MAX];
	struct buf b;

	memcpy(m.key, ch->key, sizeof m.key);
	/* Of an address it is the name of SNI that differs (RFC 8738 section 6). */
	hostname_reverse(ch->name, sni);
	buf_init(&b, 512 + CHALLENGE_DER_MAX);
	pack_str(&b, sni);
	pack_bytes(&b, ch->der, ch->der_n);
	if (!b.error)
		(void)chan_send(
			&g->chan, MSG_CHALLENGE_TLS, ch->id, &m, sizeof m, b.p, b.len, NULL, 0);
	buf_done(&b);
}

static void tell(struct gate_peer *g, const struct cert_challenge *ch, uint64_t forget_ms)
{
	if (!g->greeted || !chan_open(&g->chan) || !ch->id)
		return;
	if (ch->way == CERT_BY_TLS)
		tell_certificate(g, ch, forget_ms);
	else
		tell_token(g, ch, forget_ms);
}

static void tell_all(struct ctl *c, const struct cert_challenge *ch, uint64_t forget_ms)
{
	for (unsigned i = 0; i < CTL_GATES_MAX; i++)
		tell(&c->gate[i], ch, forget_ms);
}

void acme_gate_up(struct gate_peer *g)
{
	struct certs *certs = &g->ctl->certs;
	uint64_t now = loop_now_ms(g->ctl->loop), told = 0;

	g->challenged = 0;
	/* The oldest first: who knows one knows all before it. */
	for (;;) {
		const struct cert_challenge *next = NULL;

		for (unsigned i = 0; i < CERT_CHALLENGES_MAX; i++) {
			const struct cert_challenge *ch = &certs->challenges[i];

			if (ch->until_ms > now && ch->id > told && (!next || ch->id < next->id))
				next = ch;
		}
		if (!next)
			return;
		told = next->id;
		tell(g, next, next->until_ms - now);
	}
}

static bool all_know(const struct ctl *c, uint64_t id)
{
	for (unsigned i = 0; i < CTL_GATES_MAX; i++)
		if (c->gate[i].greeted && chan_open(&c->gate[i].chan) && c->gate[i].challenged < id)
			return false;
	return true;
}

/* To certs: it is offered; or why not. */
static void answer(struct ctl *c, uint64_t job, const char *what, const char *todo)
{
	struct buf b;

	buf_init(&b, 2048);
	pack_str(&b, what);
	pack_str(&b, todo);
	if (!b.error)
		(void)chan_send(
			&c->certs.chan, MSG_CERT_OFFERED, job, b.p, b.len, NULL, 0, NULL, 0);
	buf_done(&b);
}

void acme_settle(struct ctl *c)
{
	for (struct cert *cert = c->certs.all; cert; cert = cert->next)
		if (cert->job && cert->offer && all_know(c, cert->offer)) {
			cert->offer = 0;
			answer(c, cert->job, "", "");
		}
}

void acme_gate_knows(struct gate_peer *g, uint64_t id)
{
	g->challenged = max_of(g->challenged, id);
	acme_settle(g->ctl);
}

static void forget(struct ctl *c, struct cert_challenge *ch)
{
	tell_all(c, ch, 0);
	ch->job = 0;
	if (acme_record_forget(c, ch))
		return;
	free(ch->der);
	*ch = (struct cert_challenge){0};
}

/* One whose record is being taken away is none any more. */
static struct cert_challenge *find(struct ctl *c, const char *token)
{
	for (unsigned i = 0; i < CERT_CHALLENGES_MAX; i++)
		if (c->certs.challenges[i].until_ms &&
			c->certs.challenges[i].record < RECORD_UNWANTED &&
			strcmp(c->certs.challenges[i].token, token) == 0)
			return &c->certs.challenges[i];
	return NULL;
}

/* Who gives way first: what is over, then what nobody has asked for again, then the oldest. */
static bool is_before(const struct cert_challenge *a, const struct cert_challenge *b, uint64_t now)
{
	bool over[2] = {a->until_ms <= now, b->until_ms <= now};

	/* A record is not forgotten as long as it is in the zone. */
	if (!a->record != !b->record)
		return !a->record;
	if (over[0] != over[1])
		return over[0];
	if (!a->job != !b->job)
		return !a->job;
	return a->id < b->id;
}

static struct cert_challenge *place_for(struct ctl *c, const char *token)
{
	uint64_t now = loop_now_ms(c->loop);
	struct cert_challenge *at = find(c, token);

	if (at)
		return at;
	at = &c->certs.challenges[0];
	for (unsigned i = 1; i < CERT_CHALLENGES_MAX; i++)
		if (is_before(&c->certs.challenges[i], at, now))
			at = &c->certs.challenges[i];
	if (at->until_ms)
		forget(c, at);
	return at;
}

void acme_offered(struct ctl *c, struct cert_challenge *ch)
{
	ch->id = ++c->ids;
	for (struct cert *cert = c->certs.all; cert; cert = cert->next)
		if (cert->job && cert->job == ch->job)
			cert->offer = ch->id;
	tell_all(c, ch, CHALLENGE_MS);
	acme_settle(c);
}

void acme_offered_elsewhere(struct ctl *c, const struct cert_challenge *ch)
{
	if (ch->job)
		answer(c, ch->job, "", "");
}

void acme_not_offered(struct ctl *c, struct cert_challenge *ch, const char *what, const char *todo)
{
	if (ch->job)
		answer(c, ch->job, what, todo);
	forget(c, ch);
}

/* Texts point into the message. False: it is not in form. */
static bool read_offer(const struct msg *m, struct msg_cert_offer *ret, const char **ret_name,
	const char **ret_token, const char **ret_text)
{
	struct unpack u;
	const char *tail;
	size_t n;

	if (msg_get(m, ret, sizeof *ret, sizeof *ret) < 0)
		return false;
	tail = msg_tail(m, sizeof *ret, &n);
	unpack_init(&u, tail, n);
	*ret_name = unpack_str(&u);
	*ret_token = unpack_str(&u);
	*ret_text = unpack_str(&u);
	return unpack_done(&u) && ret->way < CERT_WAYS;
}

void acme_offer(struct ctl *c, struct cert *cert, const struct msg *m)
{
	const char *name, *token, *text;
	struct msg_cert_offer said;
	struct cert_challenge *ch;

	if (!read_offer(m, &said, &name, &token, &text) || strlen(token) >= sizeof ch->token ||
		strlen(text) >= sizeof ch->text || strlen(name) >= sizeof ch->name)
		return;
	ch = place_for(c, token);
	if (ch->until_ms && ch->record) {
		/* An earlier try of the same order left it, there or on its way. */
		ch->job = cert->job;
		acme_record(c, ch);
		return;
	}
	free(ch->der);
	*ch = (struct cert_challenge){.until_ms = loop_now_ms(c->loop) + CHALLENGE_MS,
		.job = cert->job,
		.way = (enum cert_way)said.way};
	memcpy(ch->token, token, strlen(token) + 1);
	memcpy(ch->text, text, strlen(text) + 1);
	memcpy(ch->name, name, strlen(name) + 1);
	if (ch->way == CERT_BY_TLS)
		acme_prove(c, ch);
	else if (ch->way == CERT_BY_DNS)
		acme_record(c, ch);
	else
		acme_offered(c, ch);
}

void acme_withdraw(struct ctl *c, const struct cert *cert, const struct msg *m)
{
	const char *name, *token, *text;
	struct msg_cert_offer said;
	struct cert_challenge *ch;

	if (!read_offer(m, &said, &name, &token, &text))
		return;
	ch = find(c, token);
	if (ch && ch->job == cert->job)
		forget(c, ch);
}

void acme_offers_end(struct ctl *c, uint64_t job)
{
	for (unsigned i = 0; i < CERT_CHALLENGES_MAX; i++)
		if (c->certs.challenges[i].until_ms && c->certs.challenges[i].job == job && job)
			forget(c, &c->certs.challenges[i]);
}

void acme_offers_left(struct ctl *c)
{
	for (unsigned i = 0; i < CERT_CHALLENGES_MAX; i++)
		c->certs.challenges[i].job = 0;
}
