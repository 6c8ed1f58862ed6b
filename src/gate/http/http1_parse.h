/*
 * http1_parse.h: bytes to a request's head (RFC 9112 sections 2 to 6, RFC 9110 sections 5 and 7.2)
 * and to the data of a chunked body (RFC 9112 section 7.1). No socket, no clock, no allocation:
 * what the fuzz targets run is all of it.
 *
 * Strict on purpose: two parsers that disagree about a request are how requests are smuggled, so
 * what the grammar does not allow is refused and never mended. What is accepted beyond the
 * narrowest reading stands in http1_parse.c with its reason.
 */
#ifndef STEAD_GATE_HTTP1_PARSE_H
#define STEAD_GATE_HTTP1_PARSE_H

#include "req.h"

enum {
	HTTP1_LINE_MAX = 8 * 1024,   /* of the request's first line; longer is 414 */
	HTTP1_HEAD_MAX = 32 * 1024,  /* of the head where no site says otherwise; longer is 431 */
	HTTP1_EXT_MAX = 256,         /* bytes of extensions of one chunk */
	HTTP1_EXT_ALL_MAX = 4096,    /* of all chunks of a body */
	HTTP1_TRAILER_MAX = 8 * 1024 /* bytes of the trailer section */
};

struct http1_head {
	const char *method_str, *target;
	uint32_t method_len, target_len;
	uint8_t method; /* enum method */
	uint8_t version_minor;
	bool keep_alive; /* the client's wish: RFC 9112 section 9.3 */
	bool chunked, expect_continue;
	bool te_trailers;    /* trailer fields of the answer are taken */
	const char *upgrade; /* what to go over to, offered for this connection; NULL: nothing */
	uint32_t upgrade_len;
	int64_t content_length; /* -1 chunked, 0 none */
	const char *host;       /* lower case, without port and without a dot at its end */
	uint32_t host_len;
	uint16_t host_port;
	const char *path;  /* what of the target names the resource: begins with '/', or is "*" */
	uint32_t path_len; /* with the query */
	unsigned nfields;
	struct field fields[REQ_FIELDS_MAX];
};

/* Parse a head that begins at p. Names and the host are lower-cased in place; the fields point into
 * p. > 0: the head's length; 0: more bytes are needed (what was changed does no harm to parsing
 * again); < 0: minus the enum close_id, and ret_head holds method and target if they were
 * understood. */
int http1_parse_head(char *p, size_t n, size_t head_max, struct http1_head *ret_head);
/* Look for the end of a head that came in pieces, from *at on, which is moved: so that one byte at
 * a time costs no more than all at once. > 0 the head's length; 0 not yet; < 0 minus the close_id.
 */
int http1_scan_head(const char *p, size_t n, size_t head_max, size_t *at);

/* Is this the authority of a host (RFC 3986 section 3.2.2, narrowed to what DNS and IP literals
 * use)? Lower-cases it in place. */
bool http1_parse_host(char *p, size_t n, uint32_t *ret_len, uint16_t *ret_port);

struct http1_chunks {
	uint8_t state;
	uint8_t digits;
	uint64_t left; /* of the chunk's data */
	uint32_t ext, ext_all, trailer;
	bool in_trailer; /* what was returned belongs to the trailer section, not to the body */
};
/* Take from p: >= 0 how many bytes were used; when *ret_len > 0 then *ret_data holds that many
 * bytes of body among them, or, when in_trailer is set, of the trailer section's lines (at most
 * HTTP1_TRAILER_MAX in all). < 0: minus the close_id. Call again while bytes are left and not done.
 */
int64_t http1_chunks_take(
	struct http1_chunks *k, const char *p, size_t n, const char **ret_data, size_t *ret_len);
bool http1_chunks_done(const struct http1_chunks *k);
/* The trailer section, whole and checked by http1_chunks_take(), to fields: names in lower case,
 * pointing into p; what may not stand there is left out. How many, or minus the close_id. */
int http1_parse_trailers(char *p, size_t n, struct field *ret_fields, unsigned max);
/* f's name is in lower case. */
bool http1_is_forbidden_trailer(const struct field *f);

#endif
