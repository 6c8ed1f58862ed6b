/*
 * up_sites.c: the step of the up flow that settles which sites without a folder serve: those that
 * check found right, and of the others the last good version, if there is one.
 *
 * Called with each CHECK_SITES, and when check has ended. What serves already keeps its host names: a
 * new version of another site that claims one of them is refused, and its last good version stays.
 * So one file never stops another, nor the start. Called again when the folder of one cannot be had (up_trees.c). Owns the flow's list. What check says is input.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SITES_MAX = 100000, SITE_BYTES_MAX = 1024 * 1024, SITES_BYTES_MAX = 256 * 1024 * 1024 };

static void begin(struct up *u, const char *file)
{
	site_free(u->site);
	u->site = site_new(file);
	u->check_failed |= !u->site;
	buf_reset(&u->site_values);
	u->site_values.max = SITE_BYTES_MAX;
}

static void value(struct up *u, const struct site_value *v)
{
	struct buf *b = &u->site_values;

	if (!u->site)
		return;
	u->unsealed |= !u->seals && strcmp(v->key, "CertificateChain") == 0;
	if (strcmp(v->section, "Site") == 0 && strcmp(v->key, "Name") == 0 &&
		strlen(v->text) < sizeof u->site->name)
		memcpy(u->site->name, v->text, strlen(v->text) + 1);
	pack_str(b, v->section);
	pack_str(b, v->arg);
	pack_str(b, v->key);
	pack_str(b, v->text);
	pack_u32(b, v->line);
	pack_u32(b, v->col);
}

/* Files come in the order of their names, each once: what comes otherwise is not from check. */
static void end(struct up *u, uint32_t errors)
{
	struct site *s = u->site;
	struct site_list *l = &u->sites;

	u->site = NULL;
	if (s && !cert_known_add(u->known, &u->site_values)) {
		client_finding(u->client, CONF_ERROR, s->file, 1, 1, "CertificateInputs=: no certificate is known by that",
			"take it out: it is found by Certificate=, and not meant to be written by hand");
		errors++;
	}
	u->sites_bytes += u->site_values.len;
	if (!s || u->site_values.error || (l->n && strcmp(l->all[l->n - 1]->file, s->file) >= 0) ||
		l->n >= SITES_MAX || u->sites_bytes > SITES_BYTES_MAX) {
		u->check_failed = true;
		site_free(s);
		return;
	}
	s->bad = errors > 0;
	s->bytes = s->bad ? 0 : u->site_values.len;
	s->values = malloc(s->bytes + 1);
	if (!s->values) {
		u->check_failed = true;
		site_free(s);
		return;
	}
	if (s->bytes)
		memcpy(s->values, u->site_values.p, s->bytes);
	u->check_failed |= sites_add(l, s) < 0;
}

void up_sites_heard(struct up *u, const struct msg *m)
{
	struct site_value v;
	struct unpack n;

	unpack_init(&n, m->payload, m->h.len);
	while (!n.bad && !unpack_done(&n)) {
		uint32_t kind = unpack_u32(&n);

		if (kind == SITE_RECORD_FILE) {
			const char *file = unpack_str(&n);

			if (!n.bad)
				begin(u, file);
		} else if (kind == SITE_RECORD_VALUE) {
			if (site_value_next(&n, &v))
				value(u, &v);
		} else if (kind == SITE_RECORD_END) {
			uint32_t errors = unpack_u32(&n);

			if (!n.bad)
				end(u, errors);
		} else {
			n.bad = true;
		}
	}
	u->check_failed |= n.bad;
}

/* ---- what only one may have ---- */

struct settle {
	struct up *u;
	struct conf_claims *names, *hosts;
	const struct site_list *old; /* what served last from this folder */
};

static bool is_host(const struct site_value *v)
{
	return strcmp(v->section, "Site") == 0 && v->text[0] &&
	       (strcmp(v->key, "Domain") == 0 || strcmp(v->key, "Alias") == 0);
}

