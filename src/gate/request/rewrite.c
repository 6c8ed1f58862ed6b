/*
 * rewrite.c: redirects (RFC 9110 section 15.4) and rewrites; see rewrite.h. Called by phases.c.
 * Owns nothing. A Location is always a path of this site or what the configuration wrote: never
 * "//host", whatever the client asked for.
 */
#include "rewrite.h"
#include "gate.h"
#include "subst.h"

#include <string.h>

#include "lib/hostname.h"

static enum phase_end answer(struct req *r, unsigned status, const char *to, size_t n)
{
	struct field f = {"Location", to, 8, (uint32_t)n};
	struct resp_head h = {
		.status = (uint16_t)status, .content_length = 0, .fields = &f, .nfields = 1};

	r->handler = HANDLER_ERROR;
	req_resp_head(r, &h, true);
	return PHASE_ANSWERED;
}

static enum phase_end no_memory(struct req *r)
{
	req_fail(r, CLOSE_NO_MEMORY, 0);
	return PHASE_ANSWERED;
}

/* A path that begins with more than one slash would be another host. */
static const char *one_slash(const char *p, size_t *n)
{
	while (*n > 1 && p[0] == '/' && (p[1] == '/' || p[1] == '\\')) {
		p++;
		(*n)--;
	}
	return p;
}

enum { HTTPS_PORT = 443 };

/* ":PORT" */
static void put_port(char ret[8], uint16_t port)
{
	char *at = ret + 7;

	for (unsigned v = port; v; v /= 10)
		*--at = (char)('0' + v % 10);
	*--at = ':';
	memmove(ret, at, strlen(at) + 1);
}

/* Would a client that is sent to https meet a certificate with the name that it asks for? Never is it sent there by a
 * local name: whatever a browser learns of one (a redirect that it keeps) holds for all other apps there. */
static bool fits(const struct req *r)
{
	const struct snap_cert *cert = snap_cert_by_host(r->snap, r->site, r->host, r->host_len, NULL);

	return cert && !hostname_is_local(r->host, r->host_len) &&
	       snap_cert_covers(r->snap, cert, r->host, r->host_len);
}

enum phase_end phase_https(struct req *r)
{
	const char *raw = r->path_raw;
	size_t n = r->path_raw_len;
	char port[8] = "", *to;

	if (r->tls || r->ctl_asks || !(r->site->flags & (SNAP_SITE_HTTP_REDIRECT | SNAP_SITE_HTTP_OFF)) || r->metrics)
		return PHASE_NEXT;
	if (r->site->flags & SNAP_SITE_HTTP_OFF) {
		req_fail(r, CLOSE_HTTPS_ONLY, 0);
		return PHASE_ANSWERED;
	}
	if (!n || *raw != '/' || !fits(r))
		return PHASE_NEXT;
	if (r->site->https_port != HTTPS_PORT)
		put_port(port, r->site->https_port);
	to = arena_printf(&r->arena, "https://%.*s%s%.*s%s%.*s", (int)r->host_len, r->host, port, (int)n, raw,
		r->query_len ? "?" : "", (int)r->query_len, r->query);
	return to ? answer(r, 308, to, strlen(to)) : no_memory(r);
}

enum phase_end phase_alias(struct req *r)
{
	const char *host, *raw = r->path_raw;
	size_t len, n = r->path_raw_len;
	char port[8] = "", *to;

	if (!r->alias)
		return PHASE_NEXT;
	host = snap_str(r->snap, r->site->canonical, &len);
	if (!len || !n || *raw != '/')
		return PHASE_NEXT;
	if (r->host_port)
		put_port(port, r->host_port);
	to = arena_printf(&r->arena, "%s://%s%s%.*s%s%.*s", r->tls ? "https" : "http", host, port,
		(int)n, raw, r->query_len ? "?" : "", (int)r->query_len, r->query);
	return to ? answer(r, 308, to, strlen(to)) : no_memory(r);
}

/* Does FROM name this path? Its groups: the whole, and what a prefix leaves over. */
static bool from_matches(struct req *r, const struct snap_redirect *d, struct regex_groups *groups)
{
	size_t n;
	const char *from = snap_str(r->snap, d->from, &n);

	if (d->match == SNAP_MATCH_REGEX)
		return regex_match(r->gate, from, n, r->path, r->path_len, groups);
	if (r->path_len < n || memcmp(r->path, from, n) != 0 ||
		(d->match == SNAP_MATCH_EXACT && r->path_len != n))
		return false;
	*groups = (struct regex_groups){.subject = r->path, .pattern = "", .n = 2};
	groups->at[0].len = r->path_len;
	groups->at[1].from = n;
	groups->at[1].len = r->path_len - n;
	return true;
}

