/*
 * order.c: one order as a machine of states; see certs.h. Pure: a state and an answer make a state
 * and the next request (RFC 8555 section 7.4).
 *
 * Called by job.c and by tests that play the authority. Each step is a row: what is asked, and what
 * its answer changes. Everything that an authority keeps for an order it tells again (STEP_LOOK),
 * so of an order only its URL, and the account's, must outlive a process: whoever comes next looks
 * how it stands and goes on there. An order whose URL was not kept yet stays pending at the
 * authority and ends by itself; no certificate comes of it.
 *
 * How names are proved is proof.c's.
 *
 * Bounds: 20 refused nonces in a row, 3 troubles of the network or of the authority's own in a row,
 * 15 min of waiting for one thing.
 */
#include "order.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/hostname.h"
#include "lib/must.h"

enum {
	BAD_NONCES_MAX = 20,
	TROUBLES_MAX = 3,
	TROUBLE_MS = 1000, /* doubled each time */
	FINALIZES_MAX = 5,
	PAYLOAD_MAX = 32 * 1024,
};

void order_init(struct order *o, const struct order_ask *ask, const char *account, const char *url)
{
	memset(o, 0, sizeof *o);
	o->ask = ask;
	o->way = ask->way;
	o->step = STEP_DIRECTORY;
	buf_init(&o->payload, PAYLOAD_MAX);
	buf_init(&o->binding, 4 * ACME_URL_BYTES);
	(void)snprintf(o->account, sizeof o->account, "%s", account);
	(void)snprintf(o->url, sizeof o->url, "%s", url);
	o->resumed = o->url[0] != '\0';
}

void order_done(struct order *o)
{
	buf_done(&o->payload);
	buf_done(&o->binding);
	chain_done(&o->chain);
}

void order_blame(struct order *o, const char *name, const char *what)
{
	problem_set(&o->fail, name, "it is tried again by itself", "%s", what);
	o->fail.blame = CERT_BLAME_AUTHORITY;
	o->step = STEP_FAILED;
}

void order_fail(struct order *o, const char *name, const char *todo, const char *fmt, ...)
{
	char what[ACME_TEXT_BYTES];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	problem_set(&o->fail, name, todo, "%s", what);
	o->step = STEP_FAILED;
}

void order_go(struct order *o, enum order_step step)
{
	o->step = step;
	o->troubles = o->polls = 0;
	o->wait_ms = o->started_ms = 0;
}

/* ---- what is asked ---- */

static void put_account(struct order *o, struct buf *b)
{
	buf_puts(b, "{\"termsOfServiceAgreed\":true");
	if (o->ask->contact[0]) {
		char contact[ACME_NAME_BYTES + 8];

		(void)snprintf(contact, sizeof contact, "mailto:%.255s", o->ask->contact);
		buf_puts(b, ",\"contact\":[");
		buf_put_json(b, contact, strlen(contact));
		buf_putc(b, ']');
	}
	if (o->binding.len) {
		buf_puts(b, ",\"externalAccountBinding\":");
		buf_put(b, o->binding.p, o->binding.len);
	}
	buf_putc(b, '}');
}

static void put_order(struct order *o, struct buf *b)
{
	buf_puts(b, "{\"identifiers\":[");
	for (unsigned i = 0; i < o->ask->nnames; i++) {
		buf_printf(b, "%s{\"type\":\"%s\",\"value\":", i ? "," : "",
			hostname_is_address(o->ask->names[i]) ? "ip" : "dns");
		buf_put_json(b, o->ask->names[i], strlen(o->ask->names[i]));
		buf_putc(b, '}');
	}
	buf_putc(b, ']');
	if (o->ask->replaces[0] && o->directory.renewal_info[0]) {
		buf_puts(b, ",\"replaces\":");
		buf_put_json(b, o->ask->replaces, strlen(o->ask->replaces));
	}
	if (o->ask->profile[0]) {
		buf_puts(b, ",\"profile\":");
		buf_put_json(b, o->ask->profile, strlen(o->ask->profile));
	}
	buf_putc(b, '}');
}

static void put_nothing(struct order *o, struct buf *b)
{
	(void)o;
	buf_puts(b, "{}");
}

static void put_csr(struct order *o, struct buf *b)
{
	buf_puts(b, "{\"csr\":\"");
	buf_puts(b, o->ask->csr);
	buf_puts(b, "\"}");
}

