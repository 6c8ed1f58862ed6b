/*
 * http1.c: the order of things on an HTTP/1 connection: heads, exchanges one after another, ends.
 *
 * Called by conn.c with bytes and time and through http1_stream_ops by requests. Owns the struct h1
 * of the exchange under way. Requests that were sent ahead (pipelined) wait in the connection's
 * buffer: the next head is looked at when the exchange before it is over, so answers keep their
 * order by themselves. Never answers anything itself: even a head that was not understood becomes a
 * request that fails (RFC 9112; sections in http1_parse.c).
 */
#include "http1.h"

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
	HEAD_FIRST = 2048, /* copied at once of what came; most heads are shorter */
	EOF_GRACE_US = 100000,
};

const struct stream_ops http1_stream_ops = {
	.interim = http1_interim,
	.head = http1_head,
	.body = http1_body,
	.file = http1_file,
	.room = http1_room,
	.trailers = http1_trailers,
	.tunnel = http1_tunnel,
	.consume = http1_consume,
	.reset = http1_reset,
};

void http1_kick(struct h1 *h)
{
	if (!h->conn->busy)
		loop_defer(h->conn->gate->loop, &h->turn);
}

static struct h1 *exchange_new(struct conn *c)
{
	struct gate *g = c->gate;
	struct arena a;
	struct h1 *h;

	arena_init(&a, &g->pool);
	h = arena_zalloc(&a, sizeof(*h));
	if (!h)
		return NULL;
	h->conn = c;
	h->stream.proto = PROTO_HTTP1;
	h->arena = a;
	h->owner = &h->arena;
	h->start_us = loop_now_us(g->loop);
	h->send.op.kind = OP_H1_SEND;
	h->turn.kind = OP_H1_TURN;
	h->file_fd = -1;
	h->out_left = -1;
	c->h1 = h;
	gate_count(g, METRIC_CONNS_ACTIVE, 1);
	return h;
}

/* Everything of the exchange but its request, which is done by now. */
static void exchange_free(struct h1 *h)
{
	struct conn *c = h->conn;
	struct arena a = *h->owner;

	must(!h->req);
	loop_defer_cancel(c->gate->loop, &h->turn);
	if (h->sending)
		conn_send_cancel(c);
	http1_out_drop(h);
	c->h1 = NULL;
	gate_count(c->gate, METRIC_CONNS_ACTIVE, -1);
	arena_reset(&a);
}

static bool request_new(struct h1 *h)
{
	struct conn *c = h->conn;
	struct req *r = req_new(c->gate, &h->stream, &h->arena);

	if (!r) {
		conn_end(c, CLOSE_NO_MEMORY);
		return false;
	}
	h->req = r;
	h->owner = &r->arena;
	h->stream.req = r;
	h->state = H1_ACTIVE;
	if (ledger_request(&c->ledger))
		h->close_why = CLOSE_KEEPALIVE_OFF;
	r->start_us = h->start_us;
	conn_describe(c, r);
	return true;
}

static void name_request(struct req *r, const struct http1_head *head)
{
	r->method = head->method;
	r->version_minor = head->version_minor;
	if (head->method_str) {
		r->method_str = head->method_str;
		r->method_len = head->method_len;
	}
	if (head->target) {
		r->target = head->target;
		r->target_len = head->target_len;
	}
}

/* A line of three words in which neither the target nor the version has anything of HTTP/1. 400 is for what appears to be HTTP/1
 * from its first line (RFC 9112 section 2.2); in the clear this port speaks HTTP/2 as well, and to that the line is a wrong
 * preface, behind which the connection is ended (RFC 9113 section 3.4). */
static bool is_wrong_preface(const struct conn *c, const struct http1_head *head, enum close_id why)
{
	if (c->tls || c->ledger.requests || why != CLOSE_BAD_REQUEST || !head || !head->target || !head->target_len)
		return false;
	/* "PROXY TCP4 …" of somebody who is not trusted to say so, and who shall be told. */
	if (head->target_len == 4 && memcmp(head->target, "TCP", 3) == 0)
		return false;
	for (uint32_t i = 0; i < head->target_len; i++)
		if (strchr("/*:", head->target[i]))
			return false;
	/* Of its version at least one byte was looked at. */
	return head->target[head->target_len] == ' ' && (head->target[head->target_len + 1] | 0x20) != 'h';
}

