/*
 * up_gates.c: how many gates there shall be, and whether they and the log process come up.
 *
 * Called by the up flow, by reload when it reverts and by a respawned ctl. What is told to the
 * parent it keeps to itself: it starts what is missing and lets what is too many drain. One that
 * fails to start again and again, that never says that it is ready, or that cannot accept ends the
 * flow with the reason; the parent goes on trying, because for a site that is live the reason may go
 * away. A site that is live reloads without a log process. Owns nothing.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* One failure may be the moment's (no memory, no process); this many within a second are not. */
enum { GATE_TRIES = 3, SILENT_S = 3 };

int gates_send(struct ctl *c, const struct conf_app *conf)
{
	struct msg_gates m = {.count = conf->gates, .drain_max_ms = (uint32_t)conf->drain_max_ms};
	int err = parent_send(c, MSG_GATES, 0, &m, sizeof m, NULL, 0, NULL, 0);

	if (err == 0)
		c->start.gates = m.count;
	return err;
}

void up_spawn_failed(struct up *u, const struct msg_proc_state *st, const char *what)
{
	char step[sizeof st->spawn_step + 1], todo[CTL_PATH_MAX];
	const char *name = st->role < PROC_END ? proc_rows[st->role].name : "?";

	(void)snprintf(step, sizeof step, "%.*s", (int)sizeof st->spawn_step, st->spawn_step);
	bool own = st->role == PROC_GATE || st->role == PROC_LOG;

	if (own && st->spawn_err == ENOENT)
		(void)snprintf(todo, sizeof todo,
			"%s/stead-%s is missing or its interpreter is: install stead again",
			u->ctl->roles_dir, name);
	else if (own && (st->spawn_err == EACCES || st->spawn_err == EPERM))
		(void)snprintf(todo, sizeof todo,
			"see that %s/stead-%s may be executed by whom it runs as (ls -l; the file "
			"system not mounted noexec), and that a container allows this step",
			u->ctl->roles_dir, name);
	else if (st->spawn_err == EAGAIN || st->spawn_err == ENOMEM || st->spawn_err == EMFILE ||
		 st->spawn_err == ENFILE)
		(void)snprintf(todo, sizeof todo,
			"memory, processes or descriptors are used up: raise the limit (ulimit "
			"-a) or end something, then try again");
	else if (!own && st->spawn_err == ENOEXEC)
		(void)snprintf(todo, sizeof todo, "a script names its interpreter in its first line (#!/usr/bin/python3); "
			"any other program has to be one of this kind of machine (`file` says what it is)");
	else if (!own && st->spawn_err == ENOENT)
		(void)snprintf(todo, sizeof todo, "the program, or the interpreter that its first line names, is not where the app runs: "
			"see that line (a carriage return at its end counts, too)");
	else
		(void)snprintf(todo, sizeof todo, "`stead logs` and %s/boot.log may say more",
			u->ctl->state_dir);
	up_fail(u, VERB_EXIT_FAILED, todo, "%s cannot be started: the step \"%s\" failed: %s.", what,
		step, strerror((int)st->spawn_err));
}

static void name_of(const struct msg_proc_state *st, char ret[48])
{
	if (st->role == PROC_LOG)
		(void)snprintf(ret, 48, "The log process (stead-log)");
	else
		(void)snprintf(ret, 48, "Gate %u (stead-gate)", (unsigned)st->index);
}

static void say_words(const struct up *u, char ret[CTL_PATH_MAX])
{
	(void)snprintf(ret, CTL_PATH_MAX, "its own words are in %s/boot.log and `stead logs`",
		u->ctl->state_dir);
}

static void ended_early(struct up *u, const struct msg_proc_state *st)
{
	char how[80], todo[CTL_PATH_MAX], what[48];

	if (st->status < 0)
		(void)snprintf(how, sizeof how, "was ended by signal %d (%s)", -st->status,
			strsignal(-st->status));
	else
		(void)snprintf(how, sizeof how, "ended with exit status %d", st->status);
	name_of(st, what);
	say_words(u, todo);
	up_fail(u, VERB_EXIT_FAILED, todo, "%s %s before it was ready, %u times in a row.", what,
		how, (unsigned)st->unready);
}

/* Is it one that this flow cannot do without? */
static bool needed(const struct up *u, const struct msg_proc_state *st)
{
	return (st->role == PROC_GATE && st->index < u->ctl->start.gates) ||
	       (st->role == PROC_LOG && !u->reload);
}

bool up_gates_failed(struct up *u)
{
	const struct ctl *c = u->ctl;

	for (unsigned i = 0; i < c->procs_n && !u->failing; i++) {
		const struct msg_proc_state *st = &c->procs[i].st;
		char what[48];

		if (!needed(u, st) || st->phase != PHASE_BACKOFF || st->unready < GATE_TRIES)
			continue;
		name_of(st, what);
		if (st->spawn_err)
			up_spawn_failed(u, st, what);
		else
			ended_early(u, st);
	}
	return u->failing;
}

void up_gate_killed(struct up *u, const struct msg_proc_state *st, uint64_t starting_us)
{
	uint64_t us = st->since_wall_us - min_of(starting_us, st->since_wall_us),
		 s = (us + 500000) / 1000000;
	char what[48], todo[CTL_PATH_MAX];

	if (!needed(u, st) || u->ctl->stopping)
		return;
	name_of(st, what);
	say_words(u, todo);
	if (s >= SILENT_S)
		up_fail(u, VERB_EXIT_FAILED, todo,
			"%s runs, and did not say that it is ready within %u s.", what,
			(unsigned)s);
	else
		up_fail(u, VERB_EXIT_FAILED, todo,
			"%s broke the message protocol before it was ready, and was ended.", what);
}

void up_gate_deaf(struct ctl *c, uint32_t gate, uint32_t err, const char *address)
{
	struct up *u = c->up;

	if (!u || gate >= c->start.gates)
		return;
	up_fail(u, VERB_EXIT_FAILED,
		err == EMFILE || err == ENFILE || err == ENOMEM || err == ENOSPC
			? "memory, descriptors or watches are used up: raise the limit (ulimit -n, "
			  "sysctl fs.epoll.max_user_watches) or end something, then try again"
			: "this is a bug in stead: please report it",
		"Gate %u (stead-gate) cannot accept connections on %s: %s.", (unsigned)gate,
		address, strerror((int)err));
}