static const char *at_directory(struct order *o)
{
	return o->ask->directory;
}
static const char *at_account(struct order *o)
{
	return o->directory.new_account;
}
static const char *at_order(struct order *o)
{
	return o->directory.new_order;
}
static const char *at_url(struct order *o)
{
	return o->url;
}
static const char *at_finalize(struct order *o)
{
	return o->at.finalize;
}
static const char *at_certificate(struct order *o)
{
	return o->link_i ? o->links[o->link_i - 1] : o->at.certificate;
}

/* The renewal's URL is the resource's with the certificate's name behind a slash; it is built where
 * a payload is. */
static const char *at_renewal(struct order *o)
{
	size_t n = strlen(o->directory.renewal_info);

	buf_reset(&o->payload);
	buf_puts(&o->payload, o->directory.renewal_info);
	if (n && o->directory.renewal_info[n - 1] != '/')
		buf_putc(&o->payload, '/');
	buf_puts(&o->payload, o->ask->replaces);
	return buf_str(&o->payload);
}

/* ---- what an answer changes ---- */

uint64_t order_pause(unsigned polls, uint64_t asked_ms)
{
	uint64_t own_ms = (uint64_t)POLL_MS << (polls < 10 ? polls : 10);

	/* The authority knows best. */
	return asked_ms ? max_of(asked_ms, (uint64_t)POLL_MS)
			: min_of(own_ms, (uint64_t)POLL_MS_MAX);
}

/* The same again, a little later. False: it has been long enough. */
static bool wait_more(struct order *o, const struct answer *a, uint64_t now_ms, uint64_t now_s)
{
	if (!o->started_ms)
		o->started_ms = now_ms ? now_ms : 1;
	o->wait_ms = order_pause(o->polls++, answer_retry_after(a->retry_after, now_s));
	return now_ms + o->wait_ms < o->started_ms + WAIT_MS_MAX;
}

void order_garbled(struct order *o, const char *what)
{
	order_fail(o, "",
		"see that the URL is an ACME directory; the authority's status page may say more",
		"what the authority at %.200s says of %s is not in the form of RFC 8555",
		o->ask->directory, what);
	o->fail.blame = CERT_BLAME_AUTHORITY;
}

/* Is it one of the words between blanks? */
static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (; *words; words += strcspn(words, " "), words += *words == ' ')
		if (strncmp(words, word, n) == 0 && (words[n] == ' ' || !words[n]))
			return true;
	return false;
}

/* What the directory tells already: can this authority do it? */
static bool can_order(struct order *o)
{
	const struct acme_directory *d = &o->directory;

	if (d->account_bound && !o->account[0] && !o->ask->eab_kid[0])
		order_fail(o, "",
			"write what its customer desk gave in AcmeEabKid= and AcmeEabKey=, or choose another "
			"authority with AcmeDirectory=",
			"the authority issues to its customers only");
	else if (o->ask->profile[0] && !has_word(d->profiles, o->ask->profile))
		order_fail(o, "", "correct Profile=, or take it out", "the authority has no profile %s%s%.300s",
			o->ask->profile, d->profiles[0] ? "; it has: " : ", and no others", d->profiles);
	else
		return true;
	return false;
}

static void heard_directory(
	struct order *o, const struct answer *a, uint64_t now_ms, uint64_t now_s)
{
	(void)now_ms;
	(void)now_s;
	if (answer_directory(a->body, a->body_n, &o->directory) < 0)
		order_garbled(o, "itself");
	else if (o->ask->terms_only || (o->ask->renewal_only && !o->directory.renewal_info[0]))
		order_go(o, STEP_DONE);
	else if (o->ask->renewal_only)
		order_go(o, STEP_RENEWAL);
	else if (!can_order(o))
		return;
	else if (o->url[0] && o->account[0])
		order_go(o, STEP_LOOK);
	else
		order_go(o, STEP_OFFER_PROBE);
}

static void heard_renewal(struct order *o, const struct answer *a, uint64_t now_ms, uint64_t now_s)
{
	(void)now_ms;
	if (answer_renewal(a->body, a->body_n, &o->renew_start_s, &o->renew_end_s) < 0) {
		order_garbled(o, "the renewal");
		return;
	}
	o->look_again_ms = answer_retry_after(a->retry_after, now_s);
	order_go(o, STEP_DONE);
}

