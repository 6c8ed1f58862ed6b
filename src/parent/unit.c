/*
 * unit.c: a program whose life a unit describes: its commands, its end, whether it is started again.
 *
 * Called through the table in watch.c, by watch_acts.c at the turns of a run's life, and by services.c.
 * systemd.service(5), systemd.kill(5); StartLimit of systemd.unit(5). A life is: ExecCondition=,
 * ExecStartPre= (PRE), the program (STARTING, or POST first when nothing tells that it is ready),
 * ExecStartPost= (POST), UP, ExecStop= (ENDING), the signals (STOPPING), ExecStopPost= (AFTER), and
 * then a pause, or DEAD. Owns the result of a slot. Reaches the system through struct parent_ops only.
 */
#include "watch.h"
#include "places.h"
#include <signal.h>
#include <string.h>

/* Exit statuses of systemd.exec(5), when no program came of it. */
enum { STATUS_FOLDER = 200, STATUS_EXEC = 203, WAIT_ON_MS = 1000 };

static const struct msg_proc_set *unit_of(const struct run *r)
{
	return &r->spec->set;
}

void unit_dead(struct run *r)
{
	struct slot *s = r->slot;

	s->unready += r->up_ms == 0;
	s->backoff_ms = s->wait_ms = 0;
	place_shut(s->parent, r);
	say_run(s->parent, r->result == RESULT_SUCCESS ? EV_PROC_ENDED : EV_PROC_GIVEN_UP, r, NULL, 0,
		r->result == RESULT_SUCCESS ? NULL : service_result_names[r->result]);
	phase_set(r, PHASE_DEAD, NO_TIMER);
}

/* ---- commands ---- */

static const char *const hook_keys[] = {[HOOK_CONDITION] = "ExecCondition",
	[HOOK_PRE] = "ExecStartPre",
	[HOOK_START] = "ExecStart",
	[HOOK_POST] = "ExecStartPost",
	[HOOK_RELOAD] = "ExecReload",
	[HOOK_STOP] = "ExecStop",
	[HOOK_AFTER] = "ExecStopPost"};

static void say_hook(struct run *r, enum event id, const struct hook *h)
{
	struct slot *s = r->slot;
	int32_t status = s->status;

	/* The event's status is the command's. */
	if (id == EV_HOOK_FAILED)
		s->status = r->hook_status;
	say_run(s->parent, id, r, NULL, 0, hook_keys[h->kind]);
	s->status = status;
}

static const struct hook *last_hook(const struct run *r)
{
	return &r->spec->hooks[r->hook_next - 1];
}

/* Is there one of that kind from here on? */
static bool has_hook(const struct run *r, unsigned from, enum service_hook kind)
{
	for (unsigned i = from; i < r->spec->hooks_n; i++)
		if (r->spec->hooks[i].kind == kind)
			return true;
	return false;
}

/* The next command of that kind; one that cannot be made has failed. */
enum hook_end unit_hook_next(struct run *r, enum service_hook kind)
{
	struct parent *p = r->slot->parent;

	while (r->hook_next < r->spec->hooks_n) {
		const struct hook *h = &r->spec->hooks[r->hook_next++];

		if (h->kind != kind)
			continue;
		r->hook_ignored = (h->flags & HOOK_IGNORE) != 0;
		if (p->ops->hook_spawn(p, r, h) == 0) {
			say_hook(r, EV_HOOK_STARTED, h);
			return HOOK_RUNS;
		}
		r->hook_status = STATUS_EXEC;
		/* Its start comes to nothing, and would again at once. */
		r->spawn_failed |= kind < HOOK_RELOAD && !r->hook_ignored;
		if (!r->hook_ignored)
			return HOOK_BAD;
	}
	return HOOK_NONE;
}

enum hook_end unit_hook_first(struct run *r, enum service_hook kind)
{
	r->hook_next = 0;
	return unit_hook_next(r, kind);
}

/* Of the command that ended. */
enum service_result unit_hook_result(struct run *r)
{
	enum service_result result = unit_result(r->hook_status, false);

	if (result != RESULT_SUCCESS)
		say_hook(r, EV_HOOK_FAILED, last_hook(r));
	return r->hook_ignored ? RESULT_SUCCESS : result;
}

/* ---- the way up ---- */

static void after(struct run *r)
{
	if (unit_hook_first(r, HOOK_AFTER) == HOOK_RUNS)
		phase_set(r, PHASE_AFTER, stop_ms(r));
	else
		run_over(r);
}

