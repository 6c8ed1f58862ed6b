/*
 * sim_parent.c: the parent's table, sets, workers and stop on a virtual clock, with made-up
 * processes.
 *
 * Each seed is one life of a parent: processes start slowly or never, die, ignore their signals,
 * break their links, get stuck; ctl asks for sets, drops and restarts at random; at a random time
 * everything stops, in some lives with a second signal. After every step:
 *
 *   - a run has a process exactly in the phases that say so, and no process is forgotten;
 *   - the commands of a unit run in the order of a life, and what its Restart= does not start stays down;
 *   - what is wanted is up, or has a timer that brings it on;
 *   - at most two generations share a slot; only the newest is starting or waiting, and when it is
 * up the older one is on its way out;
 *   - a backoff is within ± 20 % of 100 ms · 2ⁿ, grows, and is never above 60 s;
 *   - the first pause is none: its end is due in the millisecond of the death;
 *   - generations only grow;
 *   - of each gate one is wanted, or two while the one replaces the other; no more than may be drain beside it;
 *   - what drains is told at each stage, has its time, and no more;
 *   - whoever goes on with the state, at whatever moment, has every process once, and all of this holds for him;
 *   - of a set at most one process is replaced because of a limit of its life, unless ctl asked for more.
 *
 * A stop ends within a bounded time with nothing left, no descriptor and no byte leaked.
 * STEAD_SIM_SEEDS: how many lives (default 300).
 */
#include "sim_world.h"
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t below(struct world *w, uint64_t n)
{
	return sim_below(w->sim, n);
}

static bool chance(struct world *w, unsigned permille)
{
	return sim_chance(w->sim, permille);
}

/* ---- made-up processes ---- */

void fake_arm(struct fake *f)
{
	uint64_t at = 0, t[3] = {f->hello_ms, f->ready_ms, f->die_ms};

	for (int i = 0; i < 3; i++)
		if (t[i] != 0 && (at == 0 || t[i] < at))
			at = t[i];
	loop_timer_stop(f->world->loop, &f->timer);
	if (at != 0)
		loop_timer(f->world->loop, &f->timer, at);
}

struct fake *fake_of(struct world *w, const struct run *r)
{
	for (unsigned i = 0; i < FAKES_MAX; i++)
		if (w->fake[i].run == r && w->fake[i].generation == r->generation)
			return &w->fake[i];
	return NULL;
}

void fake_die_in(struct fake *f, uint64_t ms, int status)
{
	uint64_t at = loop_now_ms(f->world->loop) + ms;

	if (f->die_ms == 0 || at < f->die_ms) {
		f->die_ms = max_of(at, (uint64_t)1);
		f->status = status;
	}
	fake_arm(f);
}

static int sim_spawn(struct parent *p, struct run *r)
{
	struct world *w = p->sim;
	uint64_t now = loop_now_ms(w->loop);
	struct fake *f;

	must(r->child.pid == 0 && (r->spec != NULL) == (r->slot->set != NULL));
	/* Commands that came before have younger numbers. */
	must(r->generation > w->generation_seen || (r->spec != NULL && r->spec->hooks_n != 0));
	w->generation_seen = r->generation - 1;
	if (r->slot->set != NULL && (r->slot->set->spec->set.flags & PROC_SET_ONCE) != 0)
		timer_spawned(w, r);
	if (w->spawn_fails || chance(w, 30))
		return -EAGAIN;
	f = fake_new(w, r, r->generation);
	w->generation_seen = p->generation;
	if (!chance(w, 50))
		f->ready_ms = now + 2 + below(w, 400);
	if (r->slot->set == NULL)
		f->hello_ms = now + 1;
	if (chance(w, 300))
		f->die_ms = now + 1 + below(w, chance(w, 500) ? 500 : 30000);
	f->status = chance(w, 500) ? -SIGSEGV : (int)below(w, 3);
	if (w->crashing && r->slot->set != NULL) {
		f->ready_ms = 0;
		f->die_ms = now + 1 + below(w, 20);
	}
	r->child.pid = ++w->next_pid;
	fake_arm(f);
	return 0;
}

static void sim_signal(struct parent *p, struct run *r, int sig, bool all)
{
	struct world *w = p->sim;
	struct fake *f = fake_of(w, r);

	must(f != NULL); /* a signal goes to a living process only */
	must(sig != SIGUSR1 || (r->spec->set.flags & PROC_SET_STACKS) != 0);
	stuck_check_signal(w, r, f, sig);
	if (sig == SIGKILL)
		f->killed = true;
	if (sig == SIGKILL)
		fake_die_in(f, below(w, 5), -SIGKILL);
	else if (sig != SIGUSR1 && sig != SIGCONT && (all || sig != SIGHUP) && !f->deaf)
		fake_die_in(f, below(w, 1500), -sig);
}

