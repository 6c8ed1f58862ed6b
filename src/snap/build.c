/*
 * build.c: the builder of snapshots; see snap.h. Called by ctl only (and by tests). Owns nothing
 * after it returns but the descriptors it hands out. Never takes input that it cannot represent:
 * what a reader could misread is refused here.
 */
#include "snap_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/must.h"
#include "lib/sys.h"

/* Strings and lists stand in `heap` behind the head, at their final place, so their references hold
 * from the first. The tables gather beside it and follow at the end. */
struct snap_writer {
	struct buf heap, sites, apps, upstreams, tcps, hosts, paths;
	struct buf certs_heap, certs, demands; /* of the segment of certificates */
	unsigned nsites, napps, nupstreams, ntcps, nhosts, npaths, ncerts, ndemands;
	uint32_t coming; /* index + 1 */
	int err;
};

static const char zeroes[8];

static void fail(struct snap_writer *w, int err)
{
	if (!w->err)
		w->err = err;
}

static void align(struct buf *b)
{
	buf_put(b, zeroes, (8 - b->len % 8) % 8);
}

struct snap_writer *snap_writer_new(void)
{
	struct snap_writer *w = calloc(1, sizeof *w);
	struct snap_sites head = {0};
	struct snap_certs certs = {0};

	if (!w)
		return NULL;
	buf_init(&w->certs_heap, SNAP_SEGMENT_BYTES_MAX);
	buf_init(&w->certs, SNAP_SEGMENT_BYTES_MAX);
	buf_init(&w->demands, SNAP_SEGMENT_BYTES_MAX);
	buf_put(&w->certs_heap, (const char *)&certs, sizeof certs);
	buf_init(&w->heap, SNAP_SEGMENT_BYTES_MAX);
	buf_init(&w->sites, SNAP_SEGMENT_BYTES_MAX);
	buf_init(&w->apps, SNAP_SEGMENT_BYTES_MAX);
	buf_init(&w->upstreams, SNAP_SEGMENT_BYTES_MAX);
	buf_init(&w->tcps, SNAP_SEGMENT_BYTES_MAX);
	buf_init(&w->hosts, SNAP_SEGMENT_BYTES_MAX);
	buf_init(&w->paths, SNAP_SEGMENT_BYTES_MAX);
	buf_put(&w->heap, (const char *)&head, sizeof head);
	return w;
}

void snap_writer_free(struct snap_writer *w)
{
	if (!w)
		return;
	buf_done(&w->heap);
	buf_done(&w->sites);
	buf_done(&w->apps);
	buf_done(&w->upstreams);
	buf_done(&w->tcps);
	buf_done(&w->hosts);
	buf_done(&w->paths);
	buf_done(&w->certs_heap);
	buf_done(&w->certs);
	buf_done(&w->demands);
	free(w);
}

struct snap_str snap_put_bytes(struct snap_writer *w, const void *s, size_t n)
{
	struct snap_str str = {(uint32_t)w->heap.len, (uint32_t)n};

	if (n > SNAP_STRING_MAX) {
		fail(w, -ENAMETOOLONG);
		return (struct snap_str){0};
	}
	buf_put(&w->heap, s, n);
	buf_putc(&w->heap, 0);
	return str;
}

struct snap_str snap_put_str(struct snap_writer *w, const char *s)
{
	return snap_put_bytes(w, s ? s : "", s ? strlen(s) : 0);
}

uint32_t snap_put_cert(struct snap_writer *w, const struct snap_cert *cert, const void *const *der,
	const size_t *der_n, unsigned n, const char *names)
{
	size_t names_n = names ? strlen(names) : 0;
	struct snap_str all[SNAP_CHAIN_MAX];
	struct snap_cert to = *cert;

	if (n == 0 || n > SNAP_CHAIN_MAX || names_n > SNAP_STRING_MAX) {
		fail(w, -EINVAL);
		return SNAP_NONE;
	}
	to.names = (struct snap_str){(uint32_t)w->certs_heap.len, (uint32_t)names_n};
	buf_put(&w->certs_heap, names, names_n);
	for (unsigned i = 0; i < n; i++) {
		all[i] = (struct snap_str){(uint32_t)w->certs_heap.len, (uint32_t)der_n[i]};
		if (der_n[i] == 0 || der_n[i] > SNAP_STRING_MAX)
			fail(w, -EINVAL);
		buf_put(&w->certs_heap, der[i], der_n[i]);
	}
	align(&w->certs_heap);
	to.chain = (uint32_t)w->certs_heap.len;
	to.chain_n = n;
	buf_put(&w->certs_heap, (const char *)all, n * sizeof all[0]);
	buf_put(&w->certs, (const char *)&to, sizeof to);
	return w->ncerts++;
}

