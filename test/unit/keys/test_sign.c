/*
 * test_sign.c: what keys signs and what it does not: the content must be a handshake's, the scheme
 * the key's, and the signature one that the certificate's public key verifies.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "keys.h"

static const char context[] = "TLS 1.3, server CertificateVerify";

static struct sign_ask tls13(uint32_t scheme, uint8_t mem[256])
{
	struct sign_ask a = {.m = {.purpose = SIGN_TLS13_SERVER, .scheme = scheme}, .content = mem};

	memset(mem, 7, 256);
	memset(mem, ' ', 64);
	memcpy(mem + 64, context, sizeof(context));
	a.content_n = 64 + sizeof(context) + 32;
	return a;
}

static struct sign_ask tls12(uint32_t scheme, uint8_t mem[256])
{
	struct sign_ask a = {.m = {.purpose = SIGN_TLS12_SERVER, .scheme = scheme},
		.content = mem,
		.content_n = 64 + 4 + 32};

	memset(mem, 7, 256);
	memcpy(mem + 64, "\x03\x00\x1d\x20", 4);
	return a;
}

static void only_handshakes(void **state)
{
	uint8_t mem[256];
	struct sign_ask a = tls13(0x0403, mem);

	(void)state;
	assert_int_equal(sign_allowed(&a), 0);
	a.content_n += 16; /* SHA-384 */
	assert_int_equal(sign_allowed(&a), 0);
	a.content_n++;
	assert_int_equal(sign_allowed(&a), -EPERM);
	/* Each byte before the hash counts. */
	for (unsigned i = 0; i < 64 + sizeof(context); i++) {
		a = tls13(0x0403, mem);
		mem[i] ^= 1;
		assert_int_equal(sign_allowed(&a), -EPERM);
	}
	/* A client's signature would let a gate pass for somebody elsewhere. */
	a = tls13(0x0403, mem);
	memcpy(mem + 64 + 9, "client", 6);
	assert_int_equal(sign_allowed(&a), -EPERM);
	a = tls12(0x0403, mem);
	assert_int_equal(sign_allowed(&a), 0);
	a.content_n--;
	assert_int_equal(sign_allowed(&a), -EPERM);
	a = tls12(0x0403, mem);
	mem[64 + 2] = 26;
	assert_int_equal(sign_allowed(&a), -EPERM);
	a = tls12(0x0403, mem);
	mem[64] = 1;
	assert_int_equal(sign_allowed(&a), -EPERM);
	/* P-256 with a point that is not uncompressed. */
	a = tls12(0x0403, mem);
	memcpy(mem + 64, "\x03\x00\x17\x41\x04", 5);
	a.content_n = 64 + 4 + 65;
	assert_int_equal(sign_allowed(&a), 0);
	mem[68] = 2;
	assert_int_equal(sign_allowed(&a), -EPERM);
}

static void only_known_purposes_and_schemes(void **state)
{
	uint8_t mem[256];
	struct sign_ask a = tls13(0x0403, mem);

	(void)state;
	a.m.purpose = 0;
	assert_int_equal(sign_allowed(&a), -EINVAL);
	a.m.purpose = SIGN_EAB + 1;
	assert_int_equal(sign_allowed(&a), -EINVAL);
	a = tls13(0x0203, mem); /* SHA-1 */
	assert_int_equal(sign_allowed(&a), -EINVAL);
	a = tls13(0x0401, mem); /* PKCS #1 is not TLS 1.3's */
	assert_int_equal(sign_allowed(&a), -EPERM);
	a = tls12(0x0401, mem);
	assert_int_equal(sign_allowed(&a), 0);
}

/* A text with one dot in it, as certs writes it, and nothing else; and it is no handshake. */
static void only_requests_to_authorities(void **state)
{
	static const char good[] = "eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ.e30",
			  *bad[] = {"eyJhbGciOiJFUzI1NiIs", "e30.e30",
				  "eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ.e30.e30",
				  "eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ.e3 0",
				  "eyJhbGciOiJub25lIiwia2lkIjoieCJ9.e30"};
	struct sign_ask a = {.m = {.purpose = SIGN_ACME, .scheme = 0x0403},
		.content = (const uint8_t *)good,
		.content_n = sizeof good - 1};
	uint8_t mem[256];

	(void)state;
	assert_int_equal(sign_allowed(&a), 0);
	a.m.scheme = 0x0503;
	assert_int_equal(sign_allowed(&a), -EPERM);
	a.m.purpose = SIGN_TLS13_SERVER;
	assert_int_equal(sign_allowed(&a), -EPERM);
	a.m.purpose = SIGN_TLS12_SERVER;
	assert_int_equal(sign_allowed(&a), -EPERM);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		a = (struct sign_ask){.m = {.purpose = SIGN_ACME, .scheme = 0x0403},
			.content = (const uint8_t *)bad[i],
			.content_n = strlen(bad[i])};
		assert_int_equal(sign_allowed(&a), -EPERM);
	}
	a = tls13(0x0403, mem);
	a.m.purpose = SIGN_ACME;
	assert_int_equal(sign_allowed(&a), -EPERM);
}

