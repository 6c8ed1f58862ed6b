/*
 * state_cert.c: the tables `cert`: certificates of sites, and orders for them that are under way;
 * `acme_account`: the accounts at authorities; and `acme_record`: TXT records that stead has put into
 * zones.
 *
 * Called by acme.c whenever something may not be lost, and at the start. Private keys stand in them
 * as boxes that only the process keys can open. Owns the lists in struct certs.
 */
#include "ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sys.h"

int state_make_cert(struct ctl *c)
{
	int err = state_make_demand(c);

	if (!err)
		err = state_make_week(c);
	return err ? err : state_exec(c, "CREATE TABLE IF NOT EXISTS acme_account (directory TEXT PRIMARY KEY, "
			     "url TEXT NOT NULL, key BLOB NOT NULL,"
			     " box BLOB NOT NULL, x BLOB NOT NULL, y BLOB NOT NULL, spent INTEGER "
			     "NOT NULL) WITHOUT ROWID;"
			     "CREATE TABLE IF NOT EXISTS cert (site TEXT PRIMARY KEY, names TEXT "
			     "NOT NULL, key BLOB, box BLOB, chain BLOB,"
			     " id BLOB, not_before INTEGER NOT NULL, not_after INTEGER NOT NULL, "
			     "serial TEXT NOT NULL, ari TEXT NOT NULL,"
			     " asked TEXT NOT NULL, asked_key BLOB, asked_box BLOB, csr TEXT NOT "
			     "NULL, ordered TEXT NOT NULL,"
			     " next INTEGER NOT NULL, failures INTEGER NOT NULL, what TEXT NOT "
			     "NULL, todo TEXT NOT NULL,"
			     " about TEXT NOT NULL, spent INTEGER NOT NULL) WITHOUT ROWID;"
			     "CREATE TABLE IF NOT EXISTS acme_record (token TEXT PRIMARY KEY, name "
			     "TEXT NOT NULL, text TEXT NOT NULL) WITHOUT ROWID");
}

static struct cert **bucket_of(struct ctl *c, const char *site)
{
	uint64_t sum = sys_checksum(site, strlen(site));

	return &c->certs.bucket[(sum ^ sum >> 16) & (CERT_BUCKETS - 1)];
}

struct cert *cert_find(struct ctl *c, const char *site)
{
	struct cert *cert = *bucket_of(c, site);

	while (cert && strcmp(cert->site, site) != 0)
		cert = cert->same;
	return cert;
}

static void cert_free(struct cert *cert)
{
	if (!cert)
		return;
	for (unsigned i = 0; i < cert->n; i++)
		free(cert->der[i]);
	free(cert->site);
	free(cert->of);
	free(cert->names);
	free(cert->asked);
	free(cert->csr);
	free(cert->wanted);
	free(cert->own_names);
	free(cert->key.box);
	free(cert->asked_key.box);
	free(cert);
}

struct cert *cert_add(struct ctl *c, const char *site)
{
	struct cert *cert = calloc(1, sizeof *cert);

	if (!cert)
		return NULL;
	cert->site = strdup(site);
	cert->names = strdup("");
	cert->asked = strdup("");
	cert->csr = strdup("");
	if (!cert->site || !cert->names || !cert->asked || !cert->csr) {
		cert_free(cert);
		return NULL;
	}
	cert->next = c->certs.all;
	c->certs.all = cert;
	cert->same = *bucket_of(c, site);
	*bucket_of(c, site) = cert;
	return cert;
}

void cert_drop(struct ctl *c, struct cert *cert)
{
	struct cert **at = &c->certs.all;

	while (*at != cert)
		at = &(*at)->next;
	*at = cert->next;
	for (at = bucket_of(c, cert->site); *at != cert; at = &(*at)->same)
		;
	*at = cert->same;
	cert_free(cert);
}

void certs_free(struct ctl *c)
{
	demands_free(c);
	memset(c->certs.bucket, 0, sizeof c->certs.bucket);
	while (c->certs.all) {
		struct cert *cert = c->certs.all;

		c->certs.all = cert->next;
		cert_free(cert);
	}
	while (c->certs.accounts) {
		struct acme_account *a = c->certs.accounts;

		c->certs.accounts = a->next;
		free(a->key.box);
		acme_week_free(a);
		free(a);
	}
	for (unsigned i = 0; i < CERT_CHALLENGES_MAX; i++)
		free(c->certs.challenges[i].der);
	free(c->certs.eab.box);
}

/* ---- reading ---- */

bool state_take_text(sqlite3_stmt *st, int i, char *ret, size_t cap)
{
	const char *text = (const char *)sqlite3_column_text(st, i);

	if (!text || strlen(text) >= cap)
		return false;
	memcpy(ret, text, strlen(text) + 1);
	return true;
}

