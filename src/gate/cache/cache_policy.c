/*
 * cache_policy.c: may an answer be kept, and for how long (RFC 9111 sections 3, 4.2, 5.2; RFC 5861; RFC
 * 9213). Called by the cache's phase and filter, unit tests and the fuzz target. Owns nothing, knows no
 * clock.
 *
 * Two things are stricter than the RFC, because here a mistake shows one visitor's page to another: an
 * answer that sets a cookie is kept only when it also says `public`, s-maxage or CDN-Cache-Control; and
 * an answer to a request with a cookie is kept only when it says itself how long it is fresh.
 */
#include "cache_policy.h"

#include "httpdate.h"

#include <string.h>
#include <strings.h>

#define AS_BOOL(base, off) (*(bool *)((char *)(base) + (off)))

enum { HEURISTIC_MAX_S = 24 * 3600, HEURISTIC_PART = 10 };

bool cache_named(const struct field *f, const char *name)
{
	return f->name_len == strlen(name) && strncasecmp(f->name, name, f->name_len) == 0;
}

bool cache_drops(const struct field *f)
{
	static const char *const names[] = {"connection", "keep-alive", "proxy-authenticate",
		"proxy-authentication-info", "proxy-authorization", "proxy-connection", "te",
		"trailer", "transfer-encoding", "upgrade", "age", "date", "content-length",
		"cache-status"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (cache_named(f, names[i]))
			return true;
	return false;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool cache_list_next(const char *p, size_t n, size_t *at, const char **ret, size_t *ret_len)
{
	size_t from, i = *at;
	bool quoted = false;

	while (i < n && (is_blank(p[i]) || p[i] == ','))
		i++;
	from = i;
	for (; i < n && (quoted || p[i] != ','); i++) {
		if (p[i] == '"')
			quoted = !quoted;
		else if (quoted && p[i] == '\\' && i + 1 < n)
			i++;
	}
	*at = i;
	*ret = p + from;
	while (i > from && is_blank(p[i - 1]))
		i--;
	*ret_len = i - from;
	return i > from;
}

/* ---- Cache-Control ---- */

/* Digits and nothing else; CACHE_NONE otherwise. Too large ones stop at the largest. */
static int64_t seconds(const char *p, size_t n)
{
	int64_t v = 0;

	if (n == 0)
		return CACHE_NONE;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return CACHE_NONE;
		if (v < CACHE_SECONDS_MAX)
			v = v * 10 + (p[i] - '0');
	}
	return v > CACHE_SECONDS_MAX ? CACHE_SECONDS_MAX : v;
}

void cache_cc_init(struct cache_cc *cc)
{
	memset(cc, 0, sizeof(*cc));
	cc->max_age = cc->s_maxage = cc->stale_while_revalidate = cc->stale_if_error = CACHE_NONE;
	cc->max_stale = cc->min_fresh = CACHE_NONE;
}

struct word {
	const char *p;
	size_t n;
};

static bool is_word(struct word w, const char *name)
{
	return w.n == strlen(name) && strncasecmp(w.p, name, w.n) == 0;
}

/* The shorter of two that were said; a malformed one is 0. */
static void shorter(int64_t *to, int64_t v)
{
	if (v == CACHE_NONE)
		v = 0;
	if (*to == CACHE_NONE || v < *to)
		*to = v;
}

/* The same of one that allows more: malformed, it was not said. */
static void shorter_grant(int64_t *to, int64_t v)
{
	if (v != CACHE_NONE)
		shorter(to, v);
}

static void take_time(struct cache_cc *cc, struct word name, int64_t v, bool has_value)
{
	if (is_word(name, "max-age"))
		shorter(&cc->max_age, v);
	else if (is_word(name, "s-maxage"))
		shorter(&cc->s_maxage, v);
	else if (is_word(name, "stale-while-revalidate"))
		shorter_grant(&cc->stale_while_revalidate, v);
	else if (is_word(name, "stale-if-error"))
		shorter_grant(&cc->stale_if_error, v);
	else if (is_word(name, "min-fresh"))
		shorter_grant(&cc->min_fresh, v);
	else if (is_word(name, "max-stale") && !has_value)
		cc->max_stale_any = true;
	else if (is_word(name, "max-stale"))
		shorter_grant(&cc->max_stale, v);
}

/* `value`: of a structured field's boolean; true everywhere else. */
static void take_flag(struct cache_cc *cc, struct word name, bool value)
{
	static const struct {
		const char *name;
		size_t off;
	} flags[] = {
		{"no-store", offsetof(struct cache_cc, no_store)},
		{"no-cache", offsetof(struct cache_cc, no_cache)},
		{"private", offsetof(struct cache_cc, is_private)},
		{"public", offsetof(struct cache_cc, is_public)},
		{"must-revalidate", offsetof(struct cache_cc, must_revalidate)},
		{"proxy-revalidate", offsetof(struct cache_cc, proxy_revalidate)},
		{"must-understand", offsetof(struct cache_cc, must_understand)},
		{"only-if-cached", offsetof(struct cache_cc, only_if_cached)},
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (is_word(name, flags[i].name))
			AS_BOOL(cc, flags[i].off) |= value;
}

void cache_cc_parse(struct cache_cc *cc, const char *p, size_t n)
{
	size_t at = 0, len;
	const char *d;

	cc->said = true;
	while (cache_list_next(p, n, &at, &d, &len)) {
		const char *eq = memchr(d, '=', len);
		struct word name = {d, eq ? (size_t)(eq - d) : len};
		struct word value = {eq ? eq + 1 : d, eq ? len - name.n - 1 : 0};

		/* Both forms of an argument are to be read (section 5.2). no-cache and private may
		 * name fields; then they count for the whole answer, which is safe. */
		if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"') {
			value.p++;
			value.n -= 2;
		}
		take_flag(cc, name, true);
		take_time(cc, name, seconds(value.p, value.n), eq != NULL);
	}
}

/* ---- CDN-Cache-Control: a dictionary of RFC 8941 section 3.2 ---- */

enum sf_type { SF_BAD, SF_INTEGER, SF_BOOLEAN, SF_OTHER };
struct sf {
	const char *p, *end;
	int64_t number;
	bool yes;
};

static bool sf_at(const struct sf *s, char c)
{
	return s->p < s->end && *s->p == c;
}

static bool sf_in(const struct sf *s, const char *chars)
{
	char c = s->p < s->end ? *s->p : 0;

	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr(chars, c));
}

