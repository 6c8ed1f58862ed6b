/*
 * up_check.c: the steps of the up flow that look at the folder: check, then build.
 *
 * Called by up_advance(). What check finds goes to the client as it comes; values become the conf
 * of the flow. ctl itself never opens a file of the folder.
 */
#include "deploy.h"
#include "up_trees.h"
#include "wants.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { CHECK_MS = 120 * 1000, BUILD_MS = 20 * 60 * 1000 };

static void heard_value(struct up *u, struct unpack *n)
{
	const char *text[6];
	uint32_t line, col;

	for (unsigned i = 0; i < 6; i++)
		text[i] = unpack_str(n);
	line = unpack_u32(n);
	col = unpack_u32(n);
	if (!n->bad && app_value_add(&u->app, text, line, col) < 0)
		u->check_failed = true;
	u->unsealed |= !u->seals && (strcmp(text[2], "CertificateChain") == 0 ||
					    (strcmp(text[2], "AcmeEabKey") == 0 && text[3][0]));
}

static void heard_finding(struct up *u, struct unpack *n)
{
	uint32_t level = unpack_u32(n), line, col;
	const char *file = unpack_str(n), *text, *todo;

	line = unpack_u32(n);
	col = unpack_u32(n);
	text = unpack_str(n);
	todo = unpack_str(n);
	/* What was said already is not said again; of certificates nothing was. */
	if (!n->bad && (!u->resealing || strncmp(text, "Certificate", 11) == 0))
		up_found(u, level, file, line, col, text, todo);
}

static void heard(struct ask *a, const struct msg *m)
{
	struct up *u = a->owner;
	struct unpack n;

	unpack_init(&n, m->payload, m->h.len);
	if (m->h.type == MSG_CHECK_VALUE)
		heard_value(u, &n);
	else if (m->h.type == MSG_CHECK_FINDING)
		heard_finding(u, &n);
	else if (m->h.type == MSG_CHECK_SITES)
		up_sites_heard(u, m);
}

/* The database that the last time guessed is not wanted any more. */
static void drop_database(struct up *u)
{
	struct msg_proc_ref ref = {.role = PROC_POSTGRES, .app = APP_NUMBER};

	u->app.bin[0] = '\0';
	u->db = DB_NOT;
	ask_forget(u->ctl, u);
	(void)parent_send(u->ctl, MSG_PROC_DROP, 0, &ref, sizeof ref, NULL, 0, NULL, 0);
}

/* There are private keys, and nobody is known yet who can hold them: once keys is here check seals
 * them. */
static void look_again(struct up *u)
{
	app_values_free(&u->app);
	sites_free(&u->sites);
	u->sites = (struct site_list){0};
	u->sites_bytes = 0;
	u->check_asked = false;
	u->resealing = true;
	certs_await(u->ctl);
	up_advance(u);
}

/* --https stands before the file, also after a reload. */
static void keep_https(struct up *u)
{
	const char *address = u->https;

	for (const struct app_value *v = u->ctl->app.values; v && u->reload && !*address;
		v = v->next)
		if (strcmp(v->key, "ListenTls") == 0 && strcmp(v->origin, "command") == 0)
			address = v->text;
	if (*address &&
		app_value_add(&u->app,
			(const char *const[6]){"Server", "", "ListenTls", address, "command", ""},
			0, 0) < 0)
		u->check_failed = true;
}

static void checked(struct ask *a, const struct ask_end *end)
{
	struct up *u = a->owner;

	if (end->err && end->error[0]) {
		up_fail(u, end->exit_code, end->todo, "%s", end->error);
		return;
	}
	if (end->err) {
		up_fail(u, end->exit_code ? end->exit_code : VERB_EXIT_USAGE,
			u->reload ? "correct it, then `stead reload` again; the old configuration "
				    "serves on"
			: u->deploy ? "correct it, then `stead deploy` again; what served before serves on"
			: u->ctl->start.server
				? "correct it, then `systemctl reload stead`; `stead check /etc/stead` looks without changing anything"
				  : "correct it, then `stead up` again; `stead check` looks "
				    "without starting anything",
			"%s cannot be served as it is.", u->deploy ? u->app.name : u->app.folder);
		return;
	}
	if (u->unsealed && !u->resealing) {
		look_again(u);
		return;
	}
	if (u->deploy) {
		deploy_checked(u);
		up_advance(u);
		return;
	}
	keep_https(u);
	u->check_failed |= server_defaults(u->ctl, &u->app) < 0;
	for (const struct app_value *v = u->app.values; v; v = v->next)
		if (strcmp(v->section, "Site") == 0 && strcmp(v->key, "Name") == 0 && !u->reload)
			(void)snprintf(u->app.name, sizeof u->app.name, "%s", v->text);
	if (u->reload)
		reload_keep(u);
	up_values(u);
	if (!u->failing && !u->ctl->start.root)
		identity_settle(u);
	if (!u->failing && u->agree && acme_agree(u->ctl, u->c->acme_directory, "--yes") < 0)
		up_fail(u, VERB_EXIT_FAILED, "free disk space, then try again",
			"That you agree to the authority's terms could not be written down.");
	if (!u->failing)
		up_sites_settle(u);
	if (u->failing)
		return;
	if (u->c->postgres == CONF_POSTGRES_YES && u->db == DB_NOT && !u->reload)
		up_db_start(u);
	else if (u->c->postgres != CONF_POSTGRES_YES && u->db != DB_NOT && !u->reload)
		drop_database(u);
	up_advance(u);
}

