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
static unsigned slots_wanted(const struct ctl *c, uint64_t newer_than)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->procs_n; i++) {
		const struct msg_proc_state *st = &c->procs[i].st;

		if (st->role == PROC_WORKER && st->app == APP_NUMBER &&
			st->generation > newer_than &&
			(st->phase == PHASE_STARTING || st->phase == PHASE_UP ||
				st->phase == PHASE_BACKOFF))
			n = max_of(n, st->index + 1);
	}
	return n;
}

static void arm(struct ctl *c)
{
	const struct scaler *s = &c->scaling.scaler;

	loop_timer_stop(c->loop, &c->scaling.timer);
	if (c->scaling.on && (s->max > s->min || s->idle_ms != 0))
		loop_timer_in(c->loop, &c->scaling.timer, SCALE_TICK_MS);
}

unsigned scaling_count(const struct ctl *c, const struct conf_app *conf)
{
	unsigned want = c->live_us ? c->scaling.scaler.want : 0;

	if (!conf->python)
		return wants_count(conf);
	want = max_of(want, conf->workers);
	return min_of(want, conf->workers_max);
}

void scaling_told(struct ctl *c, unsigned count)
{
	c->scaling.scaler.want = count;
}

void scaling_adopt(struct ctl *c, const struct conf_app *conf)
{
	c->scaling.on = conf->python;
	c->scaling.threads = conf->asgi[0] ? conf->concurrency : conf->threads;
	c->scaling.timer.op.kind = OP_SCALE_TIMER;
	if (conf->python)
		scale_set(&c->scaling.scaler, conf->workers, conf->workers_max, conf->idle_stop_ms,
			scaling_count(c, conf));
	else
		scale_set(&c->scaling.scaler, wants_count(conf), wants_count(conf), 0, wants_count(conf));
	arm(c);
}

void scaling_resume(struct ctl *c, bool keep)
{
	c->scaling.keep = keep;
	c->scaling.unknown = true;
}

static void tell_parent(struct ctl *c)
{
	char why[256] = "";
	struct conf *held = effective_conf(c, &c->app, why, sizeof why);
	int err = held ? wants_workers(c, &c->app, conf_app(held), c->scaling.scaler.want) : -EINVAL;

	if (err)
		say(c, EV_STATE_ERROR, "what", "tell the parent how many workers there shall be",
			"error", held ? strerror(-err) : why, NULL);
	conf_free(held);
}

static void say_scaled(struct ctl *c, unsigned was, const char *why)
{
	char from[16], to[16];

	(void)snprintf(from, sizeof from, "%u", was);
	(void)snprintf(to, sizeof to, "%u", c->scaling.scaler.want);
	say(c, EV_WORKERS_SCALED, "app", c->app.name, "from", from, "to", to, "why", why, NULL);
}

static void measure(const struct ctl *c, struct scale_sample *ret)
{
	*ret = (struct scale_sample){
		.now_ms = loop_now_ms(c->loop),
		.given = metrics_site(c, SITE_GIVEN),
		.waited_us = metrics_site(c, SITE_WAITED_US),
		.worked_us = metrics_site(c, SITE_WORKED_US),
		.queued = metrics_site(c, SITE_QUEUED),
		.running = metrics_site(c, SITE_RUNNING),
		.open = metrics_site(c, SITE_TUNNELS),
		.up = procs_count(c, PROC_WORKER, APP_NUMBER, PHASE_UP),
		.threads = c->scaling.threads,
	};
}

/* What the parent did by itself: at a wake-up, or before this process came. */
static void learn(struct ctl *c)
{
	struct scaler *s = &c->scaling.scaler;
	unsigned n = slots_wanted(c, c->scaling.asleep_generation);

	if (c->scaling.unknown) {
		c->scaling.unknown = false;
		scale_woken(s, slots_wanted(c, 0), loop_now_ms(c->loop));
		if (s->want == 0)
			c->scaling.asleep_generation = procs_newest(c, PROC_WORKER, APP_NUMBER);
	} else if (s->want == 0 && n > 0) {
		scale_woken(s, n, loop_now_ms(c->loop));
		say_scaled(c, 0, "a request");
	}
}

void scaling_on_timer(struct loop *l, struct op *op, int res)
{
	static const char *const whys[] = {[SCALE_QUEUE] = "requests waited",
		[SCALE_LOAD] = "fewer are enough",
		[SCALE_IDLE] = "no request"};
	struct ctl *c = container_of(op, struct ctl, scaling.timer.op);
	struct scale_sample sample;
	unsigned was;
	enum scale_why why;

	(void)l;
	(void)res;
	arm(c);
	if (c->up || c->live_us == 0 || c->stopping)
		return;
	learn(c);
	measure(c, &sample);
	was = c->scaling.scaler.want;
	why = scale_decide(&c->scaling.scaler, &sample);
	if (why == SCALE_STAY)
		return;
	if (why == SCALE_IDLE)
		c->scaling.asleep_generation = procs_newest(c, PROC_WORKER, APP_NUMBER);
	say_scaled(c, was, whys[why]);
	tell_parent(c);
}
