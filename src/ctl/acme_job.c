/*
 * acme_job.c: what certs says of the jobs that it drives: what must be kept, how it ended.
 *
 * Called with messages of certs, and when it comes or goes. Owns the channel to it; acme.c says when
 * a job begins, acme_offer.c has what proves a name.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sys.h"

enum { LOOK_S = 3600, LOOKS_S = 10 * 3600, CHECKS = 5 };

/* ---- what certs says ---- */

static int keep(struct ctl *c, struct cert *cert, const char *account_url, const char *order)
{
	struct acme_account *a = cert->at[0] ? acme_account_at(c, cert->at) : NULL;
	int err = 0;

	if (strlen(account_url) >= CERT_URL_MAX || strlen(order) >= CERT_URL_MAX)
		return -EBADMSG;
	if (a && strcmp(a->url, account_url) != 0) {
		memcpy(a->url, account_url, strlen(account_url) + 1);
		err = state_save_account(c, a);
	}
	if (!err && strcmp(cert->order, order) != 0) {
		memcpy(cert->order, order, strlen(order) + 1);
		err = state_save_cert(c, cert);
	}
	return err;
}

static bool take_chain(struct cert *cert, struct unpack *u, unsigned n)
{
	struct cert fresh = {0};
	bool good = n > 0 && n <= CERT_CHAIN_MAX;

	for (unsigned i = 0; good && i < n; i++) {
		size_t len;
		const char *der = unpack_bytes(u, &len);

		fresh.der[i] = u->bad || !len ? NULL : malloc(len);
		good = fresh.der[i] != NULL;
		if (good) {
			memcpy(fresh.der[i], der, len);
			fresh.der_n[fresh.n++] = len;
		}
	}
	if (!good || !unpack_done(u)) {
		while (fresh.n)
			free(fresh.der[--fresh.n]);
		return false;
	}
	while (cert->n)
		free(cert->der[--cert->n]);
	memcpy(cert->der, fresh.der, sizeof cert->der);
	memcpy(cert->der_n, fresh.der_n, sizeof cert->der_n);
	cert->n = fresh.n;
	return true;
}

static void issued(struct ctl *c, struct cert *cert, const struct msg_cert_end *m, struct unpack *u,
	const char *serial, const char *ari)
{
	char until[32];

	if (memcmp(m->key, cert->asked_key.id, sizeof m->key) != 0 ||
		m->not_after_s <= m->not_before_s || strlen(serial) >= sizeof cert->serial ||
		strlen(ari) >= sizeof cert->ari || !take_chain(cert, u, m->chain)) {
		acme_failed(c, cert, "", "what came of the order is not in form",
			"this is a bug in stead: please report it", 0);
		return;
	}
	free(cert->key.box);
	cert->key = cert->asked_key;
	cert->asked_key = (struct cert_key){0};
	free(cert->names);
	cert->names = cert->asked;
	cert->asked = strdup("");
	cert->csr[0] = cert->order[0] = cert->what[0] = cert->todo[0] = cert->about[0] = '\0';
	memcpy(cert->id, m->id, sizeof cert->id);
	memcpy(cert->serial, serial, strlen(serial) + 1);
	memcpy(cert->ari, ari, strlen(ari) + 1);
	cert->not_before_s = m->not_before_s;
	cert->not_after_s = m->not_after_s;
	cert->failures = 0;
	/* Of a guard each order has its own. */
	cert->permitted_s = 0;
	cert->next_s = acme_renewal_of(cert);
	acme_spend(c, cert);
	acme_well(c, cert);
	must(cert->asked != NULL);
	(void)snprintf(until, sizeof until, "%llu", (unsigned long long)cert->not_after_s);
	(void)state_save_cert(c, cert);
	say(c, EV_CERT_ISSUED, "site", cert->of ? cert->of : cert->site, "names", cert->names, "serial", cert->serial,
		"until", until, NULL);
	/* Soon every gate takes it for its next handshake; whether it does is looked at. */
	cert->check = CHECKS;
	cert->look_s = cert->from_s = cert->to_s = 0;
	acme_publish(c);
}

/* Which one is served was looked at, in answer to complaints that others got: renewed, and the old
 * one served. */
static void looked(struct ctl *c, struct cert *cert, const char *serial, const char *why)
{
	if (strcmp(serial, cert->serial) == 0) {
		cert->check = 0;
	} else if (cert->check) {
		return; /* once more, in a second */
	} else {
		say(c, EV_CERT_NOT_SERVED, "site", cert->site, "serial", cert->serial, "served",
			serial, "why", why, NULL);
	}
	cert_renewed(c, cert);
}

/* The authority said when to renew, and may say another time later. It can only make it earlier: what it does not say, or
 * says too late, leaves two thirds of the life. */
