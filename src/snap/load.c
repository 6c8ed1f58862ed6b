/*
 * load.c: the reader of snapshots; see snap.h. Called by the gates for every request and at every
 * switch. Owns the mappings of a snapshot until its last reference goes. Never parses, never
 * changes a byte, never trusts an offset: the segment is sealed, so it cannot change between check
 * and use, but what it says may still be wrong.
 */
#include "snap_priv.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/hostname.h"
#include "lib/must.h"
#include "lib/sys.h"

/* n objects of `size` bytes at off in that part, or NULL. */
static const void *at_part(const struct snap_part *part, uint32_t off, uint64_t n, size_t size, size_t align)
{
	if (off % align != 0 || off > part->bytes || n > (part->bytes - off) / size)
		return NULL;
	return part->map + off;
}

/* The same in the segment of the sites. */
static const void *at(const struct snap *s, uint32_t off, uint64_t n, size_t size, size_t align)
{
	return at_part(&s->parts[s->sites_part], off, n, size, align);
}

/* So many rows, or none when they are not all there. */
static unsigned rows(const struct snap *s, uint32_t off, uint32_t n, size_t size)
{
	return at(s, off, n, size, 8) ? n : 0;
}

/* The places of a hash table at off, when they can be one. */
static const void *places(const struct snap *s, uint32_t off, uint32_t n, size_t size, uint32_t *ret_n)
{
	const void *all = n && (n & (n - 1)) == 0 ? at(s, off, n, size, 4) : NULL;

	*ret_n = all ? n : 0;
	return all;
}

static bool has_wildcard(const struct snap *s)
{
	for (uint32_t i = 0; i < s->nhosts; i++)
		if (s->host[i].site != SNAP_NONE && !strncmp(snap_str(s, s->host[i].name, NULL), "*.", 2))
			return true;
	return false;
}

/* Each request asks for these: what can be said of them once is said here. */
static void find_tables(struct snap *s)
{
	const struct snap_sites *t = s->sites;

	s->nsites = rows(s, t->sites, t->nsites, sizeof(*s->site));
	s->site = at(s, t->sites, s->nsites, sizeof(*s->site), 8);
	s->host = places(s, t->hosts, t->nhosts, sizeof(*s->host), &s->nhosts);
	s->path = places(s, t->paths, t->npaths, sizeof(*s->path), &s->npaths);
	s->wildcards = has_wildcard(s);
}

static bool root_sum_holds(const struct snap_root *root, size_t bytes)
{
	/* The sum is that of the root with the field itself zero. */
	char copy[sizeof *root + SNAP_SEGMENTS_MAX * sizeof(struct snap_segref)];
	uint64_t zero = 0;

	memcpy(copy, root, bytes);
	memcpy(copy + offsetof(struct snap_root, checksum), &zero, sizeof zero);
	return sys_checksum(copy, bytes) == root->checksum;
}

static int check_root(const struct snap_part *part, unsigned nsegments)
{
	const struct snap_root *root = (const void *)part->map;
	size_t bytes = sizeof *root + nsegments * sizeof root->seg[0];

	if (nsegments > SNAP_SEGMENTS_MAX || part->bytes < sizeof *root ||
		root->magic != SNAP_MAGIC)
		return -EBADMSG;
	if (root->version != SNAP_VERSION)
		return -EPROTONOSUPPORT;
	if (root->segments != nsegments || part->bytes != bytes || !root_sum_holds(root, bytes))
		return -EBADMSG;
	return 0;
}

static int check_segment(const struct snap_segref *ref, const struct snap_part *part)
{
	const struct snap_seg_head *head = (const void *)part->map;

	if (part->bytes != ref->bytes || part->bytes < sizeof *head || head->magic != SNAP_MAGIC ||
		head->kind != ref->kind)
		return -EBADMSG;
	if (head->version != SNAP_VERSION)
		return -EPROTONOSUPPORT;
	return sys_checksum(part->map, part->bytes) == ref->checksum ? 0 : -EBADMSG;
}

/* The segment of certificates, of which there is one at most. */
static bool take_certs(struct snap *s, unsigned i)
{
	const struct snap_certs *c = (const void *)s->parts[i].map;

	if (s->cert || s->parts[i].bytes < sizeof *c)
		return false;
	s->certs_part = i;
	s->cert = at_part(&s->parts[i], c->certs, c->ncerts, sizeof *s->cert, 8);
	s->ncerts = s->cert ? c->ncerts : 0;
	s->demand = c->ndemands && (c->ndemands & (c->ndemands - 1)) == 0
			    ? at_part(&s->parts[i], c->demands, c->ndemands, sizeof *s->demand, 8)
			    : NULL;
	s->ndemands = s->demand ? c->ndemands : 0;
	return s->cert != NULL;
}

