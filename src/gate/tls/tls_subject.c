/*
 * tls_subject.c: what a client's certificate says of itself, as texts that may stand in a header field;
 * see tls_server.h. Called by tls_client.c behind a handshake, and by the fuzz target: the names in it are
 * whatever some authority let pass. Owns nothing.
 */
#include "lib/base64.h"
#include "lib/buf.h"
#include "tls_server.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

enum {
	DER_FIELD_MAX = 4096, /* of a certificate in a header field */
	TEXT_MAX = 16 * 1024,
};

/* One that is long, or not printable when it is written as RFC 2253 writes it, is no name that an
 * app should decide by. */
static bool put_name(struct buf *b, const X509_NAME *name)
{
	BIO *mem = BIO_new(BIO_s_mem());
	char *p = NULL;
	long n = mem && X509_NAME_print_ex(mem, name, 0, XN_FLAG_RFC2253) >= 0
			 ? BIO_get_mem_data(mem, &p)
			 : -1;
	bool good = n >= 0 && n <= TLS_CLIENT_TEXT_MAX;

	for (long i = 0; good && i < n; i++)
		good = p[i] >= 0x20 && p[i] < 0x7f;
	if (good)
		buf_put(b, p, (size_t)n);
	buf_putc(b, 0);
	BIO_free(mem);
	return good;
}

static void put_hex(struct buf *b, const uint8_t *p, size_t n, const char *digits)
{
	for (size_t i = 0; i < n; i++) {
		buf_putc(b, digits[p[i] >> 4]);
		buf_putc(b, digits[p[i] & 15]);
	}
	buf_putc(b, 0);
}

static bool put_serial(struct buf *b, const X509 *x)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
	int n = ASN1_STRING_length(serial);

	if (n <= 0 || n > 64)
		return false;
	put_hex(b, ASN1_STRING_get0_data(serial), (size_t)n, "0123456789ABCDEF");
	return true;
}

static bool put_der(struct buf *b, const X509 *x)
{
	unsigned char *der = NULL;
	int n = i2d_X509(x, &der);
	uint8_t sum[32];
	char text[BASE64_BYTES(DER_FIELD_MAX)];
	bool good = n > 0 && EVP_Digest(der, (size_t)n, sum, NULL, EVP_sha256(), NULL) == 1;

	if (good)
		put_hex(b, sum, sizeof(sum), "0123456789abcdef");
	if (good && n <= DER_FIELD_MAX) {
		base64_encode(der, (size_t)n, text);
		buf_putc(b, ':');
		buf_puts(b, text);
		buf_putc(b, ':');
	}
	buf_putc(b, 0);
	OPENSSL_free(der);
	return good;
}

static const char *next(const char **at)
{
	const char *p = *at;

	*at += strlen(p) + 1;
	return p;
}

bool tls_subject_read(struct tls_client *c, const struct x509_st *x)
{
	struct buf b;
	const char *at;
	bool good;

	buf_init(&b, TEXT_MAX);
	good = put_name(&b, X509_get_subject_name(x)) && put_name(&b, X509_get_issuer_name(x)) && put_serial(&b, x) &&
	       put_der(&b, x);
	ERR_clear_error();
	c->text = good && !b.error ? malloc(b.len) : NULL;
	if (c->text) {
		memcpy(c->text, b.p, b.len);
		at = c->text;
		c->subject = next(&at);
		c->issuer = next(&at);
		c->serial = next(&at);
		c->fingerprint = next(&at);
		c->der = next(&at);
	}
	buf_done(&b);
	return c->text != NULL;
}
