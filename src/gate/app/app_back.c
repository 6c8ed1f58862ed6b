/*
 * app_back.c: what comes back from a worker that shall not, or cannot, run it.
 *
 * Called by to_app.c when a worker drains and when its requests have had their time, by app_link.c when one is lost and by app_answer.c when one says that it did not
 * begin. A request that was not begun, or that may be run twice, waits again, before all that came later; behind the switch
 * to another release of the app it waits for that one's workers. Owns nothing.
 */
#include "app_priv.h"

void app_taken_back(struct app_worker *w, struct app_seat *s)
{
	if (s->back)
		return;
	s->back = true;
	app_given(w, 0, 1);
}

void app_withdraw(struct app_worker *w)
{
	struct app_req *back[LINK_SEATS];
	unsigned n = 0;

	for (unsigned i = 0; i < LINK_SEATS; i++) {
		struct app_seat *s = &w->seats[i];

		if (!s->id || !s->a || s->stopped || s->head_seen || s->a->in_moved ||
			link_begun(&w->link.end, i, s->id))
			continue;
		s->stopped = true;
		/* Begun in this instant, or just about to be: its answer decides, which may be
		 * WITHDRAWN. */
		if (!link_stop(&w->link.end, i, s->id))
			continue;
		app_taken_back(w, s);
		back[n++] = s->a;
		s->a = NULL;
		s->since_us = loop_now_us(w->t->env.loop);
	}
	/* Oldest first, so that the queue keeps its order: ids only grow. */
	for (unsigned i = 1; i < n; i++) {
		for (unsigned j = i; j && back[j]->r->id > back[j - 1]->r->id; j--) {
			struct app_req *x = back[j];

			back[j] = back[j - 1];
			back[j - 1] = x;
		}
	}
	for (unsigned i = 0; i < n; i++)
		app_replay(back[i], false, CLOSE_NONE);
	if (n)
		link_gate_poke(&w->link);
}

void app_end_requests(struct app_worker *w, bool tunnels)
{
	unsigned seat = 0;
	struct app_seat *s;

	/* What it has not begun is another's to run. */
	if (w->up)
		app_withdraw(w);
	w->over = true;
	for (; !w->lost && (s = app_seat_next(w, &seat)); seat++) {
		struct app_req *a = s->a;

		if (!a || (s->tunnel && !tunnels) || a->out_ended)
			continue;
		struct req *r = a->r;

		app_stop(a);
		req_fail(r, CLOSE_APP_DRAINED, 0);
	}
}

static bool may_replay(const struct app_req *a, bool begun)
{
	uint8_t m = a->r->method;

	if (a->head_sent || a->in_moved)
		return false;
	if (!begun)
		return true;
	return !a->replayed && a->r->content_length == 0 &&
	       (m == METHOD_GET || m == METHOD_HEAD || m == METHOD_OPTIONS || m == METHOD_TRACE);
}

void app_replay(struct app_req *a, bool begun, enum close_id why)
{
	struct to_app *t = a->t;
	struct app *was = a->app;
	uint64_t now = loop_now_ms(t->env.loop);

	if (!may_replay(a, begun)) {
		a->w = NULL;
		app_fail(a, why, 0);
		return;
	}
	if (begun) {
		a->replayed = true;
		atomic_fetch_add_explicit(
			&t->env.counters->gate[METRIC_REPLAYS], 1, memory_order_relaxed);
		app_count_site(a, SITE_REPLAYED, 1);
	}
	app_uncharge(t, a->window);
	a->window = 0;
	a->w = NULL;
	/* Behind the switch to another release it is that one's. */
	a->app = app_successor(t, was);
	app_enqueue(a, true);
	if (a->queue_until_ms < now + 1)
		a->queue_until_ms = now + 1;
	loop_timer(t->env.loop, &a->deadline, a->queue_until_ms);
	app_awake(t);
	/* Its own workers are about to go, so nobody would give it. */
	if (a->app != was) {
		struct app *to = a->app;

		app_dispatch(to);
		app_want(to, t);
	}
}
