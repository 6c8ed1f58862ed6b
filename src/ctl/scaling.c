/*
 * scaling.c: an app's workers follow its load: measured each half second, decided by scale.c, told
 * to the parent.
 *
 * Called by its timer, by resume and by the up flow. The measures are the gates' counters pages,
 * which are input: what a gate gone wrong writes there can only bring the number of workers to one
 * of its bounds. While a change of the site is under way nothing is decided. An app that sleeps is
 * woken by a gate and the parent without this process, which learns it from the parent's word. Owns
 * struct scaling.
 */
#include "ctl.h"
#include "wants.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Slots that there shall be, as the parent's word shows. */
static unsigned slots_wanted(const struct app_run *run, uint64_t newer_than)
{
	const struct ctl *c = run->ctl;
	unsigned n = 0;

	for (unsigned i = 0; i < c->procs_n; i++) {
		const struct msg_proc_state *st = &c->procs[i].st;

		if (st->role == PROC_WORKER && st->app == run->app->set &&
			st->generation > newer_than &&
			(st->phase == PHASE_STARTING || st->phase == PHASE_UP ||
				st->phase == PHASE_BACKOFF))
			n = max_of(n, st->index + 1);
	}
	return n;
}

static void arm(struct app_run *run)
{
	const struct scaler *s = &run->scaling.scaler;
	struct loop *l = run->ctl->loop;

	loop_timer_stop(l, &run->scaling.timer);
	if (run->scaling.on && (s->max > s->min || s->idle_ms != 0))
		loop_timer_in(l, &run->scaling.timer, SCALE_TICK_MS);
}

unsigned scaling_count(const struct app_run *run, const struct conf_app *conf)
{
	unsigned want = run->ctl->live_us ? run->scaling.scaler.want : 0;

	if (!conf->python)
		return wants_count(conf);
	want = max_of(want, conf->workers);
	return min_of(want, conf->workers_max);
}

void scaling_told(struct app_run *run, unsigned count)
{
	run->scaling.scaler.want = count;
}

void scaling_adopt(struct app_run *run, const struct conf_app *conf)
{
	run->scaling.on = conf->python && !run->off.stopped;
	run->scaling.threads = conf->asgi[0] ? conf->concurrency : conf->threads;
	run->scaling.timer.op.kind = OP_SCALE_TIMER;
	if (conf->python)
		scale_set(&run->scaling.scaler, conf->workers, conf->workers_max, conf->idle_stop_ms,
			scaling_count(run, conf));
	else
		scale_set(&run->scaling.scaler, wants_count(conf), wants_count(conf), 0, wants_count(conf));
	arm(run);
}

void scaling_resume(struct app_run *run, bool keep)
{
	run->scaling.keep = keep;
	run->scaling.unknown = true;
}

static void tell_parent(struct app_run *run)
{
	struct ctl *c = run->ctl;
	char why[256] = "";
	struct conf *held = effective_conf(c, run->app, why, sizeof why);
	int err = held ? wants_workers(c, run->app, conf_app(held), run->scaling.scaler.want) : -EINVAL;

	if (err)
		say(c, EV_STATE_ERROR, "what", "tell the parent how many workers there shall be",
			"error", held ? strerror(-err) : why, NULL);
	conf_free(held);
}

static void say_scaled(const struct app_run *run, unsigned was, const char *why)
{
	char from[16], to[16];

	(void)snprintf(from, sizeof from, "%u", was);
	(void)snprintf(to, sizeof to, "%u", run->scaling.scaler.want);
	say(run->ctl, EV_WORKERS_SCALED, "app", run->app->name, "from", from, "to", to, "why", why, NULL);
}

static void measure(const struct app_run *run, struct scale_sample *ret)
{
	const struct ctl *c = run->ctl;
	uint32_t number = run->app->number;

	*ret = (struct scale_sample){
		.now_ms = loop_now_ms(c->loop),
		.given = metrics_site(c, number, SITE_GIVEN),
		.waited_us = metrics_site(c, number, SITE_WAITED_US),
		.worked_us = metrics_site(c, number, SITE_WORKED_US),
		.queued = metrics_site(c, number, SITE_QUEUED),
		.running = metrics_site(c, number, SITE_RUNNING),
		.open = metrics_site(c, number, SITE_TUNNELS),
		.up = procs_count(c, PROC_WORKER, run->app->set, PHASE_UP),
		.threads = run->scaling.threads,
	};
}

/* What the parent did by itself: at a wake-up, or before this process came. */
static void learn(struct app_run *run)
{
	struct ctl *c = run->ctl;
	struct scaler *s = &run->scaling.scaler;
	unsigned n = slots_wanted(run, run->scaling.asleep_generation);

	if (run->scaling.unknown) {
		run->scaling.unknown = false;
		scale_woken(s, slots_wanted(run, 0), loop_now_ms(c->loop));
		if (s->want == 0)
			run->scaling.asleep_generation = procs_newest(c, PROC_WORKER, run->app->set);
	} else if (s->want == 0 && n > 0) {
		scale_woken(s, n, loop_now_ms(c->loop));
		say_scaled(run, 0, "a request");
	}
}

void scaling_on_timer(struct loop *l, struct op *op, int res)
{
	static const char *const whys[] = {[SCALE_QUEUE] = "requests waited",
		[SCALE_LOAD] = "fewer are enough",
		[SCALE_IDLE] = "no request"};
	struct app_run *run = container_of(op, struct app_run, scaling.timer.op);
	const struct ctl *c = run->ctl;
	struct scale_sample sample;
	unsigned was;
	enum scale_why why;

	(void)l;
	(void)res;
	arm(run);
	if (c->up || c->live_us == 0 || c->stopping)
		return;
	learn(run);
	measure(run, &sample);
	was = run->scaling.scaler.want;
	why = scale_decide(&run->scaling.scaler, &sample);
	if (why == SCALE_STAY)
		return;
	if (why == SCALE_IDLE)
		run->scaling.asleep_generation = procs_newest(c, PROC_WORKER, run->app->set);
	say_scaled(run, was, whys[why]);
	tell_parent(run);
}
