/*
 * off.c: `stead start|stop|enable|disable APP`, and the table `app_off`, which keeps what was said.
 *
 * As systemd has it: what is stopped stays so until it is started or the server is started anew; what is disabled is then
 * not started. So a stop counts for the parent under which it was said (ctl's `instance`), a disable for each later one.
 * A stop is kept first; then every gate answers for the site that it is stopped (OVERLAY, and a snapshot for gates that
 * come while there is no ctl), and only then do its processes end, each after what it runs. A start goes the other way
 * round: the processes are there before the gates let anybody in.
 *
 * Called for the verbs, and with what the parent and the gates tell. wants_app() and programs_apply() ask off.stopped, so
 * that no flow starts what is stopped.
 */
#include "ctl.h"
#include "deploy.h"
#include "wants.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { GATES_MS = 30 * 1000, ENDS_MS = 120 * 1000 };

int state_load_off(struct ctl *c)
{
	sqlite3_stmt *st = NULL;
	int err = state_exec(c, "CREATE TABLE IF NOT EXISTS app_off (app INTEGER PRIMARY KEY, instance TEXT NOT NULL,"
				" stopped INTEGER NOT NULL, disabled INTEGER NOT NULL, since_us INTEGER NOT NULL)"),
	    r;

	if (err)
		return err;
	r = sqlite3_prepare_v2(c->db, "SELECT app, instance, stopped, disabled, since_us FROM app_off", -1, &st, NULL);
	while (r == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
		struct app *a = apps_numbered(c, (uint32_t)sqlite3_column_int64(st, 0));
		const char *instance = (const char *)sqlite3_column_text(st, 1);
		bool same = instance && strcmp(instance, c->instance) == 0;

		if (!a)
			continue;
		a->run->off.disabled = sqlite3_column_int(st, 3) != 0;
		/* The folder's own is started by whoever types `stead up`. */
		a->run->off.stopped = same ? sqlite3_column_int(st, 2) != 0 : a->run->off.disabled && app_deployed(a);
		a->run->off.since_us = same ? (uint64_t)sqlite3_column_int64(st, 4) : 0;
	}
	return sqlite3_finalize(st) == SQLITE_OK ? 0 : state_failed(c, "read app_off");
}

static int keep(struct ctl *c, const struct app *a)
{
	const struct off *off = &a->run->off;
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(c->db, "INSERT OR REPLACE INTO app_off VALUES (?, ?, ?, ?, ?)", -1, &st, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 1, a->number);
	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 2, c->instance, -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int(st, 3, off->stopped);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int(st, 4, off->disabled);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 5, (sqlite3_int64)off->since_us);
	if (r == SQLITE_OK)
		r = sqlite3_step(st);
	(void)sqlite3_finalize(st);
	return r == SQLITE_DONE ? 0 : state_failed(c, "write app_off");
}

bool off_is(const struct ctl *c, uint32_t number)
{
	for (const struct app *a = &c->app; a; a = a->next)
		if (a->number == number)
			return a->run->off.stopped;
	return false;
}

static void tell(struct gate_peer *g, const struct app *a)
{
	struct msg_overlay o = {.kind = OVERLAY_STOPPED, .key = a->number, .on = a->run->off.stopped};

	if (g->greeted && chan_open(&g->chan))
		(void)chan_send(&g->chan, MSG_OVERLAY, 0, &o, sizeof o, NULL, 0, NULL, 0);
}

void off_tell(struct gate_peer *g)
{
	FOR_APPS(g->ctl, a)
		tell(g, a);
}

static int tell_all(struct ctl *c, const struct app *a)
{
	for (unsigned i = 0; i < CTL_GATES_MAX; i++)
		tell(&c->gate[i], a);
	return c->live_us ? sites_again(c) : 0;
}

void off_clear(struct ctl *c, struct app *a)
{
	if (!a->run->off.stopped)
		return;
	a->run->off.stopped = false;
	/* Not kept: after a restart of this process it is stopped again, which whoever is asked can see. */
	(void)keep(c, a);
	for (unsigned i = 0; i < CTL_GATES_MAX; i++)
		tell(&c->gate[i], a);
}

/* ---- the verbs ---- */

static void failed(struct client *cl, int err)
{
	client_end(cl, VERB_EXIT_FAILED, "It could not be kept.",
		err == -ENOSPC ? "free disk space, then try again" : "check the state folder", NULL);
}

