/*
 * http2_head.c: the fields of an HTTP/2 request to its head (RFC 9113 sections 8.2 and 8.3, RFC 8441).
 *
 * Called by http2_recv.c, field by field. The head is written as HTTP/1.1 would write it and read by
 * http1_parse_head(): what is refused there is refused here, and nothing that passes can be read in two
 * ways when it goes on to a backend. Names and values are looked at before, so that no byte of theirs
 * ends a line; that the parser finds exactly the text that was written is looked at behind it.
 *
 * A head that comes lies in the connection's scratch, because no two can come at a time; the request
 * gets a copy of just its size.
 */
#include "http2.h"
#include "http1.h"
#include "http1_field.h"

#include <string.h>

enum {
	FIELD_COST = 32, /* RFC 9113 section 6.5.2 */
	TEXT_FIRST = 1024,
	KEY_BYTES = 24,  /* of Sec-WebSocket-Key */
};

struct h2_stream *http2_stream_new(struct h2 *h, int32_t id)
{
	struct gate *g = h->conn->gate;
	struct h2_stream *s;
	struct arena a;

	arena_reset(&h->scratch);
	/* What would be too much of heads is not begun; the client may send it again. */
	if (h->heads_bytes > H2_HEADS_MAX || h->amplified > H2_AMPLIFIED_MAX || h->streams_n >= H2_STREAMS_MAX)
		return NULL;
	arena_init(&a, &g->pool);
	s = arena_zalloc(&a, sizeof(*s));
	if (!s)
		return NULL;
	s->head = arena_zalloc(&h->scratch, sizeof(*s->head));
	if (!s->head) {
		arena_reset(&a);
		return NULL;
	}
	s->stream.proto = PROTO_HTTP2;
	s->h2 = h;
	s->id = id;
	s->arena = a;
	s->owner = &s->arena;
	s->start_us = loop_now_us(g->loop);
	s->file_fd = -1;
	s->out_left = -1;
	s->next = h->streams;
	if (h->streams)
		h->streams->prev = s;
	h->streams = s;
	h->streams_n++;
	return s;
}

static bool text_put(struct arena *a, struct h2_text *t, const char *p, size_t n)
{
	if (!n)
		return true;
	if (n > t->cap - t->len) {
		size_t cap = max_of((size_t)(t->cap ? t->cap * 2 : TEXT_FIRST), t->len + n);
		char *grown = arena_alloc(a, cap);

		if (!grown)
			return false;
		if (t->len)
			memcpy(grown, t->p, t->len);
		t->p = grown;
		t->cap = (uint32_t)cap;
	}
	memcpy(t->p + t->len, p, n);
	t->len += (uint32_t)n;
	return true;
}

#define TEXT(a, t, literal) text_put(a, t, "" literal, sizeof(literal) - 1)

/* What HTTP/2 has its own ways for (RFC 9113 section 8.2.2). */
static bool is_of_connection(const char *name, size_t n)
{
	return same(name, n, "connection") || same(name, n, "keep-alive") || same(name, n, "upgrade") ||
	       same(name, n, "proxy-connection") || same(name, n, "transfer-encoding");
}

static bool is(const char *p, size_t n, const char *name)
{
	return n == strlen(name) && !memcmp(p, name, n);
}

/* A token in lower case. */
static bool is_name(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (token[(unsigned char)p[i]] != (unsigned char)p[i] || !p[i])
			return false;
	return n > 0;
}

static bool is_value(const char *p, size_t n)
{
	return value_end((char *)p, p + n) == p + n && (!n || (!is_ows(p[0]) && !is_ows(p[n - 1])));
}

static bool keep(struct arena *a, struct h2_slice *to, const char *p, size_t n)
{
	if (to->p)
		return false;
	to->p = arena_strndup(a, p, n);
	to->len = (uint32_t)n;
	return to->p != NULL;
}