/* Nothing that follows on this connection can be trusted to begin where we think. */
static void begin_bad(struct h1 *h, const struct http1_head *head, enum close_id why)
{
	if (is_wrong_preface(h->conn, head, why)) {
		conn_end(h->conn, CLOSE_BAD_FRAME);
		return;
	}
	if (!request_new(h))
		return;
	if (head)
		name_request(h->req, head);
	h->bad = true;
	h->body_done = h->body_told = true;
	h->close_why = (uint8_t)why;
	req_on_bad(h->req, why);
}

static void begin(struct h1 *h, const struct http1_head *head, size_t head_bytes)
{
	struct conn *c = h->conn;
	struct req *r;

	if (!request_new(h))
		return;
	r = h->req;
	r->head_bytes = (uint32_t)head_bytes;
	if (!http1_take_head(r, head)) {
		h->bad = true;
		h->body_done = h->body_told = true;
		h->close_why = CLOSE_NO_MEMORY;
		req_on_bad(r, CLOSE_NO_MEMORY);
		return;
	}
	if (!head->keep_alive)
		h->close_why = CLOSE_KEEPALIVE_OFF;
	else if (c->gate->draining && !h->close_why)
		h->close_why = CLOSE_DRAINED;
	http1_body_begin(h, head);
	req_on_head(r);
}

/* The head's first bytes: parsed in a copy, because the request keeps pointers into it. 1 begun or
 * refused, 0 all was taken and more is needed. */
static int head_first(struct h1 *h, const char *p, size_t n, size_t head_max)
{
	struct http1_head head __attribute__((uninitialized));
	struct conn *c = h->conn;
	size_t take = n < HEAD_FIRST ? n : HEAD_FIRST;
	char *copy;
	int res;

	for (;;) {
		take = take < head_max ? take : head_max;
		copy = arena_alloc(&h->arena, take + 1);
		if (!copy) {
			conn_end(c, CLOSE_NO_MEMORY);
			return 1;
		}
		memcpy(copy, p, take);
		res = http1_parse_head(copy, take, head_max, &head);
		if (res != 0 || take == n || take == head_max)
			break;
		take = n;
	}
	if (res > 0) {
		conn_used(c, (size_t)res);
		begin(h, &head, (size_t)res);
		return 1;
	}
	if (res == 0) {
		h->head = copy;
		h->head_len = h->head_cap = (uint32_t)take;
		conn_used(c, n);
		res = http1_scan_head(copy, take, head_max, &h->head_scanned);
		must(res <= 0);
		if (res == 0)
			return 0;
	}
	begin_bad(h, &head, (enum close_id) - res);
	return 1;
}

static bool head_room(struct h1 *h, size_t need, size_t head_max)
{
	size_t cap = h->head_cap;
	char *p;

	if (need <= cap)
		return true;
	while (cap < need)
		cap *= 2;
	cap = cap < head_max ? cap : head_max;
	p = arena_alloc(&h->arena, cap + 1);
	if (!p) {
		conn_end(h->conn, CLOSE_NO_MEMORY);
		return false;
	}
	memcpy(p, h->head, h->head_len);
	h->head = p;
	h->head_cap = (uint32_t)cap;
	return true;
}

/* A further piece of the head. As head_first(). */
static int head_more(struct h1 *h, const char *p, size_t n, size_t head_max)
{
	struct http1_head head __attribute__((uninitialized));
	struct conn *c = h->conn;
	size_t had = h->head_len, take = n < head_max - had ? n : head_max - had;
	int res;

	if (!head_room(h, had + take, head_max))
		return 1;
	memcpy(h->head + had, p, take);
	h->head_len += (uint32_t)take;
	res = http1_scan_head(h->head, h->head_len, head_max, &h->head_scanned);
	if (res == 0) {
		conn_used(c, take);
		return 0;
	}
	if (res > 0) {
		int end = res;

		res = http1_parse_head(h->head, (size_t)end, head_max, &head);
		if (res > 0) {
			must(res == end);
			conn_used(c, (size_t)end - had);
			begin(h, &head, (size_t)end);
			return 1;
		}
		/* What scan takes for an end and parse does not is no head at all. */
		begin_bad(h, &head, res ? (enum close_id) - res : CLOSE_BAD_REQUEST);
		return 1;
	}
	begin_bad(h, NULL, (enum close_id) - res);
	return 1;
}

