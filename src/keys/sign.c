/*
 * sign.c: questions for signatures; see keys.h. Called by main.c and the fuzz target. Owns nothing.
 * What is asked is signed whole, never a digest of somebody else's making, so its meaning can be
 * looked at here.
 */
#include "keys.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#include "lib/chan.h"

enum kind { RSA_PSS = 1, RSA_PKCS1, ECDSA, EDDSA, HS };

/* Of RFC 8446 section 4.2.3. bits: of the curve; RSA keys have any size from 2048 on. */
static const struct scheme {
	uint16_t number;
	uint8_t kind; /* enum kind */
	bool tls13;
	int bits;
	const char *digest;
} schemes[] = {
	{0x0804, RSA_PSS, true, 0, "SHA256"},
	{0x0805, RSA_PSS, true, 0, "SHA384"},
	{0x0806, RSA_PSS, true, 0, "SHA512"},
	{0x0401, RSA_PKCS1, false, 0, "SHA256"},
	{0x0501, RSA_PKCS1, false, 0, "SHA384"},
	{0x0601, RSA_PKCS1, false, 0, "SHA512"},
	{0x0403, ECDSA, true, 256, "SHA256"},
	{0x0503, ECDSA, true, 384, "SHA384"},
	{0x0603, ECDSA, true, 521, "SHA512"},
	{0x0807, EDDSA, true, 253, NULL},
	{SIGN_SCHEME_HS256, HS, false, 0, "SHA256"},
};

static const struct scheme *scheme_of(uint32_t number)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (schemes[i].number == number)
			return &schemes[i];
	return NULL;
}

bool sign_is_for_authority(uint32_t purpose)
{
	return purpose == SIGN_ACME || purpose == SIGN_EAB;
}

int sign_parse(const void *payload, size_t n, struct sign_ask *ret)
{
	if (n <= sizeof(ret->m))
		return -EPROTO;
	memcpy(&ret->m, payload, sizeof(ret->m));
	if (n - sizeof(ret->m) > (sign_is_for_authority(ret->m.purpose) ? SIGN_ACME_MAX : SIGN_CONTENT_MAX))
		return -EPROTO;
	ret->content = (const uint8_t *)payload + sizeof(ret->m);
	ret->content_n = n - sizeof(ret->m);
	return 0;
}

/* 64 blanks, the context, a zero, a hash of the handshake. */
static bool is_tls13_server(const uint8_t *p, size_t n)
{
	static const char context[] = "TLS 1.3, server CertificateVerify"; /* its NUL is the zero */

	if (n != 64 + sizeof(context) + 32 && n != 64 + sizeof(context) + 48)
		return false;
	for (unsigned i = 0; i < 64; i++)
		if (p[i] != ' ')
			return false;
	return memcmp(p + 64, context, sizeof(context)) == 0;
}

/* Both sides' random bytes, then a public key on a named curve. */
static bool is_tls12_server(const uint8_t *p, size_t n)
{
	static const struct {
		uint8_t curve, len;
		bool nist;
	} curves[] = {
		{23, 65, true}, {24, 97, true}, {25, 133, true}, {29, 32, false}, {30, 56, false}};
	enum { AT = 64, NAMED_CURVE = 3, UNCOMPRESSED = 4 };

	if (n < AT + 5 || p[AT] != NAMED_CURVE || p[AT + 1] != 0)
		return false;
	for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
		if (p[AT + 2] == curves[i].curve)
			return p[AT + 3] == curves[i].len && n == AT + 4u + curves[i].len &&
			       (!curves[i].nist || p[AT + 4] == UNCOMPRESSED);
	return false;
}

static bool is_base64url(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* What JWS signs (RFC 7515 section 5.1): two texts in base64url with a dot between; the first begins with the
 * algorithm, as our own certs writes it. So neither kind of key signs what is meant for the other. */
static bool is_jws(const uint8_t *p, size_t n, const char *begin)
{
	size_t len = strlen(begin);
	unsigned dots = 0;

	if (n <= len || memcmp(p, begin, len) != 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (p[i] == '.')
			dots++;
		else if (!is_base64url(p[i]))
			return false;
	return dots == 1;
}

int sign_allowed(const struct sign_ask *ask)
{
	const struct scheme *s = scheme_of(ask->m.scheme);

	if (!s)
		return -EINVAL;
	switch ((enum sign_purpose)ask->m.purpose) {
	case SIGN_TLS13_SERVER:
		return s->tls13 && is_tls13_server(ask->content, ask->content_n) ? 0 : -EPERM;
	case SIGN_TLS12_SERVER:
		return s->kind != HS && is_tls12_server(ask->content, ask->content_n) ? 0 : -EPERM;
	case SIGN_ACME:
		return s->kind == ECDSA && s->bits == 256 &&
				       is_jws(ask->content, ask->content_n, "eyJhbGciOiJFUzI1NiIs") /* {"alg":"ES256", */
			       ? 0
			       : -EPERM;
	case SIGN_EAB:
		return s->kind == HS && is_jws(ask->content, ask->content_n, "eyJhbGciOiJIUzI1NiIs") /* {"alg":"HS256", */
			       ? 0
			       : -EPERM;
	default:
		return -EINVAL;
	}
}

static bool fits(const EVP_PKEY *key, const struct scheme *s)
{
	switch ((enum kind)s->kind) {
	case RSA_PSS:
	case RSA_PKCS1:
		return EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= 2048;
	case ECDSA:
		return EVP_PKEY_is_a(key, "EC");
	case EDDSA:
		return EVP_PKEY_is_a(key, "ED25519");
	case HS:
		return EVP_PKEY_is_a(key, "HMAC");
	}
	return false;
}

int sign_make(EVP_PKEY *key, const struct sign_ask *ask, uint8_t ret[SIGNATURE_MAX], size_t *ret_n)
{
	const struct scheme *s = scheme_of(ask->m.scheme);
	EVP_MD_CTX *md;
	EVP_PKEY_CTX *ctx;
	size_t n = SIGNATURE_MAX;
	bool good;

	if (!s || !fits(key, s))
		return -EPERM;
	/* TLS 1.3 binds the curve to the scheme, TLS 1.2 does not. */
	if (s->kind == ECDSA && ask->m.purpose != SIGN_TLS12_SERVER &&
		EVP_PKEY_get_bits(key) != s->bits)
		return -EPERM;
	md = EVP_MD_CTX_new();
	good = md && EVP_DigestSignInit_ex(md, &ctx, s->digest, NULL, NULL, key, NULL) == 1;
	if (good && s->kind == RSA_PSS)
		good = EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
		       EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0;
	good = good && EVP_DigestSign(md, ret, &n, ask->content, ask->content_n) == 1;
	EVP_MD_CTX_free(md);
	ERR_clear_error();
	if (!good)
		return -EIO;
	*ret_n = n;
	return 0;
}
