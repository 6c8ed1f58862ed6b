/*
 * up_forward.c: a client's request as a backend shall read it: canonical target, the fields of
 * forwarding, nothing of the connection (RFC 9110 sections 4.2.3 and 7.6, RFC 7239).
 *
 * Called by to_proxy.c and by whoever else asks a backend for a request. Owns nothing: all of it lies in
 * the request's arena or in the request. What two readers could take for two things does not pass: an
 * unreserved character is never escaped, a reserved one keeps its escape, dot segments are gone, a path
 * begins with one slash (two begin an authority for some, and are one for Apache), no field's name has an
 * underscore (CGI-like backends read it as a hyphen).
 */
#include "up.h"
#include "lib/must.h"

#include <string.h>

enum { ADDED_MAX = 9 };

static bool is_unreserved(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '.' || c == '_' || c == '~';
}

/* What stands in a path as it is (RFC 3986 section 3.3). */
static bool is_path(int c)
{
	return is_unreserved(c) || (c && strchr("!$&'()*+,;=:@/", c));
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_canonical(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!is_path((unsigned char)p[i]) || (p[i] == '.' && i && p[i - 1] == '/'))
			return false;
	return n < 2 || p[1] != '/';
}

static char *put_escape(char *to, int c)
{
	static const char digits[] = "0123456789ABCDEF";

	*to++ = '%';
	*to++ = digits[c >> 4];
	*to++ = digits[c & 15];
	return to;
}

/* Escapes as they should be: at most three times as long. */
static size_t put_path(char *to, const char *p, size_t n)
{
	char *from = to;

	for (size_t i = 0; i < n; i++) {
		int c = (unsigned char)p[i];

		if (c == '%' && n - i > 2 && hex(p[i + 1]) >= 0 && hex(p[i + 2]) >= 0) {
			c = hex(p[i + 1]) * 16 + hex(p[i + 2]);
			i += 2;
			if (is_unreserved(c))
				*to++ = (char)c;
			else
				to = put_escape(to, c);
		} else if (is_path(c)) {
			*to++ = (char)c;
		} else {
			to = put_escape(to, c);
		}
	}
	return (size_t)(to - from);
}

/* Dot segments away, in place (RFC 3986 section 5.2.4); target.c has refused what climbs too high. */
static size_t drop_dots(char *p, size_t n)
{
	size_t to = 0, at = 0;

	while (at < n) {
		size_t end = at + 1, len;

		while (end < n && p[end] != '/')
			end++;
		len = end - at - 1;
		if (len == 1 && p[at + 1] == '.') {
			;
		} else if (len == 2 && p[at + 1] == '.' && p[at + 2] == '.') {
			while (to > 0 && p[--to] != '/')
				;
		} else {
			memmove(p + to, p + at, end - at);
			to += end - at;
			at = end;
			continue;
		}
		at = end;
		if (at == n)
			p[to++] = '/';
	}
	return to;
}

/* How many bytes of the canonical path are the first k of the decoded one. */
static size_t raw_bytes(const char *p, size_t n, size_t k)
{
	size_t at = 0;

	for (; k && at < n; k--)
		at += p[at] == '%' ? 3 : 1;
	return min_of(at, n);
}

static size_t strip_bytes(const struct req *r)
{
	const struct snap_route *route = r->route;
	size_t n;

	if (!route || !(route->flags & SNAP_ROUTE_STRIP) || route->match != SNAP_MATCH_PREFIX)
		return 0;
	(void)snap_str(r->snap, route->path, &n);
	return n > 1 && n <= r->path_len ? n : 0;
}

static size_t slashes_before(const char *p, size_t n)
{
	size_t i = 0;

	while (i + 1 < n && p[i + 1] == '/')
		i++;
	return i;
}

/* The path behind what StripPrefix= takes, for CGI-like protocols; it may have nothing left but its end. */
static int strip_path(struct req *r, struct up_ask *a, size_t strip)
{
	size_t more;

	a->prefix = arena_strndup(&r->arena, r->path, strip);
	if (!a->prefix)
		return -CLOSE_NO_MEMORY;
	a->prefix_len = (uint32_t)strip;
	if (strip == r->path_len) {
		a->path = "/";
		a->path_len = 1;
		return 0;
	}
	more = strip + slashes_before(r->path + strip, r->path_len - strip);
	a->path = r->path + more;
	a->path_len = (uint32_t)(r->path_len - more);
	return 0;
}

