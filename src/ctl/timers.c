/*
 * timers.c: [Timer NAME]: when each program runs next, and that each time brings one run.
 *
 * Called by wants_service.c when the configuration is told, by the loop's timer and its clock
 * jumps, by up.c with what the parent says of a run. Owns struct timed and what state.db keeps of
 * it. A run has a number, the wall time at which it came due: it is written down before the parent
 * is asked, and is part of what the parent is asked, who does nothing when he is asked the same
 * again. So a ctl that died at any point asks again and nothing runs twice.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sys.h"

enum { LOOK_AGAIN_US = 60 * 1000000 };

enum { KEY_MAX = 160 };

/* The names of the folder's own stand alone, as they always did. */
static void key_of(const struct app_run *run, const struct timed *t, const char *what, char ret[static KEY_MAX])
{
	const char *app = app_deployed(run->app) ? run->app->name : "";

	(void)snprintf(ret, KEY_MAX, "timer/%s%s%s/%s", app, *app ? "/" : "", t->name, what);
}

static uint64_t kept(const struct app_run *run, const struct timed *t, const char *what)
{
	char key[KEY_MAX];
	uint64_t value;

	key_of(run, t, what, key);
	return state_meta_get(run->ctl, key, &value) < 0 ? 0 : value;
}

static int keep(const struct app_run *run, const struct timed *t, const char *what, uint64_t value)
{
	char key[KEY_MAX];

	key_of(run, t, what, key);
	return state_meta_set(run->ctl, key, value);
}

/* ---- when ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

/* What is ahead of the clock was by one that has been set back since, and counts from now on. */
static void set_back(struct timed *t, uint64_t now)
{
	bool begun = t->began_us >= t->live_us;

	t->base_us = min_of(t->base_us, now);
	t->live_us = min_of(t->live_us, now);
	t->rested_us = min_of(t->rested_us, now);
	t->began_us = min_of(t->began_us, begun ? now : t->live_us - 1);
}

/* When it comes due, without chance; 0: never. */
static uint64_t due(const struct timed *t)
{
	uint64_t at = 0, since = t->run_us ? t->began_us : t->live_us;
	int64_t next;

	for (unsigned i = 0; i < t->nwhen; i++)
		if (calendar_next(&t->when[i], (int64_t)t->base_us, &next) == 0)
			at = earlier(at, (uint64_t)next);
	if (t->unit_active_us)
		at = earlier(at, since + t->unit_active_us);
	if (t->unit_inactive_us)
		at = earlier(at, max_of(t->rested_us, since) + t->unit_inactive_us);
	if (t->active_us && t->began_us < t->live_us)
		at = earlier(at, t->live_us + t->active_us);
	return at;
}

static void find_next(struct timed *t, uint64_t now)
{
	uint64_t at, chance = 0;

	set_back(t, now);
	at = due(t);
	if (at != t->due_us)
		t->extra_us = t->delay_us && sys_random(&chance, sizeof chance) == 0
				      ? chance % t->delay_us
				      : 0;
	t->due_us = at;
	t->next_us = at ? at + t->extra_us : 0;
}

static void arm(struct ctl *c)
{
	uint64_t now = loop_wall_us(c->loop), wait = LOOK_AGAIN_US;
	bool any = false;

	FOR_APPS(c, a)
		for (unsigned i = 0; i < a->run->timed_n; i++) {
			const struct timed *t = &a->run->timed[i];

			if (t->running || !t->next_us)
				continue;
			any = true;
			wait = min_of(wait, t->next_us > now ? t->next_us - now : 0);
		}
	loop_timer_stop(c->loop, &c->timed_timer);
	if (any)
		loop_timer_in(c->loop, &c->timed_timer, (wait + 999) / 1000);
}

/* ---- running ---- */

