/*
 * snap.h: what a serving process needs to know, compiled by ctl and mapped read-only by the gates.
 *
 * A snapshot is one root memfd and its segments, all fully sealed and position-independent: references
 * are u32 offsets from the segment's start. The root names each segment's kind, size and checksum.
 * Loading checks seals, headers, sizes and checksums; a damaged part refuses the whole and the caller
 * keeps what it has. Accessors check bounds all the same: what another process wrote is input. The
 * reader never parses, allocates only its small struct snap, and holds no pointer into a snapshot that
 * it does not hold a reference of.
 */
#ifndef STEAD_SNAP_SNAP_H
#define STEAD_SNAP_SNAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SNAP_MAGIC 0x31504e5344545331ull
enum { SNAP_VERSION = 10, SNAP_SEGMENTS_MAX = 32 };
enum snap_kind { SNAP_SITES = 1, SNAP_CERTS = 2, SNAP_ZONE = 3 };

struct snap_str {
	uint32_t off, len;
};
struct snap_segref {
	uint32_t kind, id;
	uint64_t bytes, checksum;
};
struct snap_root {
	uint64_t magic;
	uint32_t version, segments;
	uint64_t generation;
	uint64_t checksum; /* of the root's bytes with this field 0 */
	struct snap_segref seg[];
};
struct snap_seg_head {
	uint64_t magic;
	uint32_t version, kind;
};

/* An array in the same segment; the element's type stands beside each. */
struct snap_list {
	uint32_t off, n;
};
enum { SNAP_NONE = UINT32_MAX };

/* ---- what a route says ---- */
enum snap_match { SNAP_MATCH_EXACT = 1, SNAP_MATCH_PREFIX = 2, SNAP_MATCH_REGEX = 3 };
enum snap_to { SNAP_TO_NONE = 0, SNAP_TO_APP = 1, SNAP_TO_STATIC = 2, SNAP_TO_UPSTREAM = 3 };
enum snap_access { SNAP_ACCESS_OFF = 0, SNAP_ACCESS_JSON = 1, SNAP_ACCESS_COMBINED = 2, SNAP_ACCESS_FORMAT = 3 };
enum snap_header_do { SNAP_HEADER_SET = 1, SNAP_HEADER_ADD = 2, SNAP_HEADER_REMOVE = 3 };
enum snap_rate_by { SNAP_RATE_OFF = 0, SNAP_RATE_ADDRESS = 1, SNAP_RATE_SITE = 2, SNAP_RATE_HEADER = 3 };
enum snap_route_flag {
	SNAP_ROUTE_STRIP = 1,       /* to upstream or app: without the route's path */
	SNAP_ROUTE_LISTING = 2,     /* a folder without index is listed */
	SNAP_ROUTE_COMPRESS = 4,
	SNAP_ROUTE_BODY_BUFFER = 8, /* the request's body is received whole before an upstream or app sees it */
	SNAP_ROUTE_ALLOW = 16,      /* there is an allow list, also when it is empty: nobody else */
	SNAP_ROUTE_NO_SOURCE = 32,  /* the site runs scripts: their source is no file to serve */
	SNAP_ROUTE_SCRIPTS = 64,    /* to an upstream that runs the scripts below `root`, which is not stripped of `path` but by STRIP */
	SNAP_ROUTE_WHOLE = 128,     /* its folder is the site's: a file lies there by the whole path */
	SNAP_ROUTE_CLIENT_OPTIONAL = 256, /* a client need not have a certificate */
};
/* Which of a route's rules are there at all: what is not costs a request one test for all of them. */
enum snap_rule {
	SNAP_RULE_ACCESS = 1, /* allow, deny */
	SNAP_RULE_RATE = 2,
	SNAP_RULE_USERS = 4,
	SNAP_RULE_FORWARD_AUTH = 8,
	SNAP_RULE_REDIRECT = 16,
	SNAP_RULE_REWRITE = 32,
	SNAP_RULE_HEADERS = 64,
	SNAP_RULE_BODY_MAX = 128,
	SNAP_RULE_SCRIPTS = 256,
	SNAP_RULE_TRY_FILES = 512,
	SNAP_RULE_CACHE = 1024,
	SNAP_RULE_CLIENT = 2048, /* some route of the site asks for certificates */
};
struct snap_header {
	uint32_t response;    /* 0: of the request */
	uint32_t act;         /* enum snap_header_do */
	struct snap_str name; /* lower case */
	struct snap_str value;
};
/* EXACT: `from` is a path. PREFIX (PATH* in the configuration): `from` is without its star, and a `to` that
 * ends with '*' gets the rest there. REGEX: `from` without its ~, `to` with $1 … $9. */