int up_target(struct req *r, struct up_ask *a, size_t strip)
{
	size_t n = r->path_raw_len, skip;
	const char *raw = r->path_raw;
	char *to, *from;

	a->path = r->path;
	a->path_len = r->path_len;
	a->prefix = "";
	a->query = r->query;
	a->query_len = r->query_len;
	if (!strip && is_canonical(raw, n) && (!r->query_len || r->query == raw + n + 1)) {
		a->target = raw;
		a->target_len = (uint32_t)(n + (r->query_len ? 1 + r->query_len : 0));
		return 0;
	}
	to = from = arena_alloc(&r->arena, 3 * n + r->query_len + 3);
	if (!to)
		return -CLOSE_NO_MEMORY;
	*to++ = '/'; /* where a prefix was taken whole */
	n = put_path(to, raw, n);
	n = drop_dots(to, n);
	skip = slashes_before(to, n);
	to += skip;
	n -= skip;
	if (strip) {
		skip = raw_bytes(to, n, strip);
		if (strip_path(r, a, strip) < 0)
			return -CLOSE_NO_MEMORY;
		/* Cut at an escaped slash the rest would be no path. */
		if (skip < n && to[skip] != '/')
			return -CLOSE_BAD_TARGET;
		skip += slashes_before(to + skip, n - skip);
		to += skip;
		n -= skip;
	}
	if (n == 0)
		n = 1, to = from;
	a->target = to;
	to += n;
	if (r->query_len) {
		*to++ = '?';
		memcpy(to, r->query, r->query_len);
		to += r->query_len;
	}
	a->target_len = (uint32_t)(to - a->target);
	return 0;
}

/* What a client said of forwarding, and its other fields that go no further. */
struct forwarded {
	const struct field *for_, *forwarded, *via; /* the first of each; joined when there are more */
	bool more_for, more_forwarded, more_via, proto, host, port;
	bool id; /* the configuration says what it shall be */
};

static bool is(const struct field *f, const char *name, size_t n)
{
	return f->name_len == n && !memcmp(f->name, name, n);
}
#define IS(f, literal) is(f, literal, sizeof(literal) - 1)

/* True: it is not copied. */
static bool take(const struct req *r, const struct field *f, struct forwarded *w)
{
	bool trusted = r->peer_trusted;

	switch (f->name_len) {
	case 3:
		if (!IS(f, "via"))
			return false;
		w->more_via |= w->via != NULL;
		w->via = w->via ? w->via : f;
		return true;
	case 4:
		return IS(f, "host");
	case 6:
		return IS(f, "expect");
	case 7:
		return IS(f, "upgrade");
	case 9:
		if (!IS(f, "forwarded"))
			return false;
		w->more_forwarded |= w->forwarded != NULL;
		w->forwarded = w->forwarded ? w->forwarded : f;
		return true;
	case 10:
		return IS(f, "connection");
	case 12:
		return IS(f, "x-request-id") && !w->id;
	case 14:
		return IS(f, "content-length");
	case 15:
		if (!IS(f, "x-forwarded-for"))
			return false;
		w->more_for |= w->for_ != NULL;
		w->for_ = w->for_ ? w->for_ : f;
		return true;
	case 16:
		if (IS(f, "x-forwarded-host")) {
			w->host = trusted;
			return !trusted;
		}
		if (!IS(f, "x-forwarded-port"))
			return false;
		w->port = trusted;
		return !trusted;
	case 17:
		if (!IS(f, "x-forwarded-proto"))
			return false;
		w->proto = trusted;
		return !trusted;
	case 19:
		return IS(f, "proxy-authorization");
	default:
		if (f->name_len > 12 && !memcmp(f->name, "x-forwarded-", 12))
			return !trusted;
		return f->name_len == 14 && IS(f, "http2-settings");
	}
}

