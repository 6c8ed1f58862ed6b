/*
 * state_site.c: the table `site`: the last good version of each site without a folder.
 *
 * Called by the up flow when they are live, and at the start. Only what changed is written: ten
 * thousand sites of which one is other cost one row.
 */
#include "ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int state_make_site(struct ctl *c)
{
	return state_exec(c,
		"CREATE TABLE IF NOT EXISTS site (file TEXT PRIMARY KEY, name TEXT NOT NULL,"
		" kept INTEGER NOT NULL, vals BLOB NOT NULL) WITHOUT ROWID");
}

static int load_one(sqlite3_stmt *st, struct site_list *to)
{
	const char *file = (const char *)sqlite3_column_text(st, 0);
	const char *name = (const char *)sqlite3_column_text(st, 1);
	const void *values = sqlite3_column_blob(st, 3);
	size_t n = (size_t)sqlite3_column_bytes(st, 3);
	struct site *s = file ? site_new(file) : NULL;

	if (!s || !name || strlen(name) >= sizeof s->name || !(s->values = malloc(n + 1))) {
		site_free(s);
		return s && name ? -EBADMSG : -ENOMEM;
	}
	memcpy(s->name, name, strlen(name) + 1);
	if (n)
		memcpy(s->values, values, n);
	s->bytes = n;
	s->kept = sqlite3_column_int(st, 2) != 0;
	return sites_add(to, s);
}

int state_load_sites(struct ctl *c, struct site_list *ret)
{
	sqlite3_stmt *st = NULL;
	int err = 0, r = sqlite3_prepare_v2(c->db,
			     "SELECT file, name, kept, vals FROM site ORDER BY file", -1, &st, NULL);

	while (err == 0 && r == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
		err = load_one(st, ret);
	if (sqlite3_finalize(st) != SQLITE_OK && err == 0)
		err = state_failed(c, "read site");
	for (unsigned i = 0; i < ret->n; i++)
		ret->all[i]->number =
			SITE_NUMBER_FIRST + state_number(c, "site", ret->all[i]->name);
	return err;
}

static bool is_same(const struct site *a, const struct site *b)
{
	return a->kept == b->kept && strcmp(a->name, b->name) == 0 && a->bytes == b->bytes &&
	       memcmp(a->values, b->values, a->bytes) == 0;
}

static int write_one(sqlite3_stmt *st, const struct site *s)
{
	int r = sqlite3_bind_text(st, 1, s->file, -1, SQLITE_STATIC);

	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 2, s->name, -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int(st, 3, s->kept);
	if (r == SQLITE_OK)
		r = sqlite3_bind_blob64(st, 4, s->values, s->bytes, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_step(st) == SQLITE_DONE ? SQLITE_OK : SQLITE_ERROR;
	return sqlite3_reset(st) == SQLITE_OK ? r : SQLITE_ERROR;
}

static int remove_one(sqlite3_stmt *st, const struct site *s)
{
	int r = sqlite3_bind_text(st, 1, s->file, -1, SQLITE_STATIC);

	if (r == SQLITE_OK)
		r = sqlite3_step(st) == SQLITE_DONE ? SQLITE_OK : SQLITE_ERROR;
	return sqlite3_reset(st) == SQLITE_OK ? r : SQLITE_ERROR;
}

int state_save_sites(struct ctl *c, const struct site_list *old, const struct site_list *sites)
{
	sqlite3_stmt *put = NULL, *drop = NULL;
	unsigned o = 0;
	int r = sqlite3_prepare_v2(
		c->db, "INSERT OR REPLACE INTO site VALUES (?, ?, ?, ?)", -1, &put, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_prepare_v2(c->db, "DELETE FROM site WHERE file = ?", -1, &drop, NULL);
	/* Both lists have the order of the files. */
	for (unsigned i = 0; r == SQLITE_OK && (i < sites->n || o < old->n);) {
		int order = i == sites->n ? 1
			    : o == old->n ? -1
					  : strcmp(sites->all[i]->file, old->all[o]->file);

		if (order > 0)
			r = remove_one(drop, old->all[o]);
		else if (order < 0 || !is_same(sites->all[i], old->all[o]))
			r = write_one(put, sites->all[i]);
		o += order >= 0;
		i += order <= 0;
	}
	(void)sqlite3_finalize(put);
	(void)sqlite3_finalize(drop);
	return r == SQLITE_OK ? 0 : state_failed(c, "write site");
}
