/*
 * http2_shared.c: large values that several heads of one connection have alike: kept once, however many requests
 * that are open have them.
 *
 * A client repeats its cookies with each request by one byte, a reference to HPACK's table. That is what makes the
 * heads of a connection large for nothing (CVE-2026-49975), and it is what every browser does, so it cannot be refused.
 * Called by http2_head.c when a head was read, and by http2_stream.c when its request is over. Owns the values; each
 * stream has a reference to those that its request's fields point to, and nobody writes to one.
 */
#include "http2.h"
#include "http1_parse.h"

#include <stdlib.h>
#include <string.h>

struct h2_shared {
	struct h2_shared *next;
	uint32_t refs, len;
	char bytes[];
};

static struct h2_shared *find(struct h2 *h, const char *p, uint32_t n)
{
	struct h2_shared *v = h->shared;

	while (v && (v->len != n || memcmp(v->bytes, p, n) != 0))
		v = v->next;
	return v;
}

/* NULL: there is no room. */
static struct h2_shared *add(struct h2 *h, const char *p, uint32_t n)
{
	struct h2_shared *v = NULL;

	if (h->shared_n < H2_SHARED_VALUES && n <= H2_SHARED_BYTES - h->shared_bytes)
		v = malloc(sizeof(*v) + n);
	if (!v)
		return NULL;
	v->refs = 0;
	v->len = n;
	memcpy(v->bytes, p, n);
	v->next = h->shared;
	h->shared = v;
	h->shared_n++;
	h->shared_bytes += n;
	return v;
}

static void drop(struct h2 *h, struct h2_shared *v)
{
	struct h2_shared **at = &h->shared;

	must(v->refs > 0);
	if (--v->refs)
		return;
	while (*at != v)
		at = &(*at)->next;
	*at = v->next;
	h->shared_n--;
	h->shared_bytes -= v->len;
	free(v);
}

void http2_unshare(struct h2_stream *s)
{
	while (s->shares_n)
		drop(s->h2, s->shares[--s->shares_n]);
}

/* A head's text without the values that are shared. */
struct compact {
	const char *from, *end; /* the text */
	char *to;
	const char *cut[H2_SHARES_MAX]; /* in the text's order */
	uint32_t cut_n[H2_SHARES_MAX];
	unsigned n;
};

/* The fields point to what is shared, and what was cut is noted. */
static void share(struct h2_stream *s, struct http1_head *head, struct compact *c)
{
	const char *behind = c->from;

	for (unsigned i = 0; i < head->nfields && c->n < H2_SHARES_MAX; i++) {
		struct field *f = &head->fields[i];
		struct h2_shared *v;

		if (f->value_len < H2_SHARED_MIN || f->value < behind || f->value + f->value_len > c->end)
			continue;
		v = find(s->h2, f->value, f->value_len);
		if (!v)
			v = add(s->h2, f->value, f->value_len);
		if (!v)
			continue;
		v->refs++;
		s->shares[s->shares_n++] = v;
		c->cut[c->n] = f->value;
		c->cut_n[c->n++] = f->value_len;
		behind = f->value + f->value_len;
		f->value = v->bytes;
	}
}

/* Where that place of the text is now. */
static const char *moved(const struct compact *c, const char *p)
{
	size_t at = (size_t)(p - c->from);

	if (!p || p < c->from || p > c->end)
		return p;
	for (unsigned i = 0; i < c->n && c->cut[i] < p; i++)
		at -= c->cut_n[i];
	return c->to + at;
}

static void copy(const struct compact *c)
{
	const char *from = c->from;
	char *to = c->to;

	for (unsigned i = 0; i <= c->n; i++) {
		size_t n = (size_t)((i < c->n ? c->cut[i] : c->end) - from);

		memcpy(to, from, n);
		to += n;
		from = i < c->n ? c->cut[i] + c->cut_n[i] : c->end;
	}
}

bool http2_share(struct h2_stream *s, struct arena *a, const char *text, size_t n, struct http1_head *head, uint32_t *ret_shared)
{
	struct compact c = {.from = text, .end = text + n};
	uint32_t all = 0;

	must(s->shares_n == 0);
	share(s, head, &c);
	for (unsigned i = 0; i < c.n; i++)
		all += c.cut_n[i];
	c.to = arena_alloc(a, n - all + 1);
	if (!c.to)
		return false;
	copy(&c);
	head->method_str = moved(&c, head->method_str);
	head->target = moved(&c, head->target);
	head->upgrade = moved(&c, head->upgrade);
	head->host = moved(&c, head->host);
	head->path = moved(&c, head->path);
	for (unsigned i = 0; i < head->nfields; i++) {
		head->fields[i].name = moved(&c, head->fields[i].name);
		head->fields[i].value = moved(&c, head->fields[i].value);
	}
	*ret_shared = all;
	return true;
}