static bool read_head(struct conn *c)
{
	size_t n, head_max = c->gate->limits.head_max;
	const char *p = conn_in(c, &n);
	struct h1 *h = c->h1;

	if (n == 0) {
		if (c->eof)
			conn_end(c, h ? CLOSE_CLIENT_GONE : CLOSE_CLIENT_END);
		return false;
	}
	if (!h)
		h = exchange_new(c);
	if (!h) {
		conn_end(c, CLOSE_NO_MEMORY);
		return false;
	}
	if (h->head_len)
		return head_more(h, p, n, head_max) == 1;
	return head_first(h, p, n, head_max) == 1;
}

/* The answer went out whole: write the record, and go on, drop the rest of the body, or end. */
static void finish(struct h1 *h)
{
	struct conn *c = h->conn;
	struct req *r = h->req;
	enum close_id why = (enum close_id)h->close_why;

	if (r) {
		h->req = NULL;
		c->idle_ms = r->site && r->site->idle_timeout_ms ? r->site->idle_timeout_ms
								 : c->gate->limits.idle_ms;
		ledger_answered(&c->ledger);
		req_done(r, r->close ? r->close : CLOSE_DONE);
	}
	if (!why && !h->body_done) {
		if (http1_body_small(h)) {
			h->state = H1_DISCARD;
			return;
		}
		why = CLOSE_KEEPALIVE_OFF;
	}
	if (why) {
		bool rest = h->bad || !h->body_done;

		exchange_free(h);
		/* Unread bytes would make the kernel send a reset that overtakes the answer. */
		if (rest || c->in_at < c->in_len)
			conn_linger(c, why);
		else
			conn_end(c, why);
		return;
	}
	exchange_free(h);
	c->since_ms = loop_now_ms(c->gate->loop);
}

/* One step; false: nothing to do until something happens. */
static bool step(struct conn *c)
{
	struct h1 *h = c->h1;
	size_t n;

	if (!h || h->state == H1_HEAD)
		return read_head(c);
	if (h->cut) {
		conn_end(c, (enum close_id)h->cut);
		return false;
	}
	if (http1_body_run(h))
		return true;
	if (http1_out_run(h)) {
		(void)http1_tell_room(h);
		return true;
	}
	/* All of it may have gone at once, so that nothing is left to wait for. */
	if (http1_tell_room(h))
		return true;
	if (h->tunnel && http1_out_done(h) && !h->body_done) {
		if (!h->shut) {
			h->shut = true;
			(void)conn_shut(c);
		}
		return false;
	}
	if (h->state == H1_DISCARD ? h->body_done || !http1_body_small(h) : http1_out_done(h)) {
		bool discarded = h->state == H1_DISCARD;

		if (discarded && !h->body_done)
			h->close_why = CLOSE_KEEPALIVE_OFF;
		finish(h);
		return true;
	}
	conn_in(c, &n);
	/* The body will never be whole. Who has its answer may still be sending its last bytes. */
	if (c->eof && n == 0 && !h->body_done && (!h->out_ended || h->state == H1_DISCARD)) {
		conn_end(c, h->state == H1_DISCARD ? CLOSE_CLIENT_END : CLOSE_CLIENT_GONE);
		return false;
	}
	return false;
}

/* A client that shuts its side right behind its request still reads (a pipe into nc does so); one
 * that does it later has gone away, and its handler shall not work in vain. */
static bool left_early(const struct conn *c)
{
	const struct h1 *h = c->h1;

	return c->eof && h && h->state == H1_ACTIVE && !h->out_ended && !h->tunnel &&
	       c->eof_us > h->start_us + EOF_GRACE_US;
}

/* What the client has moved. Of an answer only what it acknowledged counts: the kernel's buffer
 * takes megabytes at once and then nothing for a long while, however well the client reads. */
static uint64_t moved(const struct h1 *h)
{
	const struct conn *c = h->conn;
	int queued = 0;

	if (!h->sending)
		return c->ledger.bytes_in;
	/* Without an answer (a simulated socket) all that was taken counts. */
	if (ioctl(c->lfd.fd, SIOCOUTQ, &queued) < 0 || queued < 0)
		queued = 0;
	return c->ledger.bytes_out + h->send.sent -
	       min_of((uint64_t)queued, c->ledger.bytes_out + h->send.sent);
}

/* What the client is held to: its request's site's, the gate's where there is none. */
static uint32_t rate_min(const struct h1 *h)
{
	const struct snap_site *s = h->req ? h->req->site : NULL;

	return s ? s->rate_min : h->conn->gate->limits.rate_min;
}