/* A new resource's URL. False: failed. */
static bool take_location(
	struct order *o, const struct answer *a, const char *what, char ret[ACME_URL_BYTES])
{
	size_t n = a->location ? strlen(a->location) : 0;

	if (!n || !answer_is_url(a->location, n)) {
		order_garbled(o, what);
		return false;
	}
	memcpy(ret, a->location, n + 1);
	return true;
}

static void heard_account(struct order *o, const struct answer *a, uint64_t now_ms, uint64_t now_s)
{
	(void)now_ms;
	(void)now_s;
	if (take_location(o, a, "the account", o->account))
		order_go(o, STEP_KEEP_ACCOUNT);
}

static void heard_order(struct order *o, const struct answer *a, uint64_t now_ms, uint64_t now_s)
{
	(void)now_ms;
	(void)now_s;
	if (answer_order(a->body, a->body_n, &o->at) < 0)
		order_garbled(o, "the order");
	else if (take_location(o, a, "the order", o->url)) {
		o->authz_i = o->nproofs = 0;
		order_go(o, STEP_KEEP_ORDER);
	}
}

/* An order that was kept is of no use any more: make another, once. */
bool order_drop(struct order *o)
{
	if (!o->resumed)
		return false;
	o->resumed = false;
	o->url[0] = '\0';
	order_go(o, STEP_OFFER_PROBE);
	return true;
}

static void heard_look(struct order *o, const struct answer *a, uint64_t now_ms, uint64_t now_s)
{
	if (answer_order(a->body, a->body_n, &o->at) < 0) {
		order_garbled(o, "the order");
		return;
	}
	switch (o->at.status) {
	case ACME_PENDING:
		/* Behind the last of its names the authority still has to see that they are all
		 * good. */
		if (o->ask->else_tls && !o->probed)
			order_go(o, STEP_OFFER_PROBE); /* one that was kept: by which way? */
		else if (o->authz_i < o->at.nauthz)
			order_go(o, STEP_AUTHZ);
		else if (!wait_more(o, a, now_ms, now_s))
			order_blame(o, "", "the authority did not get on with the order within 15 min");
		break;
	case ACME_READY:
		order_go(o, STEP_FINALIZE);
		break;
	case ACME_PROCESSING:
		if (!wait_more(o, a, now_ms, now_s))
			order_blame(o, "", "the authority did not issue within 15 min");
		break;
	case ACME_VALID:
		order_go(o, STEP_DOWNLOAD);
		break;
	default:
		if (order_drop(o))
			break;
		problem_say(&o->at.problem, a->status, "the order", &o->fail);
		o->fail.blame = CERT_BLAME_NAME;
		o->step = STEP_FAILED;
		o->url[0] = '\0';
	}
}

static void heard_finalize(struct order *o, const struct answer *a, uint64_t now_ms, uint64_t now_s)
{
	uint64_t wait;

	heard_look(o, a, now_ms, now_s);
	if (o->step != STEP_FINALIZE)
		return;
	/* It takes time: look how it stands. */
	wait = o->wait_ms ? o->wait_ms : POLL_MS;
	order_go(o, STEP_LOOK);
	o->wait_ms = wait;
	if (++o->finalizes > FINALIZES_MAX)
		order_blame(o, "", "the authority did not take the request for the certificate");
}

/* ---- the steps ---- */

