/*
 * own.c: as whom an app's processes run and which folders are theirs: User=, StateDirectory= and their kin
 * (systemd.exec(5)).
 *
 * Called by jail.c for these values and by app.c at the end of a conf's making. Whether there is such an account, and
 * whether apps may run as it, is for ctl to say. Owns nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf_priv.h"
#include "lib/must.h"

enum { ACCOUNT_MAX = 32, OWN_DIRECTORY_MAX = 120 };

/* What useradd(8) takes, and a number. */
static int check_account(const struct conf_row *row, const char *text, struct buf *why, struct buf *todo)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");
	bool root = strcmp(text, "root") == 0 || (text[0] != '\0' && strspn(text, "0") == strlen(text));

	if (row == &conf_rows[CONF_SERVER_ALLOW_USERS] && root) {
		buf_puts(why, "no app ever runs as root: whoever took it over would have the machine");
		buf_puts(todo, "name an account that has what the app needs and no more");
		return -EINVAL;
	}
	if (n > 0 && n <= ACCOUNT_MAX && text[n] == '\0' && text[0] != '-' && text[0] != '.')
		return 0;
	/* Empty is as if it were not written. */
	if (text[0] == '\0')
		return 0;
	buf_printf(why, "\"%.60s\" is no account's name", text);
	buf_printf(todo, "for example %s", row->example);
	return -EINVAL;
}

static int check_directory(const struct conf_row *row, const char *text, struct buf *why, struct buf *todo)
{
	bool good = text[0] != '\0' && text[0] != '/' && strlen(text) <= OWN_DIRECTORY_MAX;

	for (const char *at = text; good; at++) {
		size_t n = strcspn(at, "/");

		good = n > 0 && !(n <= 2 && strncmp(at, "..", n) == 0) && memchr(at, ':', n) == NULL;
		at += n;
		if (*at == '\0')
			break;
	}
	for (const char *at = text; good && *at != '\0'; at++)
		good = (unsigned char)*at >= ' ';
	if (good)
		return 0;
	buf_printf(why, "\"%.80s\" is not a relative path without .. and colons, of at most %d bytes", text,
		OWN_DIRECTORY_MAX);
	buf_printf(todo, "name a folder, for example %s", row->example);
	return -EINVAL;
}

int conf_own_check(const struct conf_row *row, const char *text, struct buf *why, struct buf *todo)
{
	return row->type == CONF_TYPE_ACCOUNT ? check_account(row, text, why, todo)
					      : check_directory(row, text, why, todo);
}

/* ---- the typed result ---- */

static const struct {
	enum conf_key key, mode;
} kinds[CONF_OWN_KINDS] = {
	[CONF_OWN_STATE] = {CONF_SERVICE_STATE_DIRECTORY, CONF_SERVICE_STATE_DIRECTORY_MODE},
	[CONF_OWN_CACHE] = {CONF_SERVICE_CACHE_DIRECTORY, CONF_SERVICE_CACHE_DIRECTORY_MODE},
	[CONF_OWN_LOGS] = {CONF_SERVICE_LOGS_DIRECTORY, CONF_SERVICE_LOGS_DIRECTORY_MODE},
	[CONF_OWN_CONFIG] = {CONF_SERVICE_CONFIGURATION_DIRECTORY, CONF_SERVICE_CONFIGURATION_DIRECTORY_MODE},
	[CONF_OWN_RUNTIME] = {CONF_SERVICE_RUNTIME_DIRECTORY, CONF_SERVICE_RUNTIME_DIRECTORY_MODE},
};

static const struct conf_value *value(const struct conf *c, enum conf_key k)
{
	return c->plain.head[k];
}

static const char *text_of(const struct conf *c, enum conf_key k)
{
	return value(c, k) != NULL ? value(c, k)->text : "";
}

static const char *const *texts_of(struct conf *c, enum conf_key k)
{
	unsigned n = 0;

	for (const struct conf_value *v = value(c, k); v != NULL; v = v->next)
		n++;
	const char **all = conf_alloc(c, (n + 1) * sizeof(*all));
	n = 0;
	for (const struct conf_value *v = value(c, k); all != NULL && v != NULL; v = v->next)
		if (v->text[0] != '\0')
			all[n++] = v->text;
	return all;
}

/* Of RuntimeDirectoryPreserve='s words: no yes restart true false on off 1 0. */
static bool preserves(const struct conf *c)
{
	static const bool keeps[] = {false, true, true, true, false, true, false, true, false};
	const struct conf_value *v = value(c, CONF_SERVICE_RUNTIME_DIRECTORY_PRESERVE);

	return v != NULL && v->number < ARRAY_LEN(keeps) && keeps[v->number];
}

void conf_own_fill(struct conf *c)
{
	struct conf_own *o = &c->app.own;
	const struct conf_value *dynamic = value(c, CONF_SERVICE_DYNAMIC_USER);

	o->user = text_of(c, CONF_SERVICE_USER);
	o->group = text_of(c, CONF_SERVICE_GROUP);
	o->groups = texts_of(c, CONF_SERVICE_SUPPLEMENTARY_GROUPS);
	if (dynamic != NULL && dynamic->number != 0)
		o->user = o->group = "";
	for (unsigned i = 0; i < CONF_OWN_KINDS; i++) {
		o->names[i] = texts_of(c, kinds[i].key);
		o->mode[i] = value(c, kinds[i].mode) != NULL ? (uint32_t)value(c, kinds[i].mode)->number & 07777 : 0755;
	}
	if (preserves(c))
		c->app.jail.flags |= JAIL_KEEP_RUNTIME;
}
