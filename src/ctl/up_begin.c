/*
 * up_begin.c: what a flow begins with: the folder that it is about, and where its findings go.
 *
 * Called by the verb `up` and by the server's own start. Owns nothing.
 */
#include "ctl.h"
#include "plain.h"

#include <stdio.h>
#include <string.h>

enum { UP_FOUND_MAX = 64 * 1024 };

/* What the last `up` of this folder left is a first guess that saves waiting; check decides. */
static void guess(struct up *u, const struct app *last)
{
	struct conf *conf;
	char why[128];

	if (!last->known || strcmp(last->folder, u->app.folder) != 0)
		return;
	u->app.release = last->release;
	u->app.uid = last->uid;
	u->app.gid = last->gid;
	memcpy(u->app.name, last->name, sizeof u->app.name);
	memcpy(u->app.bin, last->bin, sizeof u->app.bin);
	conf = last->bin[0] ? effective_conf(u->ctl, last, why, sizeof why) : NULL;
	if (conf)
		(void)snprintf(u->database, sizeof u->database, "%s", conf_app(conf)->database);
	else
		u->app.bin[0] = '\0';
	conf_free(conf);
}

void up_folder(struct up *u, const char *folder)
{
	struct ctl *c = u->ctl;

	u->app.number = u->app.set = APP_NUMBER;
	u->app.run = c->app.run;
	(void)snprintf(u->app.folder, sizeof u->app.folder, "%s", folder);
	memcpy(u->app.work, u->app.folder, sizeof u->app.work);
	conf_name_from_folder(u->app.folder, u->app.name);
	guess(u, &c->app);
}

/* What was looked at is a copy, where people can mend nothing: its path as that of the folder that they know. */
static void put_for_people(const struct up *u, struct buf *ret, const char *text)
{
	const char *copy = u->app.work, *folder = u->app.folder, *at;
	size_t n = strlen(copy);

	while (n && strcmp(copy, folder) != 0 && (at = strstr(text, copy)) != NULL) {
		buf_put(ret, text, (size_t)(at - text));
		buf_puts(ret, at[n] == '/' || !at[n] || strchr(" ,;:\"'", at[n]) ? folder : copy);
		text = at + n;
	}
	buf_put(ret, text, strlen(text) + 1);
}

void up_found(struct up *u, unsigned level, const char *file, unsigned line, unsigned col, const char *text,
	const char *todo)
{
	struct buf what, mend;

	buf_init(&what, UP_FOUND_MAX);
	buf_init(&mend, UP_FOUND_MAX);
	put_for_people(u, &what, text);
	put_for_people(u, &mend, todo);
	if (!what.error) {
		plain_make(what.p, true);
		text = what.p;
	}
	if (!mend.error) {
		plain_make(mend.p, true);
		todo = mend.p;
	}
	client_finding(u->client, level, file, line, col, text, todo);
	if (!u->deploy)
		server_found(u->ctl, level, file, line, col, text, todo);
	buf_done(&what);
	buf_done(&mend);
}