/* False: twice, unknown, or no memory. */
static bool add_pseudo(struct arena *a, struct h2_head *d, const char *name, size_t n, const char *value, size_t len)
{
	struct h2_slice *to = is(name, n, ":method")	    ? &d->method
			      : is(name, n, ":path")	    ? &d->path
			      : is(name, n, ":scheme")    ? &d->scheme
			      : is(name, n, ":authority") ? &d->authority
			      : is(name, n, ":protocol")  ? &d->protocol
							    : NULL;

	/* Each stands in the request's line or Host, where a blank would begin something else. */
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)value[i] <= ' ' || value[i] == 0x7f)
			return false;
	return to && keep(a, to, value, len);
}

static bool add_field(struct arena *a, struct h2_head *d, const char *name, size_t n, const char *value, size_t len)
{
	struct h2_text *t = &d->fields;

	if (!is_name(name, n) || !is_value(value, len) || is_of_connection(name, n))
		return false;
	if (same(name, n, "te") && !same(value, len, "trailers"))
		return false;
	d->large |= len >= H2_SHARED_MIN;
	/* Crumbs of one field (RFC 9113 section 8.2.3). */
	if (same(name, n, "cookie"))
		return (!d->cookie.len || TEXT(a, &d->cookie, "; ")) && text_put(a, &d->cookie, value, len);
	if (same(name, n, "host")) {
		/* The same thing twice is no contradiction. */
		if (d->has_host)
			return false;
		d->has_host = true;
		if (d->authority.p)
			return d->authority.len == len && !memcmp(d->authority.p, value, len);
		return keep(a, &d->authority, value, len);
	}
	return text_put(a, t, name, n) && TEXT(a, t, ": ") && text_put(a, t, value, len) && TEXT(a, t, "\r\n");
}

/* One large entry of HPACK's table, referred to again and again (CVE-2026-49975): whoever does that wants to be
 * held, so nothing of his is. */
static bool is_bomb(struct h2 *h, uint32_t bytes)
{
	if (bytes <= 2 * h->block_bytes + H2_REFERENCED_MAX)
		return false;
	h->cut = CLOSE_LEDGER;
	return true;
}

/* Of that text of the block that has come, what the client did not send. */
static uint32_t unpaid(const struct h2 *h, uint32_t text)
{
	uint64_t paid = (uint64_t)h->block_bytes * H2_AMPLIFIED_PER_BYTE + H2_AMPLIFIED_FREE;

	return text > paid ? text - (uint32_t)paid : 0;
}

/* The stream holds so much more of a head. */
static void charge(struct h2_stream *s, uint32_t bytes, uint32_t amplified)
{
	s->head_bytes += bytes;
	s->h2->heads_bytes += bytes;
	s->amplified += amplified;
	s->h2->amplified += amplified;
}

void http2_head_add(struct h2_stream *s, const char *name, size_t n, const char *value, size_t len)
{
	struct h2 *h = s->h2;
	struct h2_head *d = s->head;

	if (!d || d->bad)
		return;
	d->bytes += (uint32_t)(n + len + FIELD_COST);
	if (is_bomb(h, d->bytes)) {
		d->bad = CLOSE_HEAD_TOO_LARGE;
		return;
	}
	if (d->bytes > h->conn->gate->limits.head_max || ++d->lines > REQ_FIELDS_MAX) {
		d->bad = CLOSE_HEAD_TOO_LARGE;
		return;
	}
	if (!(n && name[0] == ':' ? add_pseudo(&h->scratch, d, name, n, value, len)
				  : add_field(&h->scratch, d, name, n, value, len)))
		d->bad = arena_overflowed(&h->scratch) ? CLOSE_NO_MEMORY : CLOSE_BAD_REQUEST;
}

static bool request_new(struct h2_stream *s)
{
	struct conn *c = s->h2->conn;
	struct req *r = req_new(c->gate, &s->stream, &s->arena);

	if (!r)
		return false;
	s->req = r;
	s->owner = &r->arena;
	s->stream.req = r;
	if (ledger_request(&c->ledger))
		http2_end(s->h2, NGHTTP2_NO_ERROR, CLOSE_KEEPALIVE_OFF);
	r->http2 = true;
	r->version_minor = 1;
	r->start_us = s->start_us;
	conn_describe(c, r);
	return true;
}

