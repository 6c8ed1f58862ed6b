/*
 * req.c: a request's life: from its head through its handler to its one record.
 *
 * Called by protocols (req_on_*) and by whoever answers. Owns the reference to the snapshot and the
 * calls of the handler; the memory is the arena that the protocol gave. Never sees a connection.
 */
#include "access.h"
#include "cache.h"
#include "counters.h"
#include "errorpage.h"
#include "filter.h"
#include "lib/must.h"
#include "req.h"
#include "phases.h"
#include "record/record.h"
#include "scrape.h"
#include "target.h"

#include <string.h>

static uint64_t turned(uint64_t v, unsigned by)
{
	return v << by | v >> (64 - by);
}

/* xoshiro256++ of Blackman and Vigna: the state was seeded by the kernel, and no request costs a call. */
static uint64_t next_random(uint64_t s[4])
{
	uint64_t result = turned(s[0] + s[3], 23) + s[0], t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = turned(s[3], 45);
	return result;
}

struct req *req_new(struct gate *g, struct stream *s, struct arena *arena)
{
	struct req *r = arena_zalloc(arena, sizeof(*r));

	if (!r)
		return NULL;
	r->arena = *arena;
	r->gate = g;
	r->stream = s;
	s->req = r;
	/* The lower 40 bits hold every request of a gate's life: 10^6 a second for 12 days; then
	 * the next bit of the generation is entered, which the parent gives to nobody so soon. */
	r->id = g->generation << 40 | (++g->req_seq & 0xffffffffffull);
	r->public_id[0] = next_random(g->ids);
	r->public_id[1] = next_random(g->ids);
	r->start_us = loop_now_us(g->loop);
	r->method_str = r->target = r->path_raw = r->query = r->host = r->user = r->given_id = "";
	r->path = "/";
	r->path_len = 1;
	gate_count(g, METRIC_REQUESTS_ACTIVE, 1);
	return r;
}

static const struct handler_ops *ops_of(const struct req *r)
{
	return r->handler ? r->gate->handlers[r->handler] : NULL;
}

/* The handler is out of it, whatever comes. */
static void leave_handler(struct req *r)
{
	const struct handler_ops *ops = ops_of(r);

	r->handler = HANDLER_NONE;
	if (ops && ops->done && (r->started || ops == r->gate->handlers[HANDLER_ERROR]))
		ops->done(r);
	r->handler_state = NULL;
}

bool req_wants_body(const struct req *r)
{
	const struct handler_ops *ops = ops_of(r);

	return ops && ops->body;
}

void req_on_head(struct req *r)
{
	if (r->gate->snap)
		r->snap = snap_ref(r->gate->snap);
	if (!target_parse(r)) {
		req_fail(r, CLOSE_BAD_TARGET, 0);
		return;
	}
	if (r->metrics)
		scrape_begin(r);
	else
		phases_begin(r);
}

/* A piece of the body that came while there was no handler. */
struct req_piece {
	struct req_piece *next;
	size_t n;
	char bytes[];
};

static void hold(struct req *r, const void *p, size_t n)
{
	struct req_piece *piece = arena_alloc(&r->arena, sizeof(*piece) + n);

	if (!piece) {
		req_on_fault(r, CLOSE_NO_MEMORY);
		return;
	}
	piece->next = NULL;
	piece->n = n;
	memcpy(piece->bytes, p, n);
	*(r->held ? &r->held_last->next : &r->held) = piece;
	r->held_last = piece;
}

static void give(struct req *r, const void *p, size_t n)
{
	const struct handler_ops *ops = ops_of(r);

	if (ops && ops->body)
		ops->body(r, p, n);
	else
		req_consume(r, n);
}

void req_start(struct req *r)
{
	const struct handler_ops *ops = ops_of(r);
	struct req_piece *piece;

	must(ops && ops->start && !r->started);
	r->started = true;
	counters_site(r, SITE_ACTIVE, 1);
	ops->start(r);
	/* Whoever takes bodies wants this one, now that it has not answered at once. */
	if (r->expect_continue && !r->ended && !r->head_sent && req_wants_body(r))
		req_resp_interim(r, 100, NULL, 0);
	for (; (piece = r->held) && !r->ended;) {
		r->held = piece->next;
		give(r, piece->bytes, piece->n);
	}
	ops = ops_of(r);
	if (r->body_done && !r->ended && ops && ops->body_end)
		ops->body_end(r);
}

