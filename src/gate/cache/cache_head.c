/*
 * cache_head.c: stored descriptions; see cache_head.h (RFC 9111 sections 2, 3.2, 4.1). Called by the
 * cache's phase, filter and purges, unit tests and the fuzz target. Owns nothing.
 */
#include "cache_head.h"

#include "lib/sys.h"

#include <string.h>
#include <strings.h>

enum { HEAD_MAGIC = 0x48745331, PORT_HTTP = 80, PORT_HTTPS = 443 };
enum { HEAD_NO_CACHE = 1, HEAD_MUST_REVALIDATE = 2, HEAD_NO_STALE = 4 };

struct packed {
	uint32_t magic, flags;
	uint64_t route;
	int64_t stored_ms, lifetime_s, age_s, stale_while_revalidate, stale_if_error, date_s;
	uint32_t status, reason_len, key_len, nvary, nfields, pad;
};

int64_t cache_head_age_ms(const struct cache_head *h, int64_t now_ms)
{
	int64_t here = now_ms - h->stored_ms;

	/* A clock that was set back makes nothing younger than it came. */
	return h->rules.age_s * 1000 + (here > 0 ? here : 0);
}

/* ---- the key ---- */

int cache_key_put(struct buf *b, uint32_t site, bool tls, const char *host, size_t host_len, uint16_t port,
	const char *target, size_t target_len)
{
	buf_putu(b, site);
	buf_puts(b, tls ? "\nhttps\n" : "\nhttp\n");
	buf_put(b, host, host_len);
	if (port && port != (tls ? PORT_HTTPS : PORT_HTTP)) {
		buf_putc(b, ':');
		buf_putu(b, port);
	}
	buf_putc(b, '\n');
	buf_put(b, target, target_len);
	return b->error;
}

uint64_t cache_key_hash(const char *p, size_t n)
{
	return sys_checksum(p, n);
}

static bool line(const char **at, const char *end, const char **ret, size_t *ret_n)
{
	const char *nl = memchr(*at, '\n', (size_t)(end - *at));

	if (!nl)
		return false;
	*ret = *at;
	*ret_n = (size_t)(nl - *at);
	*at = nl + 1;
	return true;
}

bool cache_key_parse(const char *p, size_t n, struct cache_key *ret)
{
	const char *at = p, *end = p + n, *site, *scheme;
	size_t site_len, scheme_len;

	*ret = (struct cache_key){0};
	if (!line(&at, end, &site, &site_len) || !line(&at, end, &scheme, &scheme_len) ||
		!line(&at, end, &ret->host, &ret->host_len) || site_len == 0 || site_len > 9)
		return false;
	for (size_t i = 0; i < site_len; i++) {
		if (site[i] < '0' || site[i] > '9')
			return false;
		ret->site = ret->site * 10 + (uint32_t)(site[i] - '0');
	}
	ret->tls = scheme_len == 5;
	ret->target = at;
	ret->target_len = (size_t)(end - at);
	return ret->target_len > 0;
}

/* ---- Vary ---- */

static bool same_name(const struct field *f, const char *name, size_t n)
{
	return f->name_len == n && strncasecmp(f->name, name, n) == 0;
}

/* All lines of a field, as one value behind a "="; nothing when there is none. */
static void join(const struct field *f, unsigned n, const char *name, size_t name_len, struct buf *b)
{
	bool first = true;

	for (unsigned i = 0; i < n; i++) {
		if (!same_name(&f[i], name, name_len))
			continue;
		buf_put(b, first ? "=" : ", ", first ? 1 : 2);
		buf_put(b, f[i].value, f[i].value_len);
		first = false;
	}
}

static bool add_vary(struct cache_head *h, const char *name, size_t n, const struct field *request,
	unsigned nrequest, struct buf *mem)
{
	struct field *v = &h->vary[h->nvary];
	size_t from;

	for (unsigned i = 0; i < h->nvary; i++)
		if (same_name(&h->vary[i], name, n))
			return true;
	if (h->nvary == CACHE_VARY_MAX)
		return false;
	from = mem->len;
	buf_put(mem, name, n);
	v->name = mem->p + from;
	v->name_len = (uint32_t)n;
	from = mem->len;
	join(request, nrequest, name, n, mem);
	v->value = mem->p + from;
	v->value_len = (uint32_t)(mem->len - from);
	h->nvary++;
	return mem->error == 0;
}

/* mem is a fixed buffer: its bytes stay where they are. */
bool cache_vary_fill(struct cache_head *h, const struct field *answer, unsigned n,
	const struct field *request, unsigned nrequest, struct buf *mem)
{
	h->nvary = 0;
	for (unsigned i = 0; i < n; i++) {
		size_t at = 0, len;
		const char *name;

		if (!same_name(&answer[i], "vary", 4))
			continue;
		while (cache_list_next(answer[i].value, answer[i].value_len, &at, &name, &len))
			if (!add_vary(h, name, len, request, nrequest, mem))
				return false;
	}
	return mem->error == 0;
}