struct snap_list snap_put_list(struct snap_writer *w, const void *items, size_t size, unsigned n)
{
	struct snap_list list = {0, n};

	if (n == 0)
		return list;
	align(&w->heap);
	list.off = (uint32_t)w->heap.len;
	buf_put(&w->heap, items, size * n);
	return list;
}

uint32_t snap_put_app(struct snap_writer *w, const struct snap_app *app)
{
	buf_put(&w->apps, (const char *)app, sizeof *app);
	return w->napps++;
}

uint32_t snap_put_upstream(struct snap_writer *w, const struct snap_upstream *up)
{
	if (up->protocol < SNAP_PROTO_HTTP || up->protocol > SNAP_PROTO_TCP ||
		up->balance < SNAP_BALANCE_ROUND_ROBIN || up->balance > SNAP_BALANCE_HASH ||
		(up->servers.n == 0) == (up->app == 0))
		fail(w, -EINVAL);
	buf_put(&w->upstreams, (const char *)up, sizeof *up);
	return w->nupstreams++;
}

uint32_t snap_put_tcp(struct snap_writer *w, const struct snap_tcp *tcp)
{
	if (tcp->upstream >= w->nupstreams || tcp->send_proxy > 2)
		fail(w, -EINVAL);
	buf_put(&w->tcps, (const char *)tcp, sizeof *tcp);
	return w->ntcps++;
}

struct snap_route snap_route_default(void)
{
	return (struct snap_route){.match = SNAP_MATCH_PREFIX,
		.next = SNAP_NONE,
		.app = SNAP_NONE,
		.upstream = SNAP_NONE,
		.auth_upstream = SNAP_NONE};
}

static const char *text_at(const struct snap_writer *w, struct snap_str s)
{
	return (uint64_t)s.off + s.len < w->heap.len ? w->heap.p + s.off : "";
}

static void check_route(struct snap_writer *w, const struct snap_route *r)
{
	const char *path = text_at(w, r->path);
	bool regex = r->match == SNAP_MATCH_REGEX;

	if (r->match < SNAP_MATCH_EXACT || r->match > SNAP_MATCH_REGEX ||
		(!regex && path[0] != '/') || (regex && !r->path.len))
		fail(w, -EINVAL);
	if ((r->to == SNAP_TO_APP && r->app == SNAP_NONE) ||
		(r->to == SNAP_TO_STATIC && text_at(w, r->root)[0] != '/') ||
		(r->to == SNAP_TO_UPSTREAM && r->upstream >= w->nupstreams) ||
		r->to > SNAP_TO_UPSTREAM ||
		(r->auth_upstream != SNAP_NONE && r->auth_upstream >= w->nupstreams))
		fail(w, -EINVAL);
}

/* A prefix's slash at the end says nothing: "/static/" is "/static". */
static void trim(const struct snap_writer *w, struct snap_route *r)
{
	const char *path = text_at(w, r->path);

	while (r->match == SNAP_MATCH_PREFIX && r->path.len > 1 && path[r->path.len - 1] == '/')
		r->path.len--;
}

static bool same_path(
	const struct snap_writer *w, const struct snap_route *a, const struct snap_route *b)
{
	return a->match == b->match && a->match != SNAP_MATCH_REGEX && a->path.len == b->path.len &&
	       memcmp(text_at(w, a->path), text_at(w, b->path), a->path.len) == 0;
}

/* Put route i into the table of paths, or behind the routes of its path. */
static void add_path(struct snap_writer *w, struct snap_route *all, uint32_t i)
{
	struct snap_path p = {.site = w->nsites, .route = i, .match = all[i].match};
	uint32_t seed = snap_path_seed(w->nsites, all[i].match);

	for (uint32_t k = 1; k < i; k++)
		if (same_path(w, &all[k], &all[i])) {
			while (all[k].next != SNAP_NONE)
				k = all[k].next;
			all[k].next = i;
			return;
		}
	p.hash = snap_hash(seed, text_at(w, all[i].path), all[i].path.len);
	buf_put(&w->paths, (const char *)&p, sizeof p);
	w->npaths++;
}

