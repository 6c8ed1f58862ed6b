/*
 * cache_wait.c: requests that wait for another's answer to the same key, and keys for whose answers
 * nobody need wait. Called by the cache's phase and filter, and by the loop. Owns the list of keys
 * under way. Who waits does so at most CACHE_WAIT_MS, and then asks itself.
 */
#include "cache_priv.h"

#include <stdlib.h>

static struct cache_pending **bucket(struct cache *c, uint64_t hash)
{
	return &c->pending[hash % CACHE_PENDING_BUCKETS];
}

struct cache_pending *cache_pending_of(struct cache *c, uint64_t hash)
{
	struct cache_pending *p = *bucket(c, hash);

	while (p && p->hash != hash)
		p = p->next;
	return p;
}

void cache_lead(struct cache_req *cr)
{
	struct cache *c = cr->c;
	struct cache_pending *p;

	if (cr->pending || c->npending >= CACHE_PENDING_MAX)
		return;
	p = calloc(1, sizeof(*p));
	if (!p)
		return;
	p->hash = cr->hash;
	p->leader = cr;
	p->next = *bucket(c, cr->hash);
	*bucket(c, cr->hash) = p;
	cr->pending = p;
	c->npending++;
}

/* ---- who wait ---- */

static void arm(struct cache *c)
{
	if (c->oldest)
		loop_timer(c->gate->loop, &c->timer, c->oldest->wait_until_ms);
	else
		loop_timer_stop(c->gate->loop, &c->timer);
}

bool cache_wait(struct cache_req *cr, struct cache_pending *p)
{
	struct cache *c = cr->c;
	uint64_t now = loop_now_ms(c->gate->loop);

	if (c->nwaiting >= CACHE_WAITERS_MAX)
		return false;
	if (!cr->wait_until_ms)
		cr->wait_until_ms = now + CACHE_WAIT_MS;
	else if (cr->wait_until_ms <= now)
		return false;
	cr->waits = true;
	cr->collapsed = true;
	cr->pending = p;
	cr->next = NULL;
	*(p->last ? &p->last->next : &p->first) = cr;
	p->last = cr;
	/* Behind the last one that has to go on no later; nearly always the newest. */
	cr->older = c->newest;
	while (cr->older && cr->older->wait_until_ms > cr->wait_until_ms)
		cr->older = cr->older->older;
	cr->newer = cr->older ? cr->older->newer : c->oldest;
	*(cr->older ? &cr->older->newer : &c->oldest) = cr;
	*(cr->newer ? &cr->newer->older : &c->newest) = cr;
	c->nwaiting++;
	if (c->oldest == cr)
		arm(c);
	return true;
}

static void leave_times(struct cache_req *cr)
{
	struct cache *c = cr->c;
	bool first = c->oldest == cr;

	*(cr->older ? &cr->older->newer : &c->oldest) = cr->newer;
	*(cr->newer ? &cr->newer->older : &c->newest) = cr->older;
	cr->older = cr->newer = NULL;
	c->nwaiting--;
	if (first)
		arm(c);
}

static void unlink_from(struct cache_req **first, struct cache_req **last, struct cache_req *cr)
{
	struct cache_req **at = first, *before = NULL;

	while (*at && *at != cr) {
		before = *at;
		at = &(*at)->next;
	}
	if (!*at)
		return;
	*at = cr->next;
	if (last && *last == cr)
		*last = before;
	cr->next = NULL;
}

void cache_unwait(struct cache_req *cr)
{
	if (cr->waits) {
		cr->waits = false;
		unlink_from(&cr->pending->first, &cr->pending->last, cr);
		cr->pending = NULL;
		leave_times(cr);
	}
	if (cr->ready) {
		cr->ready = false;
		unlink_from(&cr->c->woken, NULL, cr);
	}
}

/* Not from inside the leader's own call: the turn does it. */
static void wake(struct cache_req *cr, bool alone)
{
	struct cache *c = cr->c;

	cache_unwait(cr);
	cr->alone |= alone;
	cr->ready = true;
	cr->next = c->woken;
	c->woken = cr;
	cache_turn_soon(c);
}

void cache_wake_all(struct cache *c)
{
	while (c->woken) {
		struct cache_req *cr = c->woken;

		c->woken = cr->next;
		cr->next = NULL;
		cr->ready = false;
		phases_resume(cr->r);
	}
}

void cache_on_timer(struct loop *l, struct op *op, int res)
{
	struct cache *c = container_of(container_of(op, struct timer, op), struct cache, timer);

	(void)res;
	while (c->oldest && c->oldest->wait_until_ms <= loop_now_ms(l))
		wake(c->oldest, true);
}

void cache_settle(struct cache_req *cr, bool stored)
{
	struct cache *c = cr->c;
	struct cache_pending *p = cr->pending, **at;

	if (!p || p->leader != cr)
		return;
	cr->pending = NULL;
	for (at = bucket(c, p->hash); *at && *at != p;)
		at = &(*at)->next;
	if (*at)
		*at = p->next;
	c->npending--;
	while (p->first)
		wake(p->first, !stored);
	free(p);
}

/* ---- keys whose answers are not stored ---- */

bool cache_passes(const struct cache *c, uint64_t hash)
{
	unsigned at = hash % CACHE_PASS_SLOTS;

	return c->pass[at].hash == hash && c->pass[at].until_ms > loop_now_ms(c->gate->loop);
}

void cache_pass(struct cache *c, uint64_t hash)
{
	unsigned at = hash % CACHE_PASS_SLOTS;

	c->pass[at].hash = hash;
	c->pass[at].until_ms = loop_now_ms(c->gate->loop) + CACHE_PASS_MS;
}
