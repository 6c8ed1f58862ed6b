/*
 * cache_policy.h: what RFC 9111 says about one answer: may it be kept, how long is it fresh, how old is
 * it, whom may it be given to. Pure: no clock, no memory but what is given.
 */
#ifndef STEAD_GATE_CACHE_POLICY_H
#define STEAD_GATE_CACHE_POLICY_H

#include "stream.h"

enum { CACHE_NONE = -1, CACHE_SECONDS_MAX = INT32_MAX };

/* Directives of Cache-Control; times in seconds, CACHE_NONE where not said. */
struct cache_cc {
	bool said; /* a field was there */
	bool no_store, no_cache, is_private, is_public, must_revalidate, proxy_revalidate;
	bool must_understand, only_if_cached, max_stale_any;
	int64_t max_age, s_maxage, stale_while_revalidate, stale_if_error, max_stale, min_fresh;
};
void cache_cc_init(struct cache_cc *cc);
/* Add one field line. A malformed time counts as 0 where that means stale, and as not said where it
 * would let stale answers live. The shorter of two counts. RFC 9111 section 5.2. */
void cache_cc_parse(struct cache_cc *cc, const char *p, size_t n);
/* One CDN-Cache-Control value (RFC 9213), a dictionary of RFC 8941. False: malformed, or a directive of
 * the wrong type; then it counts as not sent. */
bool cache_cdn_parse(struct cache_cc *cc, const char *p, size_t n);
/* The first value of an Age field; CACHE_NONE when it is none. */
int64_t cache_age_parse(const char *p, size_t n);

/* Who asked. */
struct cache_asked {
	bool authorized;  /* Authorization, or a name that this gate checked itself */
	bool has_cookie;
	bool no_store;    /* said the request's Cache-Control */
	int64_t asked_ms; /* wall clock when it was passed on */
};

/* What an answer says of itself. */
struct cache_rules {
	bool store;
	bool no_cache;        /* never reused without asking */
	bool must_revalidate; /* never given when stale, whatever else is said */
	bool no_stale;        /* … but for what the answer itself grants */
	int64_t lifetime_s, age_s, stale_while_revalidate, stale_if_error;
	int64_t date_s;
	const struct field *etag, *last_modified; /* NULL: none */
	bool has_vary, vary_all; /* vary_all: there is a `*` */
};
/* now_ms: wall clock when the head came. */
void cache_rules_of(struct cache_rules *ret, uint16_t status, const struct field *f, unsigned n,
	const struct cache_asked *asked, int64_t now_ms);

/* How a stored answer may be used now. */
enum cache_use {
	CACHE_USE_FRESH,
	CACHE_USE_WHILE,   /* stale, may be given while somebody asks anew */
	CACHE_USE_CHECK,   /* to be asked about first */
};
/* age_ms: as of now. `req`: the directives of who asks. */
enum cache_use cache_use_of(const struct cache_rules *rules, int64_t age_ms, const struct cache_cc *req);
/* May it be given when the backend failed? */
bool cache_use_on_error(const struct cache_rules *rules, int64_t age_ms, const struct cache_cc *req);

/* Weak comparison of an entity tag with the list of an If-None-Match (RFC 9110 section 13.1.2). */
bool cache_tag_listed(const char *list, size_t n, const char *tag, size_t tag_len);
/* Is f called so (without case)? */
bool cache_named(const struct field *f, const char *name);
/* Does a field stay out of the store: it is of the connection or of a proxy (RFC 9111 section 3.1), or the
 * gate says it anew. */
bool cache_drops(const struct field *f);

/* The next member of a comma-separated list, without blanks around it and without empty ones; commas in
 * quoted strings do not count. False: there is none. *at: begins at 0. */
bool cache_list_next(const char *p, size_t n, size_t *at, const char **ret, size_t *ret_len);

#endif
