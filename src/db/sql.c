/*
 * sql.c: what stead says to the private server in SQL, as its superuser over the socket: wait until
 * it answers, give the app a role and a database of its own and nothing else, tell how it is.
 *
 * Every statement is idempotent, so that each start walks the same way. Names go through
 * PQescapeIdentifier. A new role could connect to every database (PUBLIC may), so CONNECT is taken
 * from PUBLIC everywhere, and the app owns its database, which is what gives it the schema on every
 * version.
 */
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/must.h"
#include "lib/sys.h"

#include "db.h"

static PGconn *connect_as(const struct db *db, const char *role, const char *database)
{
	const char *const keys[] = {"host", "port", "user", "dbname", "connect_timeout",
		"application_name", "client_encoding", "options", NULL};
	const char *const values[] = {db->sockets, DB_PORT, role, database, "5", "stead", "UTF8",
		"-c statement_timeout=60s -c client_min_messages=error", NULL};

	return PQconnectdbParams(keys, values, 0);
}

/* libpq's message without its newline, in mem. */
static const char *error_text(const PGconn *c, char *mem, size_t cap)
{
	size_t n;

	(void)snprintf(mem, cap, "%s", c ? PQerrorMessage(c) : "out of memory");
	for (n = strlen(mem); n > 0 && mem[n - 1] == '\n'; n--)
		mem[n - 1] = 0;
	return mem;
}

static int connect_super(struct db *db, const char *database, PGconn **ret)
{
	PGconn *c = connect_as(db, DB_SUPERUSER, database);
	char text[1024];
	int r;

	if (PQstatus(c) == CONNECTION_OK) {
		*ret = c;
		return 0;
	}
	r = failure_set(db->f, ECONNREFUSED, EXIT_CODE_FAILED,
		"`stead logs` shows what the server says",
		"The database server does not let stead in at %s: %s", db->sockets,
		error_text(c, text, sizeof text));
	PQfinish(c);
	return r;
}

/* The server notes in its pid file that it is ready (line 8). Asking it before that makes it write
 * a FATAL line into the log, which people would take for a fault. */
static bool noted_ready(const struct db *db)
{
	char path[DB_PATH_MAX + 32], *text;
	const char *line;
	bool ready;
	size_t n;

	(void)snprintf(path, sizeof path, "%s/postmaster.pid", db->data);
	if (sys_read_file(AT_FDCWD, path, 4096, &text, &n) < 0)
		return false;
	line = text;
	for (unsigned i = 1; i < 8 && line; i++) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	ready = line && strncmp(line, "ready", 5) == 0;
	free(text);
	return ready;
}

int sql_wait(struct db *db)
{
	const char *const keys[] = {"host", "port", "user", "dbname", "connect_timeout", NULL};
	const char *const values[] = {db->sockets, DB_PORT, DB_SUPERUSER, DB_SUPERUSER, "5", NULL};
	const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
	struct timespec start, now;
	PGPing ping = PQPING_NO_RESPONSE;
	PGconn *c;
	int r;

	(void)clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		if (noted_ready(db))
			ping = PQpingParams(keys, values, 0);
		if (ping == PQPING_OK)
			break;
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - start.tv_sec >= DB_WAIT_MS / 1000)
			return failure_set(db->f, ETIMEDOUT, EXIT_CODE_FAILED,
				"`stead logs` shows what the server says",
				ping == PQPING_REJECT
					? "The database server at %s runs but still refuses "
					  "clients "
					  "after %d s (it may be repairing after a crash)."
					: "The database server did not answer at %s within %d s.",
				db->sockets, DB_WAIT_MS / 1000);
		(void)nanosleep(&pause, NULL);
	}
	r = connect_super(db, DB_SUPERUSER, &c);
	if (r == 0)
		PQfinish(c);
	return r;
}

/* One statement without a result. An error whose SQLSTATE is `tolerated` counts as done. */
static int exec_sql(struct db *db, PGconn *c, const char *tolerated, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static int exec_sql(struct db *db, PGconn *c, const char *tolerated, const char *fmt, ...)
{
	const char *state;
	char sql[1024], text[1024];
	PGresult *res;
	va_list ap;
	int n, r = 0;

	va_start(ap, fmt);
	n = vsnprintf(sql, sizeof sql, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof sql)
		return failure_set(
			db->f, EOVERFLOW, EXIT_CODE_FAILED, "", "A statement is too long.");
	res = PQexec(c, sql);
	state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK &&
		!(tolerated && state && strcmp(state, tolerated) == 0))
		r = failure_set(db->f, EIO, EXIT_CODE_FAILED,
			state && strcmp(state, "53100") == 0
				? "free some disk space, then start again"
				: "`stead logs` shows what the server says",
			"The database refused \"%s\": %s", sql, error_text(c, text, sizeof text));
	PQclear(res);
	return r;
}

