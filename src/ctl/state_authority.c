/*
 * state_authority.c: the tables `acme_authority`: what is remembered of each authority; and `cert_authority`: of each
 * site's dealings with them.
 *
 * Called by acme_authority.c and cert verbs whenever something may not be lost, and at the start, behind state_cert.c,
 * whose lists it completes. They stand beside the tables of state_cert.c, so that an older stead reads those as before.
 */
#include "ctl.h"

#include <errno.h>
#include <string.h>

int state_make_authority(struct ctl *c)
{
	return state_exec(c,
		"CREATE TABLE IF NOT EXISTS acme_authority (directory TEXT PRIMARY KEY, failures INTEGER NOT NULL,"
		" paused INTEGER NOT NULL, terms TEXT NOT NULL) WITHOUT ROWID;"
		"CREATE TABLE IF NOT EXISTS cert_authority (site TEXT PRIMARY KEY, at TEXT NOT NULL, source TEXT NOT NULL,"
		" wait_first INTEGER NOT NULL, wait_second INTEGER NOT NULL, refused INTEGER NOT NULL,"
		" rehearse INTEGER NOT NULL) WITHOUT ROWID");
}

static bool load_authority(struct ctl *c, sqlite3_stmt *st)
{
	char directory[CERT_URL_MAX];
	struct acme_account *a;

	if (!state_take_text(st, 0, directory, sizeof directory))
		return false;
	a = acme_account_at(c, directory);
	if (!a)
		return false;
	a->failures = (unsigned)sqlite3_column_int(st, 1);
	a->paused_s = (uint64_t)sqlite3_column_int64(st, 2);
	return state_take_text(st, 3, a->terms, sizeof a->terms);
}

static bool load_dealings(struct ctl *c, sqlite3_stmt *st)
{
	const char *site = (const char *)sqlite3_column_text(st, 0);
	struct cert *cert = site ? cert_find(c, site) : NULL;

	if (!cert)
		return true;
	for (unsigned i = 0; i < 2; i++)
		cert->wait_s[i] = (uint64_t)sqlite3_column_int64(st, 3 + (int)i);
	cert->refused_s = (uint64_t)sqlite3_column_int64(st, 5);
	cert->rehearse = (unsigned)sqlite3_column_int(st, 6);
	return state_take_text(st, 1, cert->at, sizeof cert->at) && state_take_text(st, 2, cert->source, sizeof cert->source);
}

int state_load_authorities(struct ctl *c)
{
	int err = state_load_rows(
		c, "SELECT directory, failures, paused, terms FROM acme_authority", load_authority);

	return err ? err
		   : state_load_rows(c,
			     "SELECT site, at, source, wait_first, wait_second, refused, rehearse FROM cert_authority",
			     load_dealings);
}

static int written(struct ctl *c, sqlite3_stmt *st, int r)
{
	if (r == SQLITE_OK)
		r = sqlite3_step(st);
	(void)sqlite3_finalize(st);
	return r == SQLITE_DONE ? 0 : state_failed(c, "write authority");
}

int state_save_authority(struct ctl *c, const struct acme_account *a)
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(
		c->db, "INSERT OR REPLACE INTO acme_authority VALUES (?, ?, ?, ?)", -1, &st, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 1, a->directory, -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 2, a->failures);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 3, (sqlite3_int64)a->paused_s);
	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 4, a->terms, -1, SQLITE_STATIC);
	return written(c, st, r);
}

int state_save_dealings(struct ctl *c, const struct cert *cert)
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(
		c->db, "INSERT OR REPLACE INTO cert_authority VALUES (?, ?, ?, ?, ?, ?, ?)", -1, &st, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 1, cert->site, -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 2, cert->at, -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 3, cert->source, -1, SQLITE_STATIC);
	for (int i = 0; i < 2 && r == SQLITE_OK; i++)
		r = sqlite3_bind_int64(st, 4 + i, (sqlite3_int64)cert->wait_s[i]);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 6, (sqlite3_int64)cert->refused_s);
	if (r == SQLITE_OK)
		r = sqlite3_bind_int64(st, 7, cert->rehearse);
	return written(c, st, r);
}
