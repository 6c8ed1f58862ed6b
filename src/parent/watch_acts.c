/*
 * watch_acts.c: what is done in each state at each event, for every kind of process.
 *
 * Called through the table in watch.c. Owns the phase of every run and the backoff of every slot; what
 * is special to a program with a unit is in unit.c. Never frees a slot, never waits, and reaches the
 * system through struct parent_ops only, so all of it runs in test/sim.
 *
 * A slot that is wanted has a run that is up, or a timer that brings one: the first restart after a
 * steady time comes at once, further ones wait 100 ms, 200 ms … 60 s (each ± 20 %), for ever. One that
 * was ready before it died waits 400 ms at the most: whatever kills it, between two deaths it serves.
 * Where a unit says Restart=, RestartSec= or StartLimitBurst=, that holds instead.
 */
#include "watch.h"
#include "places.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { CRASHING_RESTARTS = 3 };

void phase_set(struct run *r, enum proc_phase phase, int64_t timer_ms)
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

bool is_core(const struct slot *s)
{
	return s->set == NULL;
}

bool says_ready(const struct slot *s)
{
	if (s->role == PROC_SERVICE)
		return s->set->spec->set.ready != SERVICE_SPAWNED;
	return s->role != PROC_POSTGRES;
}

bool runs_once(const struct slot *s)
{
	return s->set != NULL && s->set->spec != NULL &&
	       (s->set->spec->set.flags & PROC_SET_ONCE) != 0;
}

uint32_t start_ms(const struct run *r)
{
	uint32_t ms = r->spec != NULL ? r->spec->set.start_ms : CORE_START_MS;

	return ms != 0 ? ms : CORE_START_MS;
}

uint32_t stop_ms(const struct run *r)
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
	if ((!s->at_once || spawn_failed) && unit_pause(s, &s->wait_ms)) {
		/* Not even by its unit is tried without a pause what cannot be made. */
		if (spawn_failed)
			s->wait_ms = max_of(s->wait_ms, (uint32_t)BACKOFF_FIRST_MS);
		s->backoff_ms = 0;
		s->restarts++;
	} else if (s->at_once && !spawn_failed) {
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

void act_none(struct run *r)
{
	(void)r;
}

/* Only a bug brings this event in this phase. */
void act_bug(struct run *r)
{
	must(r == NULL);
}

void act_up(struct run *r)
{
	struct slot *s = r->slot;
	struct parent *p = s->parent;

	s->unready = 0;
	if (s->role == PROC_CTL)
		p->ctl_first = false;
	r->up_ms = loop_now_ms(p->loop);
	say_run(p, EV_PROC_READY, r, "ms", r->up_ms - r->started_ms, NULL);
	phase_set(r, PHASE_UP, NO_TIMER);
	priority_ready(r);
	if (s->role == PROC_SERVICE)
		services_up(p, r);
	if (r == slot_run(s))
		watch_event(slot_other(s), WATCH_RETIRE);
}

void run_spawn(struct run *r)
{
	struct slot *s = r->slot;
	struct parent *p = s->parent;

	if (p->ops->spawn(p, r) < 0) {
		s->status = 127;
		r->spawn_failed = true;
		if (s->role == PROC_SERVICE)
			unit_spawn_failed(r);
		else
			run_over(r);
		return;
	}
	r->last_pid = r->child.pid;
	say_run(p, EV_PROC_STARTED, r, NULL, 0, NULL);
	if (s->role == PROC_SERVICE) {
		unit_spawned(r);
	} else if (s->role == PROC_POSTGRES) {
		/* Nothing tells when a database is ready: ctl asks it in its own way. */
		act_up(r);
	} else {
		phase_set(r, PHASE_STARTING, start_ms(r));
		if (s->role == PROC_WORKER)
			workers_link_new(p, r);
	}
}

void act_start(struct run *r)
{
	struct slot *s = r->slot;
	struct parent *p = s->parent;

	must(!run_busy(r));
	s->at_once = false;
	s->stale = false;
	s->wait_ms = 0;
	s->spawn_err = 0;
	s->spawn_step[0] = '\0';
	s->tired = RECYCLE_NOT;
	r->nicer = priority_nicer(r);
	r->generation = ++p->generation;
	r->wants_kill = r->greeted = r->asked = false;
	r->refreshed = r->spawn_failed = r->main_ended = r->final_sent = false;
	memset(r->drain_gates, 0, sizeof(r->drain_gates));
	r->up_ms = 0;
	r->conns = r->tunnels = 0;
	r->started_ms = loop_now_ms(p->loop);
	recycle_start(r);
	if (s->set != NULL)
		r->spec = spec_ref(s->set->spec);
	if (s->role == PROC_SERVICE)
		unit_begin(r);
	else
		run_spawn(r);
}

static void say_death(struct run *r, uint32_t next_ms)
{
	struct slot *s = r->slot;

	if (r->asked || (s->status == 0 && (!s->wanted || runs_once(s))))
		say_run(s->parent, EV_PROC_ENDED, r, NULL, 0, NULL);
	else if (runs_once(s))
		say_run(s->parent, EV_RUN_FAILED, r, NULL, 0, NULL);
	else
		say_run(s->parent, EV_PROC_DIED, r, "next_ms", next_ms, NULL);
}

void run_over(struct run *r)
{
	struct slot *s = r->slot;
	struct parent *p = s->parent;
	struct run was = *r; /* its pid and phase, for the event */
	bool again = s->wanted && r == slot_run(s) && (!runs_once(s) || s->at_once);
	bool dead = again && !s->at_once && s->role == PROC_SERVICE && !unit_restarts(r);

	place_ended(p, r);
	spec_unref(r->spec);
	r->spec = NULL;
	if (dead)
		unit_dead(r);
	else if (again)
		backoff(r, was.spawn_failed);
	else
		phase_set(r, PHASE_DOWN, NO_TIMER);
	if (was.main_ended && !dead)
		say_death(&was, again ? s->wait_ms : 0);
}

void act_died(struct run *r)
{
	struct slot *s = r->slot;
	struct parent *p = s->parent;

	if (!r->main_ended)
		r->asked = r->phase == PHASE_STOPPING && !r->wants_kill;
	p->ops->release(p, r);
	if (s->role == PROC_SERVICE) {
		unit_died(r);
		return;
	}
	r->main_ended = true;
	run_over(r);
}

/* Ask it to end: a core process by message, so that it drains first; others by their signal. */
void act_term(struct run *r)
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
	else if (s->role == PROC_SERVICE)
		unit_signal_stop(r);
	else
		p->ops->signal(p, r, r->spec != NULL ? r->spec->stop_signal : SIGTERM, true);
	r->wants_kill = false;
	phase_set(r, PHASE_STOPPING, wait);
}

