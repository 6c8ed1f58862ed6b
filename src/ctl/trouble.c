/*
 * trouble.c: an app whose workers do not come up: what the gates are told, and what `stead status`
 * shows of it.
 *
 * Called with each change of a worker, with each new gate, and for the verb status. While no worker
 * is up and their starts come to nothing, the gates answer 503 with the time of the next try at once
 * (OVERLAY_APP_DOWN) instead of letting requests wait for nothing. A gate that sees a worker come up
 * needs nobody to tell it. The app's last lines are asked of the log when somebody wants to see them.
 * Owns what was told last.
 */
#include "ctl.h"

#include <stdio.h>
#include <string.h>

enum {
	UNREADY_MIN = 2, /* starts in a row that came to nothing; one that serves between its deaths is not down */
	LINES_ASKED = 120, /* the app's own are among its records */
	STATUS_PATIENCE_MS = 1000,
	DEAD_AFTER_S = 60, /* what is asked later when nothing starts it again but a person */
};

static bool is_worker(const struct app *a, const struct msg_proc_state *st)
{
	return st->role == a->run->role && st->app == a->set;
}

/* Milliseconds to the next try when the app is down, else 0. */
static uint64_t next_try_ms(const struct app *a)
{
	const struct ctl *c = a->run->ctl;
	uint64_t next = 0;

	if (c->stopping || procs_count(c, a->run->role, a->set, PHASE_UP) > 0)
		return 0;
	for (unsigned i = 0; i < c->procs_n; i++) {
		const struct msg_proc_state *st = &c->procs[i].st;

		if (is_worker(a, st) && st->phase == PHASE_BACKOFF && st->backoff_ms > 0 &&
			st->unready >= UNREADY_MIN)
			next = next ? min_of(next, (uint64_t)st->backoff_ms) : st->backoff_ms;
	}
	return next;
}

/* Nothing of it waits, starts or runs: it is not wanted any more. */
static bool none_left(const struct app *a)
{
	const struct ctl *c = a->run->ctl;

	for (unsigned i = 0; i < c->procs_n; i++)
		if (is_worker(a, &c->procs[i].st) && c->procs[i].st.phase != PHASE_DOWN)
			return false;
	return true;
}

/* All of it has ended, and nothing starts it again: not even a try is to be waited for. */
static bool all_dead(const struct app *a)
{
	const struct ctl *c = a->run->ctl;
	unsigned dead = procs_count(c, a->run->role, a->set, PHASE_DEAD);

	for (unsigned i = 0; i < c->procs_n; i++)
		if (is_worker(a, &c->procs[i].st) && c->procs[i].st.phase != PHASE_DEAD)
			return false;
	return dead > 0 && !c->stopping;
}

/* It was to end, and did so: no trouble of anybody's, for no visitor waits for it. */
static bool ended_well(const struct app *a, const struct msg_proc_state *st)
{
	return !a->run->serves && st->phase == PHASE_DEAD && st->result == RESULT_SUCCESS;
}

bool trouble_ended_well(const struct app *a)
{
	return all_dead(a) && !a->run->serves && procs_done(a->run->ctl, a->run->role, a->set, 0);
}

static void tell(struct gate_peer *g, const struct app *a)
{
	struct msg_overlay o = {.kind = OVERLAY_APP_DOWN,
		.key = a->set,
		.on = a->run->trouble.down,
		.retry_after_s = a->run->trouble.retry_after_s};

	if (g->greeted && chan_open(&g->chan))
		(void)chan_send(&g->chan, MSG_OVERLAY, 0, &o, sizeof o, NULL, 0, NULL, 0);
}

void trouble_tell(struct gate_peer *g)
{
	FOR_APPS(g->ctl, a)
		tell(g, a);
}

void trouble_update(struct app *a)
{
	struct app_run *run = a->run;
	struct ctl *c = run->ctl;
	uint64_t next = next_try_ms(a);
	bool was = run->trouble.down, down;
	uint32_t after = next ? (uint32_t)(next + 999) / 1000 + 1 : run->trouble.retry_after_s;

	run->trouble.dead = all_dead(a);
	if (run->trouble.dead)
		after = DEAD_AFTER_S;
	/* While it tries once more it is still down; only a worker that is up ends it. */
	down = next || (run->trouble.dead && !trouble_ended_well(a)) ||
	       (was && procs_count(c, run->role, a->set, PHASE_UP) == 0 && !none_left(a) &&
			       !c->stopping);
	if (down == was && after == run->trouble.retry_after_s)
		return;
	run->trouble.down = down;
	run->trouble.retry_after_s = down ? after : 0;
	if (down != was)
		say(c, down ? EV_APP_DOWN : EV_APP_BACK, "app", a->name, NULL);
	for (unsigned i = 0; i < CTL_GATES_MAX; i++)
		tell(&c->gate[i], a);
}

/* ---- status ---- */

