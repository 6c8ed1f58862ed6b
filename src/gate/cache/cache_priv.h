/*
 * cache_priv.h: what the files of the response cache share: the gate's part of it and a request's.
 */
#ifndef STEAD_GATE_CACHE_PRIV_H
#define STEAD_GATE_CACHE_PRIV_H

#include "cache.h"
#include "cache_head.h"
#include "cache_store.h"
#include "gate.h"
#include "lib/must.h"

enum {
	CACHE_PENDING_BUCKETS = 256,
	CACHE_PENDING_MAX = 4096,
	CACHE_WAITERS_MAX = 1024, /* of a gate; who comes then asks itself */
	CACHE_WAIT_MS = 5000,
	CACHE_PASS_SLOTS = 1024,  /* keys whose answers were not to be stored, remembered … */
	CACHE_PASS_MS = 10000,    /* … so long: nobody waits for such a one */
	CACHE_BACKGROUND_MAX = 64,
	CACHE_PURGES_MAX = 32,
	CACHE_PART = 4,           /* of Cache= that one answer may take */
};

struct cache_region {
	struct cache_store *store;
	unsigned refs;
};

/* A key that somebody asks for just now. */
struct cache_pending {
	struct cache_pending *next;
	uint64_t hash;
	struct cache_req *leader, *first, *last; /* who wait */
};

/* What becomes of a request whose handler's answer is not the client's. */
enum cache_swap { CACHE_SWAP_NONE = 0, CACHE_SWAP_STORED, CACHE_SWAP_AGAIN };

/* A request's part; in its arena. */
struct cache_req {
	struct req *r;
	struct cache *c;
	struct cache_region *region;
	uint64_t hash, route;
	const char *key;
	uint32_t key_len;
	uint8_t swap, handler;  /* enum cache_swap; who was asked */
	bool invalidates;       /* an unsafe method */
	bool checks;            /* asks whether the stored one still holds */
	bool has_stored;        /* head and ref are set */
	bool alone;             /* waits for nobody any more */
	bool collapsed;         /* has waited */
	bool background, waits, ready, swapping;
	const char *why;        /* for Cache-Status: fwd=… */
	uint64_t wait_until_ms;
	struct cache_cc cc;
	struct cache_asked asked;
	struct field none_match, modified_since, range, if_range; /* as the client sent them; name NULL: not */
	struct cache_ref ref;
	struct cache_head *head; /* strings lie in the arena */
	struct cache_writer writer;
	const char *packed;      /* the description of what is being stored */
	size_t packed_len;
	uint64_t variant, tags;
	int64_t lifetime_s;
	uint16_t origin_status;  /* of a 304 or a failure that the stored one stands for */
	struct cache_pending *pending; /* leads it, or waits in it */
	struct cache_req *next;        /* waits in pending, or is to be swapped */
	struct cache_req *older, *newer; /* all that wait, by time */
	struct cache_reader reader;
	uint64_t left;           /* bytes of the body to be sent */
};

struct cache_background;

struct cache {
	struct gate *gate;
	struct cache_region *region; /* NULL: there is none now */
	struct cache_pending *pending[CACHE_PENDING_BUCKETS];
	unsigned npending, nwaiting, nbackground, npurges;
	struct cache_req *oldest, *newest; /* waiters */
	struct cache_req *swaps;
	struct cache_req *woken;           /* waiters that may go on, by `next` */
	struct cache_background *background;
	struct cache_purge *purges;
	struct timer timer;
	struct op turn;
	struct {
		uint64_t hash, until_ms;
	} pass[CACHE_PASS_SLOTS];
	struct cache_head found;
	char bytes[CACHE_HEAD_MAX]; /* scratch within one call */
	char piece[STREAM_WINDOW];
};

int64_t cache_wall_ms(struct gate *g);
struct cache_store *cache_store_of(const struct cache_req *cr);
static inline struct cache_req *cache_of(const struct req *r)
{
	return r->filter_state[FILTER_CACHE];
}

/* cache.c */
/* A request's part, with key and directives; NULL: no memory, or nothing to do with the cache. */
struct cache_req *cache_req_new(struct req *r);
void cache_region_unref(struct cache_region *region);
void cache_turn_soon(struct cache *c);

/* cache_wait.c */
struct cache_pending *cache_pending_of(struct cache *c, uint64_t hash);
/* cr asks for its key now. */
void cache_lead(struct cache_req *cr);
/* False: too many wait already. */
bool cache_wait(struct cache_req *cr, struct cache_pending *p);
/* The leader's question is settled: who waited goes on; not stored: each for itself. */
void cache_settle(struct cache_req *cr, bool stored);
void cache_unwait(struct cache_req *cr);
void cache_wake_all(struct cache *c);
bool cache_passes(const struct cache *c, uint64_t hash);
void cache_pass(struct cache *c, uint64_t hash);

/* cache_serve.c: answer from the store, by cr->head and cr->ref. */
void cache_serve(struct req *r);

/* cache_refresh.c */
/* Ask again in the background. Harmless when it cannot be done. */
void cache_refresh(struct cache_req *cr);
void cache_refresh_reap(struct cache *c);
void cache_refresh_end_all(struct cache *c);

/* cache_answer.c: the handler that asked is out of it; start another. */
void cache_swap_all(struct cache *c);
/* Ask whether the stored answer holds: the request's own conditions give way to the store's. */
bool cache_make_conditional(struct cache_req *cr);
/* What was stored is gone: ask who would have been asked. */
void cache_ask_again(struct cache_req *cr);

/* cache_purge.c */
void cache_purge_step(struct cache *c);
void cache_purge_end_all(struct cache *c);
/* Of a key that was written to; kept trying when the shard is busy. */
void cache_invalidate(struct cache *c, uint64_t hash);

#endif