struct snap_redirect {
	uint32_t status, match;
	struct snap_str from, to;
};
struct snap_rewrite {
	struct snap_str regex, to;
};
struct snap_error_page {
	uint32_t status, pad;
	struct snap_str file; /* as `root` */
};
/* A network; IPv4 in its mapped form (::ffff:a.b.c.d, bits + 96). */
struct snap_cidr {
	uint8_t address[16];
	uint32_t bits;
};
struct snap_user {
	struct snap_str name, hash; /* of crypt(3) */
};
/* Who may vouch for clients' certificates; with none in it nobody. */
struct snap_client_ca {
	struct snap_list certs; /* struct snap_str: DER */
};
enum { SNAP_CLIENT_CAS_MAX = 9 }; /* of a site */
struct snap_rate {
	uint32_t by;            /* enum snap_rate_by */
	uint32_t burst;
	uint32_t per_s_milli;   /* requests a second, times 1000 */
	uint32_t number;        /* of this limit: stable while the route stands */
	struct snap_str header; /* lower case */
};
struct snap_route {
	uint32_t match;       /* enum snap_match */
	uint32_t to;          /* enum snap_to */
	struct snap_str path; /* "/" is the site's own route; a prefix matches at a segment's end only */
	uint32_t next;        /* the site's next route of the same path (other methods, other header); SNAP_NONE */
	uint32_t methods;     /* bit per enum method of the gate's (1 << METHOD_…); 0: all */
	struct snap_str match_header, match_value; /* name in lower case; "" none; value "": any */
	uint32_t app;         /* index into apps, or SNAP_NONE */
	uint32_t upstream;    /* index into upstreams, or SNAP_NONE */
	uint32_t flags;       /* enum snap_route_flag */
	uint32_t access;      /* enum snap_access */
	struct snap_str access_format;
	struct snap_str root; /* static: folder (absolute; as root: below the gate's root); stripped of `path` */
	struct snap_list index;       /* struct snap_str */
	struct snap_list try_files;   /* struct snap_str: paths with $uri; the last "=CODE" or the handler of `to` */
	struct snap_list headers;     /* struct snap_header */
	struct snap_list redirects;   /* struct snap_redirect */
	struct snap_list rewrites;    /* struct snap_rewrite */
	struct snap_list error_pages; /* struct snap_error_page */
	struct snap_list allow, deny; /* struct snap_cidr */
	struct snap_list users;       /* struct snap_user; BasicAuth */
	struct snap_list rates;       /* struct snap_rate */
	uint32_t auth_upstream;       /* ForwardAuth: index into upstreams, or SNAP_NONE */
	struct snap_str auth_path;
	uint32_t request_timeout_ms;
	uint32_t rules;               /* enum snap_rule; filled in by snap_put_site() */
	uint32_t client_ca;           /* who vouches for clients: index into the site's client_cas + 1; 0: they are not asked */
	uint64_t body_max;            /* 0: no bound */
	uint64_t cache_bytes;         /* 0: no cache */
};

