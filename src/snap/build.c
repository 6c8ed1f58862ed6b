/*
 * build.c: the builder of snapshots; see snap.h. Called by ctl only. Owns nothing after it returns
 * but the descriptors it hands out. Never takes input that it cannot represent: what a reader could
 * misread is refused here.
 */
#include "snap_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/must.h"
#include "lib/sys.h"

/* Arrays of fixed size are appended first, strings behind them; a struct is filled in by its offset
 * because appending may move the memory. */
struct build {
	struct buf b;
	int err;
};

static uint32_t reserve(struct build *w, size_t bytes)
{
	static const char zeroes[8];
	uint32_t off;

	buf_put(&w->b, zeroes, (8 - w->b.len % 8) % 8);
	off = (uint32_t)w->b.len;
	for (char *room = buf_room(&w->b, bytes); room; room = NULL) {
		memset(room, 0, bytes);
		buf_grew(&w->b, bytes);
	}
	return off;
}

/* Copy a filled struct to its reserved place. */
static void place(struct build *w, uint32_t off, const void *p, size_t n)
{
	if (!w->b.error)
		memcpy(w->b.p + off, p, n);
}

static struct snap_str put_str(struct build *w, const char *s, size_t n)
{
	struct snap_str str = {(uint32_t)w->b.len, (uint32_t)n};

	if (n > SNAP_STRING_MAX) {
		w->err = -ENAMETOOLONG;
		return (struct snap_str){0};
	}
	buf_put(&w->b, s, n);
	buf_putc(&w->b, 0);
	return str;
}

static struct snap_str put_text(struct build *w, const char *s)
{
	return put_str(w, s ? s : "", s ? strlen(s) : 0);
}

/* A prefix's slash at the end says nothing: "/static/" is "/static". */
static size_t route_len(const struct snap_route_in *r)
{
	size_t n = strlen(r->path);

	while (r->match == SNAP_MATCH_PREFIX && n > 1 && r->path[n - 1] == '/')
		n--;
	return n;
}

/* Exact ones first, then by falling length; equal ones stay in their order. */
static bool route_before(const struct snap_route_in *a, const struct snap_route_in *b)
{
	if (a->match != b->match)
		return a->match == SNAP_MATCH_EXACT;
	return a->match == SNAP_MATCH_PREFIX && route_len(a) > route_len(b);
}

static void put_routes(
	struct build *w, const struct snap_site_in *in, unsigned napps, struct snap_site *site)
{
	const struct snap_route_in **order = calloc(in->nroutes + 1, sizeof *order);

	if (!order) {
		w->err = -ENOMEM;
		return;
	}
	for (unsigned i = 0; i < in->nroutes; i++) {
		unsigned at = i;

		for (; at > 0 && route_before(&in->routes[i], order[at - 1]); at--)
			order[at] = order[at - 1];
		order[at] = &in->routes[i];
	}
	site->routes = reserve(w, in->nroutes * sizeof(struct snap_route));
	site->nroutes = in->nroutes;
	for (unsigned i = 0; i < in->nroutes; i++) {
		const struct snap_route_in *r = order[i];
		struct snap_route out = {.match = r->match, .to = r->to, .app = r->app};
		bool app = r->to == SNAP_TO_APP;

		if (r->path[0] != '/' || (app ? r->app >= napps : r->app != UINT32_MAX) ||
			(!app && (!r->root || r->root[0] != '/')) ||
			(r->match != SNAP_MATCH_EXACT && r->match != SNAP_MATCH_PREFIX))
			w->err = -EINVAL;
		out.path = put_str(w, r->path, route_len(r));
		out.root = put_text(w, r->root);
		out.index = put_text(w, r->index);
		place(w, site->routes + i * (uint32_t)sizeof out, &out, sizeof out);
	}
	free(order);
}

static void put_error_pages(struct build *w, const struct snap_site_in *in, struct snap_site *site)
{
	site->error_pages = reserve(w, in->nerror_pages * sizeof(struct snap_error_page));
	site->nerror_pages = in->nerror_pages;
	for (unsigned i = 0; i < in->nerror_pages; i++) {
		struct snap_error_page page = {.status = in->error_pages[i].status};

		page.file = put_text(w, in->error_pages[i].file);
		place(w, site->error_pages + i * (uint32_t)sizeof page, &page, sizeof page);
	}
}

static void put_sites(struct build *w, const struct snap_in *in, struct snap_sites *head)
{
	head->sites = reserve(w, in->nsites * sizeof(struct snap_site));
	head->nsites = in->nsites;
	for (unsigned i = 0; i < in->nsites; i++) {
		struct snap_site site = in->sites[i].limits;

		site.name = put_text(w, in->sites[i].name);
		put_routes(w, &in->sites[i], in->napps, &site);
		put_error_pages(w, &in->sites[i], &site);
		place(w, head->sites + i * (uint32_t)sizeof site, &site, sizeof site);
	}
}

