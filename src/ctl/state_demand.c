/*
 * state_demand.c: the table `cert_demand`: which of the certificates are for names that clients asked for.
 *
 * Called by demand.c, and at the start behind state_cert.c, whose list it completes. A row without one of `cert` is a name
 * that was permitted and whose certificate is still to be got.
 */
#include "ctl.h"

#include <errno.h>
#include <string.h>

int state_make_demand(struct ctl *c)
{
	return state_exec(c, "CREATE TABLE IF NOT EXISTS cert_demand (name TEXT PRIMARY KEY, site TEXT NOT NULL,"
			     " since INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID");
}

static bool load(struct ctl *c, sqlite3_stmt *st)
{
	char name[DEMAND_NAME_BYTES], of[64];
	struct cert *cert;

	if (!state_take_text(st, 0, name, sizeof name) || !state_take_text(st, 1, of, sizeof of))
		return false;
	cert = cert_find(c, name);
	if (!cert)
		cert = cert_add(c, name);
	if (!cert)
		return false;
	cert->of = strdup(of);
	cert->since_s = (uint64_t)sqlite3_column_int64(st, 2);
	cert->used_s = (uint64_t)sqlite3_column_int64(st, 3);
	return cert->of != NULL;
}

int state_load_demands(struct ctl *c)
{
	return state_load_rows(c, "SELECT name, site, since, used FROM cert_demand", load);
}

static int write_row(struct ctl *c, const struct cert *cert)
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(c->db, "INSERT OR REPLACE INTO cert_demand VALUES (?, ?, ?, ?)", -1, &st, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 1, cert->site, -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 2, cert->of, -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 3, (sqlite3_int64)cert->since_s);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 4, (sqlite3_int64)cert->used_s);
	if (r == SQLITE_OK)
		r = sqlite3_step(st);
	(void)sqlite3_finalize(st);
	return r == SQLITE_DONE ? 0 : state_failed(c, "write cert_demand");
}

int state_save_demand(struct ctl *c, const struct cert *cert)
{
	bool mine;
	int err = state_begin(c, &mine);

	if (err)
		return err;
	err = write_row(c, cert);
	if (!err)
		err = state_save_cert(c, cert);
	return state_end(c, mine, err);
}

int state_drop_demand(struct ctl *c, const struct cert *cert)
{
	static const char *const from[] = {"DELETE FROM cert WHERE site = ?", "DELETE FROM cert_authority WHERE site = ?",
		"DELETE FROM cert_demand WHERE name = ?"};
	bool mine;
	int err = state_begin(c, &mine);

	if (err)
		return err;
	for (size_t i = 0; !err && i < ARRAY_LEN(from); i++) {
		sqlite3_stmt *st = NULL;
		int r = sqlite3_prepare_v2(c->db, from[i], -1, &st, NULL);

		if (r == SQLITE_OK)
			r = sqlite3_bind_text(st, 1, cert->site, -1, SQLITE_STATIC);
		if (r == SQLITE_OK)
			r = sqlite3_step(st);
		(void)sqlite3_finalize(st);
		err = r == SQLITE_DONE ? 0 : state_failed(c, "drop cert_demand");
	}
	return state_end(c, mine, err);
}
