/*
 * json_snap.c: JSON to a snapshot; see json_snap.h. Called by the harness. Owns nothing afterwards.
 */
#include "json_snap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"

enum kind {
	U32, /* a number */
	U64,
	TEXT,  /* struct snap_str */
	TEXTS, /* a list of struct snap_str */
	CIDRS,
	OBJECTS,  /* a list of structs with a table of their own */
	WORD,     /* one of words, from 1 on (0 when `zero`) */
	FLAG,     /* a bit of a u32 */
	UPSTREAM, /* the index of a named upstream */
};

struct member {
	const char *name;
	enum kind kind;
	size_t off;
	const char *words; /* WORD */
	uint32_t bit;      /* FLAG */
	const struct member *table;
	size_t size;
};

struct work {
	struct snap_writer *w;
	json_t *upstreams;
	int err;
};

#define M(type, member, kind)                                                                      \
	{                                                                                          \
#member, kind, offsetof(struct type, member), NULL, 0, NULL, 0                     \
	}
#define MW(type, member, words)                                                                    \
	{                                                                                          \
#member, WORD, offsetof(struct type, member), words, 0, NULL, 0                    \
	}
#define MF(type, name, bit)                                                                        \
	{                                                                                          \
		name, FLAG, offsetof(struct type, flags), NULL, bit, NULL, 0                       \
	}
#define ML(type, member, table, item)                                                              \
	{                                                                                          \
#member, OBJECTS, offsetof(struct type, member), NULL, 0, table,                   \
			sizeof(struct item)                                                        \
	}

static const struct member header_members[] = {M(snap_header, response, U32),
	MW(snap_header, act, "set add remove"), M(snap_header, name, TEXT),
	M(snap_header, value, TEXT), {0}};
static const struct member redirect_members[] = {M(snap_redirect, status, U32),
	MW(snap_redirect, match, "exact prefix regex"), M(snap_redirect, from, TEXT),
	M(snap_redirect, to, TEXT), {0}};
static const struct member rewrite_members[] = {
	M(snap_rewrite, regex, TEXT), M(snap_rewrite, to, TEXT), {0}};
static const struct member page_members[] = {
	M(snap_error_page, status, U32), M(snap_error_page, file, TEXT), {0}};
static const struct member user_members[] = {
	M(snap_user, name, TEXT), M(snap_user, hash, TEXT), {0}};
static const struct member rate_members[] = {MW(snap_rate, by, "address site header"),
	M(snap_rate, burst, U32), M(snap_rate, per_s_milli, U32), M(snap_rate, number, U32),
	M(snap_rate, header, TEXT), {0}};
static const struct member route_members[] = {MW(snap_route, match, "exact prefix regex"),
	MW(snap_route, to, "app static upstream"), M(snap_route, path, TEXT),
	M(snap_route, methods, U32), M(snap_route, match_header, TEXT),
	M(snap_route, match_value, TEXT), M(snap_route, app, U32),
	M(snap_route, upstream, UPSTREAM), MW(snap_route, access, "json combined format"),
	M(snap_route, access_format, TEXT), M(snap_route, root, TEXT), M(snap_route, index, TEXTS),
	M(snap_route, try_files, TEXTS), ML(snap_route, headers, header_members, snap_header),
	ML(snap_route, redirects, redirect_members, snap_redirect),
	ML(snap_route, rewrites, rewrite_members, snap_rewrite),
	ML(snap_route, error_pages, page_members, snap_error_page), M(snap_route, allow, CIDRS),
	M(snap_route, deny, CIDRS), ML(snap_route, users, user_members, snap_user),
	ML(snap_route, rates, rate_members, snap_rate), M(snap_route, auth_upstream, UPSTREAM),
	M(snap_route, auth_path, TEXT), M(snap_route, request_timeout_ms, U32),
	M(snap_route, body_max, U64), M(snap_route, cache_bytes, U64),
	MF(snap_route, "strip", SNAP_ROUTE_STRIP), MF(snap_route, "listing", SNAP_ROUTE_LISTING),
	MF(snap_route, "compress", SNAP_ROUTE_COMPRESS),
	MF(snap_route, "body_buffer", SNAP_ROUTE_BODY_BUFFER),
	MF(snap_route, "allow_list", SNAP_ROUTE_ALLOW),
	MF(snap_route, "no_source", SNAP_ROUTE_NO_SOURCE),
	MF(snap_route, "scripts", SNAP_ROUTE_SCRIPTS), MF(snap_route, "whole", SNAP_ROUTE_WHOLE),
	{0}};
