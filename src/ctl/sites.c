/*
 * sites.c: the snapshot that the gates serve from, out of the effective configuration.
 *
 * Called by the up flow, reload and a respawned ctl. The parent keeps the descriptors and passes
 * them to every gate, now and at each respawn; the generation only grows, also over ctl's own
 * death.
 */
#include "sites.h"
#include "deploy.h"
#include "wants.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CLOUDFLARE_MAX = 256 };

static uint32_t ms32(uint64_t ms)
{
	return (uint32_t)min_of(ms, (uint64_t)UINT32_MAX);
}

/* PREFIX PATH: as the site's own route, but static. */
static struct snap_route static_route(struct site_build *b, const struct conf_app *conf, unsigned i)
{
	struct conf_route r = conf->routes[0];

	r.path = conf->statics[i].prefix;
	r.root = conf->statics[i].path;
	r.own_root = true;
	r.to = CONF_TO_STATIC;
	r.try_files = NULL;
	return sites_route(b, &r, (int)i);
}

/* Its own first: it is the fallback of all. */
static unsigned put_routes(
	struct site_build *b, const struct conf_app *conf, struct snap_route *all)
{
	unsigned n = 0;

	all[n++] = sites_route(b, &conf->routes[0], PUBLIC_ROOT);
	for (unsigned i = 1; i < conf->nroutes; i++)
		all[n++] = sites_route(b, &conf->routes[i], up_public_index(conf, i));
	for (unsigned i = 0; conf->statics && conf->statics[i].prefix; i++)
		all[n++] = static_route(b, conf, i);
	return n;
}

static struct snap_site limits_of(const struct site_build *b, const struct conf_app *conf)
{
	return (struct snap_site){
		.number = b->number,
		.head_max = ms32(conf->head_bytes_max),
		.header_timeout_ms = ms32(conf->header_timeout_ms),
		.idle_timeout_ms = ms32(conf->idle_timeout_ms),
		.rate_min = ms32(conf->rate_min),
		.queue = conf->queue,
		.queue_timeout_ms = ms32(conf->queue_timeout_ms),
	};
}

static void put_hosts(struct site_build *b, uint32_t site, const char *const *host, uint32_t flags)
{
	for (; host && *host; host++)
		snap_put_host(b->w, site, *host, flags);
}

static struct snap_list trusted(struct site_build *b, const struct conf_app *conf)
{
	unsigned n = conf->ntrusted, more = conf->trusts_cloudflare ? CLOUDFLARE_MAX : 0;
	struct conf_cidr *all = calloc(n + more + 1, sizeof *all);
	struct snap_list list = {0};

	b->no_memory |= !all;
	if (!all)
		return list;
	if (n)
		memcpy(all, conf->trusted, n * sizeof *all);
	if (more)
		n += cloudflare_networks(b->c, all + n, more);
	list = sites_networks(b, all, n);
	free(all);
	return list;
}

/* Maintenance= is a path of the site: below Root=, or below where its paths begin. */
static struct snap_str maintenance(struct site_build *b, const struct conf_app *conf)
{
	char path[CTL_PATH_MAX], root[CTL_PATH_MAX];
	int n;

	if (!conf->maintenance[0])
		return (struct snap_str){0};
	sites_folder(b, &conf->routes[0], PUBLIC_ROOT, root);
	n = snprintf(path, sizeof path, "%s/%s", root,
		conf->maintenance + strspn(conf->maintenance, "/"));
	return n > 0 && n < CTL_PATH_MAX ? snap_put_str(b->w, path) : (struct snap_str){0};
}

static void put_upstreams(struct site_build *b, const struct conf_app *conf)
{
	b->upstreams = 0;
	for (unsigned i = 0; i < conf->nupstreams; i++) {
		uint32_t at = sites_upstream(b, &conf->upstreams[i], conf);

		if (i == 0)
			b->upstreams = at;
	}
}

