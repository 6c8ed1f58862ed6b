/*
 * domain.c: `stead domain add|remove|list`, and the table `domain`: names that a command attached to an app.
 *
 * Called for the verbs, and by each flow that has read an app's files. A command comes before the file (interface of
 * `stead check`: command > file), and Domain= is one list: as soon as a name was attached the whole list is the
 * command's, the file's names first. Nothing is read again for it: the values that are live get the name, the gates get
 * a snapshot with it, and what wants a certificate is found with that. Whose a name is, is decided before it is kept.
 */
#include "ctl.h"
#include "deploy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 253 };

/* In the order in which they were attached: the first name of all is the canonical one. */
static int make_table(struct ctl *c)
{
	return state_exec(c, "CREATE TABLE IF NOT EXISTS domain (name TEXT PRIMARY KEY, app INTEGER NOT NULL)");
}

static int change(struct ctl *c, const char *sql, const char *name, uint32_t app)
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(c->db, sql, -1, &st, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 2, app);
	if (r == SQLITE_OK)
		r = sqlite3_step(st);
	(void)sqlite3_finalize(st);
	return r == SQLITE_DONE ? 0 : state_failed(c, "write domain");
}

static bool is_domain(const struct app_value *v)
{
	return strcmp(v->section, "Site") == 0 && strcmp(v->key, "Domain") == 0;
}

static bool is_host(const struct app_value *v)
{
	return is_domain(v) || (strcmp(v->section, "Site") == 0 && strcmp(v->key, "Alias") == 0);
}

/* Attached, and not in a file as well. */
static bool is_commands(const struct app_value *v)
{
	return is_domain(v) && strcmp(v->origin, "command") == 0 && !v->file[0];
}

static const struct app_value *find(const struct app *a, const char *name)
{
	for (const struct app_value *v = a->values; v; v = v->next)
		if (is_host(v) && strcmp(v->text, name) == 0)
			return v;
	return NULL;
}

static int add(struct app *a, const struct app_value *v, const char *name, const char *origin)
{
	const char *const text[6] = {"Site", "", "Domain", name, origin, v ? v->file : ""};

	return app_value_add(a, text, v ? v->line : 0, v ? v->col : 0);
}

/* Domain= anew: what the files said, then the attached ones; `names` end each with a NUL, behind the last one is another. */
static int rebuild(struct app *a, const char *names)
{
	struct app_value **at = &a->values, *old = NULL, **end = &old;
	int err = 0;

	while (*at) {
		struct app_value *v = *at;

		if (!is_domain(v)) {
			at = &v->next;
			continue;
		}
		*at = v->next;
		v->next = NULL;
		*end = v;
		end = &v->next;
	}
	while (old) {
		struct app_value *v = old;
		bool was = strcmp(v->origin, "command") == 0;

		old = v->next;
		if (err == 0 && !(was && !v->file[0]) && (v->text[0] || !*names))
			err = add(a, v, v->text, *names ? "command" : was ? "file" : v->origin);
		app_value_free(v);
	}
	for (const char *name = names; err == 0 && *name; name += strlen(name) + 1)
		if (!find(a, name))
			err = add(a, NULL, name, "command");
	return err;
}

int domain_merge(struct ctl *c, struct app *a)
{
	sqlite3_stmt *st = NULL;
	struct buf names;
	int r, err = make_table(c);

	if (err)
		return err;
	buf_init(&names, 1 << 20);
	r = sqlite3_prepare_v2(c->db, "SELECT name FROM domain WHERE app = ? ORDER BY rowid", -1, &st, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 1, a->number);
	while (r == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(st, 0);

		if (name)
			buf_put(&names, name, strlen(name) + 1);
	}
	buf_putc(&names, '\0');
	err = sqlite3_finalize(st) == SQLITE_OK ? names.error : state_failed(c, "read domain");
	if (err == 0)
		err = rebuild(a, names.p);
	buf_done(&names);
	return err;
}

/* ---- the verbs ---- */

/* Whose it is: an app's or a site's name; NULL: nobody's. */
static const char *owner_of(struct ctl *c, const char *name)
{
	FOR_APPS(c, a)
		if (a->run->serves && find(a, name))
			return a->name;
	for (unsigned i = 0; i < c->sites.n; i++) {
		const struct site *s = c->sites.all[i];
		struct site_value v;
		struct unpack u;

		unpack_init(&u, s->values, s->bytes);
		while (site_value_next(&u, &v))
			if (strcmp(v.section, "Site") == 0 && strcmp(v.text, name) == 0 &&
				(strcmp(v.key, "Domain") == 0 || strcmp(v.key, "Alias") == 0))
				return s->name;
	}
	return NULL;
}

static void refuse(struct client *cl, unsigned code, const char *todo, const char *fmt, const char *a, const char *b)
{
	char text[800];

	(void)snprintf(text, sizeof text, fmt, a, b);
	client_end(cl, code, text, todo, NULL);
}

static void done(struct client *cl, const struct app *a)
{
	json_t *urls = listen_urls(cl->ctl, a);

	client_end(cl, VERB_EXIT_DONE, "", "",
		json_pack("{s:s, s:s, s:o?}", "domain", cl->req.domain, "app", a->name, "urls", urls));
}

