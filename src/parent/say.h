/*
 * say.h: the parent's own events (say.c). Part of parent.h, which includes it behind what it needs.
 */
#ifndef STEAD_PARENT_SAY_H
#define STEAD_PARENT_SAY_H

static inline unsigned gate_runs(const struct parent *p)
{
	return 2 * p->gates;
}
static inline bool run_awaits_gates(const struct run *r)
{
	return (r->drain_gates[0] | r->drain_gates[1]) != 0;
}

void say_run(struct parent *p, enum event id, struct run *r, const char *name, uint64_t number,
	const char *why);
/* The kernel ended so many processes of its app for want of memory. */
void say_oom(struct parent *p, const struct run *r, const struct cgroup_group *g, uint64_t killed);
void say_text(struct parent *p, enum event id, const char *name, const char *value,
	const char *name2, const char *value2);
/* Names and values, one after the other, then NULL. */
void say_texts(struct parent *p, enum event id, const char *const *pairs);
void say_real(struct parent *p, const void *event, size_t n);
const char *slot_name(const struct slot *s); /* the app's name, or "" */

#endif
