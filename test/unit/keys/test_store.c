/*
 * test_store.c: the vault and the keys in it: found by id, opened at first use, bounded, and
 * refused when damaged.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "keys.h"
#include "lib/sys.h"
#include "seal/mac.h"

struct made {
	uint8_t id[32], box[1024];
	size_t box_n;
};

static const uint8_t secret[SEAL_KEY_BYTES] = {1, 2, 3};

static void make(struct made *m)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	uint8_t public[SEAL_KEY_BYTES];
	unsigned char *der = NULL, *spki = NULL;
	int n = i2d_PrivateKey(key, &der), spki_n = i2d_PUBKEY(key, &spki);

	assert_int_equal(EVP_Digest(spki, (size_t)spki_n, m->id, NULL, EVP_sha256(), NULL), 1);
	assert_int_equal(seal_public(secret, public), 0);
	m->box_n = (size_t)n + SEAL_MORE_BYTES;
	assert_true(m->box_n <= sizeof(m->box));
	assert_int_equal(seal_close(public, m->id, 32, der, (size_t)n, m->box), 0);
	OPENSSL_free(der);
	OPENSSL_free(spki);
	EVP_PKEY_free(key);
}

static int vault(const struct made *m, size_t n)
{
	struct vault_key *keys = calloc(n + 1, sizeof(*keys));
	int fd;

	for (size_t i = 0; i < n; i++)
		keys[i] = (struct vault_key){.id = m[i].id, .box = m[i].box, .box_n = m[i].box_n};
	assert_int_equal(vault_make(keys, n, &fd), 0);
	free(keys);
	return fd;
}

static void keys_are_found(void **state)
{
	enum { N = STORE_OPEN_MAX + 50 };
	struct made *m = calloc(N, sizeof(*m));
	struct store *s = store_new(secret);
	uint8_t none[32] = {0};
	EVP_PKEY *key;
	int fd;

	(void)state;
	for (unsigned i = 0; i < N; i++)
		make(&m[i]);
	assert_int_equal(store_find(s, m[0].id, &key), -ENOENT);
	fd = vault(m, N);
	assert_int_equal(store_vault(s, fd), 0);
	close(fd);
	assert_int_equal(store_open(s), 0);
	/* Twice, so that those that were closed are opened again. */
	for (unsigned k = 0; k < 2; k++)
		for (unsigned i = 0; i < N; i++) {
			assert_int_equal(store_find(s, m[i].id, &key), 0);
			assert_true(store_open(s) <= STORE_OPEN_MAX);
		}
	assert_int_equal(store_open(s), STORE_OPEN_MAX);
	assert_int_equal(store_find(s, none, &key), -ENOENT);
	store_free(s);
	free(m);
}

/* Sites may share a certificate: its key is in the vault once, and whoever handed all of them over still has each. */
static void shared_keys_stay_whole(void **state)
{
	enum { N = 7 };
	static const unsigned of[N] = {0, 0, 1, 2, 0, 2, 0};
	struct vault_key keys[N];
	struct made m[3];
	struct vault v;
	unsigned seen[N] = {0};
	const void *map;
	size_t bytes;
	int fd;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		make(&m[i]);
	for (unsigned i = 0; i < N; i++)
		keys[i] = (struct vault_key){
			.id = m[of[i]].id, .box = m[of[i]].box, .box_n = m[of[i]].box_n, .mem = &seen[i]};
	assert_int_equal(vault_make(keys, N, &fd), 0);
	for (unsigned i = 0; i < N; i++)
		++*(unsigned *)keys[i].mem;
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(seen[i], 1);
	assert_int_equal(sys_memfd_map(fd, 1 << 20, &bytes, &map), 0);
	assert_int_equal(vault_check(map, bytes, &v), 0);
	assert_int_equal(v.n, 3);
	sys_shm_unmap(map, bytes);
	close(fd);
}

/* Handshakes that are under way ask for what was. */
static void the_last_vault_stays(void **state)
{
	struct made m[3];
	struct store *s = store_new(secret);
	EVP_PKEY *key;
	int fd;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		make(&m[i]);
		fd = vault(&m[i], 1);
		assert_int_equal(store_vault(s, fd), 0);
		close(fd);
	}
	assert_int_equal(store_find(s, m[2].id, &key), 0);
	assert_int_equal(store_find(s, m[1].id, &key), 0);
	assert_int_equal(store_find(s, m[0].id, &key), -ENOENT);
	store_free(s);
}

/* A customer's key lies among them; under another's name it is none. */
static void a_key_of_hmac(void **state)
{
	static const char plain[] = MAC_BOX_MARK "0123456789abcdef0123";
	struct store *s = store_new(secret);
	uint8_t public[SEAL_KEY_BYTES];
	struct made m[2];
	EVP_PKEY *key;
	int fd;

	(void)state;
	make(&m[1]);
	assert_int_equal(mac_key_id("0123456789abcdef0123", 20, m[0].id), 0);
	assert_int_equal(seal_public(secret, public), 0);
	for (unsigned i = 0; i < 2; i++) {
		m[i].box_n = sizeof plain - 1 + SEAL_MORE_BYTES;
		assert_int_equal(seal_close(public, m[i].id, 32, plain, sizeof plain - 1, m[i].box), 0);
	}
	fd = vault(m, 2);
	assert_int_equal(store_vault(s, fd), 0);
	close(fd);
	assert_int_equal(store_find(s, m[0].id, &key), 0);
	assert_true(EVP_PKEY_is_a(key, "HMAC"));
	assert_int_equal(store_find(s, m[1].id, &key), -EBADMSG);
	store_free(s);
}

static void damage_is_refused(void **state)
{
	struct made m[2];
	struct store *s = store_new(secret);
	size_t bytes;
	const void *map;
	uint8_t *copy;
	struct vault v;
	EVP_PKEY *key;
	int fd;

	(void)state;
	make(&m[0]);
	make(&m[1]);
	/* One key in the other's place: it would sign what nobody asked it for. */
	memcpy(m[1].box, m[0].box, sizeof(m[1].box));
	m[1].box_n = m[0].box_n;
	fd = vault(m, 2);
	assert_int_equal(store_vault(s, fd), 0);
	assert_int_equal(store_find(s, m[1].id, &key), -EBADMSG);
	assert_int_equal(store_find(s, m[0].id, &key), 0);
	/* Every byte of a vault counts. */
	assert_int_equal(sys_memfd_map(fd, VAULT_BYTES_MAX, &bytes, &map), 0);
	copy = malloc(bytes);
	for (size_t i = 0; i < bytes; i++) {
		memcpy(copy, map, bytes);
		copy[i] ^= 0x40;
		assert_int_equal(vault_check(copy, bytes, &v), -EBADMSG);
	}
	memcpy(copy, map, bytes);
	assert_int_equal(vault_check(copy, bytes - 1, &v), -EBADMSG);
	assert_int_equal(vault_check(copy, 3, &v), -EBADMSG);
	free(copy);
	sys_shm_unmap(map, bytes);
	close(fd);
	store_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(keys_are_found),
		cmocka_unit_test(shared_keys_stay_whole), cmocka_unit_test(the_last_vault_stays), cmocka_unit_test(a_key_of_hmac), cmocka_unit_test(damage_is_refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
