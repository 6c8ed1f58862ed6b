/*
 * restored.c: the first start on a state that `stead restore` has put in place.
 *
 * Called at ctl's start and when the database server answers. STATE/restored names the apps with
 * the numbers that their accounts have on this machine; it stays until every database is loaded, so
 * a death in between has the rest done by the next start. A database that cannot be loaded is an
 * event, and its app is not run: it would find an empty one.
 */
#include "deploy.h"
#include "wants.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/durable.h"
#include "lib/sys.h"

enum { BUILD_MS = 20 * 60 * 1000, MARK_MAX = 1 << 20, NUMBER_MIN = 50000, NUMBER_MAX = 59999 /* of apps' accounts */ };
static const char mark[] = "restored", failed_mark[] = "restored.failed";

static int renumber(struct ctl *c, const char *name, unsigned long uid, unsigned long gid)
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(c->db,
		"UPDATE app SET uid = ?, gid = ?, instance = '' WHERE name = ?", -1, &st, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 1, (sqlite3_int64)uid);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 2, (sqlite3_int64)gid);
	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 3, name, -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_step(st);
	(void)sqlite3_finalize(st);
	return r == SQLITE_DONE ? 0 : state_failed(c, "write app");
}

/* Lines of NAME UID GID; nothing else, because root's processes run by what they say. */
static int renumber_all(struct ctl *c, char *text)
{
	bool mine;
	int err = state_begin(c, &mine);

	for (char *line = text, *next; err == 0 && *line; line = next) {
		unsigned long uid, gid;
		char name[64], over;

		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		if (sscanf(line, "%63s %lu %lu%c", name, &uid, &gid, &over) != 3 ||
			uid < NUMBER_MIN || uid > NUMBER_MAX || gid < NUMBER_MIN ||
			gid > NUMBER_MAX)
			err = -EBADMSG;
		else
			err = renumber(c, name, uid, gid);
	}
	return state_end(c, mine, err);
}

int restored_open(struct ctl *c)
{
	char *text;
	size_t n;
	int err = sys_read_file(c->state_fd, mark, MARK_MAX, &text, &n);

	if (err < 0)
		return err == -ENOENT ? 0 : err;
	c->server.restored.on = true;
	(void)unlinkat(c->state_fd, failed_mark, 0);
	err = renumber_all(c, text);
	free(text);
	return err;
}

static void finish(struct ctl *c)
{
	struct restored *r = &c->server.restored;
	char apps[16], databases[16];
	unsigned n = 0;

	FOR_APPS(c, a)
		n += app_deployed(a) && a->known;
	(void)snprintf(apps, sizeof apps, "%u", n);
	(void)snprintf(databases, sizeof databases, "%u", r->databases);
	r->on = false;
	if (unlinkat(c->state_fd, mark, 0) == 0)
		say(c, EV_RESTORED, "apps", apps, "databases", databases, NULL);
	(void)fsync(c->state_fd);
}

/* ---- packages ---- */

static void build_next(struct ctl *c);

static struct app *deployed(struct ctl *c, unsigned place)
{
	FOR_APPS(c, a)
		if (app_deployed(a) && a->known && place-- == 0)
			return a;
	return NULL;
}

static void built(struct ask *ask, const struct ask_end *end)
{
	struct ctl *c = ask->ctl;
	struct app *a = deployed(c, c->server.restored.built++);

	if (end->err)
		say(c, EV_STATE_ERROR, "what", "make the packages of an app anew", "error", end->error, NULL);
	else if (a && end->result[0] && strlen(end->result) < sizeof a->python && strcmp(end->result, a->python) != 0) {
		(void)snprintf(a->python, sizeof a->python, "%s", end->result);
		if (state_save_app(c, a) == 0 && !a->run->unloaded)
			deploy_run(c, a);
	}
	build_next(c);
}

static const struct ask_ops build_ops = {.ended = built};

/* An environment is of the Python that made it, and this machine may have another one: build looks, and makes it anew only
 * then. What the app runs with meanwhile is what came. */
static bool build(struct ctl *c, const struct app *a)
{
	char why[128], own[CTL_PATH_MAX], interpreter[CTL_PATH_MAX];
	struct conf *held = effective_conf(c, a, why, sizeof why);
	const struct conf_app *conf = held ? conf_app(held) : NULL;
	bool asked = false;
	struct buf b;

	if (conf && conf->python && conf->requirements[0]) {
		effective_path(a, conf->interpreter[0] ? conf->interpreter : "/usr/bin/python3", interpreter);
		wants_own(c, a, own);
		buf_init(&b, CHAN_PAYLOAD_MAX);
		pack_str(&b, a->work);
		pack_str(&b, own);
		pack_str(&b, interpreter);
		pack_str(&b, conf->requirements);
		(void)state_release_pythons(c, a, &b);
		asked = ask_start(c, PROC_BUILD, a->gid, a->gid, BUILD_MS, MSG_BUILD_ASK, &b, &build_ops, c) != NULL;
	}
	conf_free(held);
	return asked;
}

static void build_next(struct ctl *c)
{
	struct restored *r = &c->server.restored;

	for (struct app *a; (a = deployed(c, r->built)) != NULL; r->built++)
		if (build(c, a))
			return;
	finish(c);
}

void restored_over(struct ctl *c)
{
	struct restored *r = &c->server.restored;

	if (!r->on || r->failed || r->builds)
		return;
	r->builds = true;
	build_next(c);
}

/* ---- databases ---- */

static void load_next(struct ctl *c);

static struct app *at(struct ctl *c, unsigned place)
{
	FOR_APPS(c, a)
		if (app_deployed(a) && a->known && a->bin[0] && place-- == 0)
			return a;
	return NULL;
}

static void loaded(struct ask *ask, const struct ask_end *end)
{
	struct ctl *c = ask->ctl;
	struct restored *r = &c->server.restored;
	struct app *a = at(c, r->next);
	char text[1200];
	int n;

	r->next++;
	r->databases += !end->err;
	if (end->err && a) {
		a->run->unloaded = r->failed = true;
		say(c, EV_RESTORE_NOT_LOADED, "app", a->name, "database", a->run->database, "error",
			end->error, "help", end->todo, NULL);
		n = snprintf(text, sizeof text, "%.1100s\n", end->error);
		(void)durable_write(c->state_fd, failed_mark, text, n > 0 ? strlen(text) : 0, 0600);
	}
	load_next(c);
}

static const struct ask_ops load_ops = {.ended = loaded};

static void load_next(struct ctl *c)
{
	struct restored *r = &c->server.restored;
	struct app *a = at(c, r->next);

	if (a && db_ask_app(c, a, DB_APP, &load_ops))
		return;
	r->loads = false;
	/* No memory to ask: the mark stays. */
	r->failed |= a != NULL;
	if (!a)
		restored_over(c);
	deploy_boot_db(c);
}

bool restored_loads(struct ctl *c)
{
	struct restored *r = &c->server.restored;

	if (!r->on || r->failed || at(c, r->next) == NULL)
		return r->loads;
	if (!r->loads) {
		r->loads = true;
		load_next(c);
	}
	return true;
}

void restored_own(struct ctl *c)
{
	if (!c->server.restored.loads && at(c, c->server.restored.next) == NULL)
		restored_over(c);
}