static void renewal_told(struct ctl *c, struct cert *cert, const struct msg_cert_end *m)
{
	uint64_t now = loop_wall_us(c->loop) / 1000000, at = 0;
	bool known = m->renew_start_s == cert->from_s && m->renew_end_s == cert->to_s;

	cert->look_s =
		now + LOOK_S +
		(m->look_again_ms ? min_of(m->look_again_ms / 1000, (uint64_t)LOOKS_S) : LOOKS_S);
	if (m->outcome != CERT_RENEWAL || !m->renew_start_s || m->renew_end_s < m->renew_start_s ||
		known)
		return;
	cert->from_s = m->renew_start_s;
	cert->to_s = m->renew_end_s;
	if (cert->failures || sys_random(&at, sizeof at) < 0)
		return;
	at = m->renew_start_s + at % (m->renew_end_s - m->renew_start_s + 1);
	cert->next_s = min_of(at, acme_renewal_of(cert));
	(void)state_save_cert(c, cert);
}

static void ended(struct ctl *c, struct cert *cert, const struct msg *msg)
{
	const char *account_url, *order, *what, *todo, *about, *serial, *ari;
	struct msg_cert_end m;
	bool rehearsed = false;
	struct unpack u;
	size_t n;

	acme_offers_end(c, cert->job);
	cert->job = cert->offer = 0;
	c->certs.jobs--;
	if (msg_get(msg, &m, sizeof m, sizeof m) < 0)
		return;
	account_url = msg_tail(msg, sizeof m, &n);
	unpack_init(&u, account_url, n);
	account_url = unpack_str(&u);
	order = unpack_str(&u);
	what = unpack_str(&u);
	todo = unpack_str(&u);
	about = unpack_str(&u);
	serial = unpack_str(&u);
	ari = unpack_str(&u);
	if (cert->what_job == CERT_LOOK_SERVED) {
		looked(c, cert, serial, what);
	} else if (cert->what_job == CERT_LOOK_RENEWAL) {
		renewal_told(c, cert, &m);
	} else if (m.outcome == CERT_ISSUED && !u.bad) {
		rehearsed = acme_rehearsed(c, cert);
		if (!rehearsed)
			issued(c, cert, &m, &u, serial, ari);
	} else {
		(void)keep(c, cert, account_url, order);
		acme_refused(c, cert, &m, u.bad ? "" : about,
			u.bad ? "what came of the order is not in form" : what, todo);
	}
	if (!rehearsed && cert->failures && cert->what_job == CERT_GET)
		cert_renewed(c, cert);
	acme_turn(c);
}

static void heard(struct ctl *c, const struct msg *m)
{
	struct cert *cert = c->certs.all;
	const char *first, *second;
	struct unpack u;

	if (m->h.type == MSG_CERT_END && c->certs.terms_job && m->h.id == c->certs.terms_job) {
		acme_terms_heard(c, m);
		return;
	}
	if (m->h.type == MSG_CERT_END && demand_answered(c, m))
		return;
	while (cert && (!cert->job || cert->job != m->h.id))
		cert = cert->next;
	if (!cert)
		return;
	if (m->h.type == MSG_CERT_END) {
		ended(c, cert, m);
		return;
	}
	if (m->h.type == MSG_CERT_OFFER) {
		acme_offer(c, cert, m);
		return;
	}
	if (m->h.type == MSG_CERT_WITHDRAW) {
		acme_withdraw(c, cert, m);
		return;
	}
	unpack_init(&u, m->payload, m->h.len);
	first = unpack_str(&u);
	second = unpack_str(&u);
	/* Not kept: it does not go on, and who comes next begins where it was. */
	if (unpack_done(&u) && m->h.type == MSG_CERT_KEEP && keep(c, cert, first, second) == 0)
		(void)chan_send(
			&c->certs.chan, MSG_CERT_KEPT, cert->job, NULL, 0, NULL, 0, NULL, 0);
}

/* ---- the channel ---- */

static bool certs_allowed(struct chan *ch, const struct msg_head *h, unsigned nfds)
{
	(void)ch;
	return msg_allowed(PROC_CERTS, PROC_CTL, h->type, h->len, nfds);
}

static void certs_got(struct chan *ch, struct msg *m)
{
	struct ctl *c = ch->owner;

	if (c->certs.greeted) {
		heard(c, m);
		return;
	}
	c->certs.greeted = peers_hello_holds(m);
	if (!c->certs.greeted) {
		chan_close(ch);
		return;
	}
	acme_ask_terms(c);
	acme_turn(c);
}

static void certs_gone(struct chan *ch, int why)
{
	struct ctl *c = ch->owner;

	(void)why;
	c->certs.greeted = false;
	c->certs.jobs = 0;
	c->certs.terms_job = 0;
	acme_offers_left(c);
	demand_certs_gone(c);
	for (struct cert *cert = c->certs.all; cert; cert = cert->next)
		cert->job = cert->offer = 0;
}

static const struct chan_ops certs_ops = {certs_allowed, certs_got, certs_gone};

int acme_channel(struct ctl *c, int fd)
{
	int err;

	chan_close(&c->certs.chan);
	c->certs.chan.owner = c;
	certs_gone(&c->certs.chan, 0);
	c->certs.wanted = true;
	err = chan_init(&c->certs.chan, c->loop, fd, &certs_ops, c);
	if (err == 0)
		peers_hello(&c->certs.chan);
	return err;
}
