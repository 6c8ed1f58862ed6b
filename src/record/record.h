/*
 * record.h: the access record of one request: as bytes in a gate's log ring, as members of a JSON object, as
 * a line of text.
 *
 * The gate writes what it knows, as it lies in memory (record_put: no text is made there); the log process
 * reads it back with every length checked, for what another process wrote is input, and writes JSON and, where
 * the site asks for one, a line. `stead logs --format` makes lines of JSON again. Nothing here allocates, and
 * nothing that a client sent can end a line or leave its quotes.
 */
#ifndef STEAD_RECORD_RECORD_H
#define STEAD_RECORD_RECORD_H

#include "lib/buf.h"
#include "tbl/tbl.h"

#include <time.h>

enum record_text {
	RECORD_SITE = 0,
	RECORD_CLIENT,
	RECORD_USER,
	RECORD_METHOD,
	RECORD_TARGET,
	RECORD_HOST,
	RECORD_REFERER,
	RECORD_AGENT,
	RECORD_ID,       /* a trusted proxy's; "": the 128 bits */
	RECORD_UPSTREAM, /* a backend's or an app's name */
	RECORD_SERVER,   /* which of its servers */
	RECORD_CACHE,    /* what the cache did */
	RECORD_TLS,      /* version */
	RECORD_CIPHER,
	RECORD_FORMAT,   /* of a custom AccessLog= */
	RECORD_SNI,      /* the name that the client asked for, where it is not the host */
	RECORD_SUBJECT,  /* whom the client's certificate names */
	RECORD_TEXTS
};
enum { RECORD_RAW_MAX = 8 * 1024, RECORD_FORMAT_MAX = 1024, RECORD_LINE_MAX = 12 * 1024 };
/* Longer ones are cut, and a bit of `cut` says so. */
extern const uint16_t record_text_max[RECORD_TEXTS];

enum record_flag {
	RECORD_IS_TLS = 1,
	RECORD_HTTP_1_0 = 2,
	RECORD_HAS_FIRST = 4, /* an answer's head was sent */
	RECORD_COMBINED = 8,  /* the site wants a line in the combined format */
	RECORD_IS_TCP = 16,   /* a connection of [Tcp], below */
	RECORD_HTTP_2 = 32,
};

/* RECORD_IS_TCP: its name is RECORD_UPSTREAM; id, method, target and the like are empty; `number` is how many
 * servers were asked, upstream_us the time until one took it, status no more than a measure of the fault. */

/* Numbers in the sender's byte order: both ends are on one machine. Fields are only appended. */
struct record_head {
	uint16_t bytes;     /* of this head */
	uint16_t flags;     /* enum record_flag */
	uint32_t cut;       /* bit per enum record_text */
	uint64_t id[2];     /* of the request: 128 bits that nobody can guess */
	uint64_t number;    /* of the record in its gate, from 1: what is missing between two was lost */
	uint64_t whole_us, first_us;
	uint64_t upstream_us; /* from asking to the answer's head */
	uint64_t body_in, body_out;
	uint16_t status, upstream_status; /* 0: none */
	uint16_t port;      /* the client's; 0 unknown */
	uint16_t close;     /* enum close_id */
	uint16_t len[RECORD_TEXTS];
	uint16_t pad[3];
};
_Static_assert(sizeof(struct record_head) == 120, "no hole that would tell what lay on the stack");

struct record;
/* Of its request: "HTTP/1.1" and the like. */
const char *record_protocol(const struct record *r);

struct record_str {
	const char *p;
	size_t n;
};
struct record {
	struct record_head head;
	struct record_str text[RECORD_TEXTS];
};

/* ---- record.c ---- */
/* Into mem (RECORD_RAW_MAX); fills len and cut of r->head. How many bytes. Texts are cut at their bound. */
size_t record_put(struct record *r, char *mem);
/* The texts point into p. -EBADMSG: it is none. */
int record_get(const char *p, size_t n, struct record *ret);
/* A request's id as text: 32 hex digits. */
void record_id(const uint64_t id[2], char ret[33]);
/* The request's id as every reader sees it. mem is room for it. */
struct record_str record_request_id(const struct record *r, char mem[33]);
/* ,"site":"…",… without the braces. */
void record_members(struct buf *b, const struct record *r);

/* ---- format.c ---- */
/* A format, parsed: literal pieces and variables in turn; pieces lie in its text. */
enum { RECORD_PARTS_MAX = 64 };
struct record_format {
	unsigned n;
	struct {
		uint16_t from, len; /* the piece of text before … */
		uint8_t var;        /* … this; LOGVAR_END: none follows */
	} part[RECORD_PARTS_MAX];
};
extern const char record_combined[];
/*
 * $name, ${name}, $$ for a dollar. -EINVAL: an unknown variable or a malformed one, *ret_at and *ret_len say
 * where in the text; -E2BIG: more than RECORD_PARTS_MAX parts or RECORD_FORMAT_MAX bytes.
 */
int record_format_parse(const char *text, size_t n, struct record_format *ret, size_t *ret_at, size_t *ret_len);
/* What a maker of lines keeps between two: the last custom format, and the last second's text. Zeroed at
 * the beginning. */
struct record_lines {
	struct record_format combined, custom;
	bool has_combined, has_custom;
	char custom_text[RECORD_FORMAT_MAX];
	size_t custom_len;
	time_t second;
	char local[32], iso[32];
	uint64_t utc_s; /* the maker's own: the second that utc shows */
	char utc[32];
};
/* Append the line of r without a newline: the format of its own, else combined. Bytes that are not printable
 * ASCII, quotes and backslashes of what a client sent become \xHH, as in nginx; an empty value is "-".
 * wall_us: when it was written. -EINVAL: the format is none. */
int record_line(struct record_lines *l, struct buf *b, uint64_t wall_us, const struct record *r);

#endif
