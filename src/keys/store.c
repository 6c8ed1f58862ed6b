/*
 * store.c: the private keys; see keys.h. Called by main.c and tests. Owns the mappings of two
 * vaults and the keys that are open: a table by id, as far as STORE_OPEN_MAX; of a full one what
 * was asked for longest ago is closed.
 */
#include "keys.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sys.h"
#include "seal/mac.h"

struct open_key {
	uint8_t id[32];
	EVP_PKEY *key;                  /* NULL: this place is free */
	struct open_key *chain;         /* of the same bucket */
	struct open_key *newer, *older; /* by when they were asked for */
};

enum { BUCKETS = 2048 };

struct store {
	uint8_t secret[SEAL_KEY_BYTES];
	struct vault vault, last; /* map NULL: none */
	struct open_key *bucket[BUCKETS], *newest, *oldest;
	struct open_key place[STORE_OPEN_MAX];
	unsigned n;
};

struct store *store_new(const uint8_t secret[SEAL_KEY_BYTES])
{
	struct store *s = calloc(1, sizeof(*s));

	if (s)
		memcpy(s->secret, secret, sizeof(s->secret));
	return s;
}

void store_free(struct store *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->n; i++)
		EVP_PKEY_free(s->place[i].key);
	sys_shm_unmap(s->vault.map, s->vault.bytes);
	sys_shm_unmap(s->last.map, s->last.bytes);
	explicit_bzero(s, sizeof(*s));
	free(s);
}

int store_vault(struct store *s, int fd)
{
	const void *map = NULL;
	struct vault fresh;
	size_t bytes = 0;
	int err = sys_memfd_map(fd, VAULT_BYTES_MAX, &bytes, &map);

	if (err)
		return err;
	err = vault_check(map, bytes, &fresh);
	if (err) {
		sys_shm_unmap(map, bytes);
		return err;
	}
	sys_shm_unmap(s->last.map, s->last.bytes);
	s->last = s->vault;
	s->vault = fresh;
	return 0;
}

static void unlink_age(struct store *s, struct open_key *k)
{
	*(k->newer ? &k->newer->older : &s->newest) = k->older;
	*(k->older ? &k->older->newer : &s->oldest) = k->newer;
}

static void link_newest(struct store *s, struct open_key *k)
{
	k->newer = NULL;
	k->older = s->newest;
	*(s->newest ? &s->newest->newer : &s->oldest) = k;
	s->newest = k;
}

/* Ids are hashes: any of their bits are as good as others. */
static struct open_key **bucket_of(struct store *s, const uint8_t id[32])
{
	return &s->bucket[(id[0] | id[1] << 8) & (BUCKETS - 1)];
}

static struct open_key *place_for(struct store *s)
{
	struct open_key *k, **at;

	if (s->n < STORE_OPEN_MAX)
		return &s->place[s->n++];
	k = s->oldest;
	unlink_age(s, k);
	for (at = bucket_of(s, k->id); *at != k; at = &(*at)->chain)
		;
	*at = k->chain;
	EVP_PKEY_free(k->key);
	return k;
}

static bool is_named(EVP_PKEY *key, const uint8_t id[32])
{
	unsigned char *der = NULL, own[32];
	int n = i2d_PUBKEY(key, &der);
	bool same = n > 0 && EVP_Digest(der, (size_t)n, own, NULL, EVP_sha256(), NULL) == 1 &&
		    memcmp(own, id, 32) == 0;

	OPENSSL_free(der);
	return same;
}

/* A private key, or one of HMAC. A box with another key in it would have us sign with what nobody named. */
static EVP_PKEY *read_key(const uint8_t id[32], const uint8_t *p, size_t n)
{
	const unsigned char *at = p;
	uint8_t own[32];
	EVP_PKEY *key;
	bool named;

	if (n > MAC_BOX_MARK_BYTES && memcmp(p, MAC_BOX_MARK, MAC_BOX_MARK_BYTES) == 0) {
		p += MAC_BOX_MARK_BYTES;
		n -= MAC_BOX_MARK_BYTES;
		named = mac_key_id(p, n, own) == 0 && memcmp(own, id, 32) == 0;
		return named ? EVP_PKEY_new_raw_private_key_ex(NULL, "HMAC", NULL, p, n) : NULL;
	}
	key = d2i_AutoPrivateKey(NULL, &at, (long)n);
	if (key && is_named(key, id))
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

static int unseal(struct store *s, const uint8_t id[32], EVP_PKEY **ret)
{
	uint8_t plain[VAULT_BOX_MAX];
	size_t n = 0, box_n = 0;
	const uint8_t *box = s->vault.map ? vault_find(&s->vault, id, &box_n) : NULL;
	int err;

	if (!box && s->last.map)
		box = vault_find(&s->last, id, &box_n);
	if (!box)
		return -ENOENT;
	err = seal_open(s->secret, id, 32, box, box_n, plain, &n);
	if (!err) {
		*ret = read_key(id, plain, n);
		err = *ret ? 0 : -EBADMSG;
	}
	explicit_bzero(plain, sizeof(plain));
	ERR_clear_error();
	return err;
}

static struct open_key *find_open(struct store *s, const uint8_t id[32])
{
	struct open_key *k = *bucket_of(s, id);

	while (k && memcmp(k->id, id, 32) != 0)
		k = k->chain;
	return k;
}

/* It is the newest from here on. */
static void add(struct store *s, const uint8_t id[32], EVP_PKEY *key)
{
	struct open_key *k = place_for(s), **at = bucket_of(s, id);

	memcpy(k->id, id, 32);
	k->key = key;
	k->chain = *at;
	*at = k;
	link_newest(s, k);
}

int store_find(struct store *s, const uint8_t id[32], EVP_PKEY **ret)
{
	struct open_key *k = find_open(s, id);
	EVP_PKEY *key;
	int err;

	if (k) {
		unlink_age(s, k);
		link_newest(s, k);
		*ret = k->key;
		return 0;
	}
	err = unseal(s, id, &key);
	if (err)
		return err;
	add(s, id, key);
	*ret = key;
	return 0;
}

void store_put(struct store *s, const uint8_t id[32], EVP_PKEY *key)
{
	if (find_open(s, id))
		EVP_PKEY_free(key);
	else
		add(s, id, key);
}

unsigned store_open(const struct store *s)
{
	return s->n;
}
