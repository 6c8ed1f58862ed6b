/*
 * http2_recv.c: what nghttp2 tells of the frames that come and go (RFC 9113 section 6), and what each
 * costs the connection's ledger.
 *
 * Called by the library, from within nghttp2_session_mem_recv() and nghttp2_session_mem_send() of
 * http2.c and http2_out.c. Owns nothing. Nothing here ends the connection: that is noted (http2_end(),
 * `cut`) and done when the library is off the stack.
 *
 * What is paid for: a frame that carries no content is waste by its bytes; a stream that the client
 * takes back before its answer is a reset (Rapid Reset, CVE-2023-44487), and so is one that the client
 * makes us reset by breaking the rules on it (MadeYouReset, CVE-2025-8671).
 */
#include "http2.h"

#include <string.h>

enum {
	FRAME_HEAD = 9,
	UPDATE_SMALL = 1024, /* a WINDOW_UPDATE of less is only noise */
	CONTROL_COST = 64,   /* of a control frame, besides its bytes */
};

enum { CLOSED_BY_US = 1u << 31 };

static void broken(struct h2 *h, uint32_t error)
{
	http2_end(h, error, CLOSE_BAD_FRAME);
}

/* A stream's number: 31 bits (RFC 9113 section 4.1). */
static uint32_t id_of(const uint8_t *p)
{
	return ((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]) & 0x7fffffff;
}

/* PRIORITY means nothing here (RFC 9113 section 5.3.2), but has rules: not of the connection, and of no
 * stream that depends on itself (sections 6.3, and RFC 7540 section 5.3.1). */
static void look_at_priority(struct h2 *h)
{
	const uint8_t *f = h->walk.head;
	uint32_t id = id_of(f + 5);

	if (id == 0 || id == id_of(f + 9))
		broken(h, NGHTTP2_PROTOCOL_ERROR);
}

/* One byte of a frame's head, or of the beginning of PRIORITY's payload. */
static void walk_head(struct h2 *h, uint8_t byte)
{
	struct h2_walk *w = &h->walk;

	w->left -= w->have >= FRAME_HEAD;
	w->head[w->have++] = byte;
	if (w->have == FRAME_HEAD) {
		w->left = (uint32_t)w->head[0] << 16 | (uint32_t)w->head[1] << 8 | w->head[2];
		w->data = w->head[3] == NGHTTP2_DATA;
		if (w->head[3] != NGHTTP2_PRIORITY || w->left < sizeof(w->head) - FRAME_HEAD)
			w->have = 0;
	} else if (w->have == sizeof(w->head)) {
		look_at_priority(h);
		w->have = 0;
	}
}

size_t http2_walk(struct h2 *h, const uint8_t *p, size_t n)
{
	struct h2_walk *w = &h->walk;
	size_t at = 0;

	while (at < n && !w->data) {
		if (w->left && !w->have) {
			size_t skip = min_of(n - at, (size_t)w->left);

			w->left -= (uint32_t)skip;
			at += skip;
		} else {
			walk_head(h, p[at++]);
		}
	}
	return at;
}

/* A frame of a stream that is not there (RFC 9113 section 5.1). What we reset may still be on its way;
 * who goes on with what he ended himself does not know what he says. */
static void on_closed_stream(struct h2 *h, const nghttp2_frame_hd *hd)
{
	uint32_t id = (uint32_t)hd->stream_id;

	for (unsigned i = 0; i < H2_CLOSED_KEPT; i++) {
		if ((h->closed[i] & ~(uint32_t)CLOSED_BY_US) != id)
			continue;
		if (!(h->closed[i] & CLOSED_BY_US))
			broken(h, NGHTTP2_STREAM_CLOSED);
		return;
	}
	/* It never was: streams are opened in the order of their numbers (section 5.1.1). */
	if (hd->type == NGHTTP2_HEADERS)
		broken(h, NGHTTP2_PROTOCOL_ERROR);
}

static void over(struct h2 *h)
{
	http2_end(h, NGHTTP2_ENHANCE_YOUR_CALM, CLOSE_LEDGER);
}

static void waste(struct h2 *h, uint64_t n)
{
	if (ledger_waste(&h->conn->ledger, n))
		over(h);
}

