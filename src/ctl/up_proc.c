/*
 * up_proc.c: what the parent says of processes while a flow is under way: which death is the flow's end, and why.
 *
 * Called by procs.c with each change of a process, and by peers.c with the answer to PROC_SET.
 */
#include "deploy.h"
#include "listeners.h"
#include "wants.h"

#include <stdio.h>
#include <string.h>

void up_done(struct ctl *c, uint64_t id, uint32_t err, const char *text)
{
	struct up *u = c->up;

	if (!u || id == 0 || id != u->set_id || err == 0)
		return;
	up_fail(u, VERB_EXIT_FAILED, "this is a bug in stead: please report it",
		"The parent refused to run the app: %s.", text[0] ? text : strerror((int)err));
}

static const char *app_process(uint32_t role)
{
	return role == PROC_WORKER ? "The app's worker" : "The app's program";
}

static bool is_app(uint32_t role)
{
	return role == PROC_WORKER || role == PROC_SERVICE;
}

static void say_death(struct up *u, const struct msg_proc_state *st)
{
	char how[64];

	if (st->spawn_err) {
		up_spawn_failed(u, st,
			st->role == PROC_POSTGRES ? "The database server" : app_process(st->role));
		return;
	}
	if (st->result == RESULT_EXEC_CONDITION)
		(void)snprintf(how, sizeof how, "was not started, as ExecCondition= says,");
	else if (st->status < 0)
		(void)snprintf(how, sizeof how, "was ended by signal %d (%s)", -st->status,
			strsignal(-st->status));
	else
		(void)snprintf(how, sizeof how, "ended with exit status %d", st->status);
	if (st->role == PROC_POSTGRES)
		up_fail(u, VERB_EXIT_FAILED,
			"its own lines above say why; `stead logs postgres` shows more",
			"The database server %s.", how);
	else
		up_fail(u, VERB_EXIT_FAILED,
			u->deploy ? "correct what its own lines above say, then `stead deploy` again; "
				    "what served before serves on"
			: u->reload
				? "correct what its own lines above say, then try again; the old "
				  "workers serve on"
				: "correct what its own lines above say, then run `stead up` again",
			"%s %s before it was ready.", app_process(st->role), how);
}

/* A program that does not answer where it is asked may do so elsewhere. It is looked at before its time is over, for then
 * it is told to end. */
static void watch_starting(struct up *u, const struct msg_proc_state *st)
{
	const struct conf_service *s = &u->c->service;
	bool asked = s->listen == SERVICE_AUTO || s->listen == SERVICE_PORT || s->listen == SERVICE_FD;

	if (st->role != PROC_SERVICE || st->phase != PHASE_STARTING || u->looked_at || !asked)
		return;
	u->looked_at = (pid_t)st->pid;
	loop_timer_in(u->ctl->loop, &u->look, s->start_ms - s->start_ms / 4);
}

void up_on_look(struct loop *l, struct op *op, int res)
{
	struct up *u = container_of(op, struct up, look.op);

	(void)l;
	(void)res;
	if (!u->failing && u->c)
		u->own_port = listeners_own_port(u->ctl, u->app.uid, u->looked_at);
}

static void say_not_ready(struct up *u, const struct msg_proc_state *st, const char *todo)
{
	uint64_t s = (u->c->python ? u->c->health_timeout_ms : u->c->service.start_ms) / 1000;
	char own[200];

	if (u->own_port == 0 || u->own_port == st->port || (pid_t)st->pid != u->looked_at) {
		up_fail(u, VERB_EXIT_FAILED, todo, "%s was not ready within %llu s.", app_process(st->role), (unsigned long long)s);
		return;
	}
	(void)snprintf(own, sizeof own, "write Listen=port:%u in [Service]; or let it take the port from the variable PORT, then the next "
		"release can start beside it", u->own_port);
	up_fail(u, VERB_EXIT_FAILED, own, "%s was not ready within %llu s: it listens at port %u, which it was not given.",
		app_process(st->role), (unsigned long long)s, u->own_port);
}

