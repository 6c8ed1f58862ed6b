/*
 * deploy.c: the row of steps that a deploy, a rollback and a removal walk, its failure and its end.
 *
 * Called by up_advance() after each event. A step is asked again until it is over. Up to the switch (deploy_switch())
 * nothing of what serves has changed, so a failure takes back what was begun; the switch is one transaction of the
 * state, so whoever comes after a death finds the old release or the new one.
 */
#include "deploy.h"
#include "wants.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILES_MS = 30 * 60 * 1000 };

struct step {
	const char *name; /* of the step, for people and for events */
	bool (*run)(struct up *u);
	unsigned whats;
};

static const struct step steps[] = {
	{"prepare", deploy_swept, DEPLOY_NEW},
	{"prepare", deploy_user, DEPLOY_NEW},
	{"prepare", deploy_folders, DEPLOY_NEW},
	{"receive", deploy_receive, DEPLOY_NEW},
	{"copy", deploy_copy, DEPLOY_NEW},
	{"check", deploy_check, DEPLOY_NEW},
	{"check", deploy_recall, DEPLOY_BACK},
	{"check", deploy_claims, DEPLOY_NEW | DEPLOY_BACK},
	{"files", deploy_identity, DEPLOY_NEW | DEPLOY_BACK},
	{"files", deploy_persist, DEPLOY_NEW},
	{"files", deploy_publish, DEPLOY_NEW},
	{"build", deploy_build, DEPLOY_NEW},
	{"database", deploy_database, DEPLOY_NEW | DEPLOY_BACK},
	{"migrate", deploy_migrate, DEPLOY_NEW},
	{"start", deploy_start_workers, DEPLOY_NEW | DEPLOY_BACK},
	{"start", deploy_up, DEPLOY_NEW | DEPLOY_BACK},
	{"probe", deploy_probe, DEPLOY_NEW | DEPLOY_BACK},
	{"switch", deploy_switch, DEPLOY_NEW | DEPLOY_BACK},
	{"remove", deploy_gone, DEPLOY_REMOVE},
	{"remove", deploy_stopped, DEPLOY_REMOVE},
	{"database", left_server, DEPLOY_REMOVE},
	{"database", deploy_drop, DEPLOY_REMOVE},
	{"remove", deploy_trees, DEPLOY_REMOVE},
};

bool deploy_begins(struct deploy *d)
{
	bool begins = !d->begun;

	d->begun = true;
	return begins;
}

void deploy_step_done(struct up *u)
{
	u->deploy->done = true;
	up_advance(u);
}

static void finish(struct up *u)
{
	struct ctl *c = u->ctl;
	struct deploy *d = u->deploy;
	char ms[24], release[16], url[STATUS_URL_MAX] = "";
	struct app *a = d->what == DEPLOY_REMOVE ? NULL : apps_named(c, u->app.name);

	if (a) {
		status_url(c, a, url);
		/* What its processes did before it was the app's release, nobody has looked at. */
		trouble_update(a);
	}
	(void)snprintf(ms, sizeof ms, "%llu",
		(unsigned long long)((loop_now_fresh_us(c->loop) - u->started_us) / 1000));
	(void)snprintf(release, sizeof release, "%u", (unsigned)u->app.release);
	if (d->what == DEPLOY_REMOVE)
		say(c, EV_APP_REMOVED, "app", u->app.name, NULL);
	else
		say(c, EV_DEPLOYED, "app", u->app.name, "release", release, "ms", ms, NULL);
	client_end(u->client, VERB_EXIT_DONE, "", "",
		json_pack("{s:s, s:i, s:s, s:b, s:s, s:b}", "deployed", u->app.name, "release", (int)u->app.release, "ms", ms,
			"removed", d->what == DEPLOY_REMOVE, "url", url, "serves", a && a->run->serves));
	up_forget(u);
	deploy_sweep_soon(c);
}

void deploy_advance(struct up *u)
{
	struct deploy *d = u->deploy;

	while (!u->failing && d->step < ARRAY_LEN(steps)) {
		if ((steps[d->step].whats & d->what) && !steps[d->step].run(u))
			return;
		d->step++;
		d->begun = d->done = false;
	}
	if (!u->failing)
		finish(u);
}

