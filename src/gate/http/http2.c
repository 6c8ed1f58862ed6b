/*
 * http2.c: an HTTP/2 connection as a whole: its beginning, its turn, its deadlines and its end
 * (RFC 9113 sections 3.4, 5.4.1, 6.8).
 *
 * Called by conn.c with bytes and time, by gate.c when the gate ends. Owns the struct h2 and the
 * library's session. Everything that ends the connection from within a callback of the library is
 * noted in `cut` or `why` and done at the end of the turn, because the session is on the stack then.
 */
#include "http2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ACKS_MAX = 64 }; /* answers to PING and SETTINGS that the client lets wait */

void http2_kick(struct h2 *h)
{
	if (!h->conn->busy)
		loop_defer(h->conn->gate->loop, &h->turn);
}

void http2_end(struct h2 *h, uint32_t error, enum close_id why)
{
	if (h->ending && error == NGHTTP2_NO_ERROR)
		return;
	h->ending = true;
	if (!h->why || error != NGHTTP2_NO_ERROR)
		h->why = (uint8_t)why;
	if (error == NGHTTP2_NO_ERROR)
		(void)nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
			nghttp2_session_get_last_proc_stream_id(h->session), error, NULL, 0);
	else
		(void)nghttp2_session_terminate_session(h->session, error);
	http2_kick(h);
}

static int set_up(struct h2 *h)
{
	const struct gate *g = h->conn->gate;
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_STREAMS_MAX},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, g->limits.head_max},
		{NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
		{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
	};
	int err = nghttp2_submit_settings(
		h->session, NGHTTP2_FLAG_NONE, settings, sizeof(settings) / sizeof(settings[0]));

	if (!err)
		err = nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, H2_WINDOW);
	return err;
}

static int session_new(struct h2 *h)
{
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_option *option = NULL;
	int err = nghttp2_option_new(&option);

	if (!err)
		err = http2_callbacks(&callbacks);
	if (!err) {
		nghttp2_option_set_no_auto_window_update(option, 1);
		nghttp2_option_set_no_closed_streams(option, 1);
		nghttp2_option_set_max_outbound_ack(option, ACKS_MAX);
		err = nghttp2_session_server_new2(&h->session, callbacks, h, option);
	}
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
	return err ? err : set_up(h);
}

bool http2_begin(struct conn *c, size_t had)
{
	struct h2 *h = calloc(1, sizeof(*h));

	if (h) {
		h->conn = c;
		h->send.op.kind = OP_H2_SEND;
		h->turn.kind = OP_H2_TURN;
		h->walk.left = H2_PREFACE;
		h->sent_ms = loop_now_ms(c->gate->loop);
		arena_init(&h->scratch, &c->gate->pool);
		c->h2 = h;
		gate_count(c->gate, METRIC_CONNS_ACTIVE, 1);
		if (session_new(h) == 0 && had == http2_walk(h, (const uint8_t *)HTTP2_BEGINS, had) &&
			nghttp2_session_mem_recv(h->session, (const uint8_t *)HTTP2_BEGINS, had) == (ssize_t)had)
			return true;
	}
	conn_end(c, CLOSE_NO_MEMORY);
	return false;
}

bool http2_is_idle(const struct conn *c)
{
	return c->h2->streams_n == 0 && http2_out_done(c->h2);
}

/* Give nghttp2 what has come. True: something was used. */
static bool feed(struct h2 *h)
{
	struct conn *c = h->conn;
	ssize_t used;
	size_t n;
	const char *p = conn_in(c, &n);

	/* A client that does not take what we say is not listened to. */
	if (n == 0 || h->out.bytes >= H2_OUT_MAX)
		return false;
	h->inside = true;
	n = http2_walk(h, (const uint8_t *)p, n);
	used = nghttp2_session_mem_recv(h->session, (const uint8_t *)p, n);
	http2_walked(h);
	h->inside = false;
	conn_used(c, n);
	if (used < 0 && !h->cut)
		h->cut = used == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? CLOSE_BAD_REQUEST
			 : used == NGHTTP2_ERR_FLOODED        ? CLOSE_LEDGER
			 : used == NGHTTP2_ERR_NOMEM          ? CLOSE_NO_MEMORY
							      : CLOSE_BAD_FRAME;
	return true;
}

static bool tell_rooms(struct h2 *h)
{
	struct h2_stream *next;
	bool told = false;

	for (struct h2_stream *s = h->streams; s; s = next) {
		next = s->next;
		told |= http2_stream_tell_room(s);
	}
	return told;
}

/* Is there nothing more to say and to hear? */
static bool is_over(const struct h2 *h)
{
	if (!http2_out_done(h))
		return false;
	if (h->ending && h->streams_n == 0)
		return true;
	return !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
}

static void finish(struct conn *c)
{
	enum close_id why = c->h2->why ? (enum close_id)c->h2->why : CLOSE_BAD_FRAME;

	http2_gone(c, why);
	conn_linger(c, why);
}

static bool step(struct conn *c)
{
	struct h2 *h = c->h2;
	size_t n;

	if (h->cut) {
		conn_end(c, (enum close_id)h->cut);
		return false;
	}
	if (http2_out_run(h) || tell_rooms(h) || feed(h))
		return true;
	if (is_over(h)) {
		finish(c);
		return false;
	}
	conn_in(c, &n);
	if (c->eof && n == 0) {
		conn_end(c, h->streams_n ? CLOSE_CLIENT_GONE : CLOSE_CLIENT_END);
		return false;
	}
	return false;
}

/* Whom does this exchange wait for: the client that shall take its answer, or the one that shall send
 * its body? */