static void done(struct client *cl)
{
	cl->off_step = OFF_NOTHING;
	loop_timer_stop(cl->ctl->loop, &cl->timer);
	client_end(cl, VERB_EXIT_DONE, "", "", json_pack("{s:s}", "app", verbs_name(cl)));
}

static void wait_for(struct client *cl, enum off_step step, uint64_t ms)
{
	cl->off_step = (uint8_t)step;
	loop_timer_in(cl->ctl->loop, &cl->timer, ms);
	off_settle(cl);
}

static bool any_left(const struct app *a)
{
	const struct ctl *c = a->run->ctl;

	for (unsigned i = 0; i < c->procs_n; i++) {
		const struct msg_proc_state *st = &c->procs[i].st;

		if ((st->role == PROC_WORKER || st->role == PROC_SERVICE) && st->pid > 0 && apps_owner(c, st->app) == a)
			return true;
	}
	return false;
}

/* Its workers and its programs end, each after what it runs. */
static void end_all(struct app *a)
{
	struct app_run *run = a->run;
	struct ctl *c = run->ctl;

	loop_timer_stop(c->loop, &run->scaling.timer);
	run->scaling.on = false;
	wants_stop(c, a);
	for (unsigned i = 0; i < run->programs_n; i++)
		wants_drop(c, PROC_SERVICE, run->programs[i].number);
	timers_begin(run);
	timers_end(run);
}

void off_heard_disk(struct ctl *c, const struct msg *m)
{
	char wrote[24], left[24];
	struct msg_disk d;
	const char *tail;
	struct app *a;
	size_t n;

	if (msg_get(m, &d, sizeof d, sizeof d) < 0)
		return;
	tail = msg_tail(m, sizeof d, &n);
	if (d.what == DISK_INODES_WHO)
		inodes_ask(c, &d, tail, n);
	if (d.what > DISK_INODES || !d.app || !(a = apps_numbered(c, d.app)))
		return;
	(void)snprintf(wrote, sizeof wrote, "%llu", (unsigned long long)d.wrote);
	(void)snprintf(left, sizeof left, "%llu", (unsigned long long)d.free);
	if (d.what == DISK_INODES)
		say(c, EV_INODES_FILLED, "app", a->name, "made", wrote, "free", left, NULL);
	else
		say(c, EV_DISK_FILLED, "app", a->name, "wrote", wrote, "free", left, NULL);
	if (c->up && !c->up->failing && strcmp(c->up->app.name, a->name) == 0)
		up_fail(c->up, VERB_EXIT_FAILED, "remove what it wrote, then try again", "%s %s, and was stopped.", a->name,
			d.what == DISK_INODES ? "used up the inodes of the disk" : "filled the disk");
	if (a->run->off.stopped)
		return;
	a->run->off.stopped = true;
	a->run->off.since_us = loop_wall_us(c->loop);
	/* Also when it cannot be kept: then it is stopped until a new ctl comes. */
	(void)keep(c, a);
	(void)tell_all(c, a);
	end_all(a);
}

static void stop(struct client *cl, struct app *a)
{
	struct ctl *c = cl->ctl;
	int err;

	if (a->run->off.stopped && !any_left(a)) {
		done(cl);
		return;
	}
	a->run->off.stopped = true;
	a->run->off.since_us = loop_wall_us(c->loop);
	err = keep(c, a);
	if (err == 0)
		err = tell_all(c, a);
	if (err) {
		a->run->off.stopped = false;
		failed(cl, err);
		return;
	}
	wait_for(cl, OFF_GATES, GATES_MS);
}

/* Its processes as its values say; 0: there are some to wait for, 1: it has none. */
static int begin(struct ctl *c, struct app *a, char why[256])
{
	struct conf *held = effective_conf(c, a, why, 256);
	const struct conf_app *conf = held ? conf_app(held) : NULL;
	int r = -EINVAL;

	if (conf) {
		app_adopt(a, conf);
		r = wants_role(conf) == PROC_NONE ? 1 : wants_app(c, a, conf, 0, NULL, NULL);
		programs_apply(c, a, conf, false);
	}
	if (r < 0 && !*why)
		(void)snprintf(why, 256, "%s", strerror(-r));
	conf_free(held);
	return r;
}

