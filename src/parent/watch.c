/*
 * watch.c: what happens to a run, as a state × event table.
 *
 * Called with events from reap (it died), hear and workers (it is ready, bad, stuck, idle), sets
 * and stop (it is wanted, replaced, not wanted), and the run's own timer. Owns the phase of every
 * run, the backoff of every slot and the choice of which generation is the current one. Never frees
 * anything, never waits, and reaches the system through struct parent_ops only, so all of it runs
 * in test/sim.
 *
 * A slot that is wanted always has a run that is up, or a timer that brings one: the first restart
 * after a steady time comes at once, further ones wait 100 ms, 200 ms … 60 s (each ± 20 %), for
 * ever. One that was ready before it died waits 400 ms at the most: whatever kills it, between two
 * deaths it serves.
 */
#include "parent.h"
#include "places.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { KILL_AGAIN_MS = 1000, NO_TIMER = -1, CRASHING_RESTARTS = 3 };

typedef void watch_action(struct run *r);

static void phase_set(struct run *r, enum proc_phase phase, int64_t timer_ms)
{
	struct parent *p = r->slot->parent;

	r->phase = (uint8_t)phase;
	r->since_wall_us = loop_wall_us(p->loop);
	loop_timer_stop(p->loop, &r->timer);
	if (timer_ms >= 0)
		loop_timer_in(p->loop, &r->timer, (uint64_t)timer_ms);
	tell_state(p, r);
	parent_settle_soon(p);
}

static bool is_core(const struct slot *s)
{
	return s->set == NULL;
}

/* Is it known when it can serve? */
static bool says_ready(const struct slot *s)
{
	if (s->role == PROC_SERVICE)
		return s->set->spec->set.ready != SERVICE_SPAWNED;
	return s->role != PROC_POSTGRES;
}

/* Of [Timer]: its end is an end, whatever its status. */
static bool runs_once(const struct slot *s)
{
	return s->set != NULL && s->set->spec != NULL &&
	       (s->set->spec->set.flags & PROC_SET_ONCE) != 0;
}

static uint32_t start_ms(const struct run *r)
{
	uint32_t ms = r->spec != NULL ? r->spec->set.start_ms : CORE_START_MS;

	return ms != 0 ? ms : CORE_START_MS;
}

static uint32_t stop_ms(const struct run *r)
{
	if (r->slot->parent->stop_now)
		return r->slot->role == PROC_POSTGRES ? CORE_STOP_MS : 100;
	return r->spec != NULL ? r->spec->set.stop_ms : CORE_STOP_MS;
}

/* A value within ± 20 % of ms, never above the cap: neighbours that died together do not come back
 * together. */
static uint32_t jitter(struct parent *p, uint32_t ms)
{
	uint32_t span = ms * 2 / 5;
	uint32_t v = ms - ms / 5 + (span != 0 ? p->ops->random(p) % (span + 1) : 0);

	return min_of(v, (uint32_t)BACKOFF_MAX_MS);
}

/* Nobody but ctl could tell a user why nothing comes up; when it is ctl itself, the parent must. */
static void ctl_cannot_start(struct run *r)
{
	const struct slot *s = r->slot;
	char why[160];

	if (s->spawn_err != 0)
		snprintf(why, sizeof(why), "the step \"%s\" failed: %s", s->spawn_step,
			strerror((int)s->spawn_err));
	else if (s->status < 0)
		snprintf(why, sizeof(why), "it was ended by signal %d (%s), %u times in a row",
			-s->status, strsignal(-s->status), (unsigned)s->unready);
	else
		snprintf(why, sizeof(why), "it ended with exit status %d, %u times in a row",
			s->status, (unsigned)s->unready);
	stop_without_ctl(s->parent, why);
}