static const struct member server_members[] = {
	M(snap_server, weight, U32), M(snap_server, number, U32), {0}};
static const struct member upstream_members[] = {M(snap_upstream, name, TEXT),
	M(snap_upstream, number, U32), MW(snap_upstream, protocol, "http fastcgi uwsgi tcp"),
	MW(snap_upstream, balance, "roundrobin least hash"), M(snap_upstream, sticky, TEXT),
	M(snap_upstream, check, TEXT), M(snap_upstream, root, TEXT), M(snap_upstream, index, TEXT),
	M(snap_upstream, check_ms, U32), M(snap_upstream, fail_max, U32),
	M(snap_upstream, retry, U32), M(snap_upstream, keep_alive, U32),
	M(snap_upstream, connections_max, U32), M(snap_upstream, idle_ms, U32),
	M(snap_upstream, slow_start_ms, U32), M(snap_upstream, queue, U32),
	M(snap_upstream, queue_timeout_ms, U32), M(snap_upstream, timeout_ms, U32),
	MF(snap_upstream, "tls", SNAP_UPSTREAM_TLS),
	MF(snap_upstream, "tls_verify", SNAP_UPSTREAM_TLS_VERIFY),
	MF(snap_upstream, "scarce", SNAP_UPSTREAM_SCARCE), {0}};
static const struct member site_members[] = {M(snap_site, name, TEXT), M(snap_site, number, U32),
	M(snap_site, head_max, U32), M(snap_site, header_timeout_ms, U32),
	M(snap_site, idle_timeout_ms, U32), M(snap_site, rate_min, U32), M(snap_site, queue, U32),
	M(snap_site, queue_timeout_ms, U32), M(snap_site, connections_max, U32),
	M(snap_site, canonical, TEXT), M(snap_site, trusted_proxies, CIDRS),
	M(snap_site, proxy_protocol, CIDRS), M(snap_site, maintenance, TEXT),
	M(snap_site, health, TEXT), MF(snap_site, "in_maintenance", SNAP_SITE_MAINTENANCE),
	M(snap_site, cache_disk, U64), {0}};
static const struct member tcp_members[] = {M(snap_tcp, name, TEXT), M(snap_tcp, listener, U32),
	M(snap_tcp, upstream, UPSTREAM), M(snap_tcp, idle_ms, U32), M(snap_tcp, send_proxy, U32), {0}};

static void wrong(struct work *k, const char *what, const char *name)
{
	fprintf(stderr, "json_snap: %s: %s\n", name, what);
	k->err = -EINVAL;
}

static uint32_t word_of(struct work *k, const char *words, const char *text, const char *name)
{
	uint32_t n = 1;
	size_t len = strlen(text);

	for (const char *p = words; *p; n++) {
		size_t word = strcspn(p, " ");

		if (word == len && !memcmp(p, text, len))
			return n;
		p += word;
		p += strspn(p, " ");
	}
	if (strcmp(text, "off") != 0 && strcmp(text, "none") != 0)
		wrong(k, text, name);
	return 0;
}

/* "10.0.0.0/8", "2001:db8::/32", or an address alone. */
static bool parse_address(const char *text, uint8_t ret[16], uint32_t *ret_bits)
{
	char host[64];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);

	if (n >= sizeof host)
		return false;
	memcpy(host, text, n);
	host[n] = 0;
	memset(ret, 0, 16);
	if (inet_pton(AF_INET, host, ret + 12) == 1) {
		ret[10] = ret[11] = 0xff;
		*ret_bits = 96 + (slash ? (uint32_t)strtoul(slash + 1, NULL, 10) : 32);
		return true;
	}
	*ret_bits = slash ? (uint32_t)strtoul(slash + 1, NULL, 10) : 128;
	return inet_pton(AF_INET6, host, ret) == 1;
}

static struct snap_list put_cidrs(struct work *k, const json_t *array, const char *name)
{
	struct snap_cidr all[1024];
	unsigned n = 0;
	json_t *v;
	size_t i;