static bool waits(const struct h2_stream *s, bool *ret_out)
{
	*ret_out = s->out.bytes > 0 || s->file_len > 0;
	if (s->tunnel || !s->req)
		return false;
	return *ret_out || (!s->body_done && !s->req->ended && s->unused < STREAM_WINDOW);
}

static uint32_t window_of(const struct h2_stream *s, bool out)
{
	const struct snap_site *site = s->req->site;
	const struct gate_limits *l = &s->h2->conn->gate->limits;
	uint32_t own = !site ? 0 : out ? site->idle_timeout_ms : site->header_timeout_ms;

	return own ? own : out ? l->idle_ms : l->header_ms;
}

/* Look at one exchange. In how many ms again; 0: it has ended, or waits for nobody. */
static uint64_t check_pace(struct h2_stream *s, uint64_t now)
{
	const struct gate_limits *l = &s->h2->conn->gate->limits;
	enum close_id why;
	int64_t left;
	bool out;

	if (!waits(s, &out)) {
		s->pace_on = false;
		return 0;
	}
	if (!s->pace_on || s->pace_out != out) {
		s->pace_on = true;
		s->pace_out = out;
		ledger_pace_begin(&s->pace, now, s->moved);
		return window_of(s, out);
	}
	left = ledger_pace_check(&s->pace, now, s->moved, window_of(s, out),
		s->req->site ? s->req->site->rate_min : l->rate_min);
	if (left >= 0)
		return left ? (uint64_t)left : window_of(s, out);
	why = out ? CLOSE_SEND_TOO_SLOW : CLOSE_BODY_TOO_SLOW;
	if (out || !req_on_fault(s->req, why))
		http2_stream_cut(s, NGHTTP2_CANCEL, why);
	return 0;
}

static uint64_t check_streams(struct h2 *h, uint64_t now)
{
	struct h2_stream *next;
	uint64_t soonest = 0;

	for (struct h2_stream *s = h->streams; s; s = next) {
		uint64_t ms;

		next = s->next;
		ms = check_pace(s, now);
		if (ms && (!soonest || ms < soonest))
			soonest = ms;
	}
	return soonest;
}

static void settle(struct conn *c)
{
	struct h2 *h = c->h2;
	size_t left;

	conn_in(c, &left);
	if (left == 0)
		conn_receive(c, true);
	if (!c->receiving)
		conn_watch(c);
	if (http2_is_idle(c)) {
		conn_wake_in(c, c->gate->draining ? c->gate->drain_idle_ms : c->idle_ms);
		return;
	}
	if (h->block_ms)
		conn_wake_in(c, c->gate->limits.header_ms);
	conn_wake_in(c, min_of(c->gate->limits.header_ms, c->gate->limits.idle_ms));
}

void http2_run(struct conn *c)
{
	conn_enter(c);
	while (conn_open(c) && c->h2 && step(c))
		;
	if (conn_open(c) && c->h2)
		settle(c);
	conn_leave(c);
}

void http2_on_turn(struct loop *l, struct op *op, int res)
{
	struct h2 *h = container_of(op, struct h2, turn);

	(void)l;
	(void)res;
	http2_run(h->conn);
}

bool http2_has_tunnel(const struct conn *c)
{
	const struct h2_stream *s = c->h2->streams;

	while (s && !s->tunnel)
		s = s->next;
	return s;
}

void http2_drain(struct conn *c)
{
	struct h2 *h = c->h2;

	if (h->noticed || h->ending)
		return;
	h->noticed = true;
	(void)nghttp2_submit_shutdown_notice(h->session);
	http2_kick(h);
}

static void idle_timer(struct conn *c, uint64_t now)
{
	struct gate *g = c->gate;
	uint64_t due = conn_idle_due(c);

	if (now < due) {
		conn_wake_in(c, due - now);
		return;
	}
	http2_end(c->h2, NGHTTP2_NO_ERROR, g->draining ? CLOSE_DRAINED : CLOSE_IDLE);
	http2_run(c);
}

void http2_timer(struct conn *c)
{
	struct h2 *h = c->h2;
	struct gate *g = c->gate;
	uint64_t now = loop_now_ms(g->loop), next;

	if (h->block_ms && now >= h->block_ms + g->limits.header_ms) {
		http2_end(h, NGHTTP2_ENHANCE_YOUR_CALM, CLOSE_HEADER_TIMEOUT);
		h->block_ms = 0;
		http2_run(c);
		return;
	}
	if (h->sending && now >= h->sent_ms + g->limits.idle_ms) {
		conn_end(c, CLOSE_SEND_TOO_SLOW);
		return;
	}
	if (http2_is_idle(c)) {
		idle_timer(c, now);
		return;
	}
	if (g->draining && now >= g->drain_began_ms + g->drain_idle_ms)
		http2_end(h, NGHTTP2_NO_ERROR, CLOSE_DRAINED);
	next = check_streams(h, now);
	conn_wake_in(c, min_of(next ? next : (uint64_t)g->limits.header_ms, (uint64_t)g->limits.header_ms));
	http2_run(c);
}

void http2_gone(struct conn *c, enum close_id why)
{
	struct h2 *h = c->h2;
	struct gate *g = c->gate;

	must(!h->inside);
	while (h->streams)
		http2_stream_closed(h->streams, why);
	must(!h->shared && !h->heads_bytes && !h->amplified);
	loop_defer_cancel(g->loop, &h->turn);
	if (h->sending)
		conn_send_cancel(c);
	outq_done(g, &h->out);
	arena_reset(&h->scratch);
	c->h2 = NULL;
	gate_count(g, METRIC_CONNS_ACTIVE, -1);
	nghttp2_session_del(h->session);
	free(h);
}
