/*
 * cache_shard.c: locks, blocks and entries of a shard; see cache_store.h for what can go wrong and what
 * then holds. Called by cache_store.c. Owns nothing: the region is everybody's. Never follows more links
 * than there can be, and never trusts an index that it read.
 */
#include "cache_shard.h"

#include "lib/sys.h"

#include <string.h>

enum { SPINS = 4000 };

struct cache_shard *cache_shard_at(const struct cache_store *s, uint32_t shard)
{
	return (struct cache_shard *)(void *)(s->map + CACHE_BLOCK + shard * s->shard_bytes);
}

struct cache_entry *cache_entry_at(const struct cache_store *s, uint32_t shard, uint32_t i)
{
	char *p = (char *)cache_shard_at(s, shard) + s->entries_off;

	return i < s->nentries ? (struct cache_entry *)(void *)p + i : NULL;
}

struct cache_block *cache_block_at(const struct cache_store *s, uint32_t shard, uint32_t i)
{
	char *p = (char *)cache_shard_at(s, shard) + s->blocks_off;

	return i < s->nblocks ? (struct cache_block *)(void *)p + i : NULL;
}

uint32_t *cache_bucket_of(const struct cache_store *s, uint32_t shard, uint64_t hash)
{
	char *p = (char *)cache_shard_at(s, shard) + s->buckets_off;

	return (uint32_t *)(void *)p + (hash >> 8) % s->nbuckets;
}

uint32_t cache_shard_of(const struct cache_store *s, uint64_t hash)
{
	return (uint32_t)(hash & 0xff) % s->nshards;
}

uint64_t cache_number(struct cache_store *s)
{
	do
		s->numbers++;
	while (s->numbers == 0);
	return s->numbers;
}

/* ---- the lock ---- */

static void lay_out(struct cache_store *s, uint32_t shard)
{
	struct cache_shard *h = cache_shard_at(s, shard);

	h->ready = 0;
	memset((char *)h + s->buckets_off, 0xff, s->nbuckets * sizeof(uint32_t));
	h->purges++;
	h->free_block = h->free_entry = CACHE_NIL;
	h->fresh_block = h->fresh_entry = h->used_blocks = h->used_entries = h->hand = 0;
	h->ready = CACHE_SHARD_MAGIC;
}

