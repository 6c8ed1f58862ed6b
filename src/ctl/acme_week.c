/*
 * acme_week.c: how many certificates names of one registered domain are given in a week: authorities give 50 (Let's Encrypt:
 * one more each 202 minutes), so stead takes 45, one more each 224 minutes.
 *
 * Called by acme_authority.c before an order is placed and when a certificate came. Owns the lists of domains at each
 * authority, which stand in the state (`acme_domain`), so a ctl that dies does not begin anew. Orders that are under way count
 * as if they had been filled. A renewal that says what it replaces (RFC 9773) is exempt there and here, and addresses have no
 * domain. What is registered and what is a registry's says the public suffix list (libpsl), with its private part, as
 * authorities read it.
 */
#include "ctl.h"

#include <libpsl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/hostname.h"

enum { WEEK_S = 7 * 86400, WEEK_CERTS = 45, ONE_S = WEEK_S / WEEK_CERTS };

int state_make_week(struct ctl *c)
{
	return state_exec(c, "CREATE TABLE IF NOT EXISTS acme_domain (directory TEXT NOT NULL, domain TEXT NOT NULL,"
			     " spent INTEGER NOT NULL, PRIMARY KEY (directory, domain)) WITHOUT ROWID");
}

static uint64_t now_s(const struct ctl *c)
{
	return loop_wall_us(c->loop) / 1000000;
}

/* ---- domains ---- */

/* Of the first name: its registered domain, in ret. The rest of the names; NULL: there was none. ret "": an address. */
static const char *next_domain(const char *names, char ret[256])
{
	size_t n = strcspn(names, " ");
	const char *domain;
	char name[256];

	if (!n)
		return NULL;
	(void)snprintf(name, sizeof name, "%.*s", (int)min_of(n, sizeof name - 1), names);
	domain = strncmp(name, "*.", 2) == 0 ? name + 2 : name;
	/* A registry's own name counts as itself. */
	if (hostname_is_address(name))
		domain = "";
	else if (psl_registrable_domain(psl_builtin(), domain))
		domain = psl_registrable_domain(psl_builtin(), domain);
	(void)snprintf(ret, 256, "%s", domain);
	return names + n + strspn(names + n, " ");
}

static bool has_domain(const char *names, const char *domain)
{
	char one[256];

	while ((names = next_domain(names, one)) != NULL)
		if (strcmp(one, domain) == 0)
			return true;
	return false;
}

/* Was it the domain of a name before that one? */
static bool is_repeated(const char *names, const char *until, const char *domain)
{
	char one[256];

	while ((names = next_domain(names, one)) != NULL && names < until)
		if (strcmp(one, domain) == 0)
			return true;
	return false;
}

static struct acme_domain *find(struct acme_account *a, const char *domain)
{
	struct acme_domain *d = a->domains;

	while (d && strcmp(d->name, domain) != 0)
		d = d->next;
	return d;
}

static struct acme_domain *add(struct acme_account *a, const char *domain)
{
	struct acme_domain *d = find(a, domain);

	if (d)
		return d;
	d = calloc(1, sizeof *d);
	if (!d)
		return NULL;
	(void)snprintf(d->name, sizeof d->name, "%s", domain);
	d->next = a->domains;
	a->domains = d;
	return d;
}

void acme_week_free(struct acme_account *a)
{
	while (a->domains) {
		struct acme_domain *d = a->domains;

		a->domains = d->next;
		free(d);
	}
}

/* ---- the state ---- */

static bool load(struct ctl *c, sqlite3_stmt *st)
{
	char directory[CERT_URL_MAX], domain[256];
	struct acme_account *a;
	struct acme_domain *d;

	if (!state_take_text(st, 0, directory, sizeof directory) || !state_take_text(st, 1, domain, sizeof domain))
		return false;
	a = acme_account_at(c, directory);
	d = a ? add(a, domain) : NULL;
	if (d)
		d->spent_s = (uint64_t)sqlite3_column_int64(st, 2);
	return d != NULL;
}

int state_load_week(struct ctl *c)
{
	return state_load_rows(c, "SELECT directory, domain, spent FROM acme_domain", load);
}

