/*
 * stream.h: all that a request knows of the protocol it came by.
 *
 * One struct stream is one request and its answer on a connection: on HTTP/1.1 one after another, on a
 * multiplexing protocol many at once. A request (req.h) never sees a connection; a protocol never sees
 * a handler. Calls down (request to protocol) go through the constant table of the stream's protocol,
 * found by a small number, so that no code pointer lies in request memory. Calls up are req_on_*().
 *
 * Order down: interim* → head → body* → (trailers) → end, or reset at any time. Order up: req_on_head →
 * req_on_body* → req_on_end, or req_on_reset at any time; after reset either way nothing more is called.
 * Bytes are never lent across: body() copies what it takes, bounded by the stream's window, so a slow
 * client stops the handler and not the memory.
 */
#ifndef STEAD_GATE_STREAM_H
#define STEAD_GATE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tbl/tbl.h"

enum { STREAM_WINDOW = 64 * 1024 };
enum proto { PROTO_NONE = 0, PROTO_HTTP1, PROTO_FAKE, PROTO_HTTP2, PROTO_CACHE, PROTO_END };

struct gate;
struct req;

struct stream {
	uint8_t proto; /* enum proto */
	struct req *req;
};

/* A header field; bytes lie in the request's arena or in constant memory. Names of received fields are
 * lower-cased by the protocol. */
struct field {
	const char *name, *value;
	uint32_t name_len, value_len;
};

/* The head of an answer. The protocol adds Date, Server, Connection and the framing itself; Content-Length
 * and Transfer-Encoding never stand among the fields. */
struct resp_head {
	uint16_t status;
	int64_t content_length; /* -1: not known (chunked, or until the end) */
	const char *reason;     /* NULL: the registered phrase */
	const char *date;       /* HTTP_DATE_BYTES of a Date that is not now's; NULL: now */
	const struct field *fields;
	unsigned nfields;
};

struct stream_ops {
	/* 100, 103: before head. 0, or -errno when the stream is gone. */
	int (*interim)(struct gate *g, struct stream *s, uint16_t status, const struct field *f, unsigned n);
	/* `end`: no body follows (also for HEAD, 204, 304). */
	int (*head)(struct gate *g, struct stream *s, const struct resp_head *h, bool end);
	/* Take at most room() bytes of p; returns how many were copied. When n bytes were all taken and `end`
	 * is set the answer is whole. */
	size_t (*body)(struct gate *g, struct stream *s, const void *p, size_t n, bool end);
	/* The rest of the body straight from a regular file; the descriptor is the stream's from now on and
	 * given back with file_release() of the handler that owns it (see req.h), or closed when `owned`. */
	int (*file)(struct gate *g, struct stream *s, int fd, uint64_t off, uint64_t len, bool owned);
	int (*trailers)(struct gate *g, struct stream *s, const struct field *f, unsigned n);
	/* Bytes that body() takes now. When it was 0, req_on_room() tells that it is not any more. */
	size_t (*room)(struct gate *g, struct stream *s);
	/* The handler has used n bytes of the request's body: the protocol may receive as many more. */
	void (*consume)(struct gate *g, struct stream *s, size_t n);
	/* After head 101 (or 2xx to CONNECT): bytes both ways are raw from here on. */
	int (*tunnel)(struct gate *g, struct stream *s);
	/* End it now: before head the close's status is answered by the protocol's simplest page, after head
	 * the connection (h1) or stream ends so that the client sees it is cut. */
	void (*reset)(struct gate *g, struct stream *s, enum close_id why);
};

#endif