/* Compare what join() would make without making it. */
static bool is_joined(const struct field *v, const struct field *f, unsigned n)
{
	const char *p = v->value;
	size_t left = v->value_len;
	bool first = true;

	for (unsigned i = 0; i < n; i++) {
		size_t mark = first ? 1 : 2;

		if (!same_name(&f[i], v->name, v->name_len))
			continue;
		if (left < mark + f[i].value_len || memcmp(p, first ? "=" : ", ", mark) != 0 ||
			memcmp(p + mark, f[i].value, f[i].value_len) != 0)
			return false;
		p += mark + f[i].value_len;
		left -= mark + f[i].value_len;
		first = false;
	}
	return left == 0;
}

bool cache_vary_matches(const struct cache_head *h, const struct field *request, unsigned n)
{
	for (unsigned i = 0; i < h->nvary; i++)
		if (!is_joined(&h->vary[i], request, n))
			return false;
	return true;
}

uint64_t cache_variant(const struct cache_head *h)
{
	uint64_t v = h->route;

	for (unsigned i = 0; i < h->nvary; i++) {
		v = (v ^ sys_checksum(h->vary[i].name, h->vary[i].name_len)) * 0x9e3779b97f4a7c15ull;
		v = (v ^ sys_checksum(h->vary[i].value, h->vary[i].value_len)) * 0x9e3779b97f4a7c15ull;
	}
	return v;
}

/* ---- bytes ---- */

static void put_fields(struct buf *b, const struct field *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		buf_put(b, &f[i].name_len, sizeof(f[i].name_len));
		buf_put(b, &f[i].value_len, sizeof(f[i].value_len));
		buf_put(b, f[i].name, f[i].name_len);
		buf_put(b, f[i].value, f[i].value_len);
	}
}

void cache_head_pack(const struct cache_head *h, struct buf *b)
{
	struct packed p = {.magic = HEAD_MAGIC,
		.flags = (h->rules.no_cache ? HEAD_NO_CACHE : 0u) |
			 (h->rules.must_revalidate ? HEAD_MUST_REVALIDATE : 0u) |
			 (h->rules.no_stale ? HEAD_NO_STALE : 0u),
		.route = h->route,
		.stored_ms = h->stored_ms,
		.lifetime_s = h->rules.lifetime_s,
		.age_s = h->rules.age_s,
		.stale_while_revalidate = h->rules.stale_while_revalidate,
		.stale_if_error = h->rules.stale_if_error,
		.date_s = h->rules.date_s,
		.status = h->status,
		.reason_len = h->reason_len,
		.key_len = h->key_len,
		.nvary = h->nvary,
		.nfields = h->nfields};

	buf_put(b, &p, sizeof(p));
	buf_put(b, h->key, h->key_len);
	buf_put(b, h->reason, h->reason_len);
	put_fields(b, h->vary, h->nvary);
	put_fields(b, h->fields, h->nfields);
}

static bool get_fields(const char **at, const char *end, struct field *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if ((size_t)(end - *at) < 2 * sizeof(uint32_t))
			return false;
		memcpy(&f[i].name_len, *at, sizeof(uint32_t));
		memcpy(&f[i].value_len, *at + sizeof(uint32_t), sizeof(uint32_t));
		*at += 2 * sizeof(uint32_t);
		if (f[i].name_len > (size_t)(end - *at) ||
			f[i].value_len > (size_t)(end - *at) - f[i].name_len)
			return false;
		f[i].name = *at;
		f[i].value = *at + f[i].name_len;
		*at += f[i].name_len + f[i].value_len;
	}
	return true;
}

static bool in_bounds(int64_t v)
{
	return v >= 0 && v <= CACHE_SECONDS_MAX;
}

static bool get_packed(const char *p, size_t n, struct packed *ret)
{
	if (n < sizeof(*ret))
		return false;
	memcpy(ret, p, sizeof(*ret));
	n -= sizeof(*ret);
	return ret->magic == HEAD_MAGIC && ret->key_len <= n && ret->reason_len <= n - ret->key_len &&
	       ret->nvary <= CACHE_VARY_MAX && ret->nfields <= CACHE_FIELDS_MAX &&
	       ret->status >= 200 && ret->status <= 999 && in_bounds(ret->lifetime_s) &&
	       in_bounds(ret->stale_while_revalidate) && in_bounds(ret->stale_if_error) &&
	       ret->age_s >= 0 && ret->age_s <= 2ll * CACHE_SECONDS_MAX && ret->stored_ms >= 0;
}

/* What goes to a client must be a head, whoever wrote it. */
static bool is_text(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (((unsigned char)p[i] < ' ' && p[i] != '\t') || p[i] == 0x7f)
			return false;
	return true;
}