static bool take(uint64_t *lock, uint64_t was, uint64_t now)
{
	return __atomic_compare_exchange_n(
		lock, &was, now, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("" ::: "memory");
#endif
}

/* Held unchanged for long: its owner died with it, in the middle of something. */
static bool take_over(struct cache_store *s, uint32_t shard, uint64_t *lock)
{
	uint64_t was = __atomic_load_n(lock, __ATOMIC_RELAXED);

	if (!was || s->seen[shard].value != was) {
		s->seen[shard].value = was;
		s->seen[shard].since_ms = s->now_ms;
		return false;
	}
	if (s->now_ms - s->seen[shard].since_ms < CACHE_LOCK_DEAD_MS ||
		!take(lock, was, s->held))
		return false;
	lay_out(s, shard);
	return true;
}

bool cache_lock(struct cache_store *s, uint32_t shard)
{
	struct cache_shard *h = cache_shard_at(s, shard);
	bool got = false;

	s->held = cache_number(s);
	for (unsigned i = 0; i < SPINS && !got; i++) {
		got = take(&h->lock, 0, s->held);
		if (!got)
			pause_briefly();
	}
	if (!got && !take_over(s, shard, &h->lock))
		return false;
	s->seen[shard].value = 0;
	if (h->ready != CACHE_SHARD_MAGIC)
		lay_out(s, shard);
	return true;
}

void cache_unlock(struct cache_store *s, uint32_t shard)
{
	/* Only our own: one that was taken over meanwhile is another's. */
	(void)take(&cache_shard_at(s, shard)->lock, s->held, 0);
	s->held = 0;
}

/* ---- blocks ---- */

static uint64_t sum_of(const struct cache_block *b, uint32_t len, uint32_t next)
{
	return sys_checksum(b->bytes, len) ^ ((uint64_t)len << 32 | next) * 0x9e3779b97f4a7c15ull ^
	       b->chain;
}

void cache_block_seal(struct cache_block *b, uint32_t len, uint32_t next)
{
	b->len = len;
	b->next = next;
	b->sum = sum_of(b, len, next);
}

bool cache_block_get(struct cache_store *s, uint32_t shard, uint32_t i, uint64_t chain)
{
	const struct cache_block *b = cache_block_at(s, shard, i);
	uint32_t len;

	if (!b)
		return false;
	len = __atomic_load_n(&b->len, __ATOMIC_ACQUIRE);
	if (len > CACHE_PAYLOAD)
		return false;
	memcpy(&s->copy, b, offsetof(struct cache_block, bytes) + len);
	return s->copy.chain == chain && s->copy.len == len &&
	       s->copy.sum == sum_of(&s->copy, len, s->copy.next);
}

static void block_free(struct cache_store *s, uint32_t shard, uint32_t i)
{
	struct cache_shard *h = cache_shard_at(s, shard);
	struct cache_block *b = cache_block_at(s, shard, i);

	b->chain = 0;
	b->next = h->free_block;
	h->free_block = i;
	h->used_blocks -= h->used_blocks > 0;
}

void cache_chain_free(struct cache_store *s, uint32_t shard, uint32_t first, uint64_t chain)
{
	for (uint32_t n = 0; n < s->nblocks; n++) {
		struct cache_block *b = cache_block_at(s, shard, first);
		uint32_t next;

		if (!b || !chain || b->chain != chain)
			return;
		next = b->next;
		block_free(s, shard, first);
		first = next;
	}
}

/* ---- making room: the clock's hand ---- */

static bool is_idle(const struct cache_store *s, const struct cache_entry *e)
{
	if (e->state == CACHE_WRITING)
		return s->now_ms - e->touched_ms > CACHE_WRITER_DEAD_MS;
	if (e->state != CACHE_READY)
		return false;
	/* A lease far ahead is not one of this machine's life. */
	return e->lease_ms <= s->now_ms || e->lease_ms > s->now_ms + CACHE_LEASE_MS;
}

static bool evict(struct cache_store *s, uint32_t shard)
{
	struct cache_shard *h = cache_shard_at(s, shard);
	uint32_t fresh = h->fresh_entry < s->nentries ? h->fresh_entry : s->nentries;

	for (unsigned i = 0; fresh && i < CACHE_STEPS_MAX; i++) {
		uint32_t at = h->hand < fresh ? h->hand : 0;
		struct cache_entry *e = cache_entry_at(s, shard, at);

		h->hand = at + 1;
		if (!is_idle(s, e))
			continue;
		if (e->used && e->state == CACHE_READY) {
			e->used = 0;
			continue;
		}
		cache_entry_drop(s, shard, at);
		return true;
	}
	return false;
}

uint32_t cache_block_new(struct cache_store *s, uint32_t shard, uint64_t chain)
{
	struct cache_shard *h = cache_shard_at(s, shard);
	struct cache_block *b;
	uint32_t i;

	do {
		i = h->free_block;
		b = cache_block_at(s, shard, i);
		if (b && !b->chain) {
			h->free_block = b->next;
			break;
		}
		h->free_block = CACHE_NIL;
		i = h->fresh_block;
		b = cache_block_at(s, shard, i);
		if (b) {
			h->fresh_block++;
			break;
		}
	} while (evict(s, shard));
	if (!b)
		return CACHE_NIL;
	h->used_blocks++;
	b->chain = chain;
	b->sum = 0;
	b->len = 0;
	b->next = CACHE_NIL;
	return i;
}

uint32_t cache_chain_put(struct cache_store *s, uint32_t shard, uint64_t chain, const char *p, size_t n)
{
	uint32_t first = CACHE_NIL, last = CACHE_NIL, last_len = 0;

	do {
		uint32_t len = n < CACHE_PAYLOAD ? (uint32_t)n : CACHE_PAYLOAD;
		uint32_t i = cache_block_new(s, shard, chain);

		if (last != CACHE_NIL)
			cache_block_seal(cache_block_at(s, shard, last), last_len, i);
		if (i == CACHE_NIL) {
			cache_chain_free(s, shard, first, chain);
			return CACHE_NIL;
		}
		memcpy(cache_block_at(s, shard, i)->bytes, p, len);
		cache_block_seal(cache_block_at(s, shard, i), len, CACHE_NIL);
		first = first == CACHE_NIL ? i : first;
		last = i;
		last_len = len;
		p += len;
		n -= len;
	} while (n);
	return first;
}

/* ---- entries ---- */

uint32_t cache_entry_new(struct cache_store *s, uint32_t shard)
{
	struct cache_shard *h = cache_shard_at(s, shard);
	struct cache_entry *e;
	uint32_t i;

	for (;;) {
		i = h->free_entry;
		e = cache_entry_at(s, shard, i);
		if (e && e->state == CACHE_FREE) {
			h->free_entry = e->next;
			break;
		}
		h->free_entry = CACHE_NIL;
		i = h->fresh_entry;
		e = cache_entry_at(s, shard, i);
		if (e) {
			h->fresh_entry++;
			break;
		}
		if (!evict(s, shard))
			return CACHE_NIL;
	}
	h->used_entries++;
	memset(e, 0, sizeof(*e));
	e->next = e->head_first = e->body_first = CACHE_NIL;
	e->state = CACHE_WRITING;
	e->touched_ms = s->now_ms;
	return i;
}

static void leave_bucket(struct cache_store *s, uint32_t shard, const struct cache_entry *e, uint32_t i)
{
	uint32_t *at = cache_bucket_of(s, shard, e->hash);

	for (unsigned n = 0; n < s->nentries; n++) {
		struct cache_entry *other = cache_entry_at(s, shard, *at);

		if (!other)
			return;
		if (*at == i) {
			*at = e->next;
			return;
		}
		at = &other->next;
	}
}

void cache_entry_drop(struct cache_store *s, uint32_t shard, uint32_t i)
{
	struct cache_shard *h = cache_shard_at(s, shard);
	struct cache_entry *e = cache_entry_at(s, shard, i);

	if (e->state == CACHE_READY)
		leave_bucket(s, shard, e, i);
	cache_chain_free(s, shard, e->head_first, e->head_chain);
	cache_chain_free(s, shard, e->body_first, e->body_chain);
	memset(e, 0, sizeof(*e));
	e->next = h->free_entry;
	h->free_entry = i;
	h->used_entries -= h->used_entries > 0;
}

bool cache_head_get(struct cache_store *s, uint32_t shard, const struct cache_entry *e, size_t *ret_n)
{
	uint32_t at = e->head_first;
	size_t n = 0;

	if (e->head_len > CACHE_HEAD_MAX)
		return false;
	while (n < e->head_len) {
		if (!cache_block_get(s, shard, at, e->head_chain) || !s->copy.len ||
			s->copy.len > e->head_len - n)
			return false;
		memcpy(s->head + n, s->copy.bytes, s->copy.len);
		n += s->copy.len;
		at = s->copy.next;
	}
	*ret_n = n;
	return n > 0;
}
