/*
 * sim_check.c: what must hold after every step of a simulated life of the parent (sim_parent.c).
 */
#include "sim_world.h"
#include "lib/event.h"
#include <stdlib.h>
#include <string.h>

static void check_backoff(struct slot *s)
{
	const struct loop *l = s->parent->loop;
	uint32_t n = s->backoff_ms == BACKOFF_MAX_MS ? 0 : s->backoff_ms / 2;

	/* What a spec says that came since has not begun to hold. */
	if (unit_pauses(s) || s->stale)
		return;
	must(s->wait_ms <= BACKOFF_MAX_MS && s->backoff_ms <= BACKOFF_MAX_MS);
	/* What is said is what is waited, and without a pause it is due now. */
	must(slot_run(s)->timer.at_ms <= loop_now_ms(l) + s->wait_ms);
	if (s->backoff_ms != 0 && s->backoff_ms != BACKOFF_MAX_MS)
		must(s->backoff_ms % BACKOFF_FIRST_MS == 0 &&
			__builtin_popcount(s->backoff_ms / BACKOFF_FIRST_MS) == 1);
	if (s->wait_ms != 0 && n != 0)
		must(s->wait_ms >= n * 8 / 10 && s->wait_ms <= n * 12 / 10);
	if (s->wait_ms != 0 && n == 0)
		must(s->wait_ms >= 25600); /* half of the cap or near it, minus 20 % */
	/* What cannot even be started is not tried without a pause. */
	must(s->status != 127 || s->wait_ms != 0);
}

void death_begins(const struct run *r, struct dying *ret)
{
	const struct slot *s = r->slot;

	*ret = (struct dying){s->backoff_ms, s->unready, r->up_ms, s->at_once};
}

static bool says_ready(const struct slot *s)
{
	return s->role != PROC_POSTGRES &&
	       (s->role != PROC_SERVICE || s->set->spec->set.ready != SERVICE_SPAWNED);
}

void check_death(const struct run *r, const struct dying *was)
{
	const struct slot *s = r->slot;
	struct world *w = s->parent->sim;
	bool ready = was->up_ms != 0;
	bool steady = ready && loop_now_ms(w->loop) - was->up_ms >= UP_STEADY_MS;

	/* Of what does its work and ends, the end is when it is ready. */
	if (r->phase != PHASE_BACKOFF || r->spawn_failed ||
		(s->set != NULL && s->set->spec->set.ready == SERVICE_EXITS))
		return;
	must(!s->at_once && s->unready == was->unready + !ready);
	if (unit_pauses(s) && !was->at_once)
		return;
	if (was->at_once || steady)
		must(s->wait_ms == 0);
	else
		must((s->wait_ms != 0) == (was->backoff_ms != 0));
	if (ready && says_ready(s))
		must(s->wait_ms <= BACKOFF_READY_MAX_MS * 6 / 5);
	w->jittered += s->wait_ms % BACKOFF_FIRST_MS != 0;
	w->longest += s->backoff_ms == BACKOFF_MAX_MS && s->wait_ms >= BACKOFF_MAX_MS * 4 / 5;
}

/* Of a [Timer]: it rests between its runs. */
static bool runs_once(const struct slot *s)
{
	return s->set != NULL && (s->set->spec->set.flags & PROC_SET_ONCE) != 0;
}

