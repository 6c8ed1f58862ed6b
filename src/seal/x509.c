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
#include <stdbool.h>
#include <string.h>
#include <time.h>

int x509_no_password(char *buf, int n, int writing, void *arg)
{
	(void)buf;
	(void)n;
	(void)writing;
	(void)arg;
	return -1;
}

static bool is_same(X509 *x, const unsigned char *der, long n)
{
	unsigned char *own = NULL;
	/* Of one that was read and not changed this is a copy of what was read. */
	int own_n = i2d_X509(x, &own);
	bool same = own_n == n && memcmp(own, der, (size_t)n) == 0;

	OPENSSL_free(own);
	return same;
}

/* NULL: it is damaged. */
static X509 *read_one(const unsigned char *der, long n, X509 **last)
{
	const unsigned char *at = der;
	X509 *x;

	if (last && *last && is_same(*last, der, n)) {
		X509_up_ref(*last);
		return *last;
	}
	x = d2i_X509(NULL, &at, n);
	if (x && at != der + n) {
		X509_free(x);
		return NULL;
	}
	if (x && last) {
		X509_free(*last);
		X509_up_ref(x);
		*last = x;
	}
	return x;
}

/* 0; 1: it is something else; or why not. */
static int add_one(STACK_OF(X509) * all, unsigned max, const char *name, const unsigned char *der,
	long n, X509 **last)
{
	X509 *x;

	if (strcmp(name, PEM_STRING_X509) != 0 && strcmp(name, PEM_STRING_X509_OLD) != 0)
		return 1;
	if (sk_X509_num(all) == (int)max)
		return -E2BIG;
	x = read_one(der, n, sk_X509_num(all) ? last : NULL);
	if (!x)
		return -EBADMSG;
	if (sk_X509_push(all, x) > 0)
		return 0;
	X509_free(x);
	return -ENOMEM;
}

int x509_read_chain(
	const char *text, size_t n, unsigned max, struct x509_st **last, struct stack_st_X509 **ret)
{
	BIO *b = n && n <= INT_MAX ? BIO_new_mem_buf(text, (int)n) : NULL;
	STACK_OF(X509) *all = sk_X509_new_null();
	char *name, *head;
	unsigned char *der;
	int err = all ? 0 : -ENOMEM;
	long len;

	ERR_clear_error();
	while (b && err >= 0 && PEM_read_bio(b, &name, &head, &der, &len) == 1) {
		err = add_one(all, max, name, der, len, last);
		OPENSSL_free(name);
		OPENSSL_free(head);
		OPENSSL_clear_free(der, (size_t)len);
	}
	/* What is left is nothing, or not PEM. */
	if (err >= 0 && b && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		err = -EBADMSG;
	if (err >= 0)
		err = sk_X509_num(all) > 0 ? 0 : -ENOENT;
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
