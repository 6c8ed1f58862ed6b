/*
 * services.c: programs of an app that are not on the link: what gates are told of them, and what gates
 * and the log process say of them.
 *
 * Called by watch with each run's beginning, readiness, drain and end, by wire.c for newcomers, by
 * hear.c. The parent never asks such a program anything and never reads a notification: gates try
 * whether it answers, the log process reads what it says. Owns nothing.
 */
#include "parent.h"
#include "places.h"
#include "watch.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

static struct msg_service name_of(const struct run *r)
{
	const struct spec *spec = r->spec;

	return (struct msg_service){.app = r->slot->set->app,
		.slot = r->slot->index,
		.generation = r->generation,
		.protocol = spec != NULL ? spec->set.protocol : 0,
		.listen = r->listen,
		.port = r->port,
		.answers = spec != NULL ? spec->set.answers : 0};
}

static void tell(struct parent *p, struct run *gate, const struct run *r, enum service_state state)
{
	struct msg_service m = name_of(r);
	char path[PATH_MAX] = "";
	struct buf b;

	m.state = state;
	if (m.listen == SERVICE_PATH)
		snprintf(path, sizeof(path), "%s", r->spec->socket);
	else if (m.listen != SERVICE_PORT)
		place_path(p, r, path);
	buf_init(&b, CHAN_PAYLOAD_MAX - sizeof(m));
	pack_str(&b, path);
	pack_str(&b, r->spec->probe);
	if (b.error == 0)
		p->ops->send(p, gate, MSG_SERVICE, 0, &m, sizeof(m), b.p, b.len, NULL, 0);
	buf_done(&b);
}

static void tell_all(struct parent *p, const struct run *r, enum service_state state)
{
	for (unsigned i = 0; i < gate_runs(p); i++)
		if (core_gate(p, i) != NULL)
			tell(p, core_gate(p, i), r, state);
}

static void start_trying(struct parent *p, struct run *r)
{
	r->tried = true;
	tell_all(p, r, SERVICE_TRY);
}

static void arm_watchdog(struct parent *p, struct run *r)
{
	if (r->phase != PHASE_UP || r->spec->set.watchdog_ms == 0)
		return;
	r->watchdog_at_ms = loop_now_ms(p->loop) + r->spec->set.watchdog_ms;
	unit_arm(r);
}

static void give_notify(struct parent *p, struct run *log, const struct run *r)
{
	struct msg_service m = name_of(r);
	const char *name = r->slot->set->name;

	if (r->notify_fd >= 0)
		p->ops->send(p, log, MSG_NOTIFY, 0, &m, sizeof(m), name, strlen(name) + 1,
			&r->notify_fd, 1);
}

void services_begin(struct parent *p, struct run *r)
{
	r->listen = (uint8_t)r->spec->set.listen;
	r->tried = false;
	if (core_log(p) != NULL)
		give_notify(p, core_log(p), r);
}

bool services_try(struct parent *p, struct run *r)
{
	if (r->spec->set.ready == SERVICE_PROBED)
		start_trying(p, r);
	return r->spec->set.ready == SERVICE_SPAWNED;
}

void services_up(struct parent *p, struct run *r)
{
	uint64_t most = r->spec->set.runtime_max_ms;

	if (r->listen != SERVICE_NONE)
		tell_all(p, r, SERVICE_SERVES);
	r->runtime_at_ms = most != 0 ? r->up_ms + most : 0;
	arm_watchdog(p, r);
	unit_arm(r);
}

bool services_tell_drain(struct parent *p, struct run *gate, const struct run *r, enum drain_stage stage)
{
	struct msg_service m = name_of(r);

	m.stage = (uint32_t)stage;
	return p->ops->send(p, gate, MSG_SERVICE_DRAIN, 0, &m, sizeof(m), NULL, 0, NULL, 0);
}

bool services_drain(struct parent *p, struct run *r)
{
	memset(r->drain_gates, 0, sizeof(r->drain_gates));
	if (r->listen == SERVICE_NONE)
		return false;
	for (unsigned i = 0; i < gate_runs(p); i++) {
		struct run *gate = core_gate(p, i);

		if (gate != NULL && services_tell_drain(p, gate, r, DRAIN_BEGIN))
			r->drain_gates[i / 64] |= 1ULL << i % 64;
	}
	return run_awaits_gates(r);
}

void services_gone(struct parent *p, struct run *r)
{
	struct msg_service m = name_of(r);

	if (r->spec->set.listen != SERVICE_NONE)
		tell_gates(p, MSG_SERVICE_GONE, &m, sizeof(m), NULL, 0, NULL, 0);
	if (r->notify_fd >= 0 && core_log(p) != NULL)
		p->ops->send(p, core_log(p), MSG_NOTIFY_END, 0, &m, sizeof(m), NULL, 0, NULL, 0);
	place_quiet(p, r);
	r->listen = SERVICE_NONE;
}

/* ---- newcomers ---- */

static void give_run(struct parent *p, struct run *to, struct run *r)
{
	if (!run_alive(r) || r->spec == NULL)
		return;
	if (to->slot->role == PROC_LOG) {
		give_notify(p, to, r);
		/* What it said while nobody listened is lost to us, not its fault. */
		arm_watchdog(p, r);
	} else if (r->phase == PHASE_STARTING && r->tried) {
		tell(p, to, r, SERVICE_TRY);
	} else if (r->phase == PHASE_UP && r->listen != SERVICE_NONE) {
		tell(p, to, r, SERVICE_SERVES);
	}
}