static unsigned check_slot(struct world *w, struct slot *s)
{
	unsigned alive = 0;

	for (unsigned i = 0; i < ARRAY_LEN(s->run); i++) {
		struct run *r = &s->run[i];
		bool rests = r->phase == PHASE_DOWN || r->phase == PHASE_BACKOFF ||
			     r->phase == PHASE_EXITED || r->phase == PHASE_DEAD;
		bool lives = run_alive(r);

		must(rests == (!lives && r->hook.pid == 0));
		must((r->phase != PHASE_UP && r->phase != PHASE_DRAINING) || lives);
		must((r->phase != PHASE_PRE && r->phase != PHASE_AFTER) || !lives);
		must(!lives || fake_of(w, r) != NULL);
		if (lives)
			stuck_check(w, fake_of(w, r));
		if (!rests && r->phase != PHASE_UP)
			must(r->timer.at_ms != 0);
		if (lives && fake_of(w, r)->killed)
			must(r->phase == PHASE_STOPPING);
		if (r->phase == PHASE_DRAINING)
			must(run_awaits_gates(r) && r->timer.at_ms <= r->tunnel_end_ms + 1 &&
				loop_now_ms(w->loop) <= r->tunnel_end_ms + 1);
		alive += lives + (r->hook.pid != 0);
	}
	unit_check(w, s);
	must(slot_other(s)->phase != PHASE_STARTING && slot_other(s)->phase != PHASE_BACKOFF);
	must(slot_other(s)->phase == PHASE_DOWN ||
		slot_other(s)->generation < slot_run(s)->generation);
	must(slot_other(s)->phase != PHASE_UP || slot_run(s)->phase != PHASE_UP);
	if (s->wanted) {
		struct run *r = slot_run(s);

		must(r->phase != PHASE_DOWN || runs_once(s));
		must(r->phase == PHASE_UP || r->phase == PHASE_DOWN || r->phase == PHASE_EXITED ||
			r->phase == PHASE_DEAD || r->timer.at_ms != 0);
	} else {
		must(slot_run(s)->phase != PHASE_BACKOFF && slot_run(s)->phase != PHASE_EXITED &&
			slot_run(s)->phase != PHASE_DEAD);
	}
	if (slot_run(s)->phase == PHASE_BACKOFF)
		check_backoff(s);
	return alive;
}

/* Of each index one is wanted, or two while one replaces the other; and never more drain than may. */
static void check_gates(const struct parent *p)
{
	unsigned wanted[GATES_MAX] = {0}, drain[GATES_MAX] = {0};

	for (unsigned i = 0; i < p->gates; i++) {
		const struct slot *s = p->gate[i];

		must(s->at == i && s->index < GATES_MAX);
		wanted[s->index] += s->wanted;
		for (unsigned k = 0; k < ARRAY_LEN(s->run); k++)
			drain[s->index] += s->run[k].phase == PHASE_STOPPING;
	}
	for (unsigned i = 0; i < GATES_MAX; i++) {
		bool wants = p->stop_step == STOP_NOT && i < p->gates_wanted;

		((struct world *)p->sim)->beside += wanted[i] == 2;
		must(wants ? wanted[i] == 1 || wanted[i] == 2 : wanted[i] == 0);
		/* One more of each pair that settles. */
		must(drain[i] <= GATE_OLDER_MAX + 2);
	}
}

bool check_all(void *arg)
{
	struct world *w = arg;
	struct parent *p = w->p;
	unsigned alive = check_slot(w, p->log) + check_slot(w, p->ctl);

	for (unsigned i = 0; i < AIDES; i++) {
		alive += check_slot(w, p->aide[i]);
		must(p->stop_step <= STOP_GATES || !p->aide[i]->wanted);
	}
	must(p->gates_wanted >= 1 && p->gates_wanted <= p->gates && p->gates <= GATES_MAX);
	for (unsigned i = 0; i < p->gates; i++) {
		alive += check_slot(w, p->gate[i]);
	}
	check_gates(p);
	for (struct set *set = p->sets; set != NULL; set = set->next)
		for (struct slot *s = set->slots; s != NULL; s = s->next)
			alive += check_slot(w, s);
	must(alive == w->alive);
	must(p->stop_step == STOP_NOT || loop_now_ms(w->loop) < w->stop_ms + STOP_MS_MAX);
	return p->stop_step == STOP_DONE;
}

static void take_pid(void *arg, const char *name, const char *value)
{
	if (strcmp(name, "pid") == 0)
		*(int *)arg = (int)strtol(value, NULL, 10);
}

/* Whose turn it is, is alone in its set, and has somebody who serves beside a successor. */
void check_recycled(struct world *w, const void *event, size_t n)
{
	const struct slot *s = NULL;
	uint32_t id;
	int pid = 0;

	must(event_decode(event, n, &id, take_pid, &pid) == 0);
	for (unsigned i = 0; i < FAKES_MAX && s == NULL; i++)
		if (w->fake[i].run != NULL && w->fake[i].run->child.pid == pid)
			s = w->fake[i].run->slot;
	must(s != NULL && s->tired != RECYCLE_NOT && s->stale);
	w->recycled++;
	for (const struct slot *o = s->set->slots; o != NULL; o = o->next)
		must((o->run[o->current ^ 1].phase == PHASE_DOWN || drain_is_over(&o->run[o->current ^ 1])) && (o == s || !o->stale));
}
