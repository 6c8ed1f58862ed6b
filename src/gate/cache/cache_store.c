/*
 * cache_store.c: entries of the shared region: found, read, written, dropped; see cache_store.h. Called
 * by the gate's cache and by tests. Owns this process's mapping. Never waits.
 */
#include "cache_store.h"
#include "cache_shard.h"

#include "lib/sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHARD_BYTES_MIN = 8 << 20, BLOCKS_PER_ENTRY = 2, BODY_PART = 4, SWEEP_STEP = 64 };
#define REGION_MAGIC 0x3265686361437453ull

/* The region's first page. */
struct region {
	uint64_t magic, bytes;
};

static size_t pages(size_t n)
{
	return (n + CACHE_BLOCK - 1) / CACHE_BLOCK * CACHE_BLOCK;
}

/* How the shards are cut follows from the size alone. */
static void measure(struct cache_store *s)
{
	size_t per_block = CACHE_BLOCK + (sizeof(struct cache_entry) + sizeof(uint32_t)) / BLOCKS_PER_ENTRY;
	size_t n = (s->bytes - CACHE_BLOCK) / SHARD_BYTES_MIN;

	s->nshards = n < 1 ? 1 : n > CACHE_SHARDS_MAX ? CACHE_SHARDS_MAX : (uint32_t)n;
	s->shard_bytes = (s->bytes - CACHE_BLOCK) / s->nshards / CACHE_BLOCK * CACHE_BLOCK;
	n = (s->shard_bytes - 3 * CACHE_BLOCK) / per_block;
	s->nblocks = n > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)n;
	s->nentries = s->nbuckets = s->nblocks / BLOCKS_PER_ENTRY;
	s->entries_off = CACHE_BLOCK;
	s->buckets_off = s->entries_off + s->nentries * sizeof(struct cache_entry);
	s->blocks_off = pages(s->buckets_off + s->nbuckets * sizeof(uint32_t));
	while (s->blocks_off + (size_t)s->nblocks * CACHE_BLOCK > s->shard_bytes)
		s->nblocks--;
}

int cache_store_open(struct cache_store **ret, int fd)
{
	struct cache_store *s;
	struct region *head;
	struct stat st;
	int err;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < CACHE_BYTES_MIN)
		return -EBADMSG;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->bytes = (size_t)st.st_size;
	s->device = st.st_dev;
	s->inode = st.st_ino;
	measure(s);
	err = sys_random(&s->numbers, sizeof(s->numbers));
	s->map = err ? MAP_FAILED
		     : mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s->map == MAP_FAILED) {
		err = err ? err : -errno;
		free(s);
		return err;
	}
	(void)madvise(s->map, s->bytes, MADV_DONTFORK);
	head = (struct region *)(void *)s->map;
	/* One of another size lies there (a file that was made larger): its shards begin anew. */
	if (head->magic != REGION_MAGIC || head->bytes != s->bytes) {
		for (uint32_t i = 0; i < s->nshards; i++)
			memset(cache_shard_at(s, i), 0, sizeof(struct cache_shard));
		head->bytes = s->bytes;
		head->magic = REGION_MAGIC;
	}
	*ret = s;
	return 0;
}

void cache_store_free(struct cache_store *s)
{
	if (!s)
		return;
	munmap(s->map, s->bytes);
	free(s);
}

bool cache_store_same(const struct cache_store *s, int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode &&
	       (size_t)st.st_size == s->bytes;
}

void cache_store_clock(struct cache_store *s, uint64_t now_ms)
{
	s->now_ms = now_ms;
}

uint64_t cache_store_body_max(const struct cache_store *s)
{
	return (uint64_t)s->nblocks / BODY_PART * CACHE_PAYLOAD;
}

/* ---- finding ---- */

bool cache_store_find(struct cache_store *s, uint64_t hash, cache_match *match, void *arg,
	struct cache_ref *ret)
{
	uint32_t shard = cache_shard_of(s, hash), at;
	bool found = false;

