/*
 * client.c: certificates that clients must show (ClientCa=, OriginPulls=): what has to fit
 * together, and the typed result.
 *
 * Called by route.c for each route, and by app.c. A route with a list of its own has only that; an
 * empty ClientCa= has none. What files hold was read by check before. Owns nothing.
 */
#include <string.h>

#include "conf_priv.h"

static bool is_own(const struct conf_scope *s)
{
	return s->head[CONF_SITE_CLIENT_CA] != NULL ||
	       s->head[CONF_SITE_CLIENT_CA_CERTIFICATE] != NULL;
}

static bool pulls(const struct conf *c)
{
	return c->plain.head[CONF_SITE_ORIGIN_PULLS] != NULL &&
	       c->plain.head[CONF_SITE_ORIGIN_PULLS]->number != 0;
}

static bool has_text(const struct conf_value *v)
{
	for (; v != NULL; v = v->next)
		if (v->text[0] != '\0')
			return true;
	return false;
}

/* Does the scope itself ask, by what is written there? */
static bool asks(const struct conf *c, const struct conf_scope *s)
{
	return has_text(s->head[CONF_SITE_CLIENT_CA]) ||
	       has_text(s->head[CONF_SITE_CLIENT_CA_CERTIFICATE]) || (s == &c->plain && pulls(c));
}

void conf_client_fill(struct conf *c, const struct conf_scope *s, struct conf_route *r)
{
	const struct conf_scope *of = is_own(s) ? s : &c->plain;
	const struct conf_value *v = s->head[CONF_SITE_CLIENT_CERTIFICATE];
	const char **all;
	size_t n = 0;

	if (v == NULL)
		v = c->plain.head[CONF_SITE_CLIENT_CERTIFICATE];
	r->client_optional = v != NULL && v->number != 0;
	r->client_asked = asks(c, of);
	for (v = of->head[CONF_SITE_CLIENT_CA_CERTIFICATE]; v != NULL; v = v->next)
		n++;
	all = conf_alloc(c, (n + 1) * sizeof(*all));
	n = 0;
	for (v = of->head[CONF_SITE_CLIENT_CA_CERTIFICATE]; v != NULL && all != NULL; v = v->next)
		if (v->text[0] != '\0')
			all[n++] = v->text;
	r->client_ca = all;
}

/* ---- what has to fit together ---- */

/* What says that a certificate is asked for, where a finding points at. */
static const struct conf_value *word(const struct conf *c, const struct conf_scope *s)
{
	return has_text(s->head[CONF_SITE_CLIENT_CA]) ? s->head[CONF_SITE_CLIENT_CA]
	       : s == &c->plain && pulls(c)           ? s->head[CONF_SITE_ORIGIN_PULLS]
						      : s->head[CONF_SITE_CLIENT_CA_CERTIFICATE];
}

static void check_one(struct conf *c, const struct conf_scope *s)
{
	const struct conf_value *https = c->plain.head[CONF_SITE_HTTPS];
	const struct conf_value *need = s->head[CONF_SITE_CLIENT_CERTIFICATE];
	enum { OFF = 2 };

	if (asks(c, s) && https != NULL && https->number == OFF)
		conf_find(c, CONF_ERROR, &word(c, s)->pos, "take Https=off out, or this",
			"%s=: certificates are shown over TLS, and the site is served without it",
			conf_rows[word(c, s)->key].key);
	if (need != NULL && need->origin != CONF_FROM_DEFAULT &&
		!asks(c, is_own(s) ? s : &c->plain))
		conf_find(c, CONF_WARNING, &need->pos,
			"write ClientCa= with the file of the authorities",
			"ClientCertificate=: nobody is named who vouches for certificates");
}

/* Files are told apart by their names, lists without a file by themselves. */
static bool is_first(const struct conf *c, const struct conf_scope *s)
{
	const struct conf_value *v = s->head[CONF_SITE_CLIENT_CA], *w;

	for (const struct conf_scope *o = c->scopes; o != s && has_text(v); o = o->next) {
		w = o->head[CONF_SITE_CLIENT_CA];
		if (has_text(w) && strcmp(v->text, w->text) == 0)
			return false;
	}
	return true;
}

void conf_client_check(struct conf *c)
{
	const struct conf_value *ca = c->plain.head[CONF_SITE_CLIENT_CA];
	unsigned lists = asks(c, &c->plain);

	if (pulls(c) && has_text(ca))
		conf_find(c, CONF_ERROR, &ca->pos,
			"write one of them: ClientCa= takes the network's authority too",
			"ClientCa=: OriginPulls= is there too, and a connection shows one "
			"certificate");
	check_one(c, &c->plain);
	for (const struct conf_scope *s = c->scopes; s != NULL; s = s->next) {
		if (s->section != SECTION_ROUTE)
			continue;
		check_one(c, s);
		if (asks(c, s) && is_first(c, s) && ++lists == CONF_CLIENT_LISTS_MAX + 1)
			conf_find(c, CONF_ERROR, &word(c, s)->pos, "let routes share files",
				"ClientCa=: a site can have %d different files",
				CONF_CLIENT_LISTS_MAX);
	}
}
