/*
 * acme.c: certificates that stead gets by itself (RFC 8555): when each is got and got again, and the
 * way of each: a key is made by keys, an order is driven by certs, tokens go to the gates, the chain
 * goes into the next snapshot. Which sites want one is acme_want.c's.
 *
 * Called when a snapshot has been made, with messages of keys, certs and gates, and by its timer. Everything that a successor must know is in the state before the next
 * step is done (state_cert.c): a ctl or a certs that dies at any point costs time, and never a
 * second certificate. Only names of the configuration are asked for, and
 * those that a guard permits (demand.c).
 */
#include "sites.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base64.h"
#include "lib/hostname.h"
#include "lib/sys.h"
#include "snap/vault.h"

enum { LOOK_S = 3600, DAY_S = 86400, SHORT_S = 10 * DAY_S, REST_S = 20 };

/* ---- when ---- */

static uint64_t now_s(struct ctl *c)
{
	return loop_wall_us(c->loop) / 1000000;
}

/* At a random second shortly before two thirds of its life are over, behind which it is late; of a short one behind half of
 * it; so that many do not come at once. */
uint64_t acme_renewal_of(const struct cert *cert)
{
	uint64_t life = cert->not_after_s - cert->not_before_s, then = life < SHORT_S ? life / 2 : life * 2 / 3 - life / 20;

	return cert->not_before_s + then + acme_chance(life / 20 + 1);
}

static bool is_due(const struct cert *cert, uint64_t now)
{
	if (!cert->wanted || cert->job || cert->refused)
		return false;
	/* Other names than those it is for: at once, but not again and again. */
	if (!cert->failures && strcmp(cert->wanted, cert->names) != 0)
		return true;
	return cert->next_s <= now;
}

static bool may_look(const struct cert *cert)
{
	return cert->wanted && cert->n && cert->ari[0] && !cert->job;
}

/* Sites for which a key is being made: an order follows each. */
static unsigned keys_made(const struct ctl *c)
{
	unsigned n = 0;

	for (const struct cert *cert = c->certs.all; cert; cert = cert->next)
		n += cert->making;
	return n;
}

static bool is_idle(const struct ctl *c)
{
	bool idle = c->certs.wanted && c->certs.greeted && c->certs.jobs == 0 && !c->certs.terms_job &&
		    keys_made(c) == 0 && demand_idle(c);

	for (const struct client *cl = c->clients; cl && idle; cl = cl->next)
		idle = !cl->reading_terms;
	return idle;
}

/* certs holds 12 MB for what is to be done once in weeks: it ends when it had nothing to do for a while and nothing is due
 * soon. In how many seconds that is to be asked again; UINT64_MAX: not. */
static uint64_t rest(struct ctl *c, uint64_t due_s)
{
	struct msg_want m = {.role = PROC_CERTS, .app = WANT_NO_MORE};
	uint64_t now_ms = loop_now_ms(c->loop), since;

	if (!is_idle(c) || due_s < REST_S) {
		c->certs.idle_ms = 0;
		return UINT64_MAX;
	}
	if (!c->certs.idle_ms)
		c->certs.idle_ms = now_ms;
	since = (now_ms - c->certs.idle_ms) / 1000;
	if (since < REST_S)
		return REST_S - since;
	c->certs.idle_ms = 0;
	c->certs.wanted = false;
	(void)parent_send(c, MSG_WANT, 0, &m, sizeof m, NULL, 0, NULL, 0);
	return UINT64_MAX;
}

static void arm(struct ctl *c)
{
	uint64_t now = now_s(c), wait = LOOK_S, then;
	bool any = false;

	for (const struct cert *cert = c->certs.all; cert; cert = cert->next) {
		uint64_t at = cert->next_s;

		if (!cert->wanted || cert->job || cert->making)
			continue;
		any = true;
		if (cert->refused)
			at = UINT64_MAX;
		if (may_look(cert))
			at = min_of(at, cert->look_s);
		wait = min_of(wait, cert->check || at <= now ? 1 : at - now);
	}
	then = rest(c, any ? wait : UINT64_MAX);
	c->certs.timer.op.kind = OP_ACME;
	loop_timer_stop(c->loop, &c->certs.timer);
	if (any || then != UINT64_MAX)
		loop_timer_in(c->loop, &c->certs.timer, min_of(wait, then) * 1000);
}

