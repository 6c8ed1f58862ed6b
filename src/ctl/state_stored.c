/*
 * state_stored.c: the table `cert_stored`: whole certificates with sealed keys, by site.
 *
 * Called at the start, by cert_local.c and by `stead cert import`. Owns the list in struct certs.
 * What stands in the table was looked at by whoever could read it; here only its form is.
 */
#include "ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int state_make_stored(struct ctl *c)
{
	return state_exec(c,
		"CREATE TABLE IF NOT EXISTS cert_stored (site TEXT PRIMARY KEY, chain BLOB NOT "
		"NULL, whole BLOB NOT NULL) WITHOUT ROWID");
}

void stored_free(struct stored_cert *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->n; i++)
		free(s->der[i]);
	free(s->whole);
	free(s);
}

static void *copy_of(const void *p, size_t n)
{
	void *copy = n ? malloc(n) : NULL;

	if (copy)
		memcpy(copy, p, n);
	return copy;
}

struct stored_cert *stored_new(const char *site, const void *const *der, const size_t *der_n,
	unsigned n, const void *whole, size_t whole_n)
{
	struct stored_cert *s = calloc(1, sizeof *s);
	bool good = s && n && n <= STORED_CHAIN_MAX && strlen(site) < sizeof s->site;

	if (good) {
		memcpy(s->site, site, strlen(site) + 1);
		s->whole = copy_of(whole, whole_n);
		s->whole_n = whole_n;
		good = s->whole && cert_box_read(s->whole, whole_n, &s->v);
	}
	for (unsigned i = 0; good && i < n; i++) {
		s->der[i] = copy_of(der[i], der_n[i]);
		s->der_n[i] = der_n[i];
		good = s->der[i] != NULL;
		s->n += good;
	}
	if (good)
		return s;
	stored_free(s);
	return NULL;
}

struct stored_cert *stored_find(const struct ctl *c, const char *site)
{
	struct stored_cert *s = c->certs.stored;

	while (s && strcmp(s->site, site) != 0)
		s = s->next;
	return s;
}

static void unlink_one(struct ctl *c, const char *site)
{
	for (struct stored_cert **at = &c->certs.stored; *at; at = &(*at)->next)
		if (strcmp((*at)->site, site) == 0) {
			struct stored_cert *old = *at;

			*at = old->next;
			stored_free(old);
			return;
		}
}

void stored_free_all(struct ctl *c)
{
	while (c->certs.stored)
		unlink_one(c, c->certs.stored->site);
}

/* ---- the table ---- */

static int run(struct ctl *c, const char *sql, const char *site, const struct buf *chain,
	const struct stored_cert *s)
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(c->db, sql, -1, &st, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 1, site, -1, SQLITE_STATIC);
	if (r == SQLITE_OK && s)
		r = sqlite3_bind_blob64(st, 2, chain->p, chain->len, SQLITE_STATIC);
	if (r == SQLITE_OK && s)
		r = sqlite3_bind_blob64(st, 3, s->whole, s->whole_n, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_step(st);
	(void)sqlite3_finalize(st);
	return r == SQLITE_DONE ? 0 : state_failed(c, "write cert_stored");
}

int stored_take(struct ctl *c, struct stored_cert *s)
{
	struct buf chain;
	int err;

	buf_init(&chain, SIZE_MAX);
	for (unsigned i = 0; i < s->n; i++)
		pack_bytes(&chain, s->der[i], s->der_n[i]);
	err = chain.error ? -ENOMEM
			  : run(c, "INSERT OR REPLACE INTO cert_stored VALUES (?, ?, ?)", s->site,
				    &chain, s);
	buf_done(&chain);
	if (err) {
		stored_free(s);
		return err;
	}
	unlink_one(c, s->site);
	s->next = c->certs.stored;
	c->certs.stored = s;
	return 0;
}

int stored_drop(struct ctl *c, const char *site)
{
	int err = stored_find(c, site)
			  ? run(c, "DELETE FROM cert_stored WHERE site = ?", site, NULL, NULL)
			  : 0;

	if (!err)
		unlink_one(c, site);
	return err;
}

static bool load(struct ctl *c, sqlite3_stmt *st)
{
	const void *der[STORED_CHAIN_MAX];
	size_t der_n[STORED_CHAIN_MAX];
	const char *site = (const char *)sqlite3_column_text(st, 0);
	struct stored_cert *s = NULL;
	struct unpack u;
	unsigned n = 0;

	unpack_init(&u, sqlite3_column_blob(st, 1), (size_t)sqlite3_column_bytes(st, 1));
	for (; u.p < u.end && !u.bad && n < STORED_CHAIN_MAX; n++)
		der[n] = unpack_bytes(&u, &der_n[n]);
	if (site && unpack_done(&u))
		s = stored_new(site, der, der_n, n, sqlite3_column_blob(st, 2),
			(size_t)sqlite3_column_bytes(st, 2));
	if (!s)
		return false;
	s->next = c->certs.stored;
	c->certs.stored = s;
	return true;
}

int state_load_stored(struct ctl *c)
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(
		c->db, "SELECT site, chain, whole FROM cert_stored", -1, &st, NULL);
	bool good = r == SQLITE_OK;

	while (good && (r = sqlite3_step(st)) == SQLITE_ROW)
		good = load(c, st);
	(void)sqlite3_finalize(st);
	if (!good && r == SQLITE_ROW)
		return -EBADMSG;
	return r == SQLITE_DONE ? 0 : state_failed(c, "read cert_stored");
}
