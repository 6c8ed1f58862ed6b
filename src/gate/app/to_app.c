/*
 * to_app.c: the handler of requests for apps, and what parent and ctl tell about apps and workers.
 *
 * Called by the router and by the gate's control part. Owns the list of apps. A request waits in
 * its app's queue until a worker takes it; while an app starts, requests wait as well, up to the
 * queue's deadline. Nothing here looks at a worker's memory: app_link.c and app_answer.c do.
 */
#include "to_app.h"
#include "app_priv.h"
#include "lib/must.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int to_app_new(const struct to_app_env *env, struct to_app **ret)
{
	struct to_app *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->env = *env;
	t->kick.kind = (uint16_t)(env->op_base + TO_APP_OP_KICK);
	t->tick.op.kind = (uint16_t)(env->op_base + TO_APP_OP_TICK);
	*ret = t;
	return 0;
}

static void free_workers(struct app_worker *w)
{
	while (w) {
		struct app_worker *next = w->next;

		app_worker_free(w);
		w = next;
	}
}

void to_app_free(struct to_app *t)
{
	if (!t)
		return;
	must(t->active == 0);
	loop_defer_cancel(t->env.loop, &t->kick);
	loop_timer_stop(t->env.loop, &t->tick);
	while (t->apps) {
		struct app *app = t->apps;

		t->apps = app->next;
		free_workers(app->workers);
		free(app);
	}
	free_workers(t->lost);
	free(t);
}

static struct app *find(const struct to_app *t, uint32_t number)
{
	struct app *app = t->apps;

	while (app && app->number != number)
		app = app->next;
	return app;
}

static struct app *find_or_add(struct to_app *t, uint32_t number)
{
	struct app *app = find(t, number);

	if (app)
		return app;
	app = calloc(1, sizeof(*app));
	if (!app)
		return NULL;
	app->number = number;
	app->next = t->apps;
	t->apps = app;
	return app;
}

struct app *app_successor(const struct to_app *t, struct app *app)
{
	for (struct app *to = t->apps; to && !app->known; to = to->next)
		if (to->known && strcmp(to->name, app->name) == 0)
			return to;
	return app;
}

/* What waits for a release that was followed by another is that one's: its own workers are about to go. */
static void follow(struct to_app *t)
{
	for (struct app *old = t->apps; old; old = old->next) {
		struct app *to = app_successor(t, old);

		if (to == old || !old->first)
			continue;
		while (old->first) {
			struct app_req *a = old->first;

			app_dequeue(a);
			a->app = to;
			app_enqueue(a, false);
		}
		app_dispatch(to);
		app_want(to, t);
	}
}

void to_app_on_snap(struct to_app *t, struct snap *s)
{
	for (struct app *app = t->apps; app; app = app->next)
		app->known = false;
	for (uint32_t i = 0; i < snap_napps(s); i++) {
		const struct snap_app *row = snap_app(s, i);
		struct app *app = row ? find_or_add(t, row->number) : NULL;
		const char *name;
		size_t n;

		if (!app)
			continue;
		app->known = true;
		name = snap_str(s, row->name, &n);
		n = min_of(n, sizeof(app->name) - 1);
		memcpy(app->name, name, n);
		app->name[n] = 0;
	}
	follow(t);
	for (struct app **at = &t->apps; *at;) {
		struct app *app = *at;

		if (app->known || app->workers || app->queued) {
			at = &app->next;
			continue;
		}
		*at = app->next;
		free(app);
	}
}

void to_app_on_worker(struct to_app *t, const struct msg_worker *w, int fd)
{
	struct app *app = find_or_add(t, w->app);
	struct msg_worker bad = *w;

	if (app && app_worker_new(t, app, w, fd) == 0)
		return;
	if (!app)
		loop_sys_close(t->env.loop, fd);
	/* Without memory or descriptors for its link the worker is of no use to this gate. */
	bad.gate = t->env.gate_index;
	bad.gate_generation = t->env.gate_generation;
	bad.reason = CLOSE_NO_MEMORY;
	t->env.say(t->env.gate, MSG_WORKER_BAD, &bad);
}

static struct app_worker *find_worker(const struct to_app *t, const struct msg_worker *m)
{
	struct app *app = find(t, m->app);
	struct app_worker *w = app ? app->workers : NULL;