int snap_check(const struct snap_part *parts, unsigned n, struct snap **ret_snap)
{
	const struct snap_root *root;
	struct snap *s;
	int err;

	if (n < 2)
		return -EBADMSG;
	err = check_root(&parts[0], n - 1);
	if (err)
		return err;
	root = (const void *)parts[0].map;
	s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	s->refs = 1;
	s->generation = root->generation;
	s->nparts = n - 1;
	for (unsigned i = 0; i < n - 1; i++) {
		err = check_segment(&root->seg[i], &parts[i + 1]);
		if (err)
			goto fail;
		s->parts[i] = parts[i + 1];
		if (root->seg[i].kind == SNAP_CERTS && !take_certs(s, i)) {
			err = -EBADMSG;
			goto fail;
		}
		if (root->seg[i].kind != SNAP_SITES)
			continue;
		err = -EBADMSG;
		if (s->sites || parts[i + 1].bytes < sizeof *s->sites)
			goto fail;
		s->sites = (const void *)parts[i + 1].map;
		s->sites_part = i;
	}
	err = -EBADMSG;
	if (!s->sites)
		goto fail;
	find_tables(s);
	*ret_snap = s;
	return 0;
fail:
	free(s);
	return err;
}

int snap_load(const int *fds, unsigned nfds, struct snap **ret_snap)
{
	struct snap_part parts[SNAP_SEGMENTS_MAX + 1] = {0};
	struct snap *s = NULL;
	unsigned n;
	int err = 0;

	if (nfds < 2 || nfds > SNAP_SEGMENTS_MAX + 1)
		return -EBADMSG;
	for (n = 0; n < nfds && !err; n++) {
		const void *map = NULL;

		err = sys_memfd_map(fds[n], SNAP_SEGMENT_BYTES_MAX, &parts[n].bytes, &map);
		parts[n].map = map;
	}
	if (!err)
		err = snap_check(parts, nfds, &s);
	/* The root is only needed for the checks; the segments stay when they held. */
	for (unsigned i = 0; i < n; i++)
		if (parts[i].map && (err || i == 0))
			sys_shm_unmap(parts[i].map, parts[i].bytes);
	if (err)
		return err;
	s->mapped = true;
	*ret_snap = s;
	return 0;
}

struct snap *snap_ref(struct snap *s)
{
	s->refs++;
	return s;
}

void snap_unref(struct snap *s)
{
	if (!s)
		return;
	must(s->refs > 0);
	if (--s->refs)
		return;
	if (s->mapped)
		for (unsigned i = 0; i < s->nparts; i++)
			sys_shm_unmap(s->parts[i].map, s->parts[i].bytes);
	free(s);
}

uint64_t snap_generation(const struct snap *s)
{
	return s->generation;
}

unsigned snap_nsites(const struct snap *s)
{
	return s->nsites;
}

unsigned snap_napps(const struct snap *s)
{
	return rows(s, s->sites->apps, s->sites->napps, sizeof(struct snap_app));
}

unsigned snap_nupstreams(const struct snap *s)
{
	return rows(s, s->sites->upstreams, s->sites->nupstreams, sizeof(struct snap_upstream));
}

unsigned snap_ntcps(const struct snap *s)
{
	return rows(s, s->sites->tcps, s->sites->ntcps, sizeof(struct snap_tcp));
}

const void *snap_item(const struct snap *s, struct snap_list list, uint32_t i, size_t size)
{
	const char *all =
		i < list.n ? at(s, list.off, (uint64_t)i + 1, size, size % 8 ? 4 : 8) : NULL;

	return all ? all + (size_t)i * size : NULL;
}

/* Element i of a table of the segment. */
static const void *row(const struct snap *s, uint32_t off, uint32_t n, uint32_t i, size_t size)
{
	const char *all = i < n ? at(s, off, n, size, 8) : NULL;

	return all ? all + (size_t)i * size : NULL;
}

const struct snap_site *snap_site(const struct snap *s, uint32_t i)
{
	return i < s->nsites ? &s->site[i] : NULL;
}

