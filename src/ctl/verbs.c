/*
 * verbs.c: what a request asks for; each verb's end.
 *
 * Called by control.c with a parsed request, and when something changed that a waiting restart may
 * have waited for.
 */
#include "deploy.h"

#include <stdio.h>
#include <string.h>

static void not_running(struct client *cl)
{
	client_end(cl, VERB_EXIT_NOT_RUNNING, "Nothing is live here: not running.",
		cl->ctl->start.server ? "`stead status` says what hinders it" : "`stead up` takes the folder live", NULL);
}

/* The named app or site is here, or none was named. */
static bool is_ours(struct client *cl)
{
	struct ctl *c = cl->ctl;
	char text[240];

	if (!cl->req.app[0] || apps_named(c, cl->req.app) || sites_named(&c->sites, cl->req.app))
		return true;
	if (c->sites.n || c->app.next || c->start.server)
		(void)snprintf(text, sizeof text, "There is no app or site \"%s\" here%s.", cl->req.app,
			c->sites.n || c->app.next ? "" : ", and no other one either");
	else
		(void)snprintf(text, sizeof text, "There is no app \"%s\" here; there is \"%s\".",
			cl->req.app, c->app.name);
	client_end(cl, VERB_EXIT_NO_SUCH, text,
		c->sites.n || c->app.next ? "`stead status` shows all names"
		: c->start.server	  ? "`stead deploy FOLDER` brings one"
					  : "`stead status` shows its name",
		NULL);
	return false;
}

const struct site *verbs_site(const struct client *cl)
{
	struct ctl *c = cl->ctl;

	return cl->req.app[0] && !apps_named(c, cl->req.app) ? sites_named(&c->sites, cl->req.app) : NULL;
}

struct app *verbs_app(const struct client *cl)
{
	struct app *a = cl->req.app[0] ? apps_named(cl->ctl, cl->req.app) : NULL;

	return a ? a : verbs_site(cl) ? NULL : &cl->ctl->app;
}

const char *verbs_name(const struct client *cl)
{
	const struct site *site = verbs_site(cl);

	return site ? site->name : verbs_app(cl)->name;
}

uint32_t verbs_number(const struct client *cl)
{
	const struct site *site = verbs_site(cl);

	return site ? site->number : verbs_app(cl)->number;
}

static void restart_now(struct client *cl, const struct app *a)
{
	struct ctl *c = cl->ctl;
	struct msg_proc_ref ref = {.role = a->run->role, .app = a->set};

	cl->generation = procs_newest(c, a->run->role, a->set);
	cl->restarting = true;
	cl->restarts = a->set;
	client_progress(cl, "restart", "starting new workers beside the old ones", UINT32_MAX);
	loop_timer_in(c->loop, &cl->timer, a->run->start_ms * (uint64_t)a->run->scaling.scaler.want + 30000);
	(void)parent_send(c, MSG_PROC_RESTART, ++c->ids, &ref, sizeof ref, NULL, 0, NULL, 0);
	programs_restart(a);
	/* An app that sleeps has none to replace; what wakes it is new. */
	verbs_settle(c);
}

static void restart(struct client *cl)
{
	struct ctl *c = cl->ctl;
	const struct app *a;

	if (c->live_us == 0) {
		not_running(cl);
		return;
	}
	if (!is_ours(cl))
		return;
	a = verbs_app(cl);
	if (!a || !a->run->workers) {
		client_end(cl, VERB_EXIT_NO_SUCH,
			c->start.server && !cl->req.app[0] ? "No app is named." : "This site has no app to restart: its files are served as they are.",
			c->start.server && !cl->req.app[0] ? "name one: stead restart APP (`stead status` shows the names)"
			: a && app_deployed(a)		   ? "`stead deploy` brings what was changed"
							   : "`stead reload` reads stead.conf again",
			NULL);
		return;
	}
	/* As systemd has it: what is stopped is started. */
	if (a->run->off.stopped) {
		cl->req.verb = REQUEST_START;
		off_start(cl);
		return;
	}
	/* A release is what it is; the folder of `stead up` may be other than its copy. */
	if (c->start.root && !app_deployed(a))
		reload_restart(c, cl);
	else
		restart_now(cl, a);
}

static void restart_failed(struct client *cl, const char *error)
{
	cl->restarting = false;
	loop_timer_stop(cl->ctl->loop, &cl->timer);
	client_end(cl, VERB_EXIT_FAILED, error,
		"`stead logs` shows what the new ones said; correct it and run `stead restart` "
		"again",
		NULL);
}

