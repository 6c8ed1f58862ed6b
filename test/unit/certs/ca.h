/*
 * ca.h: an authority that is played for test_order.c, and the one who drives an order against it.
 */
#ifndef STEAD_TEST_CERTS_CA_H
#define STEAD_TEST_CERTS_CA_H

#include <openssl/evp.h>

#include "certs.h"

#define BASE "https://a.example/"
enum { NAMES = 40 };
struct ca {
	EVP_PKEY *key; /* that the certificate is for */
	/* how it behaves */
	unsigned bad_nonces;                /* per cent */
	unsigned silent;                    /* so many requests from now on have no answer */
	unsigned fails_from, fails, served; /* behind so many requests so many fail */
	bool refuses;                       /* the second name */
	bool slow;                          /* issues later than asked */
	unsigned looks;                     /* so often it is asked before it has looked at a name */
	const char *retry_after;            /* … and says when to come again */
	bool wild;                          /* the first name is a wildcard */
	const char *order_error;
	bool customers, strangers; /* only they get an account; not this one */
	/* what it knows */
	unsigned accounts, orders, issued, finalized, names;
	struct {
		bool begun, valid;
		unsigned asked;
	} name[NAMES];
	bool invalid, valid;          /* the last order */
	unsigned under_way, most;     /* names that it was told to look at */
	unsigned offered, withdrawn;  /* what answers */
	uint64_t waited_ms, pause_ms; /* in all; the last one */
	uint32_t seed;
	/* the last answer */
	char body[16384], location[256], nonce[64];
	unsigned nonces;
};

struct kept {
	char account[ACME_URL_BYTES], url[ACME_URL_BYTES];
};
/* Drives an order; `steps` at most: then it died. True: it has ended. */
bool ca_drive(
	struct ca *ca, struct order *o, struct kept *kept, unsigned steps, unsigned *ret_steps);
/* For ca->names of them (0: three), with a key in ca->key that is the caller's to free. */
struct order_ask ca_ask(struct ca *ca);

#endif
