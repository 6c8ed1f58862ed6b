/*
 * http2_stream.c: one exchange of an HTTP/2 connection: what its request says (RFC 9113 sections 5.1,
 * 5.2, 8.1).
 *
 * Called through http2_stream_ops by requests, and by http2_recv.c with what came. Owns the bytes of
 * the answer that wait for the client's windows. A stream ends once, in http2_stream_closed().
 */
#include "http2.h"
#include "httpdate.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* A piece of a tunnel's bytes that came before the tunnel was open. */
struct h2_early {
	struct h2_early *next;
	size_t n;
	char bytes[];
};

static struct h2_stream *of(struct stream *s)
{
	return container_of(s, struct h2_stream, stream);
}

static void drop_file(struct h2_stream *s)
{
	if (s->file_fd >= 0 && s->file_owned)
		close(s->file_fd);
	s->file_fd = -1;
	s->file_len = 0;
}

void http2_stream_closed(struct h2_stream *s, enum close_id why)
{
	struct h2 *h = s->h2;
	struct conn *c = h->conn;
	struct req *r = s->req;
	struct arena a;

	if (r) {
		s->req = NULL;
		c->idle_ms = r->site && r->site->idle_timeout_ms ? r->site->idle_timeout_ms : c->gate->limits.idle_ms;
		if (s->end_given && s->out_ended) {
			ledger_answered(&c->ledger);
			req_done(r, r->close ? r->close : CLOSE_DONE);
		} else {
			req_on_reset(r, why);
			r->body_out -= min_of(r->body_out, s->file_len);
			req_done(r, r->close ? r->close : why);
		}
	}
	if (s->next)
		s->next->prev = s->prev;
	*(s->prev ? &s->prev->next : &h->streams) = s->next;
	h->streams_n--;
	h->heads_bytes -= s->head_bytes;
	h->amplified -= s->amplified;
	http2_unshare(s);
	h->held -= s->out.bytes;
	outq_done(c->gate, &s->out);
	drop_file(s);
	if (s->unused)
		(void)nghttp2_session_consume_connection(h->session, s->unused);
	if (h->streams_n == 0)
		c->since_ms = loop_now_ms(c->gate->loop);
	a = *s->owner;
	arena_reset(&a);
}

void http2_stream_cut(struct h2_stream *s, uint32_t error, enum close_id why)
{
	if (s->why)
		return;
	s->why = (uint8_t)why;
	(void)nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, error);
	http2_kick(s->h2);
}

/* The request's body. */

void http2_stream_body(struct h2_stream *s, const char *p, size_t n)
{
	s->unused += (uint32_t)n;
	if (!s->pace_out)
		s->moved += n;
	if (s->extended && !s->tunnel) {
		/* The window bounds how much of this there can be. */
		struct h2_early *e = arena_alloc(s->owner, sizeof(*e) + n), **at = &s->early;

		if (!e) {
			http2_stream_cut(s, NGHTTP2_ENHANCE_YOUR_CALM, CLOSE_NO_MEMORY);
			return;
		}
		e->next = NULL;
		e->n = n;
		memcpy(e->bytes, p, n);
		while (*at)
			at = &(*at)->next;
		*at = e;
		return;
	}
	req_on_body(s->req, p, n);
}

void http2_stream_body_end(struct h2_stream *s)
{
	struct req *r = s->req;

	s->body_done = true;
	if (!r || s->body_told || (s->extended && !s->tunnel))
		return;
	s->body_told = true;
	if (!s->tunnel && r->ended)
		return;
	if (s->trailers_n) {
		r->trailers = s->trailers;
		r->ntrailers = s->trailers_n;
	}
	req_on_end(r);
}

static void consume(struct gate *g, struct stream *stream, size_t n)
{
	struct h2_stream *s = of(stream);

	(void)g;
	n = min_of(n, (size_t)s->unused);
	if (n == 0)
		return;
	s->unused -= (uint32_t)n;
	(void)nghttp2_session_consume(s->h2->session, s->id, n);
	http2_kick(s->h2);
}

/* The answer's head. */

struct nvs {
	nghttp2_nv *nv;
	size_t n;
};