static void sim_release(struct parent *p, struct run *r)
{
	parent_release(p, r);
}

static void gate_says_idle(
	struct world *w, const struct run *gate, uint16_t type, const void *what, size_t n)
{
	for (unsigned i = 0; i < IDLES_MAX; i++)
		if (w->idle[i].at_ms == 0) {
			must(n <= sizeof(w->idle[i].m));
			memcpy(&w->idle[i].m, what, n);
			w->idle[i].type = type;
			w->idle[i].gate = gate_place(gate);
			w->idle[i].at_ms = loop_now_ms(w->loop) + 1 + below(w, 3000);
			return;
		}
}

static bool sim_send(struct parent *p, struct run *to, uint16_t type, uint64_t id, const void *a,
	size_t a_len, const void *b, size_t b_len, const int *fds, unsigned nfds)
{
	struct world *w = p->sim;
	struct fake *f = fake_of(w, to);

	(void)id;
	(void)b;
	(void)fds;
	must(msg_allowed(PROC_PARENT, (enum proc)to->slot->role, type, a_len + b_len, nfds) ||
		type == MSG_START);
	if (f == NULL || !to->greeted)
		return false;
	if (type == MSG_STOP && !f->deaf)
		fake_die_in(f, below(w, 6000 + ((const struct msg_stop *)a)->tunnel_ms), 0);
	if (type == MSG_WORKER_DRAIN && drain_says_idle(w, ((const struct msg_worker *)a)->stage))
		gate_says_idle(w, to, MSG_WORKER_IDLE, a, a_len);
	if (type == MSG_SERVICE_DRAIN && drain_says_idle(w, ((const struct msg_service *)a)->stage))
		gate_says_idle(w, to, MSG_SERVICE_IDLE, a, a_len);
	if (type == MSG_SERVICE)
		service_check_told(a);
	return true;
}

static int sim_link(struct parent *p, struct run *worker, const struct msg_worker *m, int fd)
{
	struct world *w = p->sim;

	(void)fd;
	must(fake_of(w, worker) != NULL && m->generation == worker->generation);
	return chance(w, 10) ? -EAGAIN : 0;
}

static uint32_t sim_jitter(struct parent *p)
{
	return (uint32_t)sim_random(((struct world *)p->sim)->sim);
}

static uint64_t sim_rss(struct parent *p, const struct run *r)
{
	(void)r;
	return below(p->sim, 2000);
}

static void sim_stacks(struct parent *p, struct run *r)
{
	must(run_alive(r));
	((struct world *)p->sim)->stacks++;
}

static void sim_sweep(struct parent *p)
{
	struct world *w = p->sim;

	w->swept++;
	must(w->alive == 0);
}

static void sim_say(struct parent *p, const void *event, size_t n)
{
	uint32_t id;

	must(n >= sizeof(id));
	memcpy(&id, event, sizeof(id));
	must(event_row(id) != NULL);
	if (id == EV_WORKER_RECYCLED)
		check_recycled(p->sim, event, n);
}

static const struct parent_ops sim_ops = {
	.spawn = sim_spawn,
	.signal = sim_signal,
	.hook_spawn = unit_spawn_hook,
	.hook_signal = unit_signal_hook,
	.adopt = sim_adopt,
	.release = sim_release,
	.send = sim_send,
	.link = sim_link,
	.random = sim_jitter,
	.rss = sim_rss,
	.stacks = sim_stacks,
	.sweep = sim_sweep,
	.say = sim_say,
};

/* As hear.c would hear it. */
void hear(struct world *w, struct run *from, uint16_t type, const void *payload, size_t n)
{
	struct msg m = {.h = {.len = (uint32_t)n, .type = type, .major = 1}, .payload = payload};

	must(msg_allowed((enum proc)from->slot->role, PROC_PARENT, type, n, 0));
	hear_message(w->p, from, &m);
}

void worker_says(struct world *w, const struct run *r, uint16_t type, uint32_t reason)
{
	struct msg_worker m = {.app = r->slot->set->app,
		.slot = r->slot->index,
		.generation = r->generation,
		.reason = reason};
	struct run *gate = some_gate(w);
	struct fake *f = fake_of(w, r);

	w->heard = gate;
	if (f != NULL && type == MSG_WORKER_BAD)
		f->bad = true;
	if (gate != NULL)
		hear(w, gate, type, &m, sizeof(m));
}

