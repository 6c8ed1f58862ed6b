/*
 * cache_answer.c: the cache's filter: what the handler answers is stored when it may be, a 304 to the
 * cache's own question freshens what is stored, and where a failure may be covered the stored answer
 * stands for it (RFC 9111 sections 3, 3.2, 4.3, 4.4; RFC 5861 section 4; RFC 9211). Called by resp.c and
 * req.c. Owns the writer of the answer that is being stored. Passes every byte on before it stores it.
 */
#include "cache_priv.h"

#include "edit.h"
#include "httpdate.h"

#include <string.h>

enum { VARY_BYTES = 8 * 1024, HEAD_FIELDS = CACHE_FIELDS_MAX + 2 };

/* ---- the stored one instead of the handler's ---- */

static void swap_to(struct cache_req *cr, enum cache_swap swap)
{
	cr->swap = (uint8_t)swap;
	cr->swapping = true;
	cr->next = cr->c->swaps;
	cr->c->swaps = cr;
	cache_turn_soon(cr->c);
}

static void leave_swaps(struct cache_req *cr)
{
	struct cache_req **at = &cr->c->swaps;

	if (!cr->swapping)
		return;
	cr->swapping = false;
	while (*at && *at != cr)
		at = &(*at)->next;
	if (*at)
		*at = cr->next;
	cr->next = NULL;
}

static void restore(struct req *r, const char *name, const struct field *f)
{
	edit_remove(r, name);
	if (f->name)
		(void)edit_set(r, name, f->value, f->value_len, false);
}

/* As the client asked. */
static void make_unconditional(struct cache_req *cr)
{
	cr->checks = cr->has_stored = false;
	restore(cr->r, "if-none-match", &cr->none_match);
	restore(cr->r, "if-modified-since", &cr->modified_since);
	restore(cr->r, "range", &cr->range);
	restore(cr->r, "if-range", &cr->if_range);
}

void cache_swap_all(struct cache *c)
{
	while (c->swaps) {
		struct cache_req *cr = c->swaps;
		uint8_t swap = cr->swap;

		leave_swaps(cr);
		cr->swap = CACHE_SWAP_NONE;
		if (swap == CACHE_SWAP_AGAIN) {
			make_unconditional(cr);
			cr->r->filters |= 1u << FILTER_CACHE;
		}
		req_swap(cr->r, swap == CACHE_SWAP_AGAIN ? cr->handler : HANDLER_CACHE);
	}
}

void cache_ask_again(struct cache_req *cr)
{
	swap_to(cr, CACHE_SWAP_AGAIN);
}

bool cache_make_conditional(struct cache_req *cr)
{
	const struct cache_rules *rules = &cr->head->rules;
	struct req *r = cr->r;

	if ((!rules->etag && !rules->last_modified) || req_field(r, "if-match") ||
		req_field(r, "if-unmodified-since"))
		return false;
	edit_remove(r, "if-none-match");
	edit_remove(r, "if-modified-since");
	edit_remove(r, "range");
	edit_remove(r, "if-range");
	return (!rules->etag || edit_set(r, "if-none-match", rules->etag->value,
					 rules->etag->value_len, false) == 0) &&
	       (!rules->last_modified || edit_set(r, "if-modified-since", rules->last_modified->value,
						 rules->last_modified->value_len, false) == 0);
}

/* ---- describing ---- */

/* The description in c->bytes; 0: it does not fit. `seen`: with Date and Age; `kept`: to be stored. */
static size_t describe(struct cache_req *cr, uint16_t status, const char *reason, size_t reason_len,
	const struct cache_rules *rules, const struct field *kept, unsigned n)
{
	struct cache_head *h = &cr->c->found;
	char names[VARY_BYTES] __attribute__((uninitialized));
	struct buf vary, b;

	if (n > CACHE_FIELDS_MAX)
		return 0;
	h->status = status;
	h->reason = reason;
	h->reason_len = (uint32_t)reason_len;
	h->key = cr->key;
	h->key_len = cr->key_len;
	h->route = cr->route;
	h->stored_ms = cache_wall_ms(cr->r->gate);
	h->rules = *rules;
	h->nfields = n;
	memcpy(h->fields, kept, n * sizeof(*kept));
	buf_fixed(&vary, names, sizeof(names));
	if (!cache_vary_fill(h, kept, n, cr->r->fields, cr->r->nfields, &vary))
		return 0;
	buf_fixed(&b, cr->c->bytes, sizeof(cr->c->bytes));
	cache_head_pack(h, &b);
	cr->variant = cache_variant(h);
	cr->tags = cache_tags_of(kept, n);
	return b.error ? 0 : b.len;
}

/* ---- a 304 ---- */

