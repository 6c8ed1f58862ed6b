/*
 * state.c: STATE/state.db, and its table `meta`: the schema's version and small numbers.
 *
 * Called by every file of ctl that keeps something; each owns one table. SQLite in WAL mode with
 * synchronous=FULL: what was committed survives a power cut, and only then a user is told that it
 * is done. The schema carries version and min_reader, so an older stead refuses what it would
 * damage.
 */
#include "ctl.h"
#include "deploy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { SCHEMA_VERSION = 1, SCHEMA_MIN_READER = 1 };

int state_failed(struct ctl *c, const char *what)
{
	int code = sqlite3_extended_errcode(c->db);
	const char *text = sqlite3_errmsg(c->db);

	say(c, EV_STATE_ERROR, "what", what, "error", text, NULL);
	(void)fprintf(stderr, "stead-ctl: state.db: %s: %s\n", what, text);
	return (code & 0xff) == SQLITE_FULL ? -ENOSPC : -EIO;
}

int state_exec(struct ctl *c, const char *sql)
{
	return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : state_failed(c, sql);
}

int state_make_meta(struct ctl *c)
{
	return state_exec(c,
		"CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL)"
		" WITHOUT ROWID");
}

/* Compiled once: ten thousand sites ask for as many numbers. */
static int prepare(struct ctl *c, sqlite3_stmt **st, const char *sql)
{
	return *st ? SQLITE_OK : sqlite3_prepare_v2(c->db, sql, -1, st, NULL);
}