/* Each of its host names, or "" when it has none: to `each`, until that is not NULL. */
static const struct conf_claim *hosts_of(struct settle *t, const struct site *s,
	const struct conf_claim *(*each)(struct settle *t, const struct conf_claim *claim),
	struct conf_claim *ret_mine)
{
	const struct conf_claim *first = NULL;
	struct site_value v;
	bool named = false;
	struct unpack u;

	unpack_init(&u, s->values, s->bytes);
	while (!first && site_value_next(&u, &v)) {
		named |= v.text[0] && strcmp(v.key, "Domain") == 0;
		*ret_mine = (struct conf_claim){v.text, s->file, v.line, v.col};
		if (is_host(&v))
			first = each(t, ret_mine);
	}
	if (!first && !named) {
		*ret_mine = (struct conf_claim){"", s->file, 1, 1};
		first = each(t, ret_mine);
	}
	return first;
}

static const struct conf_claim *take_host(struct settle *t, const struct conf_claim *claim)
{
	(void)conf_claims_take(t->hosts, claim);
	return NULL;
}

static const struct conf_claim *find_host(struct settle *t, const struct conf_claim *claim)
{
	return conf_claims_find(t->hosts, claim->text);
}

static void take(struct settle *t, const struct site *s)
{
	struct conf_claim claim = {s->name, s->file, 1, 1};

	(void)conf_claims_take(t->names, &claim);
	(void)hosts_of(t, s, take_host, &claim);
}

static void take_own(struct settle *t)
{
	const struct conf_app *own = t->u->c;
	struct conf_claim claim = {t->u->app.name, "stead.conf", 1, 1};

	(void)conf_claims_take(t->names, &claim);
	for (unsigned i = 0; own->serves && own->domains[i]; i++) {
		claim.text = own->domains[i];
		(void)conf_claims_take(t->hosts, &claim);
	}
	for (unsigned i = 0; own->serves && own->aliases[i]; i++) {
		claim.text = own->aliases[i];
		(void)conf_claims_take(t->hosts, &claim);
	}
	claim.text = "";
	if (own->serves && !own->domains[0])
		(void)conf_claims_take(t->hosts, &claim);
}

/* Deployed apps serve already. */
static void take_deployed(struct settle *t, const struct app *a)
{
	struct conf_claim claim = {a->name, "stead.conf", 1, 1};
	bool named = false;

	(void)conf_claims_take(t->names, &claim);
	for (const struct app_value *v = a->values; v && a->run->serves; v = v->next) {
		claim.text = v->text;
		claim.line = v->line;
		if (strcmp(v->section, "Site") != 0 || !v->text[0] ||
			(strcmp(v->key, "Domain") != 0 && strcmp(v->key, "Alias") != 0))
			continue;
		named |= v->key[0] == 'D';
		(void)conf_claims_take(t->hosts, &claim);
	}
	claim.text = "";
	if (a->run->serves && !named)
		(void)conf_claims_take(t->hosts, &claim);
}

/* Another site, whose last good version serves on, has what this one claims. */
static bool is_taken(struct settle *t, const struct site *s)
{
	const struct conf_claim *first = conf_claims_find(t->names, s->name);
	struct conf_claim mine = {s->name, s->file, 1, 1};
	char text[700];

	if (first)
		(void)snprintf(text, sizeof text, "the name %s is another site's already (%.300s:%u:%u)",
			s->name, first->file, first->line, first->col);
	else if ((first = hosts_of(t, s, find_host, &mine)))
		(void)snprintf(text, sizeof text,
			"%.256s is another site's, whose last good version serves on (%.300s:%u:%u)",
			mine.text[0] ? mine.text : "every other name", first->file, first->line,
			first->col);
	if (first)
		up_found(t->u, CONF_ERROR, s->file, mine.line, mine.col, text,
			"correct that file too, then read both again");
	return first != NULL;
}

