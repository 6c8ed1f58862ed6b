/*
 * app_link.c: one worker from its link socket to its end, and the gate's sleeping and waking.
 *
 * Called by the loop. In one turn of the loop the gate shows itself awake to all its workers from
 * the first thing that concerns them to the turn's end; there it reads every ring once more, tells
 * what it has, and only then shows itself asleep. So a busy gate is never woken by a system call of
 * a worker.
 */
#include "app_priv.h"
#include "lib/must.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct app_worker *of_link(struct link_gate *g)
{
	return container_of(g, struct app_worker, link);
}

/* Once a turn: the worker writes that line for each request, and a look at it would cost both. */
static void look_at_pace(struct app_worker *w)
{
	w->service_us = atomic_load_explicit(&w->link.status->service_us, memory_order_relaxed);
}

void app_awake(struct to_app *t)
{
	if (t->awake)
		return;
	t->awake = true;
	for (struct app *app = t->apps; app; app = app->next) {
		for (struct app_worker *w = app->workers; w; w = w->next) {
			if (!w->up)
				continue;
			link_awake(&w->link.end);
			look_at_pace(w);
		}
	}
	loop_defer(t->env.loop, &t->kick);
}

int app_worker_new(struct to_app *t, struct app *app, const struct msg_worker *m, int fd)
{
	struct app_worker *w = calloc(1, sizeof(*w));
	int err;

	if (!w) {
		loop_sys_close(t->env.loop, fd);
		return -ENOMEM;
	}
	w->t = t;
	w->app = app;
	w->m = *m;
	err = link_gate_init(&w->link, t->env.loop, fd, (uint16_t)(t->env.op_base + TO_APP_OP_SOCK),
		(uint16_t)(t->env.op_base + TO_APP_OP_WAKE), t->env.gate_index,
		t->env.gate_generation);
	if (err) {
		free(w);
		return err;
	}
	w->next = app->workers;
	app->workers = w;
	app->wanted = false;
	return 0;
}

void app_worker_free(struct app_worker *w)
{
	link_gate_done(&w->link);
	app_seats_free(w);
	free(w);
}

static void say(struct app_worker *w, enum msg_type type, enum close_id reason)
{
	struct msg_worker m = w->m;

	m.gate = w->t->env.gate_index;
	m.gate_generation = w->t->env.gate_generation;
	m.reason = reason;
	w->t->env.say(w->t->env.gate, type, &m);
}

/* Of a stuck worker what does not end is not waited for, nor what it will never begin. */
static bool waited_for(struct app_worker *w)
{
	const struct app_seat *s;

	if (!w->stuck)
		return (w->given && !w->over) || w->tunnels;
	for (unsigned seat = 0; (s = app_seat_next(w, &seat)); seat++) {
		if (!s->late && (s->a || link_begun(&w->link.end, seat, s->id)))
			return true;
	}
	return false;
}

void app_say_idle(struct app_worker *w)
{
	if (!w->draining || w->idle_told || waited_for(w))
		return;
	w->idle_told = true;
	say(w, MSG_WORKER_IDLE, CLOSE_LINK_END);
}

void app_stuck(struct app_worker *w, enum event why, uint64_t ms, const char *path)
{
	struct to_app *t = w->t;

	if (w->stuck)
		return;
	w->stuck = true;
	if (t->env.event)
		t->env.event(t->env.gate, why, w->app->name, w->m.slot, ms, path);
	say(w, MSG_WORKER_STUCK, CLOSE_LINK_TIMEOUT);
}

void app_count_ran(struct app_worker *w)
{
	struct msg_worker m = w->m;

	if (m.requests == 0 || ++w->ran < m.requests)
		return;
	m.gate = w->t->env.gate_index;
	m.gate_generation = w->t->env.gate_generation;
	m.requests = w->ran;
	w->ran = 0;
	w->t->env.say(w->t->env.gate, MSG_WORKER_RAN, &m);
}

void app_worker_lost(struct app_worker *w, enum close_id why)
{
	struct to_app *t = w->t;
	struct app *app = w->app;
	bool garbage = why == CLOSE_APP_GARBAGE || why == CLOSE_LINK_VERSION;
	unsigned seat = 0;
	struct app_seat *s;

	if (w->lost)
		return;
	w->lost = true;
	for (struct app_worker **at = &app->workers; *at; at = &(*at)->next) {
		if (*at == w) {
			*at = w->next;
			break;
		}
	}
	w->next = t->lost;
	t->lost = w;
	for (; (s = app_seat_next(w, &seat)); seat++) {
		struct app_req *a = s->a;
		bool begun = !w->up || link_begun(&w->link.end, seat, s->id);

		s->a = NULL;
		app_count_seat(w, s, false);
		if (!a)
			continue;
		if (a->out_ended) {
			a->w = NULL;
			continue;
		}
		app_replay(a, begun, garbage ? CLOSE_APP_GARBAGE : CLOSE_APP_DIED);
	}
	app_given(w, -(int)w->given, -(int)w->back);
	w->tunnels = 0;
	w->up = false;
	if (why != CLOSE_NONE && !w->idle_told)
		say(w, MSG_WORKER_BAD, why);
	if (garbage) {
		atomic_fetch_add_explicit(
			&t->env.counters->gate[METRIC_LINK_FAULTS], 1, memory_order_relaxed);
		if (t->env.event)
			t->env.event(t->env.gate, EV_WORKER_BROKE_LINK, app->name, w->m.slot, 0,
				close_rows[why].text);
	}
	/* Its memory stays mapped until the turn's end: frames of it may be on the stack. */
	t->awake = false;
	app_awake(t);
	app_dispatch(app);
	app->wanted = false;
	app_want(app, t);
}

/* Read what the worker wrote. At most a ring's worth a turn, so that one does not starve the
 * others. */
