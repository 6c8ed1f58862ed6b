/*
 * sim_stuck.c: a worker that gates call stuck, in a simulated life of the parent: its stacks are
 * asked for, a successor starts at once, what else it runs may finish, and then it ends, within a
 * time that is known.
 */
#include "sim_world.h"
#include <signal.h>

/* It is told; what follows at once is looked at. */
void stuck_says(struct world *w, struct run *r)
{
	struct slot *s = r->slot;
	struct parent *p = w->p;
	struct fake *f = fake_of(w, r);
	uint64_t now = loop_now_ms(w->loop), generation = r->generation;
	uint8_t was = r->phase;
	bool current = r == slot_run(s) && (was == PHASE_UP || was == PHASE_STARTING) && s->wanted;
	bool empty = slot_other(s)->phase == PHASE_DOWN, told = r->wants_kill, gates = false;
	unsigned stacks = w->stacks, restarts = s->restarts, chosen = s->current;

	must(f != NULL);
	for (unsigned i = 0; i < gate_runs(p); i++)
		gates |= core_gate(p, i) != NULL && core_gate(p, i)->greeted;
	worker_says(w, r, MSG_WORKER_STUCK, CLOSE_APP_TIMEOUT);
	if (w->heard == NULL)
		return; /* there is no gate that could say it */
	must(r->generation == generation && run_alive(r));
	/* Who goes anyway, or has gone from its place, brings no other. */
	must(current || (s->restarts == restarts && s->current == chosen));
	if (was == PHASE_STOPPING) {
		must(r->phase == was && w->stacks == stacks);
		return;
	}
	must(r->wants_kill && w->stacks == stacks + !told);
	if (f->stuck_ms == 0)
		f->stuck_ms = now;
	if (was == PHASE_DRAINING)
		must(r->phase == was && r->timer.at_ms <= now + DRAIN_MS);
	else if (was == PHASE_UP && gates && !p->stop_now)
		must(r->phase == PHASE_DRAINING && run_awaits_gates(r));
	else
		must(r->phase == PHASE_STOPPING && r->timer.at_ms == now + STUCK_GRACE_MS);
	if (r->phase == PHASE_STOPPING)
		f->grace_ms = now;
	if (current && empty)
		must(slot_run(s) != r && s->run[s->current].phase != PHASE_DOWN);
	else if (current)
		must(slot_run(s) == r && s->at_once);
	w->stuck += was == PHASE_UP;
}

void stuck_all(struct world *w)
{
	for (unsigned i = 0; i < FAKES_MAX; i++) {
		struct run *r = w->fake[i].run;

		if (r != NULL && r->slot->role == PROC_WORKER && r->phase == PHASE_UP)
			stuck_says(w, r);
	}
}

/* One that is not stuck has the time to end that its app gives it. */
static void check_patience(const struct run *r, struct fake *f, int sig, uint64_t now)
{
	if (sig == SIGKILL)
		must(r->spec == NULL || f->term_ms == 0 || r->wants_kill ||
			now >= f->term_ms + r->spec->set.stop_ms);
	else if (sig != SIGUSR1)
		f->term_ms = now;
}

/* A signal to a worker that is stuck: the request to end when what else it ran is over, the kill
 * behind it. */
void stuck_check_signal(struct world *w, const struct run *r, struct fake *f, int sig)
{
	uint64_t now = loop_now_ms(w->loop);

	if (!w->p->stop_now)
		check_patience(r, f, sig, now);
	if (f->stuck_ms == 0 || f->bad || sig == SIGUSR1 || w->p->stop_now)
		return;
	if (sig == SIGKILL) {
		must(f->grace_ms != 0 && now >= f->grace_ms + STUCK_GRACE_MS);
		return;
	}
	must(r->phase == PHASE_DRAINING && f->grace_ms == 0);
	/* Its timer has fired: at_ms is 0 then. */
	must(!run_awaits_gates(r) || r->timer.at_ms == 0);
	f->grace_ms = now;
}

void stuck_check(const struct world *w, const struct fake *f)
{
	must(f->stuck_ms == 0 || f->killed ||
		loop_now_ms(w->loop) <= f->stuck_ms + DRAIN_MS + STUCK_GRACE_MS);
}
