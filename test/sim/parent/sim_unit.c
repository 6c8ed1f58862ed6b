/*
 * sim_unit.c: units in a simulated life of the parent: their commands end, fail and hang in whatever
 * order, and what their Restart= and StartLimitBurst= say must hold.
 */
#include "sim_world.h"
#include <signal.h>
#include <stdlib.h>

static bool chance(struct world *w, unsigned permille)
{
	return sim_chance(w->sim, permille);
}

static uint32_t below(struct world *w, uint32_t n)
{
	return (uint32_t)sim_below(w->sim, n);
}

/* ---- what ctl asks for ---- */

static struct service_exits some_exits(struct world *w)
{
	struct service_exits e = {0};

	if (chance(w, 200))
		e.code[0] = below(w, 8);
	if (chance(w, 200))
		e.signal = 1ULL << (chance(w, 500) ? SIGSEGV : SIGTERM);
	return e;
}

void unit_set(struct world *w, struct msg_proc_set *set)
{
	if (chance(w, 400))
		return; /* it says nothing of its life */
	if (set->listen == SERVICE_NONE && chance(w, 500)) {
		set->ready = SERVICE_EXITS;
		set->notify = SERVICE_NOTIFY_NONE;
	}
	set->restart = below(w, SERVICE_RESTARTS);
	/* Signals that the made-up ones know how to take. */
	set->life = below(w, SERVICE_LIFE_BITS + 1);
	set->restart_ms = below(w, 2000);
	if (chance(w, 300)) {
		set->restart_steps = 1 + below(w, 5);
		set->restart_max_ms = set->restart_ms + 1 + below(w, 5000);
		set->restart_ratio = 1000000 + below(w, 2000000);
	}
	if (chance(w, 300)) {
		set->limit_ms = 1 + below(w, 20000);
		set->limit_burst = 1 + below(w, 5);
	}
	set->abort_ms = below(w, 3000);
	set->runtime_max_ms = chance(w, 200) ? 1 + below(w, 20000) : 0;
	set->final_signal = chance(w, 200) ? SIGUSR2 : 0;
	set->restart_signal = chance(w, 200) ? SIGUSR2 : 0;
	set->kill = below(w, SERVICE_KILL_NONE + 1);
	set->success = some_exits(w);
	set->prevent = some_exits(w);
	set->force = some_exits(w);
}

void unit_pack(struct world *w, const struct msg_proc_set *set, struct buf *b)
{
	uint32_t kind = 0, n = set->restart == 0 || chance(w, 300) ? 0 : below(w, 7);

	pack_bytes(b, "", 0); /* no jail */
	pack_u32(b, n);
	for (uint32_t i = 0; i < n; i++) {
		kind = kind + below(w, HOOKS - kind);
		pack_u32(b, kind);
		pack_u32(b, chance(w, 300) ? HOOK_IGNORE : 0);
		pack_str(b, "/hook");
		pack_u32(b, 1);
		pack_str(b, "hook");
	}
	pack_u32(b, 0);
	pack_u32(b, 0);
}

/* ---- commands ---- */

struct fake *fake_new(struct world *w, struct run *r, uint64_t generation)
{
	struct fake *f = NULL;

	must(generation > w->generation_seen);
	w->generation_seen = generation;
	for (unsigned i = 0; i < FAKES_MAX && f == NULL; i++)
		if (w->fake[i].run == NULL)
			f = &w->fake[i];
	must(f != NULL);
	*f = (struct fake){
		.run = r, .world = w, .generation = generation, .timer.op.kind = OP_FAKE};
	f->deaf = chance(w, 100);
	w->alive++;
	w->starts++;
	return f;
}

/* In the order of a life, and only when its place in it has come. */
static void check_order(const struct run *r, enum service_hook kind)
{
	bool begun = run_alive(r) || r->main_ended;
	bool once = r->spec->set.ready == SERVICE_EXITS;

	must(r->hook.pid == 0);
	switch (kind) {
	case HOOK_CONDITION:
	case HOOK_PRE:
		must(!begun && r->result == RESULT_SUCCESS);
		break;
	case HOOK_START:
		must(once && r->main_ended && r->result == RESULT_SUCCESS);
		break;
	case HOOK_POST:
		must(run_alive(r) || (once && r->main_ended));
		break;
	case HOOK_RELOAD:
		must(r->phase == PHASE_UP && run_alive(r));
		break;
	case HOOK_STOP:
		/* Not when it failed by itself: what runs still, or has ended well. */
		must(r->up_ms != 0 || run_alive(r) || r->result == RESULT_SUCCESS);
		break;
	default:
		must(!run_alive(r));
	}
}