/* The live values with the table as it is now: kept, and told to the gates. 0, -EINVAL with `why`, or -errno. */
static int apply(struct ctl *c, struct app *a, char why[256])
{
	struct conf *held;
	int err = domain_merge(c, a);

	if (err)
		return err;
	held = effective_conf(c, a, why, 256);
	if (!held)
		return -EINVAL;
	conf_free(held);
	return state_save_app(c, a);
}

static void make(struct client *cl, struct app *a, const char *sql)
{
	struct ctl *c = cl->ctl;
	char why[256] = "";
	bool mine;
	int err = make_table(c);

	if (err == 0)
		err = state_begin(c, &mine);
	if (err == 0) {
		err = change(c, sql, cl->req.domain, a->number);
		if (err == 0)
			err = apply(c, a, why);
		err = state_end(c, mine, err);
		/* What was taken back there is taken back here. */
		if (err)
			(void)domain_merge(c, a);
	}
	if (err == 0)
		err = sites_again(c);
	if (err == 0)
		done(cl, a);
	else if (err == -EINVAL)
		refuse(cl, VERB_EXIT_USAGE, "for example shop.example or www.shop.example", "%s cannot be a host name here: %s", cl->req.domain,
			why);
	else
		refuse(cl, VERB_EXIT_FAILED, err == -ENOSPC ? "free disk space, then try again" : "check the state folder",
			"The name could not be kept: %s.%s", strerror(-err), "");
}

static void attach(struct client *cl, struct app *a)
{
	const char *whose = owner_of(cl->ctl, cl->req.domain);
	size_t n = strlen(cl->req.domain);

	if (n == 0 || n > NAME_MAX_BYTES || strpbrk(cl->req.domain, " \t\"\\")) {
		refuse(cl, VERB_EXIT_USAGE, "stead domain add NAME [APP]", "That is not a host name.%s%s", "", "");
	} else if (!a->run->serves) {
		refuse(cl, VERB_EXIT_USAGE,
			"name one that has a site (`stead status` shows which); or write [Site] into its file and deploy it again",
			"%s has no site of its own, so it cannot answer to %s.", a->name, cl->req.domain);
	} else if (whose && strcmp(whose, a->name) == 0) {
		done(cl, a);
	} else if (whose) {
		refuse(cl, VERB_EXIT_FAILED, "take it from there first (`stead domain remove NAME APP`, or Domain= of its file)",
			"%s is %s's.", cl->req.domain, whose);
	} else {
		make(cl, a, "INSERT OR REPLACE INTO domain (name, app) VALUES (?, ?)");
	}
}

static void detach(struct client *cl, struct app *a)
{
	const struct app_value *v;

	if (!cl->req.app[0])
		FOR_APPS(cl->ctl, other)
			if (find(other, cl->req.domain))
				a = other;
	v = find(a, cl->req.domain);
	if (!v)
		refuse(cl, VERB_EXIT_NO_SUCH, "`stead domain list` shows the names", "%s does not answer to %s.", a->name, cl->req.domain);
	else if (!is_commands(v))
		refuse(cl, VERB_EXIT_USAGE, "take it out there, then `stead reload` or deploy", "%s names %s itself, in its configuration.",
			a->name, cl->req.domain);
	else
		make(cl, a, "DELETE FROM domain WHERE name = ? AND app = ?");
}

static json_t *row(const char *name, const char *app, const char *origin)
{
	return json_pack("{s:s, s:s, s:s}", "name", name, "app", app, "origin", origin);
}

static void list(struct client *cl)
{
	struct ctl *c = cl->ctl;
	const char *only = cl->req.app;
	json_t *all = json_array();

	FOR_APPS(c, a) {
		if ((only[0] && strcmp(only, a->name) != 0) || !a->run->serves)
			continue;
		for (const struct app_value *v = a->values; v; v = v->next)
			if (is_domain(v) && v->text[0])
				(void)json_array_append_new(all, row(v->text, a->name, is_commands(v) ? "command" : "file"));
	}
	for (unsigned i = 0; i < c->sites.n; i++) {
		const struct site *s = c->sites.all[i];
		struct site_value v;
		struct unpack u;

		unpack_init(&u, s->values, s->bytes);
		while ((!only[0] || strcmp(only, s->name) == 0) && site_value_next(&u, &v))
			if (strcmp(v.section, "Site") == 0 && strcmp(v.key, "Domain") == 0 && v.text[0])
				(void)json_array_append_new(all, row(v.text, s->name, "file"));
	}
	client_end(cl, VERB_EXIT_DONE, "", "", json_pack("{s:o}", "domains", all));
}

/* Names are compared as DNS does (RFC 4343). */
static void lower(char *name)
{
	for (; *name; name++)
		if (*name >= 'A' && *name <= 'Z')
			*name = (char)(*name + 'a' - 'A');
}

void domain_start(struct client *cl)
{
	struct ctl *c = cl->ctl;
	struct app *a = verbs_app(cl);

	lower(cl->req.domain);
	if (c->live_us == 0)
		client_end(cl, VERB_EXIT_NOT_RUNNING, "Nothing is live here: not running.", "`stead up` takes the folder live", NULL);
	else if (cl->req.verb == REQUEST_DOMAIN_LIST)
		list(cl);
	else if (!a)
		client_end(cl, VERB_EXIT_USAGE, "This site has no app: its file alone says its names.", "write it into Domain= there, then `stead reload`", NULL);
	else if (c->up)
		deploy_busy(cl);
	else if (cl->req.verb == REQUEST_DOMAIN_ADD)
		attach(cl, a);
	else
		detach(cl, a);
}