/* References of a trimmed path end without a NUL, so it is written anew. */
static void respell(struct snap_writer *w, struct snap_route *r)
{
	char text[SNAP_STRING_MAX + 1];
	uint32_t len = r->path.len;

	trim(w, r);
	if (r->path.len == len)
		return;
	memcpy(text, text_at(w, r->path), r->path.len);
	r->path = snap_put_bytes(w, text, r->path.len);
}

static uint32_t rules_of(const struct snap_route *r)
{
	return (r->flags & SNAP_ROUTE_ALLOW || r->deny.n ? SNAP_RULE_ACCESS : 0) |
	       (r->rates.n ? SNAP_RULE_RATE : 0) | (r->users.n ? SNAP_RULE_USERS : 0) |
	       (r->auth_upstream != SNAP_NONE ? SNAP_RULE_FORWARD_AUTH : 0) |
	       (r->redirects.n ? SNAP_RULE_REDIRECT : 0) |
	       (r->rewrites.n ? SNAP_RULE_REWRITE : 0) | (r->headers.n ? SNAP_RULE_HEADERS : 0) |
	       (r->body_max ? SNAP_RULE_BODY_MAX : 0) |
	       (r->flags & SNAP_ROUTE_SCRIPTS ? SNAP_RULE_SCRIPTS : 0) |
	       (r->try_files.n ? SNAP_RULE_TRY_FILES : 0) | (r->cache_bytes ? SNAP_RULE_CACHE : 0);
}

static void put_routes(
	struct snap_writer *w, struct snap_site *s, struct snap_route *all, unsigned n)
{
	uint32_t *regex = calloc(n, sizeof *regex), regexes = 0;

	if (!regex) {
		fail(w, -ENOMEM);
		return;
	}
	s->path_max = s->paths = 0;
	for (unsigned i = 0; i < n; i++) {
		check_route(w, &all[i]);
		all[i].next = SNAP_NONE;
		all[i].rules = rules_of(&all[i]) | (s->client_cas.n ? SNAP_RULE_CLIENT : 0);
		if (w->err || w->heap.error)
			break;
		respell(w, &all[i]);
		if (i == 0)
			continue;
		if (all[i].match == SNAP_MATCH_REGEX) {
			regex[regexes++] = i;
			continue;
		}
		add_path(w, all, i);
		s->paths++;
		if (all[i].path.len > s->path_max)
			s->path_max = all[i].path.len;
	}
	s->routes = snap_put_list(w, all, sizeof *all, n);
	s->regexes = snap_put_list(w, regex, sizeof *regex, regexes);
	free(regex);
}

uint32_t snap_put_site(struct snap_writer *w, const struct snap_site *site,
	const struct snap_route *routes, unsigned nroutes)
{
	struct snap_route *all = calloc(nroutes ? nroutes : 1, sizeof *all);
	struct snap_site s = *site;

	if (!all || nroutes == 0) {
		fail(w, all ? -EINVAL : -ENOMEM);
		free(all);
		return w->nsites++;
	}
	memcpy(all, routes, nroutes * sizeof *all);
	for (unsigned i = 0; i < nroutes; i++)
		if (all[i].client_ca > s.client_cas.n || s.client_cas.n > SNAP_CLIENT_CAS_MAX)
			fail(w, -EINVAL);
	put_routes(w, &s, all, nroutes);
	free(all);
	buf_put(&w->sites, (const char *)&s, sizeof s);
	return w->nsites++;
}

void snap_put_coming(struct snap_writer *w, uint32_t site)
{
	w->coming = site + 1;
}

void snap_put_host(struct snap_writer *w, uint32_t site, const char *name, uint32_t flags)
{
	struct snap_host host = {.site = site, .flags = flags};
	char text[SNAP_NAME_MAX];
	size_t n = strlen(name);

	if (n == 0 || n > sizeof text || w->nhosts >= SNAP_HOSTS_MAX) {
		fail(w, n == 0 || n > sizeof text ? -EINVAL : -E2BIG);
		return;
	}
	for (size_t i = 0; i < n; i++)
		text[i] =
			(char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + ('a' - 'A') : name[i]);
	host.hash = snap_hash(SNAP_HASH_SEED, text, n);
	host.name = snap_put_bytes(w, text, n);
	buf_put(&w->hosts, (const char *)&host, sizeof host);
	w->nhosts++;
}

