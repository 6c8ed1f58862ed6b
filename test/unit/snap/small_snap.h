/*
 * small_snap.h: a snapshot of one site for tests: routes to folders and to one app.
 */
#ifndef STEAD_TEST_SMALL_SNAP_H
#define STEAD_TEST_SMALL_SNAP_H

#include <errno.h>

#include "snap/snap.h"

struct small_route {
	const char *path;
	const char *root;  /* NULL: to the app */
	const char *index; /* NULL: none */
};
struct small_snap {
	const char *name;
	const char *const *hosts;
	unsigned nhosts;
	const struct small_route *routes; /* the first is the site's own, "/" */
	unsigned nroutes;
	const char *page_404; /* NULL: none */
	struct snap_site limits;
	struct snap_route rest; /* what all routes have; begin with snap_route_default() */
	uint64_t generation;
};

static inline struct snap_route small_snap_route(
	struct snap_writer *w, const struct small_snap *in, const struct small_route *from)
{
	struct snap_route r = in->rest;

	r.path = snap_put_str(w, from->path);
	r.to = from->root ? SNAP_TO_STATIC : SNAP_TO_APP;
	r.app = from->root ? SNAP_NONE : 0;
	if (from->root)
		r.root = snap_put_str(w, from->root);
	if (from->index) {
		struct snap_str index = snap_put_str(w, from->index);

		r.index = snap_put_list(w, &index, sizeof index, 1);
	}
	if (in->page_404) {
		struct snap_error_page page = {
			.status = 404, .file = snap_put_str(w, in->page_404)};

		r.error_pages = snap_put_list(w, &page, sizeof page, 1);
	}
	return r;
}

/* As snap_finish(). */
static inline int small_snap_build(const struct small_snap *in, int *ret_fds, unsigned *ret_nfds)
{
	struct snap_writer *w = snap_writer_new();
	struct snap_app app = {.number = 1, .workers = 1, .threads = 1};
	struct snap_route routes[16];
	struct snap_site site = in->limits;
	int err;

	if (!w)
		return -ENOMEM;
	app.name = snap_put_str(w, in->name);
	(void)snap_put_app(w, &app);
	site.name = snap_put_str(w, in->name);
	for (unsigned i = 0; i < in->nroutes && i < 16; i++)
		routes[i] = small_snap_route(w, in, &in->routes[i]);
	(void)snap_put_site(w, &site, routes, in->nroutes);
	for (unsigned i = 0; i < in->nhosts; i++)
		snap_put_host(w, 0, in->hosts[i], 0);
	err = snap_finish(w, in->generation, 0, ret_fds, ret_nfds);
	snap_writer_free(w);
	return err;
}

#endif
