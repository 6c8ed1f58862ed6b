/*
 * state_app.c: the tables `app` and `app_value`: what the instance serves, and the values that
 * check found last, so that a new ctl goes on without asking anybody again.
 *
 * Called by the up flow when a step is done that must outlive this process.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int state_make_app(struct ctl *c)
{
	return state_exec(c,
		"CREATE TABLE app (number INTEGER PRIMARY KEY, name TEXT NOT NULL, folder TEXT NOT "
		"NULL,"
		" http TEXT NOT NULL, instance TEXT NOT NULL, bin TEXT NOT NULL, python TEXT NOT "
		"NULL,"
		" work TEXT NOT NULL, release INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER "
		"NOT NULL);"
		"CREATE TABLE app_value (app INTEGER NOT NULL, place INTEGER NOT NULL, section "
		"TEXT NOT NULL,"
		" arg TEXT NOT NULL, key TEXT NOT NULL, text TEXT NOT NULL, origin TEXT NOT NULL,"
		" file TEXT NOT NULL, line INTEGER NOT NULL, col INTEGER NOT NULL,"
		" PRIMARY KEY (app, place)) WITHOUT ROWID");
}

void app_value_free(struct app_value *v)
{
	free(v->section); /* one piece of memory holds all six */
	free(v);
}

void app_values_free(struct app *a)
{
	while (a->values) {
		struct app_value *v = a->values;

		a->values = v->next;
		app_value_free(v);
	}
}

int app_value_add(struct app *a, const char *const text[6], uint32_t line, uint32_t col)
{
	struct app_value *v = calloc(1, sizeof *v), **at = &a->values;
	char **to[6];
	size_t n = 0;
	char *p;

	for (unsigned i = 0; i < 6; i++)
		n += strlen(text[i]) + 1;
	p = v ? malloc(n) : NULL;
	if (!p) {
		free(v);
		return -ENOMEM;
	}
	to[0] = &v->section, to[1] = &v->arg, to[2] = &v->key;
	to[3] = &v->text, to[4] = &v->origin, to[5] = &v->file;
	for (unsigned i = 0; i < 6; i++) {
		size_t len = strlen(text[i]) + 1;

		memcpy(p, text[i], len);
		*to[i] = p;
		p += len;
	}
	v->line = line;
	v->col = col;
	while (*at)
		at = &(*at)->next;
	*at = v;
	return 0;
}

static int column_text(sqlite3_stmt *st, int i, char *to, size_t cap)
{
	const unsigned char *text = sqlite3_column_text(st, i);
	size_t n = (size_t)sqlite3_column_bytes(st, i);

	if (!text || n >= cap)
		return -EBADMSG;
	memcpy(to, text, n + 1);
	return 0;
}

static int load_values(struct ctl *c, struct app *a)
{
	sqlite3_stmt *st = NULL;
	int err = 0,
	    r = sqlite3_prepare_v2(c->db,
		    "SELECT section, arg, key, text, origin, file, line, col FROM app_value"
		    " WHERE app = ? ORDER BY place",
		    -1, &st, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 1, a->number);
	while (r == SQLITE_OK || r == SQLITE_ROW) {
		const char *text[6];

		r = sqlite3_step(st);
		if (r != SQLITE_ROW)
			break;
		for (int i = 0; i < 6; i++)
			text[i] = (const char *)sqlite3_column_text(st, i);
		err = app_value_add(a, text, (uint32_t)sqlite3_column_int(st, 6),
			(uint32_t)sqlite3_column_int(st, 7));
		if (err)
			break;
	}
	(void)sqlite3_finalize(st);
	if (err)
		return err;
	return r == SQLITE_DONE ? 0 : state_failed(c, "read app_value");
}

int state_load_app(struct ctl *c, struct app *a)
{
	sqlite3_stmt *st = NULL;
	int err = 0, r = sqlite3_prepare_v2(c->db,
			     "SELECT name, folder, http, instance, bin, python, work, release, "
			     "uid, gid FROM app"
			     " WHERE number = ?",
			     -1, &st, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 1, a->number);
	if (r == SQLITE_OK)
		r = sqlite3_step(st);
	if (r == SQLITE_ROW) {
		err |= column_text(st, 0, a->name, sizeof a->name);
		err |= column_text(st, 1, a->folder, sizeof a->folder);
		err |= column_text(st, 2, a->http, sizeof a->http);
		err |= column_text(st, 3, a->instance, sizeof a->instance);
		err |= column_text(st, 4, a->bin, sizeof a->bin);
		err |= column_text(st, 5, a->python, sizeof a->python);
		err |= column_text(st, 6, a->work, sizeof a->work);
		a->release = (uint32_t)sqlite3_column_int(st, 7);
		a->uid = (uint32_t)sqlite3_column_int64(st, 8);
		a->gid = (uint32_t)sqlite3_column_int64(st, 9);
		a->known = true;
	}
	(void)sqlite3_finalize(st);
	if (err)
		return -EBADMSG;
	if (r == SQLITE_DONE)
		return 0;
	return r == SQLITE_ROW ? load_values(c, a) : state_failed(c, "read app");
}

static int save_row(struct ctl *c, const struct app *a)
{
	const char *const text[7] = {
		a->name, a->folder, a->http, a->instance, a->bin, a->python, a->work};
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(c->db,
		"INSERT OR REPLACE INTO app (name, folder, http, instance, bin, python, work, "
		"release, uid,"
		" gid, number) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		-1, &st, NULL);

	for (int i = 0; i < 7 && r == SQLITE_OK; i++)
		r = sqlite3_bind_text(st, i + 1, text[i], -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 8, a->release);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 9, a->uid);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 10, a->gid);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 11, a->number);
	if (r == SQLITE_OK)
		r = sqlite3_step(st);
	(void)sqlite3_finalize(st);
	return r == SQLITE_DONE ? 0 : state_failed(c, "write app");
}

static int save_value(struct ctl *c, sqlite3_stmt *st, int place, const struct app_value *v)
{
	const char *const text[6] = {v->section, v->arg, v->key, v->text, v->origin, v->file};
	int r = sqlite3_bind_int(st, 2, place);

	for (int i = 0; i < 6 && r == SQLITE_OK; i++)
		r = sqlite3_bind_text(st, i + 3, text[i], -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 9, v->line);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 10, v->col);
	if (r == SQLITE_OK)
		r = sqlite3_step(st);
	return r == SQLITE_DONE && sqlite3_reset(st) == SQLITE_OK
		       ? 0
		       : state_failed(c, "write app_value");
}

static int save_values(struct ctl *c, const struct app *a)
{
	sqlite3_stmt *st = NULL;
	char sql[64];
	int place = 0, err;

	(void)snprintf(sql, sizeof sql, "DELETE FROM app_value WHERE app = %u", (unsigned)a->number);
	err = state_exec(c, sql);

	if (err == 0 && (sqlite3_prepare_v2(c->db,
				 "INSERT INTO app_value VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", -1,
				 &st, NULL) != SQLITE_OK ||
				sqlite3_bind_int64(st, 1, a->number) != SQLITE_OK))
		err = state_failed(c, "write app_value");
	for (const struct app_value *v = a->values; v && !err; v = v->next)
		err = save_value(c, st, place++, v);
	(void)sqlite3_finalize(st);
	return err;
}

int state_save_app(struct ctl *c, const struct app *a)
{
	bool mine;
	int err = state_begin(c, &mine);

	if (err)
		return err;
	err = save_row(c, a);
	if (err == 0)
		err = save_values(c, a);
	return state_end(c, mine, err);
}