const struct snap_app *snap_app(const struct snap *s, uint32_t i)
{
	return row(s, s->sites->apps, s->sites->napps, i, sizeof(struct snap_app));
}

const struct snap_cert *snap_cert(const struct snap *s, uint32_t i)
{
	return i < s->ncerts ? &s->cert[i] : NULL;
}

unsigned snap_ncerts(const struct snap *s)
{
	return s->ncerts;
}

const uint8_t *snap_cert_der(
	const struct snap *s, const struct snap_cert *cert, uint32_t i, size_t *ret_n)
{
	const struct snap_part *part = &s->parts[s->certs_part];
	const struct snap_str *all =
		i < cert->chain_n ? at_part(part, cert->chain, cert->chain_n, sizeof *all, 4) : NULL;

	*ret_n = all ? all[i].len : 0;
	return all ? at_part(part, all[i].off, all[i].len, 1, 1) : NULL;
}

bool snap_cert_covers(
	const struct snap *s, const struct snap_cert *cert, const char *host, size_t len)
{
	const char *names =
		at_part(&s->parts[s->certs_part], cert->names.off, cert->names.len, 1, 1);

	return names && hostname_among(names, cert->names.len, host, len);
}

/* Probes end at an empty place or after one round. */
static const struct snap_demand *demand_find(const struct snap *s, uint32_t number, const char *host, size_t len)
{
	uint32_t n = s->ndemands, h = snap_hash(SNAP_HASH_SEED, host, len);

	for (uint32_t i = 0; i < n; i++) {
		const struct snap_demand *d = &s->demand[(h + i) & (n - 1)];
		const char *name = at_part(&s->parts[s->certs_part], d->name.off, d->name.len, 1, 1);

		if (d->cert == SNAP_NONE)
			return NULL;
		if (d->hash == h && d->site == number && d->name.len == len && name && memcmp(name, host, len) == 0)
			return d;
	}
	return NULL;
}

const struct snap_cert *snap_cert_by_host(const struct snap *s, const struct snap_site *site, const char *host, size_t len,
	const struct snap_demand **ret_demand)
{
	const struct snap_cert *own = site->cert ? snap_cert(s, site->cert - 1) : NULL;
	const struct snap_demand *d = NULL;

	if ((site->flags & SNAP_SITE_ON_DEMAND) && !(own && snap_cert_covers(s, own, host, len)))
		d = demand_find(s, site->number, host, len);
	if (d && !snap_cert(s, d->cert))
		d = NULL;
	if (ret_demand)
		*ret_demand = d;
	return d ? snap_cert(s, d->cert) : own;
}

const struct snap_upstream *snap_upstream(const struct snap *s, uint32_t i)
{
	return row(s, s->sites->upstreams, s->sites->nupstreams, i, sizeof(struct snap_upstream));
}

const struct snap_tcp *snap_tcp(const struct snap *s, uint32_t i)
{
	return row(s, s->sites->tcps, s->sites->ntcps, i, sizeof(struct snap_tcp));
}

const char *snap_str(const struct snap *s, struct snap_str str, size_t *ret_len)
{
	const char *p = at(s, str.off, (uint64_t)str.len + 1, 1, 1);

	if (!p || p[str.len] != 0) {
		if (ret_len)
			*ret_len = 0;
		return "";
	}
	if (ret_len)
		*ret_len = str.len;
	return p;
}

static bool str_equals(const struct snap *s, struct snap_str str, const char *p, size_t n)
{
	size_t len;
	const char *q;

	if (str.len != n)
		return false;
	q = snap_str(s, str, &len);
	return len == n && memcmp(p, q, n) == 0;
}

/* Looks up prefix + name; prefix is "" or "*.". Probes end at an empty place or after one round. */
static const struct snap_host *host_find(
	const struct snap *s, const char *prefix, const char *name, size_t len)
{
	uint32_t n = s->nhosts;
	size_t plen = strlen(prefix);
	uint32_t h = snap_hash(snap_hash(SNAP_HASH_SEED, prefix, plen), name, len);

	for (uint32_t i = 0; i < n; i++) {
		const struct snap_host *host = &s->host[(h + i) & (n - 1)];
		struct snap_str rest = {
			host->name.off + (uint32_t)plen, host->name.len - (uint32_t)plen};
		struct snap_str first = host->name;

		if (host->site == SNAP_NONE)
			return NULL;
		if (host->hash != h || host->name.len != plen + len ||
			!str_equals(s, rest, name, len))
			continue;
		if (plen && strncmp(snap_str(s, first, NULL), prefix, plen) != 0)
			continue;
		return host;
	}
	return NULL;
}

