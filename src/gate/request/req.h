/*
 * req.h: one request from its head to its one access record.
 *
 * The protocol fills a struct req (arena memory; nothing outlives req_done) and calls req_on_head(); the
 * phases (phases.h) choose site, route and handler, and may answer or wait on the way; the handler answers
 * through req_resp_*(), which pass through the response filters (filter.h) to the protocol. Every request ends exactly once, in req_done(), with one close reason, which
 * writes the access record and the counters.
 */
#ifndef STEAD_GATE_REQ_H
#define STEAD_GATE_REQ_H

#include "lib/arena.h"
#include "snap/snap.h"
#include "stream.h"

#include <string.h>

enum handler { HANDLER_NONE = 0, HANDLER_ERROR, HANDLER_STATIC, HANDLER_APP, HANDLER_PROXY, HANDLER_SCRAPE, HANDLER_CACHE, HANDLER_END };
enum method { METHOD_OTHER = 0, METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_DELETE, METHOD_OPTIONS, METHOD_PATCH, METHOD_TRACE, METHOD_CONNECT };

enum { REQ_FIELDS_MAX = 128 };

/* Filters of the answer, in the order in which it meets them. */
enum filter { FILTER_CACHE = 0, FILTER_EDIT, FILTER_COMPRESS, FILTER_END };

/* Who was asked for the answer, for the access record. */
enum req_up_kind { REQ_UP_NONE = 0, REQ_UP_APP, REQ_UP_UPSTREAM }; /* the route says which one */
struct req_up {
	uint8_t kind; /* enum req_up_kind */
	bool asked;
	uint16_t status;    /* 0: there was no answer */
	uint32_t slot;      /* APP: the worker's */
	const char *server; /* UPSTREAM: the last that was asked; arena memory */
	uint32_t server_len;
	uint64_t us;        /* from asking to the answer's head */
};

struct req_piece;
struct req_file;
struct up_script;
struct tls_client;

struct req {
	struct gate *gate;
	struct stream *stream;
	struct arena arena;
	struct snap
		*snap; /* held until req_done(); NULL: there is none, or it is a tunnel by now */
	const struct snap_site *site;
	const struct snap_route *route;
	const struct access_kept
		*kept; /* of a tunnel: what site and route are copied to, and their texts */

	uint64_t id;                    /* gate generation in the upper 24 bits, then a sequence; never reused */
	uint64_t public_id[2];          /* what others are told: nobody can guess one; req_id() */
	const char *given_id;           /* by a trusted proxy: counts instead */
	uint32_t given_id_len;
	uint64_t start_us;              /* loop_now_us() at the head's first byte */
	uint64_t head_us;               /* the same when the answer's head was given; 0: there was none */
	struct req_up up;
	const char *cache_status;       /* a constant word of the cache's; NULL: it had no part */
	uint8_t method;                 /* enum method */
	uint8_t handler;                /* enum handler */
	uint8_t version_minor;          /* HTTP/1.x */
	bool http2;                     /* it came by HTTP/2; version_minor is 1 */
	const char *tls_version, *tls_cipher, *tls_name; /* of its connection, which has them; NULL: not encrypted here */
	struct tls_client *tls_client;  /* of its connection too: whom the site asked for a certificate; NULL: nobody */
	const struct tls_client *cert;  /* … and whose certificate holds here; NULL */
	uint32_t tls_site;              /* the number of the site that its connection was made to */
	bool tls;
	bool metrics;                   /* it came in on the port of Metrics= */
	bool head_sent, ended, body_done; /* answer's head gone; answer whole; request's body whole */
	bool expect_continue;
	bool no_body;                   /* of the answer: HEAD, 204, 304 */
	bool peer_trusted;              /* the peer is one of TrustedProxies=: its forwarding fields count */
	bool te_trailers;               /* the client takes trailer fields behind the answer */
	bool tunnel;                    /* both ways are raw bytes since the answer's head */
	bool alias;                     /* the host is only an alias of the site's canonical name */
	bool ctl_asks;                  /* it is the probe of ctl, which sees what others do not yet */
	bool rewritten;                 /* path and query are not the client's any more */
	enum close_id close;            /* CLOSE_NONE until it ends */
	uint16_t status;                /* as answered */
	uint64_t body_in, body_out;     /* bytes of content, without framing */
	int64_t content_length;         /* of the request; -1 chunked, 0 none */

	const char *method_str;         /* as received */
	const char *target;             /* raw, as received */
	const char *path;               /* decoded, dot segments removed, always begins with '/', no NUL */
	const char *path_literal;       /* of path_len: with each encoded slash as TARGET_SLASH; NULL: no empty segment, no such slash */
	const char *path_raw;           /* undecoded, without query */
	const char *query;              /* without '?', "" when none */
	const char *host;               /* lower case, without port */
	uint32_t method_len, target_len, path_len, path_raw_len, query_len, host_len;
	uint16_t host_port;             /* 0: none was given */
	const char *upgrade;            /* what the client offers to go over to; NULL: nothing */
	uint32_t upgrade_len;
	unsigned ntrailers;
	struct field *trailers;         /* of the request's body; stands when body_end() is called */
	struct field *fields;           /* every field but the hop-by-hop ones, in order; Host included */
	unsigned nfields;
	char peer[46];                  /* client's address as text; behind a trusted proxy what that says */
	char via[46];                   /* who the connection is from: the same, or the trusted proxy */
	uint16_t peer_port;
	uint16_t local_port;
	uint32_t conn_nth;              /* of its address' connections, the one that it came by; 0: not counted */
	uint32_t head_bytes;            /* of the request's head, as received; 0: not known */
	char local[46];