static void start(struct app_run *run, struct timed *t)
{
	struct ctl *c = run->ctl;
	char why[128] = "";
	struct conf *conf = effective_conf(c, run->app, why, sizeof why);
	int err = conf ? program_run(c, run->app, conf_app(conf), t->name, t->run_us) : -EINVAL;

	if (err)
		say(c, EV_PROGRAM_NOT_RUN, "app", run->app->name, "program", t->name, "why",
			why[0]           ? why
			: err == -ENOENT ? "its program is not found in PATH"
					 : strerror(-err),
			NULL);
	conf_free(conf);
}

static void begin(struct app_run *run, struct timed *t, uint64_t now)
{
	uint64_t number = max_of(now, t->run_us + 1);

	/* In this order: a run that is written down and was not begun is begun by who comes next.
	 */
	if (keep(run, t, "run", number) < 0 || keep(run, t, "base", now) < 0)
		return; /* said already; it is tried again at the next look */
	t->run_us = number;
	t->began_us = t->base_us = now;
	t->running = true;
	start(run, t);
}

void timers_on_timer(struct loop *l, struct op *op, int res)
{
	struct ctl *c = container_of(op, struct ctl, timed_timer.op);
	uint64_t now = loop_wall_us(l);

	(void)res;
	FOR_APPS(c, a)
		for (unsigned i = 0; i < a->run->timed_n && !c->stopping; i++) {
			struct timed *t = &a->run->timed[i];

			if (t->running)
				continue;
			find_next(t, now);
			if (t->next_us && t->next_us <= now)
				begin(a->run, t, now);
		}
	arm(c);
}

void timers_on_jump(struct loop *l, struct op *op, int res)
{
	struct ctl *c = container_of(op, struct ctl, timed_jump);

	(void)res;
	timers_on_timer(l, &c->timed_timer.op, 0);
	loop_clock_jump(l, &c->timed_jump);
}

static struct timed *numbered(struct ctl *c, uint32_t number, struct app_run **ret_run)
{
	FOR_APPS(c, a)
		for (unsigned i = 0; i < a->run->timed_n; i++)
			if (a->run->timed[i].number == number) {
				*ret_run = a->run;
				return &a->run->timed[i];
			}
	return NULL;
}

void timers_heard(struct ctl *c, const struct msg_proc_state *st)
{
	uint64_t now = loop_wall_us(c->loop);
	struct app_run *run;
	struct timed *t = st->role == PROC_SERVICE ? numbered(c, st->app, &run) : NULL;

	if (!t || !t->run_us)
		return;
	if (st->phase != PHASE_DOWN) {
		if (kept(run, t, "started") != t->run_us)
			(void)keep(run, t, "started", t->run_us);
		t->running = true;
		return;
	}
	/* A new ctl is told of the last one too, which it may have written down already. */
	if (!t->running && t->ended_us >= t->run_us)
		return;
	t->running = false;
	t->ended_us = max_of(now, t->run_us);
	t->rested_us = now;
	t->base_us = max_of(t->base_us, now);
	t->status = st->status;
	(void)keep(run, t, "started", t->run_us);
	(void)keep(run, t, "base", t->base_us);
	(void)keep(run, t, "status", (uint32_t)t->status);
	(void)keep(run, t, "ended", t->ended_us);
	if (st->status && !st->spawn_err && !c->stopping && !run->off.stopped) {
		char status[16];

		(void)snprintf(status, sizeof status, "%d", (int)st->status);
		say(c, EV_TIMER_FAILED, "app", run->app->name, "timer", t->name, "status", status, NULL);
	}
	find_next(t, now);
	arm(c);
}

/* ---- the configuration ---- */

static int read_calendar(struct timed *t, const struct conf_timer *conf)
{
	const char *why;
	unsigned n = 0;

	while (conf->calendar[n])
		n++;
	free(t->when);
	t->nwhen = 0;
	t->when = n ? calloc(n, sizeof *t->when) : NULL;
	if (n && !t->when)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++)
		if (calendar_parse(conf->calendar[i], &t->when[t->nwhen], &why) == 0)
			t->nwhen++;
	return 0;
}