/* Text put together in memory that is known to be long enough. */
static char *put(char *to, const char *p, size_t n)
{
	memcpy(to, p, n);
	return to + n;
}
#define PUT(to, literal) put(to, literal, sizeof(literal) - 1)

/* All values of that name, joined with ", ". */
static const char *joined(struct req *r, const struct field *first, bool more)
{
	const char *all = arena_strndup(&r->arena, first->value, first->value_len);

	for (const struct field *f = first + 1; more && all && f < r->fields + r->nfields; f++)
		if (f->name_len == first->name_len && !memcmp(f->name, first->name, f->name_len))
			all = arena_printf(&r->arena, "%s, %.*s", all, (int)f->value_len, f->value);
	return all;
}

static void add(struct field *f, unsigned *n, const char *name, size_t name_len, const char *value, size_t len)
{
	f[(*n)++] = (struct field){name, value, (uint32_t)name_len, (uint32_t)len};
}
#define ADD(f, n, name, value, len) add(f, n, name, sizeof(name) - 1, value, len)

static char *put_port(char *to, unsigned port)
{
	char digits[5], *d = digits + sizeof(digits);

	do
		*--d = (char)('0' + port % 10);
	while (port /= 10);
	return put(to, d, (size_t)(digits + sizeof(digits) - d));
}

/* "OLD, NEW", or NEW alone. */
static void add_list(struct req *r, struct field *f, unsigned *n, const char *name, size_t name_len,
	const char *old, const char *value, size_t len)
{
	size_t had = old ? strlen(old) : 0;
	char *all, *to;

	if (!had) {
		add(f, n, name, name_len, value, len);
		return;
	}
	all = to = arena_alloc(&r->arena, had + 2 + len);
	if (!all)
		return;
	to = put(to, old, had);
	to = PUT(to, ", ");
	put(to, value, len);
	add(f, n, name, name_len, all, had + 2 + len);
}

/* for=…;host=…;proto=… (RFC 7239 section 4); an IPv6 address and a host with a port are quoted. */
static size_t put_forwarded(char *to, const struct req *r, const struct up_ask *a)
{
	bool v6 = strchr(r->via, ':') != NULL;
	char *from = to;

	to = PUT(to, "for=");
	if (v6)
		to = PUT(to, "\"[");
	to = put(to, r->via, strlen(r->via));
	if (v6)
		to = PUT(to, "]\"");
	to = PUT(to, ";host=\"");
	to = put(to, a->host, a->host_len);
	to = PUT(to, "\";proto=http");
	if (r->tls)
		*to++ = 's';
	return (size_t)(to - from);
}

/* The id that our record has, so that the backend's records can be found by it. */
static void add_id(struct req *r, struct field *f, unsigned *n)
{
	char *mem = r->given_id_len ? NULL : arena_alloc(&r->arena, REQ_ID_MEM);
	size_t len;
	const char *id;

	if (!mem && !r->given_id_len)
		return;
	id = req_id(r, mem, &len);
	ADD(f, n, "x-request-id", id, len);
}

/* Fields that say for whom this is asked. False: no memory. */
static bool add_forwarded(struct req *r, const struct up_ask *a, const struct forwarded *w, struct field *f,
	unsigned *n)
{
	const char *via = r->http2 ? "2.0 stead" : r->version_minor ? "1.1 stead" : "1.0 stead", *old;
	char *mem = arena_alloc(&r->arena, a->host_len + sizeof(r->peer) + 64), *to;
	size_t len;

	if (!mem)
		return false;
	old = w->for_ && r->peer_trusted ? joined(r, w->for_, w->more_for) : NULL;
	add_list(r, f, n, "x-forwarded-for", 15, old, r->via, strlen(r->via));
	if (!w->proto)
		ADD(f, n, "x-forwarded-proto", r->tls ? "https" : "http", r->tls ? 5 : 4);
	if (!w->host && a->host_len)
		ADD(f, n, "x-forwarded-host", a->host, a->host_len);
	if (!w->port) {
		to = put_port(mem, r->host_port ? r->host_port : r->local_port);
		ADD(f, n, "x-forwarded-port", mem, (size_t)(to - mem));
		mem = to;
	}
	old = w->forwarded && r->peer_trusted ? joined(r, w->forwarded, w->more_forwarded) : NULL;
	len = put_forwarded(mem, r, a);
	add_list(r, f, n, "forwarded", 9, old, mem, len);
	if (!w->id)
		add_id(r, f, n);
	add_list(r, f, n, "via", 3, w->via ? joined(r, w->via, w->more_via) : NULL, via, 9);
	return true;
}

