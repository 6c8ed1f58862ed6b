/*
 * http2.h: HTTP/2 on one connection (RFC 9113), by nghttp2: frames, HPACK, flow control and priorities
 * (RFC 9218) are the library's; what a request is, what it may cost and what becomes of its bytes is
 * here. The parts: http2.c the connection, http2_recv.c what nghttp2 tells of frames, http2_head.c
 * fields to a request's head, http2_shared.c what heads have alike, http2_stream.c a request's stream, http2_out.c the
 * way out.
 *
 * A request's head is written as HTTP/1.1 and read by http1_parse_head(), so that both versions have
 * one grammar, and a request is refused by the same rules whichever way it came.
 *
 * BOUNDS of one connection: H2_STREAMS_MAX streams, H2_HEADS_MAX bytes of their heads, H2_HELD_MAX of
 * answers that wait for the client's windows, H2_OUT_MAX of frames that wait for the socket, and
 * H2_WINDOW of bodies that nobody has used yet: less than 1 MB in all, whatever the client does.
 */
#ifndef STEAD_GATE_HTTP2_H
#define STEAD_GATE_HTTP2_H

#include "conn.h"
#include "outbuf.h"

#include <nghttp2/nghttp2.h>

enum {
	H2_STREAMS_MAX = 100,
	H2_HEADS_MAX = 256 * 1024,
	/* What references to HPACK's table may add to a head, above twice its bytes on the wire (Huffman's codes
	 * make 5 bits of 8 at the best): the table has 4 KB, and no client that is right says a thing twice. */
	H2_REFERENCED_MAX = 8 * 1024,
	/* Of the open requests' heads what the client did not send, because it refers to what it said before: above
	 * H2_AMPLIFIED_PER_BYTE for each byte on the wire and H2_AMPLIFIED_FREE for each head, which the small fields of any
	 * client are below. Large values are kept once (http2_shared.c). */
	H2_AMPLIFIED_MAX = 32 * 1024,
	H2_AMPLIFIED_PER_BYTE = 4,
	H2_AMPLIFIED_FREE = 1024,
	H2_SHARED_MIN = 256,     /* bytes of a value that is large */
	H2_SHARED_VALUES = 16,   /* of a connection at a time … */
	H2_SHARED_BYTES = 64 * 1024,
	H2_SHARES_MAX = 4,       /* … and of a head */
	H2_HELD_MAX = 384 * 1024,
	H2_OUT_MAX = 64 * 1024,
	H2_WINDOW = 256 * 1024, /* of the connection; a stream's is STREAM_WINDOW */
	H2_TRAILERS_MAX = 32,
	H2_TRAILER_BYTES = 8 * 1024,
	H2_PREFACE = 24,     /* bytes before the client's first frame */
	H2_CLOSED_KEPT = 64, /* how many streams that ended are remembered; a power of two */
};

/* Text that grows in an arena. */
struct h2_text {
	char *p;
	uint32_t len, cap;
};
struct h2_slice {
	const char *p; /* NULL: it did not come */
	uint32_t len;
};

/* A request's head while its fields come. */
struct h2_head {
	struct h2_slice method, path, scheme, authority, protocol;
	struct h2_text fields, cookie;
	uint32_t bytes; /* as RFC 9113 section 6.5.2 counts a list of fields */
	uint32_t lines;
	uint8_t bad; /* enum close_id */
	bool has_host;
	bool large; /* it has a value of H2_SHARED_MIN */
};

struct h2_shared;
struct http1_head;

/* One exchange; lies in the arena of its request. */
struct h2_stream {
	struct stream stream;
	struct h2_stream *next, *prev;
	struct h2 *h2;
	int32_t id;
	struct arena arena;  /* until the request takes it over */
	struct arena *owner; /* where the arena is: here or in the request */
	struct req *req;     /* NULL while there is no head, and after req_done() */
	uint64_t start_us;
	struct h2_head *head; /* while it comes; in the connection's scratch */
	uint8_t why;          /* enum close_id: we ended it with this */
	bool taken_back;      /* the client reset it */

	/* the request's body */
	bool body_done, body_told, tunnel, extended;
	uint32_t unused; /* bytes that somebody has got and not given credit for */
	struct h2_early *early; /* of a tunnel that is not open yet */
	struct field *trailers; /* [H2_TRAILERS_MAX] */
	unsigned trailers_n;
	uint32_t trailer_bytes;
	uint32_t head_bytes; /* charged to the connection for its head */
	uint32_t amplified;  /* … and of it what the client did not send */
	uint8_t shares_n;
	struct h2_shared *shares[H2_SHARES_MAX]; /* what its request's fields point to */

	/* the answer */
	bool head_sent, no_body, out_ended, deferred, room_wanted, file_owned, end_given;
	int64_t out_left; /* Content-Length: bytes to come; -1: not known */
	struct outq out;  /* waits for the client's windows */
	int file_fd;
	uint64_t file_off, file_len;
	nghttp2_nv *tail; /* trailer fields of the answer */
	unsigned tail_n;