static void backoff(struct run *r, bool spawn_failed)
{
	struct slot *s = r->slot;
	struct parent *p = s->parent;
	uint64_t now = loop_now_ms(p->loop);

	s->unready += r->up_ms == 0;
	if (s->role == PROC_SERVICE && s->unready >= SERVICE_TRIES)
		place_shut(p, r);
	if (r->up_ms != 0 && now - r->up_ms >= UP_STEADY_MS)
		s->backoff_ms = 0;
	if (r->up_ms != 0 && says_ready(s))
		s->backoff_ms = min_of(s->backoff_ms, (uint32_t)BACKOFF_READY_MAX_MS);
	if (s->at_once && !spawn_failed) {
		s->wait_ms = 0;
	} else if (s->backoff_ms == 0 && !spawn_failed) {
		s->wait_ms = 0;
		s->backoff_ms = BACKOFF_FIRST_MS;
		s->restarts++;
	} else {
		if (s->backoff_ms == 0)
			s->backoff_ms = BACKOFF_FIRST_MS;
		s->wait_ms = jitter(p, s->backoff_ms);
		s->backoff_ms = min_of(s->backoff_ms * 2, (uint32_t)BACKOFF_MAX_MS);
		s->restarts++;
	}
	s->at_once = false;
	r->up_ms = 0;
	phase_set(r, PHASE_BACKOFF, s->wait_ms);
	if (!is_core(s) && s->restarts >= CRASHING_RESTARTS)
		say_run(p, EV_APP_CRASHING, r, "next_ms", s->wait_ms, NULL);
	if (s->role == PROC_CTL && p->ctl_first && s->unready >= CTL_TRIES)
		ctl_cannot_start(r);
}

/* ---- actions ---- */

static void act_none(struct run *r)
{
	(void)r;
}

/* Only a bug brings this event in this phase. */
static void act_bug(struct run *r)
{
	must(r == NULL);
}

static void act_up(struct run *r)
{
	struct slot *s = r->slot;
	struct parent *p = s->parent;

	s->unready = 0;
	if (s->role == PROC_CTL)
		p->ctl_first = false;
	r->up_ms = loop_now_ms(p->loop);
	say_run(p, EV_PROC_READY, r, "ms", r->up_ms - r->started_ms, NULL);
	phase_set(r, PHASE_UP, NO_TIMER);
	if (s->role == PROC_SERVICE)
		services_up(p, r);
	if (r == slot_run(s))
		watch_event(slot_other(s), WATCH_RETIRE);
}

static void act_start(struct run *r)
{
	struct slot *s = r->slot;
	struct parent *p = s->parent;

	must(!run_alive(r));
	s->at_once = false;
	s->stale = false;
	s->wait_ms = 0;
	s->spawn_err = 0;
	s->spawn_step[0] = '\0';
	s->tired = RECYCLE_NOT;
	r->generation = ++p->generation;
	r->wants_kill = r->greeted = false;
	r->drain_gates = 0;
	r->up_ms = 0;
	r->started_ms = loop_now_ms(p->loop);
	recycle_start(r);
	if (p->ops->spawn(p, r) < 0) {
		s->status = 127;
		if (runs_once(s))
			phase_set(r, PHASE_DOWN, NO_TIMER);
		else
			backoff(r, true);
		return;
	}
	r->last_pid = r->child.pid;
	say_run(p, EV_PROC_STARTED, r, NULL, 0, NULL);
	/* Nothing tells when a database is ready: ctl asks it in its own way. */
	if (s->role == PROC_POSTGRES || (s->role == PROC_SERVICE && services_begin(p, r))) {
		act_up(r);
	} else {
		phase_set(r, PHASE_STARTING, start_ms(r));
		if (s->role == PROC_WORKER)
			workers_link_new(p, r);
	}
}

static void say_death(struct run *r, uint32_t next_ms)
{
	struct slot *s = r->slot;
	bool asked = r->phase == PHASE_STOPPING && !r->wants_kill;

	if (asked || (s->status == 0 && (!s->wanted || runs_once(s))))
		say_run(s->parent, EV_PROC_ENDED, r, NULL, 0, NULL);
	else
		say_run(s->parent, EV_PROC_DIED, r, "next_ms", next_ms, NULL);
}

static void act_died(struct run *r)
{
	struct slot *s = r->slot;
	struct parent *p = s->parent;
	struct run was = *r; /* its pid and phase, for the event */
	bool again = s->wanted && r == slot_run(s) && (!runs_once(s) || s->at_once);

	p->ops->release(p, r);
	if (again)
		backoff(r, false);
	else
		phase_set(r, PHASE_DOWN, NO_TIMER);
	say_death(&was, again ? s->wait_ms : 0);
}

