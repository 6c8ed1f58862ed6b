/*
 * ask.h: a question for a key, as ctl asks it, for tests.
 */
#ifndef STEAD_TEST_UNIT_KEYS_ASK_H
#define STEAD_TEST_UNIT_KEYS_ASK_H

#include "keys.h"
#include "lib/buf.h"

static const uint8_t secret[SEAL_KEY_BYTES] = "thirty-two bytes that are secret";

/* What make_key() says to it; the box is for the holder of `secret`. */
static inline int ask_key(enum key_kind kind, const struct ca *ca, uint64_t now_s,
	const char *const *names, uint32_t n, struct key_made *ret)
{
	struct msg_key_make m = {.kind = kind, .names = n};
	uint8_t public[SEAL_KEY_BYTES];
	struct buf b;
	int err = seal_public(secret, public);

	buf_init(&b, 64 * 1024);
	buf_put(&b, &m, sizeof m);
	for (uint32_t i = 0; i < n; i++)
		pack_str(&b, names[i]);
	if (!err)
		err = make_key(b.p, b.len, public, ca, now_s, ret);
	buf_done(&b);
	return err;
}

#endif
