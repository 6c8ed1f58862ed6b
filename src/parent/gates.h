/*
 * gates.h: the gates' slots (gates.c). Part of parent.h, which includes it behind what it needs.
 *
 * p->gate[] has a slot for each gate that is wanted, and one more for each gate that could not be replaced within its
 * own slot, because both of its runs are taken: one serves, and one that was replaced before still has tunnels. So
 * slots of one index may be several; one of them is wanted, and for as long as it takes to start a successor two.
 */
#ifndef STEAD_PARENT_GATES_H
#define STEAD_PARENT_GATES_H

enum {
	GATE_OLDER_MAX = 7, /* gates of one index that drain beside the one that serves */
	GATE_TRIES = 3,     /* of a successor that does not come up: the one before it serves on */
};

/* GATES: so many of them shall serve. A gate that is not wanted any more drains. */
void core_gates(struct parent *p, struct msg *m);
/* The gate of that place when it can be spoken to, else NULL. For what every gate must hear, also one that drains: i
 * from 0 to gate_runs(). */
struct run *core_gate(struct parent *p, unsigned i);
/* The one of that index that whoever speaks to one gate should speak to, or NULL. */
struct run *core_gate_now(struct parent *p, unsigned index);
/* One whose slot has no room for a successor gets it beside itself. The successor's slot; NULL: there is none, because
 * no more gates may drain (the oldest of that index is hurried), or no memory. */
struct slot *gates_beside(struct parent *p, const struct slot *s);
/* The wanted one of the same index that is newer than s, or NULL. */
struct slot *gates_heir(struct parent *p, const struct slot *s);
/* The end of a turn: what is missing is started, and who has a successor that serves drains. */
void gates_settle(struct parent *p);
/* Could each gate be replaced now? False: why not, in words that name how many drain, and until when. */
bool gates_room(struct parent *p, char *ret_why, size_t cap);
/* GATE_DRAINS: what one that drains still has. */
void gates_heard(struct run *gate, struct msg *m);
/* When a gate that drains is ended at the latest, on the wall's clock; 0: it does not drain. */
uint64_t gate_ends_us(const struct run *r);
/* Those of one slot that drain: no later than that from now. */
void gate_hurry(struct slot *s, uint32_t drain_ms, uint32_t tunnel_ms);

#endif
