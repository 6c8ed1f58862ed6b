/*
 * procs.c: what the parent last said of each of its processes (PROC_STATE).
 *
 * Called by peers.c with each message, also of the log's SAID_STATUS; asked by status, the up flow
 * and restart. Owns the table, bounded; the parent tells all of it again to a new ctl.
 */
#include "ctl.h"
#include "listeners.h"
#include "plain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* During a replacement two generations share a slot, and both are told. */
static struct proc_info *find(struct ctl *c, const struct msg_proc_state *st)
{
	struct proc_info *free_row = NULL;

	for (unsigned i = 0; i < c->procs_n; i++) {
		struct proc_info *p = &c->procs[i];

		if (p->st.role == st->role && p->st.app == st->app && p->st.index == st->index) {
			if (p->st.generation == st->generation)
				return p;
			/* Of an older generation only what still runs is of interest. */
			if (p->st.pid == 0 || p->st.phase == PHASE_DOWN ||
				p->st.phase == PHASE_BACKOFF)
				free_row = p;
		}
	}
	if (free_row)
		return free_row;
	if (c->procs_n >= CTL_PROCS_MAX)
		return NULL;
	free_row = realloc(c->procs, (c->procs_n + 1) * sizeof *c->procs);
	if (!free_row)
		return NULL;
	c->procs = free_row;
	memset(&c->procs[c->procs_n], 0, sizeof *c->procs);
	return &c->procs[c->procs_n++];
}

/* Said once for each run. */
static void look_at_port(struct ctl *c, struct proc_info *p)
{
	char number[12];

	p->exposed = listeners_exposed(p->st.port);
	if (!p->exposed)
		return;
	(void)snprintf(number, sizeof number, "%u", (unsigned)p->st.port);
	say(c, EV_APP_EXPOSED, "app", apps_owner(c, p->st.app)->name, "port", number, NULL);
}

void procs_heard(struct ctl *c, const struct msg_proc_state *st)
{
	struct proc_info *p = find(c, st);
	enum proc_phase was = PHASE_DOWN;
	uint64_t starting_us;

	if (!p)
		return;
	if (p->st.generation == st->generation)
		was = (enum proc_phase)p->st.phase;
	/* What the one before said is not its word. */
	if (p->st.generation != st->generation || st->phase == PHASE_STARTING) {
		p->said[0] = '\0';
		p->exposed = false;
	}
	if (st->phase == PHASE_STARTING)
		p->starting_us = st->since_wall_us;
	starting_us = p->starting_us;
	p->st = *st;
	if (st->role == PROC_SERVICE && st->phase == PHASE_UP && was != PHASE_UP && st->listen == SERVICE_PORT)
		look_at_port(c, p);
	off_heard(c, st);
	/* A retired generation leaves no row behind when another one holds the slot. */
	if (st->phase == PHASE_DOWN)
		*p = c->procs[--c->procs_n];
	up_proc(c, st, was, starting_us);
}

void procs_said(struct ctl *c, const struct msg *m)
{
	struct msg_said s;
	const char *text;
	size_t n;

	if (msg_get(m, &s, sizeof s, sizeof s) < 0)
		return;
	text = msg_tail(m, sizeof s, &n);
	for (unsigned i = 0; i < c->procs_n; i++) {
		struct proc_info *p = &c->procs[i];

		if (p->st.role != PROC_SERVICE || p->st.app != s.app || p->st.index != s.slot ||
			p->st.generation != s.generation)
			continue;
		n = min_of(strnlen(text, n), sizeof p->said - 1);
		memcpy(p->said, text, n);
		p->said[n] = '\0';
		plain_make(p->said, false);
	}
}

unsigned procs_count(const struct ctl *c, enum proc role, uint32_t app, enum proc_phase phase)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->procs_n; i++)
		n += c->procs[i].st.role == role && c->procs[i].st.app == app &&
		     c->procs[i].st.phase == phase;
	return n;
}

bool procs_failed(const struct msg_proc_state *st, enum proc_phase was)
{
	if (st->phase == PHASE_DEAD)
		return was != PHASE_DEAD && st->result != RESULT_SUCCESS;
	return st->phase == PHASE_BACKOFF && was != PHASE_BACKOFF && st->unready > 0;
}

bool procs_done(const struct ctl *c, enum proc role, uint32_t app, uint64_t generation)
{
	for (unsigned i = 0; i < c->procs_n; i++) {
		const struct msg_proc_state *st = &c->procs[i].st;

		if (st->role == role && st->app == app && st->generation > generation &&
			(st->phase == PHASE_EXITED ||
				(st->phase == PHASE_DEAD && st->result == RESULT_SUCCESS)))
			return true;
	}
	return false;
}

unsigned procs_newer(const struct ctl *c, enum proc role, uint32_t app, uint64_t generation)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->procs_n; i++)
		n += c->procs[i].st.role == role && c->procs[i].st.app == app &&
		     c->procs[i].st.phase == PHASE_UP && c->procs[i].st.generation > generation;
	return n;
}

uint64_t procs_newest(const struct ctl *c, enum proc role, uint32_t app)
{
	uint64_t newest = 0;

	for (unsigned i = 0; i < c->procs_n; i++)
		if (c->procs[i].st.role == role && c->procs[i].st.app == app)
			newest = max_of(newest, c->procs[i].st.generation);
	return newest;
}
