/*
 * chain.c: a certificate chain as an authority gives it (RFC 8555 section 9.1); see certs.h.
 *
 * Called by order.c and the fuzz target with bytes of a server. Owns nothing but what it returns.
 */
#include "certs.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <strings.h>

#include "lib/hostname.h"
#include "seal/x509.h"

enum { DER_MAX = 16 * 1024 };

void chain_done(struct acme_chain *c)
{
	for (unsigned i = 0; i < c->n; i++)
		buf_done(&c->der[i]);
	c->n = 0;
}

/* Authority key identifier and serial number: RFC 9773 section 4.1. */
static void name_for_ari(X509 *leaf, struct acme_chain *c)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(leaf);
	const ASN1_OCTET_STRING *issuer = X509_get0_authority_key_id(leaf);
	unsigned char *der = NULL, *content;
	int n = i2d_ASN1_INTEGER(serial, &der);
	struct buf b;

	c->ari[0] = '\0';
	/* The content's octets alone: a serial of RFC 5280 has at most 20, so the length is one
	 * byte. */
	if (n > 2 && n <= 2 + 21) {
		content = der + 2;
		buf_fixed(&b, c->serial, sizeof c->serial);
		/* As people write it: without the zero that only says it is positive. */
		for (int i = content[0] == 0 && n > 3; i < n - 2; i++)
			buf_printf(&b, "%02x", content[i]);
		(void)buf_str(&b);
		if (issuer && ASN1_STRING_length(issuer) > 0 && ASN1_STRING_length(issuer) <= 64) {
			buf_fixed(&b, c->ari, sizeof c->ari);
			base64url_put(&b, ASN1_STRING_get0_data(issuer),
				(size_t)ASN1_STRING_length(issuer));
			buf_putc(&b, '.');
			base64url_put(&b, content, (size_t)n - 2);
			(void)buf_str(&b);
		}
	}
	OPENSSL_free(der);
}

static bool look_at_leaf(X509 *leaf, struct acme_chain *c)
{
	unsigned char *der = NULL;
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &der);
	bool good = n > 0 && EVP_Digest(der, (size_t)n, c->key, NULL, EVP_sha256(), NULL) == 1;

	OPENSSL_free(der);
	c->not_before_s = x509_seconds(X509_get0_notBefore(leaf));
	c->not_after_s = x509_seconds(X509_get0_notAfter(leaf));
	name_for_ari(leaf, c);
	return good && c->not_after_s > c->not_before_s && c->serial[0];
}

static bool add(struct acme_chain *c, X509 *x, EVP_MD_CTX *sum)
{
	unsigned char *der = NULL;
	int n = i2d_X509(x, &der);
	struct buf *b = &c->der[c->n];
	bool good = n > 0 && n <= DER_MAX && EVP_DigestUpdate(sum, der, (size_t)n) == 1;

	if (good) {
		buf_init(b, DER_MAX);
		buf_put(b, der, (size_t)n);
		c->n++;
		good = b->error == 0;
	}
	OPENSSL_free(der);
	return good;
}

int chain_parse(const char *p, size_t n, struct acme_chain *ret)
{
	struct acme_chain c = {0};
	STACK_OF(X509) *all = NULL;
	EVP_MD_CTX *sum = EVP_MD_CTX_new();
	bool good = sum && n <= ACME_BODY_MAX && x509_read_chain(p, n, ACME_CHAIN_MAX, NULL, &all) == 0 &&
		    EVP_DigestInit_ex(sum, EVP_sha256(), NULL) == 1 &&
		    look_at_leaf(sk_X509_value(all, 0), &c);

	for (int i = 0; good && i < sk_X509_num(all); i++)
		good = add(&c, sk_X509_value(all, i), sum);
	good = good && EVP_DigestFinal_ex(sum, c.id, NULL) == 1;
	ERR_clear_error();
	sk_X509_pop_free(all, X509_free);
	EVP_MD_CTX_free(sum);
	if (!good) {
		chain_done(&c);
		return -EBADMSG;
	}
	*ret = c;
	return 0;
}

bool chain_covers(const struct acme_chain *c, const char *const *names, unsigned n)
{
	const unsigned char *at = c->n ? (const unsigned char *)c->der[0].p : NULL;
	X509 *leaf = at ? d2i_X509(NULL, &at, (long)c->der[0].len) : NULL;
	bool all = leaf != NULL;

	for (unsigned i = 0; all && i < n; i++)
		all = (hostname_is_address(names[i])
				      ? X509_check_ip_asc(leaf, names[i], 0)
				      : X509_check_host(leaf, names[i], 0, 0, NULL)) == 1;
	X509_free(leaf);
	ERR_clear_error();
	return all;
}

bool chain_leads_to(const struct acme_chain *c, const char *root)
{
	const unsigned char *at = c->n ? (const unsigned char *)c->der[c->n - 1].p : NULL;
	X509 *last = at ? d2i_X509(NULL, &at, (long)c->der[c->n - 1].len) : NULL;
	char name[256] = "";
	int n = last ? X509_NAME_get_text_by_NID(X509_get_issuer_name(last), NID_commonName, name, sizeof name) : -1;

	X509_free(last);
	ERR_clear_error();
	return n > 0 && (size_t)n == strlen(root) && strncasecmp(name, root, (size_t)n) == 0;
}