/* Ask it to end: a core process by message, so that it drains first; others by their signal. */
static void act_term(struct run *r)
{
	struct slot *s = r->slot;
	struct parent *p = s->parent;
	/* A gate that goes while the site stays has a replaced worker's time, and its tunnels have
	 * longer: they are not in anybody's way. */
	bool stays = s->role == PROC_GATE && p->stop_step == STOP_NOT;
	uint32_t most = p->stop_now ? 0 : stays ? p->drain_max_ms : STOP_DRAIN_MS;
	struct msg_stop stop = {.drain_ms = min_of(most, (uint32_t)DRAIN_MS), .tunnel_ms = most};
	uint32_t wait = stop_ms(r);

	/* One that is not ready yet has nothing to drain, and may never hear the message. */
	if (is_core(s) && r->phase == PHASE_STARTING) {
		stop = (struct msg_stop){0};
		wait = min_of(wait, (uint32_t)UNREADY_STOP_MS);
	}
	if (is_core(s) && p->ops->send(p, r, MSG_STOP, 0, &stop, sizeof(stop), NULL, 0, NULL, 0))
		wait += stop.tunnel_ms;
	else
		p->ops->signal(p, r, r->spec != NULL ? r->spec->stop_signal : SIGTERM);
	r->wants_kill = false;
	phase_set(r, PHASE_STOPPING, wait);
}

void gate_hurry(struct slot *s, uint32_t drain_ms, uint32_t tunnel_ms)
{
	struct msg_stop stop = {.drain_ms = drain_ms, .tunnel_ms = tunnel_ms};
	uint32_t wait = max_of(drain_ms, tunnel_ms) + CORE_STOP_MS;
	struct parent *p = s->parent;
	struct run *r = slot_run(s);

	if (r->phase != PHASE_STOPPING || r->timer.at_ms <= loop_now_ms(p->loop) + wait)
		return;
	(void)p->ops->send(p, r, MSG_STOP, 0, &stop, sizeof(stop), NULL, 0, NULL, 0);
	loop_timer_in(p->loop, &r->timer, wait);
}

static void act_kill_because(struct run *r, const char *why)
{
	struct parent *p = r->slot->parent;

	say_run(p, EV_PROC_KILLED, r, NULL, 0, why);
	p->ops->signal(p, r, SIGKILL);
	phase_set(r, PHASE_STOPPING, KILL_AGAIN_MS);
}

static void act_kill(struct run *r)
{
	act_kill_because(r, r->wants_kill ? "it was stuck" : "it did not end in time");
}

static void act_bad(struct run *r)
{
	r->wants_kill = true;
	act_kill_because(r, "it broke its channel or its link");
}

/* Stacks first: the program's own, where it can tell them, and the kernel's. */
static void ask_stacks(struct run *r)
{
	struct parent *p = r->slot->parent;

	r->wants_kill = true;
	if (r->spec != NULL && (r->spec->set.flags & PROC_SET_STACKS) != 0)
		p->ops->signal(p, r, SIGUSR1);
	p->ops->stacks(p, r);
}

static void act_stuck(struct run *r)
{
	ask_stacks(r);
	phase_set(r, PHASE_STOPPING, STUCK_GRACE_MS);
}

/* What else it runs may finish: gates say when only requests beyond their deadline are left. */
static void act_stuck_up(struct run *r)
{
	struct parent *p = r->slot->parent;

	ask_stacks(r);
	if (p->stop_now || !workers_drain(p, r))
		phase_set(r, PHASE_STOPPING, STUCK_GRACE_MS);
	else
		phase_set(r, PHASE_DRAINING, p->stop_step != STOP_NOT ? STOP_DRAIN_MS : DRAIN_MS);
}

static void act_stuck_draining(struct run *r)
{
	if (!r->wants_kill)
		ask_stacks(r);
}