/* Is its program one of that name? */
static bool runs(const struct up *u, const char *name)
{
	const char *path = u->c->service.command ? u->c->service.command->path : "", *slash = strrchr(path, '/');

	return strcmp(slash ? slash + 1 : path, name) == 0;
}

/* What a program that runs and is not ready is waited for. */
static const char *not_ready_todo(const struct up *u)
{
	static const char *const todo[] = {
		[SERVICE_NONE] = "",
		[SERVICE_FD] = "with Listen=fd it answers Health=, with a status below 500, on the socket handed over as "
			       "descriptor 3 (LISTEN_FDS)",
		[SERVICE_PORT] = "with Listen=port it answers Health=, with a status below 500, at 127.0.0.1 and the port of the "
				 "variable PORT",
		[SERVICE_AUTO] = "it answers Health=, with a status below 500, on the socket handed over as descriptor 3 "
				 "(LISTEN_FDS) or at 127.0.0.1 and the port of the variable PORT; "
				 "Environment=PORT=N or Listen=unix:PATH say where it listens else",
		[SERVICE_PATH] = "it makes the socket that Listen= names, where the gates may connect "
				 "to it",
	};

	if (u->c->php.on)
		return "PHP runs, and the page of Health= (/) has no status below 500: correct what its own lines above say, or name "
		       "another path with Health= in [Site]";
	/* It says so itself, or is asked for a page in HTTP at a place where it does not listen, or in another language. */
	if (runs(u, "uwsgi") && u->c->service.protocol != CONF_PROTOCOL_UWSGI)
		return "uWSGI answers at the socket that its own configuration names: write Listen=uwsgi:PATH in [Service], with that path";
	if (u->c->service.linked)
		return "with Listen=link it calls stead_open() and then stead_next(), as libstead(3) "
		       "shows; TimeoutStartSec= is the bound";
	if (u->c->service.ready == SERVICE_NOTIFIES)
		return "with Type=notify it says READY=1 (NotifyAccess=all when another process than "
		       "the first says so); TimeoutStartSec= is the bound";
	return todo[u->c->service.listen];
}

void up_proc(struct ctl *c, const struct msg_proc_state *st, enum proc_phase was,
	uint64_t starting_us)
{
	struct up *u = c->up;

	up_root_settle(c);
	timers_heard(c, st);
	acme_hook_heard(c, st);
	if (is_app(st->role))
		FOR_APPS(c, a)
			if (a->set == st->app)
				trouble_update(a);
	if (is_app(st->role) && procs_failed(st, was))
		verbs_worker_died(c, st);
	deploy_heard(c, st);
	u = c->up;
	if (u && (st->role == PROC_GATE || st->role == PROC_LOG) &&
		st->phase == PHASE_STOPPING && was == PHASE_STARTING)
		up_gate_killed(u, st, starting_us);
	if (u && !u->failing && (st->role == PROC_GATE || st->role == PROC_LOG))
		up_advance(u);
	if (!u || c->up != u || u->failing ||
		st->app != (st->role == PROC_POSTGRES ? APP_NUMBER : u->app.set))
		return;
	if (u->workers_set && is_app(st->role) && st->generation > u->newer_than)
		watch_starting(u, st);
	if (u->rolling && is_app(st->role) && procs_failed(st, was) &&
		st->generation > u->newer_than) {
		say_death(u, st);
		return;
	}
	/* One death before it was ever ready is enough: it would come again. During a reload the
	 * old ones serve on. */
	if (!u->reload &&
		((is_app(st->role) && procs_failed(st, was) && u->workers_set) ||
			(st->role == PROC_POSTGRES && st->phase == PHASE_BACKOFF && u->db != DB_READY && u->db != DB_NOT))) {
		say_death(u, st);
		return;
	}
	if (is_app(st->role) && st->phase == PHASE_STOPPING && was == PHASE_STARTING &&
		u->workers_set && (!u->reload || (u->rolling && st->generation > u->newer_than))) {
		say_not_ready(u, st,
			u->c->python ? "its own lines above may say what it waits for; HealthTimeoutSec= is the bound"
				     : not_ready_todo(u));
		return;
	}
	up_advance(u);
}