static bool sf_key(struct sf *s, struct word *ret)
{
	ret->p = s->p;
	if (s->p == s->end || !((*s->p >= 'a' && *s->p <= 'z') || *s->p == '*'))
		return false;
	while (sf_in(s, "_-.*"))
		s->p++;
	ret->n = (size_t)(s->p - ret->p);
	return true;
}

static enum sf_type sf_number(struct sf *s)
{
	bool minus = sf_at(s, '-');
	unsigned digits = 0;
	int64_t v = 0;

	s->p += minus;
	for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++, digits++)
		if (digits < 15)
			v = v * 10 + (*s->p - '0');
	if (digits == 0 || digits > 15)
		return SF_BAD;
	s->number = minus ? -v : v;
	if (!sf_at(s, '.'))
		return SF_INTEGER;
	for (digits = 0, s->p++; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++)
		digits++;
	return digits >= 1 && digits <= 3 ? SF_OTHER : SF_BAD;
}

/* What is between two marks: a string, or bytes. */
static enum sf_type sf_quoted(struct sf *s, char mark)
{
	for (s->p++; s->p < s->end && *s->p != mark; s->p++) {
		if (*s->p < 0x20 || *s->p > 0x7e)
			return SF_BAD;
		if (mark == '"' && *s->p == '\\' && ++s->p == s->end)
			return SF_BAD;
	}
	if (s->p == s->end)
		return SF_BAD;
	s->p++;
	return SF_OTHER;
}

static enum sf_type sf_bare(struct sf *s)
{
	char c = s->p < s->end ? *s->p : 0;

