/*
 * up_call.c: one question to a backend and its answer: server, connection, sending, reading, retries.
 *
 * Called by owners (up.h), by up_conn.c with connections and bytes, and by the loop with time. Owns
 * nothing but the order of things: the call is its owner's, the connection up_conn.c's. An owner may
 * cancel its call, and so free it, in everything it is told; so behind each such word only the
 * connection is looked at, which stands until the turn's end and no longer names a cancelled call.
 */
#include "counters.h"
#include "up.h"
#include "lib/must.h"
#include "service.h"

#include <errno.h>
#include <string.h>

enum { HEAD_STACK = 8 * 1024, HEAD_HEAP = 128 * 1024, FINISH_BYTES = 12 * 1024 };
enum { GONE_MS = 250 }; /* within so long the parent says that a program ended */

static const struct up_owner_ops *owner_of(const struct up_call *c)
{
	return up_owners[c->owner];
}

static bool is_idempotent(const struct up_call *c)
{
	switch (c->ask.method_id) {
	case METHOD_GET:
	case METHOD_HEAD:
	case METHOD_PUT:
	case METHOD_DELETE:
	case METHOD_OPTIONS:
	case METHOD_TRACE:
		return true;
	default:
		return false;
	}
}

void up_call_heard(struct up_call *c)
{
	if (!c->fresh)
		return;
	c->fresh = false;
	c->server->fresh--;
}

/* Calls that wait because as many connections are open as may be: one of them can go on. */
static void tell_room(struct upstream *u)
{
	if (!u->connections_max || !u->first)
		return;
	u->room = u->up->room = true;
	loop_defer(u->up->gate->loop, &u->up->turn);
}

struct up_conn *up_call_leave(struct up_call *c)
{
	struct up_conn *n = c->conn;

	loop_timer_stop(c->gate->loop, &c->timer);
	up_call_heard(c);
	if (c->counted) {
		c->server->active--;
		up_call_unlink(c);
		c->u->active--;
		counters_upstream(c->gate, c->u->number, UPSTREAM_ACTIVE, -1);
		c->counted = false;
		tell_room(c->u);
	}
	if (c->server)
		c->server->trial = false;
	c->server = NULL;
	c->conn = NULL;
	c->hold = NULL;
	c->hold_len = 0;
	if (n)
		n->call = NULL;
	return n;
}

static void unqueue(struct up_call *c)
{
	struct upstream *u = c->u;

	if (c->state != UP_CALL_QUEUED)
		return;
	*(c->prev ? &c->prev->next : &u->first) = c->next;
	*(c->next ? &c->next->prev : &u->last) = c->prev;
	counters_upstream(c->gate, u->number, UPSTREAM_QUEUED, -1);
	c->next = c->prev = NULL;
	u->queued--;
}

void up_call_cancel(struct up_call *c)
{
	struct up_conn *n;

	if (c->state == UP_CALL_NEW || c->state == UP_CALL_OVER)
		return;
	unqueue(c);
	n = up_call_leave(c);
	loop_defer_cancel(c->gate->loop, &c->turn);
	c->state = UP_CALL_OVER;
	if (n)
		up_conn_close(n);
}

/* It is over; the owner hears of it, now or, from inside one of its own calls, in the turn. */
void up_call_over(struct up_call *c, enum close_id why)
{
	struct up_conn *n;

	unqueue(c);
	n = up_call_leave(c);
	c->state = UP_CALL_OVER;
	if (n)
		up_conn_close(n);
	owner_of(c)->fail(c, why, up_retry_after_s(c->u, why));
}

static void over_later(struct up_call *c, enum close_id why)
{
	struct up_conn *n = up_call_leave(c);

	if (n)
		up_conn_close(n);
	unqueue(c);
	c->state = UP_CALL_CONNECTING;
	c->fail_why = (uint8_t)why;
	loop_defer(c->gate->loop, &c->turn);
}