	/* the minimum rate of whom we wait for */
	struct ledger_pace pace;
	uint64_t moved; /* bytes of content, in the direction that is waited for */
	bool pace_on, pace_out;
};

/* Where the client's frames begin and end, for what nghttp2 does not look at. */
struct h2_walk {
	uint32_t left;    /* of the preface or of a frame's payload */
	uint8_t have;     /* bytes of `head` */
	bool data;        /* the head of a DATA frame is whole */
	uint8_t head[13]; /* of a frame, and the first of PRIORITY's payload */
};

struct h2 {
	struct conn *conn;
	nghttp2_session *session;
	struct h2_stream *streams;
	unsigned streams_n;
	uint32_t heads_bytes, amplified, held;
	struct h2_shared *shared; /* large values of the open requests' heads, each once */
	uint32_t shared_n, shared_bytes;
	struct arena scratch; /* of the head that is coming: only one can be */
	bool inside;  /* nghttp2 is on the stack: it must not be freed */
	bool greeted; /* the client's first SETTINGS came */
	bool ending;  /* GOAWAY says that no further stream is taken */
	bool noticed; /* GOAWAY says that the end is near */
	uint8_t why;  /* enum close_id: … and the connection ends with this behind the last one */
	uint8_t cut;  /* enum close_id: end the connection with this now */
	struct h2_walk walk;
	uint32_t last_id;                /* of the streams that the client has opened */
	uint32_t closed[H2_CLOSED_KEPT]; /* streams that ended last; their highest bit: by our RST_STREAM */
	unsigned closed_n;
	uint32_t block_bytes; /* of the head that is coming, on the wire */
	uint64_t block_ms; /* since when a head has been coming; 0: none */
	uint64_t sent_ms;  /* when the socket took something last */

	struct outq out; /* waits for the socket */
	bool sending;
	struct send_op send;
	struct op turn;
};

/* http2.c */
/* What a connection that speaks it begins with (RFC 9113 section 3.4); anything else is HTTP/1's to refuse. */
#define HTTP2_BEGINS "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
/* It is one from now on; so many bytes of HTTP2_BEGINS were there before. False: no memory; the connection
 * has ended. */
bool http2_begin(struct conn *c, size_t had);
void http2_run(struct conn *c);
void http2_gone(struct conn *c, enum close_id why);
void http2_timer(struct conn *c);
bool http2_is_idle(const struct conn *c);
/* The gate is ending: say so; what comes until drain_idle_ms is taken. */
void http2_drain(struct conn *c);
bool http2_has_tunnel(const struct conn *c);
/* Look at the connection again: now if its run() is on the stack, else at the turn's end. */
void http2_kick(struct h2 *h);
/* Take no further stream, finish those that are, and end with this reason. */
void http2_end(struct h2 *h, uint32_t error, enum close_id why);
op_done http2_on_send, http2_on_turn;

/* http2_recv.c */
/* Look at the frames of what has come. How many bytes nghttp2 shall have now: up to the end of a DATA
 * frame's head, which is to be looked at behind that, or all. */
size_t http2_walk(struct h2 *h, const uint8_t *p, size_t n);
void http2_walked(struct h2 *h);
int http2_callbacks(nghttp2_session_callbacks **ret);

/* http2_head.c */
struct h2_stream *http2_stream_new(struct h2 *h, int32_t id);
/* One field of the head; a fault of it shows in head->bad. */
void http2_head_add(struct h2_stream *s, const char *name, size_t name_len, const char *value, size_t value_len);
/* The head is whole: the request begins. */
void http2_head_done(struct h2_stream *s, bool end_stream);
/* A field of the trailer section. False: too many. */
bool http2_trailer_add(struct h2_stream *s, const char *name, size_t name_len, const char *value, size_t value_len);

/* http2_shared.c */
/* The head's text of n bytes, to which `head` points, is copied to the arena without its large values, which this
 * stream's requests have in common with others; `head` points to all that from then on. *ret_shared: bytes of the
 * values. False: no memory. */
bool http2_share(struct h2_stream *s, struct arena *a, const char *text, size_t n, struct http1_head *head, uint32_t *ret_shared);
/* Nobody looks at its request's fields any more. */
void http2_unshare(struct h2_stream *s);

/* http2_stream.c */
extern const struct stream_ops http2_stream_ops;
/* It is over on the wire: the request's end, and everything is given back. */
void http2_stream_closed(struct h2_stream *s, enum close_id why);
void http2_stream_body(struct h2_stream *s, const char *p, size_t n);
void http2_stream_body_end(struct h2_stream *s);
/* Tell who waits for room that there is some. False: nobody does. */
bool http2_stream_tell_room(struct h2_stream *s);
/* End it with RST_STREAM. */
void http2_stream_cut(struct h2_stream *s, uint32_t error, enum close_id why);

/* http2_out.c */
/* Make frames and send them. True: something went. */
bool http2_out_run(struct h2 *h);
bool http2_out_done(const struct h2 *h);
ssize_t http2_on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
	nghttp2_data_source *source, void *arg);
int http2_on_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t n,
	nghttp2_data_source *source, void *arg);

#endif
