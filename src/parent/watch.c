/*
 * watch.c: what happens to a run, as a state × event table; and the slots.
 *
 * Called with events from reap (it died, its command ended), hear and workers (it is ready, bad, stuck,
 * idle), sets and stop (it is wanted, replaced, not wanted), and the run's own timer. Owns the choice
 * of which generation is the current one. The actions are in watch_acts.c and unit.c.
 */
#include "watch.h"
#include <stdio.h>

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
			[WATCH_HOOK] = act_none,
			[WATCH_RELOAD] = act_none,
			[WATCH_LEFT] = act_bug,
		},
	[PHASE_STARTING] =
		{
			[WATCH_START] = act_none,
			[WATCH_READY] = unit_ready,
			[WATCH_DIED] = act_died,
			[WATCH_RETIRE] = act_term,
			[WATCH_IDLE] = act_none,
			[WATCH_BAD] = act_bad,
			[WATCH_STUCK] = act_stuck,
			[WATCH_STOP] = act_term,
			[WATCH_TIMER] = act_late,
			[WATCH_HOOK] = unit_hook_starting,
			[WATCH_RELOAD] = act_none,
			[WATCH_LEFT] = unit_left,
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
			[WATCH_HOOK] = unit_hook_up,
			[WATCH_RELOAD] = unit_reload,
			[WATCH_LEFT] = unit_left,
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
			[WATCH_TIMER] = drain_late,
			[WATCH_HOOK] = unit_hook_up,
			[WATCH_RELOAD] = act_none,
			[WATCH_LEFT] = unit_left,
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
			[WATCH_HOOK] = unit_hook_stopping,
			[WATCH_RELOAD] = act_none,
			[WATCH_LEFT] = unit_left,
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
			[WATCH_HOOK] = act_bug,
			[WATCH_RELOAD] = act_none,
			[WATCH_LEFT] = act_bug,
		},
	[PHASE_PRE] =
		{
			[WATCH_START] = act_none,
			[WATCH_READY] = act_none,
			[WATCH_DIED] = act_bug,
			[WATCH_RETIRE] = act_term,
			[WATCH_IDLE] = act_none,
			[WATCH_BAD] = act_none,
			[WATCH_STUCK] = act_none,
			[WATCH_STOP] = act_term,
			[WATCH_TIMER] = unit_late,
			[WATCH_HOOK] = unit_hook_pre,
			[WATCH_RELOAD] = act_none,
			[WATCH_LEFT] = act_bug,
		},
	[PHASE_POST] =
		{
			[WATCH_START] = act_none,
			[WATCH_READY] = act_none,
			[WATCH_DIED] = act_died,
			[WATCH_RETIRE] = act_term,
			[WATCH_IDLE] = act_none,
			[WATCH_BAD] = act_none,
			[WATCH_STUCK] = act_none,
			[WATCH_STOP] = act_term,
			[WATCH_TIMER] = unit_late,
			[WATCH_HOOK] = unit_hook_post,
			[WATCH_RELOAD] = act_none,
			[WATCH_LEFT] = unit_left,
		},
	[PHASE_ENDING] =
		{
			[WATCH_START] = act_none,
			[WATCH_READY] = act_none,
			[WATCH_DIED] = act_died,
			[WATCH_RETIRE] = act_none,
			[WATCH_IDLE] = act_none,
			[WATCH_BAD] = act_none,
			[WATCH_STUCK] = act_none,
			[WATCH_STOP] = act_none,
			[WATCH_TIMER] = unit_late_ending,
			[WATCH_HOOK] = unit_hook_ending,
			[WATCH_RELOAD] = act_none,
			[WATCH_LEFT] = unit_left,
		},
	[PHASE_AFTER] =
		{
			[WATCH_START] = act_none,
			[WATCH_READY] = act_none,
			[WATCH_DIED] = act_bug,
			[WATCH_RETIRE] = act_none,
			[WATCH_IDLE] = act_none,
			[WATCH_BAD] = act_none,
			[WATCH_STUCK] = act_none,
			[WATCH_STOP] = act_none,
			[WATCH_TIMER] = unit_late_after,
			[WATCH_HOOK] = unit_hook_after,
			[WATCH_RELOAD] = act_none,
			[WATCH_LEFT] = act_bug,
		},
	[PHASE_EXITED] =
		{
			[WATCH_START] = act_none,
			[WATCH_READY] = act_none,
			[WATCH_DIED] = act_bug,
			[WATCH_RETIRE] = unit_leave,
			[WATCH_IDLE] = act_none,
			[WATCH_BAD] = act_none,
			[WATCH_STUCK] = act_none,
			[WATCH_STOP] = unit_leave,
			[WATCH_TIMER] = act_none,
			[WATCH_HOOK] = act_bug,
			[WATCH_RELOAD] = act_none,
			[WATCH_LEFT] = act_bug,
		},
	[PHASE_DEAD] =
		{
			[WATCH_START] = act_start,
			[WATCH_READY] = act_none,
			[WATCH_DIED] = act_bug,
			[WATCH_RETIRE] = act_down,
			[WATCH_IDLE] = act_none,
			[WATCH_BAD] = act_none,
			[WATCH_STUCK] = act_none,
			[WATCH_STOP] = act_down,
			[WATCH_TIMER] = act_none,
			[WATCH_HOOK] = act_bug,
			[WATCH_RELOAD] = act_none,
			[WATCH_LEFT] = act_bug,
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
		child_init(&r->hook, CHILD_HOOK);
		r->slot = s;
		r->timer.op.kind = OP_RUN_TIMER;
		r->chan.lfd.fd = -1;
		r->down_fd = r->stream[0] = r->stream[1] = -1;
		r->listen_fd = r->notify_fd = r->chan_fd = -1;
	}
}

void slot_want(struct slot *s)
{
	struct run *r = slot_run(s);

	if (s->wanted && r->phase != PHASE_BACKOFF && r->phase != PHASE_DOWN &&
		r->phase != PHASE_DEAD)
		return;
	s->wanted = true;
	unit_forgive(s);
	s->restarts = 0;
	s->oom_kills = 0;
	s->backoff_ms = 0;
	/* One that is on its way out is started again by its own death. */
	s->at_once = run_busy(r);
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

void slot_succeed(struct slot *s)
{
	must(s->wanted && slot_run(s)->phase == PHASE_DRAINING && slot_other(s)->phase == PHASE_DOWN);
	start_successor(s);
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
		unit_forgive(s);
		r->refreshed = true;
		start_successor(s);
		return;
	}
	s->stale = false;
	s->restarts = 0;
	s->oom_kills = 0;
	s->backoff_ms = 0;
	unit_forgive(s);
	if (run_busy(r)) {
		s->at_once = true;
		r->refreshed = true;
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