/* A DATA frame begins: nghttp2 says nothing of one that it drops. */
void http2_walked(struct h2 *h)
{
	const uint8_t *f = h->walk.head;
	nghttp2_frame_hd hd = {.type = NGHTTP2_DATA, .stream_id = (int32_t)id_of(f + 5)};

	if (!h->walk.data)
		return;
	h->walk.data = false;
	if (h->walk.left == 0)
		waste(h, FRAME_HEAD);
	if ((uint32_t)hd.stream_id > h->last_id || hd.stream_id % 2 == 0 ||
		nghttp2_session_get_stream_user_data(h->session, hd.stream_id))
		return;
	waste(h, FRAME_HEAD + h->walk.left);
	on_closed_stream(h, &hd);
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *arg)
{
	struct h2 *h = arg;

	if (hd->type == NGHTTP2_HEADERS && (uint32_t)hd->stream_id <= h->last_id &&
		hd->stream_id % 2 && !nghttp2_session_get_stream_user_data(session, hd->stream_id))
		on_closed_stream(h, hd);
	switch (hd->type) {
	case NGHTTP2_DATA:
		break;
	case NGHTTP2_HEADERS:
		h->block_bytes = (uint32_t)hd->length;
		break;
	case NGHTTP2_CONTINUATION:
		h->block_bytes += (uint32_t)hd->length;
		/* A head in pieces is no fault, but only a whole one pays for them. */
		waste(h, hd->length < UPDATE_SMALL ? UPDATE_SMALL + CONTROL_COST : hd->length);
		break;
	case NGHTTP2_WINDOW_UPDATE:
		break;
	default:
		waste(h, FRAME_HEAD + hd->length + CONTROL_COST);
	}
	return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h = arg;
	struct h2_stream *s;

	h->block_ms = loop_now_ms(h->conn->gate->loop);
	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	h->last_id = (uint32_t)frame->hd.stream_id;
	s = http2_stream_new(h, frame->hd.stream_id);
	if (!s) {
		h->closed[h->closed_n++ % H2_CLOSED_KEPT] = h->last_id | CLOSED_BY_US;
		(void)nghttp2_submit_rst_stream(
			session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
		return 0;
	}
	(void)nghttp2_session_set_stream_user_data(session, s->id, s);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
	const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	(void)flags;
	(void)arg;
	if (!s)
		return 0;
	if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		http2_head_add(s, (const char *)name, name_len, (const char *)value, value_len);
		return 0;
	}
	return http2_trailer_add(s, (const char *)name, name_len, (const char *)value, value_len)
		       ? 0
		       : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
	(void)session;
	(void)frame;
	(void)name;
	(void)name_len;
	(void)value;
	(void)value_len;
	(void)flags;
	(void)arg;
	/* A malformed request is a stream error, never mended (RFC 9113 section 8.1.1). */
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void on_headers(struct h2 *h, struct h2_stream *s, const nghttp2_frame *frame)
{
	bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

	h->block_ms = 0;
	if (!s)
		return;
	if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		http2_head_done(s, end);
	else if (end)
		http2_stream_body_end(s);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h = arg;
	struct h2_stream *s = frame->hd.stream_id
				      ? nghttp2_session_get_stream_user_data(session, frame->hd.stream_id)
				      : NULL;

	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		on_headers(h, s, frame);
		break;
	case NGHTTP2_DATA:
		if (s && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
			http2_stream_body_end(s);
		break;
	case NGHTTP2_RST_STREAM:
		if (s)
			s->taken_back = true;
		break;
	case NGHTTP2_WINDOW_UPDATE:
		waste(h, frame->window_update.window_size_increment < UPDATE_SMALL
				 ? FRAME_HEAD + 4 + CONTROL_COST
				 : 1);
		break;
	case NGHTTP2_SETTINGS:
		h->greeted = true;
		break;
	default:
		break;
	}
	return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct h2 *h = arg;
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);

	(void)flags;
	if (s && s->req && (s->tunnel || !s->req->ended)) {
		ledger_content(&h->conn->ledger, n);
		http2_stream_body(s, (const char *)p, n);
		return 0;
	}
	waste(h, n);
	(void)nghttp2_session_consume(session, id, n);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
	struct h2 *h = arg;
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
	enum close_id why;

	h->block_ms = 0;
	if (!s)
		return 0;
	(void)nghttp2_session_set_stream_user_data(session, id, NULL);
	h->closed[h->closed_n++ % H2_CLOSED_KEPT] =
		(uint32_t)id | (s->taken_back || s->body_done ? 0 : CLOSED_BY_US);
	why = s->why ? (enum close_id)s->why : s->taken_back ? CLOSE_CLIENT_GONE : CLOSE_BAD_FRAME;
	if ((s->taken_back || (error != NGHTTP2_NO_ERROR && !s->why)) && !s->end_given &&
		ledger_reset(&h->conn->ledger))
		over(h);
	http2_stream_closed(s, why);
	return 0;
}

/* The answer is whole. A client that still sends its body is told that nobody wants it (RFC 9113
 * section 8.1). */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2_stream *s;

	(void)arg;
	if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
		!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	if (!s)
		return 0;
	s->end_given = true;
	if (!s->body_done)
		(void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
	return 0;
}

int http2_callbacks(nghttp2_session_callbacks **ret)
{
	int err = nghttp2_session_callbacks_new(ret);

	if (err)
		return err;
	nghttp2_session_callbacks_set_on_begin_frame_callback(*ret, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(*ret, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(*ret, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(*ret, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(*ret, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(*ret, on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(*ret, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(*ret, on_frame_send);
	nghttp2_session_callbacks_set_send_data_callback(*ret, http2_on_data);
	return 0;
}
