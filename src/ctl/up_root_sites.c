/*
 * up_root_sites.c: as root, copies of the folders of sites without one of their own.
 *
 * Called by the up flow, but for a server's, whose folders are mounted (up_trees.c). The gates see published copies only, and only what lies in the copy of the
 * app's folder may be published: so Root= of such a site must be in it. One site is published after
 * the other, because each copy is a process of its own. Owns nothing.
 */
#include "up_trees.h"

#include <stdio.h>
#include <string.h>

/* Where that path of a site lies in the copy. False: it does not. */
static bool source(const struct up *u, const char *path, char ret[static CTL_PATH_MAX])
{
	char base[CTL_PATH_MAX];
	size_t n = strlen(u->app.work);

	effective_path(&u->app, u->c->sites, base);
	effective_below(base, path, ret);
	return strncmp(ret, u->app.work, n) == 0 && ret[n] == '/' && !strstr(ret, "/../");
}

bool up_root_folder_at(const struct conf_app *conf, unsigned i, const char **ret_path, int *ret_index)
{
	if (i < conf->nroutes) {
		*ret_index = i == 0 ? PUBLIC_ROOT : up_public_index(conf, i);
		/* The site's own folder is one, whichever routes have it. */
		*ret_path = i > 0 && *ret_index == PUBLIC_ROOT ? "" : conf->routes[i].root;
		return true;
	}
	i -= conf->nroutes;
	for (unsigned k = 0; k <= i; k++)
		if (!conf->statics[k].prefix)
			return false;
	*ret_index = (int)i;
	*ret_path = conf->statics[i].path;
	return true;
}

struct conf *up_root_site_conf(struct up *u, const struct site *s)
{
	char base[CTL_PATH_MAX], why[256];

	effective_path(&u->app, u->c->sites, base);
	if (!u->site_defaults)
		u->site_defaults = effective_site_defaults(u->ctl, &u->app, base);
	return u->site_defaults ? effective_site(s, u->site_defaults, why, sizeof why) : NULL;
}

bool up_root_site_may(struct up *u, const struct site *s)
{
	struct conf *conf = up_root_site_conf(u, s);
	const char *path = "", *socket;
	char from[CTL_PATH_MAX], text[CTL_PATH_MAX + 200] = "", *todo = "";
	int index;

	if (!conf)
		return true; /* the snapshot's making says why */
	for (unsigned i = 0; !text[0] && up_root_folder_at(conf_app(conf), i, &path, &index); i++)
		if (path[0] && !up_trees_are(u) && !source(u, path, from)) {
			(void)snprintf(text, sizeof text, "the folder \"%.1000s\" is not below %.1000s",
				path, u->app.folder);
			todo = "name a folder below the app's own: as root only a copy of that is "
			       "published";
		}
	for (unsigned i = 0; !text[0] && i < conf_app(conf)->nupstreams; i++)
		if (up_root_hidden(&conf_app(conf)->upstreams[i], &socket)) {
			(void)snprintf(text, sizeof text,
				"the socket %.1000s cannot be reached when stead runs as root",
				socket);
			todo = UP_ROOT_SOCKET_TODO;
		}
	if (text[0])
		up_found(u, CONF_ERROR, s->file, 1, 1, text, todo);
	conf_free(conf);
	return !text[0];
}

static void publish(struct up *u, const struct site *s)
{
	struct conf *conf = up_root_site_conf(u, s);
	char from[CTL_PATH_MAX], to[CTL_PATH_MAX];
	const char *path;
	int index;

	for (unsigned i = 0; conf && up_root_folder_at(conf_app(conf), i, &path, &index); i++) {
		if (!path[0] || !source(u, path, from))
			continue;
		up_public_path(u->ctl, &u->app, s->number, index, to);
		up_root_publish(u, from, to);
	}
	conf_free(conf);
}

bool up_root_sites_published(struct up *u)
{
	while (u->sites_published < u->sites.n && u->acts_pending == 0 && !u->failing)
		publish(u, u->sites.all[u->sites_published++]);
	return u->acts_pending == 0 && !u->failing;
}
