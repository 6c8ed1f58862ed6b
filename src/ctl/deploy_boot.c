/*
 * deploy_boot.c: deployed apps run again: under a new parent, which runs nothing yet, and for a new ctl, whose parent
 * has them.
 *
 * Called by the up flow of the instance's own folder, and by resume.c. One app that cannot be run is an event and stops
 * no other one. The database server is shared; who needs it is told to the parent once it answers.
 */
#include "deploy.h"
#include "wants.h"

#include <stdio.h>
#include <string.h>

static void say_not_run(struct ctl *c, const struct app *a, const char *why)
{
	say(c, EV_PROGRAM_NOT_RUN, "app", a->name, "program", "", "why", why, NULL);
}

static void run(struct ctl *c, struct app *a, bool resume)
{
	char why[256] = "";
	struct conf *held = effective_conf(c, a, why, sizeof why);
	const struct conf_app *conf = held ? conf_app(held) : NULL;
	int err = 0;

	if (!conf) {
		say_not_run(c, a, why);
		return;
	}
	app_adopt(a, conf);
	if (resume)
		scaling_resume(a->run, true);
	if (a->run->role != PROC_NONE)
		err = wants_app(c, a, conf, 0, NULL, NULL);
	if (resume)
		scaling_resume(a->run, false);
	if (err)
		say_not_run(c, a, strerror(-err));
	programs_apply(c, a, conf, resume);
	conf_free(held);
}

void deploy_run(struct ctl *c, struct app *a)
{
	run(c, a, false);
}

/* ---- a new parent ---- */

static void waited(struct ask *a, const struct ask_end *end)
{
	if (end->err)
		say(a->ctl, EV_STATE_ERROR, "what", "wait for the database server", "error", end->error, NULL);
	deploy_boot_db(a->ctl);
}

static const struct ask_ops wait_ops = {.ended = waited};

static void inited(struct ask *a, const struct ask_end *end)
{
	struct ctl *c = a->ctl;
	int err = 0;

	if (end->err)
		say(c, EV_STATE_ERROR, "what", "see to the database", "error", end->error, NULL);
	FOR_APPS(c, app)
		if (!end->err && app_deployed(app) && app->bin[0] && strlen(end->result) < sizeof app->bin)
			(void)snprintf(app->bin, sizeof app->bin, "%s", end->result);
	FOR_APPS(c, app)
		if (!end->err && app_deployed(app) && app->bin[0]) {
			err = wants_postgres(c, app);
			if (err)
				say(c, EV_STATE_ERROR, "what", "describe the database server", "error",
					strerror(-err), NULL);
			else if (db_ask_app(c, app, DB_WAIT, &wait_ops))
				return;
			break;
		}
	deploy_boot_db(c);
}

static const struct ask_ops init_ops = {.ended = inited};

void deploy_boot(struct ctl *c, bool server_comes)
{
	struct app *first = NULL;

	if (c->apps_run)
		return;
	c->apps_run = true;
	FOR_APPS(c, a) {
		if (!app_deployed(a) || !a->known)
			continue;
		if (a->bin[0])
			first = first ? first : a;
		else
			run(c, a, false);
	}
	/* Their names have to be known before the server is told who may come in. */
	FOR_APPS(c, a)
		if (app_deployed(a) && a->known && a->bin[0]) {
			char why[128];
			struct conf *held = effective_conf(c, a, why, sizeof why);

			if (held)
				app_adopt(a, conf_app(held));
			conf_free(held);
		}
	if (!first && !server_comes)
		restored_over(c);
	else if (first && !server_comes && !db_ask_app(c, first, DB_INIT, &init_ops))
		deploy_boot_db(c);
	deploy_sweep_soon(c);
}

void deploy_boot_db(struct ctl *c)
{
	if (restored_loads(c))
		return;
	FOR_APPS(c, a)
		if (app_deployed(a) && a->known && a->bin[0] && !a->run->unloaded)
			run(c, a, false);
}

/* ---- a new ctl ---- */

void deploy_resume(struct ctl *c)
{
	c->apps_run = true;
	program_migrate_end(c);
	FOR_APPS(c, a) {
		if (!app_deployed(a) || !a->known)
			continue;
		if (a->bin[0])
			(void)wants_postgres(c, a);
		/* Not before its database is known to be there. */
		if (!a->bin[0] || !c->server.restored.on)
			run(c, a, true);
		/* The release that was coming, or the one that was about to go. */
		wants_drop(c, PROC_WORKER, a->set ^ 1);
		wants_drop(c, PROC_SERVICE, a->set ^ 1);
	}
	if (c->server.restored.on)
		deploy_boot_db(c);
	deploy_sweep_soon(c);
}