void up_call_on_turn(struct loop *l, struct op *op, int res)
{
	struct up_call *c = container_of(op, struct up_call, turn);

	(void)l;
	(void)res;
	up_call_over(c, (enum close_id)c->fail_why);
}

static uint32_t timeout_ms(const struct up_call *c)
{
	return c->timeout_ms ? c->timeout_ms : c->u->timeout_ms;
}

void up_call_wake_in(struct up_call *c, uint64_t ms)
{
	loop_timer_in(c->gate->loop, &c->timer, ms ? ms : 1);
}

/* Sending. */

/* What goes before the body, in mem or, when it is long, in the arena. 0 or minus the close_id. */
static int build_head(struct up_call *c, struct buf *b, char *mem, size_t cap)
{
	int res;

	buf_fixed(b, mem, cap);
	res = c->codec->head(&c->ask, b);
	if (res || !b->error)
		return res;
	mem = arena_alloc(c->arena, HEAD_HEAP);
	if (!mem)
		return -CLOSE_NO_MEMORY;
	buf_fixed(b, mem, HEAD_HEAP);
	res = c->codec->head(&c->ask, b);
	return res ? res : b->error ? -CLOSE_HEAD_TOO_LARGE : 0;
}

/* One write: head (once), the body's next piece with its frame. False: nothing more goes now, or the
 * call was lost. */
static bool send_piece(struct up_call *c, const struct buf *head)
{
	const struct up_owner_ops *ops = owner_of(c);
	struct up_conn *n = c->conn;
	struct iovec iov[SEND_IOV_MAX];
	struct up_frame f = {.take = 0};
	const char *p = NULL;
	size_t len = 0;
	unsigned k = 0;
	bool end = true;
	int err;

	if (head)
		iov[k++] = (struct iovec){head->p, head->len};
	if (!c->body_ended && ops->pull) {
		ops->pull(c, &p, &len, &end);
		len = min_of(len, (size_t)UP_PIECE_MAX);
	}
	if (len) {
		f.take = len;
		if (c->codec->frame)
			c->codec->frame(&c->ask, len, &f);
		if (f.pre_len)
			iov[k++] = (struct iovec){f.pre, f.pre_len};
		iov[k++] = (struct iovec){(void *)p, f.take};
		if (f.post_len)
			iov[k++] = (struct iovec){f.post, f.post_len};
		c->body_begun = true;
	}
	if (k) {
		c->moved_ms = loop_now_ms(c->gate->loop);
		err = up_conn_write(n, iov, k);
		if (err) {
			up_call_lost(c, err, false);
			return false;
		}
	}
	if (f.take)
		ops->pulled(c, f.take);
	if (n->call != c)
		return false;
	if (end && f.take == len && !c->body_ended) {
		/* pull() may know of the end only behind the last byte. */
		ops->pull ? ops->pull(c, &p, &len, &end) : (void)(len = 0);
		c->body_ended = end && !len;
	}
	return f.take && !c->body_ended && !n->out.len && !n->sending;
}

static bool send_finish(struct up_call *c)
{
	char mem[512] __attribute__((uninitialized));
	const struct req *r = c->ask.req;
	struct iovec iov;
	struct buf b;
	int err;

	if (!c->codec->finish)
		return true;
	buf_fixed(&b, mem, sizeof(mem));
	c->codec->finish(&c->ask, r ? r->trailers : NULL, r ? r->ntrailers : 0, &b);
	if (b.error) {
		char *more = arena_alloc(c->arena, FINISH_BYTES);

		if (!more) {
			up_call_lost(c, -ENOMEM, false);
			return false;
		}
		buf_fixed(&b, more, FINISH_BYTES);
		c->codec->finish(&c->ask, r->trailers, r->ntrailers, &b);
	}
	iov = (struct iovec){b.p, b.len};
	err = b.error ? b.error : b.len ? up_conn_write(c->conn, &iov, 1) : 0;
	if (err)
		up_call_lost(c, err, false);
	return !err;
}

