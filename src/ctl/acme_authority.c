/*
 * acme_authority.c: which authority a certificate is asked of now: limits below theirs, pauses of those that are in
 * trouble, the second one, and the place where trying costs nothing.
 *
 * Called by acme.c before a job begins and by acme_job.c at its end. Owns the list of authorities. Everything that it
 * decides by outlives this process (state_authority.c). An authority in trouble is left alone for a growing time, and asked
 * by nobody meanwhile; a site that was refused waits for itself alone.
 */
#include "ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "lib/base64.h"
#include "lib/sys.h"
#include "snap/vault.h"

enum { DAY_S = 86400, TRIES_THERE = 3, SPREAD_S = 30 };
#define LETS_ENCRYPT_STAGING "https://acme-staging-v02.api.letsencrypt.org/directory"

static uint64_t now_s(struct ctl *c)
{
	return loop_wall_us(c->loop) / 1000000;
}

uint64_t acme_chance(uint64_t below)
{
	uint64_t n = 0;

	return below && sys_random(&n, sizeof n) == 0 ? n % below : 0;
}

uint64_t acme_pause_of(unsigned failures)
{
	static const uint64_t pauses[] = {60, 600, 6000, DAY_S};
	uint64_t s = pauses[min_of(failures, (unsigned)ARRAY_LEN(pauses)) - 1];

	return s + acme_chance(s / 4 + 1);
}

/* ---- limits, below those of authorities: 300 orders in 3 hours, 5 certificates for the same names in a week, 5 refused
 * proofs of a name in an hour ---- What is spent is kept as the time at which it is made good again (GCRA). */
enum {
	ORDERS_S = 3 * 3600,
	ORDER_S = ORDERS_S / 250,
	SAME_S = 7 * DAY_S,
	SAME_ONE_S = SAME_S / 4,
	REFUSED_S = 3600,
	REFUSED_ONE_S = REFUSED_S / 4,
};

/* 0, or in how many seconds there is one more. */
static uint64_t wait_for(uint64_t spent_s, uint64_t now, uint64_t one_s, uint64_t all_s)
{
	uint64_t then = max_of(spent_s, now) + one_s;

	/* A clock that went back owes nothing that nobody could have spent. */
	return then > now + all_s && spent_s <= now + all_s ? then - now - all_s : 0;
}

static uint64_t spend(uint64_t spent_s, uint64_t now, uint64_t one_s, uint64_t all_s)
{
	uint64_t then = max_of(spent_s, now) + one_s;

	return min_of(then, now + all_s);
}

void acme_spend(struct ctl *c, struct cert *cert)
{
	struct acme_account *a = acme_account_at(c, cert->at);

	cert->spent_s = spend(cert->spent_s, now_s(c), SAME_ONE_S, SAME_S);
	if (a && !cert->replaces)
		acme_week_spend(c, cert->names, a);
	cert->replaces = false;
}

static bool is_staging(struct ctl *c, const char *directory)
{
	return c->certs.staging[0] && strcmp(directory, c->certs.staging) == 0;
}

bool acme_is_within(struct ctl *c, struct cert *cert, struct acme_account *a)
{
	uint64_t now = now_s(c), wait = wait_for(cert->spent_s, now, SAME_ONE_S, SAME_S);
	uint64_t refused = wait_for(cert->refused_s, now, REFUSED_ONE_S, REFUSED_S);
	char domain[256];

	if (!is_staging(c, a->directory) && (wait || refused)) {
		acme_failed(c, cert, "",
			wait ? "4 certificates for these names were got within a week; authorities give 5"
			     : "4 tries for these names were refused within an hour; authorities allow 5",
			"wait: it is tried again by itself when there is room", max_of(wait, refused));
		cert_renewed(c, cert);
		return false;
	}
	wait = is_staging(c, a->directory) ? 0 : acme_week_wait(c, cert, a, domain);
	if (wait) {
		acme_week_failed(c, cert, domain, wait);
		cert_renewed(c, cert);
		return false;
	}
	wait = wait_for(a->spent_s, now, ORDER_S, ORDERS_S);
	if (wait) {
		cert->next_s = now + wait;
		return false;
	}
	a->spent_s = spend(a->spent_s, now, ORDER_S, ORDERS_S);
	return state_save_account(c, a) == 0;
}

