/*
 * gates.c: how many gates there are, where they stand, and those that drain beside who serves.
 *
 * Called with ctl's GATES and gates' GATE_DRAINS, at the end of a turn, by roll.c for a successor and by upgrade.c before
 * anything is tried. Owns p->gate[]. A slot stays once it is made; one that is empty and not wanted is taken for whoever
 * comes next, of whatever index. A gate that drains is never cut for another's sake as long as there is room: how
 * many there may be is bounded, and who would need one more is told so beforehand.
 */
#include "parent.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct run *core_gate(struct parent *p, unsigned i)
{
	struct run *r = i < gate_runs(p) ? &p->gate[i / 2]->run[i % 2] : NULL;

	return r != NULL && r->greeted && run_alive(r) ? r : NULL;
}

struct run *core_gate_now(struct parent *p, unsigned index)
{
	struct run *best = NULL;

	/* One that starts is not there yet; the one that it shall replace is. */
	for (unsigned i = 0; i < gate_runs(p); i++) {
		struct run *r = core_gate(p, i);

		if (r != NULL && r->slot->index == index && (best == NULL || r->generation > best->generation))
			best = r;
	}
	return best;
}

static bool is_free(const struct slot *s)
{
	return !s->wanted && slot_down(s);
}

static struct slot *wanted_of(struct parent *p, uint32_t index)
{
	for (unsigned i = 0; i < p->gates; i++)
		if (p->gate[i]->wanted && p->gate[i]->index == index)
			return p->gate[i];
	return NULL;
}

struct slot *gates_heir(struct parent *p, const struct slot *s)
{
	for (unsigned i = 0; i < p->gates; i++) {
		struct slot *o = p->gate[i];

		if (o != s && o->wanted && o->index == s->index &&
			o->run[o->current].generation > s->run[s->current].generation)
			return o;
	}
	return NULL;
}

/* Runs of that index that are on their way out; the one that began first, or NULL. */
static unsigned draining(struct parent *p, uint32_t index, struct run **ret_oldest)
{
	struct run *oldest = NULL;
	unsigned n = 0;

	for (unsigned i = 0; i < gate_runs(p); i++) {
		struct run *r = &p->gate[i / 2]->run[i % 2];

		if (r->slot->index != index || r->phase != PHASE_STOPPING)
			continue;
		n++;
		if (oldest == NULL || r->generation < oldest->generation)
			oldest = r;
	}
	*ret_oldest = oldest;
	return n;
}

static unsigned free_slots(const struct parent *p)
{
	unsigned n = GATES_MAX - p->gates;

	for (unsigned i = 0; i < p->gates; i++)
		n += is_free(p->gate[i]);
	return n;
}

/* An empty slot for a gate of that index. */
static struct slot *take(struct parent *p, uint32_t index)
{
	struct slot *s = NULL;

	for (unsigned i = 0; i < p->gates && s == NULL; i++)
		if (is_free(p->gate[i]))
			s = p->gate[i];
	if (s == NULL && p->gates < GATES_MAX && (s = malloc(sizeof(*s))) != NULL) {
		slot_init(s, p, PROC_GATE, index, NULL);
		s->at = p->gates;
		p->gate[p->gates++] = s;
	}
	if (s == NULL)
		return NULL;
	s->index = index;
	s->unready = 0;
	s->roll = false;
	slot_want(s);
	return s;
}

struct slot *gates_beside(struct parent *p, const struct slot *s)
{
	struct run *oldest;

	if (draining(p, s->index, &oldest) < GATE_OLDER_MAX && free_slots(p) != 0)
		return take(p, s->index);
	if (oldest != NULL)
		gate_hurry(oldest->slot, DRAIN_MS, STOP_DRAIN_MS);
	return NULL;
}

/* Who serves no more, for so long from the moment on in which it was told: also when that was longer then. */
static void bound_draining(struct parent *p)
{
	uint64_t now = loop_wall_us(p->loop);

	for (unsigned i = 0; i < gate_runs(p); i++) {
		struct run *r = &p->gate[i / 2]->run[i % 2];
		uint64_t gone = (now - min_of(r->since_wall_us, now)) / 1000;
		uint32_t left = gone < p->drain_max_ms ? p->drain_max_ms - (uint32_t)gone : 0;

		if (r->phase == PHASE_STOPPING)
			run_hurry(r, DRAIN_MS, max_of(left, (uint32_t)STOP_DRAIN_MS));
	}
}

/* What is missing and finds no room waits for what drains, which is told to hurry. */
static void start_missing(struct parent *p)
{
	for (uint32_t i = 0; i < p->gates_wanted; i++) {
		if (wanted_of(p, i) != NULL || take(p, i) != NULL)
			continue;
		for (unsigned k = 0; k < p->gates; k++)
			gate_hurry(p->gate[k], DRAIN_MS, STOP_DRAIN_MS);
	}
}

