/*
 * sites.h: between sites.c and the other files of the snapshot's making only.
 */
#ifndef STEAD_CTL_SITES_H
#define STEAD_CTL_SITES_H

#include "ctl.h"
#include "snap/snap.h"

struct site_build {
	struct ctl *c;
	const struct app *a;
	struct snap_writer *w;
	bool no_memory;
	/* of the site in work */
	const char *name;    /* its own */
	const char *base;    /* where its paths begin: the app's folder, or that of Sites= */
	uint32_t number;
	bool own;            /* it is the folder's */
	uint32_t app;        /* index of its app on the link, or SNAP_NONE */
	uint32_t nsites;     /* so many are put */
	bool hidden;         /* it is a release that nobody but ctl sees */
	uint32_t upstreams;  /* index of its first upstream */
	bool scripts;        /* of the site are run somewhere */
	const char *const *client_ca_of[SNAP_CLIENT_CAS_MAX]; /* what each was made of */
	struct snap_client_ca client_ca[SNAP_CLIENT_CAS_MAX];
	unsigned nclient_cas;
	uint32_t service;    /* the upstream that its app is, or SNAP_NONE */
	/* of all */
	unsigned gates;
	uint32_t default_site;
	bool any_host; /* … answers to every host name */
	uint64_t cache_bytes, cache_disk;
	uint16_t https_port; /* where gates speak TLS; 0: nowhere */
	struct vault_key *keys; /* sealed, of all certificates */
	size_t keys_n;
};
/* certs.c: the site's certificate, and what hangs on it. */
void certs_put(struct site_build *b, const struct conf_app *conf, struct snap_site *site);
/* Bytes of a value in base64, to be freed; NULL: it is none, or there is no memory. */
void *certs_decode(const char *text, size_t *ret_n);
/* client_ca.c: the route's list, put once; its number, or 0. Then all of the site in work. */
uint32_t client_ca_put(struct site_build *b, const struct conf_route *r);
struct snap_list client_ca_list(struct site_build *b);
/* That key too; a copy. False: there is no memory. */
bool certs_put_key(struct site_build *b, const uint8_t id[32], const void *box, size_t n);
/* Such a one and its key; *ret is its index + 1. False: there is no memory. */
bool certs_put_stored(struct site_build *b, const struct stored_cert *s, uint32_t *ret);
/* What of the configuration is about TLS, for a site that has a certificate. */
void certs_speak(struct site_build *b, const struct conf_app *conf, struct snap_site *site);
/* The same, and what becomes of requests in the clear. */
void certs_serve(struct site_build *b, const struct conf_app *conf, struct snap_site *site, bool trusted);
/* The keys of all that were put, to the parent, when they are not those that it has. 0 or -errno. */
int certs_send_vault(struct site_build *b);
void certs_done(struct site_build *b);

/* public_index: as root, where the copy of its Root= lies (up_public_path()). */
struct snap_route sites_route(struct site_build *b, const struct conf_route *r, int public_index);
/* Its Root= as the gates see it: as root only published copies are seen. */
void sites_folder(struct site_build *b, const struct conf_route *r, int public_index, char ret[static CTL_PATH_MAX]);
struct snap_list sites_networks(struct site_build *b, const struct conf_cidr *from, unsigned n);
/* cloudflare.c: at most max. How many. */
unsigned cloudflare_networks(struct ctl *c, struct conf_cidr *ret, unsigned max);
/* Its index. */
uint32_t sites_upstream(struct site_build *b, const struct conf_upstream *u, const struct conf_app *conf);
/* With these bounds; its index. */
uint32_t sites_upstream_timed(struct site_build *b, const struct conf_upstream *u, unsigned queue,
	uint64_t queue_timeout_ms, uint64_t timeout_ms);
/* The upstream whose servers are the runs of the app's program; its index. */
uint32_t sites_service(struct site_build *b, const struct conf_app *conf);
/* sites_cache.c: the cache's region, kept; -1: there is none. */
int sites_cache(struct ctl *c, uint64_t bytes, uint64_t disk);
/* The larger of what it wants and what others want. */
void sites_cache_want(struct site_build *b, const struct conf_app *conf);
/* sites_tcp.c: [Tcp] */
void sites_tcp(struct site_build *b, const struct conf_app *conf);

#endif
