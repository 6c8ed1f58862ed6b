/*
 * sites_route.c: routes and upstreams of the configuration, as the snapshot holds them.
 *
 * Called by sites.c. Owns nothing: strings and lists go into the writer. Numbers by which gates
 * keep counters and states over reloads come from state.c, so that a name keeps its number.
 */
#include "sites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SERVICE_FAILS = 1000000 };

/* Of each kind of list: an array of the snapshot's structs, filled and put. */
#define PUT_LIST(type, n, fill)                                                                    \
	({                                                                                         \
		struct type *all_ = calloc((n) + 1, sizeof *all_);                                 \
		struct snap_list list_ = {0};                                                      \
		\
		for (unsigned i = 0; all_ && i < (n); i++)                                         \
			all_[i] = (struct type)fill;                                               \
		if (all_)                                                                          \
			list_ = snap_put_list(b->w, all_, sizeof *all_, (n));                      \
		b->no_memory |= !all_;                                                             \
		free(all_);                                                                        \
		list_;                                                                             \
	})
#define FILL(...)                                                                                  \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

static struct snap_list texts(struct site_build *b, const char *const *from)
{
	unsigned n = 0;

	while (from && from[n])
		n++;
	return PUT_LIST(
		snap_str, n, FILL(snap_put_str(b->w, from[i]).off, (uint32_t)strlen(from[i])));
}

struct snap_list sites_networks(struct site_build *b, const struct conf_cidr *from, unsigned n)
{
	struct snap_cidr *all = calloc(n + 1, sizeof *all);
	struct snap_list list = {0};

	b->no_memory |= !all;
	for (unsigned i = 0; all && i < n; i++) {
		memcpy(all[i].address, from[i].address, sizeof all[i].address);
		all[i].bits = from[i].bits;
	}
	if (all)
		list = snap_put_list(b->w, all, sizeof *all, n);
	free(all);
	return list;
}

