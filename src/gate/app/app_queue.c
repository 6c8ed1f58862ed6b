/*
 * app_queue.c: which request goes to which worker, and when; the budget of body bytes.
 *
 * Called for each new request and whenever a worker has room. A worker is given as many requests as
 * it has threads; more only when one takes it less than a millisecond, and then only what it does
 * in a millisecond (less where there are others), so that the two processes need not wake each other
 * for every single request: to wake one costs both of them more than a small request does. What it has
 * not begun after APP_TICK_MS is taken back. Among workers the busy word decides, which counts the
 * requests of every gate.
 */
#include "app_priv.h"
#include "lib/must.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool app_charge(struct to_app *t, uint32_t n)
{
	if (*t->env.budget_used + n > t->env.budget_max)
		return false;
	*t->env.budget_used += n;
	return true;
}

void app_uncharge(struct to_app *t, uint32_t n)
{
	must(*t->env.budget_used >= n);
	*t->env.budget_used -= n;
}

int app_buf_put(struct app_buf *b, const void *p, size_t n)
{
	if (b->at && b->at + b->len + n > b->cap) {
		memmove(b->p, b->p + b->at, b->len);
		b->at = 0;
	}
	if (b->at + b->len + n > b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 4096;
		char *more;

		while (cap < b->len + n)
			cap *= 2;
		more = realloc(b->p, cap);
		if (!more)
			return -ENOMEM;
		b->p = more;
		b->cap = (uint32_t)cap;
	}
	memcpy(b->p + b->at + b->len, p, n);
	b->len += (uint32_t)n;
	return 0;
}

void app_buf_drop(struct app_buf *b, size_t n)
{
	must(n <= b->len);
	b->at += (uint32_t)n;
	b->len -= (uint32_t)n;
	if (b->len)
		return;
	free(b->p);
	memset(b, 0, sizeof(*b));
}

