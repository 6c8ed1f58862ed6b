/*
 * unit_reload.c: a program reads its configuration again: ExecReload=, and what it says itself with Type=notify-reload.
 *
 * Called through the table in watch.c and by services.c. systemd.service(5). A reload is over when its commands are
 * through and, of notify-reload, when RELOADING=1 and then READY=1 were said; ctl is told by the count of those that are
 * over. One that fails leaves the program as it is. Owns that count of a run.
 */
#include "watch.h"
#include <signal.h>

static void over(struct run *r, bool failed)
{
	struct parent *p = r->slot->parent;

	r->reload_at_ms = 0;
	r->reload_waits = r->reload_said = false;
	r->reloads = (r->reloads / 2 + 1) * 2 + failed;
	if (r->phase == PHASE_UP)
		unit_arm(r);
	tell_state(p, r);
}

static void go_on(struct run *r, enum hook_end e)
{
	struct parent *p = r->slot->parent;

	if (e == HOOK_RUNS)
		r->reload_at_ms = loop_now_ms(p->loop) + start_ms(r);
	if (e == HOOK_BAD || (e == HOOK_NONE && !r->reload_waits))
		over(r, e == HOOK_BAD);
	else if (r->phase == PHASE_UP)
		unit_arm(r);
}

void unit_reload(struct run *r)
{
	struct parent *p = r->slot->parent;
	const struct msg_proc_set *set;

	/* One that is under way is what was asked for. */
	if (r->slot->role != PROC_SERVICE || r->hook.pid != 0 || r->reload_at_ms != 0)
		return;
	set = &r->spec->set;
	r->reload_at_ms = loop_now_ms(p->loop) + start_ms(r);
	r->reload_waits = (set->life & SERVICE_LIFE_RELOADS) != 0;
	if (r->reload_waits)
		p->ops->signal(p, r, set->reload_signal != 0 ? (int)set->reload_signal : SIGHUP, false);
	go_on(r, unit_hook_first(r, HOOK_RELOAD));
}

/* A command of ExecReload= ended. When one fails, the rest is left. */
void unit_hook_up(struct run *r)
{
	if (unit_hook_result(r) != RESULT_SUCCESS)
		over(r, true);
	else
		go_on(r, r->phase == PHASE_UP ? unit_hook_next(r, HOOK_RELOAD) : HOOK_NONE);
}

void unit_reload_said(struct run *r, uint32_t what)
{
	if (!r->reload_waits)
		return;
	r->reload_said |= (what & SAID_RELOADING) != 0;
	if (!r->reload_said || (what & SAID_READY) == 0)
		return;
	r->reload_waits = false;
	if (r->hook.pid == 0)
		over(r, false);
}

void unit_reload_late(struct run *r)
{
	struct parent *p = r->slot->parent;

	r->reload_at_ms = 0;
	if (r->hook.pid != 0)
		p->ops->hook_signal(p, r, SIGKILL); /* its end is the reload's */
	else
		over(r, true);
}
