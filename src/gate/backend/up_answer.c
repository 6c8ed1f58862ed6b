/*
 * up_answer.c: a call's answer on its way to its owner: piece by piece, held while the owner takes no more.
 *
 * Called by up_conn.c with what arrived and by up_call.c when there is room again. Owns nothing. An owner
 * may cancel its call in everything it is told, so behind each word only the connection is looked at.
 */
#include "counters.h"
#include "up.h"
#include "lib/must.h"
#include "tls.h"

#include <errno.h>

static const struct up_owner_ops *owner_of(const struct up_call *c)
{
	return up_owners[c->owner];
}

/* The answer is whole: the connection first, so that the owner may ask again at once. */
static void finish(struct up_call *c)
{
	bool keep = c->answer.keep && c->codec->keeps && c->body_ended &&
		    c->state == UP_CALL_ASKED;
	struct up_conn *n = up_call_leave(c);

	c->state = UP_CALL_OVER;
	up_conn_keep(n, keep);
	owner_of(c)->end(c);
}

static void got_head(struct up_call *c, struct up_head *h)
{
	c->head_told = true;
	if (!c->pinned)
		counters_answer(
			c->gate, c->u->number, h->status, loop_now_us(c->gate->loop) - c->begin_us);
	if (c->told) {
		c->told->status = h->status;
		c->told->us = loop_now_us(c->gate->loop) - c->begin_us;
	}
	up_server_answered(c->server);
	loop_timer_stop(c->gate->loop, &c->timer);
	if (h->status == 101) {
		c->state = UP_CALL_TUNNEL;
		c->body_ended = false;
		c->moved_ms = loop_now_ms(c->gate->loop);
		if (c->idle_ms)
			up_call_wake_in(c, c->idle_ms);
	}
	owner_of(c)->head(c, h, c->answer.last);
}

/* Hand on what is held. False: the owner takes no more now, or the call is over. */
static bool push(struct up_conn *n, struct up_call *c)
{
	size_t len = c->hold_len, took;

	took = owner_of(c)->body(c, c->hold, len, c->hold_last);
	if (n->call != c)
		return false;
	c->hold += took;
	c->hold_len -= took;
	c->blocked = c->hold_len > 0;
	return !c->blocked;
}

/* More bytes to look at; 0: none. */
static size_t input(struct up_conn *n)
{
	if (n->in_at == n->in_len && n->tls) {
		n->in_len = (uint32_t)tls_read(n->tls, &n->in, &n->in_at);
		n->eof |= tls_closed(n->tls);
	}
	return n->in_len - n->in_at;
}

static void heard_end(struct up_call *c)
{
	int res = c->codec->eof(&c->answer);

	if (res == 0 && c->state == UP_CALL_TUNNEL && !c->body_ended) {
		/* The backend says nothing more, and may listen still. */
		if (!c->half)
			owner_of(c)->body(c, "", 0, true);
		c->half = true;
	} else if (res == 0) {
		c->answer.keep = false;
		finish(c);
	} else if (c->head_told || c->answer.begun) {
		up_call_over(c, (enum close_id) - res);
	} else {
		/* Closed behind our question; was it before it could be read? */
		up_call_lost(c, -ECONNABORTED, false);
	}
}

static void take_piece(struct up_call *c, const struct up_piece *piece, struct up_head *head)
{
	const struct up_owner_ops *ops = owner_of(c);

	switch (piece->kind) {
	case UP_PIECE_INTERIM:
		c->moved_ms = loop_now_ms(c->gate->loop);
		if (ops->interim)
			ops->interim(c, head);
		return;
	case UP_PIECE_HEAD:
		got_head(c, head);
		return;
	case UP_PIECE_BODY:
		c->moved_ms = loop_now_ms(c->gate->loop);
		c->hold = piece->data;
		c->hold_len = piece->len;
		c->hold_last = c->answer.last;
		return;
	case UP_PIECE_TRAILERS:
		if (ops->trailers)
			ops->trailers(c, head->fields, head->nfields);
		return;
	case UP_PIECE_LOG:
		if (ops->log)
			ops->log(c, piece->data, piece->len);
		return;
	case UP_PIECE_MORE:
	case UP_PIECE_END:
		return;
	}
}

void up_call_deliver(struct up_conn *n)
{
	struct up_head head __attribute__((uninitialized));
	struct up_piece piece;
	struct up_call *c;

	while ((c = n->call) != NULL) {
		size_t len;
		int64_t used;

		if (c->hold_len) {
			if (!push(n, c))
				return;
			continue;
		}
		len = input(n);
		/* Nothing may lie there: an answer can end without a byte. */
		used = c->codec->decode(&c->answer, len ? n->in + n->in_at : "", len, &piece, &head);
		if (used == -CLOSE_UP_BUSY || used == -CLOSE_UP_ROLE) {
			up_call_refused(c, (enum close_id) - used);
			return;
		}
		if (used < 0) {
			if (-used == CLOSE_UP_GARBAGE)
				up_server_failed(c->server);
			up_call_over(c, (enum close_id) - used);
			return;
		}
		n->in_at += (uint32_t)used;
		if (c->answer.begun)
			up_call_heard(c);
		if (piece.kind == UP_PIECE_END) {
			finish(c);
			return;
		}
		if (piece.kind == UP_PIECE_MORE) {
			if (input(n))
				continue;
			if (n->tls && tls_broken(n->tls))
				up_call_lost(c, -EBADMSG, false);
			else if (n->eof)
				heard_end(c);
			return;
		}
		take_piece(c, &piece, &head);
	}
	/* A kept connection with bytes on it that nobody asked for. */
	if (n->server && n->idle && input(n))
		up_conn_close(n);
}

void up_call_room(struct up_call *c)
{
	struct up_conn *n = c->conn;

	if (!c->blocked || !n)
		return;
	c->blocked = false;
	up_call_deliver(n);
	if (!n->server || (n->call && n->call->blocked))
		return;
	if (n->in_at == n->in_len)
		up_conn_drop_input(n);
	if (!n->in)
		up_conn_receive(n);
}