static char *add(char *to, const char *p, size_t n)
{
	memcpy(to, p, n);
	return to + n;
}

#define ADD(to, literal) add(to, "" literal, sizeof(literal) - 1)
#define ADD_SLICE(to, s) add(to, (s).p, (s).len)

/* A key as a WebSocket client makes one, for whoever answers in HTTP/1.1 (RFC 8441 section 5). */
static char *add_key(char *to, const struct req *r)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint64_t bits = r->public_id[0] * 0x9e3779b97f4a7c15ull ^ r->public_id[1];

	for (unsigned i = 0; i < KEY_BYTES - 2; i++) {
		bits = bits * 6364136223846793005ull + 1442695040888963407ull;
		/* 16 bytes are 21 digits and one that holds their last two bits. */
		*to++ = digits[i == KEY_BYTES - 3 ? (bits >> 60) << 4 & 48 : bits >> 58];
	}
	return ADD(to, "==");
}

static size_t text_bytes(const struct h2_head *d)
{
	return 256 + (size_t)d->method.len + d->scheme.len + 2 * (size_t)d->authority.len + d->path.len +
	       d->fields.len + d->cookie.len + d->protocol.len;
}

/* The target as HTTP/1.1 writes it. A scheme that is not the connection's is said, so that it is judged as
 * an absolute target's is. */
static char *add_target(char *to, const struct h2_head *d, const struct req *r)
{
	if (is(d->method.p, d->method.len, "CONNECT") && !d->protocol.p)
		return ADD_SLICE(to, d->authority);
	if (!same(d->scheme.p, d->scheme.len, r->tls ? "https" : "http")) {
		to = ADD_SLICE(to, d->scheme);
		to = ADD(to, "://");
		to = ADD_SLICE(to, d->authority);
	}
	return ADD_SLICE(to, d->path);
}

/* The head as HTTP/1.1; its length. `to` has room for text_bytes(). */
static size_t render(char *to, const struct h2_head *d, const struct h2_stream *s, bool end_stream)
{
	char *from = to;

	to = d->protocol.p ? ADD(to, "GET") : ADD_SLICE(to, d->method);
	to = ADD(to, " ");
	to = add_target(to, d, s->req);
	to = ADD(to, " HTTP/1.1\r\nhost: ");
	to = ADD_SLICE(to, d->authority);
	to = ADD(to, "\r\n");
	to = add(to, d->fields.p ? d->fields.p : "", d->fields.len);
	if (d->cookie.len) {
		to = ADD(to, "cookie: ");
		to = add(to, d->cookie.p, d->cookie.len);
		to = ADD(to, "\r\n");
	}
	if (d->protocol.p) {
		to = ADD(to, "connection: upgrade\r\nupgrade: ");
		to = ADD_SLICE(to, d->protocol);
		to = ADD(to, "\r\nsec-websocket-key: ");
		to = add_key(to, s->req);
		to = ADD(to, "\r\n");
	}
	/* A body of unknown length is what HTTP/1.1 sends in chunks. */
	else if (!end_stream && !s->head->bad && !memmem(d->fields.p ? d->fields.p : "", d->fields.len, "content-length: ", 16))
		to = ADD(to, "transfer-encoding: chunked\r\n");
	to = ADD(to, "\r\n");
	return (size_t)(to - from);
}

/* CLOSE_NONE, or what is wrong with the head. *ret_shared: bytes of it that others have too. */
static enum close_id parse(struct h2_stream *s, const struct h2_head *d, bool end_stream, uint32_t *ret_shared)
{
	struct http1_head head __attribute__((uninitialized));
	struct req *r = s->req;
	bool large;
	size_t n;
	char *text;
	int res;

