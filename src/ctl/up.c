/*
 * up.c: the flow that takes a folder live, and the one that reads its configuration again.
 *
 * Called for the verbs up and reload, and after each event with up_advance(), which does whatever
 * has become possible: nothing here waits in a row for what can overlap. The order that must hold:
 * the listener before the snapshot's probe; the values before workers and snapshot; the database
 * before the workers; everything before the first real request. Owns struct up. A failure ends the
 * whole instance, except when the site was live already: then what is there serves on.
 */
#include "deploy.h"
#include "plain.h"
#include "wants.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { UP_PATIENCE_MS = 25 * 60 * 1000, TAIL_PATIENCE_MS = 1000 };

void up_forget(struct up *u)
{
	struct ctl *c = u->ctl;
	bool deployed;

	ask_forget(c, u);
	probe_stop(&u->probe);
	loop_timer_stop(c->loop, &u->timer);
	loop_timer_stop(c->loop, &u->look);
	conf_free(u->conf);
	app_values_free(&u->app);
	sites_free(&u->sites);
	conf_free(u->site_defaults);
	site_free(u->site);
	cert_known_free(u->known);
	buf_done(&u->site_values);
	json_decref(u->tail);
	c->up = NULL;
	deployed = u->deploy != NULL;
	free(u->deploy);
	free(u);
	acme_turn(c);
	server_flow_ended(c, deployed);
	deploy_next(c);
}

void up_free(struct ctl *c)
{
	if (c->up)
		up_forget(c->up);
}

static void shut_down(struct ctl *c)
{
	struct msg_stop stop = {0};

	c->stopping = true;
	(void)parent_send(c, MSG_SHUTDOWN, 0, &stop, sizeof stop, NULL, 0, NULL, 0);
}

/* ---- failure ---- */

static void finish_failure(struct up *u)
{
	struct ctl *c = u->ctl;
	bool keep = u->reload || c->live_us != 0;
	json_t *more = json_pack("{s:O?}", "tail", u->tail);

	if (u->reload)
		reload_revert(u);
	if (u->deploy)
		deploy_failed(u);
	else if (keep || c->start.server)
		up_tcp_give_back(u);
	client_end(u->client, u->fail_exit, u->fail_error, u->fail_todo, more);
	server_flow_failed(u);
	up_forget(u);
	/* A server looks for another way to serve. */
	if (!keep && !c->start.server)
		shut_down(c);
}

void up_fail(struct up *u, unsigned exit_code, const char *todo, const char *fmt, ...)
{
	va_list ap;
	bool ran;

	if (u->failing)
		return;
	u->failing = true;
	u->fail_exit = exit_code ? exit_code : VERB_EXIT_FAILED;
	va_start(ap, fmt);
	(void)vsnprintf(u->fail_error, sizeof u->fail_error, fmt, ap);
	va_end(ap);
	(void)snprintf(u->fail_todo, sizeof u->fail_todo, "%s", todo ? todo : "");
	plain_make(u->fail_error, true);
	plain_make(u->fail_todo, true);
	ask_forget(u->ctl, u);
	probe_stop(&u->probe);
	/* What the app said last is most often the reason; it is fetched when something of it has
	 * run. */
	ran = u->workers_set || (u->deploy && u->deploy->ran);
	u->tail_query = ran || u->db >= DB_STARTS
				? logs_tail(u->ctl, ran ? u->app.name : "postgres",
					  CTL_TAIL_LINES * 4)
				: 0;
	loop_timer_in(u->ctl->loop, &u->timer, u->tail_query ? TAIL_PATIENCE_MS : 0);
}

void up_tail_line(struct up *u, const char *text, size_t n)
{
	logs_keep(u->tail, text, n);
}

void up_tail_end(struct up *u)
{
	u->tail_query = 0;
	if (u->failing)
		finish_failure(u);
}

void up_on_timer(struct loop *l, struct op *op, int res)
{
	struct up *u = container_of(op, struct up, timer.op);

	(void)l;
	(void)res;
	if (u->failing)
		finish_failure(u);
	else if (!deploy_turn(u, UP_PATIENCE_MS))
		up_fail(u, VERB_EXIT_FAILED, "see `stead logs`, then try again",
			"It took longer than %d minutes.", UP_PATIENCE_MS / 60000);
}