/* The client says nothing more. */
static void end_tunnel(struct up_call *c)
{
	if (c->half)
		over_later(c, CLOSE_DONE);
	else
		up_conn_shut(c->conn);
}

/* As much of the request's body as goes. */
static void pump(struct up_call *c, const struct buf *head)
{
	bool had = c->body_ended;
	struct up_conn *n = c->conn;

	while (send_piece(c, head))
		head = NULL;
	if (n->call == c && c->body_ended && !had && c->state == UP_CALL_ASKED)
		send_finish(c);
	else if (n->call == c && c->body_ended && !had && c->state == UP_CALL_TUNNEL)
		end_tunnel(c);
}

void up_call_kick(struct up_call *c)
{
	if ((c->state == UP_CALL_ASKED || c->state == UP_CALL_TUNNEL) && !c->conn->out.len &&
		!c->conn->sending && !c->body_ended)
		pump(c, NULL);
}

void up_call_sent(struct up_call *c)
{
	c->moved_ms = loop_now_ms(c->gate->loop);
	up_call_kick(c);
}

void up_call_connected(struct up_call *c)
{
	char mem[HEAD_STACK] __attribute__((uninitialized));
	struct buf head;
	int res;

	if (c->connect_only) {
		struct up_server *s = c->server;

		c->state = UP_CALL_OVER;
		up_conn_close(up_call_leave(c));
		up_server_answered(s);
		owner_of(c)->end(c);
		return;
	}
	res = build_head(c, &head, mem, sizeof(mem));
	if (res < 0) {
		over_later(c, (enum close_id) - res);
		return;
	}
	memset(&c->answer, 0, sizeof(c->answer));
	c->codec->init(&c->answer, &c->ask, c->arena);
	c->state = UP_CALL_ASKED;
	c->conn->connected = true;
	c->moved_ms = loop_now_ms(c->gate->loop);
	up_call_wake_in(c, timeout_ms(c));
	pump(c, &head);
}

/* Choosing. */

static bool was_tried(const struct up_call *c, const struct up_server *s)
{
	for (unsigned i = 0; i < c->ntried; i++)
		if (c->tried[i] == s)
			return true;
	return false;
}

static void enqueue(struct up_call *c)
{
	struct upstream *u = c->u;
	uint64_t wait;
	unsigned retry_s;

	if (service_is_down(u, &retry_s) || u->queued >= u->queue) {
		over_later(c, service_is_down(u, &retry_s) ? CLOSE_APP_DOWN
			      : u->queue                    ? CLOSE_UP_QUEUE_FULL
							    : CLOSE_UP_NONE);
		return;
	}
	c->state = UP_CALL_QUEUED;
	c->prev = u->last;
	c->next = NULL;
	*(u->last ? &u->last->next : &u->first) = c;
	u->last = c;
	u->queued++;
	counters_upstream(c->gate, u->number, UPSTREAM_QUEUED, 1);
	wait = c->queue_until_ms - min_of(c->queue_until_ms, loop_now_ms(c->gate->loop));
	up_call_wake_in(c, u->app && c->ntried ? min_of(wait, (uint64_t)GONE_MS) : wait);
	up_tick_in(u->up, UP_TICK_MS);
}

/* For the record. The server may be gone when that is written. */
static void tell_server(struct up_call *c, const struct up_server *s)
{
	c->told->asked = true;
	c->told->server = arena_strndup(c->arena, s->label, s->label_len);
	c->told->server_len = c->told->server ? s->label_len : 0;
}