static int gates_set(struct parent *p, uint32_t count, uint32_t drain_max_ms)
{
	if (count < 1 || count > GATES_MAX || drain_max_ms > DRAIN_MAX_MS)
		return -EINVAL;
	if (p->stop_step != STOP_NOT)
		return -ESHUTDOWN;
	p->gates_wanted = count;
	p->drain_max_ms = drain_max_ms;
	/* One that is wanted already keeps its pause after a death. */
	for (unsigned i = 0; i < p->gates; i++)
		if (p->gate[i]->wanted && p->gate[i]->index >= count)
			slot_unwant(p->gate[i]);
	start_missing(p);
	bound_draining(p);
	for (uint32_t i = 0; i < count; i++)
		if (wanted_of(p, i) == NULL && p->gates < GATES_MAX)
			return -ENOMEM;
	return 0;
}

void core_gates(struct parent *p, struct msg *m)
{
	struct msg_gates ask;
	struct msg_done done = {.err = EINVAL};

	if (msg_get(m, &ask, sizeof(ask), sizeof(ask)) == 0)
		done.err = (uint32_t)-gates_set(p, ask.count, ask.drain_max_ms);
	tell_ctl(p, MSG_DONE, m->h.id, &done, sizeof(done), NULL, 0, NULL, 0);
}

/* Of two wanted ones the newer serves, or it was tried often enough. */
static void settle_heirs(struct parent *p)
{
	for (unsigned i = 0; i < p->gates; i++) {
		struct slot *s = p->gate[i], *heir = s->wanted ? gates_heir(p, s) : NULL;

		if (heir == NULL)
			continue;
		if (slot_run(heir)->phase == PHASE_UP)
			slot_unwant(s);
		else if (heir->unready >= GATE_TRIES && slot_run(s)->phase == PHASE_UP)
			slot_unwant(heir);
	}
}

void gates_settle(struct parent *p)
{
	if (p->stop_step != STOP_NOT)
		return;
	settle_heirs(p);
	start_missing(p);
}

/* ---- what they are told by, and asked for ---- */

uint64_t gate_ends_us(const struct run *r)
{
	struct loop *l = r->slot->parent->loop;
	uint64_t now = loop_now_ms(l), at = r->timer.at_ms > now ? r->timer.at_ms - now : 0;

	if (r->slot->role != PROC_GATE || r->phase != PHASE_STOPPING || r->timer.at_ms == 0)
		return 0;
	return loop_wall_us(l) + (at - min_of(at, (uint64_t)CORE_STOP_MS)) * 1000;
}

void gates_heard(struct run *gate, struct msg *m)
{
	struct msg_gate_drains d;

	if (msg_get(m, &d, sizeof(d), sizeof(d)) < 0 || gate->phase != PHASE_STOPPING)
		return;
	gate->tunnels = d.tunnels;
	gate->conns = d.conns;
	tell_state(gate->slot->parent, gate);
}

/* As the machine's clock on the wall has it. */
static void clock_of(uint64_t wall_us, char ret[static 16])
{
	time_t t = (time_t)(wall_us / 1000000);
	struct tm tm;

	if (localtime_r(&t, &tm) == NULL || strftime(ret, 16, "%H:%M:%S", &tm) == 0)
		snprintf(ret, 16, "?");
}

static void say_why(struct parent *p, char *ret_why, size_t cap)
{
	unsigned gates = 0, tunnels = 0;
	uint64_t last = 0;
	char text[16];

	for (unsigned i = 0; i < gate_runs(p); i++) {
		const struct run *r = &p->gate[i / 2]->run[i % 2];

		if (r->phase != PHASE_STOPPING)
			continue;
		gates++;
		tunnels += r->tunnels;
		last = max_of(last, gate_ends_us(r));
	}
	clock_of(last, text);
	snprintf(ret_why, cap,
		"%u older gates still have WebSockets or other connections (%u of them), as many gates as may drain at "
		"once; the last one ends at %s at the latest",
		gates, tunnels, text);
}

bool gates_room(struct parent *p, char *ret_why, size_t cap)
{
	unsigned needs = 0;
	bool full = false;

	for (unsigned i = 0; i < p->gates; i++) {
		const struct slot *s = p->gate[i];
		struct run *oldest;

		if (!s->wanted)
			continue;
		needs += s->run[s->current ^ 1].phase != PHASE_DOWN;
		full = full || draining(p, s->index, &oldest) >= GATE_OLDER_MAX;
	}
	if (!full && needs <= free_slots(p))
		return true;
	say_why(p, ret_why, cap);
	return false;
}
