/*
 * keys.h: the process that holds private keys, in one page.
 *
 *   sign.c     a question for a signature: its form, whether the purpose allows it, the signature
 *   store.c    the keys: sealed in the vault, opened at first use
 *   make.c     a new key, and the request for its certificate
 *   ca.h       the user's own certificate authority, for local names
 *   prove.c    a certificate that proves a name to an authority
 *   tickets.c  the keys of session tickets: made here, the same for all gates
 *   jail.c     what is left to do for a process that has all it needs
 *
 * Nothing here but jail.c, main.c, ca_store.c touches a descriptor, a clock or a file.
 */
#ifndef STEAD_KEYS_H
#define STEAD_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ca.h"
#include "lib/buf.h"
#include "seal/seal.h"
#include "snap/vault.h"
#include "tbl/tbl.h"

struct evp_pkey_st;

/* ---- sign.c ---- */
struct sign_ask {
	struct msg_sign m;
	const uint8_t *content;
	size_t content_n;
};
/* certs alone asks for those: requests to authorities, and who their customer is. */
bool sign_is_for_authority(uint32_t purpose);
/* Of a SIGN's payload. 0; -EPROTO: it is not in form. `ret` points into it. */
int sign_parse(const void *payload, size_t n, struct sign_ask *ret);
/* Is it what that purpose signs, and nothing else (RFC 8446 section 4.4.3; RFC 5246 section 7.4.3 and RFC 8422
 * section 5.4)? So whoever has taken over a gate gets signatures for handshakes, and for nothing that would be
 * one somewhere else. 0; -EPERM; -EINVAL: no such purpose or scheme. */
int sign_allowed(const struct sign_ask *ask);
/* 0; -EPERM: the scheme is not that key's; -EIO. */
int sign_make(struct evp_pkey_st *key, const struct sign_ask *ask, uint8_t ret[SIGNATURE_MAX], size_t *ret_n);

/* ---- store.c ---- */
enum { STORE_OPEN_MAX = 1024 /* keys that are kept open; more are opened anew when they are asked for */ };
struct store;
struct store *store_new(const uint8_t secret[SEAL_KEY_BYTES]); /* NULL without memory */
void store_free(struct store *s);
/* A new vault, a sealed memfd that stays the caller's. What only the one before it had is found until the next:
 * handshakes under way. 0; or why it is not taken: then the old one stays. */
int store_vault(struct store *s, int fd);
/* 0 and the key, which stays the store's and stands until the next call; -ENOENT; -EBADMSG: its box is damaged or
 * for somebody else. */
int store_find(struct store *s, const uint8_t id[32], struct evp_pkey_st **ret);
/* One that was made here, which the store takes: it is found before the vault that will have it has come. */
void store_put(struct store *s, const uint8_t id[32], struct evp_pkey_st *key);
/* How many are open. */
unsigned store_open(const struct store *s);

/* ---- make.c ---- */
enum { MAKE_NAMES_MAX = 100, MAKE_BOX_MAX = 512, MAKE_CSR_MAX = 32 * 1024 };
struct key_made {
	struct evp_pkey_st *key;
	uint8_t id[32], x[32], y[32];
	uint8_t box[MAKE_BOX_MAX];
	size_t box_n;
	uint8_t *csr; /* PKCS #10 (RFC 2986); of a local one the certificate itself; NULL: an account's */
	size_t csr_n;
	uint8_t *whole; /* of a local one: what CertificateBox= is; else NULL */
	size_t whole_n;
};
/* Of a KEY_MAKE's payload: a key on P-256, sealed for the holder of `to`, and what asks for a certificate for the names,
 * or the certificate that `ca` made at now_s. 0; -EPROTO: it is not in form; -EINVAL: a name that is none, or not a local
 * one; -ENOENT: there is no such authority; -EIO. *ret is the caller's (make_done()). */
int make_key(const void *payload, size_t n, const uint8_t to[SEAL_KEY_BYTES], const struct ca *ca, uint64_t now_s,
	struct key_made *ret);
/* Frees all but the key, which may have gone to the store (NULL). */
void make_done(struct key_made *m);

/* "DNS:NAME" or "IP:ADDRESS", behind a comma when there is something before it. False: it is no name that a
 * certificate can have. */
bool make_put_name(struct buf *b, const char *name);

/* ---- prove.c ---- */
/* What a PROVE's payload asks for. 0; -EPROTO: it is not in form; -EINVAL: a name that is none. ret_name points
 * into it. */
int prove_parse(const void *payload, size_t n, struct msg_key_prove *ret, const char **ret_name);
/* The certificate of RFC 8737 section 3, for a day around now_s. 0 and how long it is; -EIO. */
int prove_make(struct evp_pkey_st *key, const uint8_t digest[32], const char *name, uint64_t now_s,
	uint8_t ret[CHALLENGE_DER_MAX], size_t *ret_n);

/* ---- tickets.c ---- */
#define TICKETS_ROTATE_US (12ull * 3600 * 1000000)
struct tickets {
	uint64_t made_us; /* when the newest was made, wall clock */
	struct msg_ticket_keys m;
};
/* Of what was kept, if there is anything: `box` as tickets_keep() made it. */
int tickets_init(struct tickets *t, const uint8_t secret[SEAL_KEY_BYTES], const uint8_t *box, size_t n,
	uint64_t now_us);
/* Make a new one for each time that is over (a clock that went back makes one too). True: something changed;
 * *ret_next_us is how long it is to the next. */
bool tickets_rotate(struct tickets *t, uint64_t now_us, uint64_t *ret_next_us);
enum { TICKETS_BOX_BYTES = sizeof(struct tickets) + SEAL_MORE_BYTES };
int tickets_keep(const struct tickets *t, const uint8_t secret[SEAL_KEY_BYTES], uint8_t box[TICKETS_BOX_BYTES]);

/* ---- jail.c: nothing is opened any more from here on. What of it is not to be had is missing in ret_guards. ---- */
int keys_jail_close(uint32_t *ret_guards);

#endif