/* ---- the authorities ---- */

struct acme_account *acme_account_at(struct ctl *c, const char *directory)
{
	struct acme_account *a = c->certs.accounts;

	while (a && strcmp(a->directory, directory) != 0)
		a = a->next;
	if (a || strlen(directory) >= sizeof a->directory)
		return a;
	a = calloc(1, sizeof *a);
	if (!a)
		return NULL;
	memcpy(a->directory, directory, strlen(directory) + 1);
	a->next = c->certs.accounts;
	c->certs.accounts = a;
	return a;
}

/* Its id, then its box: what check made of AcmeEabKey=. */
static void take_eab(struct certs *certs, const char *text)
{
	size_t n = strlen(text);
	char *p = n > 4 ? malloc(n / 4 * 3 + 1) : NULL;
	long got = p ? base64_decode(text, n, p) : -1;

	free(certs->eab.box);
	certs->eab = (struct cert_key){0};
	if (got > 32 && got - 32 <= VAULT_BOX_MAX && (certs->eab.box = malloc((size_t)got - 32)) != NULL) {
		memcpy(certs->eab.id, p, 32);
		certs->eab.box_n = (size_t)got - 32;
		memcpy(certs->eab.box, p + 32, certs->eab.box_n);
	}
	free(p);
}

void acme_authorities(struct ctl *c, const struct conf_app *conf)
{
	struct certs *certs = &c->certs;
	const char *staging = conf->acme_staging;

	if (!staging[0] && strcmp(conf->acme_directory, CONF_ACME_DIRECTORY) == 0)
		staging = LETS_ENCRYPT_STAGING;
	certs->agreed = acme_agreed(c, conf);
	(void)snprintf(certs->contact, sizeof certs->contact, "%s", conf->acme_email);
	(void)snprintf(certs->directory, sizeof certs->directory, "%s", conf->acme_directory);
	(void)snprintf(certs->fallback, sizeof certs->fallback, "%s", conf->acme_fallback);
	(void)snprintf(certs->staging, sizeof certs->staging, "%s", staging);
	(void)snprintf(certs->chain, sizeof certs->chain, "%s", conf->acme_chain);
	(void)snprintf(certs->eab_kid, sizeof certs->eab_kid, "%s", conf->acme_eab_kid);
	take_eab(certs, conf->acme_eab_box);
}

const char *acme_source(const struct ctl *c, const struct cert *cert)
{
	return cert->source[0] ? cert->source : c->certs.directory;
}

/* When it may be asked for that site: at once when that is over. */
static uint64_t free_at(const struct cert *cert, const struct acme_account *a, unsigned i)
{
	return max_of(a->paused_s, cert->wait_s[i]);
}

/* Where trying costs nothing, when the last try cost something at the authority. One that is in trouble itself, or refuses
 * again and again, shall not stand between a site and its certificate. */
static struct acme_account *rehearsal(struct ctl *c, const struct cert *cert, uint64_t now)
{
	struct acme_account *a = c->certs.staging[0] && cert->rehearse && cert->rehearse <= TRIES_THERE
					 ? acme_account_at(c, c->certs.staging)
					 : NULL;

	return a && a->paused_s <= now ? a : NULL;
}

struct acme_account *acme_choose(struct ctl *c, struct cert *cert, uint64_t *ret_then_s)
{
	const char *const urls[2] = {c->certs.directory, c->certs.fallback};
	struct acme_account *all[2] = {NULL, NULL}, *found = NULL;
	uint64_t now = now_s(c), then = UINT64_MAX;
	unsigned n = 0;