/* It ended, and nothing but a person starts it again. */
static void again(struct client *cl, struct app *a)
{
	struct msg_proc_ref ref = {.role = a->run->role, .app = a->set};

	cl->generation = procs_newest(cl->ctl, a->run->role, a->set);
	(void)parent_send(cl->ctl, MSG_PROC_RESTART, 0, &ref, sizeof ref, NULL, 0, NULL, 0);
	wait_for(cl, OFF_READY, a->run->start_ms + 30 * 1000);
}

static void start(struct client *cl, struct app *a)
{
	struct ctl *c = cl->ctl;
	char why[256] = "";
	int r;

	if (!a->run->off.stopped && a->run->trouble.dead) {
		again(cl, a);
		return;
	}
	if (!a->run->off.stopped) {
		done(cl);
		return;
	}
	a->run->off.stopped = false;
	a->run->off.result = RESULT_SUCCESS;
	cl->generation = procs_newest(c, a->run->role, a->set);
	r = keep(c, a);
	if (r < 0) {
		a->run->off.stopped = true;
		failed(cl, r);
		return;
	}
	r = begin(c, a, why);
	if (r < 0) {
		client_end(cl, VERB_EXIT_FAILED, why, "`stead check` shows what it is to run", NULL);
		(void)tell_all(c, a);
	} else if (r > 0) {
		(void)tell_all(c, a);
		done(cl);
	} else {
		wait_for(cl, OFF_READY, a->run->start_ms + 30 * 1000);
	}
}

static void able(struct client *cl, struct app *a, bool disabled)
{
	bool was = a->run->off.disabled;
	int err;

	a->run->off.disabled = disabled;
	err = was == disabled ? 0 : keep(cl->ctl, a);
	if (err) {
		a->run->off.disabled = was;
		failed(cl, err);
	} else {
		done(cl);
	}
}

void off_start(struct client *cl)
{
	struct ctl *c = cl->ctl;
	struct app *a = verbs_app(cl);

	if (c->live_us == 0)
		client_end(cl, VERB_EXIT_NOT_RUNNING, "Nothing is live here: not running.", "`stead up` takes the folder live", NULL);
	else if (!a)
		client_end(cl, VERB_EXIT_NO_SUCH, "This site has no app: its file alone says that it is there.",
			"`stead maintenance on NAME` shows a page instead of it", NULL);
	else if (c->up)
		deploy_busy(cl);
	else if (cl->req.verb == REQUEST_START)
		start(cl, a);
	else if (cl->req.verb == REQUEST_APP_STOP)
		stop(cl, a);
	else if (cl->req.verb == REQUEST_APP_RELOAD)
		off_reload(cl);
	else
		able(cl, a, cl->req.verb == REQUEST_DISABLE);
}

/* ExecCondition= says that it is not to run: that is no failure of whoever starts it. */
static bool is_skipped(const struct ctl *c, const struct app *a, uint64_t generation)
{
	for (unsigned i = 0; i < c->procs_n; i++) {
		const struct msg_proc_state *st = &c->procs[i].st;

		if (st->role == a->run->role && st->app == a->set && st->generation > generation &&
			st->phase == PHASE_DEAD && st->result == RESULT_EXEC_CONDITION)
			return true;
	}
	return false;
}

static bool has_started(const struct ctl *c, const struct app *a, uint64_t generation)
{
	return procs_newer(c, a->run->role, a->set, generation) > 0 ||
	       procs_done(c, a->run->role, a->set, generation) || is_skipped(c, a, generation);
}

void off_settle(struct client *cl)
{
	struct ctl *c = cl->ctl;
	struct app *a = cl->off_step ? verbs_app(cl) : NULL;

	if (!a)
		return;
	if (cl->off_step == OFF_GATES && sites_loaded(c)) {
		end_all(a);
		cl->off_step = OFF_ENDS;
		loop_timer_in(c->loop, &cl->timer, ENDS_MS);
	}
	if (cl->off_step == OFF_ENDS && !any_left(a))
		done(cl);
	if (cl->off_step == OFF_RELOAD)
		off_reload_settle(cl, a);
	if (cl->off_step == OFF_READY && has_started(c, a, cl->generation)) {
		(void)tell_all(c, a);
		done(cl);
	}
}

static void not_started(struct client *cl, const char *error)
{
	const struct app *a = verbs_app(cl);

	cl->off_step = OFF_NOTHING;
	loop_timer_stop(cl->ctl->loop, &cl->timer);
	if (a)
		(void)tell_all(cl->ctl, a);
	client_end(cl, VERB_EXIT_FAILED, error, "`stead logs` shows what it said; it is tried again by and by, until `stead stop APP`", NULL);
}