/* ---- where requests are passed to ---- */
enum snap_protocol { SNAP_PROTO_HTTP = 1, SNAP_PROTO_FASTCGI = 2, SNAP_PROTO_UWSGI = 3, SNAP_PROTO_TCP = 4 };
enum snap_balance { SNAP_BALANCE_ROUND_ROBIN = 1, SNAP_BALANCE_LEAST = 2, SNAP_BALANCE_HASH = 3 };
enum snap_server_kind { SNAP_SERVER_ADDRESS = 1, SNAP_SERVER_UNIX = 2, SNAP_SERVER_NAME = 3 };
enum snap_upstream_flag {
	SNAP_UPSTREAM_TLS = 1,
	SNAP_UPSTREAM_TLS_VERIFY = 2,
	SNAP_UPSTREAM_SCARCE = 4, /* a server takes fewer connections than there are gates */
};
struct snap_server {
	uint32_t kind;       /* enum snap_server_kind */
	uint32_t weight;     /* 1 … 1000 */
	uint8_t address[16]; /* ADDRESS: IPv4 in its mapped form */
	uint16_t port, pad;
	uint32_t number;     /* stable while the server stands in the configuration: the resolver's key */
	struct snap_str name; /* UNIX: the path; NAME: host to resolve; ADDRESS: as text. Host: of requests is the client's */
};
struct snap_upstream {
	struct snap_str name; /* unique in the snapshot ("SITE/NAME"): state is kept by it over reloads */
	uint32_t number;      /* row in the counters page; stable */
	uint32_t protocol;    /* enum snap_protocol */
	uint32_t balance;     /* enum snap_balance */
	uint32_t flags;       /* enum snap_upstream_flag */
	struct snap_list servers; /* struct snap_server */
	struct snap_str sticky;   /* the cookie's name; "" none */
	struct snap_str check;    /* active probe: path; "" none (TCP: any text means connect) */
	struct snap_str root;     /* FastCGI: DOCUMENT_ROOT as the backend sees it; "": as the route's root */
	struct snap_str index;    /* FastCGI: index.php; "": the backend runs no scripts */
	uint32_t check_ms, fail_max, retry, keep_alive, slow_start_ms;
	uint32_t connections_max; /* of one gate to one server; 0: no bound */
	uint32_t idle_ms;         /* a kept connection that nobody uses; 0: the gate's own */
	uint32_t queue, queue_timeout_ms, timeout_ms; /* timeout: connect, and between two bytes of an answer's head */
	uint8_t sticky_key[16];   /* secret, the same for all gates and over restarts: keys the cookie's value */
	uint32_t app;             /* its servers are the runs of a program that stead runs (msg_service.app); 0: those of the list */
	uint32_t pad;
};
/* A [Tcp NAME]: what comes to its listener goes to its upstream. */
struct snap_tcp {
	struct snap_str name;
	uint32_t listener; /* msg_listener.listener */
	uint32_t upstream;
	uint32_t idle_ms;
	uint32_t send_proxy; /* version of the PROXY header that servers get; 0: none */
};

enum snap_site_flag {
	SNAP_SITE_MAINTENANCE = 1,   /* unless OVERLAY said otherwise since */
	SNAP_SITE_HTTP_REDIRECT = 2, /* what comes unencrypted is sent to https */
	SNAP_SITE_HTTP_OFF = 4,      /* … is refused */
	SNAP_SITE_NO_HTTP1 = 8,      /* not spoken over TLS */
	SNAP_SITE_NO_HTTP2 = 16,
	SNAP_SITE_STOPPED = 32, /* the same as of maintenance */
	SNAP_SITE_ON_DEMAND = 64, /* certificates are got for names that it has no certificate for */
	SNAP_SITE_NO_KERNEL_TLS = 128, /* the gate makes the records of its connections, also where the kernel could */
};
struct snap_site {
	struct snap_str name;
	uint32_t number;      /* row in the counters page; stable while the site lives */
	struct snap_list routes;  /* struct snap_route; [0] is the site's own, the fallback of all */
	struct snap_list regexes; /* uint32_t: those of `routes` that are regular expressions, in file order */
	uint32_t path_max;        /* bytes of the longest path among exact and prefix routes but [0] */
	uint32_t paths;           /* how many exact and prefix routes but [0] */
	uint32_t head_max;
	uint32_t header_timeout_ms, idle_timeout_ms;
	uint32_t rate_min;    /* bytes/s */
	uint32_t queue, queue_timeout_ms;
	uint32_t connections_max; /* of one address; 0: no bound */
	struct snap_str canonical;         /* Domain='s first; "" none */
	struct snap_list trusted_proxies;  /* struct snap_cidr */
	struct snap_list proxy_protocol;   /* struct snap_cidr: who must begin with a PROXY header */
	struct snap_str maintenance;       /* a page of its own, as `root`; "" built in */
	struct snap_list client_cas;       /* struct snap_client_ca: of all its routes */
	struct snap_str health;            /* answered also in maintenance, and with room in a full queue; "" none */
	uint64_t cache_disk;
	uint32_t flags;       /* enum snap_site_flag */
	uint32_t cert;        /* index of its certificate + 1; 0: it is not served over TLS */
	uint32_t hsts_s;      /* Strict-Transport-Security; 0: none */
	uint16_t https_port;  /* where it is redirected to */
	uint16_t pad;
};
struct snap_app {
	uint32_t number;      /* msg_worker.app */
	uint32_t workers, threads;
	uint32_t site;        /* index of its site */
	struct snap_str name;
};
enum snap_host_flag { SNAP_HOST_ALIAS = 1 }; /* answered with 308 to the site's canonical name */
struct snap_host {
	uint32_t hash, site;  /* site SNAP_NONE: empty */
	uint32_t flags;
	struct snap_str name; /* lower case; "*.example.org" for a wildcard */
};
/* Exact and prefix routes of all sites by (site, match, path): found by one probe each. */
struct snap_path {
	uint32_t hash, site, route; /* site SNAP_NONE: empty; route: index in the site's routes */
	uint32_t match;
};
struct snap_sites {
	struct snap_seg_head head;
	uint32_t hosts, nhosts; /* open-addressed tables, sizes are powers of two */
	uint32_t paths, npaths;
	uint32_t sites, nsites;
	uint32_t apps, napps;
	uint32_t upstreams, nupstreams;
	uint32_t tcps, ntcps;
	uint32_t default_site;  /* SNAP_NONE: none */
	uint32_t coming;        /* index + 1 of the site that ctl's probe is answered by, before it is anybody's; 0: none */
};

