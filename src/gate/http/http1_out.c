/*
 * http1_out.c: the answer: its framing (RFC 9112 section 7) and its way out.
 *
 * Called through http1_stream_ops by requests and by http1.c. Owns the buffers that hold what a
 * slow client has not taken, charged to the gate's budget. A head and a body that are known at once
 * leave in one system call, the body's bytes from where they are; only what the socket does not
 * take is copied.
 */
#include "http1.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DIRECT_MIN = 8 * 1024 };

static const char last_chunk[] = "0\r\n\r\n";

/* Buffers. */

static void drop_file(struct h1 *h)
{
	if (h->file_fd >= 0 && h->file_owned)
		close(h->file_fd);
	h->file_fd = -1;
	h->file_len = 0;
}

void http1_out_drop(struct h1 *h)
{
	outq_done(h->conn->gate, &h->out);
	drop_file(h);
}

/* Copy to the buffers. False: no memory; the exchange is cut. */
bool http1_put(struct h1 *h, const char *p, size_t n)
{
	if (outq_put(h->conn->gate, &h->out, p, n))
		return true;
	h->cut = CLOSE_BUDGET;
	http1_kick(h);
	return false;
}

/* Sending. */

/* How many of the first n bytes of op's vector are gone is op->sent; copy the others to the
 * buffers. */
static bool keep_unsent(struct h1 *h, const struct iovec *iov, unsigned n, uint64_t sent)
{
	for (unsigned i = 0; i < n; i++) {
		size_t skip = (size_t)min_of(sent, (uint64_t)iov[i].iov_len);

		sent -= skip;
		if (!http1_put(h, (const char *)iov[i].iov_base + skip, iov[i].iov_len - skip))
			return false;
	}
	return true;
}

static void send_failed(struct h1 *h, int err)
{
	h->cut = err == -EPIPE || err == -ECONNRESET || err == -ETIMEDOUT ? CLOSE_CLIENT_GONE
		 : err == -EIO                                            ? CLOSE_FILE_ERROR
									  : CLOSE_IO_ERROR;
	http1_kick(h);
}

static void sent(struct h1 *h)
{
	h->conn->ledger.bytes_out += h->send.sent;
	gate_count(h->conn->gate, METRIC_BYTES_OUT, (int64_t)h->send.sent);
}

/* Head and last piece of body at once, straight from the caller's memory. */
static void send_direct(struct h1 *h, const struct iovec *iov, unsigned n)
{
	struct send_op *s = &h->send;
	struct conn *c = h->conn;
	int res;

	memcpy(s->iov, iov, n * sizeof(*iov));
	s->iovcnt = (uint8_t)n;
	s->more = false;
	s->file_len = 0;
	res = conn_send(c, s);
	if (res == -EINPROGRESS) {
		uint64_t gone = s->sent;

		/* The caller's bytes are lent for this call only. */
		conn_send_cancel(c);
		sent(h);
		if (!keep_unsent(h, iov, n, gone))
			return;
		http1_out_run(h);
	} else if (res < 0) {
		send_failed(h, res);
	} else {
		sent(h);
	}
}

/* A buffer may have grown while it was on its way, so what went is counted in bytes. */
static void release_sent(struct h1 *h)
{
	uint64_t left = h->send.sent - h->send.file_len;

	sent(h);
	h->sending = false;
	if (h->out_head) {
		left -= h->out_head_len;
		h->out_head = NULL;
	}
	outq_drop(h->conn->gate, &h->out, (size_t)left);
	if (!h->send.file_len)
		return;
	drop_file(h);
	if (h->file_chunk)
		http1_put(h, "\r\n0\r\n\r\n", 7);
	h->file_chunk = false;
}

bool http1_out_run(struct h1 *h)
{
	struct send_op *s = &h->send;
	struct conn *c = h->conn;
	struct outbuf *b = h->out.first;
	unsigned n = 0;
	int res;

	if (h->sending || h->cut || (!h->out_head && !b && h->file_fd < 0))
		return false;
	if (h->out_head)
		s->iov[n++] = (struct iovec){h->out_head, h->out_head_len};
	for (; b && n < SEND_IOV_MAX; b = b->next)
		s->iov[n++] = (struct iovec){b->bytes + b->at, b->len - b->at};
	s->iovcnt = (uint8_t)n;
	s->more = b != NULL;
	s->file_len = 0;
	if (!b && h->file_fd >= 0) {
		s->file_fd = h->file_fd;
		s->file_off = h->file_off;
		s->file_len = h->file_len;
	}
	res = conn_send(c, s);
	if (res == -EINPROGRESS) {
		h->sending = true;
		return false;
	}
	if (res < 0) {
		send_failed(h, res);
		return true;
	}
	release_sent(h);
	return true;
}

bool http1_tell_room(struct h1 *h)
{
	if (!h->room_wanted || h->out_ended || !h->req ||
		http1_room(h->conn->gate, &h->stream) == 0)
		return false;
	h->room_wanted = false;
	req_on_room(h->req);
	return true;
}

void http1_on_send(struct loop *l, struct op *op, int res)
{
	struct h1 *h = container_of(op, struct h1, send.op);
	struct conn *c = h->conn;

	(void)l;
	conn_enter(c);
	if (res < 0) {
		h->sending = false;
		send_failed(h, res);
	} else {
		release_sent(h);
		(void)http1_tell_room(h);
	}
	http1_run(c);
	conn_leave(c);
}