void req_swap(struct req *r, enum handler handler)
{
	const struct handler_ops *ops = ops_of(r);

	must(r->started && !r->head_sent && !r->ended);
	if (ops && ops->abort)
		ops->abort(r, CLOSE_DONE);
	leave_handler(r);
	r->handler = (uint8_t)handler;
	ops = ops_of(r);
	must(ops);
	ops->start(r);
	ops = ops_of(r);
	if (r->body_done && !r->ended && ops && ops->body_end)
		ops->body_end(r);
}

void req_on_bad(struct req *r, enum close_id why)
{
	if (r->gate->snap)
		r->snap = snap_ref(r->gate->snap);
	req_fail(r, why, 0);
}

void req_on_body(struct req *r, const void *p, size_t n)
{
	r->body_in += n;
	if (!r->tunnel && r->route && r->route->body_max && r->body_in > r->route->body_max) {
		req_on_fault(r, CLOSE_BODY_TOO_LARGE);
		return;
	}
	if (!r->started && !r->ended && !r->head_sent)
		hold(r, p, n);
	else
		give(r, p, n);
}

void req_on_end(struct req *r)
{
	const struct handler_ops *ops = ops_of(r);

	r->body_done = true;
	if (r->started && ops && ops->body_end)
		ops->body_end(r);
}

void req_on_room(struct req *r)
{
	const struct handler_ops *ops = ops_of(r);

	if (r->filters)
		filters_on_room(r);
	else if (!r->ended && ops && ops->room)
		ops->room(r);
}

static void abort_handler(struct req *r, enum close_id why)
{
	const struct handler_ops *ops = ops_of(r);

	phases_cancel(r);
	if (!r->ended && r->started && ops && ops->abort)
		ops->abort(r, why);
	leave_handler(r);
}

bool req_on_fault(struct req *r, enum close_id why)
{
	const struct stream_ops *ops = r->gate->protos[r->stream->proto];

	if (r->ended)
		return false;
	abort_handler(r, why);
	if (!r->head_sent) {
		req_fail(r, why, 0);
		return true;
	}
	r->close = why;
	r->ended = true;
	ops->reset(r->gate, r->stream, why);
	return true;
}

void req_on_reset(struct req *r, enum close_id why)
{
	abort_handler(r, why);
	r->ended = true;
	if (!r->close)
		r->close = why;
}

void req_done(struct req *r, enum close_id why)
{
	struct gate *g = r->gate;
	bool active = r->started;

	must(r->stream);
	r->close = why;
	phases_cancel(r);
	leave_handler(r);
	filters_done(r);
	access_record(r);
	counters_request(r, active);
	if (r->snap)
		snap_unref(r->snap);
	r->snap = NULL;
	r->stream->req = NULL;
	r->stream = NULL;
	gate_count(g, METRIC_REQUESTS_ACTIVE, -1);
}

void req_fail_with(struct req *r, enum close_id why, unsigned retry_after_s, const struct field *f)
{
	struct gate *g = r->gate;
	const struct stream_ops *ops = g->protos[r->stream->proto];

	if (r->ended || (r->filters & 1u << FILTER_CACHE && cache_takes_failure(r, why)))
		return;
	leave_handler(r);
	r->close = why;
	if (!r->head_sent && close_rows[why].status) {
		r->handler = HANDLER_ERROR;
		errorpage_send(r, why, retry_after_s, f);
		return;
	}
	r->ended = true;
	ops->reset(g, r->stream, why);
}

void req_fail(struct req *r, enum close_id why, unsigned retry_after_s)
{
	req_fail_with(r, why, retry_after_s, NULL);
}

const struct snap_route *req_route(const struct req *r)
{
	if (r->route || !r->site)
		return r->route;
	return snap_route(r->snap, r->site, 0);
}

const char *req_id(const struct req *r, char mem[static REQ_ID_MEM], size_t *ret_len)
{
	if (r->given_id_len) {
		*ret_len = r->given_id_len;
		return r->given_id;
	}
	record_id(r->public_id, mem);
	*ret_len = REQ_ID_MEM - 1;
	return mem;
}

const struct field *req_field_n(const struct req *r, const char *name, size_t n)
{
	for (unsigned i = 0; i < r->nfields; i++) {
		const struct field *f = &r->fields[i];

		if (f->name_len == n && !memcmp(f->name, name, n))
			return f;
	}
	return NULL;
}