/* TO with its variables; of a prefix's TO, which ends with '*', the rest goes to its place. */
static char *target_of(struct req *r, const struct snap_redirect *d,
	const struct regex_groups *groups, size_t *ret_len)
{
	size_t n, rest;
	const char *to = snap_str(r->snap, d->to, &n);
	bool star = d->match == SNAP_MATCH_PREFIX && n && to[n - 1] == '*';
	char *text = subst(r, to, n - star, groups, SUBST_URL, ret_len), *tail;

	if (!text || !star)
		return text;
	tail = subst(r, "$1", 2, groups, SUBST_URL, &rest);
	if (!tail)
		return NULL;
	text = arena_printf(&r->arena, "%s%s", text, tail);
	*ret_len = text ? strlen(text) : 0;
	return text;
}

enum phase_end phase_redirect(struct req *r)
{
	const struct snap_redirect *d;

	for (uint32_t i = 0; i < r->route->redirects.n; i++) {
		struct regex_groups groups;
		const char *to;
		size_t n;

		d = snap_item(r->snap, r->route->redirects, i, sizeof(*d));
		if (!d || !from_matches(r, d, &groups))
			continue;
		to = target_of(r, d, &groups, &n);
		if (!to)
			return no_memory(r);
		if (r->query_len && !memchr(to, '?', n)) {
			to = arena_printf(&r->arena, "%s?%.*s", to, (int)r->query_len, r->query);
			if (!to)
				return no_memory(r);
			n = strlen(to);
		}
		to = one_slash(to, &n);
		return answer(r, d->status, to, n);
	}
	return PHASE_NEXT;
}

/* The query of TO, which is made for a URL although its path is not. */
static bool rewrite_query(
	struct req *r, const char *to, size_t n, const struct regex_groups *groups)
{
	const char *mark = memchr(to, '?', n);
	size_t len;
	char *text;

	if (!mark)
		return true;
	text = subst(r, mark, n - (size_t)(mark - to), groups, SUBST_URL, &len);
	if (!text)
		return false;
	r->query = text + 1;
	r->query_len = (uint32_t)(len - 1);
	return true;
}

static bool rewrite(struct req *r, const struct snap_rewrite *w, const struct regex_groups *groups)
{
	size_t n, len, raw_len;
	const char *to = snap_str(r->snap, w->to, &n), *mark = memchr(to, '?', n);
	char *path = subst(r, to, mark ? (size_t)(mark - to) : n, groups, SUBST_PATH, &len), *raw;

	if (!path || !rewrite_query(r, to, n, groups))
		return false;
	if (len == 0 || *path != '/') {
		path = arena_printf(&r->arena, "/%s", path);
		len++;
	}
	for (; path && len > 1 && path[1] == '/'; len--)
		path++;
	raw = path ? subst_encode_path(r, path, len, &raw_len) : NULL;
	if (!raw)
		return false;
	r->path = path;
	r->path_len = (uint32_t)len;
	r->path_raw = raw;
	r->path_raw_len = (uint32_t)raw_len;
	r->rewritten = true;
	return true;
}

/* What a rewrite made may not climb out of the folder either. */
static bool climbs(const char *p, size_t n)
{
	for (size_t i = 0; i + 2 < n + 1; i++) {
		size_t left = n - i;

		if (p[i] == '/' && left >= 3 && p[i + 1] == '.' && p[i + 2] == '.' &&
			(left == 3 || p[i + 3] == '/'))
			return true;
	}
	return false;
}

enum phase_end phase_rewrite(struct req *r)
{
	const struct snap_rewrite *w;

	for (uint32_t i = 0; i < r->route->rewrites.n; i++) {
		struct regex_groups groups;
		const char *regex;
		size_t n;

		w = snap_item(r->snap, r->route->rewrites, i, sizeof(*w));
		if (!w)
			continue;
		regex = snap_str(r->snap, w->regex, &n);
		if (!regex_match(r->gate, regex, n, r->path, r->path_len, &groups))
			continue;
		if (!rewrite(r, w, &groups))
			return no_memory(r);
		if (climbs(r->path, r->path_len)) {
			req_fail(r, CLOSE_BAD_TARGET, 0);
			return PHASE_ANSWERED;
		}
		return PHASE_NEXT;
	}
	return PHASE_NEXT;
}