static void take_server(struct up_call *c, struct up_server *s)
{
	c->begin_us = loop_now_us(c->gate->loop);
	if (c->told)
		tell_server(c, s);
	c->server = s;
	if (c->ntried < UP_TRIED_MAX && !was_tried(c, s))
		c->tried[c->ntried++] = s;
	s->trial = s->out_until_ms != 0;
	s->active++;
	c->u->active++;
	counters_upstream(c->gate, c->u->number, UPSTREAM_ACTIVE, 1);
	if (!c->pinned)
		counters_upstream(c->gate, c->u->number, UPSTREAM_REQUESTS, 1);
	c->counted = true;
	up_call_link(c);
	c->tries++;
}

static void ask_server(struct up_call *c, struct up_server *s, bool fresh)
{
	struct up_conn *n;
	int err;

	take_server(c, s);
	n = fresh ? NULL : up_conn_idle(s);
	if (n) {
		gate_count(c->gate, METRIC_UP_REUSED, 1);
		c->conn = n;
		n->call = c;
		c->reused = true;
		up_call_connected(c);
		return;
	}
	c->reused = false;
	c->fresh = true;
	s->fresh++;
	c->state = UP_CALL_CONNECTING;
	err = up_conn_open(s, c);
	if (err) {
		up_call_lost(c, err, true);
		return;
	}
	up_call_wake_in(c, c->u->timeout_ms);
}

static void try_server(struct up_call *c)
{
	struct up_server *s = up_pick(c->u, c);

	if (s)
		ask_server(c, s, c->tries > 0 || c->last_why);
	else if (c->last_why && !c->u->app)
		over_later(c, (enum close_id)c->last_why);
	else
		enqueue(c);
}

static void begin(struct up_call *c, struct upstream *u)
{
	c->u = u;
	c->codec = u->protocol < UP_CODECS ? up_codecs[u->protocol] : NULL;
	c->timer.op.kind = (uint16_t)(u->up->op_base + UP_OP_CALL_TIMER);
	c->turn.kind = (uint16_t)(u->up->op_base + UP_OP_CALL_TURN);
	c->queue_until_ms = loop_now_ms(c->gate->loop) + u->queue_timeout_ms;
}

void up_call_begin(struct up_call *c, struct upstream *u)
{
	begin(c, u);
	if (!c->codec) {
		over_later(c, CLOSE_UP_NONE);
		return;
	}
	try_server(c);
}

void up_call_begin_at(struct up_call *c, struct up_server *s)
{
	begin(c, s->u);
	c->pinned = true;
	if (!c->codec && !c->connect_only) {
		over_later(c, CLOSE_UP_NONE);
		return;
	}
	ask_server(c, s, true);
}

void up_call_dispatch(struct upstream *u)
{
	struct up_call *c, *next;
	unsigned n = u->queued;

	for (c = u->first; c && n; c = next, n--) {
		struct up_server *s;

		next = c->next;
		s = up_pick(u, c);
		if (!s && c->ntried)
			continue;
		if (!s)
			return;
		unqueue(c);
		c->state = UP_CALL_CONNECTING;
		loop_timer_stop(c->gate->loop, &c->timer);
		ask_server(c, s, false);
	}
}

/* Ends. */

/* May the question be put to another server, or again? */
static bool may_retry(const struct up_call *c, int err, bool connecting)
{
	bool unread = c->reused && !c->answer.begun &&
		      (err == -EPIPE || (err == -ECONNRESET && c->ask.content_length == 0));

	if (c->pinned || c->head_told || c->ask.upgrade || (c->body_begun && !c->body_may_repeat))
		return !c->pinned && !c->head_told && connecting && !c->body_begun;
	if (connecting || unread)
		return true;
	return !c->answer.begun && is_idempotent(c);
}

static void retry(struct up_call *c)
{
	gate_count(c->gate, METRIC_UP_RETRIES, 1);
	counters_upstream(c->gate, c->u->number, UPSTREAM_RETRIES, 1);
	if (c->body_begun && owner_of(c)->rewind)
		owner_of(c)->rewind(c);
	c->body_begun = c->body_ended = false;
	try_server(c);
}