void run_hurry(struct run *r, uint32_t drain_ms, uint32_t tunnel_ms)
{
	struct msg_stop stop = {.drain_ms = drain_ms, .tunnel_ms = tunnel_ms};
	uint32_t wait = max_of(drain_ms, tunnel_ms) + CORE_STOP_MS;
	struct parent *p = r->slot->parent;

	if (r->phase != PHASE_STOPPING || r->timer.at_ms <= loop_now_ms(p->loop) + wait)
		return;
	(void)p->ops->send(p, r, MSG_STOP, 0, &stop, sizeof(stop), NULL, 0, NULL, 0);
	loop_timer_in(p->loop, &r->timer, wait);
	tell_state(p, r);
}

void gate_hurry(struct slot *s, uint32_t drain_ms, uint32_t tunnel_ms)
{
	for (unsigned i = 0; i < ARRAY_LEN(s->run); i++)
		run_hurry(&s->run[i], drain_ms, tunnel_ms);
}

static void act_kill_because(struct run *r, const char *why)
{
	struct parent *p = r->slot->parent;

	say_run(p, EV_PROC_KILLED, r, NULL, 0, why);
	if (run_alive(r))
		p->ops->signal(p, r, SIGKILL, true);
	if (r->hook.pid != 0)
		p->ops->hook_signal(p, r, SIGKILL);
	phase_set(r, PHASE_STOPPING, KILL_AGAIN_MS);
}

void act_kill(struct run *r)
{
	if (r->slot->role == PROC_SERVICE && !unit_kill(r))
		return;
	act_kill_because(r, r->wants_kill && r->slot->role != PROC_SERVICE
				    ? "it was stuck"
				    : "it did not end in time");
}

void act_bad(struct run *r)
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
		p->ops->signal(p, r, SIGUSR1, false);
	p->ops->stacks(p, r);
}

void act_stuck(struct run *r)
{
	ask_stacks(r);
	phase_set(r, PHASE_STOPPING, STUCK_GRACE_MS);
}

/* What else it runs may finish: gates say when only requests beyond their deadline are left. */
void act_stuck_up(struct run *r)
{
	struct parent *p = r->slot->parent;

	ask_stacks(r);
	if (p->stop_now || !workers_drain(p, r))
		phase_set(r, PHASE_STOPPING, STUCK_GRACE_MS);
	else
		drain_stuck(r);
}

void act_stuck_draining(struct run *r)
{
	if (r->wants_kill)
		return;
	ask_stacks(r);
	drain_stuck(r);
}

/* Drained. One with a request that does not end has the time that its stacks take. */
void act_drained(struct run *r)
{
	struct parent *p = r->slot->parent;

	if (!r->wants_kill) {
		if (r->slot->role == PROC_SERVICE)
			unit_end(r);
		else
			act_term(r);
		return;
	}
	p->ops->signal(p, r, r->spec != NULL ? r->spec->stop_signal : SIGTERM, true);
	phase_set(r, PHASE_STOPPING, STUCK_GRACE_MS);
}

/* Time UP is over when its channel or link ended and it did not; of a program see its unit. */
void act_silent(struct run *r)
{
	if (r->slot->role == PROC_SERVICE)
		unit_timer(r);
	else
		act_bad(r);
}

void act_late(struct run *r)
{
	struct parent *p = r->slot->parent;

	say_run(p, EV_PROC_NOT_READY, r, "ms", loop_now_ms(p->loop) - r->started_ms, NULL);
	if (r->slot->role == PROC_WORKER) {
		act_stuck(r);
		return;
	}
	if (r->slot->role == PROC_SERVICE) {
		unit_late(r);
		return;
	}
	r->wants_kill = true;
	act_kill_because(r, "it was not ready in time");
	if (r->slot->role == PROC_CTL && p->ctl_first)
		stop_without_ctl(p, "it runs, and did not say that it is ready within 5 s");
}

/* Let it finish what it has: gates give it nothing new and say when they are done with it. */
void act_drain(struct run *r)
{
	struct parent *p = r->slot->parent;

	enum proc role = (enum proc)r->slot->role;

	if (p->stop_now || !(role == PROC_SERVICE ? services_drain(p, r)
				     : role == PROC_WORKER && workers_drain(p, r))) {
		if (role == PROC_SERVICE)
			unit_end(r);
		else
			act_term(r);
		return;
	}
	drain_begin(r);
}

void act_down(struct run *r)
{
	phase_set(r, PHASE_DOWN, NO_TIMER);
}
