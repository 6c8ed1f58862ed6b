/*
 * h2_world.h: a gate that speaks HTTP/2 on the simulated loop, before an app that echoes, for the
 * simulation and the fuzz target: what both need of it.
 */
#ifndef STEAD_TEST_H2_WORLD_H
#define STEAD_TEST_H2_WORLD_H

#include "gate_world.h"
#include "http2.h"

/* The app: gives back every byte of the request's body as soon as there is room, and the end with
 * it; a request without a body gets as many bytes as its path says. */
struct h2_echo {
	char held[STREAM_WINDOW];
	size_t n, plain;
	bool whole;
};

static inline void h2_echo_run(struct req *r)
{
	static const char text[4096] = {[0 ... 4095] = 'p'};
	struct h2_echo *e = r->handler_state;
	struct resp_head h = {.status = 200, .content_length = -1};
	size_t took;

	if (r->ended || (!r->head_sent && req_resp_head(r, &h, false) < 0))
		return;
	while (e->plain) {
		size_t n = min_of(e->plain, sizeof(text));

		took = req_resp_body(r, text, n, n == e->plain);
		e->plain -= took;
		if (took < n || !e->plain)
			return;
	}
	took = req_resp_body(r, e->held, e->n, e->whole);
	if (took == e->n && e->whole)
		return;
	memmove(e->held, e->held + took, e->n - took);
	e->n -= took;
	if (took)
		req_consume(r, took);
}

static inline void h2_echo_start(struct req *r)
{
	struct h2_echo *e = arena_zalloc(&r->arena, sizeof(*e));
	const char *number;

	if (!e) {
		req_fail(r, CLOSE_NO_MEMORY, 0);
		return;
	}
	r->handler_state = e;
	number = strrchr(r->path, '/') + 1;
	for (; r->content_length == 0 && *number >= '0' && *number <= '9'; number++)
		e->plain = (e->plain * 10 + (size_t)(*number - '0')) % 1000000;
	if (r->content_length == 0)
		h2_echo_run(r);
}

static inline void h2_echo_body(struct req *r, const void *p, size_t n)
{
	struct h2_echo *e = r->handler_state;

	must(n <= sizeof(e->held) - e->n);
	memcpy(e->held + e->n, p, n);
	e->n += n;
	h2_echo_run(r);
}

static inline void h2_echo_end(struct req *r)
{
	struct h2_echo *e = r->handler_state;

	e->whole = true;
	if (r->content_length)
		h2_echo_run(r);
}

static const struct handler_ops h2_echo_handler = {.name = "echo",
	.start = h2_echo_start,
	.body = h2_echo_body,
	.body_end = h2_echo_end,
	.room = h2_echo_run};
static const struct handler_ops *const h2_handlers[HANDLER_END] = {
	[HANDLER_ERROR] = &errorpage_handler,
	[HANDLER_STATIC] = &to_static_handler,
	[HANDLER_APP] = &h2_echo_handler};
static const struct stream_ops *const h2_protos[PROTO_END] = {
	[PROTO_HTTP1] = &http1_stream_ops, [PROTO_HTTP2] = &http2_stream_ops};

static op_done *const h2_ops[OP_GATE_END] = {
	GATE_WORLD_OPS,
	[OP_H2_SEND] = http2_on_send,
	[OP_H2_TURN] = http2_on_turn,
};
static const struct gate_world_parts h2_parts = {h2_ops, h2_protos, h2_handlers};

#endif
