/*
 * sim_adopt.c: at a random moment another parent goes on with the state of the one before (sim_parent.c).
 */
#include "adopt.h"
#include "sim_world.h"
#include "state.h"
#include <dirent.h>
#include <stdlib.h>

static void each_slot(struct parent *p, void (*each)(void *arg, struct slot *s), void *arg)
{
	each(arg, p->log);
	each(arg, p->ctl);
	for (unsigned i = 0; i < AIDES; i++)
		each(arg, p->aide[i]);
	for (unsigned i = 0; i < p->gates; i++)
		each(arg, p->gate[i]);
	for (struct set *set = p->sets; set != NULL; set = set->next)
		for (struct slot *s = set->slots; s != NULL; s = s->next)
			each(arg, s);
}

static void stop_timers(void *arg, struct slot *s)
{
	for (unsigned i = 0; i < ARRAY_LEN(s->run); i++)
		loop_timer_stop(arg, &s->run[i].timer);
}

/* The processes are the same, each once. */
static void move_fakes(void *arg, struct slot *s)
{
	struct world *w = arg;

	for (unsigned i = 0; i < ARRAY_LEN(s->run); i++) {
		struct run *r = &s->run[i];

		for (unsigned k = 0; k < FAKES_MAX; k++) {
			struct fake *f = &w->fake[k];
			const struct child *c = f->hook ? &r->hook : &r->child;

			if (f->run == NULL || c->pid == 0 || f->generation != c->generation)
				continue;
			must((f->hook ? f->run->hook.pid : f->run->child.pid) == c->pid && f->run->phase == r->phase);
			f->run = r;
			w->moved++;
		}
	}
}

/* A new version, or a new parent after a kill, has nothing but the state of the one before. */
void take_over(struct world *w)
{
	struct parent *old = w->p, *p = calloc(1, sizeof(*p));
	struct state state;

	must(p != NULL && state_save(old, &state) == 0);
	parent_init(p, old->ops);
	p->sim = w;
	p->loop = w->loop;
	p->state_dir = p->run_dir = p->roles_dir = (char[]){"/"};
	must(state_load(p, state.b.p, state.b.len, NULL, 0) == 0);
	state_done(&state);
	p->killed = sim_chance(w->sim, 500);
	p->generation += p->killed ? 1000 : 0;
	w->moved = 0;
	each_slot(p, move_fakes, w);
	must(w->moved == w->alive);
	each_slot(old, stop_timers, w->loop);
	loop_timer_stop(w->loop, &old->recycle);
	loop_defer_cancel(w->loop, &old->settle);
	state_drop(old);
	free(old);
	w->p = p;
	w->takeovers++;
	adopt_go(p);
}

/* The process lives on; what watches it here is the fake. */
void sim_adopt(struct parent *p, struct run *r)
{
	must(!run_alive(r) || fake_of(p->sim, r) != NULL);
}

struct run *some_gate(struct world *w)
{
	unsigned n = gate_runs(w->p), at = (unsigned)sim_below(w->sim, n);
	struct run *gate = NULL;

	for (unsigned i = 0; i < n && gate == NULL; i++)
		gate = core_gate(w->p, (at + i) % n);
	return gate;
}

unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	must(d != NULL);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}
