/*
 * up_root.c: what comes first when the parent is root: the app's user, a copy of its folder, the folders
 * that postgres and the app own.
 *
 * Called by up_advance(). Each is one row of tbl/acts.h, done by act; ctl itself has no privilege. The
 * app's user has a number of stead's range, kept with the app, so its files stay its own.
 */
#include "ctl.h"

#include <stdio.h>
#include <string.h>

enum { ACT_MS = 120 * 1000, UID_FIRST = 50000, UID_COUNT = 10000 };

static void ended(struct ask *a, const struct ask_end *end);

static void step(struct ask *a, const char *text, uint32_t permille)
{
	struct up *u = a->owner;

	client_progress(u->client, "prepare", text, permille);
}

static const struct ask_ops act_ops = {.step = step, .ended = ended};

static void act(struct up *u, enum act act, const char *const *args)
{
	struct msg_act_ask ask = {.act = act};
	struct ask *a;
	struct buf b;

	buf_init(&b, CHAN_PAYLOAD_MAX);
	buf_put(&b, &ask, sizeof ask);
	for (unsigned i = 0; i < act_rows[act].args; i++)
		pack_str(&b, args[i]);
	a = ask_start(u->ctl, PROC_ACT, 0, 0, ACT_MS, MSG_ACT_ASK, &b, &act_ops, u);
	if (a)
		a->what = act;
	else
		up_fail(u, VERB_EXIT_FAILED, "try again", "stead-act cannot be asked: no memory.");
}

/* The number from the folder's path: the same folder has the same one, wherever its state went. */
static void make_user(struct up *u)
{
	char number[16];
	const char *const args[] = {u->app.name, number};
	uint32_t h = 2166136261u;

	for (const char *p = u->ctl->state_dir; *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	if (u->app.uid == 0)
		u->app.uid = u->app.gid = UID_FIRST + h % UID_COUNT;
	(void)snprintf(number, sizeof number, "%u", (unsigned)u->app.uid);
	act(u, ACT_USER_APP, args);
}

static void make_folder(struct up *u, const char *path, const char *owner, const char *group, const char *mode)
{
	const char *const args[] = {path, owner, group, mode};

	u->folders_pending++;
	act(u, ACT_FOLDER_MAKE, args);
}

static void copy_and_folders(struct up *u)
{
	char number[16], path[CTL_PATH_MAX + 16], sockets[CTL_PATH_MAX];
	const char *const args[] = {u->app.folder, u->app.work, number};
	uint32_t uid, gid;

	(void)snprintf(number, sizeof number, "%u", (unsigned)u->app.gid);
	u->folders_pending++;
	act(u, ACT_TREE_COPY, args);
	(void)snprintf(path, sizeof path, "%s/data", u->ctl->state_dir);
	make_folder(u, path, number, number, "0700");
	(void)snprintf(path, sizeof path, "%s/build", u->ctl->state_dir);
	make_folder(u, path, number, number, "0755");
	wants_sockets(u->ctl, sockets);
	if (up_root_postgres(&uid, &gid) == 0)
		make_folder(u, sockets, "postgres", number, "0710");
}

static void ended(struct ask *a, const struct ask_end *end)
{
	struct up *u = a->owner;

	if (end->err) {
		up_fail(u, end->exit_code, end->todo, "%s", end->error);
		return;
	}
	if (a->what == ACT_USER_APP) {
		u->user_made = true;
		copy_and_folders(u);
		return;
	}
	if (--u->folders_pending == 0)
		up_advance(u);
}

bool up_root_ready(struct up *u)
{
	if (!u->ctl->start.root)
		return true;
	if (!u->copying) {
		u->copying = true;
		(void)snprintf(u->app.work, sizeof u->app.work, "%.3000s/public/app", u->ctl->state_dir);
		client_progress(u->client, "prepare", "copying the folder", UINT32_MAX);
		make_user(u);
	}
	return u->user_made && u->folders_pending == 0;
}
