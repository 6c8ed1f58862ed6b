/*
 * maintenance.c: `stead maintenance on|off`: a site shows a page instead of itself. And the table
 * `maintenance`, which says so over restarts of everything.
 *
 * Called for the verb and with each new gate. The state knows it first; then each gate is told at once
 * (OVERLAY), and a new snapshot says it to gates that come while there is no ctl. The verb ends when
 * every gate serves that snapshot: behind its end no request reaches the site. Owns the list of sites
 * that ever were in it.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 30000 };

int state_make_maintenance(struct ctl *c)
{
	return state_exec(c, "CREATE TABLE IF NOT EXISTS maintenance (site INTEGER PRIMARY KEY, state"
			     " INTEGER NOT NULL)");
}

static int set(struct ctl *c, uint32_t site, bool on)
{
	struct maintenance *m = &c->maintenance;
	void *all;
	unsigned i = 0;

	while (i < m->n && m->all[i].number != site)
		i++;
	if (i == m->n) {
		all = realloc(m->all, (m->n + 1) * sizeof *m->all);
		if (!all)
			return -ENOMEM;
		m->all = all;
		m->all[m->n++].number = site;
	}
	m->all[i].on = on;
	return 0;
}

int state_load_maintenance(struct ctl *c)
{
	sqlite3_stmt *st = NULL;
	int err = 0,
	    r = sqlite3_prepare_v2(c->db, "SELECT site, state FROM maintenance", -1, &st, NULL);

	while (err == 0 && r == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
		err = set(c, (uint32_t)sqlite3_column_int64(st, 0), sqlite3_column_int(st, 1) != 0);
	return sqlite3_finalize(st) == SQLITE_OK || err ? err : state_failed(c, "read maintenance");
}

static int keep(struct ctl *c, uint32_t site, bool on)
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(
		c->db, "INSERT OR REPLACE INTO maintenance VALUES (?, ?)", -1, &st, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 1, site);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int(st, 2, on);
	if (r == SQLITE_OK)
		r = sqlite3_step(st);
	(void)sqlite3_finalize(st);
	return r == SQLITE_DONE ? set(c, site, on) : state_failed(c, "write maintenance");
}

bool maintenance_is(const struct ctl *c, uint32_t site)
{
	for (unsigned i = 0; i < c->maintenance.n; i++)
		if (c->maintenance.all[i].number == site)
			return c->maintenance.all[i].on;
	return false;
}

static void tell(struct gate_peer *g, uint32_t site, bool on)
{
	struct msg_overlay o = {.kind = OVERLAY_MAINTENANCE, .key = site, .on = on};

	if (g->greeted && chan_open(&g->chan))
		(void)chan_send(&g->chan, MSG_OVERLAY, 0, &o, sizeof o, NULL, 0, NULL, 0);
}

void maintenance_tell(struct gate_peer *g)
{
	const struct maintenance *m = &g->ctl->maintenance;
	struct msg_overlay o = {.kind = OVERLAY_PROBE, .token = {m->token[0], m->token[1]}};

	(void)chan_send(&g->chan, MSG_OVERLAY, 0, &o, sizeof o, NULL, 0, NULL, 0);
	/* Also those that are out of it: the gate may have been told otherwise by a ctl that died. */
	for (unsigned i = 0; i < m->n; i++)
		tell(g, m->all[i].number, m->all[i].on);
}

/* ---- the verb ---- */

static void done(struct client *cl)
{
	client_end(cl, VERB_EXIT_DONE, "", "",
		json_pack("{s:s, s:b}", "site", verbs_name(cl), "maintenance",
			cl->req.on));
}

/* False: told why there is none. */
static bool which(struct client *cl, uint32_t *ret_number)
{
	struct ctl *c = cl->ctl;
	const struct app *a = verbs_app(cl);

	*ret_number = verbs_number(cl);
	if (c->live_us == 0)
		client_end(cl, VERB_EXIT_NOT_RUNNING, "Nothing is live here: not running.",
			"`stead up` takes the folder live", NULL);
	else if (a && !a->run->serves)
		client_end(cl, VERB_EXIT_USAGE, "The folder has no site of its own.",
			"name one: stead maintenance on NAME (`stead status` shows the names)", NULL);
	else
		return true;
	return false;
}

void maintenance_start(struct client *cl)
{
	struct ctl *c = cl->ctl;
	uint32_t number;
	int err;

	if (!which(cl, &number))
		return;
	if (maintenance_is(c, number) == cl->req.on) {
		done(cl);
		return;
	}
	err = keep(c, number, cl->req.on);
	for (unsigned i = 0; err == 0 && i < CTL_GATES_MAX; i++)
		tell(&c->gate[i], number, cl->req.on);
	if (err == 0)
		err = sites_again(c);
	if (err) {
		client_end(cl, VERB_EXIT_FAILED, "It could not be kept.",
			err == -ENOSPC ? "free disk space, then try again" : "check the state folder",
			NULL);
		return;
	}
	cl->maintaining = c->snap_generation;
	loop_timer_in(c->loop, &cl->timer, PATIENCE_MS);
	maintenance_settle(cl);
}

void maintenance_settle(struct client *cl)
{
	struct ctl *c = cl->ctl;

	/* A later snapshot says it too. */
	if (!cl->maintaining || !sites_loaded(c))
		return;
	cl->maintaining = 0;
	loop_timer_stop(c->loop, &cl->timer);
	done(cl);
}

void maintenance_late(struct client *cl)
{
	cl->maintaining = 0;
	client_end(cl, VERB_EXIT_FAILED, "A gate did not say that it knows.",
		"`stead status` shows the gates; it holds for each that comes", NULL);
}