	while (w && (w->m.slot != m->slot || w->m.generation != m->generation))
		w = w->next;
	return w;
}

void to_app_on_worker_gone(struct to_app *t, const struct msg_worker *m)
{
	struct app_worker *w = find_worker(t, m);

	if (!w)
		return;
	app_awake(t);
	app_drain(w);
	/* The parent knows already, so nothing is said. */
	app_worker_lost(w, CLOSE_NONE);
}

void to_app_on_worker_drain(struct to_app *t, const struct msg_worker *m)
{
	struct app_worker *w = find_worker(t, m);
	struct msg_worker idle = *m;

	if (!w) {
		idle.gate = t->env.gate_index;
		idle.gate_generation = t->env.gate_generation;
		t->env.say(t->env.gate, MSG_WORKER_IDLE, &idle);
		return;
	}
	app_awake(t);
	w->draining = true;
	if (m->stage == DRAIN_LEAVE)
		app_tunnels_leave(w);
	if (m->stage == DRAIN_OVER || m->stage == DRAIN_CUT)
		app_end_requests(w, m->stage == DRAIN_CUT);
	if (w->up) {
		app_withdraw(w);
		app_dispatch(w->app);
	}
	w->app->wanted = false;
	app_want(w->app, t);
	app_say_idle(w);
}

static bool is_up(const struct app *app)
{
	for (const struct app_worker *w = app->workers; w; w = w->next) {
		if (w->up && !w->draining)
			return true;
	}
	return false;
}

void to_app_on_overlay(struct to_app *t, const struct msg_overlay *o)
{
	struct app *app = o->kind == OVERLAY_APP_DOWN ? find_or_add(t, o->key) : NULL;

	if (!app)
		return;
	/* What this gate sees is newer than what ctl was told. */
	app->down = o->on != 0 && !is_up(app);
	app->down_retry_s = o->retry_after_s;
	while (app->down && app->first)
		app_fail(app->first, CLOSE_APP_DOWN, o->retry_after_s);
}

void to_app_on_drain(struct to_app *t, bool leave)
{
	app_awake(t);
	if (leave && !t->away)
		app_tunnels_away(t);
}

unsigned to_app_active(const struct to_app *t)
{
	return t->active;
}

/* The handler. */

/* Whoever watches the site must learn how it fares while it is busy. Others who ask for that path
 * have no more of it than these few places. */
static bool is_probe(const struct app *app, const struct req *r)
{
	size_t n;
	const char *path = snap_str(r->snap, r->site->health, &n);

	return n > 0 && (r->method == METHOD_GET || r->method == METHOD_HEAD) &&
	       r->path_len == n && memcmp(r->path, path, n) == 0 && app->probes < APP_PROBES_MAX;
}

/* Of all that wait: in the queue, and in workers' rings behind what they run. No place is needed by one
 * that a free thread takes at once. */
static bool queue_full(const struct to_app *t, const struct app *app, const struct req *r)
{
	uint64_t waiting = app->queued + app->ahead;

	for (const struct app_worker *w = app->workers; w; w = w->next) {
		if (w->up && !w->draining && !w->stuck && w->given < w->link.threads && !app->queued)
			return false;
	}
	if (t->env.queue_others)
		waiting += t->env.queue_others(t->env.gate, app->number);
	return waiting >= r->site->queue;
}

static void start(struct req *r)
{
	struct to_app *t = gate_to_app(r->gate);
	const struct snap_app *row = snap_app(r->snap, r->route->app);
	struct app *app = row ? find_or_add(t, row->number) : NULL;
	struct app_req *a;
	bool probe;

	/* Its snapshot may be from before the switch. */
	if (app)
		app = app_successor(t, app);
	if (!app || app->down) {
		req_fail(r, CLOSE_APP_DOWN,
			app && app->down_retry_s ? app->down_retry_s : APP_RETRY_AFTER_S);
		return;
	}
	probe = is_probe(app, r);
	if (!probe && queue_full(t, app, r)) {
		req_fail(r, CLOSE_QUEUE_FULL, APP_RETRY_AFTER_S);
		return;
	}
	a = arena_zalloc(&r->arena, sizeof(*a));
	if (!a) {
		req_fail(r, CLOSE_NO_MEMORY, APP_RETRY_AFTER_S);
		return;
	}
	r->handler_state = a;
	r->up.kind = REQ_UP_APP;
	t->active++;
	a->r = r;
	a->t = t;
	a->app = app;
	a->left = -1;
	a->probe = probe;
	a->in_ended = r->content_length == 0;
	a->deadline.op.kind = (uint16_t)(t->env.op_base + TO_APP_OP_DEADLINE);
	a->queue_until_ms = loop_now_ms(t->env.loop) + r->site->queue_timeout_ms;
	app_awake(t);
	if (!app_give_now(a)) {
		app_enqueue(a, probe);
		app_dispatch(app);
	}
	/* It may have been answered, and gone, in there. */
	if (r->handler_state == a && a->state == APP_REQ_QUEUED) {
		loop_timer(t->env.loop, &a->deadline, a->queue_until_ms);
		app_want(app, t);
	}
}