/* The first column of the first row, in mem; "" when there is no row. `a` and `b` are $1 and $2. */
static int query_text(struct db *db, PGconn *c, const char *sql, const char *a, const char *b,
	char *mem, size_t cap)
{
	const char *const args[] = {a, b};
	char text[1024];
	PGresult *res = PQexecParams(c, sql, b ? 2 : a ? 1 : 0, NULL, args, NULL, NULL, 0);
	int r = 0;

	mem[0] = 0;
	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		r = failure_set(db->f, EIO, EXIT_CODE_FAILED,
			"`stead logs` shows what the server says",
			"The database refused \"%s\": %s", sql, error_text(c, text, sizeof text));
	else if (PQntuples(res) > 0)
		(void)snprintf(mem, cap, "%s", PQgetvalue(res, 0, 0));
	PQclear(res);
	return r;
}

/* The role: nothing but LOGIN, and a bounded number of connections. Written only when it differs.
 */
static int put_role(struct db *db, PGconn *c, const char *role)
{
	static const char rights[] = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION "
				     "NOBYPASSRLS CONNECTION LIMIT";
	char have[32], limit[16];
	int r;

	(void)snprintf(limit, sizeof limit, "%u",
		db->connections_max ? db->connections_max : DB_CONNECTIONS_DEFAULT);
	r = query_text(db, c,
		"SELECT rolcanlogin AND NOT (rolsuper OR rolcreatedb OR rolcreaterole OR "
		"rolreplication OR rolbypassrls) AND rolconnlimit = $2::int FROM pg_roles "
		"WHERE rolname = $1",
		db->role, limit, have, sizeof have);
	if (r < 0 || strcmp(have, "t") == 0)
		return r;
	if (!have[0]) {
		r = exec_sql(db, c, "42710", "CREATE ROLE %s %s %s", role, rights, limit);
		if (r < 0)
			return r;
		return 0;
	}
	return exec_sql(db, c, NULL, "ALTER ROLE %s %s %s", role, rights, limit);
}

static int put_database(struct db *db, PGconn *c, const char *role, const char *database)
{
	char owner[128];
	int r = query_text(db, c,
		"SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = $1", db->database,
		NULL, owner, sizeof owner);

	if (r < 0)
		return r;
	if (owner[0] && strcmp(owner, db->role) != 0)
		return failure_set(db->f, EEXIST, EXIT_CODE_PROTECTED,
			"name another one with Database= in [Postgres] of stead.conf",
			"The database %s exists and belongs to the role %s, not to %s.",
			db->database, owner, db->role);
	if (!owner[0]) {
		if (db->o)
			oneshot_step(db->o, UINT32_MAX, "making the database %s", db->database);
		r = exec_sql(db, c, "42P04", "CREATE DATABASE %s OWNER %s", database, role);
	}
	return r;
}

/* Take from PUBLIC what it may in each database: connect, and make temporary tables. */
static int close_databases(struct db *db, PGconn *c)
{
	static const char open_sql[] =
		"SELECT string_agg(quote_ident(datname), ',') FROM pg_database WHERE datallowconn "
		"AND "
		"(datacl IS NULL OR EXISTS (SELECT FROM aclexplode(datacl) WHERE grantee = 0))";
	char list[900];
	int r = query_text(db, c, open_sql, NULL, NULL, list, sizeof list);

	if (r < 0 || !list[0])
		return r;
	return exec_sql(db, c, NULL, "REVOKE ALL ON DATABASE %s FROM PUBLIC", list);
}

/* The server reads pg_hba.conf and pg_ident.conf at its start; init_cluster() may have written them
 * since. pg_reload_conf() says true even for a file that it rejects, so the view is asked first. */
static int reload_access(struct db *db, PGconn *c)
{
	char text[512];
	int r = query_text(db, c,
		"SELECT string_agg(coalesce(error, ''), '; ') FROM pg_hba_file_rules "
		"WHERE error IS NOT NULL",
		NULL, NULL, text, sizeof text);

	if (r == 0 && text[0])
		r = failure_set(db->f, EINVAL, EXIT_CODE_FAILED,
			"start stead again; it writes the file anew",
			"PostgreSQL rejects %s/pg_hba.conf: %s", db->data, text);
	if (r == 0)
		r = query_text(db, c,
			"SELECT pg_reload_conf() WHERE "
			"(pg_stat_file('pg_ident.conf')).modification >= "
			"date_trunc('second', pg_conf_load_time())",
			NULL, NULL, text, sizeof text);
	return r;
}

/* The server may have been started with room for fewer clients than the configuration says now; how
 * many it takes is fixed until its next start. */
