/*
 * cache.c: the cache's phase: is there a stored answer, may it be given, who asks for a new one (RFC 9111
 * sections 2, 4, 4.2, 5.2.1). Called by phases.c, and by control.c with the region. Owns the gate's part
 * of the cache. Never waits for another gate.
 */
#include "cache_priv.h"

#include "lib/sys.h"

#include <stdlib.h>
#include <string.h>

int64_t cache_wall_ms(struct gate *g)
{
	return (int64_t)(loop_wall_us(g->loop) / 1000);
}

/* The store, told what time it is. */
struct cache_store *cache_store_of(const struct cache_req *cr)
{
	cache_store_clock(cr->region->store, loop_now_ms(cr->c->gate->loop));
	return cr->region->store;
}

/* ---- the gate's part ---- */

void cache_region_unref(struct cache_region *region)
{
	if (!region || --region->refs)
		return;
	cache_store_free(region->store);
	free(region);
}

static struct cache *cache_of_gate(struct gate *g)
{
	struct cache *c = g->cache;

	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->gate = g;
	c->timer.op.kind = OP_CACHE_TIMER;
	c->turn.kind = OP_CACHE_TURN;
	g->cache = c;
	return c;
}

void cache_attach(struct gate *g, int fd)
{
	struct cache *c = fd >= 0 || g->cache ? cache_of_gate(g) : NULL;
	struct cache_region *region;

	if (!c || (fd >= 0 && c->region && cache_store_same(c->region->store, fd)))
		return;
	cache_region_unref(c->region);
	c->region = NULL;
	region = fd >= 0 ? calloc(1, sizeof(*region)) : NULL;
	if (!region)
		return;
	/* Without it everything is asked anew: slower, and right. */
	if (cache_store_open(&region->store, fd) < 0) {
		free(region);
		return;
	}
	region->refs = 1;
	c->region = region;
}

void cache_free(struct gate *g)
{
	struct cache *c = g->cache;

	if (!c)
		return;
	cache_refresh_end_all(c);
	cache_purge_end_all(c);
	loop_timer_stop(g->loop, &c->timer);
	loop_defer_cancel(g->loop, &c->turn);
	cache_region_unref(c->region);
	free(c);
	g->cache = NULL;
}

void cache_turn_soon(struct cache *c)
{
	loop_defer(c->gate->loop, &c->turn);
}

void cache_on_turn(struct loop *l, struct op *op, int res)
{
	struct cache *c = container_of(op, struct cache, turn);

	(void)l;
	(void)res;
	cache_swap_all(c);
	cache_wake_all(c);
	cache_refresh_reap(c);
	cache_purge_step(c);
}

/* ---- a request's part ---- */

static void keep_field(const struct req *r, const char *name, struct field *to)
{
	const struct field *f = req_field(r, name);

	if (f)
		*to = *f;
}

static void read_directives(struct cache_req *cr)
{
	struct req *r = cr->r;
	bool pragma = false;

	cache_cc_init(&cr->cc);
	for (unsigned i = 0; i < r->nfields; i++) {
		const struct field *f = &r->fields[i];

		if (f->name_len == 13 && !memcmp(f->name, "cache-control", 13))
			cache_cc_parse(&cr->cc, f->value, f->value_len);
		else if (f->name_len == 6 && !memcmp(f->name, "pragma", 6))
			pragma |= f->value_len == 8 && !memcmp(f->value, "no-cache", 8);
	}
	if (!cr->cc.said && pragma)
		cr->cc.no_cache = true;
	/* Whose answer it is may depend on who a check before this one found. */
	cr->asked = (struct cache_asked){.authorized = req_field(r, "authorization") || *r->user ||
						       r->route->users.n || r->route->client_ca ||
						       r->route->auth_upstream != SNAP_NONE,
		.has_cookie = req_field(r, "cookie") != NULL,
		.no_store = cr->cc.no_store,
		.asked_ms = cache_wall_ms(r->gate)};
	keep_field(r, "if-none-match", &cr->none_match);
	keep_field(r, "if-modified-since", &cr->modified_since);
	keep_field(r, "range", &cr->range);
	keep_field(r, "if-range", &cr->if_range);
}

/* Which route answers: two that a field or the method tells apart keep their answers apart. The methods
 * but GET and HEAD say nothing here. */
static uint64_t route_hash(const struct req *r)
{
	const struct snap_str parts[] = {
		r->route->path, r->route->match_header, r->route->match_value};
	uint64_t v = r->route->match;

	for (unsigned i = 0; i < 3; i++) {
		size_t n;
		const char *s = snap_str(r->snap, parts[i], &n);

		v = (v ^ sys_checksum(s, n)) * 0x9e3779b97f4a7c15ull;
	}
	return v;
}

/* By what the client asked for, also when it was rewritten since. */
static bool make_key(struct cache_req *cr)
{
	struct req *r = cr->r;
	const char *target = r->target;
	size_t n = r->target_len, cap;
	struct buf b;
	char *mem;

	if (n == 0 || *target != '/') {
		/* The absolute form: what is behind the authority. */
		const char *at = n > 8 ? memchr(target + 8, '/', n - 8) : NULL;

		n = at ? n - (size_t)(at - target) : 1;
		target = at ? at : "/";
	}
	cap = n + r->host_len + 48;
	mem = arena_alloc(&r->arena, cap);
	if (!mem)
		return false;
	buf_fixed(&b, mem, cap);
	if (cache_key_put(&b, r->site->number, r->tls, r->host, r->host_len, r->host_port, target, n) < 0)
		return false;
	cr->key = mem;
	cr->key_len = (uint32_t)b.len;
	cr->hash = cache_key_hash(mem, b.len);
	cr->route = route_hash(r);
	return true;
}

