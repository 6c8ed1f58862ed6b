/*
 * up_begin.c: what a flow begins with: the folder that it is about, and where its findings go.
 *
 * Called by the verb `up` and by the server's own start. Owns nothing.
 */
#include "ctl.h"

#include <stdio.h>
#include <string.h>

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

void up_found(struct up *u, unsigned level, const char *file, unsigned line, unsigned col, const char *text,
	const char *todo)
{
	client_finding(u->client, level, file, line, col, text, todo);
	server_found(u->ctl, level, file, line, col, text, todo);
}