static bool take_string(sqlite3_stmt *st, int i, char **ret)
{
	const char *text = (const char *)sqlite3_column_text(st, i);
	char *copy = text ? strdup(text) : NULL;

	if (!copy)
		return false;
	free(*ret);
	*ret = copy;
	return true;
}

static bool take_bytes(sqlite3_stmt *st, int i, void *ret, size_t n)
{
	if ((size_t)sqlite3_column_bytes(st, i) != n)
		return false;
	memcpy(ret, sqlite3_column_blob(st, i), n);
	return true;
}

/* Its id and, in the column behind, its box; none is fine. */
static bool take_key(sqlite3_stmt *st, int i, struct cert_key *ret)
{
	size_t n = (size_t)sqlite3_column_bytes(st, i + 1);

	if (n == 0)
		return true;
	ret->box = malloc(n);
	if (!ret->box || !take_bytes(st, i, ret->id, sizeof ret->id))
		return false;
	memcpy(ret->box, sqlite3_column_blob(st, i + 1), n);
	ret->box_n = n;
	return true;
}

static bool take_chain(sqlite3_stmt *st, int i, struct cert *cert)
{
	struct unpack u;

	unpack_init(&u, sqlite3_column_blob(st, i), (size_t)sqlite3_column_bytes(st, i));
	while (u.p < u.end && !u.bad) {
		size_t n;
		const char *der = unpack_bytes(&u, &n);

		if (u.bad || cert->n == CERT_CHAIN_MAX || !n)
			return false;
		cert->der[cert->n] = malloc(n);
		if (!cert->der[cert->n])
			return false;
		memcpy(cert->der[cert->n], der, n);
		cert->der_n[cert->n++] = n;
	}
	return !u.bad;
}

static bool load_cert(struct ctl *c, sqlite3_stmt *st)
{
	struct cert *cert = cert_add(c, (const char *)sqlite3_column_text(st, 0));

	if (!cert || !take_string(st, 1, &cert->names) || !take_key(st, 2, &cert->key) ||
		!take_chain(st, 4, cert) ||
		(cert->n && !take_bytes(st, 5, cert->id, sizeof cert->id)))
		return false;
	cert->not_before_s = (uint64_t)sqlite3_column_int64(st, 6);
	cert->not_after_s = (uint64_t)sqlite3_column_int64(st, 7);
	cert->next_s = (uint64_t)sqlite3_column_int64(st, 15);
	cert->failures = (unsigned)sqlite3_column_int(st, 16);
	cert->spent_s = (uint64_t)sqlite3_column_int64(st, 20);
	return state_take_text(st, 8, cert->serial, sizeof cert->serial) &&
	       state_take_text(st, 9, cert->ari, sizeof cert->ari) && take_string(st, 10, &cert->asked) &&
	       take_key(st, 11, &cert->asked_key) && take_string(st, 13, &cert->csr) &&
	       state_take_text(st, 14, cert->order, sizeof cert->order) &&
	       state_take_text(st, 17, cert->what, sizeof cert->what) &&
	       state_take_text(st, 18, cert->todo, sizeof cert->todo) &&
	       state_take_text(st, 19, cert->about, sizeof cert->about);
}

static bool load_account(struct ctl *c, sqlite3_stmt *st)
{
	struct acme_account *a = calloc(1, sizeof *a);

	if (!a)
		return false;
	a->next = c->certs.accounts;
	c->certs.accounts = a;
	a->spent_s = (uint64_t)sqlite3_column_int64(st, 6);
	return state_take_text(st, 0, a->directory, sizeof a->directory) &&
	       state_take_text(st, 1, a->url, sizeof a->url) && take_key(st, 2, &a->key) &&
	       take_bytes(st, 4, a->x, sizeof a->x) && take_bytes(st, 5, a->y, sizeof a->y);
}

/* It is in the zone, or may be. */
static bool load_record(struct ctl *c, sqlite3_stmt *st)
{
	struct cert_challenge *ch = c->certs.challenges;

	while (ch < c->certs.challenges + CERT_CHALLENGES_MAX && ch->until_ms)
		ch++;
	if (ch == c->certs.challenges + CERT_CHALLENGES_MAX)
		return true;
	*ch = (struct cert_challenge){
		.until_ms = UINT64_MAX, .way = CERT_BY_DNS, .record = RECORD_THERE};
	return state_take_text(st, 0, ch->token, sizeof ch->token) &&
	       state_take_text(st, 1, ch->name, sizeof ch->name) &&
	       state_take_text(st, 2, ch->text, sizeof ch->text);
}

int state_load_rows(struct ctl *c, const char *sql, bool (*one)(struct ctl *c, sqlite3_stmt *st))
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(c->db, sql, -1, &st, NULL);
	bool good = r == SQLITE_OK;

	while (good && (r = sqlite3_step(st)) == SQLITE_ROW)
		good = one(c, st);
	(void)sqlite3_finalize(st);
	if (r != SQLITE_DONE && good)
		return state_failed(c, "read cert");
	return good ? 0 : -EBADMSG;
}

