/*
 * deploy_steps.c: the steps of a deploy from the check of its files to the switch, and those of a removal.
 *
 * Called by deploy.c. The new release's processes have a number of their own beside those of the old one
 * (struct app, `set`), so that both run; the snapshot shows the new one to ctl's probe alone until it has answered.
 * The state is written before the gates are told: who comes after a death serves what the state says.
 */
#include "deploy.h"
#include "identity.h"
#include "wants.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char again[] = "correct it, then `stead deploy` again; what served before serves on";

/* ---- what it is ---- */

bool deploy_check(struct up *u)
{
	if (!u->check_asked)
		up_check(u);
	return u->checked;
}

bool deploy_recall(struct up *u)
{
	uint32_t number = u->app.release;
	int err;

	client_progress(u->client, "check", "looking for the release", UINT32_MAX);
	err = state_load_release(u->ctl, &u->app, number);
	if (err) {
		up_fail(u, err == -ENOENT ? VERB_EXIT_NO_SUCH : VERB_EXIT_FAILED,
			"`stead releases` shows those that are kept", "There is no release %u of %s.",
			(unsigned)number, u->app.name);
		return false;
	}
	deploy_tree(u->ctl, &u->app, "releases", number, u->app.work);
	u->built = true;
	up_values(u);
	return !u->failing;
}

/* What is the operator's alone stays as it is. */
static void drop_operators(struct up *u)
{
	bool said = false;

	for (struct app_value **at = &u->app.values; *at;) {
		struct app_value *v = *at;
		bool written = strcmp(v->origin, "default") != 0 && strcmp(v->origin, "detected") != 0;

		if (strcmp(v->section, "Server") != 0 && strcmp(v->section, "Tcp") != 0) {
			at = &v->next;
			continue;
		}
		if (written && !said)
			client_finding(u->client, CONF_WARNING, v->file, v->line, v->col,
				"[Server] and [Tcp] are the operator's and do not count in a deployed app",
				"write them in the server's own stead.conf");
		said |= written;
		*at = v->next;
		v->next = NULL;
		app_value_free(v);
	}
}

/* Is it a unit that says nothing of a site? */
static bool is_bare_unit(const struct up *u)
{
	bool unit = false;

	for (const struct app_value *v = u->app.values; v; v = v->next) {
		size_t n = strlen(v->file);

		if (strcmp(v->origin, "file") != 0)
			continue;
		if (strcmp(v->section, "Site") == 0)
			return false;
		unit |= n > 8 && strcmp(v->file + n - 8, ".service") == 0;
	}
	return unit;
}

/* Then its program is one that nobody asks anything: where it listens and how it says that it can be asked is nothing to
 * us; all else of [Service] holds as it is written. */
static int ask_nobody(struct up *u)
{
	static const char *const none[6] = {"Service", "", "Listen", "none", "detected", ""};

	for (struct app_value **at = &u->app.values; *at;) {
		struct app_value *v = *at;

		if (strcmp(v->section, "Service") != 0 || strcmp(v->key, "Listen") != 0) {
			at = &v->next;
			continue;
		}
		*at = v->next;
		v->next = NULL;
		app_value_free(v);
	}
	return app_value_add(&u->app, none, 0, 0);
}

static bool is_host(const struct app_value *v, const char *host)
{
	return strcmp(v->section, "Site") == 0 && v->text[0] && strcasecmp(v->text, host) == 0 &&
	       (strcmp(v->key, "Domain") == 0 || strcmp(v->key, "Alias") == 0);
}

static bool app_has(const struct app *a, const char *host)
{
	bool named = false;

	for (const struct app_value *v = a->values; v && a->run->serves; v = v->next) {
		if (is_host(v, host))
			return true;
		named |= strcmp(v->section, "Site") == 0 && strcmp(v->key, "Domain") == 0 && v->text[0];
	}
	return !*host && a->run->serves && !named;
}

static bool site_has(const struct site *s, const char *host)
{
	struct site_value v;
	struct unpack u;

	unpack_init(&u, s->values, s->bytes);
	while (*host && site_value_next(&u, &v))
		if (strcmp(v.section, "Site") == 0 && strcasecmp(v.text, host) == 0 &&
			(strcmp(v.key, "Domain") == 0 || strcmp(v.key, "Alias") == 0))
			return true;
	return !*host && !site_domain(s)[0];
}