static bool verifies(EVP_PKEY *key, const struct sign_ask *a, const char *digest, bool pss,
	const uint8_t *sig, size_t n)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *ctx;
	bool good = EVP_DigestVerifyInit_ex(md, &ctx, digest, NULL, NULL, key, NULL) == 1;

	if (good && pss)
		good = EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
		       EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0;
	good = good && EVP_DigestVerify(md, sig, n, a->content, a->content_n) == 1;
	EVP_MD_CTX_free(md);
	return good;
}

/* A customer's key signs who he is, and nothing else; nobody else's key signs that. */
static void only_bindings_of_accounts(void **state)
{
	static const char good[] = "eyJhbGciOiJIUzI1NiIsImtpZCI6IngifQ.e30", other[] = "eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ.e30";
	struct sign_ask a = {.m = {.purpose = SIGN_EAB, .scheme = SIGN_SCHEME_HS256},
		.content = (const uint8_t *)good,
		.content_n = sizeof good - 1};
	EVP_PKEY *mac = EVP_PKEY_new_raw_private_key_ex(NULL, "HMAC", NULL, (const uint8_t *)"0123456789abcdef", 16);
	uint8_t signature[SIGNATURE_MAX], mem[256];
	size_t n = 0;

	(void)state;
	assert_non_null(mac);
	assert_int_equal(sign_allowed(&a), 0);
	assert_int_equal(sign_make(mac, &a, signature, &n), 0);
	assert_int_equal(n, 32);
	/* printf '%s' CONTENT | openssl dgst -sha256 -hmac 0123456789abcdef */
	assert_memory_equal(signature, "\x6b\x85\x08\x2c", 4);
	a.m.scheme = 0x0403;
	assert_int_equal(sign_allowed(&a), -EPERM);
	assert_int_equal(sign_make(mac, &a, signature, &n), -EPERM);
	a.m.scheme = SIGN_SCHEME_HS256;
	a.m.purpose = SIGN_ACME;
	assert_int_equal(sign_allowed(&a), -EPERM);
	a.m.purpose = SIGN_EAB;
	a.content = (const uint8_t *)other;
	assert_int_equal(sign_allowed(&a), -EPERM);
	for (uint32_t purpose = SIGN_TLS13_SERVER; purpose <= SIGN_TLS12_SERVER; purpose++) {
		a = purpose == SIGN_TLS13_SERVER ? tls13(SIGN_SCHEME_HS256, mem) : tls12(SIGN_SCHEME_HS256, mem);
		assert_int_equal(sign_allowed(&a), -EPERM);
	}
	EVP_PKEY_free(mac);
}

static void signatures_hold(void **state)
{
	EVP_PKEY *ec = EVP_EC_gen("P-256"), *rsa = EVP_RSA_gen(2048),
		 *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	const struct {
		EVP_PKEY *key;
		uint32_t scheme;
		const char *digest;
		bool pss, tls12;
	} rows[] = {{ec, 0x0403, "SHA256", false, false}, {ec, 0x0403, "SHA256", false, true},
		{ec, 0x0503, "SHA384", false, true}, {rsa, 0x0804, "SHA256", true, false},
		{rsa, 0x0806, "SHA512", true, false}, {rsa, 0x0401, "SHA256", false, true},
		{rsa, 0x0601, "SHA512", false, true}, {ed, 0x0807, NULL, false, false},
		{ed, 0x0807, NULL, false, true}};
	uint8_t sig[SIGNATURE_MAX], mem[256];
	size_t n;

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sign_ask a =
			rows[i].tls12 ? tls12(rows[i].scheme, mem) : tls13(rows[i].scheme, mem);

		assert_int_equal(sign_make(rows[i].key, &a, sig, &n), 0);
		assert_true(verifies(rows[i].key, &a, rows[i].digest, rows[i].pss, sig, n));
		mem[70] ^= 1;
		assert_false(verifies(rows[i].key, &a, rows[i].digest, rows[i].pss, sig, n));
	}
	/* A scheme that is another key's; a curve that is not the scheme's. */
	struct sign_ask a = tls13(0x0403, mem);
	assert_int_equal(sign_make(rsa, &a, sig, &n), -EPERM);
	a.m.scheme = 0x0804;
	assert_int_equal(sign_make(ec, &a, sig, &n), -EPERM);
	a.m.scheme = 0x0503;
	assert_int_equal(sign_make(ec, &a, sig, &n), -EPERM);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ed);
}

static void questions_in_form(void **state)
{
	uint8_t mem[sizeof(struct msg_sign) + SIGN_CONTENT_MAX + 1] = {0};
	struct sign_ask a;

	(void)state;
	assert_int_equal(sign_parse(mem, sizeof(struct msg_sign), &a), -EPROTO);
	assert_int_equal(sign_parse(mem, sizeof(struct msg_sign) - 1, &a), -EPROTO);
	assert_int_equal(sign_parse(mem, sizeof(struct msg_sign) + 1, &a), 0);
	assert_int_equal(a.content_n, 1);
	assert_int_equal(sign_parse(mem, sizeof(mem) - 1, &a), 0);
	assert_int_equal(sign_parse(mem, sizeof(mem), &a), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(only_handshakes),
		cmocka_unit_test(only_known_purposes_and_schemes),
		cmocka_unit_test(only_requests_to_authorities),
		cmocka_unit_test(only_bindings_of_accounts), cmocka_unit_test(signatures_hold),
		cmocka_unit_test(questions_in_form)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