static void nv_put(struct nvs *v, const char *name, size_t name_len, const char *value, size_t value_len)
{
	v->nv[v->n++] = (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, name_len, value_len,
		NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

static bool is_hop(const struct field *f, const char *name)
{
	return f->name_len == strlen(name) && strncasecmp(f->name, name, f->name_len) == 0;
}

/* What HTTP/1.1 says of its connection, and the answer to a key that we made. */
static bool goes_no_further(const struct field *f)
{
	return is_hop(f, "connection") || is_hop(f, "upgrade") || is_hop(f, "keep-alive") ||
	       is_hop(f, "transfer-encoding") || is_hop(f, "proxy-connection") || is_hop(f, "sec-websocket-accept");
}

/* Names go out in lower case (RFC 9113 section 8.2.1). */
static bool nv_fields(struct nvs *v, struct arena *a, const struct field *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char *name;

		if (goes_no_further(&f[i]))
			continue;
		name = arena_alloc(a, f[i].name_len + 1);
		if (!name)
			return false;
		for (uint32_t k = 0; k < f[i].name_len; k++)
			name[k] = f[i].name[k] >= 'A' && f[i].name[k] <= 'Z' ? (char)(f[i].name[k] + 32) : f[i].name[k];
		nv_put(v, name, f[i].name_len, f[i].value, f[i].value_len);
	}
	return true;
}

static bool nv_status(struct nvs *v, struct arena *a, unsigned status)
{
	char *text = arena_alloc(a, 4);

	if (!text)
		return false;
	for (int i = 2; i >= 0; i--, status /= 10)
		text[i] = (char)('0' + status % 10);
	nv_put(v, ":status", 7, text, 3);
	return true;
}

static int interim(struct gate *g, struct stream *stream, uint16_t status, const struct field *f, unsigned n)
{
	struct h2_stream *s = of(stream);
	struct arena *a = s->owner;
	struct nvs v = {.nv = arena_alloc(a, (n + 1) * sizeof(nghttp2_nv))};

	(void)g;
	if (s->head_sent || s->why)
		return -EPIPE;
	if (!v.nv || !nv_status(&v, a, status) || !nv_fields(&v, a, f, n))
		return -ENOMEM;
	if (nghttp2_submit_headers(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NULL, v.nv, v.n, NULL) < 0)
		return -EPIPE;
	http2_kick(s->h2);
	return 0;
}

static bool nv_length(struct nvs *v, struct arena *a, int64_t length)
{
	char *text = arena_alloc(a, 20), *at = text + 20;
	uint64_t n = (uint64_t)length;

	if (!text)
		return false;
	do
		*--at = (char)('0' + n % 10);
	while (n /= 10);
	nv_put(v, "content-length", 14, at, (size_t)(text + 20 - at));
	return true;
}

static bool nv_head(struct nvs *v, struct gate *g, struct h2_stream *s, const struct resp_head *h, unsigned status)
{
	struct arena *a = s->owner;
	const char *date = h->date;
	char *now;

	v->nv = arena_alloc(a, (h->nfields + 4) * sizeof(nghttp2_nv));
	if (!v->nv || !nv_status(v, a, status))
		return false;
	if (!date) {
		/* The gate's text changes with the second; the frame may be made later. */
		now = arena_strndup(a, http_date_now(g), HTTP_DATE_BYTES);
		date = now;
	}
	if (!date)
		return false;
	nv_put(v, "server", 6, "stead", 5);
	nv_put(v, "date", 4, date, HTTP_DATE_BYTES);
	if (s->out_left >= 0 && status != 204 && status != 304 && !s->extended && !nv_length(v, a, s->out_left))
		return false;
	return nv_fields(v, a, h->fields, h->nfields);
}

static int head(struct gate *g, struct stream *stream, const struct resp_head *h, bool end)
{
	struct h2_stream *s = of(stream);
	const struct req *r = s->req;
	unsigned status = h->status == 101 && s->extended ? 200 : h->status;
	nghttp2_data_provider body = {.source.ptr = s, .read_callback = http2_on_read};
	struct nvs v = {0};

	if (s->head_sent || s->why)
		return -EPIPE;
	s->no_body = r->method == METHOD_HEAD || status == 204 || status == 304;
	s->out_left = h->content_length;
	if (s->out_left < 0 && end && !s->no_body)
		s->out_left = 0;
	if (!nv_head(&v, g, s, h, status)) {
		http2_stream_cut(s, NGHTTP2_INTERNAL_ERROR, CLOSE_NO_MEMORY);
		return -ENOMEM;
	}
	s->head_sent = true;
	s->out_ended = end;
	/* The end is sent when the handler has said it, also where nothing may follow. */
	if (nghttp2_submit_response(s->h2->session, s->id, v.nv, v.n, end ? NULL : &body) < 0) {
		http2_stream_cut(s, NGHTTP2_INTERNAL_ERROR, CLOSE_NO_MEMORY);
		return -ENOMEM;
	}
	if (!end && s->no_body)
		s->out_left = -1;
	http2_kick(s->h2);
	return 0;
}

/* The answer's body. */

static void wake(struct h2_stream *s)
{
	if (s->deferred) {
		s->deferred = false;
		(void)nghttp2_session_resume_data(s->h2->session, s->id);
	}
	http2_kick(s->h2);
}

static size_t room(struct gate *g, struct stream *stream)
{
	struct h2_stream *s = of(stream);
	const struct h2 *h = s->h2;
	uint32_t own, all;

	(void)g;
	if (s->out_ended || s->why || s->file_fd >= 0)
		return 0;
	own = s->out.bytes < STREAM_WINDOW ? STREAM_WINDOW - s->out.bytes : 0;
	all = h->held < H2_HELD_MAX ? H2_HELD_MAX - h->held : 0;
	s->room_wanted = own == 0 || all == 0;
	return min_of(own, all);
}

/* The handler said the end before it gave as much as its Content-Length. */
static bool is_short(struct h2_stream *s)
{
	if (s->out_left <= 0 || s->no_body)
		return false;
	http2_stream_cut(s, NGHTTP2_INTERNAL_ERROR, CLOSE_APP_SHORT);
	return true;
}

static size_t body(struct gate *g, struct stream *stream, const void *p, size_t n, bool end)
{
	struct h2_stream *s = of(stream);
	size_t free_now = room(g, stream);
	uint32_t had = s->out.bytes;
	bool last, put;

	if (!s->head_sent || s->out_ended || s->why)
		return 0;
	if (s->no_body)
		n = 0;
	if (s->out_left >= 0 && n > (uint64_t)s->out_left)
		n = (size_t)s->out_left;
	last = end && n <= free_now;
	n = min_of(n, free_now);
	if (s->out_left >= 0)
		s->out_left -= (int64_t)n;
	put = outq_put(g, &s->out, p, n);
	s->h2->held += s->out.bytes - had;
	if (!put) {
		http2_stream_cut(s, NGHTTP2_INTERNAL_ERROR, CLOSE_BUDGET);
		return n;
	}
	s->out_ended = last && !is_short(s);
	s->room_wanted = !last && n == free_now;
	wake(s);
	return n;
}

static int file(struct gate *g, struct stream *stream, int fd, uint64_t off, uint64_t len, bool owned)
{
	struct h2_stream *s = of(stream);

	(void)g;
	must(s->head_sent && !s->out_ended && s->file_fd < 0);
	if (s->out_left >= 0 && len > (uint64_t)s->out_left)
		len = (uint64_t)s->out_left;
	if (s->out_left >= 0)
		s->out_left -= (int64_t)len;
	s->file_fd = fd;
	s->file_owned = owned;
	s->file_off = off;
	s->file_len = len;
	if (s->no_body || len == 0)
		drop_file(s);
	s->out_ended = !is_short(s);
	wake(s);
	return 0;
}

static int trailers(struct gate *g, struct stream *stream, const struct field *f, unsigned n)
{
	struct h2_stream *s = of(stream);
	struct nvs v = {.nv = arena_alloc(s->owner, (n + 1) * sizeof(nghttp2_nv))};

	(void)g;
	if (!s->head_sent || s->out_ended || s->why)
		return -EPIPE;
	if (v.nv && !s->no_body && nv_fields(&v, s->owner, f, n)) {
		s->tail = v.nv;
		s->tail_n = (unsigned)v.n;
	}
	s->out_ended = !is_short(s);
	wake(s);
	return 0;
}

static int tunnel(struct gate *g, struct stream *stream)
{
	struct h2_stream *s = of(stream);
	struct h2_early *e = s->early;

	(void)g;
	if (!s->head_sent || s->out_ended || s->why || !s->extended)
		return -EPIPE;
	s->tunnel = true;
	s->no_body = false;
	s->out_left = -1;
	s->pace_on = false;
	s->body_told = false;
	s->early = NULL;
	for (; e && s->req && !s->req->ended; e = e->next)
		req_on_body(s->req, e->bytes, e->n);
	if (s->body_done && s->req)
		http2_stream_body_end(s);
	http2_kick(s->h2);
	return 0;
}

static void reset(struct gate *g, struct stream *stream, enum close_id why)
{
	(void)g;
	http2_stream_cut(of(stream), close_rows[why].fault ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_CANCEL, why);
}

bool http2_stream_tell_room(struct h2_stream *s)
{
	if (!s->room_wanted || s->out_ended || !s->req || room(s->h2->conn->gate, &s->stream) == 0)
		return false;
	s->room_wanted = false;
	req_on_room(s->req);
	return true;
}

const struct stream_ops http2_stream_ops = {
	.interim = interim,
	.head = head,
	.body = body,
	.file = file,
	.trailers = trailers,
	.room = room,
	.consume = consume,
	.tunnel = tunnel,
	.reset = reset,
};