/* Who has that host name ("" every other one) already; NULL: nobody. */
static const char *owner_of(const struct up *u, const char *host)
{
	struct ctl *c = u->ctl;

	FOR_APPS(c, a)
		if (a != u->deploy->app && (a->known || a == &c->app) && app_has(a, host))
			return a->name;
	for (unsigned i = 0; i < c->sites.n; i++)
		if (site_has(c->sites.all[i], host))
			return c->sites.all[i]->name;
	return NULL;
}

static bool claim(struct up *u, const char *host)
{
	const char *owner = owner_of(u, host);

	if (owner && *host)
		up_fail(u, VERB_EXIT_USAGE, again, "%s is another site's: %s has it.", host, owner);
	else if (owner)
		up_fail(u, VERB_EXIT_USAGE,
			"write Domain= in [Site] of stead.conf, then `stead deploy` again",
			"%s has no Domain=, and every other name is another site's: %s has no Domain= either.",
			u->app.name, owner);
	return owner == NULL;
}

bool deploy_claims(struct up *u)
{
	char socket[CTL_PATH_MAX];

	if (u->c->serves && !u->c->domains[0] && !claim(u, ""))
		return false;
	for (const char *const *h = u->c->domains; u->c->serves && *h; h++)
		if (!claim(u, *h))
			return false;
	for (const char *const *h = u->c->aliases; u->c->serves && *h; h++)
		if (!claim(u, *h))
			return false;
	if (u->c->postgres == CONF_POSTGRES_YES && !deploy_claim_database(u))
		return false;
	/* A socket in the folder of its own number is a place of its own. */
	u->deploy->fixed = wants_alone(u->c) || (wants_fixed(u->c) && (u->c->service.listen != SERVICE_PATH ||
									      !identity_socket(u->ctl, &u->app, u->c, socket)));
	if (u->deploy->fixed)
		u->app.set = u->deploy->app->set;
	return true;
}

void deploy_checked(struct up *u)
{
	for (const struct app_value *v = u->app.values; v; v = v->next)
		if (strcmp(v->section, "Site") == 0 && strcmp(v->key, "Name") == 0 &&
			strcmp(v->origin, "file") == 0 && strcmp(v->text, u->app.name) != 0) {
			up_fail(u, VERB_EXIT_USAGE, "name it so too: stead deploy --app NAME",
				"%s:%u: the app is called %s there, and shall be deployed as %s.", v->file,
				(unsigned)v->line, v->text, u->app.name);
			return;
		}
	drop_operators(u);
	deploy_hold(u);
	if (is_bare_unit(u) && ask_nobody(u) < 0)
		up_fail(u, VERB_EXIT_FAILED, "try again", "There is no memory for its values.");
	else
		up_values(u);
}

bool deploy_publish(struct up *u)
{
	return up_root_published(u);
}

bool deploy_build(struct up *u)
{
	if (!u->built && !u->building)
		up_build(u);
	return u->built;
}

/* ---- the database ---- */

bool deploy_database(struct up *u)
{
	struct ctl *c = u->ctl;

	if (u->c->postgres != CONF_POSTGRES_YES) {
		u->app.bin[0] = '\0';
		return true;
	}
	if (deploy_begins(u->deploy)) {
		if (state_has_database(c, u->app.name, u->c->database) < 0) {
			up_fail(u, VERB_EXIT_FAILED, "check the state folder", "The state could not be written.");
			return false;
		}
		FOR_APPS(c, a)
			if (a->bin[0])
				memcpy(u->app.bin, a->bin, sizeof u->app.bin);
		/* A server that runs is not looked at as if a dead stead had left it. */
		if (u->app.bin[0] && procs_count(c, PROC_POSTGRES, APP_NUMBER, PHASE_UP) > 0) {
			client_progress(u->client, "database", "seeing to the database", UINT32_MAX);
			u->db = DB_STARTS;
			u->server_up = true;
			(void)snprintf(u->database, sizeof u->database, "%s", u->c->database);
		} else {
			up_db_start(u);
		}
	}
	up_db_advance(u);
	if (u->db == DB_READY && !u->failing)
		up_db_sync(u);
	return u->synced;
}

