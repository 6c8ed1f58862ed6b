/*
 * sites.c: the snapshot that the gates serve from, out of the effective configuration.
 *
 * Called by the up flow, reload and a respawned ctl. The parent keeps the descriptors and passes
 * them to every gate, now and at each respawn; the generation only grows, also over ctl's own
 * death.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snap/snap.h"

enum { ROUTES_MAX = 72, PAGES_MAX = 64 };

struct site_build {
	const struct ctl *c;
	struct snap_route_in route[ROUTES_MAX];
	struct snap_error_page_in page[PAGES_MAX];
	char path[ROUTES_MAX + PAGES_MAX][CTL_PATH_MAX];
	unsigned routes, pages, paths;
};

/* A folder as the gates see it: as root they see published copies only. index -1: Root=. */
static const char *tree_of(struct site_build *b, const struct app *a, const char *path, int index)
{
	char *to = b->path[b->paths++];

	if (b->c->start.root)
		up_public_path(b->c, a, index, to);
	else
		effective_path(a, path, to);
	return to;
}

/* The error pages' paths are those of the site: below Root=, or below the folder. */
static void add_pages(struct site_build *b, const struct app *a, const struct conf_app *conf)
{
	char base[CTL_PATH_MAX];

	for (const struct conf_errpage *p = conf->errpages; p && p->path && b->pages < PAGES_MAX;
		p++) {
		const char *file = p->path + strspn(p->path, "/");
		char *to = b->path[b->paths];
		int n;

		if (b->c->start.root)
			up_public_path(b->c, a, -1, base);
		else
			effective_path(a, conf->root, base);
		n = snprintf(to, CTL_PATH_MAX, "%s/%s", base, file);
		if (n < 0 || n >= CTL_PATH_MAX)
			continue;
		b->paths++;
		b->page[b->pages++] = (struct snap_error_page_in){.status = p->code, .file = to};
	}
}

static void add_routes(struct site_build *b, const struct app *a, const struct conf_app *conf)
{
	int n = 0;

	const char *index = conf->index && conf->index[0] ? conf->index[0] : "index.html";

	for (const struct conf_static *s = conf->statics;
		s && s->prefix && b->routes < ROUTES_MAX - 1; s++)
		b->route[b->routes++] = (struct snap_route_in){.match = SNAP_MATCH_PREFIX,
			.to = SNAP_TO_STATIC,
			.path = s->prefix,
			.root = tree_of(b, a, s->path, n++),
			.index = index,
			.app = UINT32_MAX};
	if (conf->python)
		b->route[b->routes++] = (struct snap_route_in){
			.match = SNAP_MATCH_PREFIX, .to = SNAP_TO_APP, .path = "/", .app = 0};
	else if (conf->root[0])
		b->route[b->routes++] = (struct snap_route_in){.match = SNAP_MATCH_PREFIX,
			.to = SNAP_TO_STATIC,
			.path = "/",
			.root = tree_of(b, a, conf->root, -1),
			.index = index,
			.app = UINT32_MAX};
}

static uint32_t ms32(uint64_t ms)
{
	return (uint32_t)min_of(ms, (uint64_t)UINT32_MAX);
}

static struct snap_site limits_of(const struct conf_app *conf)
{
	return (struct snap_site){
		.number = APP_NUMBER,
		.access = conf->access_log == CONF_ACCESS_LOG_OFF ? SNAP_ACCESS_OFF
								  : SNAP_ACCESS_JSON,
		.body_max = conf->body_bytes_max,
		.head_max = ms32(conf->head_bytes_max),
		.header_timeout_ms = ms32(conf->header_timeout_ms),
		.idle_timeout_ms = ms32(conf->idle_timeout_ms),
		.request_timeout_ms = ms32(conf->request_timeout_ms),
		.rate_min = ms32(conf->rate_min),
		.queue = conf->queue,
		.queue_timeout_ms = ms32(conf->queue_timeout_ms),
	};
}

static int send_fds(struct ctl *c, const struct snap_in *in)
{
	struct msg_snap m = {.generation = in->generation};
	int fds[SNAP_SEGMENTS_MAX + 1], err;
	struct stat st;
	unsigned n;

	err = snap_build(in, fds, &n);
	if (err)
		return err;
	m.segments = n - 1;
	c->snap_bytes = 0;
	for (unsigned i = 0; i < n; i++)
		c->snap_bytes += fstat(fds[i], &st) == 0 ? (uint64_t)st.st_size : 0;
	err = parent_send(c, MSG_SNAP, 0, &m, sizeof m, NULL, 0, fds, n);
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
	return err;
}

int sites_send(struct ctl *c, const struct app *a, const struct conf_app *conf)
{
	struct site_build *b = calloc(1, sizeof *b);
	struct snap_site_in site = {.name = a->name, .limits = limits_of(conf)};
	struct snap_app_in app = {.name = a->name,
		.number = APP_NUMBER,
		.workers = conf->workers,
		.threads = conf->threads};
	struct snap_in in = {.sites = &site, .nsites = 1, .apps = &app, .napps = conf->python};
	int err;

	if (!b)
		return -ENOMEM;
	b->c = c;
	add_routes(b, a, conf);
	add_pages(b, a, conf);
	site.routes = b->route;
	site.nroutes = b->routes;
	site.error_pages = b->page;
	site.nerror_pages = b->pages;
	site.hosts = conf->domains;
	while (conf->domains && conf->domains[site.nhosts])
		site.nhosts++;
	/* Kept, so that a ctl which comes after this one never gives the same number again. */
	in.generation = c->snap_generation + 1;
	err = state_meta_set(c, "snapshot", in.generation);
	if (err == 0)
		err = send_fds(c, &in);
	if (err == 0)
		c->snap_generation = in.generation;
	free(b);
	return err;
}

bool sites_loaded(const struct ctl *c)
{
	for (unsigned i = 0; i < c->start.gates; i++)
		if (c->gate[i].loaded != c->snap_generation)
			return false;
	return c->snap_generation != 0;
}