/* The processes of the new release go; those of the old one are told again as they were. */
static void revert(struct up *u)
{
	struct ctl *c = u->ctl;
	struct deploy *d = u->deploy;
	struct app_run *run = d->app->run;
	struct conf *conf;
	char why[128];

	if (u->workers_set && !d->fixed)
		wants_drop(c, wants_role(u->c), u->app.set);
	if (!u->workers_set)
		return;
	run->worker_sum = d->old_sum;
	scaling_told(run, d->old_want);
	conf = d->fixed && d->app->known ? effective_conf(c, d->app, why, sizeof why) : NULL;
	if (conf && run->role != PROC_NONE)
		(void)wants_app(c, d->app, conf_app(conf), 0, NULL, NULL);
	if (d->fixed && wants_role(u->c) != run->role)
		wants_drop(c, wants_role(u->c), u->app.set);
	conf_free(conf);
}

void deploy_failed(struct up *u)
{
	struct ctl *c = u->ctl;
	struct deploy *d = u->deploy;
	char release[16];

	(void)snprintf(release, sizeof release, "%u", (unsigned)u->app.release);
	say(c, EV_DEPLOY_FAILED, "app", u->app.name, "release", release, "step",
		d->step < ARRAY_LEN(steps) ? steps[d->step].name : "", "error", u->fail_error, NULL);
	program_migrate_end(c);
	if (!d->committed)
		revert(u);
	if (d->coming) {
		d->coming = false;
		(void)sites_again(c);
	}
	if (d->fresh && !d->committed)
		apps_remove(c, d->app);
	deploy_sweep_soon(c);
}

const struct up *deploy_coming(const struct ctl *c)
{
	const struct up *u = c->up;

	return u && u->deploy && u->deploy->coming && !u->deploy->committed && !u->failing ? u : NULL;
}

void deploy_heard(struct ctl *c, const struct msg_proc_state *st)
{
	struct up *u = c->up;

	if (u && u->deploy && !u->failing && st->role == PROC_SERVICE && st->app == PROGRAM_NUMBER_MIGRATE)
		deploy_migrated(u, st);
	if (c->up && c->up->deploy && c->up->deploy->what == DEPLOY_REMOVE && !c->up->failing)
		up_advance(c->up);
	deploy_sweep(c);
}

void deploy_client_gone(struct up *u)
{
	/* Nobody is there who would send the folder. What has come goes on without whoever asked. */
	if (u->deploy->receives && !u->failing)
		up_fail(u, VERB_EXIT_FAILED, "deploy again", "Whoever should send the folder went away.");
}

void deploy_next(struct ctl *c)
{
	deploy_sweep(c);
	for (const struct client *cl = c->clients; cl; cl = cl->next)
		if (cl->queued) {
			c->deploy_next.kind = OP_DEPLOY_NEXT;
			loop_defer(c->loop, &c->deploy_next);
			return;
		}
}

void deploy_on_next(struct loop *l, struct op *op, int res)
{
	struct ctl *c = container_of(op, struct ctl, deploy_next);
	struct client *first = NULL;

	(void)l;
	(void)res;
	/* The list has the newest first. */
	for (struct client *cl = c->clients; cl; cl = cl->next)
		if (cl->queued)
			first = cl;
	if (c->up || c->server.backup.by || !first)
		return;
	first->queued = false;
	deploy_start(first);
	deploy_next(c);
}

bool deploy_ask_files(struct ctl *c, const struct app *a, enum unpack_what what, const char *const text[4], int fd,
	const struct ask_ops *ops, void *owner)
{
	struct msg_unpack_ask q = {.what = what};
	struct ask *ask;
	struct buf b;

	buf_init(&b, CHAN_PAYLOAD_MAX);
	buf_put(&b, &q, sizeof q);
	for (unsigned i = 0; i < 4; i++)
		pack_str(&b, text[i]);
	ask = ask_start(c, PROC_BUILD, a->uid, a->gid, FILES_MS, MSG_UNPACK_ASK, &b, ops, owner);
	if (ask)
		ask_give(ask, fd);
	else if (fd >= 0)
		close(fd);
	return ask != NULL;
}