	json_array_foreach(array, i, v)
	{
		if (n == 1024)
			break;
		all[n] = (struct snap_cidr){0};
		if (!json_is_string(v) ||
			!parse_address(json_string_value(v), all[n].address, &all[n].bits))
			wrong(k, "not a network", name);
		n++;
	}
	return snap_put_list(k->w, all, sizeof all[0], n);
}

static struct snap_list put_texts(struct work *k, const json_t *array)
{
	struct snap_str all[64];
	unsigned n = 0;
	json_t *v;
	size_t i;

	json_array_foreach(array, i, v)
	{
		if (n < 64)
			all[n++] = snap_put_str(k->w, json_string_value(v));
	}
	return snap_put_list(k->w, all, sizeof all[0], n);
}

static uint32_t upstream_of(struct work *k, const char *text, const char *name)
{
	json_t *u;
	size_t i;

	json_array_foreach(k->upstreams, i, u)
	{
		const char *known = json_string_value(json_object_get(u, "name"));

		if (known && text && strcmp(known, text) == 0)
			return (uint32_t)i;
	}
	wrong(k, "no such upstream", name);
	return SNAP_NONE;
}

static void fill(struct work *k, const json_t *from, const struct member *table, void *to);

static struct snap_list put_objects(struct work *k, const json_t *array, const struct member *m)
{
	size_t n = json_array_size(array), i;
	char *all = calloc(n + 1, m->size);
	struct snap_list list;
	json_t *v;

	must(all);
	json_array_foreach(array, i, v) fill(k, v, m->table, all + i * m->size);
	list = snap_put_list(k->w, all, m->size, (unsigned)n);
	free(all);
	return list;
}

static void fill_one(struct work *k, const struct member *m, const json_t *v, char *at)
{
	const char *text = json_string_value(v);

	switch (m->kind) {
	case U32:
		*(uint32_t *)at = (uint32_t)json_integer_value(v);
		break;
	case U64:
		*(uint64_t *)at = (uint64_t)json_integer_value(v);
		break;
	case TEXT:
		*(struct snap_str *)at = snap_put_str(k->w, text);
		break;
	case TEXTS:
		*(struct snap_list *)at = put_texts(k, v);
		break;
	case CIDRS:
		*(struct snap_list *)at = put_cidrs(k, v, m->name);
		break;
	case OBJECTS:
		*(struct snap_list *)at = put_objects(k, v, m);
		break;
	case WORD:
		*(uint32_t *)at = word_of(k, m->words, text ? text : "", m->name);
		break;
	case FLAG:
		if (json_is_true(v))
			*(uint32_t *)at |= m->bit;
		break;
	case UPSTREAM:
		*(uint32_t *)at = upstream_of(k, text, m->name);
		break;
	}
}

/* Members that their owner reads by itself. */
static bool is_special(const char *name)
{
	static const char *const names[] = {
		"hosts", "aliases", "default", "routes", "servers", "address", "unix", "host"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static void fill(struct work *k, const json_t *from, const struct member *table, void *to)
{
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)from, name, v)
	{
		const struct member *m = table;

		while (m->name && strcmp(m->name, name) != 0)
			m++;
		if (m->name)
			fill_one(k, m, v, (char *)to + m->off);
		else if (!is_special(name))
			wrong(k, "no such member", name);
	}
}

static uint16_t split_port(const char *text, char *host, size_t cap)
{
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : strlen(text);

	n = min_of(n, cap - 1);
	memcpy(host, text, n);
	host[n] = 0;
	return colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
}

static struct snap_server server_of(struct work *k, const json_t *v, uint32_t number)
{
	struct snap_server s = {.weight = 1, .number = number};
	const char *address = json_string_value(json_object_get(v, "address"));
	const char *path = json_string_value(json_object_get(v, "unix"));
	const char *name = json_string_value(json_object_get(v, "host"));
	uint32_t bits;
	char host[256];

	fill(k, v, server_members, &s);
	if (address) {
		s.kind = SNAP_SERVER_ADDRESS;
		s.port = split_port(address, host, sizeof host);
		if (!parse_address(host, s.address, &bits))
			wrong(k, "not an address", address);
	} else {
		s.kind = path ? SNAP_SERVER_UNIX : SNAP_SERVER_NAME;
		if (name)
			s.port = split_port(name, host, sizeof host);
	}
	s.name = snap_put_str(k->w, path ? path : address ? address : host);
	return s;
}