const struct snap_site *snap_site_by_host(
	const struct snap *s, const char *host, size_t len, uint32_t *ret_flags)
{
	const struct snap_host *found = NULL;
	const struct snap_site *site;

	if (len <= SNAP_NAME_MAX) {
		found = host_find(s, "", host, len);
		/* The longest wildcard first: each step drops one label from the left. */
		for (const char *dot = host; s->wildcards && !found &&
			(dot = memchr(dot, '.', (size_t)(host + len - dot)));) {
			dot++;
			found = host_find(s, "*.", dot, (size_t)(host + len - dot));
		}
	}
	site = found ? snap_site(s, found->site) : NULL;
	if (ret_flags)
		*ret_flags = site ? found->flags : 0;
	return site ? site : snap_site(s, s->sites->default_site);
}

const struct snap_site *snap_coming(const struct snap *s)
{
	return s->sites->coming ? snap_site(s, s->sites->coming - 1) : NULL;
}

const struct snap_route *snap_route(const struct snap *s, const struct snap_site *site, uint32_t i)
{
	return snap_item(s, site->routes, i, sizeof(struct snap_route));
}

static uint32_t index_of(const struct snap *s, const struct snap_site *site)
{
	return (uint32_t)(site - s->site);
}

static const struct snap_route *path_find(const struct snap *s, const struct snap_site *site,
	uint32_t h, uint32_t match, const char *path, size_t len)
{
	uint32_t n = s->npaths, number = index_of(s, site);

	for (uint32_t i = 0; i < n; i++) {
		const struct snap_path *p = &s->path[(h + i) & (n - 1)];
		const struct snap_route *r;

		if (p->site == SNAP_NONE)
			return NULL;
		if (p->hash != h || p->site != number || p->match != match)
			continue;
		r = snap_route(s, site, p->route);
		if (r && str_equals(s, r->path, path, len))
			return r;
	}
	return NULL;
}

/* The end of the segment before `len`: "/" is above everything; "/a" is above "/a/b" and not above
 * "/ab". UINT32_MAX: none is left. */
static uint32_t shorter(const char *path, uint32_t len)
{
	if (len <= 1)
		return UINT32_MAX;
	while (len > 1 && path[len - 1] != '/')
		len--;
	return len > 1 ? len - 1 : 1;
}

enum iter_state { ITER_EXACT = 0, ITER_PREFIX, ITER_END };

/* Hashes are of one pass over the path each; a site's longest path bounds them, so a long target
 * costs no more than a short one. */
static const struct snap_route *next_path(const struct snap *s, const struct snap_site *site,
	const char *path, size_t len, struct snap_route_iter *it)
{
	const struct snap_route *r = NULL;

	if (it->state == ITER_EXACT) {
		uint32_t h = snap_path_seed(index_of(s, site), SNAP_MATCH_EXACT);

		it->state = ITER_PREFIX;
		it->len = (uint32_t)len;
		while (it->len > site->path_max && it->len != UINT32_MAX)
			it->len = shorter(path, it->len);
		if (len <= site->path_max)
			r = path_find(
				s, site, snap_hash(h, path, len), SNAP_MATCH_EXACT, path, len);
	}
	while (!r && it->state == ITER_PREFIX && it->len != UINT32_MAX) {
		uint32_t n = it->len;

		it->len = shorter(path, n);
		/* "/a/" asks for what is below "/a". */
		if (n > 1 && path[n - 1] == '/')
			continue;
		r = path_find(s, site,
			snap_hash(snap_path_seed(index_of(s, site), SNAP_MATCH_PREFIX), path, n),
			SNAP_MATCH_PREFIX, path, n);
	}
	if (!r)
		it->state = ITER_END;
	return r;
}

const struct snap_route *snap_route_next(const struct snap *s, const struct snap_site *site,
	const char *path, size_t len, struct snap_route_iter *it)
{
	const struct snap_route *r = NULL;

	if (!site->paths || it->state == ITER_END)
		return NULL;
	/* Chains go forward only, so they end. */
	if (it->at && it->at->next != SNAP_NONE)
		r = snap_route(s, site, it->at->next);
	if (r && r <= it->at)
		r = NULL;
	if (!r)
		r = next_path(s, site, path, len, it);
	it->at = r;
	return r;
}
