/*
 * up_trees.c: a server's folders of files, mounted for the gates as they lie on the machine.
 *
 * Called by up_root.c for the operator's own folder (/etc/stead) and the sites of Sites=: their Root= and Static= may name
 * any folder, what changes there is served changed, and nothing is copied. act mounts each (tbl/acts.h), one after the other, and
 * decides by the operator's own file which it may be; ctl sees none of them. Deployed apps and `stead up` have copies
 * (up_root.c): their files are others' word, and a release does not change.
 *
 * A site whose folder cannot be had is refused as if its file were wrong: its last good version serves on. One that serves already
 * and whose folder is gone stays, without files, because a disk that is missing at a boot must not make a site another's.
 * Two are copied still: a folder that holds the configuration, without which gates must do, and that of [Php], of whose
 * scripts gates need the names only.
 */
#include "up_trees.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tree {
	struct site *site; /* NULL: the folder's own */
	struct conf *held;
	const char *path; /* as it is written */
	int index;
	char from[CTL_PATH_MAX], to[CTL_PATH_MAX], file[CTL_PATH_MAX];
	struct conf_pos pos;
};

bool up_trees_are(const struct up *u)
{
	return u->ctl->start.server && !u->deploy;
}

/* ---- which ---- */

static void place_in_site(const struct site *s, const char *path, struct conf_pos *ret)
{
	struct site_value v;
	struct unpack u;

	unpack_init(&u, s->values, s->bytes);
	while (site_value_next(&u, &v)) {
		const char *last = strchr(v.text, ' ');

		if ((strcmp(v.key, "Root") == 0 && strcmp(v.text, path) == 0) ||
			(strcmp(v.key, "Static") == 0 && last && strcmp(last + 1, path) == 0)) {
			ret->line = v.line;
			ret->col = v.col;
			return;
		}
	}
}

static void place_in_own(const struct app *a, const char *path, struct conf_pos *ret)
{
	for (const struct app_value *v = a->values; v; v = v->next) {
		const char *last = strchr(v->text, ' ');

		if (((strcmp(v->key, "Root") == 0 && strcmp(v->text, path) == 0) ||
			    (strcmp(v->key, "Static") == 0 && last && strcmp(last + 1, path) == 0)) &&
			v->line > 0) {
			*ret = (struct conf_pos){v->file, v->line, v->col};
			return;
		}
	}
}

/* The n-th folder of the site that the flow is at. False: it has no more. */
static bool tree_at(struct up *u, unsigned n, struct tree *t)
{
	const struct conf_app *conf = u->c;
	char base[CTL_PATH_MAX];

	*t = (struct tree){.path = "", .pos = {"stead.conf", 1, 1}};
	memcpy(base, u->app.folder, sizeof u->app.folder);
	if (u->sites_published > 0) {
		t->site = u->sites.all[u->sites_published - 1];
		t->pos.file = t->site->file;
		t->held = up_root_site_conf(u, t->site);
		if (!t->held)
			return false;
		conf = conf_app(t->held);
		effective_below(u->app.folder, u->c->sites, base);
	}
	if (!up_root_folder_at(conf, n, &t->path, &t->index))
		return false;
	if (t->site)
		place_in_site(t->site, t->path, &t->pos);
	else
		place_in_own(&u->app, t->path, &t->pos);
	effective_below(base, t->path, t->from);
	effective_below(u->app.folder, t->pos.file, t->file);
	up_public_path(u->ctl, &u->app, t->site ? t->site->number : u->app.number, t->index, t->to);
	return true;
}

static void tree_done(struct tree *t)
{
	conf_free(t->held);
}

/* ---- asking ---- */

/* It serves already, whatever becomes of its folder. */
static bool serves(const struct up *u, const struct tree *t)
{
	return u->given == UP_LAST_VALUES || u->restart || (t->site && t->site->kept);
}

static void ask(struct up *u, const struct tree *t)
{
	char old[CTL_PATH_MAX] = "", base[CTL_PATH_MAX];
	size_t n = strlen(u->app.folder);

	effective_below(u->app.folder, u->c->sites, base);
	if (strcmp(t->from, u->app.folder) == 0 || strcmp(t->from, base) == 0) {
		(void)snprintf(old, sizeof old, "%.2000s%.2000s", u->app.work, strncmp(t->from, u->app.folder, n) == 0 ? t->from + n : "");
		up_root_publish(u, old, t->to);
		return;
	}
	if (serves(u, t))
		up_public_path(u->ctl, &u->ctl->app, t->site ? t->site->number : u->app.number, t->index, old);
	up_root_act(u, ACT_TREE_MOUNT, (const char *const[]){t->from, t->to, t->file, old});
}

