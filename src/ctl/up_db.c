/*
 * up_db.c: the steps of the up flow that bring the database: make the cluster, run the server, give
 * the app its role and database, make a fresh cluster durable.
 *
 * Called by up_advance() and when check found that the app needs one. SQL is spoken by db only; the
 * server is the parent's child. Nothing is told to be live before the cluster is on the disk.
 */
#include "deploy.h"
#include "wants.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DB_MS = 150 * 1000, DB_LOAD_MS = 7 * 3600 * 1000, CONNECTIONS_MANY = 200 /* of several apps, at the least */ };

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
static void os_user(const struct ctl *c, const struct app *a, char ret[64])
{
	struct passwd *pw = getpwuid(c->start.root ? a->uid : geteuid());

	(void)snprintf(ret, 64, "%s", pw ? pw->pw_name : "");
}

struct question {
	struct msg_db_ask ask;
	const struct app *app;     /* whose it is … */
	const struct app *in_list; /* … and that of the list which it is, or is going to be */
	const char *database;
	const struct ask_ops *ops;
	void *owner;
};

/* The users and roles of all other apps, which the server's files name too. */
static void put_others(struct ctl *c, struct question *q, struct buf *b)
{
	char user[64];
	char why[128];

	FOR_APPS(c, a) {
		struct conf *held;

		if (a == q->in_list || !a->known || !a->bin[0] || !a->run->database[0])
			continue;
		os_user(c, a, user);
		pack_str(b, user);
		pack_str(b, a->run->database);
		held = q->ask.connections_max ? effective_conf(c, a, why, sizeof why) : NULL;
		q->ask.connections_all += held ? conf_app(held)->connections_max : 0;
		conf_free(held);
	}
}

static struct ask *ask_db(struct ctl *c, struct question *q)
{
	char data[CTL_PATH_MAX], sockets[CTL_PATH_MAX], user[64], group[16] = "";
	uint32_t uid = 0, gid = 0;
	struct buf b, others;
	struct ask *a;

	wants_data(c, data);
	wants_sockets(c, sockets);
	os_user(c, q->app, user);
	if (c->start.root && up_root_postgres(&uid, &gid) == 0)
		(void)snprintf(group, sizeof group, "%u", (unsigned)q->app->gid);
	q->ask.many = c->start.root && c->app.next;
	if (q->ask.many)
		group[0] = '\0';
	buf_init(&others, CHAN_PAYLOAD_MAX / 2);
	put_others(c, q, &others);
	/* Room for those that come, because only a new start makes more of it. */
	if (c->app.next && q->ask.connections_max)
		q->ask.connections_all =
			max_of(q->ask.connections_all + q->ask.connections_max, (uint32_t)CONNECTIONS_MANY);
	else
		q->ask.connections_all = 0;
	buf_init(&b, CHAN_PAYLOAD_MAX);
	buf_put(&b, &q->ask, sizeof q->ask);
	pack_str(&b, q->app->bin);
	pack_str(&b, data);
	pack_str(&b, sockets);
	pack_str(&b, q->database);
	pack_str(&b, q->database);
	pack_str(&b, user);
	pack_str(&b, group);
	if (others.len)
		buf_put(&b, others.p, others.len);
	buf_done(&others);
	/* What a backup has of it is loaded first. */
	a = ask_start(c, PROC_DB, uid, gid, c->server.restored.on ? DB_LOAD_MS : DB_MS, MSG_DB_ASK, &b, q->ops, q->owner);
	if (a)
		a->what = q->ask.what;
	return a;
}

struct ask *db_ask_app(struct ctl *c, const struct app *a, enum db_what what, const struct ask_ops *ops)
{
	char why[128];
	struct conf *held = effective_conf(c, a, why, sizeof why);
	struct question q = {.ask = {.what = what, .connections_max = held ? conf_app(held)->connections_max : 0},
		.app = a,
		.in_list = a,
		.database = a->run->database,
		.ops = ops,
		.owner = c->app.run};

	conf_free(held);
	return ask_db(c, &q);
}

struct ask *up_db_drop(struct up *u, const struct ask_ops *ops)
{
	struct question q = {.ask = {.what = DB_DROP},
		.app = &u->app,
		.in_list = u->deploy->app,
		.database = u->deploy->app->run->database,
		.ops = ops,
		.owner = u};
	struct ask *a = ask_db(u->ctl, &q);

	if (!a)
		up_fail(u, VERB_EXIT_FAILED, "try again", "stead-db cannot be asked: no memory.");
	return a;
}

static void db_ask(struct up *u, enum db_what what)
{
	struct question q = {.ask = {.what = what, .connections_max = u->c ? u->c->connections_max : 0},
		.app = &u->app,
		.in_list = u->deploy ? u->deploy->app : &u->ctl->app,
		.database = u->database,
		.ops = &db_ops,
		.owner = u};
	uint32_t uid, gid;

	u->db_uid = u->app.uid;
	/* Before check has told it, the last time's name is the guess. */
	if (u->c)
		(void)snprintf(u->database, sizeof u->database, "%s", u->c->database);
	if (u->ctl->start.root && up_root_postgres(&uid, &gid) < 0)
		up_fail(u, VERB_EXIT_FAILED, "install it: apt install postgresql",
			"PostgreSQL is not installed (there is no user postgres), and the app needs it.");
	else if (!ask_db(u->ctl, &q))
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
	db_ask(u, strcmp(u->database, u->c->database) == 0 && u->db_uid == u->app.uid ? DB_APP : DB_INIT);
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
		if (!u->deploy)
			deploy_boot_db(u->ctl);
		break;
	case DB_APP:
		u->db = DB_READY;
		if (!u->deploy)
			restored_own(u->ctl);
		break;
	case DB_SYNC:
		u->synced = true;
		break;
	default:
		break;
	}
	up_advance(u);
}