static const struct step {
	enum order_do what;
	const char *(*url)(struct order *o);
	void (*payload)(struct order *o, struct buf *b); /* NULL: POST-as-GET */
	bool by_key;
	void (*heard)(struct order *o, const struct answer *a, uint64_t now_ms, uint64_t now_s);
	enum order_step then; /* of what is not a request */
	const char *doing;    /* for people */
} steps[STEP_END] = {
	[STEP_DIRECTORY] = {ORDER_GET, at_directory, NULL, false, heard_directory, 0,
		"its directory"},
	[STEP_OFFER_PROBE] = {ORDER_OFFER, .then = STEP_PROBE},
	[STEP_PROBE] = {ORDER_PROBE},
	[STEP_BIND] = {ORDER_BIND},
	[STEP_ACCOUNT] = {ORDER_POST, at_account, put_account, true, heard_account, 0,
		"the account"},
	[STEP_KEEP_ACCOUNT] = {ORDER_KEEP, .then = STEP_ORDER},
	[STEP_ORDER] = {ORDER_POST, at_order, put_order, false, heard_order, 0, "the order"},
	[STEP_KEEP_ORDER] = {ORDER_KEEP, .then = STEP_LOOK},
	[STEP_LOOK] = {ORDER_POST, at_url, NULL, false, heard_look, 0, "a look at the order"},
	[STEP_AUTHZ] = {ORDER_POST, proof_at_authz, NULL, false, proof_heard_authz, 0,
		"a look at a name's proof"},
	[STEP_OFFER] = {ORDER_OFFER},
	[STEP_ANSWER] = {ORDER_POST, proof_at_challenge, put_nothing, false, proof_heard_begun, 0,
		"the proof for a name"},
	[STEP_POLL] = {ORDER_POST, proof_at_poll, NULL, false, proof_heard_poll, 0,
		"a look at a name's proof"},
	[STEP_WITHDRAW] = {ORDER_WITHDRAW},
	[STEP_FINALIZE] = {ORDER_POST, at_finalize, put_csr, false, heard_finalize, 0,
		"the request for the certificate"},
	[STEP_DOWNLOAD] = {ORDER_POST, at_certificate, NULL, false, choice_heard, 0,
		"the certificate"},
	[STEP_RENEWAL] = {ORDER_GET, at_renewal, NULL, false, heard_renewal, 0, "when to renew"},
	[STEP_DONE] = {ORDER_DONE},
	[STEP_FAILED] = {ORDER_FAILED},
};

void order_next(struct order *o, struct order_next *ret)
{
	const struct step *s = &steps[o->step];

	*ret = (struct order_next){.what = s->what, .by_key = s->by_key};
	if (o->wait_ms) {
		ret->what = ORDER_WAIT;
		ret->wait_ms = o->wait_ms;
	} else if (o->step == STEP_OFFER_PROBE) {
		ret->way = CERT_BY_HTTP;
		ret->name = "";
		ret->token = ret->text = o->ask->token;
	} else if (o->step == STEP_OFFER || o->step == STEP_WITHDRAW) {
		proof_next(o, ret);
	} else if (s->what == ORDER_BIND) {
		buf_reset(&o->payload);
		jws_put_binding_input(&o->payload, &o->ask->account_key, o->ask->eab_kid, o->directory.new_account);
		ret->text = buf_str(&o->payload);
	} else if (s->what == ORDER_POST && !o->nonce[0]) {
		ret->what = ORDER_HEAD;
		ret->url = o->directory.new_nonce;
	} else if (s->url) {
		buf_reset(&o->payload);
		if (s->payload) {
			s->payload(o, &o->payload);
			ret->payload = buf_str(&o->payload);
		}
		ret->url = s->url(o);
	}
}

/* Not this time, but it may be better soon. */
static void trouble(
	struct order *o, const struct answer *a, uint64_t now_s, const struct acme_fail *why)
{
	uint64_t asked = answer_retry_after(a->retry_after, now_s);

	/* Before anything has begun nothing is lost by an end. */
	if (o->step == STEP_DIRECTORY || ++o->troubles > TROUBLES_MAX || asked > WAIT_MS_MAX) {
		o->fail = *why;
		o->fail.retry_ms = asked;
		/* What it gives too much of is between it and these names; the rest is its own trouble. */
		o->fail.blame = why->limited ? CERT_BLAME_NAME : CERT_BLAME_AUTHORITY;
		o->step = STEP_FAILED;
		return;
	}
	o->wait_ms = max_of(asked, (uint64_t)TROUBLE_MS << (o->troubles - 1));
}

/* Whose it is has to be signed first, where the authority asks for that. */
static void make_account(struct order *o)
{
	order_go(o, o->directory.account_bound ? STEP_BIND : STEP_ACCOUNT);
}