/* Over how long it must keep that. A reader gets longer: its own kernel may hold much that it has still
 * to read, and says nothing to ours meanwhile. */
static uint32_t rate_window(const struct h1 *h)
{
	const struct snap_site *s = h->req ? h->req->site : NULL;
	const struct gate_limits *l = &h->conn->gate->limits;
	uint32_t own = !s ? 0 : h->sending ? s->idle_timeout_ms : s->header_timeout_ms;

	return own ? own : h->sending ? l->idle_ms : l->header_ms;
}

/* The client is who we wait for: look now and then whether it is fast enough. */
static void watch_rate(struct h1 *h, bool waits)
{
	struct conn *c = h->conn;

	if (!waits) {
		h->rate_on = false;
		return;
	}
	if (h->rate_on && h->rate_sending == h->sending)
		return;
	h->rate_on = true;
	ledger_pace_begin(&h->pace, loop_now_ms(c->gate->loop), moved(h));
	h->rate_sending = h->sending;
	conn_wake_in(c, rate_window(h));
}

static void settle(struct conn *c)
{
	struct h1 *h = c->h1;
	bool head = !h || h->state == H1_HEAD;
	size_t left;

	if (left_early(c)) {
		conn_end(c, CLOSE_CLIENT_GONE);
		return;
	}
	conn_in(c, &left);
	if (left == 0 && (head || h->body_done || http1_body_wants(h)))
		conn_receive(c, true);
	if (!c->receiving)
		conn_watch(c);
	if (!h) {
		conn_wake_in(c, c->gate->draining ? c->gate->drain_idle_ms : c->idle_ms);
		return;
	}
	if (head)
		conn_wake_in(c, c->gate->limits.header_ms);
	else if (!h->tunnel || h->body_done)
		watch_rate(h, h->sending || (!h->body_done && c->receiving));
}

void http1_run(struct conn *c)
{
	conn_enter(c);
	while (conn_open(c) && step(c))
		;
	if (conn_open(c))
		settle(c);
	conn_leave(c);
}

void http1_on_turn(struct loop *l, struct op *op, int res)
{
	struct h1 *h = container_of(op, struct h1, turn);

	(void)l;
	(void)res;
	http1_run(h->conn);
}

static void check_rate(struct h1 *h)
{
	struct conn *c = h->conn;
	enum close_id why = h->sending ? CLOSE_SEND_TOO_SLOW : CLOSE_BODY_TOO_SLOW;
	int64_t left = ledger_pace_check(
		&h->pace, loop_now_ms(c->gate->loop), moved(h), rate_window(h), rate_min(h));

	if (left >= 0) {
		conn_wake_in(c, left ? (uint64_t)left : rate_window(h));
		return;
	}
	if (!h->sending && h->req && req_on_fault(h->req, why)) {
		h->bad = true;
		h->close_why = (uint8_t)why;
		http1_run(c);
	} else {
		conn_end(c, why);
	}
}

void http1_timer(struct conn *c)
{
	struct h1 *h = c->h1;
	uint64_t now = loop_now_ms(c->gate->loop), due;

	if (h->state == H1_HEAD) {
		due = h->start_us / 1000 + c->gate->limits.header_ms;
		if (now < due) {
			conn_wake_in(c, due - now);
			return;
		}
		begin_bad(h, NULL, CLOSE_HEADER_TIMEOUT);
		http1_run(c);
		return;
	}
	if (h->rate_on)
		check_rate(h);
	else
		conn_wake_in(c, c->idle_ms);
}

/* A file is counted whole when it is given; what of it did not go. */
static uint64_t file_unsent(const struct h1 *h)
{
	const struct send_op *s = &h->send;
	uint64_t before = 0;

	if (h->file_fd < 0 || !s->file_len)
		return h->file_len;
	for (unsigned i = 0; i < s->iovcnt; i++)
		before += s->iov[i].iov_len;
	return h->file_len - (s->sent > before ? s->sent - before : 0);
}

void http1_gone(struct conn *c, enum close_id why)
{
	struct h1 *h = c->h1;
	struct req *r = h->req;

	if (r) {
		req_on_reset(r, why);
		h->req = NULL;
		r->body_out -= min_of(r->body_out, file_unsent(h));
		req_done(r, r->close ? r->close : why);
	}
	exchange_free(h);
}
