/*
 * deploy_verbs.c: the requests deploy, rollback, remove and releases: which app is meant, whether it may be, and whose
 * turn it is.
 *
 * Called by verbs.c. One change of the instance is under way at a time: a request for the same app is refused as busy, one
 * for another app waits. Owns nothing.
 */
#include "deploy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "lib/room.h"

bool deploy_name_valid(const char *name)
{
	size_t n = strlen(name);

	return n >= 1 && n <= 27 && name[0] >= 'a' && name[0] <= 'z' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* The app that the request means; NULL: it was told why there is none. */
static struct app *named(struct client *cl)
{
	struct ctl *c = cl->ctl;
	struct app *a = cl->req.app[0] ? apps_named(c, cl->req.app) : c->app.next;
	char text[200];

	if (a && app_deployed(a) && a->known && (cl->req.app[0] || !a->next))
		return a;
	if (!cl->req.app[0] && a)
		client_end(cl, VERB_EXIT_USAGE, "There are several apps here.", "name one: `stead status` shows them",
			NULL);
	else if (!cl->req.app[0])
		client_end(cl, VERB_EXIT_NO_SUCH, "No app is deployed here.", "`stead deploy FOLDER` deploys one", NULL);
	else {
		(void)snprintf(text, sizeof text, "There is no deployed app \"%s\" here.", cl->req.app);
		client_end(cl, VERB_EXIT_NO_SUCH, text, "`stead status` shows those that there are", NULL);
	}
	return NULL;
}

/* May an app be called so? */
static bool may_be_called(struct client *cl)
{
	struct ctl *c = cl->ctl;
	const struct app *a = apps_named(c, cl->req.app);
	char text[300];

	if (!deploy_name_valid(cl->req.app))
		(void)snprintf(text, sizeof text,
			"\"%s\" is no name of an app: 1 to 27 small letters, digits and -, a letter first.",
			cl->req.app);
	else if (a && !app_deployed(a))
		(void)snprintf(text, sizeof text, "%s is the name of this stead's own folder, %.100s.", cl->req.app,
			a->folder);
	else if (sites_named(&c->sites, cl->req.app))
		(void)snprintf(text, sizeof text, "%s is the name of a site of a file, %.100s.", cl->req.app,
			sites_named(&c->sites, cl->req.app)->file);
	else
		return true;
	client_end(cl, VERB_EXIT_USAGE, text, "name another: stead deploy --app NAME", NULL);
	return false;
}

static bool same_app(const struct client *a, const char *name)
{
	return strcmp(a->req.app, name) == 0;
}

/* Somebody is before it: refused, or it waits. */
static bool must_wait(struct client *cl)
{
	struct ctl *c = cl->ctl;
	bool busy = c->up && c->up->deploy && strcmp(c->up->app.name, cl->req.app) == 0;
	char text[200];

	for (const struct client *o = c->clients; o && !busy; o = o->next)
		busy = o != cl && o->queued && same_app(o, cl->req.app);
	if (busy) {
		(void)snprintf(text, sizeof text, "Another change of %s is under way.", cl->req.app);
		client_end(cl, VERB_EXIT_BUSY, text, "wait for its end; `stead status` shows what serves", NULL);
		return true;
	}
	if (!c->up && !c->server.backup.by)
		return false;
	cl->queued = true;
	client_progress(cl, "wait", c->up ? "waiting for another change to end" : "waiting for a backup to end", UINT32_MAX);
	return true;
}

/* The kept one below that which serves. 0: there is none. */
static uint32_t before(struct ctl *c, const struct app *a)
{
	struct release all[DEPLOY_RELEASES_MAX];
	unsigned n = 0;

	(void)state_releases(c, a, all, DEPLOY_RELEASES_MAX, &n);
	for (unsigned i = 0; i < n; i++)
		if (all[i].number < a->release)
			return all[i].number;
	return 0;
}

/* Looked at before the work, not behind it. */
static bool has_room(struct client *cl)
{
	struct statvfs v;
	char text[200];

	if (fstatvfs(cl->ctl->state_fd, &v) < 0)
		return true;
	if (room_counts_inodes(&v) && v.f_favail < room_inodes_floor(v.f_files)) {
		(void)snprintf(text, sizeof text, "The disk of stead's state has %llu inodes free, and %llu are kept for what runs.",
			(unsigned long long)v.f_favail, (unsigned long long)room_inodes_floor(v.f_files));
		client_end(cl, VERB_EXIT_FAILED, text,
			"remove files, then deploy again: `du -x --inodes --max-depth=2 /var/lib/stead/apps | sort -n | tail` shows which app has how many",
			NULL);
		return false;
	}
	if (room_free(&v) >= room_floor(room_total(&v)))
		return true;
	(void)snprintf(text, sizeof text, "The disk of stead's state has %llu MB free, and %llu MB are kept for what runs.",
		(unsigned long long)(room_free(&v) >> 20), (unsigned long long)(room_floor(room_total(&v)) >> 20));
	client_end(cl, VERB_EXIT_FAILED, text,
		"free some of it, then deploy again: `du -xh /var/lib/stead/apps --max-depth 2` shows which app has how much", NULL);
	return false;
}

static void begin(struct client *cl, struct app *a, enum deploy_what what, uint32_t release)
{
	struct ctl *c = cl->ctl;
	struct deploy *d = calloc(1, sizeof *d);
	struct up *u;

	/* A release that nobody runs cannot be asked. */
	if (a->run->off.stopped && what != DEPLOY_REMOVE) {
		free(d);
		client_end(cl, VERB_EXIT_FAILED, "The app is stopped.", "`stead start` starts it, then try again", NULL);
		return;
	}
	if (what == DEPLOY_NEW && !has_room(cl)) {
		free(d);
		return;
	}
	u = d ? up_new(c, cl) : NULL;
	if (!u) {
		free(d);
		client_end(cl, VERB_EXIT_FAILED, "no memory", "", NULL);
		return;
	}
	u->deploy = d;
	deploy_turn_begins(u, cl->peer.who == WHO_DEPLOYERS);
	d->what = what;
	d->app = a;
	d->data = cl->req.data;
	d->fresh = !a->known;
	d->old_role = a->run->role;
	d->old_set = a->set;
	app_like(&u->app, a);
	u->app.set = a->known ? a->set ^ 1 : a->set;
	u->app.release = release;
	u->bound = u->tcp_bound = u->gates_sent = true;
	if (what == DEPLOY_NEW) {
		(void)snprintf(u->app.folder, sizeof u->app.folder, "%s", cl->req.folder);
		deploy_tree(c, &u->app, "releases", release, u->app.work);
		u->app.bin[0] = u->app.python[0] = '\0';
	}
	up_advance(u);
}

static void start_new(struct client *cl)
{
	struct ctl *c = cl->ctl;
	struct app *a;
	uint32_t release;

	if (!may_be_called(cl) || must_wait(cl))
		return;
	a = apps_named(c, cl->req.app);
	if (!a)
		a = apps_add(c, cl->req.app);
	release = a ? state_next_release(c, a) : 0;
	if (!release) {
		if (a && !a->known)
			apps_remove(c, a);
		client_end(cl, VERB_EXIT_FAILED, a ? "The state could not be written." : "There is no room for another app.",
			"free disk space or memory, then try again", NULL);
		return;
	}
	begin(cl, a, DEPLOY_NEW, release);
}

static void start_back(struct client *cl)
{
	struct app *a = named(cl);
	uint32_t release;
	char text[200];

	if (!a)
		return;
	(void)snprintf(cl->req.app, sizeof cl->req.app, "%s", a->name);
	if (must_wait(cl))
		return;
	release = cl->req.release ? cl->req.release : before(cl->ctl, a);
	if (release && release != a->release) {
		begin(cl, a, DEPLOY_BACK, release);
		return;
	}
	(void)snprintf(text, sizeof text,
		release ? "Release %u of %s is the one that serves." : "There is no release before %u of %s.",
		(unsigned)a->release, a->name);
	client_end(cl, release ? VERB_EXIT_USAGE : VERB_EXIT_NO_SUCH, text,
		"`stead releases` shows those that are kept", NULL);
}

static void start_removal(struct client *cl)
{
	struct ctl *c = cl->ctl;
	struct app *a;

	if (cl->req.data && strcmp(cl->req.confirm, cl->req.app) != 0) {
		client_end(cl, VERB_EXIT_PROTECTED,
			"--data removes the app's database and its files for good, and was not confirmed.",
			"say the app's name once more: --confirm APP", NULL);
		return;
	}
	if (left_is(c, cl->req.app)) {
		a = must_wait(cl) ? NULL : left_to_remove(cl);
		if (a)
			begin(cl, a, DEPLOY_REMOVE, 0);
		return;
	}
	a = named(cl);
	if (a && !must_wait(cl))
		begin(cl, a, DEPLOY_REMOVE, a->release);
}

void deploy_start(struct client *cl)
{
	struct ctl *c = cl->ctl;

	if (c->live_us == 0 || c->stopping) {
		client_end(cl, VERB_EXIT_NOT_RUNNING, "Nothing is live here: not running.",
			c->start.server ? "`stead status` says what hinders it" : "`stead up` takes a folder live", NULL);
		return;
	}
	if (cl->req.verb == REQUEST_DEPLOY)
		start_new(cl);
	else if (cl->req.verb == REQUEST_ROLLBACK)
		start_back(cl);
	else if (cl->req.verb == REQUEST_BACKUP)
		backup_start(cl);
	else
		start_removal(cl);
}

static void releases(struct client *cl)
{
	struct app *a = named(cl);
	struct release all[DEPLOY_RELEASES_MAX];
	json_t *list;
	unsigned n;

	if (!a)
		return;
	if (state_releases(cl->ctl, a, all, DEPLOY_RELEASES_MAX, &n) < 0) {
		client_end(cl, VERB_EXIT_FAILED, "The state could not be read.", "check the state folder", NULL);
		return;
	}
	list = json_array();
	for (unsigned i = 0; i < n; i++)
		(void)json_array_append_new(list,
			json_pack("{s:i, s:I, s:b}", "release", (int)all[i].number, "at_us", (json_int_t)all[i].at_us,
				"serves", all[i].number == a->release));
	client_end(cl, VERB_EXIT_DONE, "", "", json_pack("{s:s, s:o}", "app", a->name, "releases", list));
}

void deploy_verb(struct client *cl)
{
	if (cl->req.verb == REQUEST_RELEASES)
		releases(cl);
	else if (cl->req.verb == REQUEST_DEPLOY_SEND)
		deploy_send_start(cl);
	else
		deploy_start(cl);
}