	const char *file_path;          /* TryFiles= found it: below Root=; NULL: by the path */
	const struct up_script *script; /* what the backend shall run; NULL: it knows itself */
	const char *user;               /* who the password says that it is; "" nobody */
	void *handler_state;            /* arena memory of the handler */

	/* phases.c */
	uint8_t phase;                  /* the one that runs or waits */
	bool waits;                     /* it goes on by phases_resume() */
	bool started;                   /* the handler's start() was called */
	struct req_piece *held, *held_last; /* body that came before there was a handler */
	void *phase_state;              /* arena memory of the phase that waits */

	/* resp.c */
	uint8_t filters;                /* bit per enum filter that takes part */
	bool room_asked;                /* the handler waits for room behind the filters */
	void *filter_state[FILTER_END]; /* arena memory */
	struct req_file *file;          /* a file that goes through filters */
};

/* What a handler is. `start` after routing; body bytes that are not taken at once are the handler's to
 * refuse (returns how many it took; the rest comes again after req_consume()). */
struct handler_ops {
	const char *name;
	void (*start)(struct req *r);
	void (*body)(struct req *r, const void *p, size_t n); /* handler copies; calls req_consume() as it uses */
	void (*body_end)(struct req *r);
	void (*room)(struct req *r);                          /* req_resp_room() is not 0 any more */
	void (*abort)(struct req *r, enum close_id why);      /* client gone, deadline: forget r, answer nothing */
	void (*done)(struct req *r);                          /* from req_done(): give back what the request held */
};
extern const struct handler_ops *const req_handlers[HANDLER_END];

/* Ops may be NULL but start: without `body` the request's body is dropped as it comes, and 100 (Continue)
 * is sent by req when start() returned without an answer to a handler that has `body`. After the call
 * that ended the answer (`end`, req_resp_file, req_fail) and after abort() a handler must not touch r but
 * in done(), which is called once, whatever happened. */

/* up, by the protocol */
/* A fresh request for stream s; arena is a new one that the req takes over by value. NULL: no memory. */
struct req *req_new(struct gate *g, struct stream *s, struct arena *arena);
void req_on_head(struct req *r);
/* The head was not understood; what of it is known stands in r. Answers with the close's error page. */
void req_on_bad(struct req *r, enum close_id why);
void req_on_body(struct req *r, const void *p, size_t n);
void req_on_end(struct req *r);
void req_on_room(struct req *r);
/* The protocol met a fault of the client's in the body. The handler is aborted and, when no head was sent
 * yet, the close's error page is answered: true. Else false: the protocol cuts the stream. */
bool req_on_fault(struct req *r, enum close_id why);
void req_on_reset(struct req *r, enum close_id why);
/* The protocol has passed the whole answer on: writes the record; the req is dead afterwards. */
void req_done(struct req *r, enum close_id why);

/* down, by handlers */
int req_resp_interim(struct req *r, uint16_t status, const struct field *f, unsigned n);
int req_resp_head(struct req *r, const struct resp_head *h, bool end);
size_t req_resp_body(struct req *r, const void *p, size_t n, bool end);
int req_resp_file(struct req *r, int fd, uint64_t off, uint64_t len, bool owned);
/* Trailer fields, and the answer's end. They are left out where the client or a filter cannot take them. */
void req_resp_trailers(struct req *r, const struct field *f, unsigned n);
/* Behind the head of a 101: bytes both ways are raw from here on, come by body() and go by
 * req_resp_body(); each way ends by itself. */
int req_resp_tunnel(struct req *r);
size_t req_resp_room(struct req *r);
void req_consume(struct req *r, size_t n);
/* End with a fault: before the head an error page with the close's status (and Retry-After when
 * retry_after_s > 0) is answered, after it the stream is cut. The handler forgets r. */
void req_fail(struct req *r, enum close_id why, unsigned retry_after_s);
/* The same with a field more in the error page's head (Allow, Content-Range); NULL: none. */
void req_fail_with(struct req *r, enum close_id why, unsigned retry_after_s, const struct field *f);
/* The route, or the site's own where none is chosen yet; NULL: there is no site. */
const struct snap_route *req_route(const struct req *r);
/* For the phases: start the handler that was chosen, and give it the body that has come meanwhile. */
void req_start(struct req *r);
/* For the cache: the handler that was asked is out of it, whatever it says; this one answers. No head
 * was sent yet. Not from inside a handler. */
void req_swap(struct req *r, enum handler handler);
/* Does anybody take the request's body? */
bool req_wants_body(const struct req *r);
/* The request's id as others see it: a trusted proxy's X-Request-Id, else 32 hex digits, which need mem. */
enum { REQ_ID_MEM = 33 };
const char *req_id(const struct req *r, char mem[static REQ_ID_MEM], size_t *ret_len);
/* As SERVER_PROTOCOL and logs name it: REQ_PROTOCOL_BYTES of it. */
enum { REQ_PROTOCOL_BYTES = 8 };
static inline const char *req_protocol(const struct req *r)
{
	return r->http2 ? "HTTP/2.0" : r->version_minor ? "HTTP/1.1" : "HTTP/1.0";
}
/* The value of a received field (lower-case name), or NULL. */
const struct field *req_field_n(const struct req *r, const char *name, size_t n);
static inline const struct field *req_field(const struct req *r, const char *name)
{
	return req_field_n(r, name, strlen(name));
}

#endif
