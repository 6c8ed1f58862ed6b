/*
 * demand.c: names of sites with OnDemand=: gates say who is asked for, the site's guard says whether it may have a
 * certificate, and then one is got like any other; see demand.h.
 *
 * Called with messages of gates and of certs, and by acme.c. Owns the table of names that are being decided. A stranger can
 * ask for any name, so everything here is bounded: names in the table, guards that are asked at once, new names of a site in
 * a minute, an hour and in all; of a full table a question is refused, and nothing else is touched. A refusal is kept for a
 * minute, here and by the gates. What the guard permitted stands in the state before anything is asked of an authority, and
 * how many were new lately is counted there, so a ctl that dies does not begin its limits anew.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hostname.h"
#include "snap/snap.h"

enum { NO_S = 60, BUSY_S = 5, FULL_S = 300, YES_S = 600, LOOK_S = 3600, TELL_S = 60 };

static uint64_t now_s(const struct ctl *c)
{
	return loop_wall_us(c->loop) / 1000000;
}

/* ---- what gates are told ---- */

static void refuse(struct ctl *c, uint32_t site, const char *name, uint64_t keep_s)
{
	struct msg_cert_demanded m = {.site = site, .keep_ms = (uint32_t)min_of(keep_s, (uint64_t)LOOK_S) * 1000};

	for (unsigned i = 0; i < CTL_GATES_MAX; i++)
		if (c->gate[i].greeted && chan_open(&c->gate[i].chan))
			(void)chan_send(&c->gate[i].chan, MSG_CERT_DEMANDED, 0, &m, sizeof m, name, strlen(name), NULL, 0);
}

/* People are told once in a while: a stranger decides how often it happens. */
static void note(struct ctl *c, struct demand_site *s, const char *name, const char *why)
{
	char count[16];

	s->count++;
	if (s->told_s && now_s(c) < s->told_s + TELL_S)
		return;
	(void)snprintf(count, sizeof count, "%u", s->count);
	say(c, EV_CERT_NOT_PERMITTED, "site", s->name, "name", name, "why", why, "count", count, NULL);
	s->told_s = now_s(c);
	s->count = 0;
}

/* ---- the table ---- */

static struct demand *find(struct ctl *c, uint32_t site, const char *name)
{
	for (unsigned i = 0; c->certs.demands.names && i < DEMANDS_MAX; i++) {
		struct demand *d = &c->certs.demands.names[i];

		if (d->state && d->site == site && strcmp(d->name, name) == 0)
			return d;
	}
	return NULL;
}

/* A refusal may be forgotten: it is only asked for again. NULL: all are being decided. */
static struct demand *place(struct ctl *c)
{
	struct demands *all = &c->certs.demands;
	struct demand *best = NULL;

	if (!all->names)
		all->names = calloc(DEMANDS_MAX, sizeof *all->names);
	for (unsigned i = 0; all->names && i < DEMANDS_MAX; i++) {
		struct demand *d = &all->names[i];

		if (!d->state)
			return d;
		if (d->state == DEMAND_NO && (!best || d->until_s < best->until_s))
			best = d;
	}
	return best;
}

/* Have the guard asked for it, when it was not lately. False: there is no room. */
static bool decide(struct ctl *c, uint32_t site, const char *name)
{
	struct demand *d = find(c, site, name);

	if (d && d->state != DEMAND_NO)
		return true;
	if (d && d->until_s > now_s(c)) {
		refuse(c, site, name, d->until_s - now_s(c));
		return true;
	}
	if (!d)
		d = place(c);
	if (!d)
		return false;
	*d = (struct demand){.state = DEMAND_WAITS, .site = site, .turn = ++c->certs.demands.turns};
	(void)snprintf(d->name, sizeof d->name, "%s", name);
	acme_want_processes(c);
	demand_turn(c);
	return true;
}

static void settle_no(struct ctl *c, struct demand *d, struct demand_site *s, const char *why, uint64_t keep_s)
{
	d->state = DEMAND_NO;
	d->until_s = now_s(c) + keep_s;
	refuse(c, d->site, d->name, keep_s);
	note(c, s, d->name, why);
}

/* ---- the guard ---- */

static bool send_guard(struct ctl *c, struct demand *d, const struct demand_site *s)
{
	struct msg_cert_ask m = {.what = CERT_LOOK_GUARD};
	char url[CERT_URL_MAX + DEMAND_NAME_BYTES + 16];
	struct buf b;
	bool sent;

	(void)snprintf(url, sizeof url, "%s?domain=%s", s->url, d->name);
	buf_init(&b, CHAN_PAYLOAD_MAX - sizeof m);
	pack_str(&b, url);
	for (unsigned i = 0; i < 8; i++)
		pack_str(&b, "");
	sent = !b.error && chan_send(&c->certs.chan, MSG_CERT_ASK, c->ids + 1, &m, sizeof m, b.p, b.len, NULL, 0) == 0;
	buf_done(&b);
	if (!sent)
		return false;
	d->job = ++c->ids;
	d->state = DEMAND_ASKED;
	c->certs.demands.guards++;
	return true;
}