	if (c == '-' || (c >= '0' && c <= '9'))
		return sf_number(s);
	if (c == '"' || c == ':')
		return sf_quoted(s, c);
	if (c == '?') {
		if (s->end - s->p < 2 || (s->p[1] != '0' && s->p[1] != '1'))
			return SF_BAD;
		s->yes = s->p[1] == '1';
		s->p += 2;
		return SF_BOOLEAN;
	}
	if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '*'))
		return SF_BAD;
	while (sf_in(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%&'*+-.^_`|~:/"))
		s->p++;
	return SF_OTHER;
}

static bool sf_parameters(struct sf *s)
{
	struct word key;

	while (sf_at(s, ';')) {
		struct sf was = *s;

		for (s->p++; sf_at(s, ' ');)
			s->p++;
		if (!sf_key(s, &key))
			return false;
		if (sf_at(s, '=')) {
			s->p++;
			if (sf_bare(s) == SF_BAD)
				return false;
		}
		s->number = was.number;
		s->yes = was.yes;
	}
	return true;
}

static enum sf_type sf_list(struct sf *s)
{
	s->p++;
	for (;;) {
		while (sf_at(s, ' '))
			s->p++;
		if (sf_at(s, ')')) {
			s->p++;
			return SF_OTHER;
		}
		if (sf_bare(s) == SF_BAD || !sf_parameters(s) || !(sf_at(s, ' ') || sf_at(s, ')')))
			return SF_BAD;
	}
}

static bool is_time(struct word name)
{
	return is_word(name, "max-age") || is_word(name, "s-maxage") ||
	       is_word(name, "stale-while-revalidate") || is_word(name, "stale-if-error");
}

static void sf_blanks(struct sf *s)
{
	while (s->p < s->end && is_blank(*s->p))
		s->p++;
}

static bool sf_member(struct cache_cc *cc, struct sf *s)
{
	enum sf_type type = SF_BOOLEAN;
	struct word key;

	s->yes = true;
	if (!sf_key(s, &key))
		return false;
	if (sf_at(s, '=')) {
		s->p++;
		type = sf_at(s, '(') ? sf_list(s) : sf_bare(s);
	}
	if (type == SF_BAD || !sf_parameters(s))
		return false;
	if (is_time(key)) {
		if (type != SF_INTEGER)
			return false;
		if (s->number > CACHE_SECONDS_MAX)
			s->number = CACHE_SECONDS_MAX;
		take_time(cc, key, s->number < 0 ? CACHE_NONE : s->number, true);
	} else {
		take_flag(cc, key, type != SF_BOOLEAN || s->yes);
	}
	return true;
}

bool cache_cdn_parse(struct cache_cc *cc, const char *p, size_t n)
{
	struct sf s = {p, p + n, 0, false};

	cc->said = true;
	sf_blanks(&s);
	if (s.p == s.end)
		return false;
	for (;;) {
		if (!sf_member(cc, &s))
			return false;
		sf_blanks(&s);
		if (s.p == s.end)
			return true;
		if (*s.p++ != ',')
			return false;
		sf_blanks(&s);
	}
}

int64_t cache_age_parse(const char *p, size_t n)
{
	const char *d;
	size_t at = 0, len;

	return cache_list_next(p, n, &at, &d, &len) ? seconds(d, len) : CACHE_NONE;
}

/* ---- the answer ---- */

/* Statuses whose meaning for a cache is known here: to be kept with must-understand. */
static bool is_understood(uint16_t status)
{
	switch (status) {
	case 200: case 203: case 204: case 300: case 301: case 302: case 303: case 307: case 308:
	case 404: case 405: case 410: case 414: case 451: case 500: case 501: case 502: case 503:
	case 504:
		return true;
	default:
		return false;
	}
}

/* RFC 9110 section 15.1 */
static bool is_heuristic(uint16_t status)
{
	switch (status) {
	case 200: case 203: case 204: case 300: case 301: case 308: case 404: case 405: case 410:
	case 414: case 501:
		return true;
	default:
		return false;
	}
}

struct said {
	struct cache_cc cc, cdn;
	bool cdn_counts, cdn_bad, has_expires, sets_cookie;
	int64_t age, expires, date, modified; /* seconds; CACHE_NONE */
};

static void read_date(int64_t *to, const struct field *f)
{
	int64_t v;

	if (*to == CACHE_NONE && http_date_parse(f->value, f->value_len, &v))
		*to = v;
}

static void read_vary(struct cache_rules *ret, const struct field *f)
{
	size_t at = 0, len;
	const char *d;

	while (cache_list_next(f->value, f->value_len, &at, &d, &len)) {
		ret->has_vary = true;
		ret->vary_all |= len == 1 && *d == '*';
	}
}

static void read_field(struct said *s, struct cache_rules *ret, const struct field *f)
{
	if (cache_named(f, "cache-control")) {
		cache_cc_parse(&s->cc, f->value, f->value_len);
	} else if (cache_named(f, "cdn-cache-control")) {
		/* Lines are one dictionary: one that is malformed spoils it. */
		s->cdn_bad |= !cache_cdn_parse(&s->cdn, f->value, f->value_len);
		s->cdn_counts = !s->cdn_bad;
	} else if (cache_named(f, "expires")) {
		if (!s->has_expires)
			read_date(&s->expires, f);
		s->has_expires = true;
	} else if (cache_named(f, "date")) {
		read_date(&s->date, f);
	} else if (cache_named(f, "age")) {
		if (s->age == CACHE_NONE)
			s->age = cache_age_parse(f->value, f->value_len);
	} else if (cache_named(f, "last-modified")) {
		read_date(&s->modified, f);
		ret->last_modified = s->modified != CACHE_NONE ? f : NULL;
	} else if (cache_named(f, "etag")) {
		ret->etag = f->value_len ? f : NULL;
	} else if (cache_named(f, "vary")) {
		read_vary(ret, f);
	} else if (cache_named(f, "set-cookie")) {
		s->sets_cookie = true;
	}
}

/* Section 4.2.1; CACHE_NONE: nothing is said. */
static int64_t explicit_lifetime(const struct said *s)
{
	const struct cache_cc *cc = s->cdn_counts ? &s->cdn : &s->cc;
	int64_t v;

	if (cc->s_maxage != CACHE_NONE)
		return cc->s_maxage;
	if (cc->max_age != CACHE_NONE)
		return cc->max_age;
	if (!s->has_expires || s->cdn_counts)
		return CACHE_NONE;
	v = s->expires == CACHE_NONE ? 0 : s->expires - s->date;
	return v < 0 ? 0 : v > CACHE_SECONDS_MAX ? CACHE_SECONDS_MAX : v;
}

/* Section 4.2.2: a tenth of how long it had stood unchanged. */
static int64_t guessed_lifetime(
	const struct said *s, const struct cache_cc *cc, uint16_t status, bool has_cookie)
{
	int64_t v;

	if (s->modified == CACHE_NONE || has_cookie || (!is_heuristic(status) && !cc->is_public))
		return 0;
	v = (s->date - s->modified) / HEURISTIC_PART;
	return v < 0 ? 0 : v > HEURISTIC_MAX_S ? HEURISTIC_MAX_S : v;
}

static bool may_store(const struct said *s, const struct cache_rules *r, uint16_t status,
	const struct cache_asked *asked, int64_t said_lifetime)
{
	const struct cache_cc *cc = s->cdn_counts ? &s->cdn : &s->cc;
	bool shared = s->cdn_counts || cc->is_public || cc->s_maxage != CACHE_NONE;

	/* Parts are not put together here (section 3.3), and a 304 is of another's stored answer. */
	if (status < 200 || status == 206 || status == 304 || r->vary_all || asked->no_store)
		return false;
	if (cc->must_understand ? !is_understood(status) : cc->no_store)
		return false;
	if (cc->is_private || (s->sets_cookie && !shared))
		return false;
	if (asked->authorized && !shared && !cc->must_revalidate) /* section 3.5 */
		return false;
	if (said_lifetime == CACHE_NONE && !is_heuristic(status) && !cc->is_public)
		return false;
	/* What can neither be reused nor asked about would only take room. */
	return r->lifetime_s > 0 || r->etag || r->last_modified || r->stale_if_error > 0 ||
	       r->stale_while_revalidate > 0;
}

void cache_rules_of(struct cache_rules *ret, uint16_t status, const struct field *f, unsigned n,
	const struct cache_asked *asked, int64_t now_ms)
{
	struct said s = {.age = CACHE_NONE,
		.expires = CACHE_NONE,
		.date = CACHE_NONE,
		.modified = CACHE_NONE};
	const struct cache_cc *cc;
	int64_t said_lifetime, apparent, corrected;

	memset(ret, 0, sizeof(*ret));
	cache_cc_init(&s.cc);
	cache_cc_init(&s.cdn);
	for (unsigned i = 0; i < n; i++)
		read_field(&s, ret, &f[i]);
	if (s.date == CACHE_NONE)
		s.date = now_ms / 1000;
	cc = s.cdn_counts ? &s.cdn : &s.cc;
	/* Section 4.2.3 */
	apparent = now_ms / 1000 - s.date;
	corrected = (s.age == CACHE_NONE ? 0 : s.age) + (now_ms - asked->asked_ms) / 1000;
	ret->age_s = apparent > corrected ? apparent : corrected;
	if (ret->age_s < 0)
		ret->age_s = 0;
	ret->date_s = s.date;
	said_lifetime = explicit_lifetime(&s);
	ret->lifetime_s = said_lifetime != CACHE_NONE
				  ? said_lifetime
				  : guessed_lifetime(&s, cc, status, asked->has_cookie);
	ret->no_cache = cc->no_cache;
	ret->must_revalidate = cc->must_revalidate || cc->proxy_revalidate || cc->no_cache;
	/* s-maxage says proxy-revalidate too (section 5.2.2.10), but for what the same answer
	 * grants by RFC 5861. */
	ret->no_stale = ret->must_revalidate || cc->s_maxage != CACHE_NONE;
	if (cc->stale_while_revalidate > 0)
		ret->stale_while_revalidate = cc->stale_while_revalidate;
	if (cc->stale_if_error > 0)
		ret->stale_if_error = cc->stale_if_error;
	ret->store = may_store(&s, ret, status, asked, said_lifetime);
}

/* ---- reuse ---- */

enum cache_use cache_use_of(const struct cache_rules *rules, int64_t age_ms, const struct cache_cc *req)
{
	int64_t left = rules->lifetime_s * 1000 - age_ms;

	if (rules->no_cache || req->no_cache)
		return CACHE_USE_CHECK;
	if (req->max_age != CACHE_NONE && age_ms > req->max_age * 1000)
		return CACHE_USE_CHECK;
	if (req->min_fresh != CACHE_NONE && left < req->min_fresh * 1000)
		return CACHE_USE_CHECK;
	if (left > 0)
		return CACHE_USE_FRESH;
	if (!rules->no_stale && (req->max_stale_any || (req->max_stale != CACHE_NONE &&
								-left <= req->max_stale * 1000)))
		return CACHE_USE_FRESH;
	if (!rules->must_revalidate && rules->stale_while_revalidate && -left < rules->stale_while_revalidate * 1000)
		return CACHE_USE_WHILE;
	return CACHE_USE_CHECK;
}

bool cache_use_on_error(const struct cache_rules *rules, int64_t age_ms, const struct cache_cc *req)
{
	int64_t late = age_ms - rules->lifetime_s * 1000;
	int64_t grant = rules->stale_if_error;

	if (!rules->no_stale && req->stale_if_error > grant)
		grant = req->stale_if_error;
	return !rules->must_revalidate && grant > 0 && late < grant * 1000;
}

bool cache_tag_listed(const char *list, size_t n, const char *tag, size_t tag_len)
{
	size_t at = 0, len;
	const char *d;

	if (tag_len >= 2 && !memcmp(tag, "W/", 2)) {
		tag += 2;
		tag_len -= 2;
	}
	while (cache_list_next(list, n, &at, &d, &len)) {
		if (len == 1 && *d == '*')
			return true;
		if (len >= 2 && !memcmp(d, "W/", 2)) {
			d += 2;
			len -= 2;
		}
		if (len == tag_len && tag_len && !memcmp(d, tag, len))
			return true;
	}
	return false;
}
