/*
 * x509.h: what check and certs both do with certificates that others wrote.
 */
#ifndef STEAD_SEAL_X509_H
#define STEAD_SEAL_X509_H

#include <stddef.h>
#include <stdint.h>

struct asn1_string_st;
struct stack_st_X509;
struct x509_st;

/* For OpenSSL's readers of PEM: nobody is asked for a password. */
int x509_no_password(char *buf, int n, int writing, void *arg);
/* Every certificate of a PEM text, in its order; what else stands in it is passed over. `last` (may
 * be NULL) keeps the last that was not the first of a text: most sites have the same behind their
 * own, and reading one is slow. 0 and *ret, the caller's (sk_X509_pop_free); -ENOENT: there is
 * none; -E2BIG: there are more than max; -EBADMSG: one is damaged. */
int x509_read_chain(const char *text, size_t n, unsigned max, struct x509_st **last,
	struct stack_st_X509 **ret);
/* Since 1970; 0 for what is before, or no time. */
uint64_t x509_seconds(const struct asn1_string_st *at);

#endif