/* The page has one writer, so an addition is a load and a store. */
static void count(struct to_app *t, uint32_t site, unsigned column, uint64_t n)
{
	_Atomic uint64_t *c = &t->env.counters->site[site].col[column];

	atomic_store_explicit(
		c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

static uint32_t site_row(const struct app_req *a)
{
	return min_of(a->r->site->number, (uint32_t)COUNTER_SITES_MAX - 1);
}

void app_count_site(const struct app_req *a, unsigned column, uint64_t n)
{
	count(a->t, site_row(a), column, n);
}

void app_count_seat(const struct app_worker *w, const struct app_seat *s, bool taken)
{
	struct to_app *t = w->t;

	if (s->tunnel) {
		count(t, s->site, SITE_TUNNELS, (uint64_t)-1);
		return;
	}
	count(t, s->site, SITE_RUNNING, taken ? 1 : (uint64_t)-1);
	if (taken)
		count(t, s->site, SITE_GIVEN, 1);
	else
		count(t, s->site, SITE_WORKED_US, loop_now_us(t->env.loop) - s->given_us);
}

/* It is no request any more, but it is there. */
void app_count_tunnel(const struct app_worker *w, struct app_seat *s)
{
	app_count_seat(w, s, false);
	count(w->t, s->site, SITE_TUNNELS, 1);
	s->tunnel = true;
}

void app_want(struct app *app, struct to_app *t)
{
	for (const struct app_worker *w = app->workers; w; w = w->next) {
		if (!w->draining && !w->stuck && !w->lost)
			return;
	}
	if (!app->first || app->wanted || !t->env.want)
		return;
	app->wanted = true;
	t->env.want(t->env.gate, app->number);
}

static void tell_gates(const struct app *app, struct to_app *t)
{
	if (t->env.queue_tell)
		t->env.queue_tell(t->env.gate, app->number, app->queued + app->ahead);
}

static unsigned ahead_of(const struct app_worker *w)
{
	unsigned to_run = w->given - w->back;

	return to_run > w->link.threads ? to_run - w->link.threads : 0;
}

void app_given(struct app_worker *w, int given, int back)
{
	unsigned was = ahead_of(w);

	w->given += (unsigned)given;
	w->back += (unsigned)back;
	if (ahead_of(w) == was)
		return;
	w->app->ahead += ahead_of(w) - was;
	tell_gates(w->app, w->t);
}

/* Probes stand before all others, also before those that were given to a worker and came back. */
static struct app_req *behind_probes(const struct app *app)
{
	struct app_req *a = app->first;

	while (a && a->probe)
		a = a->next;
	return a;
}

void app_enqueue(struct app_req *a, bool front)
{
	struct app *app = a->app;

	a->state = APP_REQ_QUEUED;
	a->queued_us = loop_now_us(a->t->env.loop);
	a->next = front ? behind_probes(app) : NULL;
	a->prev = a->next ? a->next->prev : app->last;
	if (a->next)
		a->next->prev = a;
	else
		app->last = a;
	if (a->prev)
		a->prev->next = a;
	else
		app->first = a;
	app->queued++;
	app->probes += a->probe;
	tell_gates(app, a->t);
	app_count_site(a, SITE_QUEUED, 1);
}

void app_dequeue(struct app_req *a)
{
	struct app *app = a->app;

	if (a->prev)
		a->prev->next = a->next;
	else
		app->first = a->next;
	if (a->next)
		a->next->prev = a->prev;
	else
		app->last = a->prev;
	a->next = a->prev = NULL;
	app->queued--;
	app->probes -= a->probe;
	tell_gates(app, a->t);
	if (!app->queued)
		app->wanted = false;
	app_count_site(a, SITE_WAITED_US, loop_now_us(a->t->env.loop) - a->queued_us);
	app_count_site(a, SITE_QUEUED, (uint64_t)-1);
}

/* How many requests this worker may hold at once. What its page says is bounded before it counts.
 */
static unsigned depth(const struct app_worker *w)
{
	uint32_t us = w->service_us;
	unsigned ahead;

	if (w->link.async || us == 0 || us >= APP_SERVICE_FAST_US || w->hold)
		return w->link.threads;
	ahead = w->app->workers->next ? APP_AHEAD_SEVERAL_US : APP_AHEAD_US;
	ahead = max_of(ahead / us, 1u) + w->link.threads;
	return ahead < LINK_SEATS ? ahead : LINK_SEATS;
}

static uint64_t busy_threads(const struct app_worker *w)
{
	uint32_t busy = atomic_load_explicit(&w->link.status->busy, memory_order_relaxed);
	uint32_t most = max_of(w->link.threads, (uint32_t)LINK_THREADS_MAX);

	return min_of(busy, most);
}

bool app_worker_free_thread(const struct app_worker *w)
{
	return busy_threads(w) < w->link.threads;
}

static bool takes_one(const struct app_worker *w, bool tunnel)
{
	if (!w->up || w->draining || w->stuck || w->lost || w->pending)
		return false;
	return (w->given < w->link.threads || w->given < depth(w)) && app_seat_left(w, tunnel);
}

static struct app_worker *pick(const struct app *app, bool tunnel)
{
	struct app_worker *best = NULL, *only = app->workers;
	uint64_t best_score = UINT64_MAX;

	/* Where there is no choice nobody asks how busy it is: see look_at_pace(). */
	if (only && !only->next)
		return takes_one(only, tunnel) ? only : NULL;
	for (struct app_worker *w = app->workers; w; w = w->next) {
		uint64_t busy, score;

		if (!takes_one(w, tunnel))
			continue;
		busy = busy_threads(w);
		/* Ours that it has not begun count too; those of other gates are seen once they
		 * run. */
		score = max_of(busy, (uint64_t)w->given);
		/* One with a free thread before one that makes us wait, in parts of the rounds of
		 * its threads. */
		score = score * 65536 / w->link.threads;
		/* Tunnels are no load now, and may be later: each has as many of them. */
		if (tunnel)
			score += (uint64_t)w->tunnels * 65536;
		if (score < best_score) {
			best = w;
			best_score = score;
		}
	}
	return best;
}

/* The answer's window: a full one while there is plenty, the floor when the budget runs low. */
static uint32_t take_window(struct to_app *t)
{
	uint64_t used = *t->env.budget_used, left = 0;
	uint32_t window;

	if (used < t->env.budget_max)
		left = t->env.budget_max - used;
	window = left / 8 > LINK_WINDOW ? LINK_WINDOW : (uint32_t)(left / 8);
	if (window < LINK_WINDOW_MIN)
		window = left >= LINK_WINDOW_MIN ? LINK_WINDOW_MIN : 0;
	if (window)
		*t->env.budget_used += window;
	return window;
}

/* Every worker that could take it has as many tunnels as a link carries: nobody waits for the end of
 * one. */
static bool tunnels_full(const struct app *app)
{
	bool full = false;

	for (struct app_worker *w = app->workers; w; w = w->next) {
		if (!w->up || w->draining || w->stuck || w->lost)
			continue;
		if (app_seat_left(w, true))
			return false;
		full = true;
	}
	return full;
}

/* The block of r, into the ring. Bytes; -EAGAIN the ring is full, -EMSGSIZE. */
static long put_env(const struct req *r, struct app_worker *w)
{
	size_t cap = LINK_FRAME_MAX;
	char *p;
	long n;
	int err;

	/* Rarely more than this; a head that is larger asks for the whole. */
	if (r->target_len + r->nfields * 64 < 4096)
		cap = 16384;
	p = link_room(&w->link.end, cap, &err);
	if (p) {
		n = app_env_encode(r, w->link.form, p, cap);
		if (n != -EMSGSIZE || cap == LINK_FRAME_MAX)
			return n;
		p = link_room(&w->link.end, LINK_FRAME_MAX, &err);
	}
	return err ? err : p ? app_env_encode(r, w->link.form, p, LINK_FRAME_MAX) : -EAGAIN;
}

static uint32_t window_of(struct to_app *t, bool tunnel)
{
	if (!tunnel)
		return take_window(t);
	return app_charge(t, LINK_WINDOW_TUNNEL) ? LINK_WINDOW_TUNNEL : 0;
}

/* a left the queue. 0; -EAGAIN the ring is full; else the request was answered. */
static int give(struct app_req *a, struct app_worker *w)
{
	struct req *r = a->r;
	struct link_desc d = {.id = r->id, .type = LINK_REQ};
	bool tunnel = w->link.async && app_may_tunnel(r);
	struct app_seat *s;
	long n = put_env(r, w);

	if (n == -EMSGSIZE) {
		app_fail(a, CLOSE_HEAD_TOO_LARGE, 0);
		return 1;
	}
	if (n < 0)
		return (int)n;
	a->window = window_of(a->t, tunnel);
	if (!a->window) {
		app_fail(a, CLOSE_BUDGET, APP_RETRY_AFTER_S);
		return 1;
	}
	s = app_seat_take(w, tunnel, &a->seat);
	if (!s) {
		app_fail(a, CLOSE_NO_MEMORY, APP_RETRY_AFTER_S);
		return 1;
	}
	a->w = w;
	a->state = APP_REQ_SENT;
	a->in_credit = LINK_WINDOW;
	a->grant = 0;
	a->in_end_told = a->in_ended && !a->in.len;
	s->id = r->id;
	s->may_tunnel = tunnel;
	s->a = a;
	s->room = a->window;
	s->given_us = s->since_us = loop_now_us(a->t->env.loop);
	s->timeout_ms = r->route->request_timeout_ms;
	s->site = site_row(a);
	app_count_seat(w, s, true);
	r->up.asked = true;
	r->up.slot = w->m.slot;
	d.seat = a->seat;
	d.arg = a->window;
	d.flags = (uint16_t)((a->in_end_told ? LINK_END : 0) | (tunnel ? LINK_TUNNEL : 0));
	link_give(&w->link.end, a->seat);
	link_put(&w->link.end, &d, (size_t)n);
	link_publish(&w->link.end);
	w->link.put = true;
	/* Until it is seen begun it is still the queue's time that passes. The tick looks whether
	 * that is over: most answers are there before it, and need no timer of their own. */
	app_start_tick(a->t);
	app_pump_in(a);
	return 0;
}

bool app_give_now(struct app_req *a)
{
	struct app *app = a->app;
	struct app_worker *w = app->first ? NULL : pick(app, app_may_tunnel(a->r));
	int res;

	if (!w)
		return false;
	res = give(a, w);
	if (res == -EAGAIN)
		w->pending = true;
	if (res >= 0 || res == -EAGAIN)
		return res != -EAGAIN;
	app_enqueue(a, true);
	app_worker_lost(w, CLOSE_APP_GARBAGE);
	return true;
}

void app_dispatch(struct app *app)
{
	while (app->first) {
		struct app_req *a = app->first;
		bool tunnel = app_may_tunnel(a->r);
		struct app_worker *w = pick(app, tunnel);
		int res;

		if (!w && tunnel && tunnels_full(app)) {
			app_fail(a, CLOSE_QUEUE_FULL, APP_RETRY_AFTER_S);
			continue;
		}
		if (!w)
			return;
		app_dequeue(a);
		res = give(a, w);
		if (res == -EAGAIN) {
			/* Its ring is full: it is told that room is waited for. */
			w->pending = true;
			app_enqueue(a, true);
		} else if (res < 0) {
			app_enqueue(a, true);
			app_worker_lost(w, CLOSE_APP_GARBAGE);
		}
	}
}

/* One frame of the request's body. Bytes that went; -EAGAIN; 0: the end alone. */
static long put_in(struct app_req *a)
{
	struct app_worker *w = a->w;
	struct link_desc d = {.id = a->r->id, .type = LINK_REQ_BODY, .seat = a->seat};
	size_t n = min_of(a->in.len, a->in_credit);
	char *p;
	int err;

	if (n > 16384)
		n = 16384;
	if (!n && a->in.len)
		return -EAGAIN; /* the worker's credit comes as a frame */
	p = link_room(&w->link.end, n, &err);
	if (!p) {
		w->pending = true;
		return -EAGAIN;
	}
	if (n) {
		memcpy(p, a->in.p + a->in.at, n);
		app_buf_drop(&a->in, n);
		app_uncharge(a->t, (uint32_t)n);
	}
	if (a->in_ended && !a->in.len) {
		d.flags = LINK_END;
		a->in_end_told = true;
	}
	a->in_moved = true;
	a->in_credit -= (uint32_t)n;
	link_put(&w->link.end, &d, n);
	w->link.put = true;
	return (long)n;
}

void app_pump_in(struct app_req *a)
{
	struct to_app *t = a->t;
	struct app_guard g;

	/* req_consume() may bring the next bytes, and so come here again: the loop below takes
	 * them. */
	if (a->pumping)
		return;
	a->pumping = true;
	while (a->w && (a->in.len || (a->in_ended && !a->in_end_told))) {
		long n = put_in(a);

		if (n < 0)
			break;
		app_guard(t, &g, a);
		if (n)
			req_consume(a->r, (size_t)n);
		if (!app_guarded(t, &g))
			return;
	}
	a->pumping = false;
}

void app_forget(struct app_req *a)
{
	struct to_app *t = a->t;

	if (a->state == APP_REQ_QUEUED && !a->w && (a->app->first == a || a->prev))
		app_dequeue(a);
	if (a->w) {
		struct app_seat *s = app_seat_at(a->w, a->seat);

		if (s->a == a)
			s->a = NULL;
		a->w = NULL;
	}
	for (struct app_guard *g = t->guards; g; g = g->up) {
		if (g->a == a)
			g->a = NULL;
	}
	loop_timer_stop(t->env.loop, &a->deadline);
	app_uncharge(t, (a->tunnel ? a->out.len : a->window) + a->in.len);
	a->window = 0;
	free(a->in.p);
	free(a->out.p);
	memset(&a->in, 0, sizeof(a->in));
	memset(&a->out, 0, sizeof(a->out));
	a->r->handler_state = NULL;
	t->active--;
}

void app_fail(struct app_req *a, enum close_id why, unsigned retry_after_s)
{
	struct req *r = a->r;

	app_forget(a);
	req_fail(r, why, retry_after_s);
}

void app_stop(struct app_req *a)
{
	struct app_worker *w = a->w;
	struct app_seat *s = w ? app_seat_at(w, a->seat) : NULL;

	if (s && s->id == a->r->id && link_is_far(a->seat)) {
		s->since_us = loop_now_us(a->t->env.loop);
		app_start_tick(a->t);
		s->gone_owed = true;
		app_seat_tell(w, a->seat);
	} else if (s && s->id == a->r->id) {
		s->stopped = true;
		s->since_us = loop_now_us(a->t->env.loop);
		app_start_tick(a->t);
		link_abandon(&w->link.end, a->seat, a->r->id);
		if (link_stop(&w->link.end, a->seat, a->r->id))
			app_taken_back(w, s);
		link_gate_poke(&w->link);
	}
	app_forget(a);
}
