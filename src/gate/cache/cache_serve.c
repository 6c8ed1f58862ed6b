/*
 * cache_serve.c: the handler that answers from the store: conditions, a range, HEAD, Age and
 * Cache-Status (RFC 9111 sections 4, 4.3.2, 5.1; RFC 9110 sections 13, 14; RFC 9211). Called by req.c as
 * HANDLER_CACHE. Owns nothing but its place in the stored body. An entry that is gone before a byte was
 * sent is asked for anew; behind that the answer is cut.
 */
#include "cache_priv.h"

#include "httpdate.h"
#include "range.h"

#include <string.h>
#include <strings.h>

enum { EXTRA_FIELDS = 4 };

static void add(struct field *f, unsigned *n, const char *name, const char *value)
{
	if (value)
		f[(*n)++] = (struct field){name, value, (uint32_t)strlen(name), (uint32_t)strlen(value)};
}

/* ---- conditions ---- */

static bool is_unchanged(const struct cache_req *cr)
{
	const struct cache_rules *rules = &cr->head->rules;
	int64_t since, modified;

	if (cr->none_match.name)
		return rules->etag ? cache_tag_listed(cr->none_match.value, cr->none_match.value_len,
					     rules->etag->value, rules->etag->value_len)
				   : cache_tag_listed(cr->none_match.value, cr->none_match.value_len, "", 0);
	return cr->modified_since.name && rules->last_modified &&
	       http_date_parse(cr->modified_since.value, cr->modified_since.value_len, &since) &&
	       http_date_parse(rules->last_modified->value, rules->last_modified->value_len, &modified) &&
	       modified <= since;
}

static bool if_range_holds(const struct cache_req *cr)
{
	const struct field *c = &cr->if_range, *is;

	if (!c->name)
		return true;
	is = c->value_len && (*c->value == '"' || *c->value == 'W') ? cr->head->rules.etag
								    : cr->head->rules.last_modified;
	/* A weak tag says nothing about bytes. */
	return is && c->value_len == is->value_len && !memcmp(c->value, is->value, is->value_len) &&
	       *c->value != 'W';
}

/* > 0: one range; 0: the whole; -1: none of it is there. */
static int range_of(const struct cache_req *cr, struct range *ret)
{
	struct range all[RANGES_MAX];
	int n;

	if (cr->r->method != METHOD_GET || cr->head->status != 200 || !cr->range.name ||
		!if_range_holds(cr))
		return 0;
	n = range_parse(cr->range.value, cr->range.value_len, cr->ref.body_len, all);
	/* Several are answered with the whole, as section 14.2 of RFC 9110 allows. */
	if (n == 1)
		*ret = all[0];
	return n > 1 ? 0 : n;
}

/* ---- the body ---- */

static void push(struct cache_req *cr)
{
	struct req *r = cr->r;
	char *piece = cr->c->piece;

	while (!r->ended && cr->left) {
		struct cache_reader was = cr->reader;
		size_t n = min_of(req_resp_room(r), sizeof(cr->c->piece)), took;
		int64_t got;

		n = (size_t)min_of(cr->left, (uint64_t)n);
		if (!n)
			return;
		got = cache_reader_read(cache_store_of(cr), &cr->reader, piece, n);
		if (got != (int64_t)n) {
			req_fail(r, CLOSE_CACHE_GONE, 0);
			return;
		}
		took = req_resp_body(r, piece, n, cr->left == n);
		if (r->ended)
			return;
		cr->left -= took;
		if (took == n)
			continue;
		cr->reader = was;
		if (took && cache_reader_read(cache_store_of(cr), &cr->reader, piece, took) != (int64_t)took)
			req_fail(r, CLOSE_CACHE_GONE, 0);
		return;
	}
}

/* ---- the head ---- */

static const char *status_of(struct cache_req *cr, int64_t age_ms)
{
	struct arena *a = &cr->r->arena;
	const char *collapsed = cr->collapsed ? "; collapsed" : "";

	if (cr->origin_status)
		return arena_printf(a, "stead; hit; fwd=stale; fwd-status=%u%s", cr->origin_status, collapsed);
	return arena_printf(a, "stead; hit; ttl=%lld%s",
		(long long)(cr->head->rules.lifetime_s - age_ms / 1000), collapsed);
}

