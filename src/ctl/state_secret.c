/*
 * state_secret.c: the table `secret`: SECRET_KEY of each app, made once and never shown.
 *
 * Called when workers are described to the parent. The file is 0600 and belongs to ctl's user.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/sys.h"

int state_make_secret(struct ctl *c)
{
	return state_exec(
		c, "CREATE TABLE secret (app TEXT PRIMARY KEY, key TEXT NOT NULL) WITHOUT ROWID");
}

static int read_secret(struct ctl *c, const char *app, char ret[65])
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(c->db, "SELECT key FROM secret WHERE app = ?", -1, &st, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 1, app, -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_step(st);
	if (r == SQLITE_ROW && sqlite3_column_bytes(st, 0) == 64)
		memcpy(ret, sqlite3_column_text(st, 0), 65);
	else if (r == SQLITE_ROW)
		r = SQLITE_CORRUPT;
	(void)sqlite3_finalize(st);
	if (r == SQLITE_ROW)
		return 0;
	return r == SQLITE_DONE ? -ENOENT : state_failed(c, "read secret");
}

int state_secret(struct ctl *c, const char *app, char ret[65])
{
	static const char digits[] = "0123456789abcdef";
	sqlite3_stmt *st = NULL;
	unsigned char raw[32];
	int r = read_secret(c, app, ret);

	if (r != -ENOENT)
		return r;
	r = sys_random(raw, sizeof raw);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < sizeof raw; i++) {
		ret[2 * i] = digits[raw[i] >> 4];
		ret[2 * i + 1] = digits[raw[i] & 15];
	}
	ret[64] = '\0';
	r = sqlite3_prepare_v2(c->db, "INSERT INTO secret VALUES (?, ?)", -1, &st, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 1, app, -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_bind_text(st, 2, ret, 64, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_step(st);
	(void)sqlite3_finalize(st);
	return r == SQLITE_DONE ? 0 : state_failed(c, "write secret");
}
