/*
 * sim_drain.c: what is replaced in a simulated life of the parent (sim_parent.c): how many gates there shall be, what gates
 * that drain say of themselves, and when they say that they are done with a worker that drains.
 */
#include "sim_world.h"

/* At once as a rule; where there are tunnels when they took leave, or never. */
bool drain_says_idle(struct world *w, uint32_t stage)
{
	static const unsigned permille[] = {[DRAIN_BEGIN] = 700, [DRAIN_LEAVE] = 500, [DRAIN_OVER] = 300, [DRAIN_CUT] = 0};

	must(stage < ARRAY_LEN(permille));
	w->stages[stage]++;
	return sim_chance(w->sim, permille[stage]);
}

/* Also counts that must be refused. */
void ask_gates(struct world *w, struct run *ctl)
{
	uint32_t was = w->p->gates_wanted;
	struct msg_gates m = {
		.count = sim_chance(w->sim, 100) ? GATES_MAX + (uint32_t)sim_below(w->sim, 2) : (uint32_t)sim_below(w->sim, 5),
		.drain_max_ms = (uint32_t)sim_below(w->sim, sim_chance(w->sim, 500) ? 1000 : 5 * 60 * 1000)};
	bool fits = m.count >= 1 && m.count <= GATES_MAX && w->p->stop_step == STOP_NOT;

	/* Sixty gates have more processes than there are fakes. */
	if (m.count == GATES_MAX)
		return;
	hear(w, ctl, MSG_GATES, &m, sizeof(m));
	must(w->p->gates_wanted == (fits ? m.count : was));
}

/* Also one that does not drain says so; nothing comes of that. */
void gate_drains(struct world *w)
{
	struct run *gate = some_gate(w);
	struct msg_gate_drains m = {.conns = 5 + (uint32_t)sim_below(w->sim, 5), .tunnels = (uint32_t)sim_below(w->sim, 5)};

	if (gate == NULL)
		return;
	hear(w, gate, MSG_GATE_DRAINS, &m, sizeof(m));
	must(gate->phase != PHASE_STOPPING || (gate->conns == m.conns && gate->tunnels == m.tunnels));
}
