/*
 * vault.h: the sealed private keys of all certificates in one piece of memory: made by ctl, which cannot read
 * them, kept by the parent, opened by keys. Entries are in the order of their ids, so one is found by halving.
 */
#ifndef STEAD_SNAP_VAULT_H
#define STEAD_SNAP_VAULT_H

#include <stddef.h>
#include <stdint.h>

#define VAULT_MAGIC 0x31544c5541565453ull
enum { VAULT_VERSION = 1, VAULT_KEYS_MAX = 1 << 17, VAULT_BYTES_MAX = 256 * 1024 * 1024, VAULT_BOX_MAX = 16 * 1024 };

struct vault_head {
	uint64_t magic;
	uint32_t version, n;
	uint64_t checksum; /* of what stands behind the head */
};
struct vault_entry {
	uint8_t id[32];    /* SHA-256 of the key's SubjectPublicKeyInfo */
	uint32_t off, len; /* of its box, from the vault's start */
};
/* One to put in; the box is the caller's. */
struct vault_key {
	const uint8_t *id, *box;
	size_t box_n;
	void *mem; /* the caller's own: where the two lie */
};
/* What a mapping holds, once vault_check() has looked at it. */
struct vault {
	const uint8_t *map;
	size_t bytes;
	uint32_t n;
};

/* A sealed memfd with these keys; their order is changed, and of two with one id the first counts; each
 * is still there behind it. 0; -E2BIG; -ENOMEM. */
int vault_make(struct vault_key *keys, size_t n, int *ret_fd);
/* Look at what has been mapped. 0; -EBADMSG. */
int vault_check(const void *map, size_t bytes, struct vault *ret);
/* The box of that id; NULL: there is none. */
const uint8_t *vault_find(const struct vault *v, const uint8_t id[32], size_t *ret_n);

#endif
