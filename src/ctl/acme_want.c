/*
 * acme_want.c: which sites want a certificate that stead gets by itself, for which names; their
 * certificates and keys go into the snapshot and the vault.
 *
 * Called when a snapshot is made, for one site after the other. Owns nothing but what stands in
 * struct cert of the wishes. Only names of the configuration are asked for.
 */
#include "sites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hostname.h"

/* As it stands in a certificate. */
static void put_name(struct buf *b, const char *name)
{
	buf_put(b, name[0] == '[' ? name + 1 : name, strlen(name) - (name[0] == '[' ? 2 : 0));
}

/* RFC 8738. */
static bool is_public_address(const char *name)
{
	char mem[64];
	struct buf b;

	buf_fixed(&b, mem, sizeof mem - 1);
	put_name(&b, name);
	mem[b.len] = '\0';
	return !b.error && hostname_is_public_address(mem);
}

/* A name that an authority can be asked for: a public one. */
static bool is_public(const char *name)
{
	static const char *const local[] = {
		".localhost", ".local", ".internal", ".home.arpa", ".invalid", ".onion"};
	size_t n = strlen(name);

	if (name[0] == '[' || hostname_is_address(name))
		return is_public_address(name);
	if (!strchr(name, '.'))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(local); i++)
		if (n >= strlen(local[i]) && strcmp(name + n - strlen(local[i]), local[i]) == 0)
			return false;
	return n < 254;
}

/* How many there are; the first CERT_NAMES_MAX of them go behind one another. */
static unsigned put_names(struct buf *b, unsigned n, const char *const *names, bool wildcards)
{
	for (; names && *names; names++)
		if (is_public(*names) && (wildcards || !strchr(*names, '*')) && n++ < CERT_NAMES_MAX) {
			if (n > 1)
				buf_putc(b, ' ');
			put_name(b, *names);
		}
	return n;
}

/* Blank-separated, the caller's; NULL: there are none. */
static char *names_of(const struct conf_app *conf, bool wildcards, unsigned *ret_n)
{
	char *text = NULL;
	struct buf b;

	buf_init(&b, CERT_NAMES_MAX * 256);
	*ret_n = put_names(&b, 0, conf->domains, wildcards);
	*ret_n = put_names(&b, *ret_n, conf->aliases, wildcards);
	if (*ret_n && !b.error)
		text = strdup(buf_str(&b));
	buf_done(&b);
	return text;
}

bool acme_wants(const struct ctl *c, const struct conf_app *conf)
{
	return acme_agreed(c, conf);
}

/* Is one of them at that port? */
static bool has_port(const char *const *addresses, const char *port)
{
	size_t n = strlen(port);

	for (; addresses && *addresses; addresses++) {
		size_t len = strlen(*addresses);

		if (len >= n && strcmp(*addresses + len - n, port) == 0)
			return true;
	}
	return false;
}

void acme_begin(struct site_build *b, const struct conf_app *conf)
{
	struct certs *certs = &b->c->certs;

	certs->build++;
	certs->unagreed = 0;
	certs->unagreed_name[0] = '\0';
	/* Where authorities look. Whoever tries a site at home is not told of certificates. */
	certs->reachable = has_port(conf->listen, ":80") || has_port(conf->listen_tls, ":443");
	acme_authorities(b->c, conf);
	certs->hook_there = conf->challenge_hook != NULL;
}

/* It can be asked for. What was said against it is of the past. */
static void allow(struct cert *cert)
{
	cert->failures = 0;
	cert->next_s = 0;
	cert->what[0] = cert->todo[0] = cert->about[0] = '\0';
}

/* It is for the names that are wanted again: renewed in its time, for which the authority is asked once more. */
static void as_it_was(struct cert *cert)
{
	cert->next_s = acme_renewal_of(cert);
	cert->look_s = cert->from_s = cert->to_s = 0;
}

/* names: the certificate's from here on; NULL: none are. */
static void want(struct site_build *b, struct cert *cert, char *names)
{
	/* Why the names of before could not be had says nothing of these. */
	if (cert->wanted && names && strcmp(cert->wanted, names) != 0) {
		allow(cert);
		if (cert->n && strcmp(cert->names, names) == 0)
			as_it_was(cert);
	}
	free(cert->wanted);
	cert->wanted = names;
	cert->own = false;
	cert->number = b->number;
	cert->seen = b->c->certs.build;
}

/* Nothing is asked for until the configuration is another one. It is told once. */
static void refuse(struct ctl *c, struct cert *cert, const char *what, const char *todo)
{
	cert->refused = true;
	if (strcmp(cert->what, what) != 0)
		acme_failed(c, cert, "", what, todo, 0);
}

/* Can it be asked for at all? n: how many names there are. */
static void look_at(struct ctl *c, struct cert *cert, const struct conf_app *conf, unsigned n)
{
	bool was_refused = cert->refused;
	char what[160];

	cert->refused = false;
	if (n > CERT_NAMES_MAX) {
		(void)snprintf(what, sizeof what,
			"the site has %u public names in Domain= and Alias=; a certificate holds %d", n,
			(int)CERT_NAMES_MAX);
		refuse(c, cert, what,
			"divide the names between several sites, each with at most that many; until "
			"then the site is served with what it has");
	} else if (!c->certs.hook_there && conf->challenge == CONF_CHALLENGE_DNS) {
		refuse(c, cert, "Challenge=dns-01 wants a program that puts records into the zone",
			"name it with ChallengeHook= in [Server]");
	} else if (!c->certs.hook_there && cert->wanted[0] == '*') {
		refuse(c, cert, "all its names are wildcards, which only a record in DNS proves",
			"name the program that puts it there with ChallengeHook= in [Server]");
	} else if (was_refused) {
		allow(cert);
	}
}