/* Drained. One with a request that does not end has the time that its stacks take. */
static void act_drained(struct run *r)
{
	struct parent *p = r->slot->parent;

	if (!r->wants_kill) {
		act_term(r);
		return;
	}
	p->ops->signal(p, r, r->spec != NULL ? r->spec->stop_signal : SIGTERM);
	phase_set(r, PHASE_STOPPING, STUCK_GRACE_MS);
}

/* In time UP only what it said it would say is awaited: its watchdog, or the end of a channel that ended. */
static void act_silent(struct run *r)
{
	struct parent *p = r->slot->parent;

	if (r->slot->role != PROC_SERVICE) {
		act_bad(r);
		return;
	}
	r->wants_kill = true;
	say_run(p, EV_PROC_KILLED, r, NULL, 0, "it did not say WATCHDOG=1 in time");
	p->ops->signal(p, r, SIGABRT);
	phase_set(r, PHASE_STOPPING, STUCK_GRACE_MS);
}

static void act_late(struct run *r)
{
	struct parent *p = r->slot->parent;

	say_run(p, EV_PROC_NOT_READY, r, "ms", loop_now_ms(p->loop) - r->started_ms, NULL);
	if (r->slot->role == PROC_WORKER) {
		act_stuck(r);
		return;
	}
	r->wants_kill = true;
	act_kill_because(r, "it was not ready in time");
	if (r->slot->role == PROC_CTL && p->ctl_first)
		stop_without_ctl(p, "it runs, and did not say that it is ready within 5 s");
}

/* Let it finish what it has: gates give it nothing new and say when they are done with it. */
static void act_drain(struct run *r)
{
	struct parent *p = r->slot->parent;

	enum proc role = (enum proc)r->slot->role;

	if (p->stop_now || !(role == PROC_SERVICE ? services_drain(p, r)
				     : role == PROC_WORKER && workers_drain(p, r))) {
		act_term(r);
		return;
	}
	phase_set(r, PHASE_DRAINING, p->stop_step != STOP_NOT ? STOP_DRAIN_MS : DRAIN_MS);
}

static void act_down(struct run *r)
{
	phase_set(r, PHASE_DOWN, NO_TIMER);
}

static watch_action *const table[][WATCH_EVENTS] = {
	[PHASE_DOWN] =
		{
			[WATCH_START] = act_start,
			[WATCH_READY] = act_none,
			[WATCH_DIED] = act_bug,
			[WATCH_RETIRE] = act_none,
			[WATCH_IDLE] = act_none,
			[WATCH_BAD] = act_none,
			[WATCH_STUCK] = act_none,
			[WATCH_STOP] = act_none,
			[WATCH_TIMER] = act_none,
		},
	[PHASE_STARTING] =
		{
			[WATCH_START] = act_none,
			[WATCH_READY] = act_up,
			[WATCH_DIED] = act_died,
			[WATCH_RETIRE] = act_term,
			[WATCH_IDLE] = act_none,
			[WATCH_BAD] = act_bad,
			[WATCH_STUCK] = act_stuck,
			[WATCH_STOP] = act_term,
			[WATCH_TIMER] = act_late,
		},
	[PHASE_UP] =
		{
			[WATCH_START] = act_none,
			[WATCH_READY] = act_none,
			[WATCH_DIED] = act_died,
			[WATCH_RETIRE] = act_drain,
			[WATCH_IDLE] = act_none,
			[WATCH_BAD] = act_bad,
			[WATCH_STUCK] = act_stuck_up,
			[WATCH_STOP] = act_drain,
			[WATCH_TIMER] = act_silent, /* its channel or link ended and it did not */
		},
	[PHASE_DRAINING] =
		{
			[WATCH_START] = act_none,
			[WATCH_READY] = act_none,
			[WATCH_DIED] = act_died,
			[WATCH_RETIRE] = act_none,
			[WATCH_IDLE] = act_drained,
			[WATCH_BAD] = act_bad,
			[WATCH_STUCK] = act_stuck_draining,
			[WATCH_STOP] = act_none,
			[WATCH_TIMER] = act_drained,
		},
	[PHASE_STOPPING] =
		{
			[WATCH_START] = act_none,
			[WATCH_READY] = act_none,
			[WATCH_DIED] = act_died,
			[WATCH_RETIRE] = act_none,
			[WATCH_IDLE] = act_none,
			[WATCH_BAD] = act_none,
			[WATCH_STUCK] = act_none,
			[WATCH_STOP] = act_none,
			[WATCH_TIMER] = act_kill,
		},
	[PHASE_BACKOFF] =
		{
			[WATCH_START] = act_start,
			[WATCH_READY] = act_none,
			[WATCH_DIED] = act_bug,
			[WATCH_RETIRE] = act_down,
			[WATCH_IDLE] = act_none,
			[WATCH_BAD] = act_none,
			[WATCH_STUCK] = act_none,
			[WATCH_STOP] = act_down,
			[WATCH_TIMER] = act_start,
		},
};