enum { MIGRATE_NOT = 0, MIGRATE_RUNS, MIGRATE_ENDED };

bool deploy_migrate(struct up *u)
{
	struct deploy *d = u->deploy;
	int err;

	if (!u->c->migrate)
		return true;
	if (deploy_begins(d)) {
		client_progress(u->client, "migrate", "bringing the database to what the release needs", UINT32_MAX);
		d->ran = true;
		d->migrate = MIGRATE_RUNS;
		d->newer_than = procs_newest(u->ctl, PROC_SERVICE, PROGRAM_NUMBER_MIGRATE);
		err = program_migrate(u->ctl, &u->app, u->c, loop_wall_us(u->ctl->loop));
		if (err)
			up_fail(u, VERB_EXIT_USAGE,
				err == -ENOENT ? "install it, or write its path" : again,
				"The program of Migrate= cannot be run: %s.",
				err == -ENOENT ? "it is not found in PATH" : strerror(-err));
	}
	return d->migrate == MIGRATE_ENDED;
}

void deploy_migrated(struct up *u, const struct msg_proc_state *st)
{
	struct deploy *d = u->deploy;

	if (d->migrate != MIGRATE_RUNS || st->phase != PHASE_DOWN)
		return;
	if (st->spawn_err)
		up_fail(u, VERB_EXIT_FAILED, again, "The program of Migrate= could not be started: %s.",
			strerror((int)st->spawn_err));
	else if (st->status < 0)
		up_fail(u, VERB_EXIT_FAILED, again, "The program of Migrate= was ended by signal %d (%s).",
			-st->status, strsignal(-st->status));
	else if (st->status > 0)
		up_fail(u, VERB_EXIT_FAILED, again, "The program of Migrate= ended with exit status %d.",
			st->status);
	if (st->spawn_err || st->status)
		return;
	d->migrate = MIGRATE_ENDED;
	program_migrate_end(u->ctl);
	up_advance(u);
}

/* ---- its processes ---- */

/* The gates see the release from now on, and nobody through them but ctl's probe. */
static bool show_to_gates(struct up *u)
{
	int err;

	if (u->deploy->coming)
		return true;
	u->deploy->coming = true;
	err = sites_again(u->ctl);
	if (err)
		up_fail(u, VERB_EXIT_FAILED, err == -ENOSPC ? "free disk space, then try again" : "",
			"The configuration cannot be handed to the gates: %s.", strerror(-err));
	return err == 0;
}

/* Do the gates ask that program already, where it is now? */
static bool is_asked(const struct up *u)
{
	const struct deploy *d = u->deploy;
	char why[128];
	struct conf *old = d->fixed && d->app->known ? effective_conf(u->ctl, d->app, why, sizeof why) : NULL;
	const struct conf_app *was = old ? conf_app(old) : NULL;
	bool is = was && was->serves && wants_role(was) == PROC_SERVICE && was->service.protocol == u->c->service.protocol;

	conf_free(old);
	return is;
}

bool deploy_start_workers(struct up *u)
{
	struct deploy *d = u->deploy;
	struct app_run *run = d->app->run;
	int err;

	if (wants_role(u->c) == PROC_NONE)
		return true;
	/* A program is up when a gate has its answer. */
	if (wants_role(u->c) == PROC_SERVICE && u->c->serves && !is_asked(u) && !show_to_gates(u))
		return false;
	client_progress(u->client, "start", "starting the new release beside the old one", UINT32_MAX);
	u->workers_set = d->ran = true;
	u->set_id = ++u->ctl->ids;
	u->newer_than = procs_newest(u->ctl, wants_role(u->c), u->app.set);
	u->rolling = d->fixed;
	d->old_sum = run->worker_sum;
	d->old_want = run->scaling.scaler.want;
	err = wants_app(u->ctl, &u->app, u->c, u->set_id, NULL, &u->missing);
	if (err == -ENOENT && !u->c->python)
		up_fail(u, VERB_EXIT_USAGE, "install it, or write its path",
			"The program %s is not found in PATH.", u->missing ? u->missing : "of ExecStart=");
	else if (err)
		up_fail(u, VERB_EXIT_FAILED, "", "The app cannot be described to the parent: %s.",
			strerror(-err));
	return !u->failing;
}