static bool is_clean(const struct field *f)
{
	for (uint32_t i = 0; i < f->name_len; i++)
		if ((unsigned char)f->name[i] <= ' ' || f->name[i] == ':' || f->name[i] == 0x7f)
			return false;
	return f->name_len > 0 && is_text(f->value, f->value_len);
}

bool cache_head_unpack(const char *p, size_t n, struct cache_head *ret)
{
	const char *at = p + sizeof(struct packed), *end = p + n;
	struct packed g;

	if (!get_packed(p, n, &g))
		return false;
	ret->status = (uint16_t)g.status;
	ret->route = g.route;
	ret->stored_ms = g.stored_ms;
	ret->rules = (struct cache_rules){.store = true,
		.no_cache = g.flags & HEAD_NO_CACHE,
		.must_revalidate = g.flags & HEAD_MUST_REVALIDATE,
		.no_stale = g.flags & HEAD_NO_STALE,
		.lifetime_s = g.lifetime_s,
		.age_s = g.age_s,
		.stale_while_revalidate = g.stale_while_revalidate,
		.stale_if_error = g.stale_if_error,
		.date_s = g.date_s};
	ret->key = at;
	ret->key_len = g.key_len;
	ret->reason = at + g.key_len;
	ret->reason_len = g.reason_len;
	if (!is_text(ret->reason, ret->reason_len))
		return false;
	at += g.key_len + g.reason_len;
	ret->nvary = g.nvary;
	ret->nfields = g.nfields;
	if (!get_fields(&at, end, ret->vary, g.nvary) || !get_fields(&at, end, ret->fields, g.nfields) ||
		at != end)
		return false;
	for (unsigned i = 0; i < ret->nfields; i++) {
		if (!is_clean(&ret->fields[i]))
			return false;
		if (cache_named(&ret->fields[i], "etag"))
			ret->rules.etag = &ret->fields[i];
		else if (cache_named(&ret->fields[i], "last-modified"))
			ret->rules.last_modified = &ret->fields[i];
	}
	return true;
}

bool cache_head_is(const char *p, size_t n, const char *key, size_t key_len, uint64_t route)
{
	struct packed g;

	return get_packed(p, n, &g) && g.route == route && g.key_len == key_len &&
	       memcmp(p + sizeof(g), key, key_len) == 0;
}

/* ---- a 304 ---- */

/* Fields that say how this body is made stay with it. */
static bool is_of_body(const struct field *f)
{
	return cache_named(f, "content-length") || cache_named(f, "content-encoding") ||
	       cache_named(f, "content-type") || cache_named(f, "content-range") ||
	       cache_named(f, "etag");
}

static bool has(const struct field *f, unsigned n, const struct field *name)
{
	for (unsigned i = 0; i < n; i++)
		if (same_name(&f[i], name->name, name->name_len))
			return true;
	return false;
}

unsigned cache_fields_update(const struct cache_head *h, const struct field *f, unsigned n,
	struct field ret[CACHE_FIELDS_MAX])
{
	unsigned kept = 0;

	for (unsigned i = 0; i < h->nfields; i++)
		if (is_of_body(&h->fields[i]) || !has(f, n, &h->fields[i]))
			ret[kept++] = h->fields[i];
	for (unsigned i = 0; i < n && kept < CACHE_FIELDS_MAX; i++)
		if (!cache_drops(&f[i]) && !is_of_body(&f[i]))
			ret[kept++] = f[i];
	return kept;
}

/* ---- tags ---- */

uint64_t cache_tag_bit(const char *tag, size_t n)
{
	return 1ull << (sys_checksum(tag, n) >> 13 & 63);
}

static bool next_tag(const struct field *f, size_t *at, const char **ret, size_t *ret_n)
{
	size_t i = *at, from;
	bool commas = same_name(f, "cache-tag", 9);

	if (commas)
		return cache_list_next(f->value, f->value_len, at, ret, ret_n);
	if (!same_name(f, "surrogate-key", 13))
		return false;
	while (i < f->value_len && (f->value[i] == ' ' || f->value[i] == '\t'))
		i++;
	for (from = i; i < f->value_len && f->value[i] != ' ' && f->value[i] != '\t';)
		i++;
	*at = i;
	*ret = f->value + from;
	*ret_n = i - from;
	return i > from;
}

uint64_t cache_tags_of(const struct field *f, unsigned n)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < n; i++) {
		size_t at = 0, len;
		const char *tag;

		while (next_tag(&f[i], &at, &tag, &len))
			bits |= cache_tag_bit(tag, len);
	}
	return bits;
}

bool cache_has_tag(const struct field *f, unsigned n, const char *tag, size_t tag_len)
{
	for (unsigned i = 0; i < n; i++) {
		size_t at = 0, len;
		const char *one;

		while (next_tag(&f[i], &at, &one, &len))
			if (len == tag_len && !memcmp(one, tag, len))
				return true;
	}
	return false;
}
