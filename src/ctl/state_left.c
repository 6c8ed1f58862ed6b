/*
 * state_left.c: the table `app_database`: which database each deployed app has, also when the app is deployed no more.
 *
 * Written before an app's database is made and when the app is removed without its data; a removal with all data takes the row away
 * behind the database. So what an app left can be removed whole, and an app without a row has none.
 */
#include "deploy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int state_make_left(struct ctl *c)
{
	return state_exec(c, "CREATE TABLE IF NOT EXISTS app_database (app TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID");
}

int state_left_database(struct ctl *c, const char *app, char ret[static 64])
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(c->db, "SELECT name FROM app_database WHERE app = ?", -1, &st, NULL);

	ret[0] = '\0';
	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 1, app, -1, SQLITE_STATIC);
	if (r == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
		(void)snprintf(ret, 64, "%s", (const char *)sqlite3_column_text(st, 0));
	return sqlite3_finalize(st) == SQLITE_OK ? 0 : state_failed(c, "read app_database");
}

int state_has_database(struct ctl *c, const char *app, const char *database)
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(c->db,
		database[0] ? "INSERT OR REPLACE INTO app_database VALUES (?, ?)" : "DELETE FROM app_database WHERE app = ?", -1, &st, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 1, app, -1, SQLITE_STATIC);
	if (r == SQLITE_OK && database[0])
		r = sqlite3_bind_text(st, 2, database, -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_step(st);
	(void)sqlite3_finalize(st);
	return r == SQLITE_DONE ? 0 : state_failed(c, "write app_database");
}