static void give_all(struct parent *p, struct run *to)
{
	for (struct set *set = p->sets; set != NULL; set = set->next)
		for (struct slot *s = set->slots; set->role == PROC_SERVICE && s != NULL;
			s = s->next)
			for (unsigned i = 0; i < ARRAY_LEN(s->run); i++)
				give_run(p, to, &s->run[i]);
}

void services_give_gate(struct parent *p, struct run *gate)
{
	give_all(p, gate);
}

void services_give_log(struct parent *p, struct run *log)
{
	give_all(p, log);
}

/* ---- what is heard ---- */

static struct run *find(struct parent *p, uint32_t app, uint32_t slot, uint64_t generation)
{
	struct set *set = sets_find(p, PROC_SERVICE, app);

	for (struct slot *s = set != NULL ? set->slots : NULL; s != NULL; s = s->next)
		for (unsigned i = 0; s->index == slot && i < ARRAY_LEN(s->run); i++)
			if (s->run[i].generation == generation && run_alive(&s->run[i]))
				return &s->run[i];
	return NULL;
}

/* The first gate that was answered says where; the others use the same. */
static void answered(struct run *r, uint32_t listen)
{
	if (r->phase != PHASE_STARTING || !r->tried)
		return;
	if (r->listen == SERVICE_AUTO && (listen == SERVICE_FD || listen == SERVICE_PORT))
		r->listen = (uint8_t)listen;
	if (r->listen == listen && listen != SERVICE_AUTO)
		watch_event(r, WATCH_READY);
}

void services_heard(struct parent *p, struct run *gate, struct msg *m)
{
	struct msg_service s;
	struct run *r;

	if (msg_get(m, &s, sizeof(s), sizeof(s)) < 0)
		return;
	r = find(p, s.app, s.slot, s.generation);
	if (r == NULL)
		return; /* died meanwhile; the gate has been told */
	if (m->h.type == MSG_SERVICE_UP)
		answered(r, s.listen);
	else
		run_gate_idle(r, gate_place(gate));
}

/* Is it the word of somebody whose word counts? */
static bool counts(const struct run *r, int32_t pid)
{
	switch ((enum service_notify)r->spec->set.notify) {
	case SERVICE_NOTIFY_ALL:
		return true;
	case SERVICE_NOTIFY_EXEC:
		return pid == r->child.pid || (r->hook.pid != 0 && pid == r->hook.pid);
	case SERVICE_NOTIFY_MAIN:
		return pid == r->child.pid;
	default:
		return false;
	}
}

/* The run whose word that is; NULL: it died, or his word does not count. */
static struct run *whose_word(struct parent *p, uint32_t app, uint32_t slot, uint64_t generation, int32_t pid)
{
	struct run *r = find(p, app, slot, generation);

	return r != NULL && counts(r, pid) ? r : NULL;
}

void services_said(struct parent *p, struct msg *m)
{
	struct msg_said s;
	struct run *r;

	if (msg_get(m, &s, sizeof(s), sizeof(s)) < 0 || (r = whose_word(p, s.app, s.slot, s.generation, s.pid)) == NULL)
		return;
	if ((s.what & SAID_READY) != 0 && r->phase == PHASE_STARTING &&
		r->spec->set.ready == SERVICE_NOTIFIES) {
		/* It is ready, and still it is to be found out which of the two it took. */
		if (r->listen != SERVICE_AUTO)
			watch_event(r, WATCH_READY);
		else if (!r->tried)
			start_trying(p, r);
	}
	if ((s.what & SAID_WATCHDOG) != 0)
		arm_watchdog(p, r);
	if ((s.what & SAID_TRIGGER) != 0)
		unit_trigger(r);
	else if (r->phase == PHASE_UP)
		unit_reload_said(r, s.what);
}

/* So long from now on, when that is longer than what it has; of one that runs, RuntimeMaxSec=. */
static void extend(struct run *r, uint32_t ms)
{
	struct loop *l = r->slot->parent->loop;
	uint64_t at = loop_now_ms(l) + ms;

	if (r->phase == PHASE_UP) {
		if (r->runtime_at_ms != 0 && r->runtime_at_ms < at)
			r->runtime_at_ms = at;
		unit_arm(r);
	} else if (r->phase != PHASE_DRAINING && r->timer.at_ms != 0 && r->timer.at_ms < at) {
		loop_timer_in(l, &r->timer, ms);
	}
}

void services_said_more(struct parent *p, struct msg *m)
{
	struct msg_said_more s;
	struct run *r;

	if (msg_get(m, &s, sizeof(s), sizeof(s)) < 0 || (r = whose_word(p, s.app, s.slot, s.generation, s.pid)) == NULL)
		return;
	if (s.main_pid != 0 && s.main_pid != r->child.pid && !r->main_ended && child_moves(p, &r->child, s.main_pid) == 0) {
		r->last_pid = r->child.pid;
		tell_state(p, r);
	}
	if (s.extend_ms != 0)
		extend(r, s.extend_ms);
}
