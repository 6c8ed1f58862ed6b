/*
 * mac.h: keys of HMAC that stand in a vault beside private keys: what a customer of an authority is known by (RFC 8555
 * section 7.3.4). check seals them, keys opens them.
 */
#ifndef STEAD_SEAL_MAC_H
#define STEAD_SEAL_MAC_H

#include <stddef.h>
#include <stdint.h>

enum { MAC_KEY_MIN = 16, MAC_KEY_MAX = 128 };
/* What a box of one has before the key. DER, which a private key is, begins otherwise. */
#define MAC_BOX_MARK "stead HMAC key\n"
enum { MAC_BOX_MARK_BYTES = sizeof MAC_BOX_MARK - 1 };

/* What it is known by in a vault: tells nothing of it, and is no other key's. 0; -EIO: the library failed. */
int mac_key_id(const void *key, size_t n, uint8_t ret[32]);

#endif
