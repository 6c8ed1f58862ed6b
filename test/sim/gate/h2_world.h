/*
 * h2_world.h: a gate that speaks HTTP/2 on the simulated loop, before an app that echoes, for the
 * simulation and the fuzz target: what both need of it.
 */
#ifndef STEAD_TEST_H2_WORLD_H
#define STEAD_TEST_H2_WORLD_H

#include "access.h"
#include "conn.h"
#include "errorpage.h"
#include "http1.h"
#include "http2.h"
#include "lib/must.h"
#include "lib/sim.h"
#include "to_static.h"

#include "../../unit/snap/small_snap.h"

#include <string.h>
#include <unistd.h>

/* The app: gives back every byte of the request's body as soon as there is room, and the end with it; a
 * request without a body gets as many bytes as its path says. */
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

struct h2_world {
	struct sim *s;
	struct loop *l;
	struct gate *g;
	int listener;
	struct timer beat; /* so that time never runs ahead of the clients */
};

static void h2_on_beat(struct loop *l, struct op *op, int res)
{
	struct h2_world *w = container_of(op, struct h2_world, beat.op);

	(void)res;
	loop_timer_in(l, &w->beat, 1);
}

static op_done *const h2_ops[OP_GATE_END] = {
	[OP_ACCEPT] = accept_on,
	[OP_ACCEPT_TIMER] = accept_on_timer,
	[OP_CONN_RECV] = conn_on_recv,
	[OP_CONN_TIMER] = conn_on_timer,
	[OP_CONN_HUP] = conn_on_hup,
	[OP_H1_SEND] = http1_on_send,
	[OP_H1_TURN] = http1_on_turn,
	[OP_H2_SEND] = http2_on_send,
	[OP_H2_TURN] = http2_on_turn,
	[OP_ACCESS_FLUSH] = access_on_flush,
	[OP_DRAIN_TIMER] = drain_on_timer,
	[OP_APP] = h2_on_beat,
};

/* A site whose / are the files of `folder` and whose /app is the app. */
static inline void h2_world_new(struct h2_world *w, const struct sim_options *o, const char *folder)
{
	const struct small_route routes[] = {{"/", folder, "index.html"}, {"/app", NULL, NULL}};
	const char *hosts[] = {"a"};
	struct small_snap in = {.name = "x",
		.hosts = hosts,
		.nhosts = 1,
		.routes = routes,
		.nroutes = 2,
		.limits = {.header_timeout_ms = 2000, .idle_timeout_ms = 5000, .rate_min = 10},
		.rest = snap_route_default(),
		.generation = 1};
	int fds[SNAP_SEGMENTS_MAX + 1];
	struct snap *s;
	unsigned n;

	must(sim_new(&w->s, o) == 0);
	must(loop_new_sim(&w->l, w->s, h2_ops, OP_GATE_END) == 0);
	must(gate_new(&w->g, w->l, h2_protos, h2_handlers) == 0);
	in.rest.access = SNAP_ACCESS_JSON;
	in.rest.body_max = 10000000;
	must(small_snap_build(&in, fds, &n) == 0 && snap_load(fds, n, &s) == 0);
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
	gate_set_snap(w->g, s);
	w->listener = sim_listen(w->s, 64);
	must(accept_listen(w->g, 1, false, w->listener, "127.0.0.1:80") == 0);
	w->beat.op.kind = OP_APP;
	loop_timer_in(w->l, &w->beat, 1);
}

/* Every connection has ended: nothing of them may be left. */
static inline void h2_world_free(struct h2_world *w)
{
	const struct gate *g = w->g;
	uint64_t closes = 0;

	loop_timer_stop(w->l, &w->beat);
	must(!g->conns_n && g->pool.blocks_lent == 0 && g->budget_used == 0);
	for (unsigned i = 0; i < CLOSE_END; i++)
		closes += g->closes[i];
	must(closes == g->counters->gate[METRIC_CONNS_ACCEPTED]);
	must(g->counters->gate[METRIC_CONNS_OPEN] == 0 && g->counters->gate[METRIC_CONNS_ACTIVE] == 0);
	must(g->counters->gate[METRIC_REQUESTS_ACTIVE] == 0 && g->counters->gate[METRIC_REQUESTS] == g->req_seq);
	gate_free(w->g);
	loop_free(w->l);
	sim_free(w->s);
}

#endif