/* At most half full, so probes stay short and always meet an empty place. */
static uint32_t table_size(unsigned n)
{
	uint32_t size = 4;

	while (size < n * 2)
		size *= 2;
	return size;
}

static bool same_host(
	const struct snap_writer *w, const struct snap_host *a, const struct snap_host *b)
{
	return a->hash == b->hash && a->name.len == b->name.len &&
	       memcmp(text_at(w, a->name), text_at(w, b->name), a->name.len) == 0;
}

static void put_hosts(struct snap_writer *w, struct snap_sites *head)
{
	const struct snap_host *in = (const void *)w->hosts.p;
	uint32_t size = table_size(w->nhosts);
	struct snap_host *table = malloc(size * sizeof *table);

	if (!table) {
		fail(w, -ENOMEM);
		return;
	}
	for (uint32_t i = 0; i < size; i++)
		table[i] = (struct snap_host){.site = SNAP_NONE};
	for (unsigned i = 0; i < w->nhosts; i++) {
		uint32_t at = in[i].hash & (size - 1);

		if (in[i].site >= w->nsites)
			fail(w, -EINVAL);
		/* A host that two sites claim stays with the first. */
		while (table[at].site != SNAP_NONE && !same_host(w, &table[at], &in[i]))
			at = (at + 1) & (size - 1);
		if (table[at].site == SNAP_NONE)
			table[at] = in[i];
	}
	head->hosts = snap_put_list(w, table, sizeof *table, size).off;
	head->nhosts = size;
	free(table);
}

static void put_paths(struct snap_writer *w, struct snap_sites *head)
{
	const struct snap_path *in = (const void *)w->paths.p;
	uint32_t size = table_size(w->npaths);
	struct snap_path *table = malloc(size * sizeof *table);

	if (!table) {
		fail(w, -ENOMEM);
		return;
	}
	for (uint32_t i = 0; i < size; i++)
		table[i] = (struct snap_path){.site = SNAP_NONE};
	for (unsigned i = 0; i < w->npaths; i++) {
		uint32_t at = in[i].hash & (size - 1);

		while (table[at].site != SNAP_NONE)
			at = (at + 1) & (size - 1);
		table[at] = in[i];
	}
	head->paths = snap_put_list(w, table, sizeof *table, size).off;
	head->npaths = size;
	free(table);
}

static void check_apps(struct snap_writer *w)
{
	const struct snap_app *a = (const void *)w->apps.p;

	for (unsigned i = 0; i < w->napps; i++)
		if (a[i].site >= w->nsites)
			fail(w, -EINVAL);
}

static int first_error(const struct snap_writer *w)
{
	const struct buf *all[] = {
		&w->heap, &w->sites, &w->apps, &w->upstreams, &w->tcps, &w->hosts, &w->paths,
		&w->certs_heap, &w->certs, &w->demands};

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		if (all[i]->error)
			return all[i]->error;
	return w->err;
}

/* The tables behind the heap, and the head in front. */
static int finish_segment(struct snap_writer *w, uint32_t default_site)
{
	struct snap_sites head = {
		.head = {.magic = SNAP_MAGIC, .version = SNAP_VERSION, .kind = SNAP_SITES},
		.nsites = w->nsites,
		.napps = w->napps,
		.nupstreams = w->nupstreams,
		.ntcps = w->ntcps,
		.default_site = default_site,
		.coming = w->coming,
	};

	if ((default_site != SNAP_NONE && default_site >= w->nsites) || w->coming > w->nsites)
		fail(w, -EINVAL);
	if (first_error(w))
		return first_error(w);
	check_apps(w);
	head.sites = snap_put_list(w, w->sites.p, sizeof(struct snap_site), w->nsites).off;
	head.apps = snap_put_list(w, w->apps.p, sizeof(struct snap_app), w->napps).off;
	head.upstreams =
		snap_put_list(w, w->upstreams.p, sizeof(struct snap_upstream), w->nupstreams).off;
	head.tcps = snap_put_list(w, w->tcps.p, sizeof(struct snap_tcp), w->ntcps).off;
	put_hosts(w, &head);
	put_paths(w, &head);
	if (!first_error(w))
		memcpy(w->heap.p, &head, sizeof head);
	return first_error(w);
}

