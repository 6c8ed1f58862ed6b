/*
 * reload.c: changes of a site that is live: `stead reload`, and as root `stead restart`.
 *
 * Called by verbs.c and by the up flow, which does the walking. A reload that fails at any step
 * leaves what was live: the old values are told to the parent and the gates again.
 */
#include "ctl.h"
#include "deploy.h"
#include "wants.h"

#include <stdio.h>
#include <string.h>

static struct up *begin(struct ctl *c, struct client *cl)
{
	struct up *u;

	if (c->up) {
		deploy_busy(cl);
		return NULL;
	}
	if (c->live_us == 0) {
		client_end(cl, VERB_EXIT_NOT_RUNNING, "Nothing is live here: not running.", "`stead up` takes the folder live", NULL);
		return NULL;
	}
	u = up_new(c, cl);
	c->server.failed = false;
	if (!u) {
		client_end(cl, VERB_EXIT_FAILED, "no memory", "", NULL);
		return NULL;
	}
	app_like(&u->app, &c->app);
	u->reload = u->bound = u->synced = true;
	u->db = c->app.bin[0] ? DB_READY : DB_NOT;
	memcpy(u->database, c->app.run->database, sizeof u->database);
	return u;
}

void reload_start(struct ctl *c, struct client *cl)
{
	struct up *u = begin(c, cl);

	if (!u)
		return;
	server_forget_found(c);
	up_advance(u);
}

void reload_restart(struct ctl *c, struct client *cl)
{
	struct up *u = begin(c, cl);

	if (!u)
		return;
	u->restart = true;
	up_advance(u);
}

void reload_same(struct up *u)
{
	u->check_asked = true;
	for (const struct app_value *v = u->ctl->app.values; v; v = v->next) {
		const char *const text[6] = {
			v->section, v->arg, v->key, v->text, v->origin, v->file};

		if (app_value_add(&u->app, text, v->line, v->col) < 0)
			u->check_failed = true;
	}
	up_sites_same(u);
	up_values(u);
}

/* ---- values that a reload cannot change ---- */

static bool needs_up(const struct app_value *v)
{
	enum conf_key key = conf_key_by_name(v->section, v->key);

	return key != CONF_END && conf_rows[key].when == WHEN_UP;
}

static bool is_default(const struct app_value *v)
{
	return strcmp(v->origin, "default") == 0;
}

/* All values of one key, as they would be written in one line; the first of them, or NULL. A default counts where there is
 * nothing else: a server has its own behind it. */
static const struct app_value *of_key(
	const struct app_value *list, enum conf_key key, char *ret_text, size_t cap)
{
	const struct app_value *first = NULL;
	bool given = false;
	size_t n = 0;

	for (const struct app_value *v = list; v; v = v->next)
		given |= !is_default(v) && conf_key_by_name(v->section, v->key) == key;

	ret_text[0] = '\0';
	for (const struct app_value *v = list; v; v = v->next) {
		if (conf_key_by_name(v->section, v->key) != key || (given && is_default(v)))
			continue;
		first = first ? first : v;
		if (n < cap)
			n += (size_t)snprintf(
				ret_text + n, cap - n, "%s%s", n ? " " : "", v->text);
	}
	return first;
}

static void warn(struct up *u, enum conf_key key, const struct app_value *old)
{
	char text[2600], was[1200], is[1200];
	const struct app_value *v = of_key(u->app.values, key, is, sizeof is);

	(void)of_key(old, key, was, sizeof was);
	if (strcmp(is, was) == 0)
		return;
	/* --http may have come before the file. */
	if (key == CONF_SERVER_LISTEN)
		(void)snprintf(was, sizeof was, "%s", u->app.http);
	(void)snprintf(text, sizeof text, "[%s] %s=%s needs a new start; %s stays until then",
		section_rows[conf_rows[key].section].name, conf_rows[key].key, is,
		was[0] ? was : "the value before");
	up_found(u, CONF_WARNING, v ? v->file : "", v ? v->line : 0, v ? v->col : 0,
		text, u->ctl->start.server ? "run `systemctl restart stead`" : "run `stead stop` and `stead up`");
}

void reload_keep(struct up *u)
{
	const struct app_value *old = u->ctl->app.values;

	for (enum conf_key key = 0; key < CONF_END; key++)
		if (conf_rows[key].when == WHEN_UP)
			warn(u, key, old);
	for (struct app_value **at = &u->app.values; *at;) {
		struct app_value *v = *at;

		if (!needs_up(v)) {
			at = &v->next;
			continue;
		}
		*at = v->next;
		v->next = NULL;
		app_value_free(v);
	}
	for (const struct app_value *v = old; v; v = v->next) {
		const char *const text[6] = {
			v->section, v->arg, v->key, v->text, v->origin, v->file};

		if (needs_up(v) && app_value_add(&u->app, text, v->line, v->col) < 0)
			u->check_failed = true;
	}
}

void reload_revert(struct up *u)
{
	struct ctl *c = u->ctl;
	struct conf *conf;
	char why[128];

	if (!u->workers_set && !u->snap_sent && !u->gates_sent)
		return;
	conf = effective_conf(c, &c->app, why, sizeof why);
	if (!conf)
		return;
	if (u->workers_set && c->app.run->role != PROC_NONE)
		(void)wants_app(c, &c->app, conf_app(conf), 0, NULL, NULL);
	if (u->workers_set && c->app.run->role != wants_role(u->c))
		wants_drop(c, wants_role(u->c), u->app.set);
	if (u->gates_sent)
		(void)gates_send(c, conf_app(conf));
	if (u->snap_sent)
		(void)sites_send(c, &(struct sites_own){&c->app, conf_app(conf), &c->sites});
	conf_free(conf);
}
