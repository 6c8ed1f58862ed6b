/*
 * x509.c: see x509.h. Called by check in its jailed child, by certs, and by the fuzz target of its
 * chains. Owns nothing.
 */
#include "x509.h"

#include <errno.h>
#include <limits.h>
#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <time.h>

int x509_no_password(char *buf, int n, int writing, void *arg)
{
	(void)buf;
	(void)n;
	(void)writing;
	(void)arg;
	return -1;
}

int x509_read_chain(const char *text, size_t n, unsigned max, struct stack_st_X509 **ret)
{
	BIO *b = n && n <= INT_MAX ? BIO_new_mem_buf(text, (int)n) : NULL;
	STACK_OF(X509) *all = sk_X509_new_null();
	int err = 0;
	X509 *x;

	ERR_clear_error();
	while (b && all && !err && (x = PEM_read_bio_X509(b, NULL, x509_no_password, NULL)))
		if (sk_X509_num(all) == (int)max || sk_X509_push(all, x) <= 0) {
			X509_free(x);
			err = -E2BIG;
		}
	/* What is left is nothing, or not a certificate. */
	if (!err && b && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		err = -EBADMSG;
	if (!err && sk_X509_num(all) <= 0)
		err = -ENOENT;
	ERR_clear_error();
	BIO_free(b);
	if (err)
		sk_X509_pop_free(all, X509_free);
	else
		*ret = all;
	return err;
}

uint64_t x509_seconds(const struct asn1_string_st *at)
{
	struct tm tm;
	time_t s = ASN1_TIME_to_tm(at, &tm) == 1 ? timegm(&tm) : 0;

	return s > 0 ? (uint64_t)s : 0;
}