	if (!cache_lock(s, shard))
		return false;
	at = *cache_bucket_of(s, shard, hash);
	for (unsigned i = 0; i < CACHE_CHAIN_MAX && !found; i++) {
		struct cache_entry *e = cache_entry_at(s, shard, at);
		size_t n;

		if (!e)
			break;
		if (e->state == CACHE_READY && e->hash == hash && cache_head_get(s, shard, e, &n) &&
			match(arg, s->head, n)) {
			found = true;
			e->used = 1;
			e->lease_ms = s->now_ms + CACHE_LEASE_MS;
			*ret = (struct cache_ref){shard, at, e->id, e->body_len};
		}
		at = e->next;
	}
	cache_unlock(s, shard);
	return found;
}

/* ---- reading ---- */

/* The entry, when it is still that one. Without the lock: what it says is checked block by block. */
static struct cache_entry *entry_of(const struct cache_store *s, const struct cache_ref *ref)
{
	struct cache_entry *e = ref->shard < s->nshards ? cache_entry_at(s, ref->shard, ref->entry) : NULL;

	if (!e || __atomic_load_n(&e->id, __ATOMIC_ACQUIRE) != ref->id || e->state != CACHE_READY)
		return NULL;
	return e;
}

bool cache_reader_open(
	struct cache_store *s, const struct cache_ref *ref, uint64_t at, struct cache_reader *ret)
{
	const struct cache_entry *e = entry_of(s, ref);
	uint64_t skip = at;

	if (!e)
		return false;
	*ret = (struct cache_reader){
		.ref = *ref, .at = at, .block = e->body_first, .chain = e->body_chain};
	while (skip >= CACHE_PAYLOAD) {
		if (!cache_block_get(s, ref->shard, ret->block, ret->chain) ||
			s->copy.len != CACHE_PAYLOAD)
			return at == ref->body_len;
		ret->block = s->copy.next;
		skip -= CACHE_PAYLOAD;
	}
	ret->off = (uint32_t)skip;
	return true;
}

int64_t cache_reader_read(struct cache_store *s, struct cache_reader *rd, char *p, size_t n)
{
	struct cache_entry *e = entry_of(s, &rd->ref);
	size_t done = 0;

	if (e)
		e->lease_ms = s->now_ms + CACHE_LEASE_MS;
	while (done < n && rd->at < rd->ref.body_len) {
		size_t take;

		if (!cache_block_get(s, rd->ref.shard, rd->block, rd->chain) || s->copy.len <= rd->off)
			return -ESTALE;
		take = s->copy.len - rd->off;
		take = take < n - done ? take : n - done;
		memcpy(p + done, s->copy.bytes + rd->off, take);
		done += take;
		rd->at += take;
		rd->off += (uint32_t)take;
		if (rd->off == s->copy.len && rd->at < rd->ref.body_len) {
			rd->block = s->copy.next;
			rd->off = 0;
		}
	}
	return rd->at > rd->ref.body_len ? -ESTALE : (int64_t)done;
}

/* ---- storing ---- */

/* The writer's entry, with the lock held; NULL: it was taken from us. */
static struct cache_entry *entry_of_writer(const struct cache_store *s, const struct cache_writer *w)
{
	struct cache_entry *e = cache_entry_at(s, w->shard, w->entry);

	return e && e->id == w->id && e->state == CACHE_WRITING ? e : NULL;
}

bool cache_writer_open(struct cache_store *s, uint64_t hash, struct cache_writer *ret)
{
	uint32_t shard = cache_shard_of(s, hash), i;
	struct cache_entry *e;

	*ret = (struct cache_writer){.shard = shard, .first = CACHE_NIL, .last = CACHE_NIL};
	if (!cache_lock(s, shard))
		return false;
	i = cache_entry_new(s, shard);
	e = cache_entry_at(s, shard, i);
	if (e) {
		ret->open = true;
		ret->entry = i;
		ret->id = e->id = cache_number(s);
		ret->chain = e->body_chain = cache_number(s);
		ret->purges = cache_shard_at(s, shard)->purges;
		e->hash = hash;
	}
	cache_unlock(s, shard);
	return ret->open;
}

