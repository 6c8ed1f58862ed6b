/*
 * outbuf.c: buffers of answers under way; see outbuf.h. Called by http1_out.c and http2*.c. Owns the
 * gate's spare ones.
 */
#include "outbuf.h"

#include "lib/must.h"

#include <stdlib.h>
#include <string.h>

enum { SPARES_MAX = 64 };

struct outbuf *outbuf_new(struct gate *g)
{
	struct outbuf *b = g->out_free;

	if (g->budget_used + sizeof(*b) > g->budget_max)
		return NULL;
	if (b) {
		g->out_free = b->next;
		g->out_free_n--;
	} else {
		b = malloc(sizeof(*b));
		if (!b)
			return NULL;
	}
	g->budget_used += sizeof(*b);
	gate_count(g, METRIC_BUDGET_BYTES, sizeof(*b));
	b->next = NULL;
	b->at = b->len = 0;
	return b;
}

void outbuf_free(struct gate *g, struct outbuf *b)
{
	g->budget_used -= sizeof(*b);
	gate_count(g, METRIC_BUDGET_BYTES, -(int64_t)sizeof(*b));
	if (g->out_free_n >= SPARES_MAX) {
		free(b);
		return;
	}
	b->next = g->out_free;
	g->out_free = b;
	g->out_free_n++;
}

void outbuf_free_spares(struct gate *g)
{
	while (g->out_free) {
		struct outbuf *b = g->out_free;

		g->out_free = b->next;
		g->out_free_n--;
		free(b);
	}
}

char *outq_room(struct gate *g, struct outq *q, size_t *ret_n)
{
	struct outbuf *b = q->last;

	if (!b || b->len == sizeof(b->bytes)) {
		b = outbuf_new(g);
		if (!b)
			return NULL;
		*(q->last ? &q->last->next : &q->first) = b;
		q->last = b;
	}
	*ret_n = sizeof(b->bytes) - b->len;
	return b->bytes + b->len;
}

void outq_filled(struct outq *q, size_t n)
{
	must(q->last && n <= sizeof(q->last->bytes) - q->last->len);
	q->last->len += (uint32_t)n;
	q->bytes += (uint32_t)n;
}

bool outq_put(struct gate *g, struct outq *q, const char *p, size_t n)
{
	while (n) {
		size_t room;
		char *to = outq_room(g, q, &room);

		if (!to)
			return false;
		room = min_of(room, n);
		memcpy(to, p, room);
		outq_filled(q, room);
		p += room;
		n -= room;
	}
	return true;
}

void outq_drop(struct gate *g, struct outq *q, size_t n)
{
	must(n <= q->bytes);
	q->bytes -= (uint32_t)n;
	while (q->first) {
		struct outbuf *b = q->first;
		size_t take = min_of(n, (size_t)(b->len - b->at));

		b->at += (uint32_t)take;
		n -= take;
		if (b->at < b->len)
			break;
		q->first = b->next;
		if (!q->first)
			q->last = NULL;
		outbuf_free(g, b);
	}
}

void outq_done(struct gate *g, struct outq *q)
{
	while (q->first) {
		struct outbuf *b = q->first;

		q->first = b->next;
		outbuf_free(g, b);
	}
	*q = (struct outq){0};
}

bool outq_move(struct gate *g, struct outq *to, struct outq *from, size_t n)
{
	must(n <= from->bytes);
	while (n) {
		struct outbuf *b = from->first;
		size_t take = min_of(n, (size_t)(b->len - b->at));

		if (!outq_put(g, to, b->bytes + b->at, take))
			return false;
		outq_drop(g, from, take);
		n -= take;
	}
	return true;
}