/* It is to end before it was up: what runs of it gets the signal, and it has failed so. */
static void fail(struct run *r, enum service_result result)
{
	unit_judge(r, result);
	/* Of a program that never was the command's status is the last word. */
	if (!r->main_ended && !run_alive(r) && result != RESULT_TIMEOUT)
		r->slot->status = r->status = r->hook_status;
	if (run_alive(r) || r->hook.pid != 0) {
		act_term(r);
		r->wants_kill = true;
	} else {
		after(r);
	}
}

/* Its commands before the start are through, up to here. */
static void go_on(struct run *r, enum service_hook kind)
{
	enum hook_end e = unit_hook_next(r, kind);

	if (e == HOOK_NONE && kind == HOOK_CONDITION)
		e = unit_hook_first(r, HOOK_PRE);
	if (e == HOOK_RUNS)
		phase_set(r, PHASE_PRE, start_ms(r));
	else if (e == HOOK_BAD)
		fail(r, RESULT_EXIT_CODE);
	else
		run_spawn(r);
}

void unit_begin(struct run *r)
{
	struct slot *s = r->slot;

	if (!unit_may_start(s)) {
		r->result = RESULT_START_LIMIT_HIT;
		spec_unref(r->spec);
		r->spec = NULL;
		unit_dead(r);
		return;
	}
	r->result = RESULT_SUCCESS;
	r->status = 0;
	r->watchdog_at_ms = r->runtime_at_ms = r->reload_at_ms = 0;
	r->reloads = 0;
	r->reload_waits = r->reload_said = false;
	r->hook_next = 0;
	go_on(r, HOOK_CONDITION);
}

void unit_hook_pre(struct run *r)
{
	enum service_hook kind = (enum service_hook)last_hook(r)->kind;
	bool no = kind == HOOK_CONDITION && r->hook_status > 0 && r->hook_status < 255;
	enum service_result result = no && !r->hook_ignored ? RESULT_EXEC_CONDITION : unit_hook_result(r);

	if (result != RESULT_SUCCESS)
		fail(r, result);
	else
		go_on(r, kind);
}

void unit_spawn_failed(struct run *r)
{
	struct slot *s = r->slot;

	if (strcmp(s->spawn_step, "exec") == 0)
		s->status = STATUS_EXEC;
	else if (strcmp(s->spawn_step, "working folder") == 0)
		s->status = STATUS_FOLDER;
	r->status = s->status;
	unit_judge(r, s->status == 127 ? RESULT_RESOURCES : RESULT_EXIT_CODE);
	after(r);
}

/* It is up, or, of Type=oneshot, it has done what it had to do. */
static void done(struct run *r)
{
	if (unit_of(r)->ready != SERVICE_EXITS) {
		act_up(r);
		return;
	}
	r->slot->unready = 0;
	r->up_ms = loop_now_ms(r->slot->parent->loop);
	if ((unit_of(r)->life & SERVICE_LIFE_REMAIN) != 0)
		phase_set(r, PHASE_EXITED, NO_TIMER);
	else
		unit_end(r);
}

/* ExecStartPost=, from the first or the next on; then `done`, or waiting for an answer. */
static void post(struct run *r, bool begin)
{
	enum hook_end e = begin ? unit_hook_first(r, HOOK_POST) : unit_hook_next(r, HOOK_POST);

	if (e == HOOK_RUNS) {
		phase_set(r, PHASE_POST, start_ms(r));
	} else if (e == HOOK_BAD) {
		fail(r, RESULT_EXIT_CODE);
	} else if (unit_of(r)->ready == SERVICE_PROBED) {
		phase_set(r, PHASE_STARTING, start_ms(r));
		(void)services_try(r->slot->parent, r);
	} else {
		done(r);
	}
}

void unit_spawned(struct run *r)
{
	uint32_t ready = unit_of(r)->ready;

	services_begin(r->slot->parent, r);
	r->hook_next = 0;
	if (ready == SERVICE_SPAWNED || ready == SERVICE_PROBED)
		post(r, true);
	else
		phase_set(r, PHASE_STARTING, start_ms(r));
}

void unit_ready(struct run *r)
{
	if (r->slot->role == PROC_SERVICE && unit_of(r)->ready == SERVICE_NOTIFIES)
		post(r, true);
	else
		act_up(r);
}

/* A further command of Type=oneshot ended, or the first one did. */
static void oneshot(struct run *r, bool begin)
{
	enum hook_end e = begin ? unit_hook_first(r, HOOK_START) : unit_hook_next(r, HOOK_START);

	if (e == HOOK_RUNS)
		phase_set(r, PHASE_STARTING, start_ms(r));
	else if (e == HOOK_BAD)
		fail(r, RESULT_EXIT_CODE);
	else
		post(r, true);
}