void snap_put_demand(struct snap_writer *w, uint32_t number, const char *name, uint32_t cert, uint64_t tell_s)
{
	struct snap_demand d = {.cert = cert, .site = number, .tell_s = tell_s};
	size_t n = strlen(name);

	if (n == 0 || n > SNAP_NAME_MAX || cert >= w->ncerts || w->ndemands >= SNAP_HOSTS_MAX) {
		fail(w, -EINVAL);
		return;
	}
	d.hash = snap_hash(SNAP_HASH_SEED, name, n);
	d.name = (struct snap_str){(uint32_t)w->certs_heap.len, (uint32_t)n};
	buf_put(&w->certs_heap, name, n);
	buf_put(&w->demands, (const char *)&d, sizeof d);
	w->ndemands++;
}

static void put_demands(struct snap_writer *w, struct snap_certs *head)
{
	const struct snap_demand *in = (const void *)w->demands.p;
	uint32_t size = table_size(w->ndemands);
	struct snap_demand *table = w->ndemands ? malloc(size * sizeof *table) : NULL;

	if (!table) {
		if (w->ndemands)
			fail(w, -ENOMEM);
		return;
	}
	for (uint32_t i = 0; i < size; i++)
		table[i] = (struct snap_demand){.cert = SNAP_NONE};
	for (unsigned i = 0; i < w->ndemands; i++) {
		uint32_t at = in[i].hash & (size - 1);

		while (table[at].cert != SNAP_NONE)
			at = (at + 1) & (size - 1);
		table[at] = in[i];
	}
	align(&w->certs_heap);
	head->demands = (uint32_t)w->certs_heap.len;
	head->ndemands = size;
	buf_put(&w->certs_heap, (const char *)table, size * sizeof *table);
	free(table);
}

/* The tables behind the chains, and the head in front. */
static int finish_certs(struct snap_writer *w)
{
	const struct snap_site *site = (const void *)w->sites.p;
	struct snap_certs head = {
		.head = {.magic = SNAP_MAGIC, .version = SNAP_VERSION, .kind = SNAP_CERTS},
		.ncerts = w->ncerts};

	for (unsigned i = 0; i < w->nsites; i++)
		if (site[i].cert > w->ncerts)
			fail(w, -EINVAL);
	if (!w->ncerts || first_error(w))
		return first_error(w);
	align(&w->certs_heap);
	head.certs = (uint32_t)w->certs_heap.len;
	buf_put(&w->certs_heap, w->certs.p, w->certs.len);
	put_demands(w, &head);
	if (!first_error(w))
		memcpy(w->certs_heap.p, &head, sizeof head);
	return first_error(w);
}

int snap_finish(struct snap_writer *w, uint64_t generation, uint32_t default_site, int *ret_fds,
	unsigned *ret_nfds)
{
	struct {
		struct snap_root root;
		struct snap_segref seg[2];
	} top = {.root = {.magic = SNAP_MAGIC, .version = SNAP_VERSION, .generation = generation}};
	const struct {
		const struct buf *bytes;
		const char *name;
		uint32_t kind;
	} seg[] = {{&w->heap, "stead-sites", SNAP_SITES}, {&w->certs_heap, "stead-certs", SNAP_CERTS}};
	unsigned n = 0, nseg = w->ncerts ? 2 : 1;
	size_t top_n = sizeof top.root + nseg * sizeof top.seg[0];
	int err = finish_segment(w, default_site);

	if (!err)
		err = finish_certs(w);
	top.root.segments = nseg;
	for (unsigned i = 0; !err && i < nseg; i++) {
		top.seg[i] = (struct snap_segref){.kind = seg[i].kind,
			.bytes = seg[i].bytes->len,
			.checksum = sys_checksum(seg[i].bytes->p, seg[i].bytes->len)};
		err = sys_memfd_sealed(seg[i].name, seg[i].bytes->p, seg[i].bytes->len, &ret_fds[i + 1]);
		n = err ? n : i + 1;
	}
	top.root.checksum = sys_checksum(&top, top_n);
	if (!err)
		err = sys_memfd_sealed("stead-root", &top, top_n, &ret_fds[0]);
	if (err) {
		while (n)
			close(ret_fds[n--]);
		return err;
	}
	*ret_nfds = nseg + 1;
	return 0;
}