static int see_to_room(struct db *db, PGconn *c)
{
	char enough[8], wanted[16];
	int r;

	if (db->connections_max == 0)
		return 0;
	(void)snprintf(wanted, sizeof wanted, "%u",
		max_of(db->connections_max, db->connections_all) + DB_CONNECTIONS_RESERVED);
	r = query_text(db, c,
		db->many ? "SELECT current_setting('max_connections')::int >= $1::int"
			 : "SELECT current_setting('max_connections')::int = $1::int",
		wanted, NULL, enough, sizeof enough);
	if (r < 0 || strcmp(enough, "t") == 0)
		return r;
	if (db->o)
		oneshot_step(db->o, UINT32_MAX,
			"ConnectionsMax=%u: the database server makes room for it at its next "
			"start",
			db->connections_max);
	return 0;
}

/* Really connect as the app, which only its own user can. A moment's patience, because the server
 * reads its access files again on a signal. */
static int try_as_app(struct db *db)
{
	const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
	char text[1024];
	bool good;
	PGconn *c;

	if (strcmp(db->owner, db->os_user) != 0)
		return 0;
	for (unsigned i = 0; i < DB_TRIES; i++) {
		c = connect_as(db, db->role, db->database);
		good = PQstatus(c) == CONNECTION_OK;
		(void)error_text(c, text, sizeof text);
		PQfinish(c);
		if (good)
			return 0;
		(void)nanosleep(&pause, NULL);
	}
	return failure_set(db->f, ECONNREFUSED, EXIT_CODE_FAILED,
		"`stead logs` shows what the server says",
		"The role %s cannot enter its database %s at %s: %s", db->role, db->database,
		db->sockets, text);
}

int sql_app(struct db *db)
{
	char *role = NULL, *database = NULL;
	PGconn *c;
	int r = connect_super(db, DB_SUPERUSER, &c);

	if (r < 0)
		return r;
	role = PQescapeIdentifier(c, db->role, strlen(db->role));
	database = PQescapeIdentifier(c, db->database, strlen(db->database));
	if (!role || !database)
		r = failure_set(
			db->f, ENOMEM, EXIT_CODE_FAILED, "free some memory", "Out of memory.");
	/* The server may have been started by what the last run knew: names and numbers are certain
	 * now. */
	if (r == 0)
		r = conf_rewrite(db);
	if (r == 0)
		r = reload_access(db, c);
	if (r == 0)
		r = put_role(db, c, role);
	if (r == 0)
		r = put_database(db, c, role, database);
	if (r == 0)
		r = close_databases(db, c);
	if (r == 0)
		r = see_to_room(db, c);
	PQfreemem(role);
	PQfreemem(database);
	PQfinish(c);
	return r == 0 ? try_as_app(db) : r;
}

int sql_drop(struct db *db)
{
	char *role = NULL, *database = NULL;
	PGconn *c;
	int r = connect_super(db, DB_SUPERUSER, &c);

	if (r < 0)
		return r;
	role = PQescapeIdentifier(c, db->role, strlen(db->role));
	database = PQescapeIdentifier(c, db->database, strlen(db->database));
	if (!role || !database)
		r = failure_set(db->f, ENOMEM, EXIT_CODE_FAILED, "free some memory", "Out of memory.");
	/* WITH (FORCE) ends whoever is connected still. */
	if (r == 0)
		r = exec_sql(db, c, NULL, "DROP DATABASE IF EXISTS %s WITH (FORCE)", database);
	if (r == 0)
		r = exec_sql(db, c, NULL, "DROP ROLE IF EXISTS %s", role);
	PQfreemem(role);
	PQfreemem(database);
	PQfinish(c);
	return r;
}

int sql_info(struct db *db, char **ret_json)
{
	static const char sql[] =
		"SELECT json_build_object('version', current_setting('server_version'), "
		"'database', $1::text, 'size_bytes', coalesce(pg_database_size(oid), 0), "
		"'connections', (SELECT count(*) FROM pg_stat_activity WHERE datname = $1), "
		"'connections_max', (SELECT rolconnlimit FROM pg_roles WHERE rolname = $2), "
		"'uptime_s', floor(extract(epoch FROM now() - pg_postmaster_start_time()))::int) "
		"FROM (SELECT (SELECT oid FROM pg_database WHERE datname = $1) AS oid) AS d";
	char text[2048];
	PGconn *c;
	int r = connect_super(db, DB_SUPERUSER, &c);

	if (r < 0)
		return r;
	r = query_text(db, c, sql, db->database, db->role, text, sizeof text);
	PQfinish(c);
	if (r < 0)
		return r;
	*ret_json = strdup(text);
	return *ret_json ? 0 : failure_set(db->f, ENOMEM, EXIT_CODE_FAILED, "", "Out of memory.");
}