/* The methods' bits are those of the gate's enum, which follow the order of these names. */
static uint32_t method_bits(const char *const *methods)
{
	static const char *const names[] = {
		"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
	uint32_t bits = 0;

	for (; methods && *methods; methods++)
		for (unsigned i = 0; i < ARRAY_LEN(names); i++)
			if (strcmp(*methods, names[i]) == 0)
				bits |= 1u << (i + 1);
	return bits;
}

/* The error pages' paths are those of the site: below Root=, or below the folder. */
static struct snap_list pages(struct site_build *b, const struct conf_route *r, const char *base)
{
	struct snap_error_page all[64];
	unsigned n = 0;

	for (const struct conf_errpage *p = r->errpages; p && p->path && n < ARRAY_LEN(all); p++) {
		char to[CTL_PATH_MAX];
		int len = snprintf(to, sizeof to, "%s/%s", base, p->path + strspn(p->path, "/"));

		if (len > 0 && len < CTL_PATH_MAX)
			all[n++] = (struct snap_error_page){
				.status = p->code, .file = snap_put_str(b->w, to)};
	}
	return snap_put_list(b->w, all, sizeof all[0], n);
}

static uint32_t flags_of(const struct site_build *b, const struct conf_route *r)
{
	return (r->strip_prefix ? SNAP_ROUTE_STRIP : 0) | (r->listing ? SNAP_ROUTE_LISTING : 0) |
	       (r->compress ? SNAP_ROUTE_COMPRESS : 0) |
	       (r->body_buffer ? SNAP_ROUTE_BODY_BUFFER : 0) |
	       (r->own_root || r->scripts ? 0 : SNAP_ROUTE_WHOLE) |
	       (r->client_optional ? SNAP_ROUTE_CLIENT_OPTIONAL : 0) |
	       (r->allow_only ? SNAP_ROUTE_ALLOW : 0) | (b->scripts ? SNAP_ROUTE_NO_SOURCE : 0);
}

static void put_edits(struct site_build *b, const struct conf_route *r, struct snap_route *to)
{
	to->headers = PUT_LIST(snap_header, r->nheaders,
		FILL(r->headers[i].response, r->headers[i].act,
			snap_put_str(b->w, r->headers[i].name),
			snap_put_str(b->w, r->headers[i].value)));
	to->redirects = PUT_LIST(snap_redirect, r->nredirects,
		FILL(r->redirects[i].code, r->redirects[i].match,
			snap_put_str(b->w, r->redirects[i].from),
			snap_put_str(b->w, r->redirects[i].to)));
	to->rewrites = PUT_LIST(snap_rewrite, r->nrewrites,
		FILL(snap_put_str(b->w, r->rewrites[i].regex),
			snap_put_str(b->w, r->rewrites[i].to)));
	to->users = PUT_LIST(snap_user, r->nusers,
		FILL(snap_put_str(b->w, r->users[i].name), snap_put_str(b->w, r->users[i].hash)));
	to->allow = sites_networks(b, r->allow, r->nallow);
	to->deny = sites_networks(b, r->deny, r->ndeny);
}

/* Of routes with one path each has its own. */
static void rate_name(struct site_build *b, const struct conf_route *r, char *name, size_t cap)
{
	struct buf to;

	buf_fixed(&to, name, cap);
	buf_printf(&to, "%s %s", b->name, r->rate.of_site ? "/" : r->path);
	for (const char *const *m = r->rate.of_site ? NULL : r->methods; m && *m; m++)
		buf_printf(&to, " %s", *m);
	if (!r->rate.of_site && r->match_header[0])
		buf_printf(&to, " %s: %s", r->match_header, r->match_value);
	(void)buf_str(&to);
}

static void put_rate(struct site_build *b, const struct conf_route *r, struct snap_route *to)
{
	struct snap_rate rate = {.by = r->rate.by,
		.burst = r->rate.burst,
		.per_s_milli = r->rate.per_s_milli,
		.header = snap_put_str(b->w, r->rate.header)};
	char name[2048];

	if (!r->rate.by)
		return;
	/* Routes that say nothing of their own share their site's, whatever their path. */
	rate_name(b, r, name, sizeof name);
	rate.number = state_number(b->c, "rate", name);
	to->rates = snap_put_list(b->w, &rate, sizeof rate, 1);
}

void sites_folder(
	struct site_build *b, const struct conf_route *r, int index, char ret[static CTL_PATH_MAX])
{
	if (b->c->start.root)
		up_public_path(b->c, b->a, b->number, index, ret);
	else
		effective_below(b->base, r->root, ret);
}

static uint32_t access_of(const struct conf_route *r)
{
	switch ((enum conf_access_log)r->access_log) {
	case CONF_ACCESS_LOG_OFF:
		return SNAP_ACCESS_OFF;
	case CONF_ACCESS_LOG_COMBINED:
		return SNAP_ACCESS_COMBINED;
	case CONF_ACCESS_LOG_FORMAT:
		return SNAP_ACCESS_FORMAT;
	default:
		return SNAP_ACCESS_JSON;
	}
}

struct snap_route sites_route(struct site_build *b, const struct conf_route *r, int public_index)
{
	struct snap_route to = snap_route_default();
	char root[CTL_PATH_MAX];

	sites_folder(b, r, public_index, root);
	to.match = r->match;
	bool service = r->to == CONF_TO_APP && b->service != SNAP_NONE;

	to.to = service                     ? SNAP_TO_UPSTREAM
		: r->to == CONF_TO_APP      ? SNAP_TO_APP
		: r->to == CONF_TO_STATIC   ? SNAP_TO_STATIC
		: r->to == CONF_TO_UPSTREAM ? SNAP_TO_UPSTREAM
					    : SNAP_TO_NONE;
	to.path = snap_put_str(b->w, r->path);
	to.methods = method_bits(r->methods);
	to.match_header = snap_put_str(b->w, r->match_header);
	to.match_value = snap_put_str(b->w, r->match_value);
	to.app = r->to == CONF_TO_APP && !service ? b->app : SNAP_NONE;
	to.upstream = service ? b->service : r->to == CONF_TO_UPSTREAM ? b->upstreams + r->upstream : SNAP_NONE;
	to.flags = flags_of(b, r) | (r->scripts ? SNAP_ROUTE_SCRIPTS : 0);
	to.access = access_of(r);
	if (to.access == SNAP_ACCESS_FORMAT)
		to.access_format = snap_put_str(b->w, r->access_format);
	to.root = r->root[0] ? snap_put_str(b->w, root) : (struct snap_str){0};
	to.index = texts(b, r->index);
	to.try_files = texts(b, r->try_files);
	to.error_pages = pages(b, r, root);
	to.auth_upstream =
		r->auth_upstream == CONF_NO_UPSTREAM ? SNAP_NONE : b->upstreams + r->auth_upstream;
	to.auth_path = snap_put_str(b->w, r->auth_path);
	to.request_timeout_ms = (uint32_t)min_of(r->request_timeout_ms, (uint64_t)UINT32_MAX);
	to.body_max = r->body_bytes_max;
	to.cache_bytes = r->cache_bytes;
	to.client_ca = client_ca_put(b, r);
	put_edits(b, r, &to);
	put_rate(b, r, &to);
	return to;
}

static struct snap_server server_of(
	struct site_build *b, const char *upstream, const struct conf_server *s)
{
	struct snap_server to = {.kind = s->kind,
		.weight = s->weight,
		.port = (uint16_t)s->port,
		.name = snap_put_str(b->w, s->name)};
	char name[1000];

	(void)snprintf(name, sizeof name, "%s %s:%u", upstream, s->name, s->port);
	to.number = state_number(b->c, "server", name);
	memcpy(to.address, s->address, sizeof to.address);
	return to;
}

/* Half of the site's secret, other for each upstream: gates make the cookie's value with it, over
 * restarts the same. */
static int sticky_key(struct site_build *b, const char *upstream, uint8_t ret[16])
{
	char secret[65];
	int err = state_secret(b->c, b->name, secret);

	for (unsigned i = 0; err == 0 && i < 16; i++) {
		char byte[3] = {secret[32 + 2 * i], secret[33 + 2 * i], 0};

		ret[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	for (unsigned i = 0; *upstream; upstream++, i++)
		ret[i % 16] = (uint8_t)(ret[i % 16] * 31 + (uint8_t)*upstream);
	explicit_bzero(secret, sizeof secret);
	return err;
}

/* Each gate's share of what a server takes. */
static uint32_t share(const struct site_build *b, unsigned connections)
{
	unsigned gates = max_of(b->gates, 1u);

	return connections ? max_of(connections / gates, 1u) : 0;
}

static struct snap_str script_root(struct site_build *b, const struct conf_upstream *u)
{
	char path[CTL_PATH_MAX];

	if (u->document_root[0] || !u->root[0])
		return snap_put_str(b->w, u->document_root);
	effective_below(b->base, u->root, path);
	return snap_put_str(b->w, path);
}

static uint32_t put_upstream(struct site_build *b, const struct conf_upstream *u, uint32_t app,
	unsigned queue, uint64_t queue_timeout_ms, uint64_t timeout_ms)
{
	char own[600], name[600];
	static const uint32_t protocols[] = {[CONF_PROTOCOL_HTTP] = SNAP_PROTO_HTTP,
		[CONF_PROTOCOL_HTTPS] = SNAP_PROTO_HTTP,
		[CONF_PROTOCOL_FASTCGI] = SNAP_PROTO_FASTCGI,
		[CONF_PROTOCOL_UWSGI] = SNAP_PROTO_UWSGI,
		[CONF_PROTOCOL_TCP] = SNAP_PROTO_TCP};
	struct snap_upstream to = {.protocol = protocols[u->protocol],
		.balance = u->balance + 1,
		.flags = (u->protocol == CONF_PROTOCOL_HTTPS ? SNAP_UPSTREAM_TLS : 0) |
			 (u->tls_verify ? SNAP_UPSTREAM_TLS_VERIFY : 0) |
			 (u->connections_max && u->connections_max < b->gates ? SNAP_UPSTREAM_SCARCE
									      : 0),
		.sticky = snap_put_str(b->w, u->sticky),
		.check = snap_put_str(b->w, u->check),
		.check_ms = (uint32_t)u->check_ms,
		.fail_max = u->fail_max,
		.retry = u->retry,
		.keep_alive = u->keep_alive,
		.connections_max = share(b, u->connections_max),
		.idle_ms = (uint32_t)min_of(u->idle_ms, (uint64_t)UINT32_MAX),
		.slow_start_ms = (uint32_t)u->slow_start_ms,
		.app = app,
		.queue = queue,
		.queue_timeout_ms = (uint32_t)queue_timeout_ms,
		.timeout_ms = (uint32_t)min_of(timeout_ms, (uint64_t)UINT32_MAX)};
	struct snap_server *all = calloc(u->nservers + 1, sizeof *all);

	/* The folder's have their names alone, and those of other sites their site's before them. */
	(void)snprintf(own, sizeof own, "%s%s%s%s", b->own ? "" : b->name, b->hidden ? "~" : "", b->own ? "" : "/",
		u->name);
	to.name = snap_put_str(b->w, own);
	to.number = state_number(b->c, "upstream", own);
	b->no_memory |= !all;
	for (unsigned i = 0; all && i < u->nservers; i++)
		all[i] = server_of(b, own, &u->servers[i]);
	if (all)
		to.servers = snap_put_list(b->w, all, sizeof *all, u->nservers);
	free(all);
	if (u->protocol == CONF_PROTOCOL_FASTCGI) {
		to.root = script_root(b, u);
		to.index = snap_put_str(b->w, u->index);
	}
	if (u->sticky[0] && sticky_key(b, own, to.sticky_key) < 0)
		b->no_memory = true;
	(void)snprintf(name, sizeof name, "%s/%s", b->name, u->name);
	if (!b->hidden)
		metrics_name(b->c, METRICS_UPSTREAM, to.number, name);
	return snap_put_upstream(b->w, &to);
}

uint32_t sites_upstream_timed(struct site_build *b, const struct conf_upstream *u, unsigned queue,
	uint64_t queue_timeout_ms, uint64_t timeout_ms)
{
	return put_upstream(b, u, 0, queue, queue_timeout_ms, timeout_ms);
}

/* Which servers there are the parent tells the gates. Supervision takes care of one that fails, so only connections that are
 * refused count against it; no [Upstream] can have this name. */
uint32_t sites_service(struct site_build *b, const struct conf_app *conf)
{
	struct conf_upstream u = {.name = "app",
		.protocol = conf->service.protocol,
		.balance = CONF_BALANCE_LEAST,
		.sticky = "",
		.check = "",
		.fail_max = SERVICE_FAILS,
		.retry = 1,
		.keep_alive = conf->php.on ? conf->php.workers_max : 32,
		.connections_max = conf->php.workers_max,
		.idle_ms = conf->php.idle_ms,
		.root = conf->php.root,
		.document_root = "",
		.index = conf->php.index};

	return put_upstream(b, &u, b->a->set, conf->queue, conf->queue_timeout_ms,
		conf->request_timeout_ms);
}

uint32_t sites_upstream(
	struct site_build *b, const struct conf_upstream *u, const struct conf_app *conf)
{
	return sites_upstream_timed(
		b, u, conf->queue, conf->queue_timeout_ms, conf->request_timeout_ms);
}
