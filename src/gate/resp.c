/*
 * resp.c: an answer on its way from its handler to its protocol.
 *
 * Called by handlers. The place of the response filters (compression, edited headers): each will
 * stand between these functions and the protocol's; today there is none. What is true for every
 * protocol is done here once: an answer has one head, HEAD, 204 and 304 have no body, an ended
 * answer takes nothing.
 */
#include "lib/must.h"
#include "req.h"

#include "gate.h"

#include <errno.h>

static const struct stream_ops *ops_of(const struct req *r)
{
	return r->gate->protos[r->stream->proto];
}

int req_resp_interim(struct req *r, uint16_t status, const struct field *f, unsigned n)
{
	if (r->head_sent || r->ended)
		return -EPIPE;
	return ops_of(r)->interim(r->gate, r->stream, status, f, n);
}

int req_resp_head(struct req *r, const struct resp_head *h, bool end)
{
	if (r->head_sent || r->ended)
		return -EPIPE;
	r->head_sent = true;
	r->status = h->status;
	r->no_body = r->method == METHOD_HEAD || h->status == 204 || h->status == 304;
	r->ended = end;
	return ops_of(r)->head(r->gate, r->stream, h, end);
}

size_t req_resp_body(struct req *r, const void *p, size_t n, bool end)
{
	size_t took;

	if (r->ended || !r->head_sent)
		return 0;
	if (r->no_body) {
		if (end) {
			r->ended = true;
			ops_of(r)->body(r->gate, r->stream, "", 0, true);
		}
		return n;
	}
	took = ops_of(r)->body(r->gate, r->stream, p, n, end);
	r->body_out += took;
	r->ended |= end && took == n;
	return took;
}

int req_resp_file(struct req *r, int fd, uint64_t off, uint64_t len, bool owned)
{
	if (r->ended || !r->head_sent)
		return -EPIPE;
	r->ended = true;
	if (!r->no_body)
		r->body_out += len;
	return ops_of(r)->file(r->gate, r->stream, fd, off, len, owned);
}

size_t req_resp_room(struct req *r)
{
	if (r->ended)
		return 0;
	if (r->no_body)
		return STREAM_WINDOW;
	return ops_of(r)->room(r->gate, r->stream);
}

void req_consume(struct req *r, size_t n)
{
	ops_of(r)->consume(r->gate, r->stream, n);
}