static void fail_or_retry(struct up_call *c, enum close_id why, int err, bool connecting)
{
	bool raced = c->reused && !c->answer.begun && !connecting && why == CLOSE_UP_CLOSED;
	struct up_server *s = c->server;
	struct up_conn *n;
	bool again;

	/* A program of ours that is gone is being started again: the question waits for that one, in the queue and no
	 * longer than it allows. */
	if (c->u->app && (connecting || raced))
		c->tries--;
	again = c->state != UP_CALL_TUNNEL && may_retry(c, err, connecting) &&
		c->tries <= c->u->retry + raced;
	/* There is no other that could be quicker: it would be the same one, twice as busy. */
	again &= !(c->u->app && why == CLOSE_UP_TIMEOUT);
	if (!raced && err != -ENOMEM && err != -ENOBUFS) {
		if (connecting && err != -EBUSY)
			up_server_refused(s, err);
		up_server_failed(s);
		gate_count(c->gate, METRIC_UP_FAULTS, 1);
		counters_upstream(c->gate, c->u->number, UPSTREAM_FAULTS, 1);
	}
	n = up_call_leave(c);
	if (n)
		up_conn_close(n);
	c->last_why = (uint8_t)why;
	if (!again) {
		over_later(c, why);
		return;
	}
	/* A kept connection that was closed says nothing against its server: it is asked again. */
	if (raced && c->ntried)
		c->ntried--;
	retry(c);
}

static enum close_id why_of(int err, bool connecting, const struct up_call *c)
{
	if (err == -ENOMEM)
		return CLOSE_NO_MEMORY;
	if (err == -ENOBUFS)
		return CLOSE_BUDGET;
	if (err == -EBADMSG || err == -EKEYREJECTED)
		return CLOSE_UP_TLS;
	if (!connecting)
		return CLOSE_UP_CLOSED;
	(void)c;
	return err == -ETIMEDOUT ? CLOSE_UP_CONNECT_TIMEOUT : CLOSE_UP_CONNECT;
}

void up_call_lost(struct up_call *c, int err, bool connecting)
{
	fail_or_retry(c, why_of(err, connecting, c), err, connecting);
}

void up_call_refused(struct up_call *c, enum close_id why)
{
	fail_or_retry(c, why, -EBUSY, true);
}

void up_call_on_timer(struct loop *l, struct op *op, int res)
{
	struct up_call *c = container_of(container_of(op, struct timer, op), struct up_call, timer);
	uint64_t now = loop_now_ms(l), due;

	(void)res;
	switch ((enum up_call_state)c->state) {
	case UP_CALL_QUEUED:
		if (c->u->app && c->ntried && now < c->queue_until_ms) {
			/* It lives, as it seems: nobody said that it is gone. */
			c->ntried = 0;
			up_call_wake_in(c, c->queue_until_ms - now);
			up_tick_in(c->u->up, 1);
			return;
		}
		up_call_over(c, CLOSE_UP_NONE);
		return;
	case UP_CALL_CONNECTING:
		fail_or_retry(c, CLOSE_UP_CONNECT_TIMEOUT, -ETIMEDOUT, true);
		return;
	case UP_CALL_ASKED:
		if (c->head_told)
			return;
		due = c->moved_ms + timeout_ms(c);
		/* While the client still sends, the backend need not answer. */
		if (now >= due && !c->body_ended && !c->conn->out.len && !c->conn->sending)
			due = now + timeout_ms(c);
		if (now < due)
			up_call_wake_in(c, due - now);
		else
			fail_or_retry(c, CLOSE_UP_TIMEOUT, -ETIMEDOUT, false);
		return;
	case UP_CALL_TUNNEL:
		due = c->moved_ms + c->idle_ms;
		if (now < due)
			up_call_wake_in(c, due - now);
		else
			up_call_over(c, CLOSE_TUNNEL_IDLE);
		return;
	default:
		return;
	}
}