static void put_upstreams(struct work *k)
{
	json_t *u, *v;
	size_t i, n;

	json_array_foreach(k->upstreams, i, u)
	{
		struct snap_upstream up = {.number = (uint32_t)i,
			.protocol = SNAP_PROTO_HTTP,
			.balance = SNAP_BALANCE_ROUND_ROBIN,
			.fail_max = 3,
			.retry = 1,
			.keep_alive = 32,
			.queue = 128,
			.queue_timeout_ms = 10000,
			.timeout_ms = 30000};
		struct snap_server all[64];
		const json_t *servers = json_object_get(u, "servers");

		fill(k, u, upstream_members, &up);
		json_array_foreach(servers, n, v)
		{
			if (n < 64)
				all[n] = server_of(k, v, (uint32_t)(i * 64 + n));
		}
		n = min_of(json_array_size(servers), (size_t)64);
		up.servers = snap_put_list(k->w, all, sizeof all[0], (unsigned)n);
		(void)snap_put_upstream(k->w, &up);
	}
}

static void put_site(struct work *k, const json_t *v, uint32_t number)
{
	struct snap_site site = {.number = number,
		.head_max = 32 * 1024,
		.header_timeout_ms = 10000,
		.idle_timeout_ms = 60000,
		.rate_min = 100,
		.queue = 128,
		.queue_timeout_ms = 10000};
	const json_t *routes = json_object_get(v, "routes");
	size_t n = json_array_size(routes), i;
	struct snap_route *all = calloc(n + 1, sizeof *all);
	json_t *r;
	uint32_t at;

	must(all);
	fill(k, v, site_members, &site);
	json_array_foreach(routes, i, r)
	{
		all[i] = snap_route_default();
		all[i].access = SNAP_ACCESS_JSON;
		all[i].request_timeout_ms = 30000;
		fill(k, r, route_members, &all[i]);
		if (all[i].to == SNAP_TO_APP && all[i].app == SNAP_NONE)
			all[i].app = 0;
		if (!all[i].path.len)
			all[i].path = snap_put_str(k->w, "/");
	}
	at = snap_put_site(k->w, &site, all, (unsigned)n);
	free(all);
	json_array_foreach(json_object_get(v, "hosts"), i, r)
		snap_put_host(k->w, at, json_string_value(r), 0);
	json_array_foreach(json_object_get(v, "aliases"), i, r)
		snap_put_host(k->w, at, json_string_value(r), SNAP_HOST_ALIAS);
}

int json_snap_build(const char *text, uint64_t generation, int *ret_fds, unsigned *ret_nfds)
{
	json_error_t error;
	json_t *all = json_loads(text, JSON_REJECT_DUPLICATES, &error), *v;
	struct snap_app app = {.number = 1, .workers = 1, .threads = 1};
	struct work k = {.w = snap_writer_new()};
	uint32_t default_site = SNAP_NONE;
	size_t i;

	must(k.w);
	if (!all) {
		fprintf(stderr, "json_snap: %s\n", error.text);
		snap_writer_free(k.w);
		return -EINVAL;
	}
	k.upstreams = json_object_get(all, "upstreams");
	app.name = snap_put_str(k.w, "harness");
	(void)snap_put_app(k.w, &app);
	put_upstreams(&k);
	json_array_foreach(json_object_get(all, "sites"), i, v)
	{
		put_site(&k, v, (uint32_t)i);
		if (default_site == SNAP_NONE && json_is_true(json_object_get(v, "default")))
			default_site = (uint32_t)i;
	}
	json_array_foreach(json_object_get(all, "tcps"), i, v)
	{
		struct snap_tcp tcp = {.idle_ms = 60000};

		fill(&k, v, tcp_members, &tcp);
		(void)snap_put_tcp(k.w, &tcp);
	}
	if (!k.err)
		k.err = snap_finish(k.w, generation, default_site, ret_fds, ret_nfds);
	snap_writer_free(k.w);
	json_decref(all);
	return k.err;
}
