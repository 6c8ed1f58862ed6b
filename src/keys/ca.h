/*
 * ca.h: the user's own certificate authority, by which https://localhost works on his own machine.
 *
 *   ca.c        its certificate, and the certificates that it signs: pure
 *   ca_store.c  its folder, which all of the user's projects share
 *
 * It signs for names that never leave the machine and for nothing else: its certificate says so
 * (RFC 5280 section 4.2.1.10, critical), and so does the code here, which looks at each name. So
 * whoever trusts it gives nobody the power to be another site, whatever becomes of its key.
 */
#ifndef STEAD_KEYS_CA_H
#define STEAD_KEYS_CA_H

#include <stddef.h>
#include <stdint.h>

#include "seal/seal.h"
#include "tbl/tbl.h"

struct evp_pkey_st;
struct x509_st;
struct key_made;

enum { CA_DAYS = 3652, CA_LEAF_DAYS = 90, CA_DER_MAX = 4096 };

struct ca {
	struct evp_pkey_st *key; /* NULL: there is none */
	struct x509_st *cert;
	char name[CA_NAME_MAX]; /* its common name; different for each that is ever made */
};
/* A new one; `host` is for people, to tell those of several machines apart. now_s is since 1970. 0;
 * -EIO. Frees nothing that was in *ret. */
int ca_make(const char *host, uint64_t now_s, struct ca *ret);
/* Of its certificate and private key, both DER. 0; -EBADMSG: they are none, or do not belong
 * together, or it may sign more than local names; -ESTALE: it ends before what it would sign. */
int ca_read(const void *cert, size_t cert_n, const void *key, size_t key_n, uint64_t now_s,
	struct ca *ret);
void ca_done(struct ca *ca);
/* A certificate for m->key. `list` is the names as OpenSSL takes them (DNS:a,IP:b), `names` the
 * same with one blank between them; both have been looked at. m->csr becomes the certificate,
 * m->whole what CertificateBox= is. 0; -EIO; -ENOMEM. */
int ca_sign(const struct ca *ca, const char *list, const char *names, uint64_t now_s,
	struct key_made *m);

/*
 * What lies in the folder, or a new one that is put there: `ca.pem` (the certificate, for
 * everybody), `key` (sealed) and `secret` (what opens it), for the owner alone. Two processes that
 * come at once make one. 0; -EBUSY: another holds the folder for too long; -EBADMSG: it is damaged,
 * and nobody but a person may replace it; -errno.
 */
int ca_open(int dir, uint64_t now_s, struct ca *ret);

#endif
