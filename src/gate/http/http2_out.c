/*
 * http2_out.c: frames on their way to the client (RFC 9113 sections 4, 5.2 and 6.1).
 *
 * Called by http2.c once a turn. nghttp2 decides what goes next, by priority and windows; frames are
 * gathered in the connection's queue and leave in one system call. Owns nothing. A body's bytes are
 * copied once, from its stream's queue or its file straight behind the frame's head.
 */
#include "http2.h"

#include <errno.h>
#include <unistd.h>

enum { FRAME_HEAD = 9 };

static uint64_t ready(const struct h2_stream *s)
{
	return s->out.bytes + s->file_len;
}

ssize_t http2_on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
	nghttp2_data_source *source, void *arg)
{
	struct h2_stream *s = source->ptr;
	uint64_t have = ready(s);

	(void)buf;
	(void)arg;
	if (have == 0 && !s->out_ended) {
		s->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	n = (size_t)min_of((uint64_t)n, have);
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (n == have && s->out_ended) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (s->tail_n && nghttp2_submit_trailer(session, id, s->tail, s->tail_n) == 0)
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	}
	return (ssize_t)n;
}

/* n bytes of the stream's file. False: it is shorter than it was, or cannot be read, or there is no memory. */
static bool put_file(struct h2 *h, struct h2_stream *s, size_t n)
{
	while (n) {
		size_t room;
		char *to = outq_room(h->conn->gate, &h->out, &room);
		ssize_t got = to ? pread(s->file_fd, to, min_of(room, n), (off_t)s->file_off) : -1;

		if (got <= 0)
			return false;
		outq_filled(&h->out, (size_t)got);
		s->file_off += (uint64_t)got;
		s->file_len -= (uint64_t)got;
		n -= (size_t)got;
	}
	return true;
}

int http2_on_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t n,
	nghttp2_data_source *source, void *arg)
{
	struct h2 *h = arg;
	struct gate *g = h->conn->gate;
	struct h2_stream *s = source->ptr;
	size_t from_queue = min_of(n, (size_t)s->out.bytes);

	(void)session;
	(void)frame;
	if (s->why)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (!outq_put(g, &h->out, (const char *)head, FRAME_HEAD) || !outq_move(g, &h->out, &s->out, from_queue) ||
		!put_file(h, s, n - from_queue)) {
		/* A part of the frame may stand there: nothing behind it could be read. */
		h->cut = s->file_len ? CLOSE_FILE_ERROR : CLOSE_BUDGET;
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	h->held -= (uint32_t)from_queue;
	if (s->pace_out)
		s->moved += n;
	return 0;
}

bool http2_out_done(const struct h2 *h)
{
	return !h->sending && !h->out.first && !nghttp2_session_want_write(h->session);
}

/* Have nghttp2 make frames until enough of them wait. */
static void gather(struct h2 *h)
{
	h->inside = true;
	while (h->out.bytes < H2_OUT_MAX && !h->cut) {
		const uint8_t *p;
		ssize_t n = nghttp2_session_mem_send(h->session, &p);

		if (n < 0 && !h->cut)
			h->cut = CLOSE_NO_MEMORY;
		if (n <= 0)
			break;
		if (!outq_put(h->conn->gate, &h->out, (const char *)p, (size_t)n))
			h->cut = CLOSE_BUDGET;
	}
	h->inside = false;
}

static void sent(struct h2 *h)
{
	struct conn *c = h->conn;

	c->ledger.bytes_out += h->send.sent;
	gate_count(c->gate, METRIC_BYTES_OUT, (int64_t)h->send.sent);
	outq_drop(c->gate, &h->out, (size_t)h->send.sent);
	h->sent_ms = loop_now_ms(c->gate->loop);
}

static void failed(struct h2 *h, int err)
{
	if (!h->cut)
		h->cut = err == -EPIPE || err == -ECONNRESET || err == -ETIMEDOUT ? CLOSE_CLIENT_GONE : CLOSE_IO_ERROR;
}

bool http2_out_run(struct h2 *h)
{
	struct send_op *op = &h->send;
	struct conn *c = h->conn;
	unsigned n = 0;
	int res;

	if (h->sending || h->cut)
		return false;
	gather(h);
	if (!h->out.first || h->cut)
		return h->cut != 0;
	for (struct outbuf *b = h->out.first; b && n < SEND_IOV_MAX; b = b->next)
		op->iov[n++] = (struct iovec){b->bytes + b->at, b->len - b->at};
	op->iovcnt = (uint8_t)n;
	op->more = false;
	op->file_len = 0;
	res = conn_send(c, op);
	if (res == -EINPROGRESS) {
		h->sending = true;
		return false;
	}
	if (res < 0)
		failed(h, res);
	else
		sent(h);
	return true;
}

void http2_on_send(struct loop *l, struct op *op, int res)
{
	struct h2 *h = container_of(op, struct h2, send.op);
	struct conn *c = h->conn;

	(void)l;
	conn_enter(c);
	h->sending = false;
	if (res < 0)
		failed(h, res);
	else
		sent(h);
	http2_run(c);
	conn_leave(c);
}
