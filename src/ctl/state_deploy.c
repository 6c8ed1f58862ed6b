/*
 * state_deploy.c: the tables `deployed`, `release` and `release_value`: the deployed apps by name, and of each the
 * releases that are kept, each with the values that it was found to have, so that going back to one needs nothing else.
 *
 * Called at the start and by the flow of a deploy. What serves of an app stands in `app` and `app_value` as for the
 * folder's own (state_app.c); which of the releases that is changes in one transaction with it.
 */
#include "deploy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int state_make_deploy(struct ctl *c)
{
	int err = state_make_left(c);

	return err ? err : state_exec(c,
		"CREATE TABLE IF NOT EXISTS deployed (app INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
		" side INTEGER NOT NULL);"
		"CREATE TABLE IF NOT EXISTS release (app INTEGER NOT NULL, number INTEGER NOT NULL,"
		" at_us INTEGER NOT NULL, folder TEXT NOT NULL, python TEXT NOT NULL, bin TEXT NOT NULL,"
		" PRIMARY KEY (app, number)) WITHOUT ROWID;"
		"CREATE TABLE IF NOT EXISTS release_value (app INTEGER NOT NULL, release INTEGER NOT NULL,"
		" place INTEGER NOT NULL, section TEXT NOT NULL, arg TEXT NOT NULL, key TEXT NOT NULL,"
		" text TEXT NOT NULL, origin TEXT NOT NULL, file TEXT NOT NULL, line INTEGER NOT NULL,"
		" col INTEGER NOT NULL, PRIMARY KEY (app, release, place)) WITHOUT ROWID");
}

int state_load_apps(struct ctl *c)
{
	sqlite3_stmt *st = NULL;
	int err = state_load_app(c, &c->app);

	if (err == 0 && sqlite3_prepare_v2(c->db, "SELECT name, side FROM deployed ORDER BY name", -1, &st,
				NULL) != SQLITE_OK)
		err = state_failed(c, "read deployed");
	while (err == 0 && sqlite3_step(st) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(st, 0);
		struct app *a = name ? apps_add(c, name) : NULL;

		if (!a)
			err = -ENOMEM;
		else
			a->set = 2 * a->number + (sqlite3_column_int(st, 1) != 0);
		if (a)
			err = state_load_app(c, a);
	}
	if (sqlite3_finalize(st) != SQLITE_OK && err == 0)
		err = state_failed(c, "read deployed");
	return err;
}

/* One statement with these numbers. */
static int run(struct ctl *c, const char *sql, uint64_t one, uint64_t two)
{
	sqlite3_stmt *st = NULL;
	int n, r = sqlite3_prepare_v2(c->db, sql, -1, &st, NULL);

	n = r == SQLITE_OK ? sqlite3_bind_parameter_count(st) : 0;
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 1, (sqlite3_int64)one);
	if (r == SQLITE_OK && n > 1)
		r = sqlite3_bind_int64(st, 2, (sqlite3_int64)two);
	if (r == SQLITE_OK)
		r = sqlite3_step(st);
	(void)sqlite3_finalize(st);
	return r == SQLITE_DONE ? 0 : state_failed(c, sql);
}

static int save_deployed(struct ctl *c, const struct app *a)
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(
		c->db, "INSERT OR REPLACE INTO deployed (app, name, side) VALUES (?, ?, ?)", -1, &st, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 1, a->number);
	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 2, a->name, -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int(st, 3, (int)(a->set & 1));
	if (r == SQLITE_OK)
		r = sqlite3_step(st);
	(void)sqlite3_finalize(st);
	return r == SQLITE_DONE ? 0 : state_failed(c, "write deployed");
}

static int save_release(struct ctl *c, const struct app *a, uint64_t at_us)
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(c->db,
		"INSERT OR REPLACE INTO release (app, number, at_us, folder, python, bin) VALUES (?, ?, ?, ?, ?, ?)",
		-1, &st, NULL);
	const char *const text[3] = {a->folder, a->python, a->bin};

	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 1, a->number);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 2, a->release);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 3, (sqlite3_int64)at_us);
	for (int i = 0; i < 3 && r == SQLITE_OK; i++)
		r = sqlite3_bind_text(st, 4 + i, text[i], -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_step(st);
	(void)sqlite3_finalize(st);
	return r == SQLITE_DONE ? 0 : state_failed(c, "write release");
}

int state_save_deploy(struct ctl *c, const struct app *a, uint64_t at_us)
{
	bool mine;
	int err = state_begin(c, &mine);

	if (err)
		return err;
	err = save_deployed(c, a);
	if (err == 0)
		err = state_save_app(c, a);
	if (err == 0 && at_us) {
		err = save_release(c, a, at_us);
		if (err == 0)
			err = run(c, "DELETE FROM release_value WHERE app = ? AND release = ?", a->number,
				a->release);
		if (err == 0)
			err = run(c,
				"INSERT INTO release_value SELECT app, ?2, place, section, arg, key, text, origin,"
				" file, line, col FROM app_value WHERE app = ?1",
				a->number, a->release);
	}
	return state_end(c, mine, err);
}

