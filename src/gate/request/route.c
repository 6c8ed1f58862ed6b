/*
 * route.c: host → site, path → route, route → handler, all on the snapshot. Called by req.c. Owns
 * nothing; costs the same for one site and for many.
 */
#include "route.h"
#include "filter.h"

#include "gate.h"
#include "maintenance.h"
#include "lib/must.h"
#include "regex.h"
#include "target.h"
#include "up.h"

#include <string.h>

const struct snap_site *route_default_site(struct snap *s)
{
	return s ? snap_site_by_host(s, "", 0, NULL) : NULL;
}

/* OPTIONS * asks about the server as a whole (RFC 9110 section 9.3.7); one that may not be handed
 * on is answered as if it did. */
static void answer_options(struct req *r)
{
	struct field allow = {"Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", 5, 44};
	struct resp_head h = {.status = 204, .content_length = 0, .fields = &allow, .nfields = 1};

	r->handler = HANDLER_ERROR;
	req_resp_head(r, &h, true);
}

/* What a route asks for beside its path. */
static bool applies(const struct req *r, const struct snap_route *route)
{
	const struct field *f;
	const char *name, *value;
	size_t n;

	if (route->methods && !(route->methods >> r->method & 1) &&
		!(r->method == METHOD_HEAD && route->methods >> METHOD_GET & 1))
		return false;
	if (!route->match_header.len)
		return true;
	name = snap_str(r->snap, route->match_header, NULL);
	f = req_field(r, name);
	if (!f)
		return false;
	value = snap_str(r->snap, route->match_value, &n);
	return n == 0 || (f->value_len == n && !memcmp(f->value, value, n));
}

/* Regular expressions come behind exact paths and prefixes, in the file's order. */
static const struct snap_route *choose_regex(const struct req *r, const char *path, size_t len)
{
	const uint32_t *at;

	for (uint32_t i = 0; (at = snap_item(r->snap, r->site->regexes, i, sizeof(*at))); i++) {
		const struct snap_route *route = snap_route(r->snap, r->site, *at);
		const char *text;
		size_t n;

		if (!route || !applies(r, route))
			continue;
		text = snap_str(r->snap, route->path, &n);
		if (regex_match(r->gate, text, n, path, len, NULL))
			return route;
	}
	return NULL;
}

static const struct snap_route *choose(const struct req *r, const char *path, size_t len)
{
	struct snap_route_iter it = {0};
	const struct snap_route *route;

	while ((route = snap_route_next(r->snap, r->site, path, len, &it)))
		if (applies(r, route))
			return route;
	route = r->site->regexes.n ? choose_regex(r, path, len) : NULL;
	return route ? route : snap_route(r->snap, r->site, 0);
}

/* Some readers take an encoded slash for one that parts segments and some for data; some drop empty segments
 * and some do not (files do). Where that would lead to another route, what keeps people out of it could be passed
 * by: no reading is right then. True: all readings have this route. */
static bool is_certain(struct req *r, const struct snap_route *route)
{
	size_t n = r->path_len;
	char *merged;

	if (!r->path_literal || r->site->routes.n <= 1)
		return true;
	merged = arena_alloc(&r->arena, n);
	return merged && choose(r, merged, target_merge(merged, r->path, n)) == route &&
	       choose(r, r->path_literal, n) == route &&
	       choose(r, merged, target_merge(merged, r->path_literal, n)) == route;
}

/* Methods are case-sensitive, and all that are registered have capitals only (RFC 9110 section 9.1). Some
 * backends read "post" as POST, which Methods= would have kept out. */
static bool is_small(const struct req *r)
{
	for (uint32_t i = 0; i < r->method_len; i++)
		if (r->method_str[i] >= 'a' && r->method_str[i] <= 'z')
			return true;
	return false;
}

enum phase_end phase_site(struct req *r)
{
	uint32_t flags;

	if (r->method == METHOD_TRACE || r->method == METHOD_CONNECT ||
		(r->method == METHOD_OTHER && is_small(r))) {
		static const struct field allow = {
			"Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", 5, 44};

		req_fail_with(r, CLOSE_BAD_METHOD, 0, &allow);
		return PHASE_ANSWERED;
	}
	r->site = r->snap ? snap_site_by_host(r->snap, r->host, r->host_len, &flags) : NULL;
	/* A release that shall follow is asked before anybody else sees it. */
	if (r->snap && snap_coming(r->snap) && maintenance_probe(r)) {
		r->site = snap_coming(r->snap);
		flags = 0;
	}
	if (!r->site) {
		req_fail(r, CLOSE_NO_SITE, 0);
		return PHASE_ANSWERED;
	}
	/* The head was read by the most lenient site's bound, because none was known. */
	if (r->site->head_max && r->head_bytes > max_of(r->site->head_max, 1024u)) {
		req_fail(r, CLOSE_HEAD_TOO_LARGE, 0);
		return PHASE_ANSWERED;
	}
	r->alias = flags & SNAP_HOST_ALIAS;
	if (r->path_len == 1 && *r->path == '*') {
		answer_options(r);
		return PHASE_ANSWERED;
	}
	return PHASE_NEXT;
}

/* A request for an https resource that came unsecured (RFC 9110 section 7.4); a trusted proxy secured it. */
static bool misdirected(const struct req *r)
{
	return *r->target != '/' && r->target_len > 5 && !r->tls && !r->peer_trusted &&
	       (r->target[4] | 32) == 's' && r->target[5] == ':' && (*r->target | 32) == 'h';
}

enum phase_end phase_route(struct req *r)
{
	if (misdirected(r)) {
		req_fail(r, CLOSE_BAD_TARGET, 0);
		return PHASE_ANSWERED;
	}
	r->route = choose(r, r->path, r->path_len);
	if (!r->route) {
		req_fail(r, CLOSE_NOT_FOUND, 0);
		return PHASE_ANSWERED;
	}
	if (!is_certain(r, r->route)) {
		req_fail(r, CLOSE_BAD_TARGET, 0);
		return PHASE_ANSWERED;
	}
	/* Edits are of every answer of the route, also of one that a phase gives. */
	if (r->route->headers.n || (r->tls && r->site->hsts_s))
		r->filters |= 1u << FILTER_EDIT;
	if (r->route->flags & SNAP_ROUTE_COMPRESS)
		r->filters |= 1u << FILTER_COMPRESS;
	return PHASE_NEXT;
}

enum phase_end phase_body(struct req *r)
{
	if (r->content_length <= 0 || (uint64_t)r->content_length <= r->route->body_max)
		return PHASE_NEXT;
	req_fail(r, CLOSE_BODY_TOO_LARGE, 0);
	return PHASE_ANSWERED;
}

enum phase_end phase_handler(struct req *r)
{
	if (r->handler)
		return PHASE_NEXT; /* TryFiles= found a file */
	switch (r->route->to) {
	case SNAP_TO_APP:
		r->handler = HANDLER_APP;
		return PHASE_NEXT;
	case SNAP_TO_UPSTREAM:
		if (up_forward_ends(r)) {
			answer_options(r);
			return PHASE_ANSWERED;
		}
		r->handler = HANDLER_PROXY;
		return PHASE_NEXT;
	case SNAP_TO_STATIC:
		r->handler = HANDLER_STATIC;
		return PHASE_NEXT;
	default:
		req_fail(r, CLOSE_NOT_FOUND, 0);
		return PHASE_ANSWERED;
	}
}
