/*
 * deploy_left.c: apps that are not deployed and whose folder is there: what a removal left, and a first release that never served.
 *
 * Of the latter there stays nothing when it has no data: deploy_sweep.c asks left_sweep() for each folder that is no app's, and act takes
 * away what a release is made of, and then the folder if no file is in it. Where there is data, or a database was seen to, the folder
 * stays for whoever wants it back: `stead status` and `stead backup` tell of it, and `stead remove NAME --data` takes it all away.
 * Owns nothing.
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

#include "lib/bare.h"

enum { PATIENCE_MS = 120 * 1000 };

/* What a release is made of, and what outlives it. */
static const char *const made[] = {"releases", "incoming", "own", "php", "cache", NULL};
static const char *const data[] = {"data", "logs", "config", NULL};

static bool is_there(const struct ctl *c, const char *name, const char *below)
{
	char path[CTL_PATH_MAX];

	(void)snprintf(path, sizeof path, "%s/apps/%s%s%s", c->state_dir, name, *below ? "/" : "", below);
	return access(path, F_OK) == 0;
}

static const char *first_of(const struct ctl *c, const char *name, const char *const *of)
{
	while (*of && !is_there(c, name, *of))
		of++;
	return *of;
}

bool left_is(struct ctl *c, const char *name)
{
	const struct app *a = apps_named(c, name);

	if (a && (a->known || (c->up && c->up->deploy && c->up->deploy->app == a)))
		return false;
	return deploy_name_valid(name) && is_there(c, name, "");
}

json_t *left_json(struct ctl *c)
{
	char path[CTL_PATH_MAX];
	json_t *all = json_array();
	const struct dirent *e;
	DIR *d;

	(void)snprintf(path, sizeof path, "%s/apps", c->state_dir);
	d = opendir(path);
	while (d && json_array_size(all) < CTL_APPS_MAX && (e = readdir(d)) != NULL)
		if (left_is(c, e->d_name))
			(void)json_array_append_new(all, json_string(e->d_name));
	if (d)
		(void)closedir(d);
	return all;
}

/* ---- nothing of it is anybody's ---- */

/* Something of a release that never served runs still. */
static bool runs(const struct ctl *c, uint32_t number)
{
	for (unsigned i = 0; i < c->procs_n; i++) {
		const struct msg_proc_state *st = &c->procs[i].st;

		if ((st->role == PROC_WORKER || st->role == PROC_SERVICE) && st->pid > 0 && st->app / 2 == number)
			return true;
	}
	return false;
}

static bool forget_as_root(struct ctl *c, const char *name, const char *has, const struct ask_ops *ops, void *owner)
{
	struct msg_act_ask q = {.act = ACT_APP_FORGET};
	char path[CTL_PATH_MAX];
	struct buf b;

	(void)snprintf(path, sizeof path, "%s/apps/%s", c->state_dir, name);
	buf_init(&b, CHAN_PAYLOAD_MAX);
	buf_put(&b, &q, sizeof q);
	pack_str(&b, path);
	pack_str(&b, has);
	return ask_start(c, PROC_ACT, 0, 0, PATIENCE_MS, MSG_ACT_ASK, &b, ops, owner) != NULL;
}

static bool forget_ours(struct ctl *c, const char *name, const char *has, const struct ask_ops *ops, void *owner)
{
	const char *what = first_of(c, name, made);
	char apps[CTL_PATH_MAX], folder[CTL_PATH_MAX + 64];
	int fd;

	(void)snprintf(apps, sizeof apps, "%s/apps", c->state_dir);
	(void)snprintf(folder, sizeof folder, "%s/%.60s", apps, name);
	if (what)
		return deploy_ask_files(c, &c->app, UNPACK_REMOVE, (const char *const[]){folder, what, "", ""}, -1, ops, owner);
	fd = *has ? -1 : open(apps, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Its parent is ctl's own. */
	if (fd >= 0 && bare_folder(fd, name))
		(void)bare_remove(fd, name);
	if (fd >= 0)
		(void)close(fd);
	return false;
}

bool left_sweep(struct ctl *c, const char *name, uint32_t number, const struct ask_ops *ops, void *owner, bool *ret_waits)
{
	char has[64];

	if (!left_is(c, name) || state_left_database(c, name, has) < 0)
		return false;
	/* As root what lies there is not to be seen from here: it is asked for once, because what is made goes in any case. */
	if (c->start.root && !first_of(c, name, made) && (*has || first_of(c, name, data)))
		return false;
	if (runs(c, number)) {
		*ret_waits = true;
		return false;
	}
	return c->start.root ? forget_as_root(c, name, has, ops, owner) : forget_ours(c, name, has, ops, owner);
}

/* ---- what it has is taken away ---- */

struct app *left_to_remove(struct client *cl)
{
	struct ctl *c = cl->ctl;
	struct app *a;
	char text[160], todo[320];

	if (!cl->req.data) {
		(void)snprintf(text, sizeof text, "%s is not deployed: only its data is here.", cl->req.app);
		(void)snprintf(todo, sizeof todo, "stead remove %s --data --confirm %s removes it for good; `stead deploy --app %s` takes it up again",
			cl->req.app, cl->req.app, cl->req.app);
		client_end(cl, VERB_EXIT_NO_SUCH, text, todo, NULL);
		return NULL;
	}
	a = apps_named(c, cl->req.app);
	if (!a)
		a = apps_add(c, cl->req.app);
	if (!a || state_left_database(c, a->name, a->run->database) < 0) {
		if (a)
			apps_remove(c, a);
		client_end(cl, VERB_EXIT_FAILED, "There is no memory for it, or the state cannot be read.", "`stead logs` may say more", NULL);
		return NULL;
	}
	return a;
}

bool left_server(struct up *u)
{
	struct deploy *d = u->deploy;
	char folder[CTL_PATH_MAX];

	if (!d->fresh || !d->app->run->database[0])
		return true;
	if (deploy_begins(d)) {
		/* Its role is mapped to its user, who is looked up by that. */
		wants_below(u->ctl, &u->app, "", folder);
		if (u->ctl->start.root)
			up_root_act(u, ACT_USER_APP, (const char *const[]){u->app.name, "", folder});
	}
	if (u->acts_pending || u->failing)
		return false;
	if (u->db == DB_NOT) {
		FOR_APPS(u->ctl, a)
			if (a->bin[0])
				memcpy(u->app.bin, a->bin, sizeof u->app.bin);
		(void)snprintf(u->database, sizeof u->database, "%s", d->app->run->database);
		if (u->app.bin[0] && procs_count(u->ctl, PROC_POSTGRES, APP_NUMBER, PHASE_UP) > 0) {
			u->db = DB_STARTS;
			u->server_up = true;
		} else {
			up_db_start(u);
		}
	}
	if (!u->server_up || u->failing)
		return false;
	memcpy(d->app->bin, u->app.bin, sizeof d->app->bin);
	return true;
}
