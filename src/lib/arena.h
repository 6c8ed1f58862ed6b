/*
 * arena.h: memory that is given back all at once.
 *
 * An arena hands out pieces of blocks taken from a bounded pool; arena_reset() gives every block but
 * the first back. A connection has one while it is active and a request has one; nothing is freed
 * singly. When the pool's bound is reached the arena turns to `overflow` and every further call returns
 * NULL: callers may build a whole answer and check arena_overflowed() once.
 */
#ifndef STEAD_LIB_ARENA_H
#define STEAD_LIB_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena_block;

/* A pool of equal blocks shared by the arenas of one process. `block_bytes` includes the block's head;
 * `blocks_max` bounds what the pool ever holds, lent or free; `blocks_keep` free ones are kept. */
struct arena_pool {
	size_t block_bytes;
	size_t blocks_max;
	size_t blocks_keep;
	size_t blocks_lent;
	size_t blocks_free;
	struct arena_block *free;
};

struct arena {
	struct arena_pool *pool;
	struct arena_block *blocks; /* newest first */
	char *at, *end;
	bool overflow;
};

void arena_pool_init(struct arena_pool *p, size_t block_bytes, size_t blocks_max, size_t blocks_keep);
/* Every block must have come home: aborts when blocks_lent != 0. */
void arena_pool_done(struct arena_pool *p);

/* Takes no block until the first allocation, so an idle owner costs nothing. */
void arena_init(struct arena *a, struct arena_pool *p);
/* `n` bytes aligned to 16, uninitialised. NULL (and overflow set) when the pool is exhausted. A request
 * larger than a block takes a block of its own, charged to the pool by its size. */
static inline void *arena_alloc(struct arena *a, size_t n);
/* The same, zeroed. */
void *arena_zalloc(struct arena *a, size_t n);
/* A NUL-terminated copy of n bytes. */
char *arena_strndup(struct arena *a, const char *s, size_t n);
/* printf into the arena; NULL on overflow. */
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline bool arena_overflowed(const struct arena *a)
{
	return a->overflow;
}
/* Give back every block; the arena is as after arena_init(). */
void arena_reset(struct arena *a);

/* arena_alloc() where the newest block has no room. */
void *arena_alloc_more(struct arena *a, size_t n);

/* A request allocates a dozen times. Room is a multiple of ARENA_ALIGN, so what fits also does rounded up. */
enum { ARENA_ALIGN = 16 };
static inline void *arena_alloc(struct arena *a, size_t n)
{
	char *p = a->at;

	if (__builtin_expect(!n || a->overflow || n > (size_t)(a->end - p), 0))
		return arena_alloc_more(a, n);
	a->at = p + (n + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
	return p;
}

#endif