void acme_on_timer(struct loop *l, struct op *op, int res)
{
	(void)l;
	(void)res;
	acme_turn(container_of(op, struct ctl, certs.timer.op));
}

void acme_failed(struct ctl *c, struct cert *cert, const char *about, const char *what,
	const char *todo, uint64_t wait_s)
{
	cert->failures++;
	cert->next_s = now_s(c) + max_of(acme_pause_of(cert->failures), wait_s);
	(void)snprintf(cert->what, sizeof cert->what, "%s", what);
	(void)snprintf(cert->todo, sizeof cert->todo, "%s", todo);
	(void)snprintf(cert->about, sizeof cert->about, "%s", about);
	(void)state_save_cert(c, cert);
	if (cert->of)
		demand_failed(c, cert);
	say(c, EV_CERT_FAILED, "site", cert->of ? cert->of : cert->site, "name", about, "why", what, "help", todo, NULL);
}

/* ---- keys ---- */

static void ask_key(struct ctl *c, struct cert *cert, uint64_t id)
{
	struct msg_key_make m = {.kind = cert ? KEY_CERTIFICATE : KEY_ACCOUNT};
	struct buf b;

	buf_init(&b, CHAN_PAYLOAD_MAX - sizeof m);
	m.names = certs_pack_names(&b, cert ? cert->wanted : "");
	if (!b.error)
		(void)chan_send(&c->keys.chan, MSG_KEY_MAKE, id, &m, sizeof m, b.p, b.len, NULL, 0);
	buf_done(&b);
}

static bool take_key(
	struct cert_key *key, const struct msg_key_made *said, const char *box, size_t n)
{
	void *copy = n && n <= VAULT_BOX_MAX ? malloc(n) : NULL;

	if (!copy)
		return false;
	memcpy(copy, box, n);
	free(key->box);
	memcpy(key->id, said->id, sizeof key->id);
	key->box = copy;
	key->box_n = n;
	return true;
}

static char *base64url(const void *p, size_t n)
{
	char *text = malloc((n + 2) / 3 * 4 + 1);

	if (!text)
		return NULL;
	base64_encode(p, n, text);
	for (char *at = text; *at; at++)
		*at = *at == '+' ? '-' : *at == '/' ? '_' : *at == '=' ? '\0' : *at;
	return text;
}

static void account_made(struct ctl *c, struct acme_account *a, const struct msg_key_made *said,
	const char *box, size_t n)
{
	a->making = false;
	if (said->err || !take_key(&a->key, said, box, n))
		return;
	memcpy(a->x, said->x, sizeof a->x);
	memcpy(a->y, said->y, sizeof a->y);
	/* Kept before it is used, also by the keys process that comes after this one. */
	if (state_save_account(c, a) == 0)
		(void)sites_again(c);
	if (!a->directory[0])
		acme_prove_all(c);
}

static void cert_made(struct ctl *c, struct cert *cert, const struct msg_key_made *said,
	const char *box, size_t n, const char *csr, size_t csr_n)
{
	char *text = NULL, *asked = NULL;

	cert->making = false;
	cert->making_id = 0;
	if (!said->err && cert->wanted && csr_n) {
		text = base64url(csr, csr_n);
		asked = strdup(cert->wanted);
	}
	if (!text || !asked || !take_key(&cert->asked_key, said, box, n)) {
		free(text);
		free(asked);
		if (cert->wanted)
			acme_failed(c, cert, "", "a private key could not be made",
				"see `stead logs`; it is tried again by itself", 0);
		return;
	}
	free(cert->csr);
	free(cert->asked);
	cert->csr = text;
	cert->asked = asked;
	cert->order[0] = '\0';
	(void)state_save_cert(c, cert);
}

void acme_key_made(struct ctl *c, const struct msg *m)
{
	struct msg_key_made said;
	const char *box, *csr;
	struct unpack u;
	size_t n, csr_n;

	if (msg_get(m, &said, sizeof said, sizeof said) < 0)
		return;
	box = msg_tail(m, sizeof said, &n);
	unpack_init(&u, box, n);
	box = unpack_bytes(&u, &n);
	csr = unpack_bytes(&u, &csr_n);
	if (u.bad)
		n = csr_n = 0;
	for (struct acme_account *a = c->certs.accounts; a; a = a->next)
		if (a->making && m->h.id == a->making_id) {
			account_made(c, a, &said, box, n);
			break;
		}
	for (struct cert *cert = c->certs.all; cert; cert = cert->next)
		if (cert->making && cert->making_id == m->h.id)
			cert_made(c, cert, &said, box, n, csr, csr_n);
	acme_turn(c);
}

