/*
 * cache_head.h: the description of a stored answer: its key, what it varies by, its head; as bytes and
 * back. Pure. What is read back was written by another process, and is input.
 */
#ifndef STEAD_GATE_CACHE_HEAD_H
#define STEAD_GATE_CACHE_HEAD_H

#include "cache_policy.h"
#include "lib/buf.h"

enum { CACHE_FIELDS_MAX = 160, CACHE_VARY_MAX = 16 };

struct cache_head {
	uint16_t status;
	const char *reason, *key;
	uint32_t reason_len, key_len;
	uint64_t route;    /* which route answered */
	int64_t stored_ms; /* wall clock */
	struct cache_rules rules; /* etag and last_modified point into fields */
	unsigned nvary, nfields;
	struct field vary[CACHE_VARY_MAX]; /* value: "" was not sent, else "=" and what was sent */
	struct field fields[CACHE_FIELDS_MAX];
};

/* Of a wall-clock time, with what it was when it came. */
int64_t cache_head_age_ms(const struct cache_head *h, int64_t now_ms);

/* The key of a URL: site, scheme, host with its port when it is not the scheme's, target. 0 or the
 * buffer's sticky error. */
int cache_key_put(struct buf *b, uint32_t site, bool tls, const char *host, size_t host_len, uint16_t port,
	const char *target, size_t target_len);
uint64_t cache_key_hash(const char *p, size_t n);
/* The parts of a key again. False: it is none. */
struct cache_key {
	uint32_t site;
	bool tls;
	const char *host, *target; /* host: with the port, if any */
	size_t host_len, target_len;
};
bool cache_key_parse(const char *p, size_t n, struct cache_key *ret);

/* What the stored answer's Vary names, of a request's fields. False: more than is kept, or no room. */
bool cache_vary_fill(struct cache_head *h, const struct field *answer, unsigned n,
	const struct field *request, unsigned nrequest, struct buf *mem);
/* Would that request have got this answer? */
bool cache_vary_matches(const struct cache_head *h, const struct field *request, unsigned n);
uint64_t cache_variant(const struct cache_head *h);

/* As bytes; the buffer's error tells that it does not fit. */
void cache_head_pack(const struct cache_head *h, struct buf *b);
/* Strings point into p. False: damaged. */
bool cache_head_unpack(const char *p, size_t n, struct cache_head *ret);
/* Only key and route, cheaper. */
bool cache_head_is(const char *p, size_t n, const char *key, size_t key_len, uint64_t route);

/* The fields of a 304 over the stored ones (RFC 9111 section 3.2), in ret; at most
 * CACHE_FIELDS_MAX. Returns how many. */
unsigned cache_fields_update(const struct cache_head *h, const struct field *f, unsigned n,
	struct field ret[CACHE_FIELDS_MAX]);

/* Tags: Cache-Tag (commas) and Surrogate-Key (blanks). */
uint64_t cache_tag_bit(const char *tag, size_t n);
uint64_t cache_tags_of(const struct field *f, unsigned n);
bool cache_has_tag(const struct field *f, unsigned n, const char *tag, size_t tag_len);

#endif