void up_unchecked(struct up *u)
{
	u->check_asked = true;
	u->check_failed |= server_defaults(u->ctl, &u->app) < 0;
	up_values(u);
}

void up_values(struct up *u)
{
	char why[512] = "";

	if (!u->check_failed && domain_merge(u->ctl, &u->app) < 0)
		u->check_failed = true;
	u->conf = u->check_failed ? NULL : effective_conf(u->ctl, &u->app, why, sizeof why);
	u->c = u->conf ? conf_app(u->conf) : NULL;
	if (!u->c) {
		up_fail(u, VERB_EXIT_FAILED, "this is a bug in stead: please report it",
			"What was found in the folder does not hold: %s",
			why[0] ? why : "no memory");
		return;
	}
	u->checked = true;
}

static void step(struct ask *a, const char *text, uint32_t permille)
{
	struct up *u = a->owner;

	client_progress(u->client, "build", text, permille);
}

static const struct ask_ops check_ops = {.heard = heard, .ended = checked};

static void start_failed(struct up *u, const char *role)
{
	up_fail(u, VERB_EXIT_FAILED, "try again", "stead-%s cannot be asked: no memory.", role);
}

/* Without it check looks at all of them, which is right too. */
static void tell_known(struct up *u, struct ask *a)
{
	const struct app *last = &u->ctl->app;

	cert_known_free(u->known);
	u->known = NULL;
	if (!last->known || strcmp(last->folder, u->app.folder) != 0)
		return;
	u->known = cert_known_new(&u->ctl->sites, loop_wall_us(u->ctl->loop) / 1000000);
	if (u->known)
		a->fd = cert_known_fd(u->known);
}

void up_check(struct up *u)
{
	struct msg_check_ask ask = {.mode = CHECK_FOLDER, .uid = u->app.gid, .gid = u->app.gid};
	char name[64], own[CTL_PATH_MAX];
	struct ask *a;
	struct buf b;

	/* Whom to seal for is known in a moment. */
	if (u->ctl->keys.awaited && !u->ctl->keys.known)
		return;
	u->seals = u->ctl->keys.known;
	ask.seals = u->seals ? CHECK_SEALS : CHECK_SEALS_LATER;
	ask.flags = (u->deploy ? CHECK_DEPLOYS : 0) | (up_trees_are(u) ? CHECK_MOUNTED : 0);
	memcpy(ask.seal_for, u->ctl->keys.public_key, sizeof ask.seal_for);
	u->check_asked = true;
	client_progress(u->client, "check", "looking at the folder", UINT32_MAX);
	if (u->deploy)
		(void)snprintf(name, sizeof name, "%s", u->app.name);
	else
		conf_name_from_folder(u->app.folder, name);
	buf_init(&b, CHAN_PAYLOAD_MAX);
	buf_put(&b, &ask, sizeof ask);
	pack_str(&b, u->app.work);
	pack_str(&b, name);
	wants_own(u->ctl, &u->app, own);
	pack_str(&b, own);
	wants_runtime(u->ctl, u->app.set, own);
	pack_str(&b, own);
	wants_base(u->ctl, &u->app, own);
	pack_str(&b, own);
	a = ask_start(u->ctl, PROC_CHECK, u->app.gid, u->app.gid, CHECK_MS, MSG_CHECK_ASK, &b, &check_ops, u);
	if (!a)
		start_failed(u, "check");
	else if (u->seals)
		tell_known(u, a);
}

/* ---- what the app runs with ---- */

static void built(struct ask *a, const struct ask_end *end)
{
	struct up *u = a->owner;

	if (end->err) {
		up_fail(u, end->exit_code, end->todo, "%s", end->error);
		return;
	}
	u->built = true;
	(void)snprintf(u->app.python, sizeof u->app.python, "%s", end->result);
	up_advance(u);
}

static const struct ask_ops build_ops = {.step = step, .ended = built};

void up_build(struct up *u)
{
	const char *base = u->c->interpreter[0] ? u->c->interpreter : "/usr/bin/python3";
	char path[CTL_PATH_MAX], interpreter[CTL_PATH_MAX];
	struct buf b;

	u->building = true;
	effective_path(&u->app, base, interpreter);
	if (!u->c->python || !u->c->requirements[0]) {
		u->built = true;
		u->app.python[0] = '\0';
		if (u->c->python && u->c->venv[0] && !u->c->interpreter[0]) {
			effective_path(&u->app, u->c->venv, path);
			if (snprintf(interpreter, sizeof interpreter, "%s/bin/python", path) >=
				CTL_PATH_MAX)
				interpreter[0] = '\0';
		}
		if (u->c->python)
			memcpy(u->app.python, interpreter, sizeof u->app.python);
		return;
	}
	client_progress(u->client, "build", "seeing to the app's packages", UINT32_MAX);
	buf_init(&b, CHAN_PAYLOAD_MAX);
	wants_own(u->ctl, &u->app, path);
	pack_str(&b, u->app.work);
	pack_str(&b, path);
	pack_str(&b, interpreter);
	pack_str(&b, u->c->requirements);
	/* A release that is kept runs with its own again when it is gone back to. */
	if (u->deploy)
		(void)state_release_pythons(u->ctl, &u->app, &b);
	if (!ask_start(u->ctl, PROC_BUILD, u->app.gid, u->app.gid, BUILD_MS, MSG_BUILD_ASK, &b,
		    &build_ops, u))
		start_failed(u, "build");
}