void up_client_gone(struct ctl *c, const struct client *cl)
{
	/* The work goes on: who asked may have lost its terminal, and the answer is in `stead
	 * status`. */
	if (!c->up || c->up->client != cl)
		return;
	c->up->client = NULL;
	if (c->up->deploy)
		deploy_client_gone(c->up);
}

/* ---- beginning ---- */

struct up *up_new(struct ctl *c, struct client *cl)
{
	struct up *u = calloc(1, sizeof *u);

	if (!u)
		return NULL;
	u->ctl = c;
	u->client = cl;
	u->started_us = loop_now_us(c->loop);
	u->started_wall_us = loop_wall_us(c->loop);
	u->timer.op.kind = OP_UP_TIMER;
	u->look.op.kind = OP_UP_LOOK;
	u->probe.lfd.fd = -1;
	u->tail = json_array();
	loop_timer_in(c->loop, &u->timer, UP_PATIENCE_MS);
	c->up = u;
	return u;
}

static bool refuse_busy(struct ctl *c, struct client *cl)
{
	char url[CTL_URL_MAX], text[CTL_PATH_MAX * 2];

	if (c->up || c->stopping) {
		(void)snprintf(text, sizeof text, "A stead is already running in %s and %s.",
			c->state_dir,
			c->stopping ? "is just stopping"
				    : "another `stead up`, `stead reload` or `stead deploy` is under way there");
		client_end(cl, VERB_EXIT_BUSY, text, "wait for its end; `stead status` shows it",
			NULL);
		return true;
	}
	if (c->live_us == 0)
		return false;
	listen_url(&c->app, url);
	(void)snprintf(text, sizeof text,
		"%s is live already at %s; it is running with its state in %s.", c->app.folder, url,
		c->state_dir);
	client_end(cl, VERB_EXIT_BUSY, text,
		"`stead status` shows it, `stead reload` reads stead.conf again, `stead stop` ends "
		"it",
		json_pack("{s:s}", "url", url));
	return true;
}

void up_start(struct ctl *c, struct client *cl)
{
	struct up *u;

	if (refuse_busy(c, cl))
		return;
	u = up_new(c, cl);
	c->server.failed = false;
	if (!u) {
		client_end(cl, VERB_EXIT_FAILED, "no memory", "", NULL);
		return;
	}
	up_folder(u, cl->req.folder);
	/* What was said on the command line is known at once, and stands instead of the file's. */
	u->client_chose = cl->req.http[0] != '\0';
	if (u->client_chose)
		up_listen(u, (const char *const[]){cl->req.http, NULL});
	memcpy(u->https, cl->req.https, sizeof u->https);
	u->agree = cl->req.agree;
	up_advance(u);
}

/* ---- what gates answer ---- */

void up_snap_refused(struct ctl *c, uint32_t err, const char *text)
{
	if (c->up)
		up_fail(c->up, VERB_EXIT_FAILED, "this is a bug in stead: please report it",
			"A gate refused the new configuration: %s",
			text[0] ? text : strerror((int)err));
}

/* ---- live ---- */

static void say_live(struct up *u)
{
	struct ctl *c = u->ctl;
	char url[CTL_URL_MAX], ms[24], text[900];
	bool told;

	listen_url(&c->app, url);
	(void)snprintf(ms, sizeof ms, "%llu",
		(unsigned long long)((loop_now_fresh_us(c->loop) - u->started_us) / 1000));
	if (!u->reload)
		say(c, EV_SITE_LIVE, "site", c->app.name, "url", url, "ms", ms, NULL);
	/* A reload that did not do all that was asked says so; what is live is live. */
	told = up_sites_say(u, text, sizeof text);
	if (told && !u->reload)
		up_found(u, CONF_WARNING, "", 0, 0, text, "");
	client_end(u->client, told && u->reload ? VERB_EXIT_USAGE : VERB_EXIT_DONE,
		told && u->reload ? text : "",
		told && u->reload ? "correct what is named above, then `stead reload` again" : "",
		json_pack("{s:s, s:o, s:s, s:i, s:s, s:o*}", "url", url, "urls", listen_urls(c, &c->app),
			"name", c->app.name, "status", (int)u->probe.status, "ms", ms, "unagreed", acme_unagreed(c)));
}