static void put_apps(struct build *w, const struct snap_in *in, struct snap_sites *head)
{
	head->apps = reserve(w, in->napps * sizeof(struct snap_app));
	head->napps = in->napps;
	for (unsigned i = 0; i < in->napps; i++) {
		const struct snap_app_in *a = &in->apps[i];
		struct snap_app out = {.number = a->number,
			.workers = a->workers,
			.threads = a->threads,
			.site = a->site};

		if (a->site >= in->nsites)
			w->err = -EINVAL;
		out.name = put_text(w, a->name);
		place(w, head->apps + i * (uint32_t)sizeof out, &out, sizeof out);
	}
}

static void lower(char *to, const char *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (char)(from[i] >= 'A' && from[i] <= 'Z' ? from[i] + ('a' - 'A') : from[i]);
}

static void put_host(
	struct build *w, const struct snap_sites *head, const char *name, uint32_t site)
{
	struct snap_host host = {.site = site}, old;
	char text[SNAP_NAME_MAX];
	size_t n = strlen(name);
	uint32_t i, at = head->hosts;

	if (n == 0 || n > sizeof text) {
		w->err = -EINVAL;
		return;
	}
	lower(text, name, n);
	host.hash = snap_hash(SNAP_HASH_SEED, text, n);
	host.name = put_str(w, text, n);
	if (w->b.error)
		return;
	for (i = host.hash & (head->nhosts - 1);; i = (i + 1) & (head->nhosts - 1)) {
		at = head->hosts + i * (uint32_t)sizeof host;
		memcpy(&old, w->b.p + at, sizeof old);
		if (old.site == UINT32_MAX)
			break;
		/* A host that two sites claim stays with the first. */
		if (old.hash == host.hash && old.name.len == n &&
			memcmp(w->b.p + old.name.off, text, n) == 0)
			return;
	}
	place(w, at, &host, sizeof host);
}

static void put_hosts(struct build *w, const struct snap_in *in, struct snap_sites *head)
{
	const struct snap_host empty = {.site = UINT32_MAX};
	size_t n = 0;

	for (unsigned i = 0; i < in->nsites; i++)
		n += in->sites[i].nhosts;
	if (n > SNAP_HOSTS_MAX) {
		w->err = -E2BIG;
		return;
	}
	/* At most half full, so probes stay short and always meet an empty place. */
	for (head->nhosts = 4; head->nhosts < n * 2;)
		head->nhosts *= 2;
	head->hosts = reserve(w, head->nhosts * sizeof empty);
	for (uint32_t i = 0; i < head->nhosts; i++)
		place(w, head->hosts + i * (uint32_t)sizeof empty, &empty, sizeof empty);
	for (unsigned i = 0; i < in->nsites && !w->err; i++)
		for (unsigned k = 0; k < in->sites[i].nhosts; k++)
			put_host(w, head, in->sites[i].hosts[k], i);
}

static int build_sites(const struct snap_in *in, struct buf *ret_segment)
{
	struct build w = {0};
	struct snap_sites head = {
		.head = {.magic = SNAP_MAGIC, .version = SNAP_VERSION, .kind = SNAP_SITES},
		.default_site = in->default_site,
	};

	if (in->default_site != UINT32_MAX && in->default_site >= in->nsites)
		return -EINVAL;
	buf_init(&w.b, SNAP_SEGMENT_BYTES_MAX);
	(void)reserve(&w, sizeof head);
	put_sites(&w, in, &head);
	put_apps(&w, in, &head);
	put_hosts(&w, in, &head);
	place(&w, 0, &head, sizeof head);
	if (!w.err)
		w.err = w.b.error;
	if (w.err)
		buf_done(&w.b);
	else
		*ret_segment = w.b;
	return w.err;
}

int snap_build(const struct snap_in *in, int *ret_fds, unsigned *ret_nfds)
{
	struct {
		struct snap_root root;
		struct snap_segref seg;
	} top = {.root = {.magic = SNAP_MAGIC,
			 .version = SNAP_VERSION,
			 .segments = 1,
			 .generation = in->generation}};
	struct buf segment;
	int fds[2], err;

	err = build_sites(in, &segment);
	if (err)
		return err;
	top.seg = (struct snap_segref){.kind = SNAP_SITES,
		.bytes = segment.len,
		.checksum = sys_checksum(segment.p, segment.len)};
	top.root.checksum = sys_checksum(&top, sizeof top);
	err = sys_memfd_sealed("stead-sites", segment.p, segment.len, &fds[1]);
	buf_done(&segment);
	if (err)
		return err;
	err = sys_memfd_sealed("stead-root", &top, sizeof top, &fds[0]);
	if (err) {
		close(fds[1]);
		return err;
	}
	ret_fds[0] = fds[0];
	ret_fds[1] = fds[1];
	*ret_nfds = 2;
	return 0;
}
