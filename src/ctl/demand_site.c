/*
 * demand_site.c: sites with OnDemand=, and the certificates of their names in the snapshot; see demand.h.
 *
 * Called when a snapshot is made. Owns the list of such sites, and a reference of the snapshot that the gates have, which
 * says where a name leads: exactly what they see.
 */
#include "sites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hostname.h"

enum { DAY_S = 86400, TRIES = 4 };

struct demand_site *demand_site_numbered(struct ctl *c, uint32_t number)
{
	struct demand_site *s = c->certs.demands.sites;

	while (s && s->number != number)
		s = s->next;
	return s;
}

struct demand_site *demand_site_named(struct ctl *c, const char *name)
{
	struct demand_site *s = c->certs.demands.sites;

	while (s && strcmp(s->name, name) != 0)
		s = s->next;
	return s;
}

bool demand_site_has(struct ctl *c, const struct demand_site *s, const char *name)
{
	const struct snap *snap = c->certs.demands.snap;
	const struct snap_site *site;

	if (!snap || !hostname_is_public(name, strlen(name)))
		return false;
	site = snap_site_by_host(snap, name, strlen(name), NULL);
	return site && site->number == s->number;
}

bool demand_site_want(struct ctl *c, const struct demand_site *s, struct cert *cert)
{
	char *names = strdup(cert->site);

	if (!names)
		return false;
	free(cert->wanted);
	cert->wanted = names;
	cert->number = s->number;
	cert->seen = c->certs.build;
	cert->way = (enum cert_way)s->way;
	cert->else_tls = s->else_tls;
	memcpy(cert->profile, s->profile, sizeof cert->profile);
	return true;
}

void demand_site_put(struct site_build *b, const struct conf_app *conf, struct snap_site *site)
{
	struct certs *certs = &b->c->certs;
	struct demand_site *s;

	if (!conf->on_demand[0] || !b->https_port || conf->https_off)
		return;
	if (!certs->agreed) {
		acme_count_unagreed(certs, conf->domains && conf->domains[0] ? conf->domains[0] : b->name);
		return;
	}
	s = demand_site_named(b->c, b->name);
	if (!s) {
		s = calloc(1, sizeof *s);
		b->no_memory |= !s;
		if (!s)
			return;
		s->next = certs->demands.sites;
		certs->demands.sites = s;
		(void)snprintf(s->name, sizeof s->name, "%s", b->name);
	}
	s->number = b->number;
	s->seen = certs->build;
	(void)snprintf(s->url, sizeof s->url, "%s", conf->on_demand);
	(void)snprintf(s->profile, sizeof s->profile, "%s", conf->profile);
	s->way = conf->challenge == CONF_CHALLENGE_TLS   ? CERT_BY_TLS
		 : conf->challenge == CONF_CHALLENGE_DNS ? CERT_BY_DNS
							 : CERT_BY_HTTP;
	s->else_tls = conf->challenge == CONF_CHALLENGE_AUTO;
	site->flags |= SNAP_SITE_ON_DEMAND;
	/* With a certificate for local names what comes in the clear is as it was, but for names that have one of these. */
	if (!site->cert)
		certs_serve(b, conf, site, strcmp(certs->directory, CONF_ACME_DIRECTORY) == 0);
	else if (conf->http == CONF_HTTP_REDIRECT)
		site->flags |= SNAP_SITE_HTTP_REDIRECT;
}

static void put(struct site_build *b, struct cert *cert)
{
	struct snap_cert put = {.not_after_s = cert->not_after_s};
	uint32_t at;

	memcpy(put.id, cert->id, sizeof put.id);
	memcpy(put.key, cert->key.id, sizeof put.key);
	if (!certs_put_key(b, cert->key.id, cert->key.box, cert->key.box_n))
		return;
	at = snap_put_cert(b->w, &put, (const void *const *)cert->der, cert->der_n, cert->n, cert->names);
	snap_put_demand(b->w, cert->number, cert->site, at, demand_tell_s(cert));
}

static void drop_unseen_sites(struct certs *certs)
{
	struct demand_site **at = &certs->demands.sites, *s;

	while ((s = *at) != NULL) {
		if (s->seen == certs->build) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		free(s);
	}
}

/* Nothing of it is under way, and nobody waits for what becomes of it. */
static bool is_idle(const struct ctl *c, const struct cert *cert)
{
	for (const struct client *cl = c->clients; cl; cl = cl->next)
		if (cl->renewing == cert)
			return false;
	return !cert->job && !cert->making;
}

void demand_sweep(struct ctl *c)
{
	uint64_t now = loop_wall_us(c->loop) / 1000000;
	struct cert *next;

	for (struct cert *cert = c->certs.all; cert; cert = next) {
		bool over = cert->n ? cert->not_after_s <= now
				    : cert->failures >= TRIES && cert->used_s + DAY_S <= now;

		next = cert->next;
		if (cert->of && over && is_idle(c, cert) && state_drop_demand(c, cert) == 0)
			cert_drop(c, cert);
	}
}

void demand_end(struct site_build *b)
{
	struct ctl *c = b->c;
	const struct demand_site *s;

	drop_unseen_sites(&c->certs);
	if (!c->certs.demands.sites)
		return;
	demand_sweep(c);
	for (struct cert *cert = c->certs.all; cert; cert = cert->next) {
		s = cert->of ? demand_site_named(c, cert->of) : NULL;
		if (!s)
			continue;
		b->no_memory |= !demand_site_want(c, s, cert);
		if (cert->n)
			put(b, cert);
	}
}

void demand_on_snap(struct ctl *c, const int *fds, unsigned n)
{
	struct snap *s = NULL;

	if (c->certs.demands.sites && snap_load(fds, n, &s) < 0)
		return;
	snap_unref(c->certs.demands.snap);
	c->certs.demands.snap = s;
}