int state_meta_get(struct ctl *c, const char *key, uint64_t *ret_value)
{
	int r = prepare(c, &c->meta_get, "SELECT value FROM meta WHERE key = ?");

	if (r == SQLITE_OK)
		r = sqlite3_bind_text(c->meta_get, 1, key, -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_step(c->meta_get);
	if (r == SQLITE_ROW)
		*ret_value = (uint64_t)sqlite3_column_int64(c->meta_get, 0);
	if (r != SQLITE_ROW && r != SQLITE_DONE)
		r = state_failed(c, "read meta");
	(void)sqlite3_reset(c->meta_get);
	return r == SQLITE_ROW ? 0 : r == SQLITE_DONE ? -ENOENT : r;
}

int state_meta_set(struct ctl *c, const char *key, uint64_t value)
{
	int r = prepare(c, &c->meta_set,
		"INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE"
		" SET value = excluded.value WHERE value <> excluded.value");

	if (r == SQLITE_OK)
		r = sqlite3_bind_text(c->meta_set, 1, key, -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(c->meta_set, 2, (sqlite3_int64)value);
	if (r == SQLITE_OK)
		r = sqlite3_step(c->meta_set);
	r = r == SQLITE_DONE ? 0 : state_failed(c, "write meta");
	(void)sqlite3_reset(c->meta_set);
	return r;
}

int state_begin(struct ctl *c, bool *ret_mine)
{
	*ret_mine = sqlite3_get_autocommit(c->db) != 0;
	return *ret_mine ? state_exec(c, "BEGIN IMMEDIATE") : 0;
}

int state_end(struct ctl *c, bool mine, int err)
{
	if (!mine)
		return err;
	if (err == 0)
		err = state_exec(c, "COMMIT");
	if (err)
		(void)sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
	return err;
}

/* Names that come and go keep their numbers: a counter or a state is never another's. */
uint32_t state_number(struct ctl *c, const char *kind, const char *name)
{
	char key[800];
	uint64_t number, next = 0;

	(void)snprintf(key, sizeof key, "number %s %s", kind, name);
	if (state_meta_get(c, key, &number) == 0)
		return (uint32_t)number;
	(void)snprintf(key, sizeof key, "numbers %s", kind);
	(void)state_meta_get(c, key, &next);
	if (state_meta_set(c, key, next + 1) < 0)
		return 0;
	(void)snprintf(key, sizeof key, "number %s %s", kind, name);
	(void)state_meta_set(c, key, next);
	return (uint32_t)next;
}

/* Made once; later starts only read. */
static int make_schema(struct ctl *c)
{
	uint64_t version, min_reader = 0;
	int err = state_make_meta(c);

	if (err == 0)
		err = state_meta_get(c, "version", &version);
	if (err == -ENOENT) {
		err = state_exec(c, "BEGIN IMMEDIATE");
		if (err == 0)
			err = state_make_app(c);
		if (err == 0)
			err = state_make_secret(c);
		if (err == 0)
			err = state_make_site(c);
		if (err == 0)
			err = state_make_maintenance(c);
		if (err == 0)
			err = state_make_cert(c);
		if (err == 0)
			err = state_make_stored(c);
		if (err == 0)
			err = state_make_authority(c);
		if (err == 0)
			err = state_make_deploy(c);
		if (err == 0)
			err = state_make_alerts(c);
		if (err == 0)
			err = state_meta_set(c, "version", SCHEMA_VERSION);
		if (err == 0)
			err = state_meta_set(c, "min_reader", SCHEMA_MIN_READER);
		return err ? err : state_exec(c, "COMMIT");
	}
	if (err == 0)
		err = state_meta_get(c, "min_reader", &min_reader);
	if (err == 0 && min_reader > SCHEMA_VERSION) {
		(void)fprintf(stderr,
			"stead-ctl: %s/state.db was written by a newer stead (schema %u); use that "
			"one, or another folder with --state\n",
			c->state_dir, (unsigned)version);
		err = -EPROTONOSUPPORT;
	}
	/* One that was made before there were such sites. */
	if (err == 0)
		err = state_make_site(c);
	if (err == 0)
		err = state_make_cert(c);
	if (err == 0)
		err = state_make_stored(c);
	if (err == 0)
		err = state_make_authority(c);
	if (err == 0)
		err = state_make_deploy(c);
	if (err == 0)
		err = state_make_alerts(c);
	return err ? err : state_make_maintenance(c);
}

/* In memory, with what is in the file: whatever this version makes of it, the file is as it was. */
static int open_copy(struct ctl *c, const char *path)
{
	sqlite3 *from = NULL;
	sqlite3_backup *copy = NULL;
	int r = sqlite3_open_v2(path, &from, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_open_v2(":memory:", &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_busy_timeout(from, 2000);
	if (r == SQLITE_OK)
		copy = sqlite3_backup_init(c->db, "main", from, "main");
	r = copy ? sqlite3_backup_step(copy, -1) : SQLITE_ERROR;
	(void)sqlite3_backup_finish(copy);
	if (r != SQLITE_DONE)
		(void)fprintf(stderr, "stead-ctl: %s: %s\n", path, sqlite3_errmsg(from));
	(void)sqlite3_close(from);
	return r == SQLITE_DONE ? make_schema(c) : -EIO;
}

int state_open(struct ctl *c)
{
	char path[CTL_PATH_MAX + 16];
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
		    SQLITE_OPEN_NOFOLLOW;
	int err;

	(void)snprintf(path, sizeof path, "%s/state.db", c->state_dir);
	if (c->start.trial)
		return open_copy(c, path);
	if (sqlite3_open_v2(path, &c->db, flags, NULL) != SQLITE_OK) {
		(void)fprintf(stderr, "stead-ctl: %s: %s\n", path, sqlite3_errmsg(c->db));
		return -EIO;
	}
	(void)sqlite3_busy_timeout(c->db, 2000);
	err = state_exec(c, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
			    " PRAGMA cache_size = -256; PRAGMA foreign_keys = ON");
	return err ? err : make_schema(c);
}

void state_close(struct ctl *c)
{
	(void)sqlite3_finalize(c->meta_get);
	(void)sqlite3_finalize(c->meta_set);
	c->meta_get = c->meta_set = NULL;
	(void)sqlite3_close(c->db);
	c->db = NULL;
}
