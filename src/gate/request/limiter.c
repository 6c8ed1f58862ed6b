/*
 * limiter.c: see limiter.h. Called by rate.c and admit.c, and by control.c with the parent's page.
 * Owns the mapping, or a table of its own. What stands in the table other gates wrote: every number
 * is bounded when it is used, so that garbage in it costs limits their meaning and nothing else.
 */
#include "limiter.h"
#include "lib/must.h"
#include "lib/sys.h"
#include "up.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 8, SAY_EVERY_MS = 1000, QUEUE_MAX = 65536 };

struct limiter {
	struct limits_page *page; /* NULL: nothing was counted yet */
	bool shared, no_memory;
	uint64_t said_ms[LIMITER_EVENTS];
	uint64_t held_back[LIMITER_EVENTS];
};

_Static_assert(sizeof(struct limits_bucket) == 16, "four buckets fill a cache line");
_Static_assert(offsetof(struct limits_page, rate) % 64 == 0, "and begin at one");

int limiter_new(struct gate *g)
{
	g->limiter = calloc(1, sizeof(*g->limiter));
	return g->limiter ? 0 : -ENOMEM;
}

static void drop_page(struct limiter *k)
{
	if (k->shared)
		sys_shm_unmap(k->page, sizeof(*k->page));
	else
		free(k->page);
	k->page = NULL;
	k->shared = false;
}

void limiter_free(struct gate *g)
{
	if (!g->limiter)
		return;
	drop_page(g->limiter);
	free(g->limiter);
	g->limiter = NULL;
}

static void say_gate(struct limits_page *page, uint32_t gate)
{
	uint32_t gates = atomic_load_explicit(&page->gates, memory_order_relaxed);

	while (gates < gate + 1 && !atomic_compare_exchange_weak(&page->gates, &gates, gate + 1))
		;
}

int limiter_attach(struct gate *g, int fd)
{
	struct limiter *k = g->limiter;
	struct limits_page *page;
	void *map;
	int err = sys_shm_map_common(fd, sizeof(*page), &map);

	if (err)
		return err;
	page = map;
	if (page->start.magic != LIMITS_MAGIC) {
		sys_shm_unmap(page, sizeof(*page));
		return -EBADMSG;
	}
	drop_page(k);
	k->page = page;
	k->shared = true;
	/* What the last gate of this place held ended with it. */
	if (g->place < LIMITS_GATES && page->used[g->place]) {
		memset((void *)page->conns[g->place], 0, sizeof(page->conns[0]));
		page->used[g->place] = 0;
	}
	for (unsigned i = 0; g->place < LIMITS_GATES && i < LIMITS_APPS; i++)
		atomic_store_explicit(&page->queued[g->place][i], 0, memory_order_relaxed);
	say_gate(page, min_of(g->place, (uint32_t)LIMITS_GATES - 1));
	return 0;
}

static struct limits_page *page_of(struct gate *g)
{
	struct limiter *k = g->limiter;

	if (k->page || k->no_memory)
		return k->page;
	k->page = calloc(1, sizeof(*k->page));
	if (!k->page || sys_random(k->page->start.secret, sizeof(k->page->start.secret)) < 0) {
		free(k->page);
		k->page = NULL;
		k->no_memory = true;
	}
	return k->page;
}

/* ---- rates ---- */

