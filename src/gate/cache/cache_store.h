/*
 * cache_store.h: stored answers in one memory region that all gates share.
 *
 * The region is a memfd, or a file that outlives restarts; whoever made it gives it to every gate. It is
 * cut into shards by the key's hash; each has its entries, its chains of blocks and one lock word. A
 * lock is never waited for: who finds it taken does without the cache this once. One that is held
 * unchanged for CACHE_LOCK_DEAD_MS belonged to a gate that died: it is taken over, and that shard begins
 * anew, empty. Everything read from the region is checked as input: indexes are bounded, every block
 * carries the number of the chain that it belongs to and a checksum, and is looked at in a private copy.
 * So a damaged region loses answers, and never mixes them.
 */
#ifndef STEAD_GATE_CACHE_STORE_H
#define STEAD_GATE_CACHE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CACHE_BLOCK = 4096,
	CACHE_PAYLOAD = CACHE_BLOCK - 24,
	CACHE_SHARDS_MAX = 16,
	CACHE_BYTES_MIN = 1 << 20,
	CACHE_HEAD_MAX = 64 * 1024, /* bytes of an entry's description */
	CACHE_VARIANTS_MAX = 32,    /* of one key */
	CACHE_LOCK_DEAD_MS = 500,
	CACHE_LEASE_MS = 30000,     /* who reads is not disturbed so long behind its last read */
};

struct cache_store;

/* Where an entry stands: the number tells whether it is still the same one. */
struct cache_ref {
	uint32_t shard, entry;
	uint64_t id;
	uint64_t body_len;
};

/* Map a region (lib/region.h). The descriptor stays the caller's. -EBADMSG: it is none. */
int cache_store_open(struct cache_store **ret, int fd);
void cache_store_free(struct cache_store *s);
/* Is it the same region? */
bool cache_store_same(const struct cache_store *s, int fd);
/* Told at the beginning of each turn that uses it: monotonic time, the same clock in all gates. */
void cache_store_clock(struct cache_store *s, uint64_t now_ms);
/* The largest body that is taken. */
uint64_t cache_store_body_max(const struct cache_store *s);

/* ---- finding ---- */
/* Looks at one entry's description, a private copy; true: that one is meant. */
typedef bool cache_match(void *arg, const char *head, size_t n);
/* The newest entry of that hash that match() takes. False: none, or the shard is busy. */
bool cache_store_find(struct cache_store *s, uint64_t hash, cache_match *match, void *arg,
	struct cache_ref *ret);
/* Reading a body, from `at` on. */
struct cache_reader {
	struct cache_ref ref;
	uint64_t at;      /* bytes passed by */
	uint32_t block;   /* the one that `at` lies in; UINT32_MAX: to be found */
	uint32_t off;     /* in that block */
	uint64_t chain;
};
/* False: it is gone. */
bool cache_reader_open(struct cache_store *s, const struct cache_ref *ref, uint64_t at, struct cache_reader *ret);
/* The next bytes; 0 at the end, -ESTALE when the entry was dropped or is damaged. */
int64_t cache_reader_read(struct cache_store *s, struct cache_reader *rd, char *p, size_t n);

/* ---- storing ---- */
struct cache_writer {
	bool open;
	uint32_t shard, entry;
	uint64_t id, chain, purges;
	uint64_t len;
	uint32_t first, last, last_len; /* blocks of the body */
};
/* False: there is no room, or the shard is busy. */
bool cache_writer_open(struct cache_store *s, uint64_t hash, struct cache_writer *ret);
/* False: it was not taken, and the writer is closed. */
bool cache_writer_put(struct cache_store *s, struct cache_writer *w, const char *p, size_t n);
/* Now it can be found. `variant`: replaces one of the same hash and variant. `tags`: a filter of the
 * hashes of its tags. False: it was not stored (a purge came between, or there is no room). */
bool cache_writer_commit(struct cache_store *s, struct cache_writer *w, uint64_t hash, uint64_t variant,
	uint64_t tags, const char *head, size_t n);
void cache_writer_abort(struct cache_store *s, struct cache_writer *w);
/* Another description of the same answer (a 304 came). */
bool cache_store_update(struct cache_store *s, const struct cache_ref *ref, uint64_t variant, uint64_t tags,
	const char *head, size_t n);

/* ---- forgetting ---- */
/* Every entry of that hash; how many. -EAGAIN: the shard is busy, ask again. Answers to what was asked
 * before are not stored any more. */
int cache_store_drop(struct cache_store *s, uint64_t hash);
/* Forget this one. */
void cache_store_drop_ref(struct cache_store *s, const struct cache_ref *ref);
/* Every entry that match() takes, some at a time: *at begins at 0. Returns how many of this step;
 * -EAGAIN as above; *ret_done: that was the last step. `tags`: only those whose filter has these bits. */
int cache_store_sweep(struct cache_store *s, uint64_t *at, uint64_t tags, cache_match *match, void *arg,
	bool *ret_done);

/* For tests and status. */
struct cache_counts {
	uint64_t entries, blocks_used, blocks;
};
void cache_store_count(struct cache_store *s, struct cache_counts *ret);
/* A lock is taken and not given back, as by a gate that dies. Tests only. */
bool cache_store_hold(struct cache_store *s, uint64_t hash);

#endif
