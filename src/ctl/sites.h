/*
 * sites.h: between sites.c and sites_route.c only.
 */
#ifndef STEAD_CTL_SITES_H
#define STEAD_CTL_SITES_H

#include "ctl.h"
#include "snap/snap.h"

struct site_build {
	struct ctl *c;
	const struct app *a;
	struct snap_writer *w;
	bool no_memory;
	unsigned gates;
	bool scripts; /* of the site are run somewhere */
};

/* public_index: as root, where the copy of its Root= lies (up_public_path()). */
struct snap_route sites_route(struct site_build *b, const struct conf_route *r, int public_index);
/* Its Root= as the gates see it: as root only published copies are seen. */
void sites_folder(struct site_build *b, const struct conf_route *r, int public_index, char ret[static CTL_PATH_MAX]);
struct snap_list sites_networks(struct site_build *b, const struct conf_cidr *from, unsigned n);
/* cloudflare.c: at most max. How many. */
unsigned cloudflare_networks(struct ctl *c, struct conf_cidr *ret, unsigned max);
void sites_upstream(struct site_build *b, const struct conf_upstream *u, const struct conf_app *conf);
/* With these bounds; its index. */
uint32_t sites_upstream_timed(struct site_build *b, const struct conf_upstream *u, unsigned queue,
	uint64_t queue_timeout_ms, uint64_t timeout_ms);
/* sites_cache.c: the cache's region, kept; -1: there is none. */
int sites_cache(struct ctl *c, const struct conf_app *conf);
/* sites_tcp.c: [Tcp] */
void sites_tcp(struct site_build *b, const struct conf_app *conf);

#endif