/* The certificates: a segment of their own, which is there when there is one. */
struct snap_cert {
	uint8_t id[32];  /* SHA-256 of all of its chain: what has been read of it holds for every snapshot with it */
	uint8_t key[32]; /* SHA-256 of its SubjectPublicKeyInfo: the key's name at keys */
	uint64_t not_after_s; /* since 1970 */
	uint32_t chain, chain_n; /* struct snap_str: DER, its own first */
	struct snap_str names;   /* host names and addresses that it is for: lower case, one blank between them */
};
/* A name of a site with SNAP_SITE_ON_DEMAND that has a certificate of its own. It says nothing of where requests go. */
struct snap_demand {
	uint32_t hash, cert; /* cert SNAP_NONE: empty */
	uint32_t site, pad;  /* the site's number */
	uint64_t tell_s;     /* from then on whoever uses it tells, for it is renewed if somebody does */
	struct snap_str name;
};
struct snap_certs {
	struct snap_seg_head head;
	uint32_t certs, ncerts;
	uint32_t demands, ndemands; /* an open-addressed table, its size is a power of two */
};

/* ---- reader ---- */
struct snap;
/* Takes nothing: the descriptors stay the caller's and may be closed afterwards. One reference is the
 * caller's. -EBADMSG damaged, -EPERM not sealed, -EPROTONOSUPPORT another version, -ENOMEM. */
int snap_load(const int *fds, unsigned nfds, struct snap **ret_snap);
struct snap *snap_ref(struct snap *s);
void snap_unref(struct snap *s);
uint64_t snap_generation(const struct snap *s);
unsigned snap_nsites(const struct snap *s);
unsigned snap_napps(const struct snap *s);
/* What ctl's probe is answered by; NULL: the site that it names. */
const struct snap_site *snap_coming(const struct snap *s);
unsigned snap_nupstreams(const struct snap *s);
unsigned snap_ntcps(const struct snap *s);
/* NULL when out of bounds. */
const struct snap_site *snap_site(const struct snap *s, uint32_t i);
const struct snap_app *snap_app(const struct snap *s, uint32_t i);
const struct snap_upstream *snap_upstream(const struct snap *s, uint32_t i);
const struct snap_tcp *snap_tcp(const struct snap *s, uint32_t i);
const struct snap_cert *snap_cert(const struct snap *s, uint32_t i);
unsigned snap_ncerts(const struct snap *s);
/* One of its chain. NULL: there are no more. */
const uint8_t *snap_cert_der(const struct snap *s, const struct snap_cert *cert, uint32_t i, size_t *ret_n);
/* Is it for that host (lower case, without port)? */
bool snap_cert_covers(const struct snap *s, const struct snap_cert *cert, const char *host, size_t len);
/* The certificate for that host of that site: the site's own where that is for it, or is all there is; else one that was got
 * for this name. NULL: none. ret_demand (may be NULL): its row when it is of the latter kind, else NULL. */
