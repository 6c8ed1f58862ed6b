/*
 * up_codec.h: how a question is put to a backend and its answer read, protocol by protocol.
 *
 * A codec knows bytes and nothing else: no socket, no clock, no request's life. It is one row of the
 * constant table up_codecs[], by enum snap_protocol, so that no code pointer lies in a call's memory.
 * up_call.c drives it: head() once, frame() for each piece of the request's body, decode() for what
 * arrives until it says UP_PIECE_END, eof() when the backend closed instead. What a backend sends is
 * input like a client's: refused when it can be read in two ways.
 */
#ifndef STEAD_GATE_UP_CODEC_H
#define STEAD_GATE_UP_CODEC_H

#include "lib/arena.h"
#include "http1_parse.h"
#include "lib/buf.h"
#include "req.h"

enum {
	UP_HEAD_MAX = 64 * 1024,  /* bytes of an answer's head; longer is UP_GARBAGE */
	UP_INTERIM_MAX = 16,      /* 1xx answers before the final one */
	UP_FRAME_BYTES = 32,
	UP_PIECE_MAX = 32 * 1024, /* bytes of body that frame() is given at once */
};

/* A script that the backend shall run, by CGI's variables. */
struct up_script {
	const char *name; /* SCRIPT_NAME: its part of the path */
	const char *file; /* SCRIPT_FILENAME, as the backend sees it */
	const char *info; /* PATH_INFO: what is behind it in the path; "" nothing */
	const char *root; /* DOCUMENT_ROOT */
};

/* What is asked, whoever asks. Lives as long as its call; every string lies in the call's arena, in the
 * request's, in the snapshot that the request holds, or in constant memory (a snapshot's by snap_str(req->snap, …)). */
struct up_ask {
	const struct req *req;       /* the client's request that it is asked for; NULL: a health probe */
	const struct snap_upstream *up; /* settings, in req->snap; NULL with req */
	const char *method;
	const char *target;          /* path and query as the backend shall read them: canonical, raw */
	const char *path;            /* the same path decoded, without query; NUL-terminated */
	const char *prefix;          /* what SNAP_ROUTE_STRIP took from the path's front (SCRIPT_NAME), or "" */
	const char *query;           /* without '?', "" when none */
	const struct up_script *script; /* NULL: the backend is the program itself, by its path */
	const char *host;            /* authority: the client's Host field, or the server's name for a probe */
	uint32_t method_len, target_len, path_len, prefix_len, query_len, host_len;
	/* End-to-end fields in lower case, in order, to send besides host and the framing: neither host,
	 * content-length, connection nor transfer-encoding is among them; those of the forwarding are
	 * (x-forwarded-*, forwarded, via). */
	const struct field *fields;
	unsigned nfields;
	int64_t content_length;      /* of the body that follows; 0 none, -1 not known until its end */
	const char *upgrade;         /* HTTP: the token to upgrade to; NULL: none */
	uint32_t upgrade_len;
	uint8_t method_id;           /* enum method */
	bool trailers;               /* the client takes trailer fields (TE: trailers) */
};

/* The head of an answer, hop-by-hop fields taken away. Bytes lie in what decode() was given or in the
 * answer's arena: valid until the next call of decode(). */
struct up_head {
	uint16_t status;
	const char *reason;          /* "" none; not NUL-terminated */
	uint32_t reason_len;
	int64_t content_length;      /* -1: not known before the end */
	const char *upgrade;         /* 101: what it was upgraded to */
	uint32_t upgrade_len;
	unsigned nfields;
	struct field fields[REQ_FIELDS_MAX]; /* names as received: compare without case */
};

/* FastCGI: where in its records an answer is read (up_fastcgi.c). */
struct up_records {
	uint8_t head[8], end[8];   /* of the record at hand; END_REQUEST's content */
	uint8_t head_len, end_len; /* … as far as they have come */
	uint8_t padding;           /* left of it */
	uint16_t left;             /* of its content */
	bool out_over;             /* the stream of the answer has ended */
	bool end_told;             /* END_REQUEST has come */
	bool counted;              /* the head said how long the body is */
	bool bodiless;             /* what comes of a body is dropped */
};

