/*
 * http1_body.c: the body of an HTTP/1 request on its way to the handler (RFC 9112 sections 6 and
 * 7).
 *
 * Called by http1.c. Owns nothing: bytes go from the connection's buffer straight to req_on_body().
 * The handler's credit bounds what it is given; without credit the connection is not read, so that
 * TCP holds the client back. What nobody wants is dropped up to a bound.
 */
#include "http1.h"

#include <string.h>

enum { TRAILERS_MAX = 32 };

void http1_body_begin(struct h1 *h, const struct http1_head *head)
{
	h->chunked = head->chunked;
	h->body_left = head->chunked ? 0 : head->content_length;
	h->body_done = !head->chunked && head->content_length == 0;
	h->upload_expected = h->req->expect_continue;
	h->credit = STREAM_WINDOW;
}

static bool unwanted(const struct h1 *h)
{
	if (h->tunnel)
		return !h->req;
	return !h->req || h->req->ended;
}

bool http1_body_small(const struct h1 *h)
{
	if (h->upload_expected)
		return false;
	if (h->chunked)
		return h->discarded < DISCARD_MAX;
	return h->discarded + (uint64_t)h->body_left <= DISCARD_MAX;
}

bool http1_body_wants(const struct h1 *h)
{
	if (h->body_done)
		return false;
	return unwanted(h) ? http1_body_small(h) : h->credit > 0;
}

/* No more of this body, nor of what stands behind it. */
static void refuse_body(struct h1 *h, enum close_id why)
{
	h->bad = true;
	h->body_done = h->body_told = true;
	h->close_why = (uint8_t)why;
	if (h->state == H1_ACTIVE && h->req && !h->req->ended && !req_on_fault(h->req, why))
		h->cut = (uint8_t)why;
}

/* n bytes came, of which `content` were what the handler wanted. False: it was one too many. */
static bool charge(struct h1 *h, uint64_t n, uint64_t content)
{
	struct ledger *l = &h->conn->ledger;

	ledger_content(l, content);
	if (n == content || !ledger_waste(l, n - content))
		return true;
	refuse_body(h, CLOSE_LEDGER);
	return false;
}

/* Hand on one piece. h may be gone afterwards. */
static void give(struct h1 *h, const char *data, size_t len)
{
	h->upload_expected = false;
	if (unwanted(h)) {
		h->discarded += len;
		return;
	}
	h->credit -= (uint32_t)len;
	req_on_body(h->req, data, len);
}

/* A piece of the trailer section, for who may want it. */
static void keep_trailer(struct h1 *h, const char *p, size_t n)
{
	if (unwanted(h))
		return;
	if (!h->trailer)
		h->trailer = arena_alloc(&h->req->arena, HTTP1_TRAILER_MAX);
	/* Without memory they are left out, as any recipient may do (RFC 9110 section 6.5.1). */
	if (!h->trailer)
		return;
	must(n <= HTTP1_TRAILER_MAX - h->trailer_len);
	memcpy(h->trailer + h->trailer_len, p, n);
	h->trailer_len += (uint32_t)n;
}

static void tell_trailers(struct h1 *h)
{
	struct field fields[TRAILERS_MAX] __attribute__((uninitialized));
	int n;

	if (!h->trailer_len || unwanted(h))
		return;
	n = http1_parse_trailers(h->trailer, h->trailer_len, fields, TRAILERS_MAX);
	if (n <= 0)
		return;
	h->req->trailers = arena_alloc(&h->req->arena, (unsigned)n * sizeof(fields[0]));
	if (!h->req->trailers)
		return;
	memcpy(h->req->trailers, fields, (unsigned)n * sizeof(fields[0]));
	h->req->ntrailers = (unsigned)n;
}

static bool take_chunked(struct h1 *h, const char *p, size_t n)
{
	const char *data;
	size_t len;
	int64_t used;

	if (!unwanted(h) && n > h->credit)
		n = h->credit;
	used = http1_chunks_take(&h->chunks, p, n, &data, &len);
	if (used < 0) {
		refuse_body(h, CLOSE_BAD_CHUNK);
		return true;
	}
	if (h->chunks.in_trailer) {
		keep_trailer(h, data, len);
		len = 0;
	}
	conn_used(h->conn, (size_t)used);
	if (!charge(h, (uint64_t)used, unwanted(h) ? 0 : len))
		return true;
	if (http1_chunks_done(&h->chunks)) {
		h->body_done = true;
		tell_trailers(h);
	}
	/* Framing costs the client too, or a body of many tiny chunks would be read without end. */
	if (unwanted(h))
		h->discarded += (uint64_t)used - len;
	if (len)
		give(h, data, len);
	return true;
}

static bool take_counted(struct h1 *h, const char *p, size_t n)
{
	if ((uint64_t)h->body_left < n)
		n = (size_t)h->body_left;
	if (!unwanted(h) && n > h->credit)
		n = h->credit;
	conn_used(h->conn, n);
	if (!charge(h, n, unwanted(h) ? 0 : n))
		return true;
	h->body_left -= (int64_t)n;
	h->body_done = h->body_left == 0;
	give(h, p, n);
	return true;
}

bool http1_body_run(struct h1 *h)
{
	size_t n;
	const char *p;

	if (h->body_done) {
		if (h->body_told)
			return false;
		h->body_told = true;
		if (unwanted(h))
			return false;
		req_on_end(h->req);
		return true;
	}
	p = conn_in(h->conn, &n);
	if (h->tunnel && n == 0 && h->conn->eof) {
		h->body_done = true;
		return true;
	}
	if (n == 0 || !http1_body_wants(h))
		return false;
	if (h->tunnel) {
		n = min_of(n, (size_t)h->credit);
		conn_used(h->conn, n);
		give(h, p, n);
		return true;
	}
	return h->chunked ? take_chunked(h, p, n) : take_counted(h, p, n);
}

void http1_consume(struct gate *g, struct stream *s, size_t n)
{
	struct h1 *h = container_of(s, struct h1, stream);
	bool stopped = h->credit == 0;

	(void)g;
	must(n <= STREAM_WINDOW - h->credit);
	h->credit += (uint32_t)n;
	if (stopped && n && !h->body_done)
		http1_kick(h);
}
