/*
 * up_db.c: the steps of the up flow that bring the database: make the cluster, run the server, give
 * the app its role and database, make a fresh cluster durable.
 *
 * Called by up_advance() and when check found that the app needs one. SQL is spoken by db only; the
 * server is the parent's child. Nothing is told to be live before the cluster is on the disk.
 */
#include "ctl.h"
#include "wants.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DB_MS = 150 * 1000 };

int up_root_postgres(uint32_t *ret_uid, uint32_t *ret_gid)
{
	struct passwd *pw = getpwnam("postgres");

	if (!pw)
		return -ENOENT;
	*ret_uid = pw->pw_uid;
	*ret_gid = pw->pw_gid;
	return 0;
}

static void db_ended(struct ask *a, const struct ask_end *end);

static void db_step(struct ask *a, const char *text, uint32_t permille)
{
	struct up *u = a->owner;

	client_progress(u->client, "database", text, permille);
}

static const struct ask_ops db_ops = {.step = db_step, .ended = db_ended};

/* Whom the operating system knows the app as: its own user as root, else the one we run as. */
static void os_user(const struct up *u, char ret[64])
{
	struct passwd *pw;

	pw = getpwuid(u->ctl->start.root ? u->app.uid : geteuid());
	(void)snprintf(ret, 64, "%s", pw ? pw->pw_name : "");
}

static void db_ask(struct up *u, enum db_what what)
{
	char data[CTL_PATH_MAX], sockets[CTL_PATH_MAX], user[64], group[16] = "";
	struct msg_db_ask ask = {.what = what, .connections_max = u->c ? u->c->connections_max : 0};
	uint32_t uid = 0, gid = 0;
	struct ask *a;
	struct buf b;

	wants_data(u->ctl, data);
	wants_sockets(u->ctl, sockets);
	/* Before check has told it, the last time's name is the guess. */
	if (u->c)
		(void)snprintf(u->database, sizeof u->database, "%s", u->c->database);
	os_user(u, user);
	if (u->ctl->start.root) {
		if (up_root_postgres(&uid, &gid) < 0) {
			up_fail(u, VERB_EXIT_FAILED, "install it: apt install postgresql",
				"PostgreSQL is not installed (there is no user postgres), and the "
				"app needs it.");
			return;
		}
		(void)snprintf(group, sizeof group, "%u", (unsigned)u->app.gid);
	}
	buf_init(&b, CHAN_PAYLOAD_MAX);
	buf_put(&b, &ask, sizeof ask);
	pack_str(&b, u->app.bin);
	pack_str(&b, data);
	pack_str(&b, sockets);
	pack_str(&b, u->database);
	pack_str(&b, u->database);
	pack_str(&b, user);
	pack_str(&b, group);
	a = ask_start(u->ctl, PROC_DB, uid, gid, DB_MS, MSG_DB_ASK, &b, &db_ops, u);
	if (a)
		a->what = what;
	else
		up_fail(u, VERB_EXIT_FAILED, "try again", "stead-db cannot be asked: no memory.");
}

void up_db_start(struct up *u)
{
	u->db = DB_INITS;
	client_progress(u->client, "database", "seeing to the database", UINT32_MAX);
	db_ask(u, DB_INIT);
}

void up_db_sync(struct up *u)
{
	if (u->syncing || u->reload)
		return;
	u->syncing = true;
	db_ask(u, DB_SYNC);
}

/* Its role and database need the configured name, which check tells. Where the guess was another
 * one, the server's files name that and are written once more. */
void up_db_advance(struct up *u)
{
	if (u->db != DB_STARTS || !u->server_up || !u->checked || u->failing)
		return;
	u->db = DB_APPS;
	db_ask(u, strcmp(u->database, u->c->database) == 0 ? DB_APP : DB_INIT);
}

static void db_ended(struct ask *a, const struct ask_end *end)
{
	struct up *u = a->owner;
	int err;

	if (end->err) {
		up_fail(u, end->exit_code, end->todo, "%s", end->error);
		return;
	}
	switch ((enum db_what)a->what) {
	case DB_INIT:
		if (u->db == DB_APPS) {
			db_ask(u, DB_APP);
			return;
		}
		if (strlen(end->result) < sizeof u->app.bin)
			(void)snprintf(u->app.bin, sizeof u->app.bin, "%s", end->result);
		u->db = DB_STARTS;
		err = wants_postgres(u->ctl, &u->app);
		if (err)
			up_fail(u, VERB_EXIT_FAILED, "",
				"The database server cannot be described: %s.", strerror(-err));
		else
			db_ask(u, DB_WAIT);
		return;
	case DB_WAIT:
		u->server_up = true;
		break;
	case DB_APP:
		u->db = DB_READY;
		break;
	case DB_SYNC:
		u->synced = true;
		break;
	default:
		break;
	}
	up_advance(u);
}
