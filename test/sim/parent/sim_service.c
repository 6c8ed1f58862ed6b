/*
 * sim_service.c: programs of an app that are not on the link, in a simulated life of the parent.
 *
 * They say that they are ready and they answer in whatever order, asked or not, and at times at a place
 * that they have not; gates must never be sent where nothing answers.
 */
#include "sim_world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void service_set(struct world *w, struct msg_proc_set *set)
{
	set->listen = (uint32_t)sim_below(w->sim, SERVICE_PATH + 1);
	set->notify = (uint32_t)sim_below(w->sim, SERVICE_NOTIFY_ALL + 1);
	set->ready = set->listen == SERVICE_NONE   ? SERVICE_SPAWNED
		     : set->listen == SERVICE_AUTO ? SERVICE_PROBED
						   : (uint32_t)sim_below(w->sim, SERVICE_NOTIFIES);
	if (set->notify != SERVICE_NOTIFY_NONE && sim_chance(w->sim, 500)) {
		set->ready = SERVICE_NOTIFIES;
		set->watchdog_ms = (uint32_t)sim_below(w->sim, 20000);
	}
	unit_set(w, set);
}

static void says(struct world *w, const struct run *r, uint32_t what)
{
	struct msg_said m = {.app = r->slot->set->app,
		.slot = r->slot->index,
		.generation = r->generation,
		.what = what,
		.pid = sim_chance(w->sim, 100) ? 1 : r->child.pid};

	if (core_log(w->p) != NULL)
		hear(w, core_log(w->p), MSG_SAID, &m, sizeof(m));
}

static void answers(struct world *w, const struct run *r, uint32_t listen)
{
	struct msg_service m = {.app = r->slot->set->app,
		.slot = r->slot->index,
		.generation = r->generation,
		.listen = listen};
	struct run *gate = some_gate(w);

	if (gate != NULL)
		hear(w, gate, MSG_SERVICE_UP, &m, sizeof(m));
}

void service_ready(struct world *w, struct run *r)
{
	uint32_t listen = r->spec->set.listen;
	uint64_t generation = r->generation;
	bool notifies = r->spec->set.ready == SERVICE_NOTIFIES;

	if (listen == SERVICE_AUTO)
		listen = sim_chance(w->sim, 500) ? SERVICE_FD : SERVICE_PORT;
	if (sim_chance(w->sim, 100))
		listen = (uint32_t)sim_below(w->sim, 6);
	if (sim_chance(w->sim, 500))
		answers(w, r, listen);
	/* Its own word is awaited: that a gate was answered before says nothing. */
	must(!notifies || r->phase != PHASE_UP);
	says(w, r, SAID_READY | SAID_WATCHDOG | SAID_STOPPING);
	if (r->generation == generation && run_alive(r))
		answers(w, r, listen);
	must(r->generation != generation || r->phase != PHASE_UP || r->listen != SERVICE_AUTO);
}

void service_check_told(const void *service)
{
	struct msg_service m;

	memcpy(&m, service, sizeof(m));
	must(m.listen != SERVICE_NONE);
	must(m.state == SERVICE_TRY || (m.state == SERVICE_SERVES && m.listen != SERVICE_AUTO));
}

/* ---- [Timer] ---- */

/* What was asked for and has had its time was begun: asked once more, nothing begins. */
void timer_ask(struct world *w, struct run *ctl)
{
	const struct set *known = sets_find(w->p, PROC_SERVICE, APPS);
	struct msg_proc_set set = {.role = PROC_SERVICE,
		.app = APPS,
		.count = 1,
		.flags = PROC_SET_ONCE,
		.stop_ms = (uint32_t)sim_below(w->sim, 3000),
		.argc = 1,
		.envc = 1,
		.listen = SERVICE_NONE,
		.ready = SERVICE_SPAWNED};
	char env[32];
	struct buf b;

	if (known != NULL && slot_down(known->slots) && loop_now_ms(w->loop) > w->once_ms)
		must(w->once_run == w->once_asked);
	if (w->once_asked == 0 || sim_chance(w->sim, 500)) {
		w->once_asked++;
		w->once_ms = loop_now_ms(w->loop);
	} else {
		set.stop_ms = known->spec->set.stop_ms; /* the very same */
	}
	(void)snprintf(env, sizeof(env), "RUN=%u", w->once_asked);
	buf_init(&b, CHAN_PAYLOAD_MAX);
	buf_put(&b, (const char *)&set, sizeof(set));
	for (const char *const *t = (const char *const[]){"timer", "/", "/run", "run", "", env, "",
		     "TERM", "", "", NULL};
		*t; t++)
		pack_str(&b, *t);
	must(b.error == 0);
	hear(w, ctl, MSG_PROC_SET, b.p, b.len);
	buf_done(&b);
}

/* Each number begins once, in their order, and never over a run. */
void timer_spawned(struct world *w, const struct run *r)
{
	uint32_t number = (uint32_t)strtoul(r->slot->set->spec->envp[0] + 4, NULL, 10);

	must(number > w->once_run && number == w->once_asked);
	must(r->slot->run[0].child.pid == 0 && r->slot->run[1].child.pid == 0);
	w->once_run = number;
	w->once_runs++;
}
