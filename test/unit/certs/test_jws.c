/*
 * test_jws.c: the signed form of a request, checked by OpenSSL itself, and the thumbprint of RFC
 * 7638.
 */
#include "test.h"
#include "certs.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <string.h>

static EVP_PKEY *make(struct jws_key *ret)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIGNUM *x = NULL, *y = NULL;

	assert_non_null(key);
	assert_int_equal(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x), 1);
	assert_int_equal(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &y), 1);
	assert_int_equal(BN_bn2binpad(x, ret->x, 32), 32);
	assert_int_equal(BN_bn2binpad(y, ret->y, 32), 32);
	BN_free(x);
	BN_free(y);
	return key;
}

static size_t unbase64url(const char *p, size_t n, uint8_t *ret)
{
	char text[4096];
	int got;

	memcpy(text, p, n);
	for (size_t i = 0; i < n; i++)
		text[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
	while (n % 4)
		text[n++] = 'A';
	got = EVP_DecodeBlock(ret, (unsigned char *)text, (int)n);
	assert_true(got >= 0);
	return (size_t)got;
}

static void whole(void **state)
{
	struct jws_key pub;
	EVP_PKEY *key = make(&pub);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t der[128], raw[80], again[128], *at = again;
	size_t der_n = sizeof der;
	struct buf in, out;
	ECDSA_SIG *sig = ECDSA_SIG_new();
	char text[8192];
	const char *p;
	int n;

	(void)state;
	buf_init(&in, 8192);
	buf_init(&out, 8192);
	jws_put_input(&in, &pub, "https://a.example/acct/1", "nonce-1", "https://a.example/new",
		"{\"a\":1}");
	assert_int_equal(in.error, 0);
	assert_int_equal(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key), 1);
	assert_int_equal(EVP_DigestSign(md, der, &der_n, (const unsigned char *)in.p, in.len), 1);
	assert_int_equal(jws_put(&out, in.p, in.len, der, der_n), 0);
	/* The signature of 64 bytes is the one that was made, over exactly the two texts with a
	 * dot. */
	p = strstr(buf_str(&out), "\"signature\":\"") + strlen("\"signature\":\"");
	assert_int_equal(strcspn(p, "\""), 86);
	(void)unbase64url(p, 86, raw);
	assert_int_equal(
		ECDSA_SIG_set0(sig, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL)), 1);
	n = i2d_ECDSA_SIG(sig, &at);
	assert_int_equal(n, der_n);
	assert_memory_equal(again, der, der_n);
	n = (int)unbase64url(
		in.p, (size_t)((char *)memchr(in.p, '.', in.len) - in.p), (uint8_t *)text);
	text[n] = '\0';
	assert_non_null(
		strstr(text, "{\"alg\":\"ES256\",\"kid\":\"https://a.example/acct/"
			     "1\",\"nonce\":\"nonce-1\",\"url\":\"https://a.example/new\"}"));
	/* A signature that is none. */
	buf_reset(&out);
	assert_int_equal(jws_put(&out, in.p, in.len, der, der_n - 1), -EBADMSG);
	ECDSA_SIG_free(sig);
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(key);
	buf_done(&in);
	buf_done(&out);
}

static void as_get(void **state)
{
	struct jws_key key = {0};
	struct buf b;

	(void)state;
	buf_init(&b, 8192);
	jws_put_input(&b, &key, NULL, "n", "https://a.example/x", NULL);
	/* POST-as-GET: nothing behind the dot (RFC 8555 section 6.3). */
	assert_int_equal(b.p[b.len - 1], '.');
	buf_done(&b);
}

/* The thumbprint of this form of RFC 7638; reckoned with openssl and base64. */
static void thumbprint(void **state)
{
	struct jws_key key;
	char text[44];

	(void)state;
	for (unsigned i = 0; i < 32; i++) {
		key.x[i] = (uint8_t)i;
		key.y[i] = (uint8_t)(255 - i);
	}
	assert_int_equal(jws_thumbprint(&key, text), 0);
	assert_string_equal(text, "cVx2MJVwKbTarAcBy6NnORpMdk3ceceZIaq64mJbYbQ");
}

/* Who the customer is (RFC 8555 section 7.3.4): no nonce, and the account's own key is what is signed. */
static void binding(void **state)
{
	struct jws_key key = {0};
	struct buf in, out;

	(void)state;
	buf_init(&in, 8192);
	buf_init(&out, 8192);
	jws_put_binding_input(&in, &key, "kid \"1\"", "https://a.example/new");
	assert_int_equal(in.error, 0);
	/* {"alg":"HS256","kid":"kid \"1\"","url":"https://a.example/new"} */
	assert_memory_equal(in.p,
		"eyJhbGciOiJIUzI1NiIsImtpZCI6ImtpZCBcIjFcIiIsInVybCI6Imh0dHBzOi8vYS5leGFtcGxlL25ldyJ9.eyJjcnYiOiJQLTI1NiIs",
		105);
	assert_int_equal(jws_put_binding(&out, in.p, in.len, "\x01\x02\x03", 3), 0);
	assert_non_null(strstr(buf_str(&out), "\"signature\":\"AQID\"}"));
	buf_done(&in);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole), cmocka_unit_test(as_get), cmocka_unit_test(thumbprint),
		cmocka_unit_test(binding)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
