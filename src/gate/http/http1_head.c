/*
 * http1_head.c: heads of answers as HTTP/1 writes them (RFC 9112 sections 4, 6 and 9), interim ones,
 * trailers, and the change to a tunnel.
 *
 * Called through http1_stream_ops by requests. Owns nothing: what is built lies in the request's arena
 * and leaves through http1_out.c.
 */
#include "http1.h"
#include "httpdate.h"

#include <errno.h>
#include <string.h>

enum { HEAD_FIXED = 256 };

static char *add(char *p, const char *s, size_t n)
{
	memcpy(p, s, n);
	return p + n;
}

#define ADD(p, literal) add(p, literal, sizeof(literal) - 1)

static char *add_number(char *p, uint64_t v)
{
	char digits[20], *d = digits + sizeof(digits);

	do
		*--d = (char)('0' + v % 10);
	while (v /= 10);
	return add(p, d, (size_t)(digits + sizeof(digits) - d));
}

static char *add_status(char *p, unsigned status, const char *reason)
{
	p = ADD(p, "HTTP/1.1 ");
	*p++ = (char)('0' + status / 100 % 10);
	*p++ = (char)('0' + status / 10 % 10);
	*p++ = (char)('0' + status % 10);
	*p++ = ' ';
	p = add(p, reason, strlen(reason));
	return ADD(p, "\r\n");
}

static char *add_fields(char *p, const struct field *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		p = add(p, f[i].name, f[i].name_len);
		p = ADD(p, ": ");
		p = add(p, f[i].value, f[i].value_len);
		p = ADD(p, "\r\n");
	}
	return p;
}

static size_t fields_bytes(const struct field *f, unsigned n)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += (size_t)f[i].name_len + f[i].value_len + 4;
	return bytes;
}

static const char *reason_of(uint16_t status, const char *given)
{
	return given && *given && strlen(given) < 64 ? given : http_reason(status);
}

int http1_interim(
	struct gate *g, struct stream *s, uint16_t status, const struct field *f, unsigned n)
{
	struct h1 *h = container_of(s, struct h1, stream);
	char *from, *p;

	(void)g;
	if (h->head_sent || h->cut)
		return -EPIPE;
	if (h->req->version_minor == 0)
		return 0;
	if (status == 100) {
		if (!h->upload_expected)
			return 0;
		h->upload_expected = false;
	}
	from = arena_alloc(&h->req->arena, HEAD_FIXED + fields_bytes(f, n));
	if (!from)
		return -ENOMEM;
	p = add_status(from, status, http_reason(status));
	p = add_fields(p, f, n);
	p = ADD(p, "\r\n");
	if (!http1_put(h, from, (size_t)(p - from)))
		return -ENOMEM;
	http1_kick(h);
	return 0;
}

/* How does the client know where the answer ends (RFC 9112 section 6.3)? */
static char *add_framing(char *p, struct h1 *h, const struct resp_head *head, bool end)
{
	const struct req *r = h->req;

	h->no_body = r->method == METHOD_HEAD || head->status < 200 || head->status == 204 ||
		     head->status == 304;
	h->out_left = head->content_length;
	if (head->status < 200 || head->status == 204 || head->status == 304)
		return p;
	if (head->content_length < 0 && end && !h->no_body)
		h->out_left = 0;
	if (h->out_left >= 0) {
		p = ADD(p, "Content-Length: ");
		p = add_number(p, (uint64_t)h->out_left);
		return ADD(p, "\r\n");
	}
	if (r->version_minor > 0) {
		h->chunked_out = !h->no_body;
		return h->no_body && end ? p : ADD(p, "Transfer-Encoding: chunked\r\n");
	}
	if (!h->close_why && !h->no_body)
		h->close_why = CLOSE_KEEPALIVE_OFF;
	return p;
}

static void decide_close(struct h1 *h)
{
	const struct req *r = h->req;

	if (h->close_why)
		return;
	if (r->close && close_rows[r->close].scope & CLOSE_CONN)
		h->close_why = (uint8_t)r->close;
	else if (h->conn->gate->draining)
		h->close_why = CLOSE_DRAINED;
	else if (r->method == METHOD_CONNECT ||
		 (!h->body_done && !http1_body_small(h) && !req_wants_body(r)))
		h->close_why = CLOSE_KEEPALIVE_OFF;
}

int http1_head(struct gate *g, struct stream *s, const struct resp_head *head, bool end)
{
	struct h1 *h = container_of(s, struct h1, stream);
	const char *reason = reason_of(head->status, head->reason);
	char *p;

	if (h->head_sent || h->cut)
		return -EPIPE;
	p = arena_alloc(&h->req->arena,
		HEAD_FIXED + strlen(reason) + fields_bytes(head->fields, head->nfields));
	if (!p) {
		h->cut = CLOSE_NO_MEMORY;
		http1_kick(h);
		return -ENOMEM;
	}
	h->head_sent = true;
	h->out_head = p;
	decide_close(h);
	p = add_status(p, head->status, reason);
	p = ADD(p, "Server: stead\r\nDate: ");
	p = add(p, head->date ? head->date : http_date_now(g), HTTP_DATE_BYTES);
	p = ADD(p, "\r\n");
	p = add_fields(p, head->fields, head->nfields);
	p = add_framing(p, h, head, end);
	if (head->status == 101)
		; /* its Connection is the handler's */
	else if (h->close_why)
		p = ADD(p, "Connection: close\r\n");
	else if (h->req->version_minor == 0)
		p = ADD(p, "Connection: keep-alive\r\n");
	p = ADD(p, "\r\n");
	h->out_head_len = (uint32_t)(p - h->out_head);
	/* An interim answer that still waits goes first. */
	if (h->out.first || h->sending) {
		if (!http1_put(h, h->out_head, h->out_head_len))
			return -ENOMEM;
		h->out_head = NULL;
	}
	h->out_ended = end;
	if (end)
		http1_out_run(h);
	http1_kick(h);
	return 0;
}

int http1_trailers(struct gate *g, struct stream *s, const struct field *f, unsigned n)
{
	struct h1 *h = container_of(s, struct h1, stream);
	char *from, *p;

	if (!h->head_sent || h->out_ended || h->cut)
		return -EPIPE;
	from = h->chunked_out ? arena_alloc(&h->req->arena, HEAD_FIXED + fields_bytes(f, n)) : NULL;
	if (!from) {
		http1_body(g, s, "", 0, true);
		return 0;
	}
	p = ADD(from, "0\r\n");
	p = add_fields(p, f, n);
	p = ADD(p, "\r\n");
	h->out_ended = true;
	if (!http1_put(h, from, (size_t)(p - from)))
		return -ENOMEM;
	http1_kick(h);
	return 0;
}

int http1_tunnel(struct gate *g, struct stream *s)
{
	struct h1 *h = container_of(s, struct h1, stream);

	(void)g;
	if (!h->head_sent || h->out_ended || h->cut)
		return -EPIPE;
	h->tunnel = true;
	h->no_body = h->chunked_out = false;
	h->out_left = -1;
	h->body_done = h->body_told = false;
	h->rate_on = false;
	h->close_why = CLOSE_TUNNEL_END;
	http1_kick(h);
	return 0;
}
