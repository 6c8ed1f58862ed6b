/*
 * drain.c: a worker or program that was replaced, or is not wanted any more: what it may still do, and for how long.
 *
 * Called by watch_acts.c when that begins and when its timer is due, and by sets.c when its place is wanted. Gates
 * give it nothing new and say when they are done with it; until then the parent tells them the stages: its requests have
 * had their time (DrainSec=), its tunnels end in 5 s, they have ended, and then it is asked to end, whatever it does. Owns the three
 * fields of struct run that say when.
 */
#include "watch.h"

enum {
	LEAVE_MS = 5000, /* a tunnel's client is told so long before */
	OVER_MS = 500,   /* for gates to answer the clients of requests whose time is over */
};

/* To the gates that are not done with it. One of an older version takes it for the first word, which changes nothing. */
static void tell(struct run *r, enum drain_stage stage)
{
	struct parent *p = r->slot->parent;

	for (unsigned i = 0; i < gate_runs(p); i++) {
		struct run *gate = (r->drain_gates[i / 64] & 1ULL << i % 64) != 0 ? core_gate(p, i) : NULL;

		if (gate == NULL)
			continue;
		if (r->slot->role == PROC_SERVICE)
			services_tell_drain(p, gate, r, stage);
		else
			workers_tell_drain(p, gate, r, stage);
	}
	r->drain_told |= 1u << stage;
}

static bool told(const struct run *r, enum drain_stage stage)
{
	return (r->drain_told & 1u << stage) != 0;
}

static void arm(struct run *r)
{
	struct loop *l = r->slot->parent->loop;
	uint64_t now = loop_now_ms(l), at = r->tunnel_end_ms, leave = at - min_of(at, (uint64_t)LEAVE_MS);

	if (!told(r, DRAIN_OVER))
		at = min_of(at, r->drain_end_ms);
	if (!told(r, DRAIN_LEAVE))
		at = min_of(at, leave);
	loop_timer_in(l, &r->timer, at > now ? at - now : 0);
}

static void begin(struct run *r, uint32_t drain_ms, uint32_t tunnel_ms)
{
	uint64_t now = loop_now_ms(r->slot->parent->loop);

	r->drain_told = 0;
	r->drain_end_ms = now + drain_ms;
	r->tunnel_end_ms = now + max_of(tunnel_ms, drain_ms + OVER_MS);
	phase_set(r, PHASE_DRAINING, drain_ms);
	arm(r);
}

void drain_begin(struct run *r)
{
	const struct set *set = r->slot->set;
	const struct msg_proc_set *how = &set->spec->set;
	uint32_t drain_ms = how->drain_s != 0 ? how->drain_s * 1000u : DRAIN_MS;
	bool beside = (how->flags & PROC_SET_ROLLING) != 0;

	if (r->slot->parent->stop_step != STOP_NOT) {
		begin(r, STOP_DRAIN_MS, STOP_DRAIN_MS);
		return;
	}
	/* Who cannot run beside its successor keeps that one waiting. */
	begin(r, drain_ms, beside && !set->soon ? how->tunnel_s * 1000u : 0);
	if (set->soon)
		drain_hurry(r);
}

void drain_stuck(struct run *r)
{
	uint32_t ms = r->slot->parent->stop_step != STOP_NOT ? STOP_DRAIN_MS : DRAIN_MS;
	uint64_t end = loop_now_ms(r->slot->parent->loop) + ms;

	if (r->phase == PHASE_DRAINING) {
		r->tunnel_end_ms = min_of(r->tunnel_end_ms, end);
		arm(r);
		return;
	}
	begin(r, ms, 0);
	r->tunnel_end_ms = end;
	r->drain_told |= 1u << DRAIN_OVER; /* gates give each request its own time */
	arm(r);
}

void drain_hurry(struct run *r)
{
	uint64_t soon = loop_now_ms(r->slot->parent->loop) + LEAVE_MS, over = r->drain_end_ms + OVER_MS;

	if (r->phase != PHASE_DRAINING)
		return;
	over = max_of(over, soon);
	r->tunnel_end_ms = min_of(r->tunnel_end_ms, over);
	if (!told(r, DRAIN_LEAVE))
		tell(r, DRAIN_LEAVE);
	arm(r);
}

bool drain_is_over(const struct run *r)
{
	return r->phase == PHASE_DRAINING && told(r, DRAIN_OVER);
}

void drain_late(struct run *r)
{
	uint64_t now = loop_now_ms(r->slot->parent->loop);

	if (r->slot->parent->stop_now || now >= r->tunnel_end_ms) {
		/* A program tells its clients itself, when it gets its signal. */
		if (r->slot->role == PROC_WORKER)
			tell(r, DRAIN_CUT);
		act_drained(r);
		return;
	}
	if (!told(r, DRAIN_LEAVE) && now + LEAVE_MS >= r->tunnel_end_ms)
		tell(r, DRAIN_LEAVE);
	if (!told(r, DRAIN_OVER) && now >= r->drain_end_ms)
		tell(r, DRAIN_OVER);
	if (r->phase == PHASE_DRAINING)
		arm(r);
}
