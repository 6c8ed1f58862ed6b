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
enum { SNAP_VERSION = 1, SNAP_SEGMENTS_MAX = 32 };
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

enum snap_match { SNAP_MATCH_EXACT = 1, SNAP_MATCH_PREFIX = 2 };
enum snap_to { SNAP_TO_APP = 1, SNAP_TO_STATIC = 2 };
struct snap_route {
	uint32_t match;       /* enum snap_match */
	uint32_t to;          /* enum snap_to */
	struct snap_str path; /* "/" is the site's own route; a prefix matches at a segment's end only */
	struct snap_str root; /* static: folder (absolute; as root: below the gate's root); stripped of `path` */
	struct snap_str index;
	uint32_t app;         /* index into apps, or UINT32_MAX */
	uint32_t flags;
};
enum snap_access { SNAP_ACCESS_OFF = 0, SNAP_ACCESS_JSON = 1 };
struct snap_error_page {
	uint32_t status, pad;
	struct snap_str file; /* as `root` */
};
struct snap_site {
	struct snap_str name;
	uint32_t number;      /* row in the counters page; stable while the site lives */
	uint32_t access;      /* enum snap_access */
	uint32_t routes, nroutes;           /* offset of struct snap_route[], exact ones first, then by falling length */
	uint32_t error_pages, nerror_pages; /* offset of struct snap_error_page[] */
	uint64_t body_max;
	uint32_t head_max;
	uint32_t header_timeout_ms, idle_timeout_ms, request_timeout_ms;
	uint32_t rate_min;    /* bytes/s */
	uint32_t queue, queue_timeout_ms;
	uint32_t flags;
};
struct snap_app {
	uint32_t number;      /* msg_worker.app */
	uint32_t workers, threads;
	uint32_t site;        /* index of its site */
	struct snap_str name;
};
struct snap_host {
	uint32_t hash, site;  /* site UINT32_MAX: empty */
	struct snap_str name; /* lower case; "*.example.org" for a wildcard */
};
struct snap_sites {
	struct snap_seg_head head;
	uint32_t hosts, nhosts; /* open-addressed table, nhosts a power of two */
	uint32_t sites, nsites;
	uint32_t apps, napps;
	uint32_t default_site;  /* UINT32_MAX: none */
	uint32_t pad;
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
/* NULL when out of bounds. */
const struct snap_site *snap_site(const struct snap *s, uint32_t i);
const struct snap_app *snap_app(const struct snap *s, uint32_t i);
/* exact > wildcard > default; NULL when there is none. host: lower case without port. */
const struct snap_site *snap_site_by_host(const struct snap *s, const char *host, size_t len);
/* exact path > longest prefix; NULL when nothing matches. */
const struct snap_route *snap_route_match(const struct snap *s, const struct snap_site *site, const char *path, size_t len);
const struct snap_route *snap_route(const struct snap *s, const struct snap_site *site, uint32_t i);
const struct snap_error_page *snap_error_page(const struct snap *s, const struct snap_site *site, uint32_t i);
/* The bytes of a string, NUL-terminated; "" and length 0 when it is out of bounds. */
const char *snap_str(const struct snap *s, struct snap_str str, size_t *ret_len);

/* ---- builder (ctl) ---- */
struct snap_route_in {
	enum snap_match match;
	enum snap_to to;
	const char *path, *root, *index;
	uint32_t app; /* index into snap_in.apps, UINT32_MAX none */
};
struct snap_site_in {
	const char *name;
	const char *const *hosts;
	unsigned nhosts;
	const struct snap_route_in *routes;
	unsigned nroutes;
	const struct snap_error_page_in {
		unsigned status;
		const char *file;
	} *error_pages;
	unsigned nerror_pages;
	struct snap_site limits; /* the numbers; references are filled in by the builder */
};
struct snap_app_in {
	const char *name;
	uint32_t number, workers, threads, site;
};
struct snap_in {
	uint64_t generation;
	const struct snap_site_in *sites;
	unsigned nsites;
	const struct snap_app_in *apps;
	unsigned napps;
	uint32_t default_site;
};
/* Root first, then segments, in ret_fds (room for SNAP_SEGMENTS_MAX + 1); the caller's to close. */
int snap_build(const struct snap_in *in, int *ret_fds, unsigned *ret_nfds);

#endif