/* RFC 9110 section 15.4.5: what describes the body is not said again. */
static unsigned drop_content(struct field *f, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++)
		if (f[i].name_len < 8 || strncasecmp(f[i].name, "content-", 8) != 0 ||
			cache_named(&f[i], "content-location") ||
			cache_named(&f[i], "content-security-policy"))
			f[kept++] = f[i];
	return kept;
}

static struct field *fields_of(struct cache_req *cr, struct resp_head *h)
{
	int64_t age = cache_head_age_ms(cr->head, cache_wall_ms(cr->r->gate));
	unsigned n = cr->head->nfields;
	struct field *f = arena_alloc(&cr->r->arena, (n + EXTRA_FIELDS) * sizeof(*f));
	char *date = arena_alloc(&cr->r->arena, HTTP_DATE_BYTES + 1);

	if (!f || !date)
		return NULL;
	memcpy(f, cr->head->fields, n * sizeof(*f));
	add(f, &n, "Age", arena_printf(&cr->r->arena, "%lld", (long long)(age / 1000)));
	add(f, &n, "Cache-Status", status_of(cr, age));
	http_date_format(cr->head->rules.date_s, date);
	h->date = date;
	h->fields = f;
	h->nfields = n;
	return f;
}

static void fail_range(struct cache_req *cr)
{
	char *value = arena_printf(&cr->r->arena, "bytes */%llu", (unsigned long long)cr->ref.body_len);
	struct field f = {"Content-Range", value, 13, value ? (uint32_t)strlen(value) : 0};

	req_fail_with(cr->r, CLOSE_RANGE_BAD, 0, value ? &f : NULL);
}

static void answer(struct cache_req *cr, struct resp_head *h, struct field *f, const struct range *range)
{
	struct req *r = cr->r;

	if (range) {
		h->status = 206;
		h->reason = NULL;
		add(f, &h->nfields, "Content-Range",
			arena_printf(&r->arena, "bytes %llu-%llu/%llu", (unsigned long long)range->from,
				(unsigned long long)(range->from + range->len - 1),
				(unsigned long long)cr->ref.body_len));
		cr->left = range->len;
	}
	h->content_length = (int64_t)cr->left;
	if (r->method == METHOD_HEAD || !cr->left || h->status == 204) {
		(void)req_resp_head(r, h, true);
		return;
	}
	if (!cache_reader_open(cache_store_of(cr), &cr->ref, range ? range->from : 0, &cr->reader)) {
		cache_ask_again(cr);
		return;
	}
	if (req_resp_head(r, h, false) == 0)
		push(cr);
}

void cache_serve(struct req *r)
{
	struct cache_req *cr = cache_of(r);
	struct resp_head h = {.status = cr->head->status};
	struct range range;
	struct field *f;
	int n;

	r->filters &= (uint8_t) ~(1u << FILTER_CACHE);
	r->cache_status = cr->origin_status ? "revalidated" : "hit";
	h.reason = cr->head->reason_len
			   ? arena_strndup(&r->arena, cr->head->reason, cr->head->reason_len)
			   : NULL;
	f = fields_of(cr, &h);
	if (!f) {
		req_fail(r, CLOSE_NO_MEMORY, 0);
		return;
	}
	if (cr->head->status == 200 && is_unchanged(cr)) {
		h.status = 304;
		h.reason = NULL;
		h.nfields = drop_content(f, h.nfields);
		h.content_length = -1;
		(void)req_resp_head(r, &h, true);
		return;
	}
	cr->left = cr->ref.body_len;
	n = range_of(cr, &range);
	if (n < 0)
		fail_range(cr);
	else
		answer(cr, &h, f, n ? &range : NULL);
}

static void room(struct req *r)
{
	push(cache_of(r));
}

const struct handler_ops cache_handler = {.name = "cache", .start = cache_serve, .room = room};