static void worker_ran(struct world *w, const struct run *r)
{
	struct msg_worker m = {.app = r->slot->set->app,
		.slot = r->slot->index,
		.generation = r->generation,
		.requests = (uint32_t)below(w, 50)};
	struct run *gate = some_gate(w);

	if (gate != NULL)
		hear(w, gate, MSG_WORKER_RAN, &m, sizeof(m));
}

static void fake_ready(struct fake *f)
{
	struct run *r = f->run;

	f->ready_ms = 0;
	if (r->slot->set == NULL) {
		if (r->greeted)
			hear(f->world, r, MSG_READY, NULL, 0);
	} else if (r->slot->role == PROC_WORKER) {
		worker_says(f->world, r, MSG_WORKER_UP, 0);
	} else if (r->slot->role == PROC_SERVICE) {
		service_ready(f->world, r);
	}
}

static void fake_on_timer(struct loop *l, struct op *op, int res)
{
	struct fake *f = container_of(op, struct fake, timer.op);
	struct world *w = f->world;
	struct run *r = f->run;
	uint64_t now = loop_now_ms(l);
	struct dying was;

	(void)res;
	if (f->hook) {
		unit_hook_ends(f);
		return;
	}
	if (f->die_ms != 0 && f->die_ms <= now) {
		f->run = NULL;
		w->alive--;
		w->deaths++;
		r->child.pid = 0;
		r->slot->status = f->status;
		death_begins(r, &was);
		watch_event(r, WATCH_DIED);
		check_death(r, &was);
		return;
	}
	if (f->hello_ms != 0 && f->hello_ms <= now) {
		f->hello_ms = 0;
		r->greeted = true;
		wire_greet(w->p, r);
	}
	if (f->run == r && f->ready_ms != 0 && f->ready_ms <= now)
		fake_ready(f);
	if (f->run == r)
		fake_arm(f);
}

/* ---- what ctl, the gates and fate do ---- */

static void ask_set(struct world *w, struct run *ctl)
{
	static const enum proc roles[] = {
		PROC_WORKER, PROC_WORKER, PROC_WORKER, PROC_SERVICE, PROC_POSTGRES};
	struct msg_proc_set set = {
		.role = roles[below(w, ARRAY_LEN(roles))],
		.app = (uint32_t)below(w, APPS),
		.count = 1 + (uint32_t)below(w, 4),
		.flags = (chance(w, 800) ? PROC_SET_ROLLING : 0) |
			 (chance(w, 500) ? PROC_SET_STACKS : 0),
		.start_ms = 300 + (uint32_t)below(w, 2000),
		.stop_ms = (uint32_t)below(w, 3000),
		.argc = 1,
		.envc = 1,
		.life_ms = chance(w, 300) ? 1 + below(w, 60000) : 0,
		.rss_max = chance(w, 300) ? 1 + below(w, 2000) : 0,
		.requests_max = chance(w, 300) ? 1 + (uint32_t)below(w, 100) : 0,
		.drain_s = (uint16_t)below(w, 40),
		.tunnel_s = (uint16_t)(chance(w, 500) ? below(w, 400) : 0),
	};
	char env[32];
	struct buf b;

	/* One that sleeps, and is woken by a gate. */
	if (chance(w, 200)) {
		set.wake = 1 + (uint32_t)below(w, 4);
		set.count *= chance(w, 500);
	}
	set.flags |= chance(w, 100) ? PROC_SET_KEEP : 0;
	if (set.role == PROC_SERVICE)
		service_set(w, &set);
	else
		set.flags |= PROC_SET_LINK;
	if (chance(w, 500))
		w->release++;
	snprintf(env, sizeof(env), "RELEASE=%u", w->release);
	buf_init(&b, CHAN_PAYLOAD_MAX);
	buf_put(&b, &set, sizeof(set));
	pack_str(&b, "app");
	pack_str(&b, "/");
	pack_str(&b, "/app");
	pack_str(&b, "app");
	pack_str(&b, "");
	pack_str(&b, env);
	pack_str(&b, "");
	pack_str(&b, "TERM");
	pack_str(&b, "/socket");
	pack_str(&b, "/");
	if (set.role == PROC_SERVICE)
		unit_pack(w, &set, &b);
	must(b.error == 0);
	hear(w, ctl, MSG_PROC_SET, b.p, b.len);
	buf_done(&b);
}

static void ask_ref(struct world *w, struct run *ctl, uint16_t type)
{
	struct msg_proc_ref ref = {.role = chance(w, 700) ? PROC_WORKER : PROC_SERVICE,
		.app = (uint32_t)below(w, APPS)};

	if (type == MSG_PROC_DROP && chance(w, 300))
		ref.role |= PROC_REF_SOON;
	hear(w, ctl, type, &ref, sizeof(ref));
}

