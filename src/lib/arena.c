/*
 * arena.c: memory that is given back all at once. Called by whoever serves connections and
 * requests; owns the blocks of its pool. Never frees a single piece, and never goes beyond the
 * pool's bound.
 */
#include "lib/arena.h"
#include "lib/must.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The head of each block; the bytes follow, so its size keeps their alignment. */
struct arena_block {
	struct arena_block *next;
	size_t charge; /* in blocks of the pool; more than 1: a block of its own size */
};
_Static_assert(sizeof(struct arena_block) % ARENA_ALIGN == 0, "bytes behind the head are aligned");

void arena_pool_init(
	struct arena_pool *p, size_t block_bytes, size_t blocks_max, size_t blocks_keep)
{
	must(block_bytes >= 4 * sizeof(struct arena_block));
	*p = (struct arena_pool){
		.block_bytes = block_bytes / ARENA_ALIGN * ARENA_ALIGN,
		.blocks_max = blocks_max,
		.blocks_keep = blocks_keep,
	};
}

void arena_pool_done(struct arena_pool *p)
{
	must(p->blocks_lent == 0);
	while (p->free) {
		struct arena_block *b = p->free;

		p->free = b->next;
		p->blocks_free--;
		free(b);
	}
	must(p->blocks_free == 0);
}

/* bytes: of one that is larger than a block; as many blocks are charged as it begins. */
static struct arena_block *pool_get(struct arena_pool *p, size_t charge, size_t bytes)
{
	struct arena_block *b;

	if (charge > p->blocks_max || p->blocks_lent > p->blocks_max - charge)
		return NULL;
	if (charge == 1 && p->free) {
		b = p->free;
		p->free = b->next;
		p->blocks_free--;
	} else {
		/* Free blocks count against the bound too: they give way to what is needed now. */
		while (p->free && p->blocks_lent + p->blocks_free + charge > p->blocks_max) {
			b = p->free;
			p->free = b->next;
			p->blocks_free--;
			free(b);
		}
		b = malloc(charge == 1 ? p->block_bytes : bytes);
		if (!b)
			return NULL;
	}
	b->charge = charge;
	p->blocks_lent += charge;
	return b;
}

static void pool_put(struct arena_pool *p, struct arena_block *b)
{
	must(p->blocks_lent >= b->charge);
	p->blocks_lent -= b->charge;
	if (b->charge == 1 && p->blocks_free < p->blocks_keep) {
		b->next = p->free;
		p->free = b;
		p->blocks_free++;
		return;
	}
	free(b);
}

void arena_init(struct arena *a, struct arena_pool *p)
{
	*a = (struct arena){.pool = p};
}

/* A block of its own goes behind the newest, so that the room left in that one is still used. */
static void *alloc_large(struct arena *a, size_t n)
{
	size_t bytes = n + sizeof(struct arena_block);
	size_t charge = (bytes + a->pool->block_bytes - 1) / a->pool->block_bytes;
	struct arena_block *b = pool_get(a->pool, charge, bytes);

	if (!b) {
		a->overflow = true;
		return NULL;
	}
	if (a->blocks) {
		b->next = a->blocks->next;
		a->blocks->next = b;
	} else {
		b->next = NULL;
		a->blocks = b;
	}
	return b + 1;
}

void *arena_alloc_more(struct arena *a, size_t n)
{
	struct arena_block *b;
	char *p;

	if (a->overflow)
		return NULL;
	if (n > SIZE_MAX / 2) {
		a->overflow = true;
		return NULL;
	}
	n = n ? (n + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN : ARENA_ALIGN;
	if (n <= (size_t)(a->end - a->at)) {
		p = a->at;
		a->at += n;
		return p;
	}
	if (n > a->pool->block_bytes - sizeof(struct arena_block))
		return alloc_large(a, n);
	b = pool_get(a->pool, 1, a->pool->block_bytes);
	if (!b) {
		a->overflow = true;
		return NULL;
	}
	b->next = a->blocks;
	a->blocks = b;
	p = (char *)(b + 1);
	a->at = p + n;
	a->end = (char *)b + a->pool->block_bytes;
	return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
	void *p = arena_alloc(a, n);

	if (p)
		memset(p, 0, n);
	return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *p;

	if (n >= SIZE_MAX / 2) {
		a->overflow = true;
		return NULL;
	}
	p = arena_alloc(a, n + 1);
	if (!p)
		return NULL;
	if (n)
		memcpy(p, s, n);
	p[n] = 0;
	return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		a->overflow = true;
		return NULL;
	}
	p = arena_alloc(a, (size_t)n + 1);
	if (!p)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}

void arena_reset(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *b = a->blocks;

		a->blocks = b->next;
		pool_put(a->pool, b);
	}
	a->at = a->end = NULL;
	a->overflow = false;
}
