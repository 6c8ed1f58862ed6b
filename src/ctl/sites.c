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
	struct snap_writer *w;
	struct snap_route route[ROUTES_MAX];
	struct snap_error_page page[PAGES_MAX];
	struct snap_route rest; /* what all routes have in common */
	unsigned routes, pages;
};

static uint32_t ms32(uint64_t ms)
{
	return (uint32_t)min_of(ms, (uint64_t)UINT32_MAX);
}

/* A folder as the gates see it: as root they see published copies only. index -1: Root=. */
static struct snap_str tree_of(
	struct site_build *b, const struct app *a, const char *path, int index)
{
	char to[CTL_PATH_MAX];

	if (b->c->start.root)
		up_public_path(b->c, a, index, to);
	else
		effective_path(a, path, to);
	return snap_put_str(b->w, to);
}

/* The error pages' paths are those of the site: below Root=, or below the folder. */
static void add_pages(struct site_build *b, const struct app *a, const struct conf_app *conf)
{
	char base[CTL_PATH_MAX], to[CTL_PATH_MAX];

	for (const struct conf_errpage *p = conf->errpages; p && p->path && b->pages < PAGES_MAX;
		p++) {
		const char *file = p->path + strspn(p->path, "/");
		int n;

		if (b->c->start.root)
			up_public_path(b->c, a, -1, base);
		else
			effective_path(a, conf->root, base);
		n = snprintf(to, CTL_PATH_MAX, "%s/%s", base, file);
		if (n < 0 || n >= CTL_PATH_MAX)
			continue;
		b->page[b->pages++] =
			(struct snap_error_page){.status = p->code, .file = snap_put_str(b->w, to)};
	}
}

static void add_route(struct site_build *b, const char *path, enum snap_to to, struct snap_str root)
{
	struct snap_route r = b->rest;

	r.path = snap_put_str(b->w, path);
	r.to = to;
	r.app = to == SNAP_TO_APP ? 0 : SNAP_NONE;
	r.root = root;
	b->route[b->routes++] = r;
}

/* The site's own route first; it is the fallback of all. */
static void add_routes(struct site_build *b, const struct app *a, const struct conf_app *conf)
{
	int n = 0;

	if (conf->python)
		add_route(b, "/", SNAP_TO_APP, (struct snap_str){0});
	else if (conf->root[0])
		add_route(b, "/", SNAP_TO_STATIC, tree_of(b, a, conf->root, -1));
	else
		add_route(b, "/", SNAP_TO_NONE, (struct snap_str){0});
	for (const struct conf_static *s = conf->statics; s && s->prefix && b->routes < ROUTES_MAX;
		s++)
		add_route(b, s->prefix, SNAP_TO_STATIC, tree_of(b, a, s->path, n++));
}

static void common(struct site_build *b, const struct app *a, const struct conf_app *conf)
{
	const char *index = conf->index && conf->index[0] ? conf->index[0] : "index.html";
	struct snap_str name = snap_put_str(b->w, index);

	b->rest = snap_route_default();
	b->rest.index = snap_put_list(b->w, &name, sizeof name, 1);
	b->rest.access =
		conf->access_log == CONF_ACCESS_LOG_OFF ? SNAP_ACCESS_OFF : SNAP_ACCESS_JSON;
	b->rest.body_max = conf->body_bytes_max;
	b->rest.request_timeout_ms = ms32(conf->request_timeout_ms);
	add_pages(b, a, conf);
	b->rest.error_pages = snap_put_list(b->w, b->page, sizeof b->page[0], b->pages);
}

static struct snap_site limits_of(const struct conf_app *conf)
{
	return (struct snap_site){
		.number = APP_NUMBER,
		.head_max = ms32(conf->head_bytes_max),
		.header_timeout_ms = ms32(conf->header_timeout_ms),
		.idle_timeout_ms = ms32(conf->idle_timeout_ms),
		.rate_min = ms32(conf->rate_min),
		.queue = conf->queue,
		.queue_timeout_ms = ms32(conf->queue_timeout_ms),
	};
}

static void put_site(struct site_build *b, const struct app *a, const struct conf_app *conf)
{
	struct snap_site site = limits_of(conf);
	struct snap_app app = {
		.number = APP_NUMBER, .workers = conf->workers, .threads = conf->threads};
	uint32_t at;

	app.name = site.name = snap_put_str(b->w, a->name);
	if (conf->python)
		(void)snap_put_app(b->w, &app);
	common(b, a, conf);
	add_routes(b, a, conf);
	at = snap_put_site(b->w, &site, b->route, b->routes);
	for (const char *const *host = conf->domains; host && *host; host++)
		snap_put_host(b->w, at, *host, 0);
}

static int send_fds(struct ctl *c, struct snap_writer *w, uint64_t generation)
{
	struct msg_snap m = {.generation = generation};
	int fds[SNAP_SEGMENTS_MAX + 1], err;
	struct stat st;
	unsigned n;

	err = snap_finish(w, generation, 0, fds, &n);
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
	uint64_t generation = c->snap_generation + 1;
	int err;

	if (!b)
		return -ENOMEM;
	b->c = c;
	b->w = snap_writer_new();
	if (b->w)
		put_site(b, a, conf);
	/* Kept, so that a ctl which comes after this one never gives the same number again. */
	err = b->w ? state_meta_set(c, "snapshot", generation) : -ENOMEM;
	if (err == 0)
		err = send_fds(c, b->w, generation);
	if (err == 0)
		c->snap_generation = generation;
	snap_writer_free(b->w);
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