static void want_aide(struct world *w)
{
	struct run *gate = some_gate(w);
	struct msg_want m = {.role = chance(w, 500) ? PROC_RESOLVE : PROC_AUTH};

	if (gate == NULL)
		return;
	hear(w, gate, MSG_WANT, &m, sizeof(m));
	must(w->p->stop_step != STOP_NOT || w->p->aide[m.role == PROC_AUTH]->wanted);
}

/* As many slots as were asked for are there at once, and none when there is nothing to wake. */
static void wake_app(struct world *w)
{
	struct run *gate = some_gate(w);
	struct msg_want m = {.role = PROC_WORKER, .app = (uint32_t)below(w, APPS)};
	struct set *set = sets_find(w->p, PROC_WORKER, m.app);
	uint32_t was = set != NULL ? set->count : 0, n = 0;

	if (gate == NULL)
		return;
	hear(w, gate, MSG_WANT, &m, sizeof(m));
	if (set == NULL || set->dropped || w->p->stop_step != STOP_NOT)
		return;
	for (const struct slot *s = set->slots; s != NULL; s = s->next)
		n += s->wanted;
	must(n == set->count && set->count == (was != 0 ? was : set->spec->set.wake));
	w->woken += was == 0 && n != 0;
}

static void fate(struct world *w)
{
	static const uint32_t reasons[] = {
		CLOSE_APP_GARBAGE, CLOSE_LINK_DEAD, CLOSE_LINK_END, 0, 9999};
	struct fake *f = &w->fake[below(w, FAKES_MAX)];

	/* The next one that lives. */
	for (unsigned i = 0; i < FAKES_MAX && f->run == NULL; i++)
		f = f + 1 == w->fake + FAKES_MAX ? w->fake : f + 1;
	if (f->run == NULL)
		return;
	if (f->run->slot->role != PROC_WORKER || chance(w, 300))
		fake_die_in(f, 0, -SIGKILL);
	else if (chance(w, 500))
		worker_ran(w, f->run);
	else if (chance(w, 500))
		stuck_says(w, f->run);
	else
		worker_says(w, f->run, MSG_WORKER_BAD, reasons[below(w, ARRAY_LEN(reasons))]);
}

static void answer_idle(struct world *w, uint64_t now)
{
	for (unsigned i = 0; i < IDLES_MAX; i++) {
		struct idle *d = &w->idle[i];
		struct run *gate;

		if (d->at_ms == 0 || d->at_ms > now)
			continue;
		d->at_ms = 0;
		if ((gate = core_gate(w->p, d->gate)) != NULL)
			hear(w, gate, d->type, &d->m,
				d->type == MSG_SERVICE_IDLE ? sizeof(d->m.service) : sizeof(d->m.worker));
	}
}

static void driver_on_timer(struct loop *l, struct op *op, int res)
{
	struct world *w = container_of(op, struct world, driver.op);
	struct run *ctl = core_ctl(w->p);
	uint64_t now = loop_now_ms(l);

	(void)res;
	if (chance(w, 5)) {
		take_over(w);
		ctl = core_ctl(w->p);
	}
	answer_idle(w, now);
	if (w->p->stop_step == STOP_NOT && now >= w->stop_ms) {
		w->stop_ms = now;
		stop_begin(w->p, "the test");
	}
	if (w->hurry_ms != 0 && w->p->stop_step != STOP_NOT && now >= w->stop_ms + w->hurry_ms) {
		w->hurry_ms = 0;
		stop_hurry(w->p);
		stuck_all(w);
	}
	w->spawn_fails = chance(w, w->spawn_fails ? 900 : 5);
	/* Nobody asks for anything else that would end its pauses. */
	if (w->crashing && w->p->sets != NULL)
		ctl = NULL;
	if (ctl != NULL && chance(w, 60))
		ask_set(w, ctl);
	if (ctl != NULL && chance(w, 20) && w->p->stop_step == STOP_NOT)
		timer_ask(w, ctl);
	if (ctl != NULL && chance(w, 10))
		ask_ref(w, ctl, MSG_PROC_DROP);
	if (ctl != NULL && chance(w, 40))
		ask_ref(w, ctl, MSG_PROC_RESTART);
	if (ctl != NULL && chance(w, 40))
		ask_ref(w, ctl, MSG_PROC_RELOAD);
	if (ctl != NULL && chance(w, 15))
		ask_gates(w, ctl);
	if (chance(w, 15))
		gate_drains(w);
	if (chance(w, 5))
		want_aide(w);
	if (chance(w, 20))
		wake_app(w);
	if (chance(w, 30))
		fate(w);
	loop_timer_in(l, &w->driver, 1 + below(w, 200));
}

