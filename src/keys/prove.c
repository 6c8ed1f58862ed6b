/*
 * prove.c: certificates that prove a name to an authority by TLS (RFC 8737 section 3; of an address
 * RFC 8738 section 6); see keys.h. Called by main.c and tests. Owns nothing. All that is in one is
 * made here but the name and the digest, and nobody else's bytes are signed.
 */
#include "keys.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "lib/chan.h"

enum { DAY_S = 86400 };

int prove_parse(const void *payload, size_t n, struct msg_key_prove *ret, const char **ret_name)
{
	char mem[300];
	struct unpack u;
	const char *name;
	struct buf b;

	if (n < sizeof(*ret))
		return -EPROTO;
	unpack_init(&u, (const char *)payload + sizeof(*ret), n - sizeof(*ret));
	name = unpack_str(&u);
	if (!unpack_done(&u))
		return -EPROTO;
	buf_fixed(&b, mem, sizeof(mem));
	if (!make_put_name(&b, name) || b.error)
		return -EINVAL;
	memcpy(ret, payload, sizeof(*ret));
	*ret_name = name;
	return 0;
}

static bool put_name(X509 *x, const char *name)
{
	char mem[300];
	struct buf b;
	X509_EXTENSION *one = NULL;
	bool good;

	buf_fixed(&b, mem, sizeof(mem));
	if (make_put_name(&b, name))
		buf_putc(&b, '\0');
	if (b.len && !b.error)
		one = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, mem);
	good = one && X509_add_ext(x, one, -1) == 1;
	X509_EXTENSION_free(one);
	return good;
}

/* acmeIdentifier: critical; its value is the digest as an octet string. */
static bool put_digest(X509 *x, const uint8_t digest[32])
{
	uint8_t der[34] = {V_ASN1_OCTET_STRING, 32};
	ASN1_OBJECT *what = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	X509_EXTENSION *one = NULL;
	bool good;

	memcpy(der + 2, digest, 32);
	if (what && value && ASN1_OCTET_STRING_set(value, der, sizeof(der)) == 1)
		one = X509_EXTENSION_create_by_OBJ(NULL, what, 1, value);
	good = one && X509_add_ext(x, one, -1) == 1;
	X509_EXTENSION_free(one);
	ASN1_OCTET_STRING_free(value);
	ASN1_OBJECT_free(what);
	return good;
}

int prove_make(EVP_PKEY *key, const uint8_t digest[32], const char *name, uint64_t now_s,
	uint8_t ret[CHALLENGE_DER_MAX], size_t *ret_n)
{
	static const char who[] = "acme-tls/1";
	time_t now = (time_t)now_s;
	X509 *x = X509_new();
	X509_NAME *subject = x ? X509_get_subject_name(x) : NULL;
	unsigned char *der = NULL;
	int n = -1;

	if (x && X509_set_version(x, X509_VERSION_3) == 1 &&
		ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), now_s | 1) == 1 &&
		X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_ASC,
			(const unsigned char *)who, -1, -1, 0) == 1 &&
		X509_set_issuer_name(x, subject) == 1 &&
		X509_time_adj_ex(X509_getm_notBefore(x), -1, 0, &now) &&
		X509_time_adj_ex(X509_getm_notAfter(x), 1, 0, &now) && X509_set_pubkey(x, key) == 1 &&
		put_name(x, name) && put_digest(x, digest) && X509_sign(x, key, EVP_sha256()) > 0)
		n = i2d_X509(x, &der);
	X509_free(x);
	ERR_clear_error();
	if (n > 0 && n <= CHALLENGE_DER_MAX) {
		memcpy(ret, der, (size_t)n);
		*ret_n = (size_t)n;
	}
	OPENSSL_free(der);
	return n > 0 && n <= CHALLENGE_DER_MAX ? 0 : -EIO;
}
