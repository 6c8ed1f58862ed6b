/*
 * cache.h: the response cache of a gate (RFC 9111), for routes with Cache=.
 *
 * A phase looks for a stored answer before the handler is asked; a filter stores what the handler
 * answers, and takes 304s and failures for the stored answer where that may be; a handler gives stored
 * answers. What is stored lies in a region that all gates share (cache_store.h). Of several requests for
 * the same key one asks and the others wait for it, within bounds of count and time; when its answer is
 * not for them, they ask themselves. Each gate does this for itself.
 *
 * Static files are left out: they have a cache of their own, which notices changes.
 */
#ifndef STEAD_GATE_CACHE_H
#define STEAD_GATE_CACHE_H

#include "filter.h"
#include "lib/loop.h"
#include "phases.h"

struct cache;

/* The region that serves from now on; the descriptor stays the caller's. < 0: there is none. */
void cache_attach(struct gate *g, int fd);
/* Every request that a connection brought must have ended before. */
void cache_free(struct gate *g);

enum phase_end phase_cache(struct req *r);
void cache_cancel(struct req *r);

/* For req_resp_head() and req_fail(), when FILTER_CACHE is among the filters. True: this answer is not
 * for the client, who will get a stored one; the handler's further words are lost. */
bool cache_takes_head(struct req *r, const struct resp_head *h);
bool cache_takes_failure(struct req *r, enum close_id why);

extern const struct filter_ops cache_filter;
extern const struct handler_ops cache_handler;
/* What a background request answers to: nobody. */
extern const struct stream_ops cache_stream_ops;
op_done cache_on_turn, cache_on_timer;

/* Forget stored answers of a site: those with a tag, or those of a URL (with or without scheme and host).
 * done() is called once, maybe from inside, with how many there were. */
struct cache_purge;
typedef void cache_purged(struct gate *g, uint32_t id, uint64_t count, int err);
void cache_purge(struct gate *g, uint32_t id, uint32_t site, bool by_tag, const char *what, size_t n,
	cache_purged *done);

#endif