/* The state of reading one answer; zeroed, then init()ed. */
struct up_answer {
	struct arena *arena;         /* what must be kept from one piece to the next */
	bool to_head;                /* HEAD was asked: there is no body */
	bool keep;                   /* at the end: the connection can be used again */
	bool begun;                  /* a byte of it has come */
	bool last;                   /* with HEAD: no body follows; with BODY: nothing follows it but END */
	uint8_t state;               /* the codec's own, as is the rest */
	uint8_t interims, version_minor, framing;
	const char *upgrade;         /* what 101 may answer, or NULL; lies in the request */
	uint32_t upgrade_len;
	char *head;                  /* a head that comes in pieces */
	uint32_t head_len, head_cap;
	size_t head_scanned;
	uint64_t left;
	union {
		struct http1_chunks chunks;
		struct up_records records;
		uint64_t words[12];
	} u;
};

enum up_piece_kind {
	UP_PIECE_MORE = 0, /* more bytes are needed */
	UP_PIECE_INTERIM,  /* *ret_head holds a 1xx answer (101 is a final one: UP_PIECE_HEAD) */
	UP_PIECE_HEAD,     /* *ret_head holds the answer's head */
	UP_PIECE_BODY,     /* data, len: bytes of the body */
	UP_PIECE_TRAILERS, /* *ret_head's fields are the trailer section; END follows */
	UP_PIECE_LOG,      /* data, len: what the backend wants to have logged (FastCGI's stderr) */
	UP_PIECE_END,      /* the answer is whole; bytes behind it are not wanted */
};
struct up_piece {
	enum up_piece_kind kind;
	const char *data;
	size_t len;
};

/* Framing of one piece of the request's body: pre, at most `take` bytes of it, post. */
struct up_frame {
	size_t take;
	uint8_t pre_len, post_len;
	char pre[UP_FRAME_BYTES], post[UP_FRAME_BYTES];
};

struct up_codec {
	const char *name;
	/* May a connection serve several questions, one after another? */
	bool keeps;
	/* The body's length must be known before the head (then a body of unknown length is buffered). */
	bool needs_length;
	/* Append everything that goes before the body. 0, or minus an enum close_id (a question that
	 * cannot be put in this protocol). A full buffer is the buffer's sticky error. */
	int (*head)(const struct up_ask *a, struct buf *b);
	/* Frame n > 0 bytes of body (NULL: pieces go bare). */
	void (*frame)(const struct up_ask *a, size_t n, struct up_frame *ret);
	/* What goes behind the body's last byte, also behind an empty one; NULL: nothing. */
	void (*finish)(const struct up_ask *a, const struct field *trailers, unsigned n, struct buf *b);
	void (*init)(struct up_answer *x, const struct up_ask *a, struct arena *arena);
	/* Read one piece from p. >= 0: how many bytes were used (all of them when kind is MORE); called again
	 * until MORE or END, also with n == 0. < 0: minus the enum close_id. p may be written to. */
	int64_t (*decode)(struct up_answer *x, char *p, size_t n, struct up_piece *ret, struct up_head *ret_head);
	/* The backend closed. 0: the answer is whole by that; else minus the enum close_id. */
	int (*eof)(struct up_answer *x);
};

/* By enum snap_protocol; NULL: not spoken. up_codecs.c names them all. */
enum { UP_CODECS = 8 };
extern const struct up_codec *const up_codecs[UP_CODECS];
extern const struct up_codec up_http_codec, up_uwsgi_codec, up_fastcgi_codec;

/* up_http.c: keep n more bytes of a head that comes in pieces, in x->head. False: no memory. */
bool up_answer_keep(struct up_answer *x, const char *p, size_t n);

#endif
