/*
 * seal.h: bytes that only the holder of one private key can read: a sealed box.
 *
 * A box is the public half of a key pair made for it alone (X25519, RFC 7748), and the bytes under
 * AES-256-GCM with a key that HKDF-SHA-256 makes of the shared secret and both public keys. What the box
 * belongs to (a certificate's key id) is authenticated with it, so a box does not pass for another. Who
 * sealed it cannot be told: it may be anybody.
 */
#ifndef STEAD_SEAL_SEAL_H
#define STEAD_SEAL_SEAL_H

#include <stddef.h>
#include <stdint.h>

enum {
	SEAL_KEY_BYTES = 32,
	SEAL_TAG_BYTES = 16,
	SEAL_MORE_BYTES = SEAL_KEY_BYTES + SEAL_TAG_BYTES, /* a box is so much longer than what is in it */
	SEAL_BYTES_MAX = 64 * 1024,
};

/* The public half of a private key (32 random bytes). 0; -EIO: the library failed. */
int seal_public(const uint8_t secret[SEAL_KEY_BYTES], uint8_t ret_public[SEAL_KEY_BYTES]);
/* Seal n bytes (at most SEAL_BYTES_MAX) for whoever holds the private half of `to`; `box` has room for
 * n + SEAL_MORE_BYTES. `about`: what it belongs to. 0; -EINVAL; -EIO. */
int seal_close(const uint8_t to[SEAL_KEY_BYTES], const void *about, size_t about_n, const void *p, size_t n,
	uint8_t *box);
/* What is in a box of box_n bytes; `ret` has room for box_n - SEAL_MORE_BYTES. 0; -EBADMSG: it is not ours, not
 * about that, or changed; -EIO. */
int seal_open(const uint8_t secret[SEAL_KEY_BYTES], const void *about, size_t about_n, const uint8_t *box,
	size_t box_n, uint8_t *ret, size_t *ret_n);

#endif
