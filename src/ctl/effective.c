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

static struct conf_facts facts_of(const struct ctl *c, const struct app *a)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return (struct conf_facts){.name = a->name,
		.folder = a->folder,
		.state = c->state_dir,
		.runtime = c->run_dir,
		.uid = a->uid,
		.gid = a->gid,
		.cores = cores > 0 ? (unsigned)cores : 1};
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

/* The conf, or why it does not hold. */
static struct conf *finish(struct conf *conf, int err, char *ret_why, size_t cap)
{
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

struct conf *effective_conf(const struct ctl *c, const struct app *a, char *ret_why, size_t cap)
{
	struct conf_facts facts = facts_of(c, a);
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
	return finish(conf, err, ret_why, cap);
}

struct conf *effective_site_defaults(const struct ctl *c, const struct app *a, const char *base)
{
	struct conf_facts facts = facts_of(c, a);
	struct conf *conf;

	facts.folder = base;
	facts.folderless = true;
	conf = conf_new(&facts);
	if (conf && conf_finish(conf) == 0)
		return conf;
	conf_free(conf);
	return NULL;
}

struct conf *effective_site(const struct site *s, const struct conf *defaults, char *ret_why, size_t cap)
{
	struct conf *conf = conf_new_site(defaults, s->name);
	int err = conf ? 0 : -ENOMEM;
	struct site_value v;
	struct unpack u;

	unpack_init(&u, s->values, s->bytes);
	while (!err && site_value_next(&u, &v)) {
		struct conf_pos pos = {s->file, v.line, v.col};

		err = conf_put(conf, v.section, v.arg, v.key, v.text, CONF_FROM_FILE, &pos);
	}
	return finish(conf, u.bad ? -EBADMSG : err, ret_why, cap);
}

void effective_path(const struct app *a, const char *path, char ret[static CTL_PATH_MAX])
{
	effective_below(a->work, path, ret);
}

void effective_below(const char *base, const char *path, char ret[static CTL_PATH_MAX])
{
	int n;

	while (path[0] == '.' && path[1] == '/')
		path += 2;
	if (path[0] == '/')
		n = snprintf(ret, CTL_PATH_MAX, "%s", path);
	else if (path[0] == '\0' || strcmp(path, ".") == 0)
		n = snprintf(ret, CTL_PATH_MAX, "%s", base);
	else
		n = snprintf(ret, CTL_PATH_MAX, "%s/%s", base, path);
	/* A path that is too long is no path; nobody gets half of one. */
	if (n < 0 || n >= CTL_PATH_MAX)
		ret[0] = '\0';
}