	for (unsigned i = 0; i < 2; i++) {
		all[i] = urls[i][0] ? acme_account_at(c, urls[i]) : NULL;
		if (!all[i])
			continue;
		then = min_of(then, free_at(cert, all[i], i));
		/* An order that is under way is gone on with. */
		if (free_at(cert, all[i], i) <= now && cert->order[0] && strcmp(cert->at, urls[i]) == 0)
			return all[i];
		if (free_at(cert, all[i], i) <= now && n++ == 0)
			found = all[i];
	}
	/* Behind the second failure in turn with the other. */
	if (n == 2 && cert->failures >= 2 && strcmp(cert->at, c->certs.fallback) != 0)
		found = all[1];
	if (found && found == all[0] && rehearsal(c, cert, now))
		return rehearsal(c, cert, now);
	then = max_of(then, now + 1);
	*ret_then_s = min_of(then, now + DAY_S) + acme_chance(SPREAD_S);
	return found;
}

static void pause(struct ctl *c, struct acme_account *a, uint64_t wait_s, const char *why)
{
	uint64_t s;
	char next[24];

	a->failures++;
	s = max_of(acme_pause_of(a->failures), wait_s);
	a->paused_s = now_s(c) + s;
	(void)snprintf(next, sizeof next, "%llu", (unsigned long long)s);
	(void)state_save_authority(c, a);
	say(c, EV_AUTHORITY_FAILS, "authority", a->directory, "why", why, "next_s", next, NULL);
}

void acme_refused(struct ctl *c, struct cert *cert, const struct msg_cert_end *m, const char *about, const char *what,
	const char *todo)
{
	struct acme_account *a = acme_account_at(c, cert->at), *other;
	bool elsewhere = m->blame == CERT_BLAME_AUTHORITY || m->limited;
	uint64_t now = now_s(c), then,
		 wait = m->limited && !m->retry_ms ? acme_pause_of(cert->failures + 1) : m->retry_ms / 1000;

	if (a && m->blame == CERT_BLAME_AUTHORITY)
		pause(c, a, wait, what);
	for (unsigned i = 0; i < 2 && wait; i++)
		if (strcmp(cert->at, i ? c->certs.fallback : c->certs.directory) == 0)
			cert->wait_s[i] = now + wait;
	if (m->blame == CERT_BLAME_NAME && is_staging(c, cert->at)) {
		cert->rehearse++;
	} else if (m->blame == CERT_BLAME_NAME) {
		cert->refused_s = spend(cert->refused_s, now, REFUSED_ONE_S, REFUSED_S);
		cert->rehearse = 1;
	}
	acme_failed(c, cert, about, what, todo, wait);
	/* Another one may do it at once. */
	other = elsewhere ? acme_choose(c, cert, &then) : NULL;
	if (other && other != a && (strcmp(cert->at, c->certs.directory) == 0 || is_staging(c, cert->at))) {
		cert->next_s = now;
		(void)state_save_cert(c, cert);
	}
	(void)state_save_dealings(c, cert);
}

static void forgive(struct ctl *c, struct acme_account *a)
{
	if (!a || !a->failures)
		return;
	a->failures = 0;
	a->paused_s = 0;
	(void)state_save_authority(c, a);
}

void acme_anew(struct ctl *c, struct cert *cert)
{
	for (struct acme_account *a = c->certs.accounts; a; a = a->next)
		forgive(c, a);
	cert->rehearse = 0;
	cert->wait_s[0] = cert->wait_s[1] = 0;
	(void)state_save_dealings(c, cert);
}

bool acme_rehearsed(struct ctl *c, struct cert *cert)
{
	if (!is_staging(c, cert->at))
		return false;
	forgive(c, acme_account_at(c, cert->at));
	cert->rehearse = 0;
	cert->order[0] = '\0';
	cert->next_s = now_s(c);
	(void)state_save_dealings(c, cert);
	(void)state_save_cert(c, cert);
	return true;
}

void acme_well(struct ctl *c, struct cert *cert)
{
	forgive(c, acme_account_at(c, cert->at));
	memcpy(cert->source, cert->at, sizeof cert->source);
	cert->wait_s[0] = cert->wait_s[1] = 0;
	cert->rehearse = 0;
	(void)state_save_dealings(c, cert);
}