static bool tags_differ(const struct cache_head *stored, const struct resp_head *h)
{
	const struct field *tag = filter_field(h, "etag");

	return tag && stored->rules.etag &&
	       !cache_tag_listed(tag->value, tag->value_len, stored->rules.etag->value,
		       stored->rules.etag->value_len);
}

/* The stored answer with what the 304 says, in the store and for this request. */
static bool freshen(struct cache_req *cr, const struct resp_head *h)
{
	struct field fields[HEAD_FIELDS] __attribute__((uninitialized));
	unsigned n = cache_fields_update(cr->head, h->fields, h->nfields, fields), all = n;
	struct cache_head *now = arena_alloc(&cr->r->arena, sizeof(*now));
	const struct field *date = filter_field(h, "date"), *age = filter_field(h, "age");
	struct cache_rules rules;
	char *mem;
	size_t len;

	if (date)
		fields[all++] = *date;
	if (age)
		fields[all++] = *age;
	cache_rules_of(&rules, cr->head->status, fields, all, &cr->asked, cache_wall_ms(cr->r->gate));
	len = describe(cr, cr->head->status, cr->head->reason, cr->head->reason_len, &rules, fields, n);
	mem = len ? arena_strndup(&cr->r->arena, cr->c->bytes, len) : NULL;
	if (!now || !mem || !cache_head_unpack(mem, len, now))
		return false;
	if (rules.store)
		(void)cache_store_update(cache_store_of(cr), &cr->ref, cr->variant, cr->tags, mem, len);
	else
		cache_store_drop_ref(cache_store_of(cr), &cr->ref);
	cr->head = now;
	return true;
}

static bool covers(const struct cache_req *cr, unsigned status)
{
	int64_t age;

	if (!cr->has_stored || (status != 500 && (status < 502 || status > 504)))
		return false;
	age = cache_head_age_ms(cr->head, cache_wall_ms(cr->r->gate));
	return cache_use_on_error(&cr->head->rules, age, &cr->cc);
}

/* Is it the answer of who was asked? */
static bool is_asked(const struct cache_req *cr)
{
	return cr && cr->r->started && cr->r->handler == cr->handler;
}

bool cache_takes_head(struct req *r, const struct resp_head *h)
{
	struct cache_req *cr = cache_of(r);

	if (!is_asked(cr))
		return false;
	if (cr->swap)
		return true;
	if (cr->checks && h->status == 304) {
		cr->origin_status = 304;
		if (tags_differ(cr->head, h) || !freshen(cr, h)) {
			cache_store_drop_ref(cache_store_of(cr), &cr->ref);
			swap_to(cr, CACHE_SWAP_AGAIN);
			return true;
		}
		cache_settle(cr, cr->head->rules.lifetime_s > 0);
		swap_to(cr, CACHE_SWAP_STORED);
		return true;
	}
	if (!covers(cr, h->status))
		return false;
	cr->origin_status = h->status;
	cache_settle(cr, false);
	swap_to(cr, CACHE_SWAP_STORED);
	return true;
}

bool cache_takes_failure(struct req *r, enum close_id why)
{
	struct cache_req *cr = cache_of(r);

	if (!is_asked(cr) || r->head_sent)
		return false;
	if (cr->swap)
		return true;
	if (!covers(cr, close_rows[why].status))
		return false;
	cr->origin_status = close_rows[why].status;
	cache_settle(cr, false);
	swap_to(cr, CACHE_SWAP_STORED);
	return true;
}

/* ---- writing ---- */

/* Of the same origin: scheme, host and port (section 4.4). */
static void invalidate_named(struct cache_req *cr, const struct field *f)
{
	const char *at = f->value, *end = at + f->value_len, *host;
	struct cache_key key;
	struct buf b;
	size_t n;

	if (!cache_key_parse(cr->key, cr->key_len, &key))
		return;
	n = key.tls ? 8 : 7;
	if ((size_t)(end - at) > n && !memcmp(at, key.tls ? "https://" : "http://", n)) {
		host = at + n;
		if ((size_t)(end - host) < key.host_len || memcmp(host, key.host, key.host_len) != 0)
			return;
		at = host + key.host_len;
	}
	if (at == end || *at != '/' || (end - at > 1 && at[1] == '/'))
		return;
	buf_fixed(&b, cr->c->bytes, sizeof(cr->c->bytes));
	if (cache_key_put(&b, key.site, key.tls, key.host, key.host_len, 0, at, (size_t)(end - at)) == 0)
		cache_invalidate(cr->c, cache_key_hash(b.p, b.len));
}

