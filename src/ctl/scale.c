/*
 * scale.c: see scale.h.
 *
 * Called by scaling.c each half second. More workers when requests wait, and all that were asked for
 * are there already: by half of what there is. Fewer when for a while nothing waited and the rest
 * would have been enough: a quarter at a time. When more are needed soon after there were made
 * fewer, that while doubles, up to 8 minutes, so a load that comes and goes makes processes come and
 * go ever more rarely. Owns nothing.
 */
#include "scale.h"

#include "lib/must.h"

void scale_set(struct scaler *s, unsigned min, unsigned max, uint64_t idle_ms, unsigned want)
{
	s->min = min;
	s->max = max_of(max, min);
	s->idle_ms = idle_ms;
	s->want = want;
	s->seen = false;
	s->waits = 0;
	if (s->calm_ms == 0)
		s->calm_ms = SCALE_CALM_MS;
}

void scale_woken(struct scaler *s, unsigned want, uint64_t now_ms)
{
	s->want = want;
	s->used_ms = s->calm_from_ms = now_ms;
	s->peak = 0;
}

/* A sum that went back is that of a gate which began anew. */
static uint64_t since(uint64_t now, uint64_t before)
{
	return now >= before ? now - before : 0;
}

static void calm_begins(struct scaler *s, uint64_t now_ms)
{
	s->calm_from_ms = now_ms;
	s->peak = 0;
}

static enum scale_why more(struct scaler *s, const struct scale_sample *n)
{
	unsigned step = max_of(s->want / 2, 1u);

	if (s->fewer_ms != 0 && n->now_ms - s->fewer_ms < 2 * s->calm_ms)
		s->calm_ms = min_of(s->calm_ms * 2, (uint64_t)SCALE_CALM_MAX_MS);
	else
		s->calm_ms = SCALE_CALM_MS;
	s->want = min_of(s->want + step, s->max);
	s->waits = 0;
	calm_begins(s, n->now_ms);
	return SCALE_QUEUE;
}

static enum scale_why fewer(struct scaler *s, const struct scale_sample *n)
{
	unsigned step = max_of(s->want / 4, 1u);
	unsigned rest = max_of(s->want - step, s->min);
	uint64_t can = (uint64_t)rest * max_of(n->threads, 1u) * 1000;
	bool enough = s->peak * 100 <= can * SCALE_LOAD_PERCENT;

	calm_begins(s, n->now_ms);
	if (!enough)
		return SCALE_STAY;
	s->want = rest;
	s->fewer_ms = n->now_ms;
	return SCALE_LOAD;
}

/* What is there takes the queue in soon enough: more would come when it is gone. */
static bool shrinks(const struct scale_sample *was, const struct scale_sample *n)
{
	uint64_t fewer_now = was->queued > n->queued ? was->queued - n->queued : 0;

	return fewer_now != 0 && n->queued / fewer_now * SCALE_TICK_MS < SCALE_SOON_MS;
}

static enum scale_why idle(struct scaler *s)
{
	s->want = 0;
	return SCALE_IDLE;
}

enum scale_why scale_decide(struct scaler *s, const struct scale_sample *n)
{
	struct scale_sample was = s->last;
	uint64_t ms = since(n->now_ms, was.now_ms), given, wait_us, load;
	bool first = !s->seen;

	s->last = *n;
	s->seen = true;
	if (first || ms == 0) {
		scale_woken(s, s->want, n->now_ms);
		return SCALE_STAY;
	}
	given = since(n->given, was.given);
	/* Of a queue that does not move nobody's time is known yet: it is at least this one. */
	wait_us = given ? since(n->waited_us, was.waited_us) / given : n->queued ? ms * 1000 : 0;
	/* Work that ends is counted whole in its last tick, work that goes on by its threads. */
	load = min_of(since(n->worked_us, was.worked_us) / ms, (uint64_t)s->want * n->threads * 1000);
	load = max_of(load, n->running * 1000);
	s->peak = max_of(s->peak, load);
	if (given || n->queued || n->running || n->open)
		s->used_ms = n->now_ms;
	if (s->want == 0)
		return SCALE_STAY;
	if (s->idle_ms != 0 && n->now_ms - s->used_ms >= s->idle_ms)
		return idle(s);
	if (wait_us >= SCALE_CALM_US)
		calm_begins(s, n->now_ms);
	s->waits = wait_us >= SCALE_WAIT_US && n->queued > 0 && !shrinks(&was, n) ? s->waits + 1 : 0;
	if (s->waits >= 2 && s->want < s->max && n->up >= s->want)
		return more(s, n);
	if (s->want > s->min && n->now_ms - s->calm_from_ms >= s->calm_ms)
		return fewer(s, n);
	return SCALE_STAY;
}