/* One that this ctl did not know. */
static void recall(struct app_run *run, struct timed *t, bool persistent, bool resume)
{
	uint64_t now = loop_wall_us(run->ctl->loop), base = kept(run, t, "base");

	t->run_us = t->began_us = kept(run, t, "run");
	t->ended_us = t->rested_us = kept(run, t, "ended");
	t->status = (int32_t)(uint32_t)kept(run, t, "status");
	t->live_us = resume ? kept(run, t, "live") : now;
	t->base_us = base && (resume || persistent) ? base : now;
	if (!resume) {
		(void)keep(run, t, "live", now);
		(void)keep(run, t, "base", t->base_us);
	} else if (t->run_us && kept(run, t, "started") != t->run_us) {
		t->running = true;
		start(run, t);
	}
}

static struct timed *find_or_add(struct app_run *run, const char *name, bool *ret_new)
{
	*ret_new = false;
	for (unsigned i = 0; i < run->timed_n; i++)
		if (strcmp(run->timed[i].name, name) == 0)
			return &run->timed[i];
	if (run->timed_n == CTL_PROGRAMS_MAX)
		return NULL;
	*ret_new = true;
	run->timed[run->timed_n] = (struct timed){0};
	(void)snprintf(run->timed[run->timed_n].name, sizeof run->timed[0].name, "%s", name);
	return &run->timed[run->timed_n++];
}

void timers_begin(struct app_run *run)
{
	for (unsigned i = 0; i < run->timed_n; i++)
		run->timed[i].wanted = false;
}

void timers_add(struct app_run *run, const struct conf_program *p, uint32_t number, bool resume)
{
	const struct conf_timer *conf = p->timer;
	bool fresh;
	struct timed *t = find_or_add(run, p->name, &fresh);

	if (!t || read_calendar(t, conf) < 0)
		return;
	t->wanted = true;
	t->number = number;
	t->unit_active_us = conf->unit_active_ms * 1000;
	t->unit_inactive_us = conf->unit_inactive_ms * 1000;
	t->active_us = conf->active_ms * 1000;
	t->delay_us = conf->delay_ms * 1000;
	if (fresh)
		recall(run, t, conf->persistent, resume);
	t->due_us = 0;
	find_next(t, loop_wall_us(run->ctl->loop));
}

void timers_end(struct app_run *run)
{
	struct ctl *c = run->ctl;

	for (unsigned i = 0; i < run->timed_n; i++) {
		if (run->timed[i].wanted)
			continue;
		free(run->timed[i].when);
		run->timed[i--] = run->timed[--run->timed_n];
	}
	if (!c->timed_jump.kind) {
		c->timed_timer.op.kind = OP_TIMED;
		c->timed_jump.kind = OP_TIMED_JUMP;
		loop_clock_jump(c->loop, &c->timed_jump);
	}
	arm(c);
}

void timers_free(struct app_run *run)
{
	for (unsigned i = 0; i < run->timed_n; i++)
		free(run->timed[i].when);
	run->timed_n = 0;
}

json_t *timers_json(const struct ctl *c, const struct app *of)
{
	json_t *list = json_array();

	for (const struct app *a = &c->app; a; a = a->next)
		for (unsigned i = 0; i < a->run->timed_n && (!of || a == of); i++) {
			const struct timed *t = &a->run->timed[i];

			(void)json_array_append_new(list,
				json_pack("{s:s, s:s, s:b, s:I, s:I, s:i, s:I}", "name", t->name, "app",
					a->name, "running", t->running, "last_us", (json_int_t)t->run_us,
					"ended_us", (json_int_t)t->ended_us, "status", (int)t->status,
					"next_us", (json_int_t)(t->running ? 0 : t->next_us)));
		}
	return list;
}