static void invalidate(struct cache_req *cr, const struct resp_head *h)
{
	if (h->status < 200 || h->status > 399 || cr->r->handler != cr->handler)
		return;
	cache_invalidate(cr->c, cr->hash);
	for (unsigned i = 0; i < h->nfields; i++)
		if (cache_named(&h->fields[i], "location") || cache_named(&h->fields[i], "content-location"))
			invalidate_named(cr, &h->fields[i]);
}

static bool may_store(const struct cache_req *cr, const struct resp_head *h)
{
	const struct req *r = cr->r;
	uint64_t max = r->route->cache_bytes / CACHE_PART;

	return r->method == METHOD_GET && r->handler == cr->handler &&
	       (h->content_length < 0 || (uint64_t)h->content_length <= max);
}

/* Open the writer and keep what it will be described by. */
static bool begin(struct cache_req *cr, const struct resp_head *h)
{
	const char *reason = h->reason ? h->reason : "";
	struct field kept[CACHE_FIELDS_MAX] __attribute__((uninitialized));
	struct cache_rules rules;
	unsigned n = 0;

	if (!may_store(cr, h))
		return false;
	cache_rules_of(
		&rules, h->status, h->fields, h->nfields, &cr->asked, cache_wall_ms(cr->r->gate));
	if (!rules.store || h->nfields > CACHE_FIELDS_MAX)
		return false;
	for (unsigned i = 0; i < h->nfields; i++)
		if (!cache_drops(&h->fields[i]))
			kept[n++] = h->fields[i];
	cr->packed_len = describe(cr, h->status, reason, strlen(reason), &rules, kept, n);
	cr->packed = cr->packed_len ? arena_strndup(&cr->r->arena, cr->c->bytes, cr->packed_len) : NULL;
	cr->lifetime_s = rules.lifetime_s;
	return cr->packed && cache_writer_open(cache_store_of(cr), cr->hash, &cr->writer);
}

static void commit(struct cache_req *cr)
{
	bool good = cache_writer_commit(cache_store_of(cr), &cr->writer, cr->hash, cr->variant, cr->tags,
		cr->packed, cr->packed_len);

	cache_settle(cr, good && cr->lifetime_s > 0);
}

static void say_status(struct cache_req *cr, struct resp_head *h, bool stored)
{
	struct req *r = cr->r;
	const char *value;

	if (cr->invalidates)
		return;
	r->cache_status = stored ? "stored" : "miss";
	value = arena_printf(&r->arena, "stead; fwd=%s; fwd-status=%u%s%s", cr->why, h->status,
		stored ? "; stored" : "", cr->collapsed ? "; collapsed" : "");
	if (value)
		(void)filter_set_field(r, h, "Cache-Status", value, true);
}

/* The origin's own Date goes on; the protocol writes it. */
static void take_date(struct req *r, struct resp_head *h)
{
	const struct field *f = filter_field(h, "date");
	int64_t s;

	if (!f)
		return;
	if (f->value_len == HTTP_DATE_BYTES && http_date_parse(f->value, f->value_len, &s))
		h->date = f->value;
	(void)filter_drop_field(r, h, "date");
}

static bool head(struct req *r, struct resp_head *h, bool end)
{
	struct cache_req *cr = cache_of(r);
	bool stored;

	if (cr->invalidates)
		invalidate(cr, h);
	stored = begin(cr, h);
	take_date(r, h);
	if (r->handler != HANDLER_ERROR)
		say_status(cr, h, stored);
	if (!stored) {
		if (cr->pending)
			cache_pass(cr->c, cr->hash);
		cache_settle(cr, false);
		return false;
	}
	if (end)
		commit(cr);
	return !end;
}

static size_t body(struct req *r, const void *p, size_t n, bool end)
{
	struct cache_req *cr = cache_of(r);
	size_t took = filter_body(r, FILTER_CACHE + 1, p, n, end);

	if (!cr->writer.open)
		return took;
	if (cr->writer.len + took > r->route->cache_bytes / CACHE_PART) {
		cache_writer_abort(cache_store_of(cr), &cr->writer);
		cache_settle(cr, false);
	} else if (!cache_writer_put(cache_store_of(cr), &cr->writer, p, took)) {
		cache_settle(cr, false);
	} else if (end && took == n) {
		commit(cr);
	}
	return took;
}

/* It holds nothing. */
static bool on_room(struct req *r)
{
	(void)r;
	return true;
}

static void done(struct req *r)
{
	struct cache_req *cr = cache_of(r);

	cache_unwait(cr);
	leave_swaps(cr);
	cache_writer_abort(cache_store_of(cr), &cr->writer);
	/* Whoever waited for it finds another to ask, or asks. */
	cache_settle(cr, true);
	cache_region_unref(cr->region);
	r->filter_state[FILTER_CACHE] = NULL;
}

const struct filter_ops cache_filter = {
	.head = head, .body = body, .on_room = on_room, .done = done};