/* Fill blocks from p, with the lock held: it is a copy of a piece, and that is short. */
static bool fill(struct cache_store *s, struct cache_writer *w, struct cache_entry *e, const char *p, size_t n)
{
	while (n) {
		struct cache_block *b = cache_block_at(s, w->shard, w->last);
		uint32_t take, next;

		if (!b || w->last_len == CACHE_PAYLOAD) {
			next = cache_block_new(s, w->shard, w->chain);
			if (next == CACHE_NIL)
				return false;
			if (b)
				cache_block_seal(b, w->last_len, next);
			else
				w->first = e->body_first = next;
			w->last = next;
			w->last_len = 0;
			b = cache_block_at(s, w->shard, next);
		}
		take = CACHE_PAYLOAD - w->last_len;
		take = n < take ? (uint32_t)n : take;
		memcpy(b->bytes + w->last_len, p, take);
		w->last_len += take;
		w->len += take;
		p += take;
		n -= take;
	}
	return true;
}

bool cache_writer_put(struct cache_store *s, struct cache_writer *w, const char *p, size_t n)
{
	struct cache_entry *e;
	bool good = false;

	if (!w->open || !n)
		return w->open;
	if (w->len + n <= cache_store_body_max(s) && cache_lock(s, w->shard)) {
		e = entry_of_writer(s, w);
		if (e) {
			e->touched_ms = s->now_ms;
			good = fill(s, w, e, p, n);
		}
		cache_unlock(s, w->shard);
	}
	if (!good)
		cache_writer_abort(s, w);
	return good;
}

void cache_writer_abort(struct cache_store *s, struct cache_writer *w)
{
	if (!w->open)
		return;
	w->open = false;
	/* A busy shard keeps it until nobody has touched it for long. */
	if (!cache_lock(s, w->shard))
		return;
	if (entry_of_writer(s, w))
		cache_entry_drop(s, w->shard, w->entry);
	cache_unlock(s, w->shard);
}

/* The older ones of the same variant, and of the others what is too much. */
static void replace(struct cache_store *s, uint32_t shard, uint64_t hash, uint64_t variant)
{
	uint32_t at = *cache_bucket_of(s, shard, hash), same = 0;

	for (unsigned i = 0; i < CACHE_CHAIN_MAX; i++) {
		struct cache_entry *e = cache_entry_at(s, shard, at);
		uint32_t next;

		if (!e)
			return;
		next = e->next;
		if (e->hash == hash && (e->variant == variant || ++same >= CACHE_VARIANTS_MAX))
			cache_entry_drop(s, shard, at);
		at = next;
	}
}

static bool put_head(struct cache_store *s, uint32_t shard, struct cache_entry *e, const char *head, size_t n)
{
	uint64_t chain = cache_number(s);
	uint32_t first;

	if (n == 0 || n > CACHE_HEAD_MAX)
		return false;
	first = cache_chain_put(s, shard, chain, head, n);
	if (first == CACHE_NIL)
		return false;
	cache_chain_free(s, shard, e->head_first, e->head_chain);
	e->head_first = first;
	e->head_chain = chain;
	e->head_len = (uint32_t)n;
	return true;
}

bool cache_writer_commit(struct cache_store *s, struct cache_writer *w, uint64_t hash, uint64_t variant,
	uint64_t tags, const char *head, size_t n)
{
	uint32_t shard = w->shard, *bucket;
	struct cache_entry *e;
	bool good = false;

	if (!w->open)
		return false;
	if (!cache_lock(s, shard)) {
		w->open = false;
		return false;
	}
	e = entry_of_writer(s, w);
	if (e && w->purges == cache_shard_at(s, shard)->purges && put_head(s, shard, e, head, n)) {
		if (cache_block_at(s, shard, w->last))
			cache_block_seal(cache_block_at(s, shard, w->last), w->last_len, CACHE_NIL);
		replace(s, shard, hash, variant);
		bucket = cache_bucket_of(s, shard, hash);
		e->hash = hash;
		e->variant = variant;
		e->tags = tags;
		e->body_len = w->len;
		e->next = *bucket;
		e->state = CACHE_READY;
		*bucket = w->entry;
		good = true;
	} else if (e) {
		cache_entry_drop(s, shard, w->entry);
	}
	w->open = false;
	cache_unlock(s, shard);
	return good;
}