size_t limiter_network(const uint8_t address[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(address, mapped, sizeof(mapped)) == 0 ? 16 : 8;
}

uint64_t limiter_hash(struct gate *g, uint32_t number, const void *p, size_t n)
{
	const struct limits_page *page = page_of(g);
	uint64_t both[2];

	if (!page)
		return 0;
	both[0] = up_siphash(page->start.secret, p, n);
	both[1] = number;
	return up_siphash(page->start.secret, both, sizeof(both));
}

/* The client's bucket, or the one that gives way; *ret_own says which. */
static struct limits_bucket *find(struct limits_page *page, uint64_t key, bool *ret_own)
{
	struct limits_bucket *set = page->rate[key % LIMITS_SETS], *fullest = set;
	uint64_t least = UINT64_MAX;

	*ret_own = true;
	for (unsigned i = 0; i < LIMITS_WAYS; i++) {
		uint64_t full = atomic_load_explicit(&set[i].full_ns, memory_order_relaxed);

		if (atomic_load_explicit(&set[i].key, memory_order_relaxed) == key)
			return &set[i];
		if (full < least) {
			least = full;
			fullest = &set[i];
		}
	}
	*ret_own = false;
	return fullest;
}

bool limiter_take(
	struct gate *g, uint64_t hash, uint32_t per_s_milli, uint32_t burst, uint64_t *ret_wait_ms)
{
	struct limits_page *page = page_of(g);
	uint64_t now = loop_now_us(g->loop) * 1000, key = hash | 1;
	uint64_t cost, deep;

	*ret_wait_ms = 0;
	if (!page || !per_s_milli)
		return true;
	cost = 1000000000000ull / per_s_milli;
	deep = cost * max_of(burst, 1u);
	for (unsigned i = 0; i < TRIES; i++) {
		bool own;
		struct limits_bucket *b = find(page, key, &own);
		uint64_t old = atomic_load_explicit(&b->full_ns, memory_order_relaxed), full;

		full = own && old > now ? min_of(old, now + deep) : now;
		if (full + cost > now + deep) {
			*ret_wait_ms = (full + cost - now - deep) / 1000000 + 1;
			return false;
		}
		if (!atomic_compare_exchange_strong_explicit(&b->full_ns, &old, full + cost,
			    memory_order_relaxed, memory_order_relaxed))
			continue;
		if (!own)
			atomic_store_explicit(&b->key, key, memory_order_relaxed);
		return true;
	}
	/* So many gates at once ask for one client that nobody can say: it may pass. */
	return true;
}

/* ---- connections ---- */

static uint32_t smallest(struct limits_page *page, uint64_t hash)
{
	uint32_t gates = atomic_load_explicit(&page->gates, memory_order_relaxed);
	uint32_t least = UINT32_MAX;

	gates = min_of(gates, (uint32_t)LIMITS_GATES);
	for (unsigned row = 0; row < LIMITS_ROWS; row++, hash >>= 15) {
		uint32_t sum = 0;

		for (uint32_t i = 0; i < gates; i++)
			sum += atomic_load_explicit(
				&page->conns[i][row][hash % LIMITS_COLUMNS], memory_order_relaxed);
		least = min_of(least, sum);
	}
	return least;
}

static void add(struct limits_page *page, uint32_t gate, uint64_t hash, bool more)
{
	for (unsigned row = 0; row < LIMITS_ROWS; row++, hash >>= 15) {
		_Atomic uint32_t *c = &page->conns[gate][row][hash % LIMITS_COLUMNS];
		uint32_t n = atomic_load_explicit(c, memory_order_relaxed);

		/* One writer: no more than a load and a store. Never below zero, also when the
		 * table was changed under us. */
		atomic_store_explicit(c, more ? n + 1 : n - (n > 0), memory_order_relaxed);
	}
}

uint32_t limiter_conn_add(struct gate *g, const uint8_t address[16])
{
	struct limits_page *page = page_of(g);
	uint32_t gate = min_of(g->place, (uint32_t)LIMITS_GATES - 1);
	uint64_t hash;

	if (!page)
		return 0;
	hash = limiter_hash(g, UINT32_MAX, address, limiter_network(address));
	if (!page->used[gate]) {
		page->used[gate] = 1;
		say_gate(page, gate);
	}
	add(page, gate, hash, true);
	return smallest(page, hash);
}

void limiter_conn_drop(struct gate *g, const uint8_t address[16])
{
	struct limits_page *page = page_of(g);

	if (page)
		add(page, min_of(g->place, (uint32_t)LIMITS_GATES - 1),
			limiter_hash(g, UINT32_MAX, address, limiter_network(address)), false);
}

/* ---- what is said of it ---- */

bool limiter_may_say(struct gate *g, enum limiter_event what, char ret_count[24])
{
	struct limiter *k = g->limiter;
	uint64_t now = loop_now_ms(g->loop);

	k->held_back[what]++;
	if (k->said_ms[what] && now < k->said_ms[what] + SAY_EVERY_MS)
		return false;
	(void)snprintf(ret_count, 24, "%llu", (unsigned long long)k->held_back[what]);
	k->said_ms[what] = now;
	k->held_back[what] = 0;
	return true;
}

/* ---- queues of apps ---- */

void limiter_queue_tell(struct gate *g, uint32_t app, uint32_t queued)
{
	struct limits_page *page = g->limiter->shared ? g->limiter->page : NULL;

	if (page && g->place < LIMITS_GATES)
		atomic_store_explicit(
			&page->queued[g->place][app % LIMITS_APPS], queued, memory_order_relaxed);
}

uint32_t limiter_queue_others(struct gate *g, uint32_t app)
{
	struct limits_page *page = g->limiter->shared ? g->limiter->page : NULL;
	uint32_t gates = page ? atomic_load_explicit(&page->gates, memory_order_relaxed) : 0;
	uint32_t sum = 0;

	/* A row for each gate that ever was: with one gate there is nothing to look at. */
	gates = min_of(gates, (uint32_t)LIMITS_GATES);
	for (unsigned i = 0; i < gates; i++) {
		uint32_t n = atomic_load_explicit(
			&page->queued[i][app % LIMITS_APPS], memory_order_relaxed);

		if (i != g->place)
			sum += min_of(n, (uint32_t)QUEUE_MAX);
	}
	return sum;
}