struct cache_req *cache_req_new(struct req *r)
{
	struct cache *c = r->gate->cache;
	struct cache_req *cr = arena_zalloc(&r->arena, sizeof(*cr));

	if (!cr)
		return NULL;
	cr->r = r;
	cr->c = c;
	cr->handler = r->handler;
	if (!make_key(cr))
		return NULL;
	read_directives(cr);
	cr->region = c->region;
	cr->region->refs++;
	r->filter_state[FILTER_CACHE] = cr;
	r->filters |= 1u << FILTER_CACHE;
	return cr;
}

/* ---- looking ---- */

static bool is_meant(void *arg, const char *head, size_t n)
{
	struct cache_req *cr = arg;
	struct cache *c = cr->c;
	const struct req *r = cr->r;

	return cache_head_is(head, n, cr->key, cr->key_len, cr->route) &&
	       cache_head_unpack(head, n, &c->found) &&
	       cache_vary_matches(&c->found, r->fields, r->nfields);
}

/* What was found, with its strings in the request's arena. */
static bool keep_found(struct cache_req *cr)
{
	struct arena *a = &cr->r->arena;
	struct cache_head *h = arena_alloc(a, sizeof(*h));
	struct buf b;
	char *mem;

	if (!h)
		return false;
	buf_fixed(&b, cr->c->bytes, sizeof(cr->c->bytes));
	cache_head_pack(&cr->c->found, &b);
	mem = b.error ? NULL : arena_strndup(a, b.p, b.len);
	if (!mem || !cache_head_unpack(mem, b.len, h))
		return false;
	cr->head = h;
	return true;
}

static bool find(struct cache_req *cr)
{
	cr->has_stored = cache_store_find(cache_store_of(cr), cr->hash, is_meant, cr, &cr->ref) &&
			 keep_found(cr);
	return cr->has_stored;
}

/* ---- deciding ---- */

static enum phase_end serve(struct cache_req *cr)
{
	cr->r->handler = HANDLER_CACHE;
	return PHASE_NEXT;
}

/* Would this one's answer be of use to others? */
static bool may_lead(const struct cache_req *cr)
{
	const struct req *r = cr->r;

	return r->method == METHOD_GET && !cr->asked.authorized && !cr->asked.no_store &&
	       !cr->alone && !req_field(r, "range") && !cache_passes(cr->c, cr->hash);
}

static enum phase_end ask(struct cache_req *cr)
{
	struct cache_pending *p;

	if (cr->cc.only_if_cached) {
		req_fail(cr->r, CLOSE_CACHE_NONE, 0);
		return PHASE_ANSWERED;
	}
	if (may_lead(cr)) {
		p = cache_pending_of(cr->c, cr->hash);
		if (p && cache_wait(cr, p))
			return PHASE_WAIT;
		if (!p)
			cache_lead(cr);
	}
	if (cr->has_stored && cr->r->method == METHOD_GET)
		cr->checks = cache_make_conditional(cr);
	cr->asked.asked_ms = cache_wall_ms(cr->r->gate);
	return PHASE_NEXT;
}

static enum phase_end look(struct cache_req *cr)
{
	int64_t age;

	cr->why = "uri-miss";
	if (!find(cr))
		return ask(cr);
	age = cache_head_age_ms(cr->head, cache_wall_ms(cr->r->gate));
	switch (cache_use_of(&cr->head->rules, age, &cr->cc)) {
	case CACHE_USE_FRESH:
		return serve(cr);
	case CACHE_USE_WHILE:
		cache_refresh(cr);
		return serve(cr);
	case CACHE_USE_CHECK:
		break;
	}
	cr->why = cr->cc.no_cache || age < cr->head->rules.lifetime_s * 1000 ? "request" : "stale";
	return ask(cr);
}

static bool is_safe(const struct req *r)
{
	return r->method == METHOD_GET || r->method == METHOD_HEAD || r->method == METHOD_OPTIONS ||
	       r->method == METHOD_TRACE;
}

static enum phase_end begin(struct req *r)
{
	struct cache_req *cr;

	if (!r->gate->cache || !r->gate->cache->region || r->handler == HANDLER_STATIC || r->upgrade)
		return PHASE_NEXT;
	if (is_safe(r) && (r->content_length != 0 ||
				  (r->method != METHOD_GET && r->method != METHOD_HEAD)))
		return PHASE_NEXT;
	cr = cache_req_new(r);
	if (!cr)
		return PHASE_NEXT;
	if (!is_safe(r)) {
		cr->invalidates = true;
		return PHASE_NEXT;
	}
	return look(cr);
}

enum phase_end phase_cache(struct req *r)
{
	struct cache_req *cr;

	cr = cache_of(r);
	return cr ? look(cr) : begin(r);
}

void cache_cancel(struct req *r)
{
	if (cache_of(r))
		cache_unwait(cache_of(r));
}