void off_died(struct client *cl, const struct msg_proc_state *st)
{
	const struct app *a = cl->off_step == OFF_READY ? verbs_app(cl) : NULL;

	if (a && st->app == a->set && st->generation > cl->generation && st->result != RESULT_EXEC_CONDITION)
		not_started(cl, "It ended before it was ready.");
}

void off_late(struct client *cl)
{
	if (cl->off_step == OFF_READY) {
		not_started(cl, "It was not ready in time.");
		return;
	}
	cl->off_step = OFF_NOTHING;
	client_end(cl, VERB_EXIT_FAILED, "It is told to stop, and has not ended yet.", "`stead status` shows what still runs", NULL);
}

/* Of several the last that ended counts, and one that runs has no result yet. */
void off_heard(struct ctl *c, const struct msg_proc_state *st)
{
	FOR_APPS(c, a)
	{
		if (st->role != PROC_SERVICE || a->run->role != st->role || a->set != st->app || st->result >= RESULTS)
			continue;
		a->run->off.result = st->result;
		a->run->off.status = st->status;
	}
}

/* ---- what status says, in systemd's words ---- */

struct words {
	const char *active, *sub;
};

static struct words words_of(const struct app *a)
{
	static const struct {
		enum proc_phase phase;
		struct words words;
	} others[] = {{PHASE_EXITED, {"active", "exited"}}, {PHASE_STARTING, {"activating", "start"}},
		{PHASE_PRE, {"activating", "start-pre"}}, {PHASE_POST, {"activating", "start-post"}},
		{PHASE_ENDING, {"deactivating", "stop"}}, {PHASE_AFTER, {"deactivating", "stop-post"}}};
	const struct app_run *run = a->run;
	const struct ctl *c = run->ctl;

	if (run->off.stopped)
		return any_left(a)			      ? (struct words){"deactivating", "stop"}
		       : run->off.result != RESULT_SUCCESS && run->off.result != RESULT_EXEC_CONDITION
			       ? (struct words){"failed", "failed"}
							      : (struct words){"inactive", "dead"};
	if (run->role == PROC_NONE || procs_count(c, run->role, a->set, PHASE_UP) > 0)
		return (struct words){"active", "running"};
	for (unsigned i = 0; i < ARRAY_LEN(others); i++)
		if (procs_count(c, run->role, a->set, others[i].phase) > 0)
			return others[i].words;
	if (procs_done(c, run->role, a->set, 0) || is_skipped(c, a, 0))
		return (struct words){"inactive", "dead"};
	if (procs_count(c, run->role, a->set, PHASE_BACKOFF) > 0)
		return (struct words){"activating", "auto-restart"};
	/* IdleStopSec=: the next request starts it. */
	if (run->scaling.on && run->scaling.scaler.want == 0)
		return (struct words){"active", "waiting"};
	return (struct words){"failed", "failed"};
}

/* Since when it is up, by the one that is up longest; stopped: since then. */
static uint64_t since(const struct app *a)
{
	const struct ctl *c = a->run->ctl;
	uint64_t first = 0;

	if (a->run->off.stopped)
		return a->run->off.since_us;
	for (unsigned i = 0; i < c->procs_n; i++) {
		const struct msg_proc_state *st = &c->procs[i].st;

		if (st->role == a->run->role && st->app == a->set && st->phase == PHASE_UP &&
			(first == 0 || st->since_wall_us < first))
			first = st->since_wall_us;
	}
	return first || a->run->role != PROC_NONE ? first : c->live_us;
}

/* A unit, or a stead.conf; not a file of variables, which gives values, too. */
static bool describes(const char *file)
{
	const char *end = strrchr(file, '.');

	return end && (strcmp(end, ".service") == 0 || strcmp(end, ".conf") == 0);
}

json_t *off_unit(const struct app *a)
{
	const char *file = "";
	struct words w = words_of(a);

	for (const struct app_value *v = a->values; v; v = v->next)
		if (v->file && (!*file || (describes(v->file) && !describes(file))))
			file = v->file;
	return json_pack("{s:s, s:b, s:s, s:s, s:s, s:i, s:I}", "file", file, "enabled",
		!a->run->off.disabled, "active", w.active, "sub", w.sub, "result", service_result_names[a->run->off.result],
		"status", (int)a->run->off.status, "since_us", (json_int_t)since(a));
}