/* Wildcards that are left out: told when they are other ones than before. */
static void leave_out(struct ctl *c, struct cert *cert, const struct conf_app *conf)
{
	const char *const *lists[] = {conf->domains, conf->aliases};
	char text[sizeof cert->left_out] = "";
	bool any = !c->certs.hook_there && cert->wanted[0] != '*';
	size_t n = 0;

	for (unsigned i = 0; any && i < ARRAY_LEN(lists); i++)
		for (const char *const *name = lists[i]; name && *name; name++)
			if ((*name)[0] == '*' && is_public(*name) && n < sizeof text)
				n += (size_t)snprintf(
					text + n, sizeof text - n, "%s%s", n ? " " : "", *name);
	if (text[0] && strcmp(text, cert->left_out) != 0)
		say(c, EV_CERT_LEFT_OUT, "site", cert->site, "names", text, NULL);
	memcpy(cert->left_out, text, sizeof text);
}

static enum cert_way way_of(const struct conf_app *conf)
{
	return conf->challenge == CONF_CHALLENGE_DNS   ? CERT_BY_DNS
	       : conf->challenge == CONF_CHALLENGE_TLS ? CERT_BY_TLS
						       : CERT_BY_HTTP;
}

/* The caller's; NULL: none is wanted. Where nothing else is there, it is wildcards that nothing proves. */
static char *wanted_names(struct site_build *b, const struct conf_app *conf, unsigned *ret_n)
{
	const struct certs *certs = &b->c->certs;
	char *names;

	if (!conf->https_auto || (certs->agreed && !b->https_port))
		return NULL;
	names = names_of(conf, certs->hook_there, ret_n);
	return names || certs->hook_there ? names : names_of(conf, true, ret_n);
}

/* Nobody agreed to the authority's terms: that is told for the first name. */
void acme_count_unagreed(struct certs *certs, const char *names)
{
	size_t n = min_of(strcspn(names, " "), sizeof certs->unagreed_name - 1);

	if (certs->reachable && certs->unagreed++ == 0)
		(void)snprintf(certs->unagreed_name, sizeof certs->unagreed_name, "%.*s", (int)n, names);
}

bool acme_put(struct site_build *b, const struct conf_app *conf, struct snap_site *site)
{
	struct cert *cert = cert_find(b->c, b->name);
	unsigned n = 0;
	char *names = wanted_names(b, conf, &n);
	struct snap_cert put;

	if (names && !b->c->certs.agreed) {
		acme_count_unagreed(&b->c->certs, names);
		free(names);
		return false;
	}
	if (names && !cert)
		cert = cert_add(b->c, b->name);
	if (!names || !cert) {
		free(names);
		return false;
	}
	want(b, cert, names);
	cert->way = way_of(conf);
	cert->else_tls = conf->challenge == CONF_CHALLENGE_AUTO;
	(void)snprintf(cert->profile, sizeof cert->profile, "%s", conf->profile);
	look_at(b->c, cert, conf, n);
	leave_out(b->c, cert, conf);
	if (!cert->n)
		return true;
	put = (struct snap_cert){.not_after_s = cert->not_after_s};
	memcpy(put.id, cert->id, sizeof put.id);
	memcpy(put.key, cert->key.id, sizeof put.key);
	if (!certs_put_key(b, cert->key.id, cert->key.box, cert->key.box_n))
		return true;
	site->cert =
		snap_put_cert(b->w, &put, (const void *const *)cert->der, cert->der_n, cert->n,
			cert->names) + 1;
	certs_serve(b, conf, site, strcmp(acme_source(b->c, cert), CONF_ACME_DIRECTORY) == 0);
	return true;
}

void acme_own(struct site_build *b, const struct cert_box_view *v)
{
	struct cert *cert = cert_find(b->c, b->name);

	if (!cert)
		cert = cert_add(b->c, b->name);
	if (!cert)
		return;
	want(b, cert, NULL);
	cert->own = true;
	cert->own_until_s = v->head.not_after_s;
	(void)snprintf(cert->own_serial, sizeof cert->own_serial, "%s", v->serial);
	(void)snprintf(cert->own_issuer, sizeof cert->own_issuer, "%s", v->issuer);
	free(cert->own_names);
	cert->own_names = strdup(v->names);
}

void acme_end(struct site_build *b)
{
	struct certs *certs = &b->c->certs;

	demand_end(b);
	for (struct cert *cert = certs->all; cert; cert = cert->next)
		if (cert->seen != certs->build) {
			free(cert->wanted);
			cert->wanted = NULL;
		}
	for (const struct acme_account *a = certs->accounts; a; a = a->next)
		if (a->key.box)
			(void)certs_put_key(b, a->key.id, a->key.box, a->key.box_n);
	if (certs->eab.box)
		(void)certs_put_key(b, certs->eab.id, certs->eab.box, certs->eab.box_n);
	acme_look_late(b->c);
}