void watch_event(struct run *r, enum watch_event e)
{
	must(r->phase < ARRAY_LEN(table) && e < WATCH_EVENTS);
	table[r->phase][e](r);
}

void watch_on_timer(struct loop *l, struct op *op, int res)
{
	(void)l;
	(void)res;
	watch_event(container_of(op, struct run, timer.op), WATCH_TIMER);
}

/* ---- slots ---- */

void slot_init(struct slot *s, struct parent *p, enum proc role, uint32_t index, struct set *set)
{
	*s = (struct slot){.parent = p, .set = set, .role = (uint8_t)role, .index = index};
	for (unsigned i = 0; i < ARRAY_LEN(s->run); i++) {
		struct run *r = &s->run[i];

		child_init(&r->child, CHILD_RUN);
		r->slot = s;
		r->timer.op.kind = OP_RUN_TIMER;
		r->chan.lfd.fd = -1;
		r->down_fd = r->stream[0] = r->stream[1] = -1;
		r->listen_fd = r->notify_fd = -1;
	}
}

void slot_want(struct slot *s)
{
	struct run *r = slot_run(s);

	if (s->wanted && r->phase != PHASE_BACKOFF && r->phase != PHASE_DOWN)
		return;
	s->wanted = true;
	s->restarts = 0;
	s->oom_kills = 0;
	s->backoff_ms = 0;
	/* One that is on its way out is started again by its own death. */
	s->at_once = run_alive(r);
	watch_event(r, WATCH_START);
}

void slot_unwant(struct slot *s)
{
	s->wanted = s->stale = s->at_once = false;
	watch_event(slot_run(s), WATCH_STOP);
	watch_event(slot_other(s), WATCH_STOP);
}

/* The other run becomes the current one and starts. */
static void start_successor(struct slot *s)
{
	s->current ^= 1;
	watch_event(slot_run(s), WATCH_START);
}

void slot_replace(struct slot *s, bool rolling)
{
	struct run *r = slot_run(s);

	if (!s->wanted)
		return;
	if (r->phase == PHASE_UP && rolling) {
		must(slot_other(s)->phase == PHASE_DOWN); /* else sets.c waits */
		s->restarts = 0;
		s->oom_kills = 0;
		s->backoff_ms = 0;
		start_successor(s);
		return;
	}
	s->stale = false;
	s->restarts = 0;
	s->oom_kills = 0;
	s->backoff_ms = 0;
	if (run_alive(r)) {
		s->at_once = true;
		watch_event(r, WATCH_STOP);
	} else {
		watch_event(r, WATCH_START);
	}
}

void slot_stuck(struct run *r)
{
	struct slot *s = r->slot;
	bool current = r == slot_run(s) && (r->phase == PHASE_UP || r->phase == PHASE_STARTING);

	watch_event(r, WATCH_STUCK);
	if (!current || !s->wanted)
		return;
	s->restarts++;
	if (slot_other(s)->phase == PHASE_DOWN)
		start_successor(s);
	else
		s->at_once = true;
}

void slot_spawn_failed(struct slot *s, int err, const char *step)
{
	s->spawn_err = (uint32_t)err;
	snprintf(s->spawn_step, sizeof(s->spawn_step), "%s", step);
}

bool slot_down(const struct slot *s)
{
	return s->run[0].phase == PHASE_DOWN && s->run[1].phase == PHASE_DOWN;
}
