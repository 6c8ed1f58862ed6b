/*
 * app_tick.c: what was given to a worker and is not begun, and what it runs for nobody: looked at
 * every few milliseconds.
 *
 * Called by the loop while there is such a thing. Nothing waits for long behind a request that
 * turned out slow, or behind another gate's, while some other worker is free: it is taken back and
 * given there. A request's own time begins when it is seen begun; until then the queue's goes on. A worker that says it is free and
 * does not begin what it was given, or that goes on for a request's whole time with one that nobody
 * waits for, is hung, and that is told.
 */
#include "app_priv.h"
#include "lib/must.h"

static void arm(struct to_app *t, bool slow)
{
	t->ticking = true;
	t->tick_slow = slow;
	loop_timer_in(t->env.loop, &t->tick, slow ? APP_TICK_SLOW_MS : APP_TICK_MS);
}

void app_start_tick(struct to_app *t)
{
	if (!t->ticking || t->tick_slow)
		arm(t, false);
}

struct seen {
	bool unbegun;   /* something is to be looked at again soon */
	bool abandoned; /* … and something not so soon */
	bool waits;     /* something has waited long enough to be taken back */
	bool hung;
};

static void look_at(struct app_worker *w, struct app_seat *s, unsigned seat, uint64_t now_us,
	struct seen *seen)
{
	bool begun = link_begun(&w->link.end, seat, s->id), over;

	if (s->tunnel)
		return;
	if (begun && !s->begun && s->a) {
		s->begun = true;
		s->since_us = now_us;
		loop_timer_in(w->t->env.loop, &s->a->deadline, s->timeout_ms);
	}
	over = now_us - s->since_us > (uint64_t)s->timeout_ms * 1000;
	if (begun) {
		seen->abandoned |= !s->a && !s->late;
		if (!s->a && over)
			seen->hung = s->late = true;
		return;
	}
	seen->unbegun = true;
	/* Its deadline of the queue, for which no timer was set when it was given. */
	if (s->a && loop_now_ms(w->t->env.loop) >= s->a->queue_until_ms)
		loop_timer(w->t->env.loop, &s->a->deadline, s->a->queue_until_ms);
	seen->waits |= s->a && !s->stopped && !s->a->in_moved &&
		       now_us - s->given_us > APP_TICK_MS * 1000;
	seen->hung |= over && app_worker_free_thread(w);
}

static bool free_elsewhere(const struct app_worker *w)
{
	for (const struct app_worker *o = w->app->workers; o; o = o->next) {
		if (o != w && o->up && !o->draining && !o->stuck && !o->lost && !o->pending &&
			o->given < o->link.threads && app_worker_free_thread(o))
			return true;
	}
	return false;
}

static void tick_worker(struct app_worker *w, uint64_t now_us, struct seen *all)
{
	struct seen seen = {0};
	struct app_seat *s;

	/* Nobody waits for what a worker runs that was replaced and has had its time. */
	if (!w->up || !w->given || w->over)
		return;
	for (unsigned seat = 0; (s = app_seat_next(w, &seat)); seat++)
		look_at(w, s, seat, now_us, &seen);
	if (seen.hung) {
		app_stuck(w, EV_WORKER_HUNG, 0, NULL);
		app_withdraw(w);
	} else if (seen.waits && w->given > w->link.threads) {
		w->hold = true;
		app_withdraw(w);
	} else if (seen.waits && free_elsewhere(w)) {
		app_withdraw(w);
	}
	all->unbegun |= seen.unbegun;
	all->abandoned |= seen.abandoned;
}

void to_app_done_tick(struct loop *l, struct op *op, int res)
{
	struct to_app *t = container_of(container_of(op, struct timer, op), struct to_app, tick);
	struct seen seen = {0};

	(void)res;
	t->ticking = false;
	app_awake(t);
	for (struct app *app = t->apps; app; app = app->next) {
		for (struct app_worker *w = app->workers; w; w = w->next)
			tick_worker(w, loop_now_us(l), &seen);
		app_dispatch(app);
	}
	if (seen.unbegun)
		app_start_tick(t);
	else if (seen.abandoned && !t->ticking)
		arm(t, true);
}