/* What all lives together have seen. */
struct seen {
	unsigned starts, recycled, woken, timed, jittered, longest, stuck, hooks, dead, limited, takeovers, beside, stages[DRAIN_STAGES];
};

static void live(uint64_t seed, struct seen *seen)
{
	static const struct sim_options calm;
	struct sim_options o = calm;
	op_done *table[SIM_OP_KINDS];
	struct world *w = calloc(1, sizeof(*w));
	struct parent *p = calloc(1, sizeof(*p));

	must(w != NULL && p != NULL);
	memcpy(table, parent_op_table, sizeof(parent_op_table));
	table[OP_FAKE] = fake_on_timer;
	table[OP_DRIVER] = driver_on_timer;
	o.seed = seed;
	must(sim_new(&w->sim, &o) == 0);
	must(loop_new_sim(&w->loop, w->sim, table, SIM_OP_KINDS) == 0);
	w->p = p;
	w->driver.op.kind = OP_DRIVER;
	parent_init(p, &sim_ops);
	p->sim = w;
	p->loop = w->loop;
	p->state_dir = p->run_dir = p->roles_dir = (char[]){"/"};
	p->gates = 1 + (unsigned)below(w, 3);
	must(core_new(p) == 0);
	w->stop_ms = 1 + below(w, chance(w, 300) ? 2000 : LIFE_MS_MAX);
	w->hurry_ms = chance(w, 300) ? 1 + below(w, 8000) : 0;
	w->crashing = chance(w, 30);
	if (w->crashing)
		w->stop_ms = LIFE_MS_MAX;
	slot_want(p->log);
	slot_want(p->ctl);
	for (unsigned i = 0; i < p->gates; i++)
		slot_want(p->gate[i]);
	loop_timer_in(w->loop, &w->driver, 1);

	int e = sim_run_until(w->sim, check_all, w, LIFE_MS_MAX + STOP_MS_MAX);
	if (e < 0)
		fprintf(stderr, "seed %llu: %s, stop step %d\n", (unsigned long long)seed,
			strerror(-e), w->p->stop_step);
	must(e == 0 && w->alive == 0 && w->swept == 1 && w->starts == w->deaths);
	seen->starts += w->starts;
	seen->recycled += w->recycled;
	seen->woken += w->woken;
	seen->timed += w->once_runs;
	seen->jittered += w->jittered;
	seen->longest += w->longest;
	seen->stuck += w->stuck;
	seen->hooks += w->hooks;
	seen->dead += w->dead;
	seen->limited += w->limited;
	seen->takeovers += w->takeovers;
	seen->beside += w->beside;
	for (unsigned i = 0; i < ARRAY_LEN(seen->stages); i++)
		seen->stages[i] += w->stages[i];
	p = w->p;
	parent_done(p);
	loop_timer_stop(w->loop, &w->driver);
	loop_free(w->loop);
	sim_free(w->sim);
	free(p);
	free(w);
}

int main(void)
{
	const char *asked = getenv("STEAD_SIM_SEEDS");
	unsigned long seeds = asked != NULL ? strtoul(asked, NULL, 10) : 300;
	const char *only = getenv("STEAD_SIM_SEED");
	unsigned before = open_fds();
	struct seen seen = {0};

	if (only != NULL) {
		live(strtoull(only, NULL, 10), &seen);
		return 0;
	}
	for (unsigned long seed = 1; seed <= seeds; seed++) {
		/* The last line before an abort names the seed. */
		if (getenv("STEAD_SIM_VERBOSE") != NULL)
			fprintf(stderr, "seed %lu\n", seed);
		live(seed, &seen);
		must(open_fds() == before);
	}
	must(seeds < 100 ||
		(seen.recycled > seeds && seen.woken > seeds / 10 && seen.timed > seeds));
	must(seeds < 100 || (seen.hooks > seeds && seen.dead > seeds && seen.limited > 0));
	must(seeds < 100 || (seen.jittered > seeds && seen.longest > 0 && seen.stuck > seeds));
	must(seeds < 100 || (seen.beside > seeds && seen.stages[DRAIN_LEAVE] > seeds && seen.stages[DRAIN_OVER] > seeds));
	printf("%lu lives, %u processes, %u of them replaced for their age, %u sets woken, %u runs "
	       "of a timer, %u commands of units, %u times another parent went on\n",
		seeds, seen.starts, seen.recycled, seen.woken, seen.timed, seen.hooks, seen.takeovers);
	return 0;
}