	if (d->bad)
		return (enum close_id)d->bad;
	if (!d->method.p || !d->authority.p || (!d->path.p && !is(d->method.p, d->method.len, "CONNECT")))
		return CLOSE_BAD_REQUEST;
	if (d->path.p && !d->scheme.p)
		return CLOSE_BAD_REQUEST;
	if (d->protocol.p && (!d->path.p || !same(d->protocol.p, d->protocol.len, "websocket") || end_stream))
		return CLOSE_BAD_REQUEST;
	large = d->large || d->cookie.len >= H2_SHARED_MIN;
	text = arena_alloc(large ? &s->h2->scratch : &r->arena, text_bytes(d));
	if (!text)
		return CLOSE_NO_MEMORY;
	n = render(text, d, s, end_stream);
	res = http1_parse_head(text, n, n, &head);
	if (res != (int)n)
		return res < 0 ? (enum close_id)-res : CLOSE_BAD_REQUEST;
	if (large && !http2_share(s, &r->arena, text, n, &head, ret_shared))
		return CLOSE_NO_MEMORY;
	r->head_bytes = d->bytes;
	return http1_take_head(r, &head) ? CLOSE_NONE : CLOSE_NO_MEMORY;
}

/* A head that was not understood: what of it is known is for the record. */
static void begin_bad(struct h2_stream *s, const struct h2_head *d, enum close_id why)
{
	struct req *r = s->req;

	if (d->method.p && (r->method_str = arena_strndup(&r->arena, d->method.p, d->method.len)))
		r->method_len = d->method.len;
	else
		r->method_str = "";
	if (d->path.p && (r->target = arena_strndup(&r->arena, d->path.p, d->path.len)))
		r->target_len = d->path.len;
	else
		r->target = "";
	s->body_told = true;
	req_on_bad(r, why);
}

void http2_head_done(struct h2_stream *s, bool end_stream)
{
	struct h2_head *d = s->head;
	struct h2 *h = s->h2;
	uint32_t shared = 0;
	enum close_id why;

	s->body_done = end_stream;
	if (!d || s->why)
		return;
	if (!request_new(s)) {
		http2_stream_cut(s, NGHTTP2_REFUSED_STREAM, CLOSE_NO_MEMORY);
		return;
	}
	why = parse(s, d, end_stream, &shared);
	charge(s, d->bytes - shared, unpaid(h, d->bytes - shared - d->lines * FIELD_COST));
	s->extended = d->protocol.p != NULL;
	if (why) {
		begin_bad(s, d, why);
	} else {
		/* A request without content is whole, whatever frames are still to come. */
		bool whole = end_stream || s->req->content_length == 0;

		s->body_told = whole;
		req_on_head(s->req);
		if (whole && s->req)
			req_on_end(s->req);
	}
	s->head = NULL;
	arena_reset(&h->scratch);
}

bool http2_trailer_add(struct h2_stream *s, const char *name, size_t n, const char *value, size_t len)
{
	struct field f = {.name_len = (uint32_t)n, .value_len = (uint32_t)len};
	struct arena *a = s->owner;

	if (!s->req || s->trailers_n == H2_TRAILERS_MAX || (s->trailer_bytes += (uint32_t)(n + len)) > H2_TRAILER_BYTES)
		return false;
	/* They are kept as long as the head is, and count with it. */
	charge(s, (uint32_t)(n + len),
		unpaid(s->h2, s->trailer_bytes) - unpaid(s->h2, s->trailer_bytes - (uint32_t)(n + len)));
	if (is_bomb(s->h2, s->trailer_bytes) || s->h2->heads_bytes > H2_HEADS_MAX || s->h2->amplified > H2_AMPLIFIED_MAX)
		return false;
	if (!is_name(name, n) || !is_value(value, len) || is_of_connection(name, n))
		return false;
	if (!s->trailers)
		s->trailers = arena_alloc(a, H2_TRAILERS_MAX * sizeof(f));
	f.name = arena_strndup(a, name, n);
	f.value = arena_strndup(a, value, len);
	/* Without memory they are left out, as any recipient may do (RFC 9110 section 6.5.1). */
	if (!s->trailers || !f.name || !f.value)
		return true;
	if (!http1_is_forbidden_trailer(&f))
		s->trailers[s->trailers_n++] = f;
	return true;
}