/* The next folder is asked for. False: there is none. */
static bool next(struct up *u)
{
	struct tree *t = malloc(sizeof *t);
	bool asked = false;

	if (!t) {
		up_fail(u, VERB_EXIT_FAILED, "try again", "There is no memory for the sites.");
		return false;
	}
	while (!asked && !u->failing && u->sites_published <= u->sites.n) {
		struct site *s = u->sites_published ? u->sites.all[u->sites_published - 1] : NULL;
		/* [Php]'s are copied by up_root.c. */
		bool more = (s ? !s->published : !u->c->php.on) && tree_at(u, u->trees_published, t);

		if (more) {
			u->trees_published++;
			asked = t->path[0] != '\0';
			if (asked)
				ask(u, t);
			tree_done(t);
			continue;
		}
		if (s && !s->published)
			tree_done(t);
		if (s)
			s->published = true;
		u->sites_published++;
		u->trees_published = 0;
	}
	free(t);
	return asked;
}

static bool any_bad(const struct up *u)
{
	for (unsigned i = 0; i < u->sites.n; i++)
		if (u->sites.all[i]->bad)
			return true;
	return false;
}

bool up_trees_published(struct up *u)
{
	while (u->acts_pending == 0 && !u->failing) {
		if (next(u))
			continue;
		if (!any_bad(u))
			return !u->failing;
		/* What serves in the place of those that were refused has folders as well. */
		up_sites_settle(u);
		u->sites_published = 1;
		u->trees_published = 0;
	}
	return false;
}

/* ---- answers ---- */

static void refused(struct up *u, const struct tree *t, const struct ask_end *end)
{
	char text[sizeof u->fail_error];

	if (serves(u, t)) {
		(void)snprintf(text, sizeof text, "%.4000s What it holds is answered with 404 until a reload finds it", end->error);
		up_found(u, CONF_WARNING, t->pos.file, t->pos.line, t->pos.col, text, end->todo);
	} else if (t->site) {
		up_found(u, CONF_ERROR, t->pos.file, t->pos.line, t->pos.col, end->error, end->todo);
		t->site->bad = t->site->published = true;
	} else {
		up_fail(u, end->exit_code, end->todo, "%s:%u:%u: %s", t->pos.file, t->pos.line, t->pos.col, end->error);
	}
}

/* "kept REASON", or "mapped|plain COUNT FIRST". */
static void heard(struct up *u, const struct tree *t, const char *result)
{
	char text[sizeof u->fail_error], todo[1200];
	bool mapped = strncmp(result, "mapped ", 7) == 0;
	const char *count = result + (mapped ? 7 : 6), *first;
	unsigned long n;
	char *end;

	if (strncmp(result, "kept ", 5) == 0) {
		/* Of one that is kept it was said already. */
		if (t->site && t->site->kept)
			return;
		(void)snprintf(text, sizeof text, "%.2000s What the gates had of it is served on", result + 5);
		up_found(u, CONF_WARNING, t->pos.file, t->pos.line, t->pos.col, text, "correct that, then reload again");
		return;
	}
	if (!mapped && strncmp(result, "plain ", 6) != 0)
		return;
	n = strtoul(count, &end, 10);
	first = *end == ' ' ? end + 1 : "";
	if (n == 0)
		return;
	(void)snprintf(text, sizeof text, "%lu of what lies in %.2000s cannot be read by the gates and is answered with 403, first %.600s",
		n, t->from, strcmp(first, ".") == 0 ? "the folder itself" : first);
	(void)snprintf(todo, sizeof todo, mapped
		? "give it to the folder's owner or group, or let everybody read it (chmod -R o+rX)"
		: "let everybody read it (chmod -R o+rX): here the owner's rights do not count, because the folder is root's, or its "
		  "file system cannot map owners");
	up_found(u, CONF_WARNING, t->pos.file, t->pos.line, t->pos.col, text, todo);
}

void up_tree_ended(struct up *u, const struct ask_end *end)
{
	struct tree *t = malloc(sizeof *t);

	if (!t || !tree_at(u, u->trees_published - 1, t)) {
		up_fail(u, VERB_EXIT_FAILED, "try again", "There is no memory for the sites.");
	} else if (end->err) {
		refused(u, t, end);
	} else {
		heard(u, t, end->result);
	}
	if (t)
		tree_done(t);
	free(t);
}
