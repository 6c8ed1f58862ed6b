/*
 * effective.c: the values that check told, put into a conf of ctl's own, which checks each again.
 *
 * Called by the up flow and by a respawned ctl. What check says is another process's word: a value
 * that does not hold by its row is refused here whatever check thought of it.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum conf_origin origin_of(const char *name)
{
	for (unsigned i = 0; i < CONF_FROM_END; i++)
		if (strcmp(name, conf_origin_names[i]) == 0)
			return (enum conf_origin)i;
	return CONF_FROM_DETECTED;
}

static void why_of(const struct conf *conf, char *ret_why, size_t cap)
{
	for (const struct conf_finding *f = conf_findings(conf); f; f = f->next)
		if (f->level == CONF_ERROR) {
			(void)snprintf(ret_why, cap, "%s", f->text);
			return;
		}
	(void)snprintf(ret_why, cap, "the configuration cannot be read back");
}

struct conf *effective_conf(const struct ctl *c, const struct app *a, char *ret_why, size_t cap)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct conf_facts facts = {.name = a->name,
		.folder = a->folder,
		.state = c->state_dir,
		.runtime = c->run_dir,
		.uid = a->uid,
		.gid = a->gid,
		.cores = cores > 0 ? (unsigned)cores : 1};
	struct conf *conf = conf_new(&facts);
	int err = conf ? 0 : -ENOMEM;

	for (const struct app_value *v = a->values; v && !err; v = v->next) {
		struct conf_pos pos = {v->file, v->line, v->col};

		/* A default is a default here too; its own row says which. */
		if (origin_of(v->origin) == CONF_FROM_DEFAULT)
			continue;
		err = conf_put(
			conf, v->section, v->arg, v->key, v->text, origin_of(v->origin), &pos);
	}
	if (err == 0)
		err = conf_finish(conf);
	if (err == 0)
		return conf;
	if (conf)
		why_of(conf, ret_why, cap);
	else
		(void)snprintf(ret_why, cap, "no memory");
	conf_free(conf);
	return NULL;
}

void effective_path(const struct app *a, const char *path, char ret[static CTL_PATH_MAX])
{
	int n;

	while (path[0] == '.' && path[1] == '/')
		path += 2;
	if (path[0] == '/')
		n = snprintf(ret, CTL_PATH_MAX, "%s", path);
	else if (path[0] == '\0' || strcmp(path, ".") == 0)
		n = snprintf(ret, CTL_PATH_MAX, "%s", a->work);
	else
		n = snprintf(ret, CTL_PATH_MAX, "%s/%s", a->work, path);
	/* A path that is too long is no path; nobody gets half of one. */
	if (n < 0 || n >= CTL_PATH_MAX)
		ret[0] = '\0';
}