static struct demand *next_waiting(const struct demands *all)
{
	struct demand *best = NULL;

	for (unsigned i = 0; all->names && i < DEMANDS_MAX; i++)
		if (all->names[i].state == DEMAND_WAITS && (!best || all->names[i].turn < best->turn))
			best = &all->names[i];
	return best;
}

void demand_turn(struct ctl *c)
{
	struct demands *all = &c->certs.demands;
	struct demand *d;

	while (all->guards < CERT_GUARDS_MAX && c->certs.greeted && (d = next_waiting(all)) != NULL) {
		const struct demand_site *s = demand_site_numbered(c, d->site);

		if (!s)
			d->state = DEMAND_FREE;
		else if (!send_guard(c, d, s))
			return;
	}
}

bool demand_idle(const struct ctl *c)
{
	return c->certs.demands.guards == 0 && !next_waiting(&c->certs.demands);
}

void demand_certs_gone(struct ctl *c)
{
	struct demands *all = &c->certs.demands;

	all->guards = 0;
	for (unsigned i = 0; all->names && i < DEMANDS_MAX; i++)
		if (all->names[i].state == DEMAND_ASKED)
			all->names[i].state = DEMAND_WAITS;
}

/* ---- what is permitted ---- */

/* Why there shall not be another one now, and how long; NULL: nothing is against it. */
static const char *against(struct ctl *c, const struct demand_site *s, uint64_t *ret_keep_s)
{
	unsigned all = 0, hour = 0, minute = 0;
	uint64_t now = now_s(c);

	for (const struct cert *cert = c->certs.all; cert; cert = cert->next) {
		if (!cert->of || strcmp(cert->of, s->name) != 0)
			continue;
		all++;
		hour += cert->since_s + 3600 > now;
		minute += cert->since_s + 60 > now;
	}
	*ret_keep_s = all >= DEMAND_NAMES_MAX ? FULL_S : hour >= DEMAND_HOUR_MAX ? NO_S : BUSY_S;
	return all >= DEMAND_NAMES_MAX	   ? "the site has 2000 such names"
	       : hour >= DEMAND_HOUR_MAX	   ? "the site got 100 new names within an hour"
	       : minute >= DEMAND_MINUTE_MAX ? "the site got 20 new names within a minute"
					     : NULL;
}

/* It stands in the state; an order follows. */
static int admit(struct ctl *c, const struct demand_site *s, const char *name)
{
	struct cert *cert = cert_add(c, name);

	if (!cert)
		return -ENOMEM;
	cert->of = strdup(s->name);
	cert->since_s = cert->used_s = cert->permitted_s = now_s(c);
	if (cert->of && demand_site_want(c, s, cert) && state_save_demand(c, cert) == 0)
		return 0;
	cert_drop(c, cert);
	return -EIO;
}

static void permitted(struct ctl *c, struct demand *d, struct demand_site *s)
{
	struct cert *cert = cert_find(c, d->name);
	uint64_t keep_s;
	const char *why;

	if (cert) {
		cert->permitted_s = now_s(c);
		d->state = DEMAND_FREE;
		return;
	}
	why = against(c, s, &keep_s);
	if (why && keep_s == FULL_S) {
		demand_sweep(c);
		why = against(c, s, &keep_s);
	}
	if (!why && admit(c, s, d->name) < 0) {
		why = "it could not be written into the state";
		keep_s = NO_S;
	}
	if (why)
		settle_no(c, d, s, why, keep_s);
	else
		d->state = DEMAND_FREE;
}

static void forbidden(struct ctl *c, struct demand *d, struct demand_site *s, const char *why)
{
	struct cert *cert = cert_find(c, d->name);
	char text[CERT_TEXT_MAX];

	(void)snprintf(text, sizeof text, "the guard of OnDemand= does not permit it: %.*s", 300, why);
	if (!cert) {
		settle_no(c, d, s, text, NO_S);
		return;
	}
	d->state = DEMAND_FREE;
	acme_failed(c, cert, cert->site, text,
		"if it shall go on, have the URL of OnDemand= answer 200 to ?domain= with this name", 0);
	cert_renewed(c, cert);
}