static void set_host(const struct req *r, struct up_ask *a)
{
	const struct field *f = req_field(r, "host");

	a->host = f ? f->value : r->host;
	a->host_len = f ? f->value_len : r->host_len;
}

/* A tunnel to another HTTP would pass by everything that routes and checks here. */
static bool may_upgrade(const struct req *r)
{
	const char *u = r->upgrade;

	if (!u || !r->upgrade_len)
		return false;
	/* One name, perhaps with a version: a backend that looks for a word in more finds others. */
	for (uint32_t i = 0; i < r->upgrade_len; i++)
		if (!is_unreserved((unsigned char)u[i]) && u[i] != '/' && u[i] != '+')
			return false;
	return !(r->upgrade_len >= 3 && (u[0] | 32) == 'h' && ((u[1] | 32) == '2' || (u[1] | 32) == 't')) &&
	       !(r->upgrade_len >= 3 && (u[0] | 32) == 't' && (u[1] | 32) == 'l' && (u[2] | 32) == 's');
}

static bool edits_id(const struct req *r)
{
	for (uint32_t i = 0; r->route && i < r->route->headers.n; i++) {
		const struct snap_header *e = snap_item(r->snap, r->route->headers, i, sizeof(*e));

		if (e && !e->response && !strcmp(snap_str(r->snap, e->name, NULL), "x-request-id"))
			return true;
	}
	return false;
}

bool up_forward_ends(const struct req *r)
{
	const struct field *f = r->method == METHOD_OPTIONS ? req_field(r, "max-forwards") : NULL;

	return f && f->value_len == 1 && f->value[0] == '0';
}

/* One less for who comes next (RFC 9110 section 7.6.2). */
static void count_down(struct req *r, struct field *f, unsigned n)
{
	char *text;
	uint64_t left = 0;

	for (; n > 0; f++, n--) {
		if (!IS(f, "max-forwards"))
			continue;
		for (uint32_t i = 0; i < f->value_len && left < UINT32_MAX; i++)
			left = f->value[i] >= '0' && f->value[i] <= '9'
				       ? left * 10 + (unsigned)(f->value[i] - '0')
				       : UINT32_MAX;
		text = left && left < UINT32_MAX ? arena_printf(&r->arena, "%u", (unsigned)left - 1)
						 : NULL;
		if (text) {
			f->value = text;
			f->value_len = (uint32_t)strlen(text);
		}
	}
}

int up_forward(struct req *r, struct up_ask *a)
{
	struct forwarded w = {0};
	struct field *f;
	unsigned n = 0;
	int err;

	a->req = r;
	a->method = r->method_str;
	a->method_len = r->method_len;
	a->method_id = r->method;
	a->content_length = r->content_length;
	a->trailers = r->te_trailers;
	a->script = r->script;
	set_host(r, a);
	err = up_target(r, a, strip_bytes(r));
	if (err)
		return err;
	f = arena_alloc(&r->arena, (r->nfields + ADDED_MAX) * sizeof(*f));
	if (!f)
		return -CLOSE_NO_MEMORY;
	w.id = edits_id(r);
	for (unsigned i = 0; i < r->nfields; i++)
		if (!take(r, &r->fields[i], &w) &&
			!memchr(r->fields[i].name, '_', r->fields[i].name_len))
			f[n++] = r->fields[i];
	if (r->method == METHOD_OPTIONS)
		count_down(r, f, n);
	if (!add_forwarded(r, a, &w, f, &n))
		return -CLOSE_NO_MEMORY;
	a->fields = f;
	a->nfields = n;
	if (may_upgrade(r)) {
		a->upgrade = r->upgrade;
		a->upgrade_len = r->upgrade_len;
	}
	return arena_overflowed(&r->arena) ? -CLOSE_NO_MEMORY : 0;
}