int state_releases(struct ctl *c, const struct app *a, struct release *ret, unsigned max, unsigned *ret_n)
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(c->db,
		"SELECT number, at_us FROM release WHERE app = ? ORDER BY number DESC", -1, &st, NULL);

	*ret_n = 0;
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 1, a->number);
	while (r == SQLITE_OK && *ret_n < max && sqlite3_step(st) == SQLITE_ROW)
		ret[(*ret_n)++] = (struct release){.number = (uint32_t)sqlite3_column_int64(st, 0),
			.at_us = (uint64_t)sqlite3_column_int64(st, 1)};
	return sqlite3_finalize(st) == SQLITE_OK ? 0 : state_failed(c, "read release");
}

int state_release_pythons(struct ctl *c, const struct app *a, struct buf *ret)
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(
		c->db, "SELECT DISTINCT python FROM release WHERE app = ? AND python <> ''", -1, &st, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 1, a->number);
	while (r == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
		pack_str(ret, (const char *)sqlite3_column_text(st, 0));
	return sqlite3_finalize(st) == SQLITE_OK ? ret->error : state_failed(c, "read release");
}

static int load_values(struct ctl *c, struct app *a, uint32_t number)
{
	sqlite3_stmt *st = NULL;
	int err = 0, r = sqlite3_prepare_v2(c->db,
			     "SELECT section, arg, key, text, origin, file, line, col FROM release_value"
			     " WHERE app = ? AND release = ? ORDER BY place",
			     -1, &st, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 1, a->number);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 2, number);
	while (err == 0 && r == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
		const char *text[6];

		for (int i = 0; i < 6; i++)
			text[i] = (const char *)sqlite3_column_text(st, i);
		err = app_value_add(a, text, (uint32_t)sqlite3_column_int(st, 6),
			(uint32_t)sqlite3_column_int(st, 7));
	}
	if (sqlite3_finalize(st) != SQLITE_OK && err == 0)
		err = state_failed(c, "read release_value");
	return err;
}

int state_load_release(struct ctl *c, struct app *a, uint32_t number)
{
	sqlite3_stmt *st = NULL;
	int err = -ENOENT, r = sqlite3_prepare_v2(c->db,
				   "SELECT folder, python, bin FROM release WHERE app = ? AND number = ?", -1,
				   &st, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 1, a->number);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 2, number);
	if (r == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
		err = 0;
		a->release = number;
		(void)snprintf(a->folder, sizeof a->folder, "%s", (const char *)sqlite3_column_text(st, 0));
		(void)snprintf(a->python, sizeof a->python, "%s", (const char *)sqlite3_column_text(st, 1));
		(void)snprintf(a->bin, sizeof a->bin, "%s", (const char *)sqlite3_column_text(st, 2));
	}
	if (sqlite3_finalize(st) != SQLITE_OK)
		err = state_failed(c, "read release");
	return err ? err : load_values(c, a, number);
}

int state_forget_release(struct ctl *c, const struct app *a, uint32_t number)
{
	bool mine;
	int err = state_begin(c, &mine);

	if (err)
		return err;
	err = run(c, "DELETE FROM release WHERE app = ? AND number = ?", a->number, number);
	if (err == 0)
		err = run(c, "DELETE FROM release_value WHERE app = ? AND release = ?", a->number, number);
	return state_end(c, mine, err);
}

int state_forget_app(struct ctl *c, const struct app *a)
{
	static const char *const sql[] = {"DELETE FROM deployed WHERE app = ?",
		"DELETE FROM app WHERE number = ?", "DELETE FROM app_value WHERE app = ?",
		"DELETE FROM release WHERE app = ?", "DELETE FROM release_value WHERE app = ?"};
	bool mine;
	int err = state_begin(c, &mine);

	if (err)
		return err;
	for (unsigned i = 0; i < ARRAY_LEN(sql) && err == 0; i++)
		err = run(c, sql[i], a->number, 0);
	return state_end(c, mine, err);
}

/* Numbers are never given twice, also not when what had one came to nothing. */
uint32_t state_next_release(struct ctl *c, const struct app *a)
{
	char key[40];
	uint64_t last = 0;

	(void)snprintf(key, sizeof key, "releases %u", (unsigned)a->number);
	(void)state_meta_get(c, key, &last);
	return state_meta_set(c, key, last + 1) < 0 ? 0 : (uint32_t)(last + 1);
}