bool cache_store_update(struct cache_store *s, const struct cache_ref *ref, uint64_t variant, uint64_t tags,
	const char *head, size_t n)
{
	struct cache_entry *e;
	bool good = false;

	if (ref->shard >= s->nshards || !cache_lock(s, ref->shard))
		return false;
	e = entry_of(s, ref);
	if (e) {
		/* Making room must not take this very one. */
		e->lease_ms = s->now_ms + CACHE_LEASE_MS;
		good = put_head(s, ref->shard, e, head, n);
		if (good) {
			e->variant = variant;
			e->tags = tags;
			e->used = 1;
		}
	}
	cache_unlock(s, ref->shard);
	return good;
}

/* ---- forgetting ---- */

int cache_store_drop(struct cache_store *s, uint64_t hash)
{
	uint32_t shard = cache_shard_of(s, hash), at;
	int dropped = 0;

	if (!cache_lock(s, shard))
		return -EAGAIN;
	cache_shard_at(s, shard)->purges++;
	at = *cache_bucket_of(s, shard, hash);
	for (unsigned i = 0; i < s->nentries; i++) {
		struct cache_entry *e = cache_entry_at(s, shard, at);
		uint32_t next;

		if (!e)
			break;
		next = e->next;
		if (e->hash == hash) {
			cache_entry_drop(s, shard, at);
			dropped++;
		}
		at = next;
	}
	cache_unlock(s, shard);
	return dropped;
}

void cache_store_drop_ref(struct cache_store *s, const struct cache_ref *ref)
{
	if (ref->shard >= s->nshards || !cache_lock(s, ref->shard))
		return;
	if (entry_of(s, ref))
		cache_entry_drop(s, ref->shard, ref->entry);
	cache_unlock(s, ref->shard);
}

int cache_store_sweep(struct cache_store *s, uint64_t *at, uint64_t tags, cache_match *match, void *arg,
	bool *ret_done)
{
	uint32_t shard = (uint32_t)(*at >> 32), i = (uint32_t)*at;
	uint32_t end;
	int dropped = 0;
	size_t n;

	*ret_done = shard >= s->nshards;
	if (*ret_done)
		return 0;
	if (!cache_lock(s, shard))
		return -EAGAIN;
	/* What is being fetched now may carry the tag too. */
	if (i == 0)
		cache_shard_at(s, shard)->purges++;
	end = cache_shard_at(s, shard)->fresh_entry;
	end = end < s->nentries ? end : s->nentries;
	for (unsigned k = 0; i < end && k < SWEEP_STEP; i++, k++) {
		struct cache_entry *e = cache_entry_at(s, shard, i);

		if (e->state == CACHE_READY && (e->tags & tags) == tags &&
			cache_head_get(s, shard, e, &n) && match(arg, s->head, n)) {
			cache_entry_drop(s, shard, i);
			dropped++;
		}
	}
	*at = i < end ? (uint64_t)shard << 32 | i : (uint64_t)(shard + 1) << 32;
	cache_unlock(s, shard);
	*ret_done = *at >> 32 >= s->nshards;
	return dropped;
}

void cache_store_count(struct cache_store *s, struct cache_counts *ret)
{
	*ret = (struct cache_counts){.blocks = (uint64_t)s->nblocks * s->nshards};
	for (uint32_t i = 0; i < s->nshards; i++) {
		ret->entries += cache_shard_at(s, i)->used_entries;
		ret->blocks_used += cache_shard_at(s, i)->used_blocks;
	}
}

bool cache_store_hold(struct cache_store *s, uint64_t hash)
{
	bool got = cache_lock(s, cache_shard_of(s, hash));

	s->held = 0;
	return got;
}
