/*
 * unit_judge.c: what a unit makes of an end: was it success, is it started again, when, and how often.
 *
 * Called by unit.c and watch_acts.c. Decides by the spec, the run's status and the clock alone; the
 * table of Restart= is that of systemd.service(5), the bound on starts that of systemd.unit(5). Owns
 * nothing and changes nothing but the result of a run and the count of starts.
 */
#include "watch.h"
#include <signal.h>

static bool in_exits(const struct service_exits *e, int32_t status)
{
	if (status >= 0)
		return status < 256 && (e->code[status / 64] >> status % 64 & 1) != 0;
	return status >= -64 && (e->signal >> (-status - 1) & 1) != 0;
}

/* Signals that end a daemon as somebody wished it. */
static bool clean_signal(int32_t status)
{
	return status == -SIGHUP || status == -SIGINT || status == -SIGTERM || status == -SIGPIPE;
}

enum service_result unit_result(int32_t status, bool dumped)
{
	if (status > 0)
		return RESULT_EXIT_CODE;
	return status == 0 ? RESULT_SUCCESS : dumped ? RESULT_CORE_DUMP : RESULT_SIGNAL;
}

enum service_result unit_main_result(const struct run *r)
{
	const struct msg_proc_set *set = &r->spec->set;
	int32_t status = r->status;

	if (status == 0 || (set->life & SERVICE_LIFE_IGNORE) != 0 ||
		in_exits(&set->success, status) ||
		(set->ready != SERVICE_EXITS && clean_signal(status)))
		return RESULT_SUCCESS;
	return unit_result(status, r->slot->dumped);
}

/* The first thing that went wrong is the result. */
void unit_judge(struct run *r, enum service_result result)
{
	if (r->result == RESULT_SUCCESS)
		r->result = (uint8_t)result;
}

bool unit_restarts(const struct run *r)
{
	const struct msg_proc_set *set = &r->slot->set->spec->set;

	if (r->main_ended || r->spawn_failed) {
		if (in_exits(&set->prevent, r->status))
			return false;
		if (in_exits(&set->force, r->status))
			return true;
	}
	switch ((enum service_restart)set->restart) {
	case SERVICE_RESTART_NO:
		return false;
	case SERVICE_RESTART_ON_SUCCESS:
		return r->result == RESULT_SUCCESS;
	case SERVICE_RESTART_ON_FAILURE:
		return r->result != RESULT_SUCCESS && r->result != RESULT_EXEC_CONDITION;
	case SERVICE_RESTART_ON_ABNORMAL:
		return r->result != RESULT_SUCCESS && r->result != RESULT_EXIT_CODE &&
		       r->result != RESULT_EXEC_CONDITION;
	case SERVICE_RESTART_ON_WATCHDOG:
		return r->result == RESULT_WATCHDOG;
	case SERVICE_RESTART_ON_ABORT:
		return r->result == RESULT_SIGNAL || r->result == RESULT_CORE_DUMP;
	case SERVICE_RESTART_STEAD:
		/* What does its work and ends has done it. */
		if (set->ready == SERVICE_EXITS)
			return false;
		return r->result != RESULT_EXEC_CONDITION;
	default:
		return r->result != RESULT_EXEC_CONDITION;
	}
}

bool unit_lingers(const struct run *r)
{
	const struct msg_proc_set *set = r->spec != NULL ? &r->spec->set : NULL;

	/* One that is there without a process, and one whose next command follows, go on with what they have. */
	return set != NULL && r->slot->role == PROC_SERVICE && r->child.cgroup_fd >= 0 && set->kill == SERVICE_KILL_GROUP &&
	       set->ready != SERVICE_EXITS && (set->life & SERVICE_LIFE_REMAIN) == 0 && !r->wants_kill &&
	       !r->slot->parent->stop_now;
}

bool unit_pause(const struct slot *s, uint32_t *ret_ms)
{
	const struct msg_proc_set *set = s->set != NULL ? &s->set->spec->set : NULL;
	double ms;

	if (set == NULL || (set->life & SERVICE_LIFE_PAUSE) == 0)
		return false;
	ms = set->restart_ms;
	/* The first pause is RestartSec=, the one behind the last step RestartMaxDelaySec=. */
	for (uint32_t i = 0; i < s->restarts && i < set->restart_steps; i++)
		ms = ms * (double)set->restart_ratio / 1e6;
	if (set->restart_steps != 0 && (s->restarts >= set->restart_steps || ms > set->restart_max_ms))
		ms = set->restart_max_ms;
	*ret_ms = (uint32_t)ms;
	return true;
}

bool unit_may_start(struct slot *s)
{
	const struct msg_proc_set *set = &s->set->spec->set;
	uint64_t now = loop_now_ms(s->parent->loop);

	if (set->limit_ms == 0 || set->limit_burst == 0)
		return true;
	if (s->limit_n == 0 || now - s->limit_ms > set->limit_ms) {
		s->limit_ms = now;
		s->limit_n = 1;
		return true;
	}
	if (s->limit_n <= set->limit_burst)
		s->limit_n++;
	return s->limit_n <= set->limit_burst;
}

void unit_forgive(struct slot *s)
{
	s->limit_n = 0;
}