static void put_site(struct site_build *b, const struct conf_app *conf)
{
	unsigned most = conf->nroutes;
	struct snap_site site = limits_of(b, conf);
	struct snap_route *all;
	uint32_t at;

	for (unsigned i = 0; conf->statics && conf->statics[i].prefix; i++)
		most++;
	all = calloc(most, sizeof *all);
	b->no_memory |= !all;
	if (!all)
		return;
	b->scripts = conf->php.on;
	for (unsigned i = 0; i < conf->nupstreams; i++)
		b->scripts |= conf->upstreams[i].protocol == CONF_PROTOCOL_FASTCGI &&
			      conf->upstreams[i].index[0];
	site.name = snap_put_str(b->w, b->name);
	if (!b->hidden)
		metrics_name(b->c, METRICS_SITE, site.number, b->name);
	put_upstreams(b, conf);
	b->service = wants_role(conf) == PROC_SERVICE ? sites_service(b, conf) : SNAP_NONE;
	site.canonical =
		snap_put_str(b->w, conf->domains && conf->domains[0] ? conf->domains[0] : "");
	site.maintenance = maintenance(b, conf);
	site.flags = (maintenance_is(b->c, b->number) ? SNAP_SITE_MAINTENANCE : 0) |
		     (off_is(b->c, b->number) ? SNAP_SITE_STOPPED : 0);
	if (strcmp(conf->health, "/") != 0)
		site.health = snap_put_str(b->w, conf->health);
	site.trusted_proxies = trusted(b, conf);
	site.connections_max = conf->connections_per_address;
	site.proxy_protocol = sites_networks(b, conf->proxy_protocol, conf->nproxy_protocol);
	if (!b->hidden) {
		certs_put(b, conf, &site);
		demand_site_put(b, conf, &site);
	}
	b->nclient_cas = 0;
	most = put_routes(b, conf, all);
	site.client_cas = client_ca_list(b);
	at = snap_put_site(b->w, &site, all, most);
	b->nsites = at + 1;
	free(all);
	sites_cache_want(b, conf);
	if (b->hidden)
		return;
	put_hosts(b, at, conf->domains, 0);
	put_hosts(b, at, conf->aliases, SNAP_HOST_ALIAS);
	/* One without names answers to every other one; else the folder's own does. */
	if (!b->any_host && !conf->domains[0])
		b->any_host = true;
	else if (!b->own)
		return;
	b->default_site = at;
}

/* Of the first address that TLS is spoken at. */
static uint16_t https_port(const struct conf_app *conf)
{
	const char *colon = conf->listen_tls && conf->listen_tls[0] ? strrchr(conf->listen_tls[0], ':') : NULL;

	return colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
}

/* An app, with the site that is its own, if it has one. */
static void put_app(struct site_build *b, const struct app *a, const struct conf_app *conf)
{
	struct snap_app app = {.number = a->set, .workers = conf->workers, .threads = conf->threads};

	b->a = a;
	b->name = a->name;
	b->base = a->work;
	b->number = a->number;
	b->app = SNAP_NONE;
	app.name = snap_put_str(b->w, a->name);
	app.site = b->nsites;
	if (wants_role(conf) == PROC_WORKER)
		b->app = snap_put_app(b->w, &app);
	if (conf->serves)
		put_site(b, conf);
}

/* The folder's: it comes first, and says what holds for all. */
static void put_own(struct site_build *b, const struct sites_own *own)
{
	const struct conf_app *conf = own->conf;

	b->own = true;
	b->a = own->app;
	b->name = own->app->name;
	b->base = own->app->work;
	b->number = own->app->number;
	b->gates = conf->gates;
	b->https_port = b->c->certs.local.off && conf->listen_tls_default ? 0 : https_port(conf);
	sites_tcp(b, conf);
	put_app(b, own->app, conf);
	b->own = false;
}

/* A release that only ctl's probe is to see: without names, certificates and counters of its own. */
static void put_coming(struct site_build *b, const struct up *u)
{
	uint32_t site = b->nsites;

	b->hidden = true;
	put_app(b, &u->app, u->c);
	b->hidden = false;
	if (b->nsites > site)
		snap_put_coming(b->w, b->nsites - 1);
}