bool demand_answered(struct ctl *c, const struct msg *m)
{
	struct demands *all = &c->certs.demands;
	struct demand *d = NULL;
	struct demand_site *s;
	struct msg_cert_end said;
	const char *why = "";
	struct unpack u;
	size_t n;

	for (unsigned i = 0; all->names && i < DEMANDS_MAX && !d; i++)
		if (all->names[i].state == DEMAND_ASKED && all->names[i].job == m->h.id)
			d = &all->names[i];
	if (!d)
		return false;
	all->guards--;
	s = demand_site_numbered(c, d->site);
	if (!s || msg_get(m, &said, sizeof said, sizeof said) < 0) {
		d->state = DEMAND_FREE;
		return true;
	}
	why = msg_tail(m, sizeof said, &n);
	unpack_init(&u, why, n);
	for (unsigned i = 0; i < 3; i++)
		why = unpack_str(&u);
	if (said.outcome == CERT_PERMITTED && !u.bad)
		permitted(c, d, s);
	else
		forbidden(c, d, s, u.bad ? "" : why);
	acme_turn(c);
	return true;
}

/* ---- who asks ---- */

uint64_t demand_tell_s(const struct cert *cert)
{
	return cert->not_before_s + (cert->not_after_s - cert->not_before_s) / 3;
}

bool demand_rests(const struct cert *cert)
{
	return cert->of && cert->n && cert->used_s < demand_tell_s(cert);
}

/* There is one, or it is being got. */
static void known(struct ctl *c, struct cert *cert)
{
	uint64_t now = now_s(c);
	bool rested = demand_rests(cert);

	if (rested ? now >= demand_tell_s(cert) : cert->used_s + LOOK_S <= now) {
		cert->used_s = now;
		(void)state_save_demand(c, cert);
		if (rested && acme_renewal_of(cert) <= now)
			cert->next_s = min_of(cert->next_s, now);
	}
	if (cert->failures && cert->next_s > now && !cert->job && (!cert->n || cert->not_after_s <= now))
		demand_failed(c, cert);
	else
		acme_turn(c);
}

/* A name that is written, or below a wildcard that DNS proves: the site's own certificate is for it, once it is there. */
static bool is_written(struct ctl *c, const struct demand_site *s, const char *name)
{
	const struct cert *own = cert_find(c, s->name);

	if (!own || !own->wanted || !hostname_among(own->wanted, strlen(own->wanted), name, strlen(name)))
		return false;
	if (own->refused || (own->failures && !own->job))
		refuse(c, s->number, name, BUSY_S);
	return true;
}

void demand_failed(struct ctl *c, const struct cert *cert)
{
	uint64_t now = now_s(c);

	refuse(c, cert->number, cert->site, min_of(cert->next_s > now ? cert->next_s - now : 1, (uint64_t)NO_S));
}

void demand_heard(struct gate_peer *g, const struct msg *m)
{
	struct ctl *c = g->ctl;
	struct msg_cert_demand said;
	char name[DEMAND_NAME_BYTES];
	const struct demand_site *s;
	struct cert *cert;
	const char *text;
	size_t n;

	if (msg_get(m, &said, sizeof said, sizeof said) < 0)
		return;
	text = msg_tail(m, sizeof said, &n);
	if (n == 0 || n >= sizeof name || memchr(text, 0, n))
		return;
	memcpy(name, text, n);
	name[n] = '\0';
	s = demand_site_numbered(c, said.site);
	/* A gate may be wrong, or another's. */
	if (!s || !c->certs.agreed || !demand_site_has(c, s, name)) {
		refuse(c, said.site, name, s ? NO_S : BUSY_S);
		return;
	}
	if (is_written(c, s, name))
		return;
	cert = cert_find(c, name);
	if (cert && (!cert->of || strcmp(cert->of, s->name) != 0))
		refuse(c, said.site, name, NO_S);
	else if (cert)
		known(c, cert);
	else if (!said.used && !decide(c, said.site, name))
		refuse(c, said.site, name, BUSY_S);
}

bool demand_may(struct ctl *c, struct cert *cert)
{
	const struct demand_site *s = demand_site_named(c, cert->of);
	uint64_t now = now_s(c);

	/* An order that is placed is gone on with. */
	if (cert->order[0] || (s && cert->permitted_s + YES_S > now && demand_site_has(c, s, cert->site)))
		return true;
	if (!s || demand_rests(cert) || !demand_site_has(c, s, cert->site))
		cert->next_s = now + LOOK_S;
	else if (!decide(c, s->number, cert->site))
		cert->next_s = now + BUSY_S;
	return false;
}

void demands_free(struct ctl *c)
{
	struct demands *all = &c->certs.demands;

	while (all->sites) {
		struct demand_site *s = all->sites;

		all->sites = s->next;
		free(s);
	}
	free(all->names);
	snap_unref(all->snap);
	*all = (struct demands){0};
}