static void body(struct req *r, const void *p, size_t n)
{
	struct app_req *a = r->handler_state;

	if (!a) {
		/* The answer is there already: the rest is read and dropped. */
		req_consume(r, n);
		return;
	}
	if (!app_charge(a->t, (uint32_t)n)) {
		app_stop(a);
		req_fail(r, CLOSE_BUDGET, APP_RETRY_AFTER_S);
		return;
	}
	if (app_buf_put(&a->in, p, n)) {
		app_uncharge(a->t, (uint32_t)n);
		app_stop(a);
		req_fail(r, CLOSE_NO_MEMORY, APP_RETRY_AFTER_S);
		return;
	}
	app_awake(a->t);
	app_pump_in(a);
}

static void body_end(struct req *r)
{
	struct app_req *a = r->handler_state;

	if (!a || a->in_ended)
		return;
	a->in_ended = true;
	app_awake(a->t);
	app_pump_in(a);
}

static void room(struct req *r)
{
	struct app_req *a = r->handler_state;

	if (!a)
		return;
	app_awake(a->t);
	app_push_out(a);
}

static void abort_req(struct req *r, enum close_id why)
{
	struct app_req *a = r->handler_state;

	(void)why;
	if (!a)
		return;
	app_awake(a->t);
	app_stop(a);
}

const struct handler_ops to_app_handler = {
	.name = "app",
	.start = start,
	.body = body,
	.body_end = body_end,
	.room = room,
	.abort = abort_req,
};

static void queue_deadline(struct app_req *a)
{
	app_fail(a, is_up(a->app) ? CLOSE_QUEUE_TIMEOUT : CLOSE_APP_STARTING, APP_RETRY_AFTER_S);
}

/* Is it the client that everything waits for? */
static bool client_is_slow(const struct app_req *a)
{
	return a->out.len || (!a->in_ended && !a->in.len && a->in_credit == LINK_WINDOW);
}

/* Begun since it was looked at last: its own time begins. */
static bool just_begun(struct app_req *a)
{
	struct app_seat *s = app_seat_at(a->w, a->seat);

	if (s->begun || !link_begun(&a->w->link.end, a->seat, s->id))
		return false;
	s->begun = true;
	s->since_us = loop_now_us(a->t->env.loop);
	loop_timer_in(a->t->env.loop, &a->deadline, s->timeout_ms);
	return true;
}

void to_app_done_deadline(struct loop *l, struct op *op, int res)
{
	struct app_req *a =
		container_of(container_of(op, struct timer, op), struct app_req, deadline);
	struct to_app *t = a->t;
	struct app_worker *w = a->w;
	struct req *r = a->r;

	(void)res;
	app_awake(t);
	if (a->state == APP_REQ_QUEUED) {
		queue_deadline(a);
		return;
	}
	if (w && just_begun(a))
		return;
	if (w && !app_seat_at(w, a->seat)->begun) {
		/* In a worker's ring, behind other things: that is the queue as well. */
		app_stop(a);
		req_fail(r, CLOSE_QUEUE_TIMEOUT, APP_RETRY_AFTER_S);
		return;
	}
	if (!w || client_is_slow(a)) {
		loop_timer_in(l, &a->deadline, r->route->request_timeout_ms);
		return;
	}
	app_seat_at(w, a->seat)->late = true;
	app_stuck(w, EV_REQUEST_DEADLINE, (loop_now_us(l) - r->start_us) / 1000, r->path);
	app_stop(a);
	req_fail(r, CLOSE_APP_TIMEOUT, 0);
	/* What it has not begun goes to others; its siblings may finish. */
	app_withdraw(w);
}
