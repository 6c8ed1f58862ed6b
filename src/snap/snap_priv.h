/*
 * snap_priv.h: what the builder, the reader and their tests share; nobody else includes it.
 */
#ifndef STEAD_SNAP_SNAP_PRIV_H
#define STEAD_SNAP_SNAP_PRIV_H

#include "snap.h"

enum {
	SNAP_SEGMENT_BYTES_MAX = 256 * 1024 * 1024,
	SNAP_HOSTS_MAX = 1 << 20,
	SNAP_NAME_MAX = 255,
	SNAP_STRING_MAX = 64 * 1024,
	SNAP_CHAIN_MAX = 16, /* certificates of a chain */
};

struct snap_part {
	const char *map;
	size_t bytes;
};

struct snap {
	unsigned refs;
	uint64_t generation;
	bool mapped; /* parts are mappings of ours and go with the last reference */
	unsigned nparts;
	const struct snap_sites *sites; /* in parts[sites_part] */
	unsigned sites_part;
	/* Its tables of sites, hosts and paths as far as they are all there, looked at once; else none. */
	const struct snap_site *site;
	const struct snap_host *host;
	const struct snap_path *path;
	uint32_t nsites, nhosts, npaths; /* the last two: 0 or a power of two */
	bool wildcards;                  /* some host begins with "*." */
	const struct snap_cert *cert;
	const struct snap_demand *demand;
	uint32_t ncerts, ndemands; /* ndemands: 0 or a power of two */
	unsigned certs_part;
	struct snap_part parts[SNAP_SEGMENTS_MAX];
};

/* FNV-1a, so that "*." + rest can be hashed without joining the two. */
enum { SNAP_HASH_SEED = 0x811c9dc5 };
static inline uint32_t snap_hash(uint32_t h, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 0x01000193u;
	return h;
}

/* Where the hash of a path begins: every site and kind of match has paths of its own. */
static inline uint32_t snap_path_seed(uint32_t site, uint32_t match)
{
	return (SNAP_HASH_SEED ^ site * 0x9e3779b1u) + match * 0x85ebca6bu;
}

/* The checks of snap_load() on bytes that are in memory already; root first. The new snapshot's
 * parts point into them. */
int snap_check(const struct snap_part *parts, unsigned n, struct snap **ret_snap);

#endif