void unit_hook_starting(struct run *r)
{
	enum service_result result = unit_hook_result(r);

	if (result == RESULT_SUCCESS) {
		oneshot(r, false);
		return;
	}
	r->slot->status = r->status = r->hook_status;
	fail(r, result);
}

void unit_hook_post(struct run *r)
{
	enum service_result result = unit_hook_result(r);
	bool once = unit_of(r)->ready == SERVICE_EXITS;

	if (result != RESULT_SUCCESS)
		fail(r, result);
	else if (run_alive(r) || (once && r->result == RESULT_SUCCESS))
		post(r, false);
	else if (r->result == RESULT_SUCCESS)
		unit_end(r);
	else
		after(r);
}

void unit_late(struct run *r)
{
	struct parent *p = r->slot->parent;

	if (r->phase != PHASE_STARTING)
		say_run(p, EV_PROC_NOT_READY, r, "ms", loop_now_ms(p->loop) - r->started_ms, NULL);
	fail(r, RESULT_TIMEOUT);
}

/* ---- up ---- */

void unit_arm(struct run *r)
{
	struct loop *l = r->slot->parent->loop;
	const uint64_t at[] = {r->watchdog_at_ms, r->runtime_at_ms, r->reload_at_ms};
	uint64_t first = 0, now = loop_now_ms(l);

	for (size_t i = 0; i < ARRAY_LEN(at); i++)
		if (at[i] != 0 && (first == 0 || at[i] < first))
			first = at[i];
	loop_timer_stop(l, &r->timer);
	if (first != 0)
		loop_timer_in(l, &r->timer, first > now ? first - now : 0);
}

static void bark(struct run *r)
{
	struct parent *p = r->slot->parent;
	uint32_t sig = unit_of(r)->watchdog_signal;

	unit_judge(r, RESULT_WATCHDOG);
	r->wants_kill = true;
	say_run(p, EV_PROC_KILLED, r, NULL, 0, "it did not say WATCHDOG=1 in time");
	p->ops->signal(p, r, sig != 0 ? (int)sig : SIGABRT, true);
	phase_set(r, PHASE_STOPPING, unit_of(r)->abort_ms);
}

void unit_trigger(struct run *r)
{
	if (r->phase == PHASE_UP)
		bark(r);
}

void unit_timer(struct run *r)
{
	struct parent *p = r->slot->parent;
	uint64_t now = loop_now_ms(p->loop);

	if (r->watchdog_at_ms != 0 && now >= r->watchdog_at_ms) {
		bark(r);
	} else if (r->runtime_at_ms != 0 && now >= r->runtime_at_ms) {
		unit_judge(r, RESULT_TIMEOUT);
		act_drain(r);
	} else {
		if (r->reload_at_ms != 0 && now >= r->reload_at_ms)
			unit_reload_late(r);
		unit_arm(r);
	}
}

/* ---- the way down ---- */

void unit_signal_stop(struct run *r)
{
	struct parent *p = r->slot->parent;
	const struct msg_proc_set *set = unit_of(r);
	int sig = r->refreshed && set->restart_signal != 0 ? (int)set->restart_signal
							   : r->spec->stop_signal;

	if (run_alive(r) && set->kill != SERVICE_KILL_NONE) {
		p->ops->signal(p, r, sig, true);
		if ((set->life & SERVICE_LIFE_HUP) != 0 && sig != SIGHUP)
			p->ops->signal(p, r, SIGHUP, true);
		/* One that is stopped hears nothing before. */
		if (sig != SIGKILL)
			p->ops->signal(p, r, SIGCONT, true);
	}
	if (r->hook.pid != 0)
		p->ops->hook_signal(p, r, sig);
}

void unit_end(struct run *r)
{
	enum hook_end e = HOOK_NONE;

	/* A reload that is under way is over. */
	if (r->hook.pid != 0) {
		act_term(r);
		return;
	}
	if (!r->slot->parent->stop_now)
		e = unit_hook_first(r, HOOK_STOP);
	if (e == HOOK_BAD)
		unit_judge(r, RESULT_EXIT_CODE);
	if (e == HOOK_RUNS)
		phase_set(r, PHASE_ENDING, stop_ms(r));
	else if (run_alive(r))
		act_term(r);
	else
		after(r);
}

void unit_leave(struct run *r)
{
	unit_end(r);
}

/* ExecStop= is through. */
static void ended(struct run *r)
{
	if (run_alive(r))
		act_term(r);
	else
		after(r);
}

