/*
 * deploy_held.c: what an app may not take for itself over the others when somebody deploys it who may deploy that app alone.
 *
 * Called by deploy_checked() and deploy_claims(). How an app stands to the others of the machine (who runs first, who is ended when memory is
 * short, who may have all of it) is in the app's own file, and whoever has its deploy key writes that. An operator's deploy takes the
 * values as they are; a deployer's leaves those out that put the app before others, and says so. Nor is a database another's to take: not
 * even of an app that uses none just now, or was removed and left its data. Owns nothing.
 */
#include "deploy.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WEIGHT_DEFAULT = 100 };

/* Is it more than what an app has that says nothing? */
static bool is_more(const struct app_value *v)
{
	if (strcmp(v->key, "Nice") == 0 || strcmp(v->key, "OOMScoreAdjust") == 0)
		return v->text[0] == '-' && strtol(v->text, NULL, 10) < 0;
	if (strcmp(v->key, "CPUWeight") == 0 || strcmp(v->key, "IOWeight") == 0)
		return strtoul(v->text, NULL, 10) > WEIGHT_DEFAULT;
	if (strcmp(v->key, "MemoryMax") == 0 || strcmp(v->key, "TasksMax") == 0)
		return strcmp(v->text, "infinity") == 0;
	return false;
}

void deploy_hold(struct up *u)
{
	char text[200];

	if (!u->deploy->deployers)
		return;
	for (struct app_value **at = &u->app.values; *at;) {
		struct app_value *v = *at;

		if (strcmp(v->origin, "default") == 0 || strcmp(v->origin, "detected") == 0 || !is_more(v)) {
			at = &v->next;
			continue;
		}
		(void)snprintf(text, sizeof text, "%.60s=%.60s is left out: it puts the app before others, which is an operator's to give", v->key,
			v->text);
		client_finding(u->client, CONF_WARNING, v->file, v->line, v->col, text, "take the line out, or have an operator deploy it");
		*at = v->next;
		v->next = NULL;
		app_value_free(v);
	}
}

/* ---- databases ---- */

/* Is it what an app of that name has when its file names none? */
static bool is_of(const char *database, const char *app)
{
	while (*database && *database == (*app == '-' ? '_' : *app)) {
		database++;
		app++;
	}
	return !*database && !*app;
}

/* The app that had it, and whose data is here still; "" for none. */
static void left_by(const struct up *u, char ret[static 64])
{
	char path[CTL_PATH_MAX + 8], data[300];
	const struct dirent *e;
	DIR *d;

	(void)snprintf(path, sizeof path, "%s/apps", u->ctl->state_dir);
	d = opendir(path);
	ret[0] = '\0';
	while (d && !ret[0] && (e = readdir(d)) != NULL) {
		(void)snprintf(data, sizeof data, "%s/data", e->d_name);
		/* The folder itself stays after a removal with all data, too. */
		if (strcmp(e->d_name, u->app.name) != 0 && is_of(u->c->database, e->d_name) && faccessat(dirfd(d), data, F_OK, 0) == 0)
			(void)snprintf(ret, 64, "%.63s", e->d_name);
	}
	if (d)
		(void)closedir(d);
}

bool deploy_claim_database(struct up *u)
{
	const struct deploy *d = u->deploy;
	char whose[64] = "";

	FOR_APPS(u->ctl, a)
		if (a != d->app && (a->bin[0] || d->deployers) && strcmp(a->run->database, u->c->database) == 0)
			(void)snprintf(whose, sizeof whose, "%.63s", a->name);
	if (!whose[0] && d->deployers)
		left_by(u, whose);
	if (whose[0])
		up_fail(u, VERB_EXIT_USAGE, "name another one with Database= in [Postgres] of stead.conf, then `stead deploy` again",
			"The database %s is another app's: %s has it.", u->c->database, whose);
	return !whose[0];
}