int unit_spawn_hook(struct parent *p, struct run *r, const struct hook *h)
{
	struct world *w = p->sim;
	struct fake *f;

	check_order(r, (enum service_hook)h->kind);
	if (w->spawn_fails || chance(w, 30)) {
		slot_spawn_failed(r->slot, EAGAIN, "clone");
		return -EAGAIN;
	}
	r->hook.generation = ++p->generation;
	f = fake_new(w, r, r->hook.generation);
	f->hook = true;
	/* Some of them never end by themselves. */
	if (!chance(w, 50))
		f->die_ms = loop_now_ms(w->loop) + 1 + below(w, 500);
	f->status = chance(w, 700) ? 0 : chance(w, 500) ? -SIGSEGV : (int)below(w, 3) + 1;
	r->hook.pid = ++w->next_pid;
	w->hooks++;
	fake_arm(f);
	return 0;
}

static struct fake *hook_of(struct world *w, const struct run *r)
{
	for (unsigned i = 0; i < FAKES_MAX; i++)
		if (w->fake[i].run == r && w->fake[i].hook &&
			w->fake[i].generation == r->hook.generation)
			return &w->fake[i];
	return NULL;
}

void unit_signal_hook(struct parent *p, struct run *r, int sig)
{
	struct world *w = p->sim;
	struct fake *f = hook_of(w, r);

	must(f != NULL);
	if (sig == SIGKILL)
		f->killed = true;
	if (sig == SIGKILL)
		fake_die_in(f, below(w, 5), -SIGKILL);
	else if (!f->deaf)
		fake_die_in(f, below(w, 1500), -sig);
}

void unit_hook_ends(struct fake *f)
{
	struct world *w = f->world;
	struct run *r = f->run;

	must(f->die_ms != 0 && r->hook.pid != 0);
	f->run = NULL;
	w->alive--;
	w->deaths++;
	r->hook.pid = 0;
	r->hook_status = f->status;
	watch_event(r, WATCH_HOOK);
}

/* ---- what must hold ---- */

bool unit_pauses(const struct slot *s)
{
	return s->set != NULL && (s->set->spec->set.life & SERVICE_LIFE_PAUSE) != 0;
}

static bool listed(const struct service_exits *e)
{
	return e->code[0] != 0 || e->signal != 0;
}

/* What was given up had a reason, and what waits to start again has none to be given up. */
static void check_end(struct world *w, const struct slot *s)
{
	const struct msg_proc_set *set = &s->set->spec->set;
	const struct run *r = &s->run[s->current];
	bool limit = r->result == RESULT_START_LIMIT_HIT;

	/* A spec that came since may say something else. */
	if (s->stale)
		return;
	if (r->phase == PHASE_DEAD) {
		w->dead++;
		w->limited += limit;
		must(s->wanted && (!limit || set->limit_burst != 0 || w->release != 0));
		must(limit || r->result == RESULT_EXEC_CONDITION || listed(&set->prevent) ||
			(set->restart != SERVICE_RESTART_ALWAYS &&
				(set->restart != SERVICE_RESTART_STEAD ||
					set->ready == SERVICE_EXITS)));
	}
	if (r->phase == PHASE_BACKOFF && s->restarts > 0 && s->wait_ms > 0 && !listed(&set->force) &&
		!r->refreshed && !r->spawn_failed) {
		must(set->restart != SERVICE_RESTART_NO);
		must(set->restart != SERVICE_RESTART_ON_SUCCESS || r->result == RESULT_SUCCESS);
		must(set->restart != SERVICE_RESTART_ON_FAILURE || r->result != RESULT_SUCCESS);
		must(set->restart != SERVICE_RESTART_ON_WATCHDOG || r->result == RESULT_WATCHDOG);
	}
	if (r->phase == PHASE_BACKOFF && unit_pauses(s) && s->wait_ms != 0) {
		uint32_t most = max_of(set->restart_ms, set->restart_max_ms);

		must(s->wait_ms >= set->restart_ms);
		must(s->wait_ms <= max_of(most, (uint32_t)BACKOFF_FIRST_MS));
	}
}

void unit_check(struct world *w, const struct slot *s)
{
	if (s->set == NULL || s->role != PROC_SERVICE)
		return;
	for (unsigned i = 0; i < ARRAY_LEN(s->run); i++) {
		const struct run *r = &s->run[i];

		must(r->hook.pid == 0 || hook_of(w, r) != NULL);
		must(r->phase != PHASE_POST || r->hook.pid != 0);
		must(r->phase != PHASE_ENDING || r->hook.pid != 0);
		must((r->phase != PHASE_PRE && r->phase != PHASE_AFTER) || r->hook.pid != 0);
	}
	check_end(w, s);
}