/* ---- which version ---- */

static void name_it(struct up *u, const struct site *s)
{
	size_t n = strlen(u->sites_named);

	u->sites_unnamed |= n + strlen(s->file) + 3 > sizeof u->sites_named;
	if (!u->sites_unnamed)
		(void)snprintf(u->sites_named + n, sizeof u->sites_named - n, "%s%s", n ? ", " : "",
			s->file);
}

/* In the place of s; NULL: there never was a good one. */
static struct site *last_good(struct settle *t, struct site *s)
{
	const struct site *old = t->old ? sites_of_file(t->old, s->file) : NULL;
	struct site *copy = old ? site_copy(old) : NULL;

	name_it(t->u, s);
	site_free(s);
	if (copy) {
		copy->kept = true;
		t->u->sites_kept++;
		take(t, copy);
	} else {
		t->u->sites_out++;
	}
	return copy;
}

static void choose(struct settle *t)
{
	struct site_list *l = &t->u->sites;
	unsigned n = 0;

	/* What serves on comes first: it has its host names already. */
	for (unsigned i = 0; i < l->n; i++)
		if (l->all[i]->kept)
			take(t, l->all[i]);
		else if (l->all[i]->bad)
			l->all[i] = last_good(t, l->all[i]);
	for (unsigned i = 0; i < l->n; i++) {
		struct site *s = l->all[i];

		if (s && !s->kept) {
			if (is_taken(t, s) ||
				(t->u->ctl->start.root && !up_root_site_may(t->u, s)))
				s = last_good(t, s);
			else
				take(t, s);
		}
		if (s)
			l->all[n++] = s;
	}
	l->n = n;
}

static void give_numbers(struct up *u)
{
	bool mine;
	int err = state_begin(u->ctl, &mine);

	for (unsigned i = 0; i < u->sites.n && err == 0; i++) {
		struct site *s = u->sites.all[i];

		s->number = SITE_NUMBER_FIRST + state_number(u->ctl, "site", s->name);
	}
	err = state_end(u->ctl, mine, err);
	if (err)
		up_fail(u, VERB_EXIT_FAILED,
			err == -ENOSPC ? "free disk space, then try again" : "check the state folder",
			"The state could not be written: %s.", strerror(-err));
}

void up_sites_settle(struct up *u)
{
	const struct app *last = &u->ctl->app;
	struct settle t = {.u = u, .names = conf_claims_new(), .hosts = conf_claims_new()};

	if (last->known && strcmp(last->folder, u->app.folder) == 0)
		t.old = &u->ctl->sites;
	if (t.names && t.hosts) {
		take_own(&t);
		for (const struct app *a = u->ctl->app.next; a; a = a->next)
			take_deployed(&t, a);
		choose(&t);
		give_numbers(u);
	} else {
		up_fail(u, VERB_EXIT_FAILED, "try again", "There is no memory for the sites.");
	}
	conf_claims_free(t.names);
	conf_claims_free(t.hosts);
}

void up_sites_same(struct up *u)
{
	u->check_failed |= sites_copy(&u->ctl->sites, &u->sites) < 0;
}

bool up_sites_say(const struct up *u, char *ret, size_t cap)
{
	unsigned n = u->sites_kept + u->sites_out;
	char kept[120] = "", out[120] = "";

	if (!n)
		return false;
	if (u->sites_kept)
		(void)snprintf(kept, sizeof kept, "of %u the last good version serves on", u->sites_kept);
	if (u->sites_out)
		(void)snprintf(out, sizeof out, "%u %s left out", u->sites_out,
			u->sites_out == 1 ? "is" : "are");
	(void)snprintf(ret, cap, "%u %s: %s%s%s (%s%s). All others are live.", n,
		n == 1 ? "site is not as its file says" : "sites are not as their files say", kept,
		kept[0] && out[0] ? ", " : "", out, u->sites_named,
		u->sites_unnamed ? ", …" : "");
	return true;
}