void client_on_timer(struct loop *l, struct op *op, int res)
{
	struct client *cl = container_of(op, struct client, timer.op);

	(void)l;
	(void)res;
	if (cl->purging)
		purge_late(cl);
	if (cl->maintaining)
		maintenance_late(cl);
	if (cl->off_step)
		off_late(cl);
	if (cl->renewing)
		cert_renew_late(cl);
	if (cl->reading_terms)
		cert_terms_late(cl);
	if (cl->sealing || cl->importing)
		cert_import_late(cl);
	if (cl->lines)
		trouble_lines_end(cl);
	if (cl->restarting)
		restart_failed(
			cl, "The new workers were not ready in time; the old ones serve on.");
}

void verbs_settle(struct ctl *c)
{
	cert_import_settle(c);
	for (struct client *cl = c->clients; cl; cl = cl->next) {
		const struct app *a = cl->restarting ? apps_of_set(c, cl->restarts) : NULL;

		maintenance_settle(cl);
		off_settle(cl);
		if (a && (procs_done(c, a->run->role, cl->restarts, cl->generation) ||
				 procs_newer(c, a->run->role, cl->restarts, cl->generation) >= a->run->scaling.scaler.want)) {
			cl->restarting = false;
			loop_timer_stop(c->loop, &cl->timer);
			client_end(cl, VERB_EXIT_DONE, "", "", NULL);
		}
	}
}

/* A worker of a newer generation died before it was ready: the same would come again. */
void verbs_worker_died(struct ctl *c, const struct msg_proc_state *st)
{
	for (struct client *cl = c->clients; cl; cl = cl->next) {
		off_died(cl, st);
		if (cl->restarting && st->app == cl->restarts && st->generation > cl->generation)
			restart_failed(cl,
				"A new worker ended before it was ready; the old ones serve on.");
	}
}

static void stop(struct client *cl)
{
	struct msg_stop m = {0};
	struct ctl *c = cl->ctl;

	c->stopping = true;
	client_end(cl, VERB_EXIT_DONE, "", "", NULL);
	(void)parent_send(c, MSG_SHUTDOWN, 0, &m, sizeof m, NULL, 0, NULL, 0);
}

static void certificate(struct client *cl)
{
	enum request_verb verb = cl->req.verb;

	if (verb == REQUEST_CERT_TERMS)
		cert_terms_start(cl);
	else if (verb == REQUEST_CERT_AGREE)
		cert_agree_start(cl);
	else if (!is_ours(cl))
		return;
	else if (verb == REQUEST_CERT_LIST)
		cert_list_start(cl);
	else if (verb == REQUEST_CERT_RENEW)
		cert_renew_start(cl);
	else if (verb == REQUEST_CERT_KEY)
		cert_key_start(cl);
	else
		cert_import_start(cl);
}

static void if_ours(struct client *cl, void (*run)(struct client *cl))
{
	if (is_ours(cl))
		run(cl);
}

void verbs_run(struct client *cl)
{
	switch (cl->req.verb) {
	case REQUEST_UP:
		up_start(cl->ctl, cl);
		break;
	case REQUEST_RELOAD:
		reload_start(cl->ctl, cl);
		break;
	case REQUEST_STATUS:
		if_ours(cl, trouble_status);
		break;
	case REQUEST_STOP:
		stop(cl);
		break;
	case REQUEST_RESTART:
		restart(cl);
		break;
	case REQUEST_START:
	case REQUEST_APP_STOP:
	case REQUEST_APP_RELOAD:
	case REQUEST_ENABLE:
	case REQUEST_DISABLE:
		if_ours(cl, off_start);
		break;
	case REQUEST_DOMAIN_ADD:
	case REQUEST_DOMAIN_REMOVE:
	case REQUEST_DOMAIN_LIST:
		if_ours(cl, domain_start);
		break;
	case REQUEST_METRICS:
		metrics_start(cl);
		break;
	case REQUEST_PURGE:
		if_ours(cl, purge_start);
		break;
	case REQUEST_ALERT_TEST:
		if_ours(cl, alert_test_start);
		break;
	case REQUEST_MAINTENANCE:
		if_ours(cl, maintenance_start);
		break;
	case REQUEST_CERT_LIST:
	case REQUEST_CERT_RENEW:
	case REQUEST_CERT_TERMS:
	case REQUEST_CERT_AGREE:
	case REQUEST_CERT_KEY:
	case REQUEST_CERT_IMPORT:
		certificate(cl);
		break;
	case REQUEST_DEPLOY:
	case REQUEST_ROLLBACK:
	case REQUEST_REMOVE:
	case REQUEST_DEPLOY_SEND:
	case REQUEST_BACKUP:
	case REQUEST_RELEASES:
		deploy_verb(cl);
		break;
	case REQUEST_LOGS:
		logs_start(cl);
		break;
	case REQUEST_UPGRADE:
		upgrade_ask(cl);
		break;
	case REQUEST_PING:
	case REQUEST_NONE:
	case REQUEST_END:
		client_end(cl, VERB_EXIT_DONE, "", "", json_pack("{s:s}", "version", STEAD_VERSION));
		break;
	}
}
