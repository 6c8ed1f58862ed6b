/*
 * sites_cache.c: the region that the gates keep answers in (Cache=, CacheDisk=).
 *
 * Called by sites.c with each snapshot. Owns the descriptor; the parent keeps a copy and gives it to
 * every gate, so that a gate's death loses nothing. With CacheDisk= it is a file of the state folder,
 * and what it holds outlives restarts. Never looks inside.
 */
#include "sites.h"

#include "lib/region.h"

#include <unistd.h>

enum { CACHE_MIN = 1 << 20 };

/* Sites and routes share it: the largest Cache= of them all. */
void sites_cache_want(struct site_build *b, const struct conf_app *conf)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < conf->nroutes; i++)
		n = max_of(n, conf->routes[i].cache_bytes);
	b->cache_bytes = max_of(b->cache_bytes, n);
	if (n)
		b->cache_disk = max_of(b->cache_disk, conf->cache_disk);
}

static uint64_t wanted(uint64_t bytes, uint64_t disk)
{
	uint64_t n = bytes && disk ? disk : bytes;

	return n && n < CACHE_MIN ? CACHE_MIN : n;
}

static void forget(struct ctl *c)
{
	if (c->cache_bytes)
		close(c->cache_fd);
	c->cache_bytes = 0;
}

int sites_cache(struct ctl *c, uint64_t cache_bytes, uint64_t cache_disk)
{
	uint64_t bytes = wanted(cache_bytes, cache_disk);
	bool disk = cache_disk > 0;
	int err;

	if (bytes == c->cache_bytes && disk == c->cache_on_disk)
		return bytes ? c->cache_fd : -1;
	forget(c);
	if (!bytes)
		return -1;
	err = disk ? region_file(c->state_fd, "cache", (size_t)bytes, &c->cache_fd) : -1;
	/* A disk without room costs what outlives restarts, not the site. */
	if (err < 0)
		err = region_memfd("stead-cache", (size_t)min_of(bytes, (uint64_t)1 << 30), &c->cache_fd);
	if (err < 0)
		return -1;
	c->cache_bytes = bytes;
	c->cache_on_disk = disk;
	return c->cache_fd;
}