static void put_deployed(struct site_build *b)
{
	char why[256];

	for (const struct app *a = b->c->app.next; a; a = a->next) {
		struct conf *held = a->known ? effective_conf(b->c, a, why, sizeof why) : NULL;

		if (held)
			put_app(b, a, conf_app(held));
		else if (a->known)
			say(b->c, EV_STATE_ERROR, "what", a->name, "error", why, NULL);
		conf_free(held);
	}
	if (deploy_coming(b->c))
		put_coming(b, deploy_coming(b->c));
}

static void put_others(struct site_build *b, const struct sites_own *own)
{
	const struct site_list *sites = own->sites;
	char base[CTL_PATH_MAX], why[256];
	struct conf *defaults;

	if (!sites->n)
		return;
	b->a = own->app;
	effective_path(b->a, own->conf->sites, base);
	defaults = effective_site_defaults(b->c, b->a, base);
	b->no_memory |= !defaults;
	for (unsigned i = 0; defaults && i < sites->n; i++) {
		const struct site *s = sites->all[i];
		struct conf *held = effective_site(s, defaults, why, sizeof why);

		if (!held) {
			say(b->c, EV_STATE_ERROR, "what", s->file, "error", why, NULL);
			continue;
		}
		b->name = s->name;
		b->base = base;
		b->number = s->number;
		b->app = SNAP_NONE;
		put_site(b, conf_app(held));
		conf_free(held);
	}
	conf_free(defaults);
}

static int send_fds(
	struct ctl *c, struct snap_writer *w, uint64_t generation, uint32_t default_site, int cache)
{
	struct msg_snap m = {.generation = generation};
	int fds[SNAP_SEGMENTS_MAX + 2], err;
	struct stat st;
	unsigned n;

	err = snap_finish(w, generation, default_site, fds, &n);
	if (err)
		return err;
	demand_on_snap(c, fds, n);
	m.segments = n - 1;
	c->snap_bytes = 0;
	for (unsigned i = 0; i < n; i++)
		c->snap_bytes += fstat(fds[i], &st) == 0 ? (uint64_t)st.st_size : 0;
	m.cache = cache >= 0;
	fds[n] = cache;
	err = parent_send(c, MSG_SNAP, 0, &m, sizeof m, NULL, 0, fds, n + m.cache);
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
	return err;
}

int sites_send(struct ctl *c, const struct sites_own *own)
{
	struct site_build b = {.c = c, .a = own->app, .w = snap_writer_new(), .default_site = SNAP_NONE};
	uint64_t generation = c->snap_generation + 1;
	bool mine;
	int err = b.w ? state_begin(c, &mine) : -ENOMEM;

	if (err) {
		snap_writer_free(b.w);
		return err;
	}
	acme_begin(&b, own->conf);
	local_begin(&b, own->conf);
	put_own(&b, own);
	put_deployed(&b);
	put_others(&b, own);
	acme_end(&b);
	/* Kept, so that a ctl which comes after this one never gives the same number again. */
	err = b.no_memory ? -ENOMEM : state_meta_set(c, "snapshot", generation);
	err = state_end(c, mine, err);
	/* Keys has them before a gate can ask. */
	if (err == 0)
		err = certs_send_vault(&b);
	if (err == 0)
		err = send_fds(c, b.w, generation, b.default_site,
			sites_cache(c, b.cache_bytes, b.cache_disk));
	if (err == 0)
		c->snap_generation = generation;
	certs_done(&b);
	snap_writer_free(b.w);
	if (err == 0)
		local_end(&b);
	return err;
}

int sites_again(struct ctl *c)
{
	const struct up *u = c->up;
	char why[128];
	struct conf *conf;
	int err;

	if (u && u->snap_sent && !u->failing)
		return sites_send(c, &(struct sites_own){&u->app, u->c, &u->sites});
	conf = effective_conf(c, &c->app, why, sizeof why);
	err = conf ? sites_send(c, &(struct sites_own){&c->app, conf_app(conf), &c->sites}) : -ENOMEM;
	conf_free(conf);
	return err;
}

bool sites_loaded(const struct ctl *c)
{
	for (unsigned i = 0; i < c->start.gates; i++)
		if (c->gate[i].loaded != c->snap_generation)
			return false;
	return c->snap_generation != 0;
}