/* The worker that fares worst: it waits for its next try, or never came up. */
static const struct msg_proc_state *worst(const struct app *a)
{
	const struct ctl *c = a->run->ctl;
	const struct msg_proc_state *found = NULL;

	for (unsigned i = 0; i < c->procs_n; i++) {
		const struct msg_proc_state *st = &c->procs[i].st;
		bool fails = (st->phase == PHASE_BACKOFF && st->backoff_ms > 0) ||
			     st->unready > 0 || st->phase == PHASE_DEAD;

		if (is_worker(a, st) && fails && !ended_well(a, st) && (!found || st->restarts > found->restarts))
			found = st;
	}
	return found;
}

/* What of the app's configuration that step of a start is about; "" when it is none of it. */
static const char *about(const struct app *a, const char *step)
{
	const char *key = strncmp(step, "exec", 4) == 0 ? "ExecStart" : strncmp(step, "working folder", 14) == 0 ? "WorkingDirectory" : NULL;
	const char *found = "";

	for (const struct app_value *v = a->values; v && key; v = v->next)
		if (strcmp(v->section, "Service") == 0 && strcmp(v->key, key) == 0)
			found = v->text;
	return found;
}

static json_t *trouble_json(const struct app *a, const struct msg_proc_state *st, json_t *lines)
{
	char how[400];

	if (st->result == RESULT_START_LIMIT_HIT)
		(void)snprintf(how, sizeof how, "was started too often (StartLimitBurst=)");
	else if (st->result == RESULT_EXEC_CONDITION)
		(void)snprintf(how, sizeof how, "was not started: ExecCondition= said no");
	else if (st->result == RESULT_WATCHDOG)
		(void)snprintf(how, sizeof how, "did not say WATCHDOG=1 in time");
	else if (st->result == RESULT_TIMEOUT)
		(void)snprintf(how, sizeof how, "did not start, or end, in time");
	else if (st->spawn_err)
		(void)snprintf(how, sizeof how, "the step \"%.31s\" of its start failed: %.200s%s%s", st->spawn_step,
			about(a, st->spawn_step), *about(a, st->spawn_step) ? ": " : "", strerror((int)st->spawn_err));
	else if (st->status < 0)
		(void)snprintf(how, sizeof how, "was ended by signal %d (%s)", -st->status,
			strsignal(-st->status));
	else
		(void)snprintf(how, sizeof how, "ended with exit status %d", st->status);
	return json_pack("{s:b, s:b, s:s, s:i, s:i, s:s, s:i, s:i, s:O?}", "down", a->run->trouble.down,
		"dead", st->phase == PHASE_DEAD, "result",
		st->result < RESULTS ? service_result_names[st->result] : "",
		"worker", (int)st->index, "restarts", (int)st->restarts, "how", how, "status",
		(int)st->status, "next_ms", (int)st->backoff_ms, "lines", lines);
}

/* The app whose last lines are shown: the one that was asked for, or the first that fares ill. */
static struct app *in_trouble(const struct client *cl)
{
	if (cl->req.app[0])
		return verbs_app(cl) && worst(verbs_app(cl)) ? verbs_app(cl) : NULL;
	FOR_APPS(cl->ctl, a)
		if (worst(a))
			return a;
	return NULL;
}

static void answer(struct client *cl)
{
	struct ctl *c = cl->ctl;
	const struct app *ill = in_trouble(cl);
	json_t *status = status_json(c, cl->req.app, cl->req.json), *site;
	size_t i;

	json_array_foreach (json_object_get(status, "sites"), i, site) {
		const char *name = json_string_value(json_object_get(site, "name"));

		FOR_APPS(c, a)
			if (worst(a) && name && strcmp(name, a->name) == 0)
				(void)json_object_set_new(site, "trouble",
					trouble_json(a, worst(a), a == ill ? cl->lines : NULL));
	}
	json_decref(cl->lines);
	cl->lines = NULL;
	people_prune(cl, status);
	client_end(cl, c->live_us || c->up ? VERB_EXIT_DONE : VERB_EXIT_NOT_RUNNING, "", "",
		json_pack("{s:o}", "status", status));
}

void trouble_status(struct client *cl)
{
	struct ctl *c = cl->ctl;
	const struct app *ill = c->live_us ? in_trouble(cl) : NULL;

	if (ill) {
		cl->lines = json_array();
		cl->query = logs_last(c, ill->name, LINES_ASKED);
	}
	if (!cl->query) {
		answer(cl);
		return;
	}
	loop_timer_in(c->loop, &cl->timer, STATUS_PATIENCE_MS);
}

void trouble_line(struct client *cl, const char *text, size_t n)
{
	logs_keep(cl->lines, text, n);
}

void trouble_lines_end(struct client *cl)
{
	logs_stop(cl);
	loop_timer_stop(cl->ctl->loop, &cl->timer);
	answer(cl);
}