bool http1_out_done(const struct h1 *h)
{
	return h->out_ended && !h->sending && !h->out_head && !h->out.first && h->file_fd < 0;
}

/* Bodies. */

size_t http1_room(struct gate *g, struct stream *s)
{
	struct h1 *h = container_of(s, struct h1, stream);
	size_t room;

	(void)g;
	if (h->out_ended || h->cut || h->file_fd >= 0)
		return 0;
	room = h->out.bytes < STREAM_WINDOW ? STREAM_WINDOW - h->out.bytes : 0;
	h->room_wanted = room == 0;
	return room;
}

/* The size line of a chunk of n bytes; its length. */
static unsigned chunk_line(char *line, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	unsigned len = 0;
	int shift = 60;

	while (shift > 0 && !(n >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		line[len++] = digits[n >> shift & 15];
	line[len++] = '\r';
	line[len++] = '\n';
	return len;
}

static void body_direct(struct h1 *h, const char *p, size_t n, bool end)
{
	struct iovec iov[SEND_IOV_MAX];
	unsigned k = 0;

	if (h->out_head)
		iov[k++] = (struct iovec){h->out_head, h->out_head_len};
	h->out_head = NULL;
	if (h->chunked_out && n)
		iov[k++] = (struct iovec){h->chunk_line, chunk_line(h->chunk_line, n)};
	if (n)
		iov[k++] = (struct iovec){(void *)p, n};
	if (h->chunked_out && n)
		iov[k++] = (struct iovec){(void *)"\r\n0\r\n\r\n", end ? 7 : 2};
	else if (h->chunked_out && end)
		iov[k++] = (struct iovec){(void *)last_chunk, 5};
	if (k)
		send_direct(h, iov, k);
}

static bool body_put(struct h1 *h, const char *p, size_t n, bool end)
{
	char line[24];

	if (h->chunked_out && n && !http1_put(h, line, chunk_line(line, n)))
		return false;
	if (n && !http1_put(h, p, n))
		return false;
	if (h->chunked_out && n && !http1_put(h, "\r\n", 2))
		return false;
	return !(h->chunked_out && end) || http1_put(h, last_chunk, 5);
}

/* The handler said the end before it gave as much as its Content-Length: the client must see that
 * the answer is cut. */
static bool is_short(struct h1 *h)
{
	if (h->out_left <= 0 || h->no_body)
		return false;
	h->cut = CLOSE_APP_SHORT;
	return true;
}

size_t http1_body(struct gate *g, struct stream *s, const void *p, size_t n, bool end)
{
	struct h1 *h = container_of(s, struct h1, stream);
	size_t room = http1_room(g, s);
	bool last;

	if (!h->head_sent || h->out_ended || h->cut)
		return 0;
	if (h->no_body)
		n = 0;
	if (h->out_left >= 0 && n > (uint64_t)h->out_left)
		n = (size_t)h->out_left;
	last = end && n <= room;
	n = min_of(n, room);
	if (h->out_left >= 0)
		h->out_left -= (int64_t)n;
	h->out_ended = last;
	if (last && h->tunnel && h->req && h->req->body_done && !h->body_done) {
		/* Both ways end: what the client still says is for nobody. */
		h->body_done = h->body_told = true;
		h->bad = true;
	}
	/* Large pieces go from where they are; small ones are gathered to the turn's end. */
	if ((last || n >= DIRECT_MIN) && !h->out.first && !h->sending && !(last && is_short(h))) {
		body_direct(h, p, n, last);
	} else if (body_put(h, p, n, last) && last && is_short(h)) {
		h->cut = CLOSE_APP_SHORT;
	}
	h->room_wanted = !last && n == room;
	http1_kick(h);
	return n;
}

int http1_file(struct gate *g, struct stream *s, int fd, uint64_t off, uint64_t len, bool owned)
{
	struct h1 *h = container_of(s, struct h1, stream);

	(void)g;
	must(h->head_sent && !h->out_ended && h->file_fd < 0);
	if (h->out_left >= 0 && len > (uint64_t)h->out_left)
		len = (uint64_t)h->out_left;
	if (h->out_left >= 0)
		h->out_left -= (int64_t)len;
	h->out_ended = true;
	h->file_fd = fd;
	h->file_owned = owned;
	h->file_off = off;
	h->file_len = len;
	if (h->no_body || len == 0)
		drop_file(h);
	if (h->chunked_out && h->file_len) {
		h->file_chunk = true;
		http1_put(h, h->chunk_line, chunk_line(h->chunk_line, len));
	} else if (h->chunked_out) {
		http1_put(h, last_chunk, 5);
	}
	(void)is_short(h);
	http1_out_run(h);
	http1_kick(h);
	return 0;
}

void http1_reset(struct gate *g, struct stream *s, enum close_id why)
{
	struct h1 *h = container_of(s, struct h1, stream);

	(void)g;
	/* What is there of an answer is the client's, also when it is cut. */
	if (h->head_sent && !h->cut)
		http1_out_run(h);
	if (!h->cut)
		h->cut = (uint8_t)why;
	http1_kick(h);
}