void acme_keys_gone(struct ctl *c)
{
	for (struct acme_account *a = c->certs.accounts; a; a = a->next)
		a->making = false;
	for (struct cert *cert = c->certs.all; cert; cert = cert->next)
		cert->making = false;
	acme_prove_again(c);
}

struct acme_account *acme_account(struct ctl *c, const char *directory)
{
	struct acme_account *a = acme_account_at(c, directory);

	if (a && !a->key.box && !a->making) {
		a->making = true;
		a->making_id = ++c->ids;
		ask_key(c, NULL, a->making_id);
	}
	return a && a->key.box ? a : NULL;
}

/* ---- jobs ---- */

static void send_job(struct ctl *c, struct cert *cert, struct msg_cert_ask *m, struct buf *b)
{
	if (!b->error && chan_send(&c->certs.chan, MSG_CERT_ASK, c->ids + 1, m, sizeof *m, b->p,
				 b->len, NULL, 0) == 0) {
		cert->job = ++c->ids;
		cert->what_job = (enum cert_what)m->what;
		c->certs.jobs++;
	}
	buf_done(b);
}

/* Profile, root, and who we are there. Only the first authority's profiles are known to who wrote Profile=. */
static void put_wishes(struct ctl *c, const struct cert *cert, const struct acme_account *a, struct msg_cert_ask *m,
	struct buf *b)
{
	pack_str(b, strcmp(a->directory, c->certs.fallback) == 0 ? "" : cert->profile);
	pack_str(b, c->certs.chain);
	pack_str(b, c->certs.eab.box ? c->certs.eab_kid : "");
	memcpy(m->eab_key, c->certs.eab.id, sizeof m->eab_key);
}

static void start_job(struct ctl *c, struct cert *cert, const struct acme_account *a)
{
	struct msg_cert_ask m = {
		.what = CERT_GET, .way = cert->way, .else_tls = cert->else_tls};
	struct buf b;

	memcpy(m.key, cert->asked_key.id, sizeof m.key);
	memcpy(m.account_key, a->key.id, sizeof m.account_key);
	memcpy(m.account_x, a->x, sizeof m.account_x);
	memcpy(m.account_y, a->y, sizeof m.account_y);
	buf_init(&b, CHAN_PAYLOAD_MAX - sizeof m);
	pack_str(&b, a->directory);
	pack_str(&b, c->certs.contact);
	pack_str(&b, cert->csr);
	/* Of the same names only: then the authority does not count it. */
	cert->replaces = acme_week_exempt(cert, a);
	pack_str(&b, cert->replaces ? cert->ari : "");
	pack_str(&b, a->url);
	pack_str(&b, cert->order);
	put_wishes(c, cert, a, &m, &b);
	m.names = certs_pack_names(&b, cert->asked);
	send_job(c, cert, &m, &b);
}

/* Jobs that only look: when to renew (RFC 9773) … */
static void look_renewal(struct ctl *c, struct cert *cert)
{
	struct msg_cert_ask m = {.what = CERT_LOOK_RENEWAL};
	struct buf b;

	buf_init(&b, CHAN_PAYLOAD_MAX - sizeof m);
	pack_str(&b, acme_source(c, cert));
	pack_str(&b, "");
	pack_str(&b, "");
	pack_str(&b, cert->ari);
	for (unsigned i = 0; i < 5; i++)
		pack_str(&b, "");
	send_job(c, cert, &m, &b);
}

/* The first that is a host name. */
static const char *first_host(const char *names, size_t *ret_n)
{
	for (size_t n; *names; names += n + (names[n] == ' ')) {
		char name[64];

		n = strcspn(names, " ");
		(void)snprintf(name, sizeof name, "%.*s", (int)min_of(n, sizeof name - 1), names);
		if (!hostname_is_address(name) && name[0] != '*') {
			*ret_n = n;
			return names;
		}
	}
	return names;
}

