/*
 * stead-db: makes the private PostgreSQL cluster, its role and its database, and speaks SQL to it.
 *
 * A one-shot process: ctl asks one thing (DB_ASK, enum db_what), steps are told by DB_STEP, the
 * answer is DB_END. It runs as the owner of the cluster, never as root. It owns the data folder
 * while it works; it never starts the server (the parent does) and never deletes a cluster that was
 * whole.
 */
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/must.h"

#include "db.h"

static int copy_text(char *to, size_t cap, const char *from)
{
	size_t n = strlen(from);

	if (n >= cap)
		return -ENAMETOOLONG;
	memcpy(to, from, n + 1);
	return 0;
}

static int parse_gid(const char *text, gid_t *ret)
{
	char *end;
	unsigned long v;

	if (!*text) {
		*ret = 0;
		return 0;
	}
	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9' || v > 0x7fffffff)
		return -EINVAL;
	*ret = (gid_t)v;
	return 0;
}

/* The question into db; -EPROTO when it is malformed. */
static int read_ask(struct oneshot *o, struct db *db, struct msg_db_ask *ask)
{
	struct unpack u;
	const char *tail;
	size_t n;
	int r = msg_get(&o->ask, ask, sizeof *ask, sizeof *ask);

	if (r < 0)
		return r;
	tail = msg_tail(&o->ask, sizeof *ask, &n);
	unpack_init(&u, tail, n);
	r |= copy_text(db->bin, sizeof db->bin, unpack_str(&u));
	r |= copy_text(db->data, sizeof db->data, unpack_str(&u));
	r |= copy_text(db->sockets, sizeof db->sockets, unpack_str(&u));
	r |= copy_text(db->role, sizeof db->role, unpack_str(&u));
	r |= copy_text(db->database, sizeof db->database, unpack_str(&u));
	r |= copy_text(db->os_user, sizeof db->os_user, unpack_str(&u));
	r |= parse_gid(unpack_str(&u), &db->gid);
	while (r == 0 && !u.bad && !unpack_done(&u) && db->others_n < DB_OTHERS_MAX) {
		struct db_other *other = &db->others[db->others_n++];

		r |= copy_text(other->os_user, sizeof other->os_user, unpack_str(&u));
		r |= copy_text(other->role, sizeof other->role, unpack_str(&u));
	}
	if (r != 0 || !unpack_done(&u))
		return -EPROTO;
	db->many = ask->many != 0;
	db->connections_all = min_of(ask->connections_all, (uint32_t)DB_CONNECTIONS_LIMIT);
	db->connections_max = min_of(ask->connections_max, (uint32_t)DB_CONNECTIONS_LIMIT);
	return 0;
}

static int set_owner(struct db *db)
{
	struct passwd *pw = getpwuid(geteuid());

	if (geteuid() == 0)
		return failure_set(db->f, EPERM, EXIT_CODE_NOT_PERMITTED,
			"install the postgresql package, which makes the user postgres, and start "
			"again",
			"The database cannot run as root: PostgreSQL refuses that.");
	if (!pw || copy_text(db->owner, sizeof db->owner, pw->pw_name) < 0)
		return failure_set(db->f, ENOENT, EXIT_CODE_FAILED,
			"run stead as a user that the system knows (`getent passwd` lists them)",
			"The user with the number %u has no name here, and PostgreSQL's peer "
			"authentication needs one.",
			(unsigned)geteuid());
	return 0;
}

static int answer(struct db *db, enum db_what what, char **ret_result)
{
	switch (what) {
	case DB_FIND:
		return find_bin(db);
	case DB_INIT:
		return init_cluster(db);
	case DB_WAIT:
		return sql_wait(db);
	case DB_APP:
		return load_database(db);
	case DB_DROP:
		return sql_drop(db);
	case DB_SYNC:
		return init_sync(db);
	case DB_INFO:
		return sql_info(db, ret_result);
	}
	return failure_set(db->f, ENOSYS, EXIT_CODE_FAILED, "install one version of stead whole",
		"stead-db does not know the request number %u.", (unsigned)what);
}

/* Settings of the caller's environment must not lead libpq or initdb elsewhere. */
static void clear_environment(void)
{
	for (char **e = environ; *e;) {
		char name[64];
		size_t n = strcspn(*e, "=");

		if (strncmp(*e, "PG", 2) != 0 || n >= sizeof name) {
			e++;
			continue;
		}
		memcpy(name, *e, n);
		name[n] = 0;
		if (unsetenv(name) != 0)
			e++;
	}
}

int main(void)
{
	static const enum proc role = PROC_DB;
	struct failure f = {0};
	struct db db = {.f = &f};
	struct msg_db_ask ask;
	struct oneshot o;
	char *result = NULL;
	int r;

	(void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	(void)umask(0077);
	clear_environment();
	r = oneshot_open(&o, 3, role);
	if (r == 0)
		r = oneshot_receive(&o, MSG_DB_ASK);
	if (r < 0)
		fatal("db", "descriptor 3 is not ctl's channel: %s", strerror(-r));
	db.o = &o;
	if (read_ask(&o, &db, &ask) < 0)
		fatal("db", "malformed question from ctl");
	if (ask.what == DB_FIND || (set_owner(&db) == 0 && db_check(&db) == 0))
		(void)answer(&db, (enum db_what)ask.what, &result);
	r = oneshot_end(&o, MSG_DB_END, &f, result ? result : db.bin);
	free(result);
	oneshot_close(&o);
	return r < 0 ? 1 : 0;
}