void unit_hook_ending(struct run *r)
{
	enum service_result result = unit_hook_result(r);
	enum hook_end e = result == RESULT_SUCCESS ? unit_hook_next(r, HOOK_STOP) : HOOK_BAD;

	if (e == HOOK_RUNS) {
		phase_set(r, PHASE_ENDING, stop_ms(r));
		return;
	}
	if (e == HOOK_BAD)
		unit_judge(r, result != RESULT_SUCCESS ? result : RESULT_EXIT_CODE);
	ended(r);
}

void unit_late_ending(struct run *r)
{
	unit_judge(r, RESULT_TIMEOUT);
	act_term(r);
}

void unit_hook_stopping(struct run *r)
{
	if (!run_alive(r))
		after(r);
}

bool unit_kill(struct run *r)
{
	struct parent *p = r->slot->parent;
	const struct msg_proc_set *set = unit_of(r);
	int sig = (int)set->final_signal;

	unit_judge(r, RESULT_TIMEOUT);
	if ((set->life & SERVICE_LIFE_NO_KILL) != 0 && p->stop_step == STOP_NOT) {
		if (!r->final_sent)
			say_run(p, EV_PROC_KILLED, r, NULL, 0,
				"it does not end, and SendSIGKILL=no: it is waited for");
		r->final_sent = true;
		phase_set(r, PHASE_STOPPING, WAIT_ON_MS);
		return false;
	}
	if (sig == 0 || sig == SIGKILL || r->final_sent || p->stop_now)
		return true;
	r->final_sent = true;
	if (run_alive(r))
		p->ops->signal(p, r, sig, true);
	if (r->hook.pid != 0)
		p->ops->hook_signal(p, r, sig);
	phase_set(r, PHASE_STOPPING, stop_ms(r));
	return false;
}

void unit_hook_after(struct run *r)
{
	enum service_result result = unit_hook_result(r);

	unit_judge(r, result);
	if (result == RESULT_SUCCESS && unit_hook_next(r, HOOK_AFTER) == HOOK_RUNS)
		phase_set(r, PHASE_AFTER, stop_ms(r));
	else
		run_over(r);
}

void unit_late_after(struct run *r)
{
	struct parent *p = r->slot->parent;

	unit_judge(r, RESULT_TIMEOUT);
	r->hook_next = r->spec->hooks_n;
	p->ops->hook_signal(p, r, SIGKILL);
	phase_set(r, PHASE_AFTER, KILL_AGAIN_MS);
}

/* ---- its process ended ---- */

/* By itself, and with success. */
static void ended_well(struct run *r)
{
	bool waits = has_hook(r, 0, HOOK_STOP);

	/* One that a newer one has taken the place of has nothing to stand for. */
	if ((unit_of(r)->life & SERVICE_LIFE_REMAIN) != 0 && r == slot_run(r->slot))
		phase_set(r, PHASE_EXITED, NO_TIMER);
	else if (waits)
		unit_end(r);
	else
		after(r);
}

static void judge_end(struct run *r)
{
	enum service_result result;

	r->status = r->slot->status;
	result = unit_main_result(r);
	if (r->phase == PHASE_STARTING && unit_of(r)->ready == SERVICE_NOTIFIES && result == RESULT_SUCCESS)
		result = RESULT_PROTOCOL;
	unit_judge(r, result);
}

/* What it left behind runs on: that gets the stop signal, as it would have. */
void unit_left(struct run *r)
{
	r->asked = r->phase == PHASE_STOPPING && !r->wants_kill;
	r->main_ended = true;
	judge_end(r);
	if (r->phase == PHASE_STOPPING || r->phase == PHASE_ENDING)
		return; /* its end is under way */
	if (r->phase == PHASE_UP && r->result == RESULT_SUCCESS && r->hook.pid == 0)
		unit_end(r);
	else
		act_term(r);
}

void unit_died(struct run *r)
{
	uint32_t ready = unit_of(r)->ready;
	bool starting = r->phase == PHASE_STARTING;

	if (!r->main_ended)
		judge_end(r);
	r->main_ended = true;
	if (r->phase == PHASE_POST || r->phase == PHASE_ENDING)
		return; /* its command ends first */
	/* What else runs goes with it. */
	if (r->hook.pid != 0) {
		if (r->phase != PHASE_STOPPING) {
			act_term(r);
			r->wants_kill = true;
		}
		return;
	}
	if (starting && ready == SERVICE_EXITS && r->result == RESULT_SUCCESS)
		oneshot(r, true);
	else if ((starting || r->phase == PHASE_UP) && r->result == RESULT_SUCCESS)
		ended_well(r);
	else
		after(r);
}