static void save(struct ctl *c, const struct acme_account *a, const struct acme_domain *d)
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(c->db, "INSERT OR REPLACE INTO acme_domain VALUES (?, ?, ?)", -1, &st, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 1, a->directory, -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 2, d->name, -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 3, (sqlite3_int64)d->spent_s);
	if (r == SQLITE_OK)
		r = sqlite3_step(st);
	(void)sqlite3_finalize(st);
	if (r != SQLITE_DONE)
		(void)state_failed(c, "write acme_domain");
}

/* What is made good again says nothing any more. */
static void forget_old(struct ctl *c, struct acme_account *a, uint64_t now)
{
	struct acme_domain **at = &a->domains, *d;
	char sql[96];
	bool any = false;

	while ((d = *at) != NULL) {
		if (d->spent_s > now) {
			at = &d->next;
			continue;
		}
		*at = d->next;
		free(d);
		any = true;
	}
	(void)snprintf(sql, sizeof sql, "DELETE FROM acme_domain WHERE spent <= %llu", (unsigned long long)now);
	if (any)
		(void)state_exec(c, sql);
}

/* ---- the limit ---- */

bool acme_week_exempt(const struct cert *cert, const struct acme_account *a)
{
	return cert->n && cert->ari[0] && cert->wanted && strcmp(cert->names, cert->wanted) == 0 &&
	       strcmp(cert->source, a->directory) == 0;
}

/* Other orders of that domain that are placed there and not filled. */
static unsigned under_way(const struct ctl *c, const struct cert *than, const struct acme_account *a, const char *domain)
{
	unsigned n = 0;

	for (const struct cert *cert = c->certs.all; cert; cert = cert->next)
		n += cert != than && ((cert->job && cert->what_job == CERT_GET) || cert->order[0]) &&
		     strcmp(cert->at, a->directory) == 0 && !acme_week_exempt(cert, a) && has_domain(cert->asked, domain);
	return n;
}

uint64_t acme_week_wait(struct ctl *c, const struct cert *cert, struct acme_account *a, char ret_domain[256])
{
	const char *names = cert->wanted;
	uint64_t now = now_s(c), most = 0;
	char domain[256];

	ret_domain[0] = '\0';
	if (acme_week_exempt(cert, a))
		return 0;
	while ((names = next_domain(names, domain)) != NULL) {
		const struct acme_domain *d = domain[0] ? find(a, domain) : NULL;
		uint64_t then, wait;

		if (!d)
			continue;
		then = max_of(d->spent_s, now) + (uint64_t)ONE_S * (1 + under_way(c, cert, a, domain));
		/* A clock that went back owes nothing that nobody could have spent. */
		wait = then > now + WEEK_S && d->spent_s <= now + WEEK_S ? then - now - WEEK_S : 0;
		if (wait > most) {
			most = wait;
			memcpy(ret_domain, domain, sizeof domain);
		}
	}
	return most;
}

void acme_week_spend(struct ctl *c, const char *all, struct acme_account *a)
{
	const char *names = all, *here = all;
	uint64_t now = now_s(c);
	char domain[256];

	forget_old(c, a, now);
	for (; (names = next_domain(here, domain)) != NULL; here = names) {
		struct acme_domain *d = domain[0] && !is_repeated(all, names, domain) ? add(a, domain) : NULL;

		if (!d)
			continue;
		d->spent_s = max_of(d->spent_s, now) + ONE_S;
		d->spent_s = min_of(d->spent_s, now + WEEK_S);
		save(c, a, d);
	}
}

void acme_week_failed(struct ctl *c, struct cert *cert, const char *domain, uint64_t wait_s)
{
	time_t at = (time_t)(now_s(c) + wait_s);
	char what[400], todo[160], day[32] = "";
	struct tm tm;

	if (gmtime_r(&at, &tm))
		(void)strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%SZ", &tm);
	(void)snprintf(what, sizeof what,
		"%d certificates for names of %s were got within a week; authorities give 50 to a registered domain",
		(int)WEEK_CERTS, domain);
	(void)snprintf(todo, sizeof todo, "wait: there is room at %s, and it goes on by itself", day);
	acme_failed(c, cert, domain, what, todo, wait_s);
	/* It is no failure of its own: the next try is when there is room. */
	cert->failures = 1;
	cert->next_s = (uint64_t)at + acme_chance(60);
	(void)state_save_cert(c, cert);
}