void app_drain(struct app_worker *w)
{
	struct to_app *t = w->t;
	struct link_desc d;
	const char *p;
	int err = 0;

	if (!w->up || w->lost)
		return;
	for (unsigned i = 0; i < LINK_SLOTS; i++) {
		int got = link_peek(&w->link.end, &d, &p);

		if (got == 0)
			break;
		err = got < 0 ? got : app_on_frame(w, &d, p);
		if (w->lost)
			return;
		if (err)
			break;
		link_take(&w->link.end);
		w->link.took = t->took = true;
	}
	if (err) {
		app_worker_lost(w, CLOSE_APP_GARBAGE);
		return;
	}
	app_say_idle(w);
	if (w->app->first)
		app_dispatch(w->app);
}

/* The ring was full: try again what it held up. */
static void retry(struct app_worker *w)
{
	unsigned seat = 0;
	struct app_seat *s;

	w->pending = false;
	for (; (s = app_seat_next(w, &seat)); seat++) {
		struct app_req *a = s->a;

		if (s->gone_owed || s->away_owed)
			app_seat_tell(w, seat);
		if (!a)
			continue;
		if (a->grant >= a->window / 4)
			app_tell_room(a);
		app_pump_in(a);
	}
	app_dispatch(w->app);
}

/*
 * How long the gate may look away, in us; 0: not at all. While every worker that has something to
 * do has as much as it is given ahead, and more waits in the queue, a wake-up for each answer costs
 * two processes a system call and a switch, and speeds nobody up who does not wait behind the
 * others anyway. So the gate stays "awake" for the workers, looks again soon by itself, and finds
 * several answers at once. Without a queue each answer is worth its wake-up. What a worker says of
 * its speed is its word only: naps in vain end, none is longer than APP_NAP_US, and none adds more
 * than a small part to what the first of the queue has waited already.
 */
static unsigned nap_us(struct to_app *t)
{
	uint64_t nap = UINT64_MAX;

	if (t->took)
		t->in_vain = 0;
	else if (t->nap)
		t->in_vain++;
	t->took = false;
	/* With a worker lost in this turn there is another turn at once. */
	if (t->in_vain >= APP_NAPS_MAX || t->lost)
		return 0;
	for (struct app *app = t->apps; app; app = app->next) {
		for (struct app_worker *w = app->workers; w; w = w->next) {
			uint64_t us, threads = w->link.threads;

			if (!w->up || w->given == 0)
				continue;
			if (!app->first || w->given <= threads)
				return 0;
			us = w->service_us;
			if (w->pending || us >= APP_SERVICE_FAST_US)
				return 0;
			/* Awake again before it has done half of what waits behind what it does. */
			nap = min_of(nap, us * (w->given - threads) / threads / 2);
			nap = min_of(nap,
				(loop_now_us(t->env.loop) - app->first->queued_us) / APP_NAP_PART);
		}
	}
	if (nap == UINT64_MAX || nap < APP_NAP_MIN_US)
		return 0;
	return (unsigned)min_of(nap, (uint64_t)APP_NAP_US);
}

static bool turn_end(struct to_app *t)
{
	bool again = false;

	for (struct app *app = t->apps; app; app = app->next) {
		for (struct app_worker *w = app->workers, *next; w; w = next) {
			next = w->next;
			app_drain(w);
			if (w->lost || !w->up)
				continue;
			if (w->pending)
				retry(w);
			if (w->lost)
				continue;
			link_gate_flush(&w->link);
			look_at_pace(w);
		}
	}
	t->nap = nap_us(t);
	if (t->nap)
		return false;
	/* In this order: asleep first, then the look. */
	for (struct app *app = t->apps; app; app = app->next) {
		for (struct app_worker *w = app->workers; w; w = w->next) {
			if (!w->up)
				continue;
			link_asleep(&w->link.end, w->pending);
			again |= link_pending(&w->link.end);
		}
	}
	return again;
}

void to_app_done_kick(struct loop *l, struct op *op, int res)
{
	struct to_app *t = container_of(op, struct to_app, kick);
	bool again;

	(void)res;
	again = turn_end(t);
	if (t->nap) {
		loop_nap(l, op, t->nap);
	} else {
		t->awake = false;
		if (again)
			app_awake(t);
	}
	while (t->lost) {
		struct app_worker *w = t->lost;

		t->lost = w->next;
		app_worker_free(w);
	}
}

void to_app_done_sock(struct loop *l, struct op *op, int res)
{
	struct app_worker *w = of_link(container_of(op, struct link_gate, sock_op));
	int got;

	(void)l;
	(void)res;
	if (w->lost)
		return;
	app_awake(w->t);
	got = link_gate_on_sock(&w->link);
	if (got == 1) {
		w->up = true;
		look_at_pace(w);
		w->app->down = false;
		say(w, MSG_WORKER_UP, CLOSE_NONE);
		app_dispatch(w->app);
	} else if (got == -EPROTONOSUPPORT) {
		app_worker_lost(w, CLOSE_LINK_VERSION);
	} else if (got == -EPIPE) {
		/* Its last words count: they were written before it closed. */
		app_drain(w);
		app_worker_lost(w, CLOSE_LINK_DEAD);
	} else if (got < 0) {
		app_worker_lost(w, CLOSE_APP_GARBAGE);
	}
}

void to_app_done_wake(struct loop *l, struct op *op, int res)
{
	struct app_worker *w = of_link(container_of(op, struct link_gate, wake_op));

	(void)l;
	(void)res;
	if (w->lost)
		return;
	app_awake(w->t);
	if (link_gate_on_wake(&w->link) < 0) {
		app_worker_lost(w, CLOSE_APP_GARBAGE);
		return;
	}
	app_drain(w);
}