bool deploy_up(struct up *u)
{
	enum proc role = wants_role(u->c);

	return role == PROC_NONE || procs_done(u->ctl, role, u->app.set, u->newer_than) ||
	       procs_newer(u->ctl, role, u->app.set, u->newer_than) >= max_of(u->app.run->scaling.scaler.want, 1u);
}

/* ---- asked, before anybody else asks ---- */

bool deploy_probe(struct up *u)
{
	struct deploy *d = u->deploy;
	char first[CTL_ADDRESS_MAX];

	/* A program with one place has been asked by the gates, or it would not be up; one that says itself that it is ready
	 * has not. */
	if (!u->c->serves || (d->fixed && u->c->service.ready == SERVICE_PROBED))
		return true;
	if (deploy_begins(d) && !show_to_gates(u))
		return false;
	if (!sites_loaded(u->ctl))
		return false;
	if (!u->probing) {
		u->probing = true;
		listen_first(&u->ctl->app, first);
		client_progress(u->client, "probe", "asking the new release", UINT32_MAX);
		probe_start(u->ctl, &u->probe, first, u->c->health, u->c->health_count, u->c->health_timeout_ms);
		u->probe.coming = true;
		u->probe.site = u->app.number;
		(void)snprintf(u->probe.host, sizeof u->probe.host, "%s",
			u->c->domains[0] ? u->c->domains[0] : "localhost");
	}
	return !u->probe.running && u->probe.good >= u->probe.wanted;
}

/* ---- the switch ---- */

static void go_over(struct up *u)
{
	struct ctl *c = u->ctl;
	struct deploy *d = u->deploy;
	struct app *a = d->app;

	d->old_set = a->set;
	d->old_role = a->run->role;
	d->committed = true;
	memcpy(u->app.instance, c->instance, sizeof u->app.instance);
	app_take(a, &u->app);
	a->known = true;
	app_adopt(a, u->c);
}

/* Only so many are kept; that which serves is one of them. */
static void forget_old(struct ctl *c, const struct app *a, unsigned keep)
{
	struct release all[DEPLOY_RELEASES_MAX];
	unsigned n, left = keep > 0 ? keep - 1 : 0;

	if (state_releases(c, a, all, DEPLOY_RELEASES_MAX, &n) < 0)
		return;
	for (unsigned i = 0; i < n; i++) {
		if (all[i].number == a->release)
			continue;
		if (left)
			left--;
		else
			(void)state_forget_release(c, a, all[i].number);
	}
}

static void drop_old(struct up *u)
{
	struct deploy *d = u->deploy;

	forget_old(u->ctl, d->app, u->c->keep);
	/* Their queue is the new one's since the snapshot; what they run they end. */
	if (d->old_role != PROC_NONE && (d->old_set != d->app->set || d->old_role != d->app->run->role))
		wants_drop(u->ctl, d->old_role, d->old_set);
	programs_apply(u->ctl, d->app, u->c, false);
}

bool deploy_switch(struct up *u)
{
	struct deploy *d = u->deploy;
	int err;

	if (!deploy_begins(d)) {
		if (!sites_loaded(u->ctl))
			return false;
		drop_old(u);
		return true;
	}
	client_progress(u->client, "switch", "passing the visitors to it", UINT32_MAX);
	err = state_save_deploy(u->ctl, &u->app, d->what == DEPLOY_NEW ? loop_wall_us(u->ctl->loop) : 0);
	if (err) {
		up_fail(u, VERB_EXIT_FAILED,
			err == -ENOSPC ? "free disk space, then try again" : "check the state folder",
			"The state could not be written: %s.", strerror(-err));
		return false;
	}
	go_over(u);
	err = sites_again(u->ctl);
	if (err)
		up_fail(u, VERB_EXIT_FAILED, "`stead reload` tells the gates again",
			"The release is the one that serves, and the gates could not be told: %s.",
			strerror(-err));
	return false;
}

/* ---- a removal ---- */