static int save(struct up *u)
{
	bool mine;
	int err = state_begin(u->ctl, &mine);

	if (err == 0)
		err = state_save_app(u->ctl, &u->app);
	if (err == 0)
		err = state_save_sites(u->ctl, &u->ctl->sites, &u->sites);
	if (err == 0)
		err = state_meta_set(u->ctl, "https off", u->ctl->certs.local.off);
	return state_end(u->ctl, mine, err);
}

/* From now on this is what the instance serves, also for the ctl that may come after this one. */
static void go_live(struct up *u)
{
	struct ctl *c = u->ctl;
	int err;

	memcpy(u->app.instance, c->instance, sizeof u->app.instance);
	u->app.known = true;
	err = save(u);
	if (err) {
		up_fail(u, VERB_EXIT_FAILED,
			err == -ENOSPC ? "free disk space, then try again"
				       : "check the state folder",
			"The state could not be written: %s.", strerror(-err));
		return;
	}
	up_tcp_live(u);
	up_tcp_https(c, u->c, &u->sites);
	app_take(&c->app, &u->app);
	logs_to(c);
	sites_free(&c->sites);
	c->sites = u->sites;
	u->sites = (struct site_list){0};
	if (c->app.run->role != PROC_NONE && c->app.run->role != wants_role(u->c))
		wants_drop(c, c->app.run->role, c->app.set);
	app_adopt(&c->app, u->c);
	programs_apply(c, &c->app, u->c, false);
	if (u->reload && !u->restart && !u->rolling && c->app.run->role == PROC_SERVICE)
		wants_reload(c, &c->app);
	c->app.run->clearing = c->start.root != 0;
	c->app.run->clear_generation = u->rolling ? u->newer_than : 0;
	if (c->live_us == 0)
		c->live_us = loop_wall_us(c->loop);
	say_live(u);
	up_forget(u);
	up_root_settle(c);
}

void up_probe_failed(struct ctl *c, unsigned status)
{
	struct up *u = c->up;
	char text[1300];

	if (!u)
		return;
	(void)snprintf(text, sizeof text,
		"GET %s was answered with status %u; asking again for up to %llu s", u->probe.path,
		status, (unsigned long long)(u->c->health_timeout_ms / 1000));
	client_progress(u->client, "probe", text, UINT32_MAX);
}

void up_probed(struct ctl *c, enum probe_end end)
{
	struct up *u = c->up;

	if (!u)
		return;
	if (end == PROBE_LIVE) {
		up_advance(u);
		return;
	}
	up_fail(u, VERB_EXIT_FAILED,
		"correct what the lines above say, or name another path with [Site] Health=",
		u->probe.status
			? "GET %s was answered with status %u and not below 500 within %llu s."
			: "GET %s was not answered (status %u) within %llu s.",
		u->probe.path, u->probe.status,
		(unsigned long long)(u->c->health_timeout_ms / 1000));
}

/* ---- the flow ---- */

static void start_workers(struct up *u)
{
	bool changed = false;
	int err;

	client_progress(u->client, "start",
		u->reload ? "seeing to the workers" : "starting the app", UINT32_MAX);
	u->workers_set = true;
	u->set_id = ++u->ctl->ids;
	u->newer_than = procs_newest(u->ctl, wants_role(u->c), u->app.set);
	u->missing = u->c->service.command ? u->c->service.command->path : "";
	err = wants_app(u->ctl, &u->app, u->c, u->set_id, &changed, &u->missing);
	u->rolling = u->reload && changed;
	if (err == -ENOENT && !u->c->python)
		up_fail(u, VERB_EXIT_USAGE, "install it, or write its path",
			"The program %s is not found in PATH.", u->missing);
	else if (err)
		up_fail(u, VERB_EXIT_FAILED, "", "The app cannot be described to the parent: %s.",
			strerror(-err));
}

static void send_gates(struct up *u)
{
	int err = gates_send(u->ctl, u->c);

	u->gates_sent = true;
	if (err)
		up_fail(u, VERB_EXIT_FAILED, "", "The parent cannot be told the gates: %s.",
			strerror(-err));
}

