/*
 * http1.h: HTTP/1.0 and 1.1 on one connection (RFC 9112). The parts: http1.c the order of things,
 * http1_parse.c and http1_chunks.c bytes to meaning, http1_body.c the request's body, http1_out.c
 * the answer. conn.c calls the first four functions; the rest is between the parts.
 */
#ifndef STEAD_GATE_HTTP1_H
#define STEAD_GATE_HTTP1_H

#include "conn.h"
#include "http1_parse.h"
#include "outbuf.h"

enum {
	DISCARD_MAX =
		64 * 1024, /* of a body nobody wants: read it, so that the connection can go on */
};

enum h1_state {
	H1_HEAD = 0, /* a part of a head has come */
	H1_ACTIVE,   /* a request runs */
	H1_DISCARD,  /* it is answered; the rest of its body is read and dropped */
};

/* One exchange; lies in the arena of its request. */
struct h1 {
	struct conn *conn;
	struct stream stream;
	struct arena arena;  /* until the request takes it over */
	struct req *req;     /* NULL while there is no head, and after req_done() */
	struct arena *owner; /* where the arena is: here or in the request */
	uint8_t state;       /* enum h1_state */
	uint8_t cut;         /* enum close_id: end the connection with this */
	uint8_t close_why;   /* the connection ends behind this answer; CLOSE_NONE: it is kept */
	bool bad;            /* the framing was not understood: nothing behind it can be */

	/* the head while it comes in pieces */
	char *head;
	uint32_t head_len, head_cap;
	size_t head_scanned;
	uint64_t start_us;

	/* the request's body */
	bool chunked, body_done, body_told;
	bool upload_expected; /* 100 was asked for and not said: perhaps no body comes */
	int64_t body_left;    /* Content-Length: bytes to come */
	struct http1_chunks chunks;
	uint32_t credit; /* bytes that the handler takes now */
	uint64_t discarded;
	char *trailer; /* its trailer section, as received */
	uint32_t trailer_len;

	bool tunnel; /* raw bytes both ways since the answer's head */
	bool shut;   /* … and the way to the client has ended */

	/* the answer */
	bool head_sent, no_body, chunked_out, out_ended, sending, room_wanted, file_owned;
	bool file_chunk;  /* the file goes as one chunk */
	int64_t out_left; /* Content-Length: bytes to come; -1: not known */
	char *out_head;
	uint32_t out_head_len;
	struct outq out; /* waits for the socket */
	int file_fd;
	uint64_t file_off, file_len;
	struct send_op send;
	char chunk_line[24];

	struct op turn; /* at the turn's end: send what gathered, finish, cut */

	/* the minimum rate: what had moved when we began to look */
	struct ledger_pace pace;
	bool rate_on, rate_sending;
};

void http1_run(struct conn *c);
/* The connection ended under it: tells the request and gives everything back. */
void http1_gone(struct conn *c, enum close_id why);
void http1_timer(struct conn *c);
extern const struct stream_ops http1_stream_ops;

op_done http1_on_send, http1_on_turn;

/* Look at this exchange again: now if its run() is on the stack, else at the turn's end. */
void http1_kick(struct h1 *h);

/* http1_body.c: pass on what has come. True: something was used. */
bool http1_body_run(struct h1 *h);
void http1_body_begin(struct h1 *h, const struct http1_head *head);
/* Is more of the body wanted from the client now? */
bool http1_body_wants(const struct h1 *h);
/* May the connection be kept although the body is not whole? */
bool http1_body_small(const struct h1 *h);
void http1_consume(struct gate *g, struct stream *s, size_t n);

/* http1_request.c */
/* What a head that was read whole says, into r; its method and target end with a NUL from then on, its fields are
 * copied to r's arena. Also http2_head.c's. False: no memory for the fields. */
bool http1_take_head(struct req *r, const struct http1_head *head);

/* http1_out.c */
/* Copy to the buffers. False: no memory; the exchange is cut. */
bool http1_put(struct h1 *h, const char *p, size_t n);
/* Send what waits. True: something went. */
bool http1_out_run(struct h1 *h);
/* Say req_on_room() to who waits for it. False: nobody does, or there is none. */
bool http1_tell_room(struct h1 *h);
bool http1_out_done(const struct h1 *h);
void http1_out_drop(struct h1 *h);
int http1_interim(
	struct gate *g, struct stream *s, uint16_t status, const struct field *f, unsigned n);
int http1_head(struct gate *g, struct stream *s, const struct resp_head *head, bool end);
size_t http1_body(struct gate *g, struct stream *s, const void *p, size_t n, bool end);
int http1_file(struct gate *g, struct stream *s, int fd, uint64_t off, uint64_t len, bool owned);
int http1_trailers(struct gate *g, struct stream *s, const struct field *f, unsigned n);
int http1_tunnel(struct gate *g, struct stream *s);
void http1_reset(struct gate *g, struct stream *s, enum close_id why);
size_t http1_room(struct gate *g, struct stream *s);

#endif
