/*
 * seal.c: see seal.h. Called by check, which seals the private keys of certificates, and by keys,
 * which opens them. Owns nothing; secrets in between are wiped.
 */
#include "seal.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdbool.h>
#include <string.h>

static int pair_new(EVP_PKEY **ret)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_X25519, NULL);
	EVP_PKEY *pair = NULL;
	bool good = ctx && EVP_PKEY_keygen_init(ctx) > 0 && EVP_PKEY_keygen(ctx, &pair) > 0;

	EVP_PKEY_CTX_free(ctx);
	*ret = pair;
	return good ? 0 : -EIO;
}

static int public_of(EVP_PKEY *pair, uint8_t ret[SEAL_KEY_BYTES])
{
	size_t n = SEAL_KEY_BYTES;

	return EVP_PKEY_get_raw_public_key(pair, ret, &n) == 1 && n == SEAL_KEY_BYTES ? 0 : -EIO;
}

int seal_public(const uint8_t secret[SEAL_KEY_BYTES], uint8_t ret_public[SEAL_KEY_BYTES])
{
	EVP_PKEY *pair =
		EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, SEAL_KEY_BYTES);
	int err = pair ? public_of(pair, ret_public) : -EIO;

	EVP_PKEY_free(pair);
	return err;
}

/* HKDF over the shared secret; both public keys are in it, so that a box is bound to them. */
static bool derive(EVP_PKEY *own, const uint8_t peer[SEAL_KEY_BYTES],
	const uint8_t publics[2 * SEAL_KEY_BYTES], uint8_t ret_key[32])
{
	EVP_PKEY *other = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, SEAL_KEY_BYTES);
	EVP_PKEY_CTX *dh = EVP_PKEY_CTX_new(own, NULL),
		     *kdf = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
	uint8_t shared[SEAL_KEY_BYTES];
	size_t n = sizeof(shared), key_n = 32;
	bool good = other && dh && kdf && EVP_PKEY_derive_init(dh) > 0 &&
		    EVP_PKEY_derive_set_peer(dh, other) > 0 &&
		    EVP_PKEY_derive(dh, shared, &n) > 0 && n == sizeof(shared) &&
		    EVP_PKEY_derive_init(kdf) > 0 &&
		    EVP_PKEY_CTX_set_hkdf_md(kdf, EVP_sha256()) > 0 &&
		    EVP_PKEY_CTX_set1_hkdf_salt(
			    kdf, (const unsigned char *)"stead sealed box 1", 18) > 0 &&
		    EVP_PKEY_CTX_set1_hkdf_key(kdf, shared, (int)n) > 0 &&
		    EVP_PKEY_CTX_add1_hkdf_info(kdf, publics, 2 * SEAL_KEY_BYTES) > 0 &&
		    EVP_PKEY_derive(kdf, ret_key, &key_n) > 0 && key_n == 32;

	explicit_bzero(shared, sizeof(shared));
	EVP_PKEY_CTX_free(kdf);
	EVP_PKEY_CTX_free(dh);
	EVP_PKEY_free(other);
	return good;
}

/* One key is used once, so the nonce is all zeroes. */
static int crypt_box(bool seal, const uint8_t key[32], const void *about, size_t about_n,
	const uint8_t *p, size_t n, uint8_t *out, uint8_t tag[SEAL_TAG_BYTES])
{
	static const uint8_t nonce[12];
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int some, err = -EIO;

	if (!c || EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce, seal) != 1 ||
		EVP_CipherUpdate(c, NULL, &some, about, (int)about_n) != 1 ||
		EVP_CipherUpdate(c, out, &some, p, (int)n) != 1)
		goto out;
	if (!seal && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_BYTES, tag) != 1)
		goto out;
	err = EVP_CipherFinal_ex(c, out + n, &some) == 1 ? 0 : -EBADMSG;
	if (!err && seal && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_BYTES, tag) != 1)
		err = -EIO;
out:
	EVP_CIPHER_CTX_free(c);
	return err;
}

int seal_close(const uint8_t to[SEAL_KEY_BYTES], const void *about, size_t about_n, const void *p,
	size_t n, uint8_t *box)
{
	uint8_t publics[2 * SEAL_KEY_BYTES], key[32];
	EVP_PKEY *pair;
	int err;

	if (n > SEAL_BYTES_MAX || about_n > SEAL_BYTES_MAX)
		return -EINVAL;
	err = pair_new(&pair);
	if (!err)
		err = public_of(pair, publics);
	memcpy(publics + SEAL_KEY_BYTES, to, SEAL_KEY_BYTES);
	if (!err && !derive(pair, to, publics, key))
		err = -EIO;
	if (!err) {
		memcpy(box, publics, SEAL_KEY_BYTES);
		err = crypt_box(true, key, about, about_n, p, n, box + SEAL_KEY_BYTES,
			box + SEAL_KEY_BYTES + n);
	}
	explicit_bzero(key, sizeof(key));
	EVP_PKEY_free(pair);
	return err;
}

int seal_open(const uint8_t secret[SEAL_KEY_BYTES], const void *about, size_t about_n,
	const uint8_t *box, size_t box_n, uint8_t *ret, size_t *ret_n)
{
	uint8_t publics[2 * SEAL_KEY_BYTES], key[32], tag[SEAL_TAG_BYTES];
	size_t n = box_n - SEAL_MORE_BYTES;
	EVP_PKEY *own;
	int err;

	if (box_n < SEAL_MORE_BYTES || n > SEAL_BYTES_MAX || about_n > SEAL_BYTES_MAX)
		return -EBADMSG;
	own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, SEAL_KEY_BYTES);
	memcpy(publics, box, SEAL_KEY_BYTES);
	err = own ? public_of(own, publics + SEAL_KEY_BYTES) : -EIO;
	memcpy(tag, box + SEAL_KEY_BYTES + n, sizeof(tag));
	/* A public key of low order has no shared secret: whoever made that box did not mean us. */
	if (!err && !derive(own, box, publics, key))
		err = -EBADMSG;
	if (!err)
		err = crypt_box(false, key, about, about_n, box + SEAL_KEY_BYTES, n, ret, tag);
	explicit_bzero(key, sizeof(key));
	if (err)
		explicit_bzero(ret, n);
	else
		*ret_n = n;
	EVP_PKEY_free(own);
	return err;
}