static void send_snap(struct up *u)
{
	const struct sites_own own = {&u->app, u->c, &u->sites};
	int err = sites_send(u->ctl, &own);

	u->snap_sent = true;
	if (err)
		up_fail(u, VERB_EXIT_FAILED,
			err == -ENOSPC ? "free disk space, then try again" : "",
			"The configuration cannot be handed to the gates: %s.", strerror(-err));
}

static bool app_there(const struct up *u)
{
	/* A reload finds the old ones up: they do not count while the new ones are not even told. */
	enum proc role = wants_role(u->c);

	if (role == PROC_NONE || u->app.run->off.stopped)
		return true;
	if (!u->workers_set)
		return false;
	if (u->rolling)
		return procs_newer(u->ctl, role, u->app.set, u->newer_than) >=
		       scaling_count(u->app.run, u->c);
	return procs_count(u->ctl, role, u->app.set, PHASE_UP) > 0 ||
	       procs_done(u->ctl, role, u->app.set, 0);
}

/* The state folder's own corner of the app. */
static void make_data(struct up *u)
{
	/* As root each has an owner of its own and is made by act and the parent. */
	if (u->ctl->start.root)
		return;
	(void)mkdirat(u->ctl->state_fd, "data", 0700);
	(void)mkdirat(u->ctl->state_fd, "pg", 0700);
}

static void advance_live(struct up *u)
{
	if (!u->gates_sent)
		send_gates(u);
	if (!u->reload)
		deploy_boot(u->ctl, u->db != DB_NOT);
	if (!u->snap_sent && u->bound && u->tcp_bound && up_root_published(u))
		send_snap(u);
	if (!u->workers_set && wants_role(u->c) != PROC_NONE && u->built && (u->db == DB_READY || u->db == DB_NOT))
		start_workers(u);
	if (u->db == DB_READY)
		up_db_sync(u);
	if (u->failing || !u->snap_sent || !sites_loaded(u->ctl) || !app_there(u) || !u->bound ||
		!local_settled(u->ctl))
		return;
	/* What the app says from its first request on is to be read by somebody. */
	if (!u->reload && procs_count(u->ctl, PROC_LOG, 0, PHASE_UP) == 0)
		return;
	if (!u->probing) {
		char first[CTL_ADDRESS_MAX];

		u->probing = true;
		listen_first(&u->app, first);
		client_progress(u->client, "probe", u->c->serves ? "asking the app" : "asking a gate", UINT32_MAX);
		probe_start(u->ctl, &u->probe, first, u->c->health, u->c->health_count,
			u->c->health_timeout_ms);
		/* A folder without a site of its own is live when a gate answers. */
		u->probe.inside = client_ca_any(u->c);
		u->probe.any = !u->c->serves || u->app.run->off.stopped;
	} else if (!u->probe.running && u->probe.good >= u->probe.wanted &&
		   (u->db == DB_NOT || u->synced)) {
		go_live(u);
	}
}

void up_advance(struct up *u)
{
	if (u->failing || up_gates_failed(u))
		return;
	if (u->deploy) {
		deploy_advance(u);
		return;
	}
	if (!u->folders_made) {
		u->folders_made = true;
		make_data(u);
	}
	if (!up_root_ready(u))
		return;
	if ((u->restart || u->given == UP_LAST_VALUES) && !u->check_asked)
		reload_same(u);
	if (u->given == UP_NO_VALUES && !u->check_asked)
		up_unchecked(u);
	if (!u->check_asked)
		up_check(u);
	/* The database of the last time is started while the folder is being looked at. */
	if (!u->reload && u->db == DB_NOT && u->app.bin[0] && !u->failing)
		up_db_start(u);
	if (!u->checked || u->failing)
		return;
	if (!u->built && !u->building)
		up_build(u);
	if (!u->binding && !u->bound && !u->failing)
		up_listen(u, u->c->listen);
	if (!u->tcp_asked && !u->failing)
		up_tcp_bind(u);
	if (!u->failing)
		up_db_advance(u);
	if (!u->failing)
		advance_live(u);
}
