/*
 * deploy_sweep.c: releases that nobody needs any more: those beyond Keep=, what a failed deploy left, and what a death
 * of stead's own processes left half-made.
 *
 * Called at the start, behind each deploy, and when a process has ended. A folder of a release that the state does not
 * name is removed once no process of its app runs from it; one at a time, as act or build does it. What lies there is
 * listed by its names alone. So is what an app left that is not deployed and has no data (deploy_left.c).
 */
#include "deploy.h"
#include "wants.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TREE_NUMBER_MAX = 1000000000, PATIENCE_MS = 120 * 1000 };

struct sweep {
	struct ctl *c;
	char name[64];
	struct app *app; /* NULL: it is deployed no more */
	uint32_t number;
	struct release kept[DEPLOY_RELEASES_MAX];
	unsigned kept_n;
	bool waits; /* something runs that may need it */
};

void deploy_sweep_soon(struct ctl *c)
{
	c->sweep.wanted = true;
	deploy_sweep(c);
}

static void swept(struct ask *a, const struct ask_end *end)
{
	struct ctl *c = a->ctl;

	c->sweep.runs = c->sweep.left = false;
	/* What stays costs space only; it is tried again behind the next deploy. */
	if (end->err)
		say(c, EV_STATE_ERROR, "what", "remove an old release", "error", end->error, NULL);
	else
		deploy_sweep_soon(c);
	/* A deploy may wait for that (deploy_swept()). */
	if (c->up && c->up->deploy && !c->up->failing)
		up_advance(c->up);
}

bool deploy_swept(struct up *u)
{
	return !u->ctl->sweep.left;
}

static const struct ask_ops sweep_ops = {.ended = swept};

static bool remove_tree(struct ctl *c, const struct app *a, const char *folder, const char *name)
{
	struct msg_act_ask q = {.act = ACT_TREE_REMOVE};
	struct ask *ask;
	char path[CTL_PATH_MAX];
	struct buf b;

	if (!c->start.root)
		return deploy_ask_files(c, a, UNPACK_REMOVE, (const char *const[]){folder, name, "", ""}, -1,
			&sweep_ops, &c->sweep);
	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	buf_init(&b, CHAN_PAYLOAD_MAX);
	buf_put(&b, &q, sizeof q);
	pack_str(&b, path);
	ask = ask_start(c, PROC_ACT, 0, 0, PATIENCE_MS, MSG_ACT_ASK, &b, &sweep_ops, &c->sweep);
	return ask != NULL;
}

static bool is_kept(const struct sweep *s, unsigned long number)
{
	for (unsigned i = 0; i < s->kept_n; i++)
		if (s->kept[i].number == number)
			return true;
	return s->app && s->app->release == number;
}

/* Something of a release that does not serve runs still: which one is not known. */
static bool old_runs(const struct ctl *c, const struct app *a)
{
	for (unsigned i = 0; a && i < c->procs_n; i++) {
		const struct msg_proc_state *st = &c->procs[i].st;

		if ((st->role != PROC_WORKER && st->role != PROC_SERVICE) || st->pid <= 0)
			continue;
		/* Every second release has the same number, and one that drains may be of any. */
		if (st->app == (a->set ^ 1) || (st->app == a->set && st->phase != PHASE_UP && st->phase != PHASE_STARTING))
			return true;
	}
	return false;
}

/* The first that nobody needs in that folder is being removed. */
static bool sweep_folder(struct sweep *s, const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *e;
	bool begun = false;

	while (d && !begun && (e = readdir(d)) != NULL) {
		char *end;
		unsigned long n = strtoul(e->d_name, &end, 10);

		if (e->d_name[0] < '1' || e->d_name[0] > '9' || *end || n >= TREE_NUMBER_MAX ||
			is_kept(s, n))
			continue;
		if (old_runs(s->c, s->app)) {
			s->waits = true;
			break;
		}
		begun = remove_tree(s->c, s->app ? s->app : &s->c->app, folder, e->d_name);
	}
	if (d)
		(void)closedir(d);
	return begun;
}

static bool sweep_app(struct sweep *s)
{
	char path[CTL_PATH_MAX];

	s->app = apps_named(s->c, s->name);
	if (s->app && (!app_deployed(s->app) || !s->app->known))
		s->app = NULL;
	s->number = SITE_NUMBER_FIRST + state_number(s->c, "site", s->name);
	s->kept_n = 0;
	if (s->app && state_releases(s->c, s->app, s->kept, DEPLOY_RELEASES_MAX, &s->kept_n) < 0)
		return false;
	(void)snprintf(path, sizeof path, "%s/apps/%s/releases", s->c->state_dir, s->name);
	if (sweep_folder(s, path))
		return true;
	/* What a death left in incoming is written over or removed by the next deploy. */
	(void)snprintf(path, sizeof path, "%s/public/app%u", s->c->state_dir, (unsigned)s->number);
	if (s->c->start.root && sweep_folder(s, path))
		return true;
	s->c->sweep.left = !s->app && left_sweep(s->c, s->name, s->number, &sweep_ops, &s->c->sweep, &s->waits);
	return s->c->sweep.left;
}

void deploy_sweep(struct ctl *c)
{
	char path[CTL_PATH_MAX];
	struct sweep *s;
	struct dirent *e;
	DIR *d;

	/* What is under way makes what the state does not name yet. */
	if (!c->sweep.wanted || c->sweep.runs || c->stopping || !c->live_us || (c->up && c->up->deploy))
		return;
	s = calloc(1, sizeof *s);
	(void)snprintf(path, sizeof path, "%s/apps", c->state_dir);
	d = s ? opendir(path) : NULL;
	if (s)
		s->c = c;
	while (d && !c->sweep.runs && (e = readdir(d)) != NULL) {
		if (e->d_name[0] < 'a' || e->d_name[0] > 'z' || strlen(e->d_name) >= 28)
			continue;
		(void)snprintf(s->name, sizeof s->name, "%.63s", e->d_name);
		c->sweep.runs = sweep_app(s);
	}
	if (d)
		(void)closedir(d);
	if (s && !c->sweep.runs && !s->waits)
		c->sweep.wanted = false;
	free(s);
}
