/*
 * roll.c: core processes replaced by those of this version, one after the other: gates, aides, log, and ctl at last.
 *
 * Called when a state was taken over, and at the end of a turn as long as it goes on. A gate or an aide comes up beside
 * the one that it replaces, which then finishes what it has; of log and ctl there is one at a time. The first that does
 * not come up ends it: what serves in its place serves on, and whoever asked is told. Owns the mark in each slot.
 */
#include "parent.h"
#include "upgrade.h"
#include <stdio.h>
#include <string.h>

static struct slot *next_slot(struct parent *p)
{
	for (unsigned i = 0; i < p->gates; i++)
		if (p->gate[i]->roll)
			return p->gate[i];
	for (unsigned i = 0; i < AIDES; i++)
		if (p->aide[i]->roll)
			return p->aide[i];
	return p->log->roll ? p->log : p->ctl->roll ? p->ctl : NULL;
}

static void mark(struct slot *s)
{
	s->roll = s->wanted;
	s->unready = 0;
}

void roll_start(struct parent *p, bool all)
{
	if (all) {
		for (unsigned i = 0; i < p->gates; i++)
			mark(p->gate[i]);
		for (unsigned i = 0; i < AIDES; i++)
			mark(p->aide[i]);
		mark(p->log);
		mark(p->ctl);
	}
	p->roll_after = p->generation;
	p->rolling = p->stop_step == STOP_NOT;
	parent_settle_soon(p);
}

/* Who asked is told before the process that he asked is replaced. */
static void tell_asker(struct parent *p, int err, const char *step, const char *why)
{
	struct msg_done m = {.err = (uint32_t)err};
	struct buf b;
	char ms[24];

	if (p->upgrade_id == 0)
		return;
	buf_init(&b, 1024);
	pack_str(&b, step);
	pack_str(&b, why);
	tell_ctl(p, MSG_UPGRADED, p->upgrade_id, &m, sizeof(m), b.p, b.len, NULL, 0);
	buf_done(&b);
	p->upgrade_id = 0;
	if (err != 0)
		return;
	snprintf(ms, sizeof(ms), "%llu", (unsigned long long)(loop_now_ms(p->loop) - p->upgrade_ms));
	say_texts(p, EV_UPGRADED, (const char *[]){"from", p->saved_by, "to", STEAD_VERSION, "ms", ms, NULL});
}

static void give_up(struct parent *p, const struct slot *s)
{
	static const char why[] = "it does not come up; the one before it serves on";
	char step[48];

	snprintf(step, sizeof(step), "start of stead-%s", proc_rows[s->role].name);
	say_text(p, EV_UPGRADE_REFUSED, "step", step, "why", why);
	tell_asker(p, EAGAIN, step, why);
	p->rolling = false;
}

/* True: it is of this version, or not wanted any more. */
static bool roll_slot(struct parent *p, struct slot *s)
{
	struct run *r = slot_run(s);
	bool beside = s->role != PROC_LOG && s->role != PROC_CTL;

	if (!s->wanted || (r->generation > p->roll_after && r->phase == PHASE_UP))
		return true;
	if (r->generation > p->roll_after) {
		if (s->unready >= GATE_TRIES)
			give_up(p, s);
		return false;
	}
	struct slot *heir = s->role == PROC_GATE ? gates_heir(p, s) : NULL;
	if (heir != NULL) {
		if (heir->unready >= GATE_TRIES)
			give_up(p, s);
		return false; /* gates.c says which of the two goes */
	}
	/* One that waits for its next start waits no longer: this version may be the mend. */
	if (r->phase == PHASE_BACKOFF) {
		watch_event(r, WATCH_START);
		return false;
	}
	/* Both of its runs are taken: a gate's successor comes up in a slot of its own. */
	if (slot_other(s)->phase != PHASE_DOWN) {
		if (s->role == PROC_GATE)
			(void)gates_beside(p, s);
		return false;
	}
	/* One that is on its way out comes back as this version's by itself. */
	if (r->phase == PHASE_UP || r->phase == PHASE_STARTING)
		slot_replace(s, beside);
	return false;
}

void roll_settle(struct parent *p)
{
	struct slot *s;

	while (p->rolling && (s = next_slot(p)) != NULL) {
		if (s == p->ctl)
			tell_asker(p, 0, "", "");
		if (!roll_slot(p, s))
			return;
		s->roll = false;
	}
	if (p->rolling)
		tell_asker(p, 0, "", "");
	p->rolling = false;
}