/* … and which certificate is served. */
static void look_served(struct ctl *c, struct cert *cert)
{
	struct msg_cert_ask m = {.what = CERT_LOOK_SERVED};
	size_t n = strcspn(c->https, " "), len = 0;
	const char *name = first_host(cert->names, &len);
	const char *colon = memrchr(c->https, ':', n);
	char url[400], address[CTL_ADDRESS_MAX];
	struct buf b;

	if (!len) {
		/* Addresses alone: what this machine is asked by them it cannot see, behind a router. */
		cert->check = 0;
		cert_renewed(c, cert);
		return;
	}
	cert->check--;
	if (!colon || n >= sizeof address)
		return;
	/* Of every address one that leads to this machine. */
	(void)snprintf(address, sizeof address, "%.*s", (int)(colon - c->https), c->https);
	if (strcmp(address, "0.0.0.0") == 0 || !address[0])
		(void)snprintf(address, sizeof address, "127.0.0.1");
	else if (strcmp(address, "[::]") == 0)
		(void)snprintf(address, sizeof address, "[::1]");
	(void)snprintf(url, sizeof url, "https://%.*s%.*s/", (int)min_of(len, (size_t)255),
		name, (int)(n - (size_t)(colon - c->https)), colon);
	buf_init(&b, CHAN_PAYLOAD_MAX - sizeof m);
	pack_str(&b, url);
	for (unsigned i = 0; i < 3; i++)
		pack_str(&b, "");
	pack_str(&b, address);
	for (unsigned i = 0; i < 4; i++)
		pack_str(&b, "");
	send_job(c, cert, &m, &b);
}

void acme_want_processes(struct ctl *c)
{
	struct msg_want certs = {.role = PROC_CERTS}, resolve = {.role = PROC_RESOLVE};

	certs_want(c);
	if (c->certs.wanted)
		return;
	c->certs.wanted = true;
	(void)parent_send(c, MSG_WANT, 0, &resolve, sizeof resolve, NULL, 0, NULL, 0);
	(void)parent_send(c, MSG_WANT, 0, &certs, sizeof certs, NULL, 0, NULL, 0);
}

/* The next step of one that is due. */
static void advance(struct ctl *c, struct cert *cert)
{
	struct acme_account *a;
	uint64_t then = 0;

	if (cert->making || (cert->of && !demand_may(c, cert)))
		return;
	a = acme_choose(c, cert, &then);
	if (!a) {
		cert->next_s = then;
		return;
	}
	if (!acme_account(c, a->directory))
		return;
	/* An order is one authority's. */
	if (strcmp(cert->at, a->directory) != 0) {
		if (cert->at[0])
			cert->order[0] = '\0';
		memcpy(cert->at, a->directory, sizeof cert->at);
		if (state_save_cert(c, cert) < 0 || state_save_dealings(c, cert) < 0)
			return;
	}
	if (strcmp(cert->asked, cert->wanted) != 0) {
		cert->making = true;
		cert->making_id = ++c->ids;
		ask_key(c, cert, cert->making_id);
	} else if (cert->order[0] || acme_is_within(c, cert, a)) {
		start_job(c, cert, a);
	}
}

void acme_turn(struct ctl *c)
{
	uint64_t now = now_s(c);

	/* Not while what is live changes: an authority would look at what is not there yet. */
	if (!c->certs.agreed || !c->live_us || c->up || c->stopping || !sites_loaded(c))
		return;
	demand_turn(c);
	for (struct cert *cert = c->certs.all; cert; cert = cert->next) {
		bool due = is_due(cert, now), look = may_look(cert) && cert->look_s <= now;

		if (!due && !look && !(cert->check && !cert->job))
			continue;
		acme_want_processes(c);
		if (!c->keys.greeted || !c->keys.known || !c->certs.greeted ||
			c->certs.jobs + keys_made(c) >= CERT_ASKS_MAX)
			continue;
		if (cert->check)
			look_served(c, cert);
		else if (due)
			advance(c, cert);
		else
			look_renewal(c, cert);
	}
	acme_records_left(c);
	arm(c);
}

void acme_renew(struct ctl *c, struct cert *cert)
{
	if (cert->refused) {
		cert_renewed(c, cert);
		return;
	}
	/* An order under way is the one that is meant; what only looks is not waited for. */
	if (!cert->making && !(cert->job && cert->what_job == CERT_GET)) {
		cert->next_s = 0;
		cert->failures = 0;
		cert->check = 0;
		acme_anew(c, cert);
		(void)state_save_cert(c, cert);
	}
	acme_turn(c);
}
