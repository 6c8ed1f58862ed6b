/*
 * cache_purge.c: forgetting stored answers: by tag, by URL, and those of a URL that was written to (RFC
 * 9111 section 4.4). Called by control.c, the cache's filter and the loop. Owns the purges under way: a
 * few entries a turn, so that requests go on between.
 */
#include "cache_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct cache_purge {
	struct cache_purge *next;
	struct cache *c;
	struct cache_region *region;
	cache_purged *done;
	uint64_t at, count, bits, hash; /* hash: of a key, nothing else counts */
	uint32_t id, site;
	bool by_tag;
	const char *host; /* of a URL; NULL: any */
	size_t host_len, what_len;
	const char *what; /* tag, or the URL's target */
	char bytes[];
};

/* ---- what is meant ---- */

static bool is_meant(void *arg, const char *head, size_t n)
{
	struct cache_purge *p = arg;
	struct cache_head *h = &p->c->found;
	struct cache_key key;

	if (!cache_head_unpack(head, n, h) || !cache_key_parse(h->key, h->key_len, &key) ||
		key.site != p->site)
		return false;
	if (p->by_tag)
		return cache_has_tag(h->fields, h->nfields, p->what, p->what_len);
	if (p->host && (key.host_len != p->host_len || strncasecmp(key.host, p->host, key.host_len) != 0))
		return false;
	return key.target_len == p->what_len && !memcmp(key.target, p->what, p->what_len);
}

/* http://HOST/PATH, or /PATH. */
static void read_url(struct cache_purge *p)
{
	const char *url = p->what, *end = url + p->what_len, *path;
	size_t scheme = !strncasecmp(url, "http://", 7) ? 7 : !strncasecmp(url, "https://", 8) ? 8 : 0;

	if (!scheme)
		return;
	p->host = url + scheme;
	path = memchr(p->host, '/', (size_t)(end - p->host));
	p->host_len = (size_t)((path ? path : end) - p->host);
	if (scheme == 7 && p->host_len > 3 && !memcmp(p->host + p->host_len - 3, ":80", 3))
		p->host_len -= 3;
	if (scheme == 8 && p->host_len > 4 && !memcmp(p->host + p->host_len - 4, ":443", 4))
		p->host_len -= 4;
	p->what = path ? path : "/";
	p->what_len = path ? (size_t)(end - path) : 1;
}

/* ---- doing it ---- */

static void finish(struct cache_purge *p, int err)
{
	p->c->npurges--;
	if (p->done)
		p->done(p->c->gate, p->id, p->count, err);
	cache_region_unref(p->region);
	free(p);
}

/* False: there is more to do. */
static bool step(struct cache_purge *p)
{
	struct cache_store *s = p->region->store;
	bool last = false;
	int n;

	cache_store_clock(s, loop_now_ms(p->c->gate->loop));
	if (p->hash) {
		n = cache_store_drop(s, p->hash);
		last = n >= 0;
	} else {
		n = cache_store_sweep(s, &p->at, p->bits, is_meant, p, &last);
	}
	p->count += n > 0 ? (uint64_t)n : 0;
	return last;
}

void cache_purge_step(struct cache *c)
{
	struct cache_purge **at = &c->purges, *p;

	while ((p = *at)) {
		if (!step(p)) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		finish(p, 0);
	}
	if (c->purges)
		cache_turn_soon(c);
}

void cache_purge_end_all(struct cache *c)
{
	struct cache_purge *p;

	while ((p = c->purges)) {
		c->purges = p->next;
		finish(p, -ECANCELED);
	}
}

static struct cache_purge *purge_new(struct cache *c, size_t n)
{
	struct cache_purge *p = c->npurges < CACHE_PURGES_MAX ? calloc(1, sizeof(*p) + n + 1) : NULL;

	if (!p)
		return NULL;
	p->c = c;
	p->region = c->region;
	p->region->refs++;
	p->next = c->purges;
	c->purges = p;
	c->npurges++;
	cache_turn_soon(c);
	return p;
}

void cache_purge(struct gate *g, uint32_t id, uint32_t site, bool by_tag, const char *what, size_t n,
	cache_purged *done)
{
	struct cache *c = g->cache;
	struct cache_purge *p;

	if (!c || !c->region) {
		done(g, id, 0, 0);
		return;
	}
	p = purge_new(c, n);
	if (!p) {
		done(g, id, 0, -EAGAIN);
		return;
	}
	memcpy(p->bytes, what, n);
	p->what = p->bytes;
	p->what_len = n;
	p->id = id;
	p->site = site;
	p->by_tag = by_tag;
	p->done = done;
	if (by_tag)
		p->bits = cache_tag_bit(what, n);
	else
		read_url(p);
}

void cache_invalidate(struct cache *c, uint64_t hash)
{
	struct cache_purge *p;

	if (!c->region)
		return;
	cache_store_clock(c->region->store, loop_now_ms(c->gate->loop));
	if (cache_store_drop(c->region->store, hash) != -EAGAIN)
		return;
	p = purge_new(c, 0);
	if (p)
		p->hash = hash ? hash : 1;
}
