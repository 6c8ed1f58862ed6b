/*
 * cache_shard.h: how a shard of the cache's region looks, its lock, its blocks. Private to cache_store.c
 * and cache_shard.c.
 */
#ifndef STEAD_GATE_CACHE_SHARD_H
#define STEAD_GATE_CACHE_SHARD_H

#include "cache_store.h"

enum { CACHE_NIL = UINT32_MAX, CACHE_CHAIN_MAX = 256, CACHE_STEPS_MAX = 512, CACHE_WRITER_DEAD_MS = 60000 };
enum cache_state { CACHE_FREE = 0, CACHE_WRITING, CACHE_READY };

struct cache_block {
	uint64_t chain, sum; /* sum: of the payload and of the two words behind it */
	uint32_t len, next;
	char bytes[CACHE_PAYLOAD];
};
_Static_assert(sizeof(struct cache_block) == CACHE_BLOCK, "a block is a page");

struct cache_entry {
	uint64_t id, hash, variant, tags;
	uint64_t head_chain, body_chain, body_len;
	uint64_t touched_ms, lease_ms;
	uint32_t state, used;
	uint32_t next;               /* in its bucket, or free */
	uint32_t head_first, head_len, body_first;
	uint64_t pad;
};

/* The shard's own page; entries, buckets and blocks follow it. */
struct cache_shard {
	uint64_t lock;   /* 0, or a number that is used once */
	uint64_t ready;  /* CACHE_SHARD_MAGIC: laid out */
	uint64_t purges;
	uint32_t free_block, fresh_block, used_blocks;
	uint32_t free_entry, fresh_entry, used_entries;
	uint32_t hand, pad;
};
#define CACHE_SHARD_MAGIC 0x3165686361437453ull

struct cache_store {
	char *map;
	size_t bytes, shard_bytes;
	uint64_t device, inode;
	uint32_t nshards, nentries, nbuckets, nblocks; /* of each shard; never read from the region */
	size_t entries_off, buckets_off, blocks_off;
	uint64_t now_ms, numbers, held;
	struct {
		uint64_t value, since_ms;
	} seen[CACHE_SHARDS_MAX]; /* locks that were found taken */
	char head[CACHE_HEAD_MAX]; /* a private copy, to be looked at */
	struct cache_block copy;
};

struct cache_shard *cache_shard_at(const struct cache_store *s, uint32_t shard);
struct cache_entry *cache_entry_at(const struct cache_store *s, uint32_t shard, uint32_t i);
struct cache_block *cache_block_at(const struct cache_store *s, uint32_t shard, uint32_t i);
uint32_t *cache_bucket_of(const struct cache_store *s, uint32_t shard, uint64_t hash);
uint32_t cache_shard_of(const struct cache_store *s, uint64_t hash);
/* A number that nobody had before. */
uint64_t cache_number(struct cache_store *s);

bool cache_lock(struct cache_store *s, uint32_t shard);
void cache_unlock(struct cache_store *s, uint32_t shard);

/* All of these with the lock held. Indexes are checked: CACHE_NIL when there is none. */
uint32_t cache_block_new(struct cache_store *s, uint32_t shard, uint64_t chain);
void cache_chain_free(struct cache_store *s, uint32_t shard, uint32_t first, uint64_t chain);
uint32_t cache_entry_new(struct cache_store *s, uint32_t shard);
/* Out of its bucket, its blocks and itself given back. */
void cache_entry_drop(struct cache_store *s, uint32_t shard, uint32_t i);
/* A chain of blocks that holds n bytes; CACHE_NIL. */
uint32_t cache_chain_put(struct cache_store *s, uint32_t shard, uint64_t chain, const char *p, size_t n);

/* Without it. */
void cache_block_seal(struct cache_block *b, uint32_t len, uint32_t next);
/* A private copy in s->copy, checked; false: it is not that chain's or is damaged. */
bool cache_block_get(struct cache_store *s, uint32_t shard, uint32_t i, uint64_t chain);
/* The description of an entry in s->head. */
bool cache_head_get(struct cache_store *s, uint32_t shard, const struct cache_entry *e, size_t *ret_n);

#endif
