/*
 * backup.c: the request `backup`: a copy of the state as of one moment, and where all else is.
 *
 * Called by deploy_verbs.c, whose turn a backup waits for like a deploy: what is in the copy and
 * what is on the disk belong together until the client goes. Owns STATE/backup.db.
 */
#include "deploy.h"
#include "wants.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static const char copy_name[] = "backup.db";

static int copy_state(struct ctl *c)
{
	char path[CTL_PATH_MAX + 16];
	sqlite3_backup *copy = NULL;
	sqlite3 *to = NULL;
	int r;

	(void)unlinkat(c->state_fd, copy_name, 0);
	(void)snprintf(path, sizeof path, "%s/%s", c->state_dir, copy_name);
	r = sqlite3_open_v2(path, &to,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
			SQLITE_OPEN_NOFOLLOW,
		NULL);
	if (r == SQLITE_OK)
		copy = sqlite3_backup_init(to, "main", c->db, "main");
	r = copy ? sqlite3_backup_step(copy, -1) : SQLITE_ERROR;
	(void)sqlite3_backup_finish(copy);
	if (r != SQLITE_DONE)
		say(c, EV_STATE_ERROR, "what", "copy the state for a backup", "error",
			sqlite3_errmsg(to), NULL);
	(void)sqlite3_close(to);
	return r == SQLITE_DONE ? 0 : (r & 0xff) == SQLITE_FULL ? -ENOSPC : -EIO;
}

/* Of every app that has one; *ret_bin: where the programs of PostgreSQL are. */
static json_t *databases(struct ctl *c, const char **ret_bin)
{
	json_t *all = json_array();
	char why[128];

	*ret_bin = "";
	FOR_APPS(c, a)
	{
		struct conf *held =
			a->known && a->bin[0] ? effective_conf(c, a, why, sizeof why) : NULL;

		if (!held)
			continue;
		*ret_bin = a->bin;
		(void)json_array_append_new(all, json_string(conf_app(held)->database));
		conf_free(held);
	}
	return all;
}

void backup_start(struct client *cl)
{
	struct ctl *c = cl->ctl;
	char sockets[CTL_PATH_MAX];
	const char *bin;
	json_t *all;
	int err;

	if (c->up || c->server.backup.by) {
		cl->queued = true;
		client_progress(cl, "wait",
			c->up ? "waiting for a change to end" : "waiting for another backup to end",
			UINT32_MAX);
		return;
	}
	err = copy_state(c);
	if (err < 0) {
		client_end(cl, VERB_EXIT_FAILED, "The state could not be copied.",
			err == -ENOSPC ? "free disk space, then try again"
				       : "`stead logs` shows why",
			NULL);
		return;
	}
	c->server.backup.by = cl;
	wants_sockets(c, sockets);
	all = databases(c, &bin);
	client_say(
		cl, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "event", "backup", "state",
			    c->state_dir, "config", c->start.server ? SERVER_FOLDER : "", "sockets",
			    sockets, "bin", bin, "own", c->app.name, "databases", all, "left", left_json(c)));
}

void backup_gone(struct ctl *c, const struct client *cl)
{
	if (c->server.backup.by != cl)
		return;
	c->server.backup.by = NULL;
	(void)unlinkat(c->state_fd, copy_name, 0);
	deploy_next(c);
}