int state_load_certs(struct ctl *c)
{
	int err = state_load_rows(c,
		"SELECT site, names, key, box, chain, id, not_before, not_after, serial, ari, "
		"asked, asked_key, asked_box, csr,"
		" ordered, next, failures, what, todo, about, spent FROM cert",
		load_cert);

	if (!err)
		err = state_load_rows(c, "SELECT directory, url, key, box, x, y, spent FROM acme_account", load_account);
	if (!err)
		err = state_load_rows(c, "SELECT token, name, text FROM acme_record", load_record);
	if (!err)
		err = state_load_demands(c);
	if (!err)
		err = state_load_week(c);
	return err ? err : state_load_authorities(c);
}

/* ---- writing ---- */

/* Binds one after the other; the first error stays. */
struct binder {
	sqlite3_stmt *st;
	int at, r;
};

static void bind_text(struct binder *b, const char *text)
{
	if (b->r == SQLITE_OK)
		b->r = sqlite3_bind_text(b->st, b->at++, text, -1, SQLITE_STATIC);
}

static void bind_number(struct binder *b, uint64_t n)
{
	if (b->r == SQLITE_OK)
		b->r = sqlite3_bind_int64(b->st, b->at++, (sqlite3_int64)n);
}

static void bind_bytes(struct binder *b, const void *p, size_t n)
{
	if (b->r == SQLITE_OK)
		b->r = sqlite3_bind_blob64(b->st, b->at++, p, n, SQLITE_STATIC);
}

static void bind_key(struct binder *b, const struct cert_key *key)
{
	bind_bytes(b, key->id, sizeof key->id);
	bind_bytes(b, key->box, key->box_n);
}

static int written(struct ctl *c, struct binder *b)
{
	if (b->r == SQLITE_OK)
		b->r = sqlite3_step(b->st);
	(void)sqlite3_finalize(b->st);
	return b->r == SQLITE_DONE ? 0 : state_failed(c, "write cert");
}

int state_save_cert(struct ctl *c, const struct cert *cert)
{
	struct binder b = {.at = 1};
	struct buf chain;
	int err;

	buf_init(&chain, CERT_DER_MAX);
	for (unsigned i = 0; i < cert->n; i++)
		pack_bytes(&chain, cert->der[i], cert->der_n[i]);
	if (chain.error) {
		buf_done(&chain);
		return -ENOMEM;
	}
	b.r = sqlite3_prepare_v2(c->db,
		"INSERT OR REPLACE INTO cert VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
		"?, ?, ?, ?, ?, ?)",
		-1, &b.st, NULL);
	bind_text(&b, cert->site);
	bind_text(&b, cert->names);
	bind_key(&b, &cert->key);
	bind_bytes(&b, chain.p, chain.len);
	bind_bytes(&b, cert->id, sizeof cert->id);
	bind_number(&b, cert->not_before_s);
	bind_number(&b, cert->not_after_s);
	bind_text(&b, cert->serial);
	bind_text(&b, cert->ari);
	bind_text(&b, cert->asked);
	bind_key(&b, &cert->asked_key);
	bind_text(&b, cert->csr);
	bind_text(&b, cert->order);
	bind_number(&b, cert->next_s);
	bind_number(&b, cert->failures);
	bind_text(&b, cert->what);
	bind_text(&b, cert->todo);
	bind_text(&b, cert->about);
	bind_number(&b, cert->spent_s);
	err = written(c, &b);
	buf_done(&chain);
	return err;
}

int state_save_account(struct ctl *c, const struct acme_account *a)
{
	struct binder b = {.at = 1};

	b.r = sqlite3_prepare_v2(c->db,
		"INSERT OR REPLACE INTO acme_account VALUES (?, ?, ?, ?, ?, ?, ?)", -1, &b.st,
		NULL);
	bind_text(&b, a->directory);
	bind_text(&b, a->url);
	bind_key(&b, &a->key);
	bind_bytes(&b, a->x, sizeof a->x);
	bind_bytes(&b, a->y, sizeof a->y);
	bind_number(&b, a->spent_s);
	return written(c, &b);
}

int state_save_record(struct ctl *c, const struct cert_challenge *ch)
{
	struct binder b = {.at = 1};

	b.r = sqlite3_prepare_v2(
		c->db, "INSERT OR REPLACE INTO acme_record VALUES (?, ?, ?)", -1, &b.st, NULL);
	bind_text(&b, ch->token);
	bind_text(&b, ch->name);
	bind_text(&b, ch->text);
	return written(c, &b);
}

int state_drop_record(struct ctl *c, const char *token)
{
	struct binder b = {.at = 1};

	b.r = sqlite3_prepare_v2(
		c->db, "DELETE FROM acme_record WHERE token = ?", -1, &b.st, NULL);
	bind_text(&b, token);
	return written(c, &b);
}
