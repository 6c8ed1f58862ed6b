/*
 * proof.c: the middle of an order: its names are proved, several at a time (RFC 8555 section 7.5);
 * see order.h.
 *
 * Called by order.c's table of steps. Pure like that. A name is looked at, what answers for it is
 * offered, the authority is told that it may look, and the next name has its turn while it does; at
 * most ORDER_PROOFS_MAX are under way. Then they are looked at in rounds, with pauses that grow, or
 * as long as the authority wants; where one is proved, what answered for it is withdrawn, and behind
 * the round another name has its place. One that is refused ends the order.
 */
#include "order.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "lib/must.h"

static const char *const ways[CERT_WAYS] = {"HTTP (http-01)", "TLS (tls-alpn-01)", "DNS (dns-01)"};

static struct proof *newest(struct order *o)
{
	must(o->nproofs > 0);
	return &o->proof[o->nproofs - 1];
}

const char *proof_at_authz(struct order *o)
{
	return o->at.authz[o->authz_i];
}

const char *proof_at_challenge(struct order *o)
{
	return newest(o)->challenge.url;
}

const char *proof_at_poll(struct order *o)
{
	return o->at.authz[o->proof[o->proof_i].authz];
}

/* The first of a round, behind a pause. */
static void next_round(struct order *o)
{
	uint64_t pause = order_pause(o->rounds++, o->asked_ms);

	o->proof_i = 0;
	o->asked_ms = 0;
	order_go(o, STEP_POLL);
	o->wait_ms = pause;
}

/* Places that are free go to names that wait; then there is another round. */
static void fill(struct order *o)
{
	if (o->authz_i < o->at.nauthz && o->nproofs < ORDER_PROOFS_MAX)
		order_go(o, STEP_AUTHZ);
	else if (o->nproofs)
		next_round(o);
	else
		order_go(o, STEP_LOOK);
}

static void look_on(struct order *o)
{
	if (o->proof_i < o->nproofs)
		order_go(o, STEP_POLL);
	else
		fill(o);
}

static void failed(struct order *o, unsigned status)
{
	problem_say(&o->authz.problem, status, "the proof for that name", &o->fail);
	o->fail.blame = CERT_BLAME_NAME;
	o->step = STEP_FAILED;
	/* The order is spent; the next try begins with another. */
	o->url[0] = '\0';
}

/* What answers for that proof. False: it cannot be computed. */
static bool authorize(struct order *o, const struct proof *p)
{
	char thumb[44], text[ACME_TOKEN_BYTES + 48];
	uint8_t sum[32];
	struct buf b;

	if (jws_thumbprint(&o->ask->account_key, thumb) < 0)
		return false;
	(void)snprintf(text, sizeof text, "%s.%s", p->challenge.token, thumb);
	buf_fixed(&b, o->authorization, sizeof o->authorization - 1);
	if (p->way == CERT_BY_HTTP)
		buf_puts(&b, text);
	else if (EVP_Digest(text, strlen(text), sum, NULL, EVP_sha256(), NULL) != 1)
		return false;
	else if (p->way == CERT_BY_DNS)
		base64url_put(&b, sum, sizeof sum);
	else
		for (size_t i = 0; i < sizeof sum; i++)
			buf_printf(&b, "%02x", sum[i]);
	o->authorization[b.len] = '\0';
	return b.error == 0;
}

static void begin(struct order *o)
{
	/* A name of a whole range can be proved by DNS only (RFC 8555 section 7.1.3). */
	enum cert_way way = o->authz.wildcard ? CERT_BY_DNS : o->way;
	struct proof *p = &o->proof[o->nproofs];

	if (!o->authz.by[way].token[0]) {
		order_fail(o, o->authz.name,
			"choose another way with Challenge=, another authority with "
			"AcmeDirectory=, or bring a certificate: Certificate=",
			"the authority offers no proof by %s for it", ways[way]);
		return;
	}
	*p = (struct proof){.authz = o->authz_i, .way = way, .challenge = o->authz.by[way]};
	memcpy(p->name, o->authz.name, sizeof p->name);
	if (!authorize(o, p)) {
		order_fail(
			o, "", "report it: this is a bug in stead", "the proof cannot be computed");
		return;
	}
	o->nproofs++;
	o->authz_i++;
	order_go(o, STEP_OFFER);
}

void proof_heard_authz(struct order *o, const struct answer *a, uint64_t now_ms, uint64_t now_s)
{
	(void)now_ms;
	(void)now_s;
	if (answer_authz(a->body, a->body_n, &o->authz) < 0) {
		order_garbled(o, "a name's proof");
	} else if (o->authz.status == ACME_VALID) {
		o->authz_i++;
		fill(o);
	} else if (o->authz.status == ACME_PENDING) {
		begin(o);
	} else if (!order_drop(o)) {
		failed(o, a->status);
	}
}

/* Soon there may be something to see. */
static void begun(struct order *o)
{
	o->rounds = 0;
	fill(o);
}

void proof_heard_begun(struct order *o, const struct answer *a, uint64_t now_ms, uint64_t now_s)
{
	o->asked_ms = max_of(o->asked_ms, answer_retry_after(a->retry_after, now_s));
	newest(o)->started_ms = now_ms ? now_ms : 1;
	begun(o);
}

void proof_heard_poll(struct order *o, const struct answer *a, uint64_t now_ms, uint64_t now_s)
{
	struct proof *p = &o->proof[o->proof_i];

	if (!p->started_ms)
		p->started_ms = now_ms ? now_ms : 1;
	if (answer_authz(a->body, a->body_n, &o->authz) < 0) {
		order_garbled(o, "a name's proof");
	} else if (o->authz.status == ACME_VALID) {
		order_go(o, STEP_WITHDRAW);
	} else if (o->authz.status != ACME_PENDING) {
		failed(o, a->status);
	} else if (now_ms >= p->started_ms + WAIT_MS_MAX) {
		order_blame(o, p->name, "the authority did not look at it within 15 min");
	} else {
		o->asked_ms = max_of(o->asked_ms, answer_retry_after(a->retry_after, now_s));
		o->proof_i++;
		look_on(o);
	}
}

void proof_next(const struct order *o, struct order_next *ret)
{
	const struct proof *p =
		&o->proof[o->step == STEP_OFFER ? o->nproofs - 1 : o->proof_i];

	ret->way = p->way;
	ret->name = p->name;
	ret->token = p->challenge.token;
	ret->text = o->step == STEP_OFFER ? o->authorization : "";
}

void proof_went(struct order *o)
{
	if (o->step == STEP_WITHDRAW) {
		o->proof[o->proof_i] = o->proof[--o->nproofs];
		look_on(o);
	} else if (newest(o)->challenge.begun) {
		begun(o);
	} else {
		order_go(o, STEP_ANSWER);
	}
}