const struct snap_cert *snap_cert_by_host(const struct snap *s, const struct snap_site *site, const char *host, size_t len,
	const struct snap_demand **ret_demand);
/* exact > wildcard > default; NULL when there is none. host: lower case without port. ret_flags (may be
 * NULL): enum snap_host_flag of the name that matched, 0 for the default site. */
const struct snap_site *snap_site_by_host(const struct snap *s, const char *host, size_t len, uint32_t *ret_flags);
/*
 * Routes whose path matches, best first: exact path, then prefixes from the longest, each with its
 * `next` chain. Begins with *it zeroed; NULL: no more (regexes and route 0 are the caller's to try
 * then). Costs one probe for each segment of the path, however many routes there are.
 */
struct snap_route_iter {
	uint32_t len;   /* the prefix to try next */
	uint32_t state; /* private */
	const struct snap_route *at;
};
const struct snap_route *snap_route_next(const struct snap *s, const struct snap_site *site, const char *path,
	size_t len, struct snap_route_iter *it);
const struct snap_route *snap_route(const struct snap *s, const struct snap_site *site, uint32_t i);
/* Element i of a list of elements of that size; NULL when out of bounds. */
const void *snap_item(const struct snap *s, struct snap_list list, uint32_t i, size_t size);
/* The bytes of a string, NUL-terminated; "" and length 0 when it is out of bounds. */
const char *snap_str(const struct snap *s, struct snap_str str, size_t *ret_len);

/*
 * ---- builder (ctl, tests) ----
 * Strings and lists first: their references go into the structs that are put then. Errors are kept and
 * told by snap_finish(): -ENOMEM; -ENAMETOOLONG; -E2BIG; -EINVAL for what a reader could misread (a
 * route's path without '/', an index that names nothing, an unknown enum value).
 */
struct snap_writer;
struct snap_writer *snap_writer_new(void);
void snap_writer_free(struct snap_writer *w);
struct snap_str snap_put_str(struct snap_writer *w, const char *s); /* NULL is "" */
struct snap_str snap_put_bytes(struct snap_writer *w, const void *p, size_t n);
struct snap_list snap_put_list(struct snap_writer *w, const void *items, size_t size, unsigned n);
/* Each returns the index. An app names its site by the index that the site will get. */
uint32_t snap_put_app(struct snap_writer *w, const struct snap_app *app);
uint32_t snap_put_upstream(struct snap_writer *w, const struct snap_upstream *up);
uint32_t snap_put_tcp(struct snap_writer *w, const struct snap_tcp *tcp);
/* `der` are its chain's, its own first; `names` as in struct snap_cert, NULL is ""; `id`, `key` and not_after_s
 * too. */
uint32_t snap_put_cert(struct snap_writer *w, const struct snap_cert *cert, const void *const *der, const size_t *der_n,
	unsigned n, const char *names);
/* For that name of a site with that number; cert is an index. One that is put twice stays the first. */
void snap_put_demand(struct snap_writer *w, uint32_t number, const char *name, uint32_t cert, uint64_t tell_s);
/* A site with its routes; routes[0] is its own. `regexes`, `next`, `rules`, `path_max` and `paths` are
 * filled in here. Routes of one path keep their order. */
uint32_t snap_put_site(struct snap_writer *w, const struct snap_site *site, const struct snap_route *routes,
	unsigned nroutes);
/* A name of a site; one that two sites claim stays with the first. */
void snap_put_host(struct snap_writer *w, uint32_t site, const char *name, uint32_t flags);
/* That site, which has no host names yet, is what ctl's probe shall ask. */
void snap_put_coming(struct snap_writer *w, uint32_t site);
/* A route with everything at its default: prefix "/", no handler, no app. */
struct snap_route snap_route_default(void);
/* Root first, then segments, in ret_fds (room for SNAP_SEGMENTS_MAX + 1); the caller's to close. */
int snap_finish(struct snap_writer *w, uint64_t generation, uint32_t default_site, int *ret_fds,
	unsigned *ret_nfds);

#endif