bool deploy_gone(struct up *u)
{
	struct deploy *d = u->deploy;
	int err;

	if (!deploy_begins(d))
		return sites_loaded(u->ctl);
	client_progress(u->client, "remove", "taking it out of what serves", UINT32_MAX);
	if (!d->app->known)
		return true;
	err = d->app->bin[0] ? state_has_database(u->ctl, d->app->name, d->app->run->database) : 0;
	if (err == 0)
		err = state_forget_app(u->ctl, d->app);
	if (err) {
		up_fail(u, VERB_EXIT_FAILED, "check the state folder", "The state could not be written: %s.",
			strerror(-err));
		return false;
	}
	d->committed = true;
	d->app->known = false;
	d->app->run->serves = false;
	(void)sites_again(u->ctl);
	return false;
}

static bool runs(const struct ctl *c, const struct app *a)
{
	for (unsigned i = 0; i < c->procs_n; i++) {
		const struct msg_proc_state *st = &c->procs[i].st;

		if ((st->role == PROC_WORKER || st->role == PROC_SERVICE) && st->pid > 0 &&
			apps_owner(c, st->app) == a)
			return true;
	}
	return false;
}

bool deploy_stopped(struct up *u)
{
	struct app *a = u->deploy->app;

	if (deploy_begins(u->deploy)) {
		for (uint32_t side = 0; side < 2; side++) {
			wants_drop(u->ctl, PROC_WORKER, 2 * a->number + side);
			wants_drop(u->ctl, PROC_SERVICE, 2 * a->number + side);
		}
		for (unsigned i = 0; i < a->run->programs_n; i++)
			wants_drop(u->ctl, PROC_SERVICE, a->run->programs[i].number);
	}
	return !runs(u->ctl, a);
}

static void dropped(struct ask *a, const struct ask_end *end)
{
	struct up *u = a->owner;

	if (end->err)
		up_fail(u, end->exit_code, end->todo, "%s", end->error);
	else
		deploy_step_done(u);
}

bool deploy_drop(struct up *u)
{
	static const struct ask_ops drop_ops = {.ended = dropped};
	struct deploy *d = u->deploy;

	if (!d->data || !d->app->bin[0] || !d->app->run->database[0])
		return true;
	if (deploy_begins(d))
		up_db_drop(u, &drop_ops);
	return d->done;
}

static void files_ended(struct ask *a, const struct ask_end *end)
{
	struct up *u = a->owner;

	u->acts_pending--;
	if (end->err)
		up_fail(u, end->exit_code, end->todo, "%s", end->error);
	else
		up_advance(u);
}

static void remove_folder(struct up *u, const char *name)
{
	static const struct ask_ops files_ops = {.ended = files_ended};
	struct ctl *c = u->ctl;
	char path[CTL_PATH_MAX];

	wants_below(c, u->deploy->app, c->start.root ? name : "", path);
	if (c->start.root)
		up_root_act(u, ACT_TREE_REMOVE, (const char *const[]){path});
	else if (deploy_ask_files(c, u->deploy->app, UNPACK_REMOVE, (const char *const[]){path, name, "", ""}, -1,
			 &files_ops, u))
		u->acts_pending++;
}

bool deploy_trees(struct up *u)
{
	enum { FOLDERS_ALWAYS = 5 }; /* the others go with the data only */
	static const char *const names[] = {"releases", "incoming", "own", "php", "cache", "data", "logs", "config"};
	struct deploy *d = u->deploy;
	struct ctl *c = u->ctl;
	char path[CTL_PATH_MAX];

	if (deploy_begins(d)) {
		for (unsigned i = 0; i < ARRAY_LEN(names); i++)
			if (d->data || i < FOLDERS_ALWAYS)
				remove_folder(u, names[i]);
		(void)snprintf(path, sizeof path, "%s/public/app%u", c->state_dir, (unsigned)d->app->number);
		if (c->start.root)
			up_root_act(u, ACT_TREE_REMOVE, (const char *const[]){path});
	}
	if (u->acts_pending)
		return false;
	if (d->data)
		(void)state_has_database(c, d->app->name, "");
	apps_remove(c, d->app);
	d->app = NULL;
	return true;
}