/* The authority said no. */
static void refused(struct order *o, const struct answer *a, uint64_t now_s)
{
	struct acme_problem p = {0};
	struct acme_fail why;

	(void)answer_problem(a->body, a->body_n, &p);
	problem_say(&p, a->status, steps[o->step].doing, &why);
	if (strcmp(p.type, "badNonce") == 0) {
		/* Its answer brought another one. */
		if (++o->bad_nonces > BAD_NONCES_MAX)
			order_blame(o, "", "the authority refused every nonce it gave");
	} else if (strcmp(p.type, "accountDoesNotExist") == 0 && o->account[0] &&
		   !o->account_anew) {
		o->account_anew = true;
		o->account[0] = o->url[0] = '\0';
		o->resumed = false;
		if (can_order(o))
			make_account(o);
	} else if (o->step == STEP_ACCOUNT && o->binding.len && !why.limited && a->status < 500) {
		problem_set(&o->fail, "", "correct AcmeEabKid= and AcmeEabKey=: its customer desk says what they are",
			"the authority does not know the external account (it says: %.300s)", p.detail);
		o->step = STEP_FAILED;
	} else if (o->step == STEP_ORDER && o->ask->replaces[0] && a->status < 500 &&
		   !why.limited && strcmp(p.type, "alreadyReplaced") == 0) {
		o->directory.renewal_info[0] = '\0'; /* the order is made without it */
	} else if (o->step == STEP_FINALIZE && strcmp(p.type, "orderNotReady") == 0 &&
		   ++o->finalizes <= FINALIZES_MAX) {
		/* It has the request already: its answer was lost on the way. */
		order_go(o, STEP_LOOK);
	} else if (a->status >= 500 || why.limited) {
		trouble(o, a, now_s, &why);
	} else if ((o->step == STEP_LOOK || o->step == STEP_AUTHZ) && order_drop(o)) {
		return;
	} else {
		o->fail = why;
		o->fail.retry_ms = answer_retry_after(a->retry_after, now_s);
		o->fail.blame = CERT_BLAME_NAME;
		o->step = STEP_FAILED;
	}
}

void order_answer(struct order *o, const struct answer *a, uint64_t now_ms, uint64_t now_s)
{
	const struct step *s = &steps[o->step];
	bool for_nonce = s->what == ORDER_POST && !o->nonce[0];
	size_t n = a->nonce ? strlen(a->nonce) : 0;

	must(s->what == ORDER_GET || s->what == ORDER_POST);
	/* One is good for one request. */
	o->nonce[0] = '\0';
	if (n && n < sizeof o->nonce && answer_is_base64url(a->nonce, n))
		memcpy(o->nonce, a->nonce, n + 1);
	if (o->step == STEP_DOWNLOAD && o->link_i && !for_nonce && (a->error || a->status != 400)) {
		choice_heard_other(o, a);
	} else if (a->error) {
		struct acme_fail why;

		problem_set(&why, "",
			"see that this machine reaches the authority, also through a firewall",
			"the authority at %.200s cannot be reached: %.200s", o->ask->directory,
			a->error);
		trouble(o, a, now_s, &why);
	} else if (a->status < 200 || a->status > 299) {
		refused(o, a, now_s);
	} else if (for_nonce) {
		if (!o->nonce[0])
			order_garbled(o, "nonces");
	} else {
		o->bad_nonces = 0;
		s->heard(o, a, now_ms, now_s);
	}
}

void order_went(struct order *o)
{
	const struct step *s = &steps[o->step];

	if (o->wait_ms) {
		o->wait_ms = 0;
		return;
	}
	must(s->what == ORDER_KEEP || s->what == ORDER_OFFER || s->what == ORDER_WITHDRAW);
	if (o->step == STEP_OFFER || o->step == STEP_WITHDRAW)
		proof_went(o);
	else
		order_go(o, s->then);
}

void order_probed(struct order *o, const struct acme_fail *why)
{
	must(o->step == STEP_PROBE);
	o->probed = true;
	if (why) {
		o->fail = *why;
		o->step = STEP_FAILED;
	} else if (o->url[0] && o->account[0]) {
		order_go(o, STEP_LOOK);
	} else {
		if (o->account[0])
			order_go(o, STEP_ORDER);
		else
			make_account(o);
	}
}

void order_bound(struct order *o, const void *mac, size_t n)
{
	const char *input;

	must(o->step == STEP_BIND);
	input = buf_str(&o->payload);
	buf_reset(&o->binding);
	if (jws_put_binding(&o->binding, input, o->payload.len, mac, n) < 0)
		order_fail(o, "", "report it: this is a bug in stead", "the external account cannot be named");
	else
		order_go(o, STEP_ACCOUNT);
}
