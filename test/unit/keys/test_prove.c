/*
 * test_prove.c: a certificate that proves a name by TLS has what RFC 8737 section 3 says, for a name
 * and for an address, and is signed with the key that was named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "keys.h"
#include "lib/buf.h"
#include "lib/chan.h"

enum { NOW_S = 1800000000 };
static const uint8_t digest[32] = "thirty-two bytes of a digest ...";

static X509 *made(EVP_PKEY *key, const char *name)
{
	uint8_t der[CHALLENGE_DER_MAX];
	const unsigned char *at = der;
	size_t n;
	X509 *x;

	assert_int_equal(prove_make(key, digest, name, NOW_S, der, &n), 0);
	x = d2i_X509(NULL, &at, (long)n);
	assert_non_null(x);
	assert_ptr_equal(at, der + n);
	return x;
}

static void has_digest(X509 *x)
{
	ASN1_OBJECT *what = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
	int at = X509_get_ext_by_OBJ(x, what, -1);
	const ASN1_OCTET_STRING *value;
	const uint8_t *p;

	assert_true(at >= 0);
	assert_int_equal(X509_get_ext_by_OBJ(x, what, at), -1);
	assert_int_equal(X509_EXTENSION_get_critical(X509_get_ext(x, at)), 1);
	value = X509_EXTENSION_get_data(X509_get_ext(x, at));
	p = ASN1_STRING_get0_data(value);
	assert_int_equal(ASN1_STRING_length(value), 34);
	assert_memory_equal(p, "\x04\x20", 2);
	assert_memory_equal(p + 2, digest, 32);
	ASN1_OBJECT_free(what);
}

static void certificate(void **state)
{
	static const struct {
		const char *name;
		int type;
		size_t n;
		const char *bytes;
	} cases[] = {{"a.example", GEN_DNS, 9, "a.example"},
		{"192.0.2.7", GEN_IPADD, 4, "\xc0\x00\x02\x07"},
		{"2001:db8::7", GEN_IPADD, 16, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"}};
	EVP_PKEY *key = EVP_EC_gen("P-256");
	time_t now = NOW_S;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		X509 *x = made(key, cases[i].name);
		GENERAL_NAMES *alt = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(alt, 0);

		assert_int_equal(X509_verify(x, key), 1);
		has_digest(x);
		/* The one name and no other. */
		assert_int_equal(sk_GENERAL_NAME_num(alt), 1);
		assert_int_equal(name->type, cases[i].type);
		assert_int_equal(ASN1_STRING_length(name->d.ia5), cases[i].n);
		assert_memory_equal(ASN1_STRING_get0_data(name->d.ia5), cases[i].bytes, cases[i].n);
		assert_int_equal(X509_cmp_time(X509_get0_notBefore(x), &now), -1);
		assert_int_equal(X509_cmp_time(X509_get0_notAfter(x), &now), 1);
		GENERAL_NAMES_free(alt);
		X509_free(x);
	}
	EVP_PKEY_free(key);
}

static int parse(const char *name, size_t cut, const char **ret)
{
	static struct msg_key_prove m;
	static char mem[1024];
	struct buf b;

	buf_init(&b, sizeof mem);
	buf_put(&b, &m, sizeof m);
	pack_str(&b, name);
	memcpy(mem, b.p, b.len);
	cut = b.len - cut;
	buf_done(&b);
	return prove_parse(mem, cut, &m, ret);
}

static void names_only(void **state)
{
	static const char *const bad[] = {"a.example,DNS:bank.example", "a b", "", "A.example",
		"email:x", "1.2.3.4,IP:5.6.7.8", "::1%lo"};
	const char *name = NULL;

	(void)state;
	assert_int_equal(parse("a.example", 0, &name), 0);
	assert_string_equal(name, "a.example");
	for (size_t cut = 1; cut < 70; cut++)
		assert_int_equal(parse("a.example", cut, &name), -EPROTO);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(parse(bad[i], 0, &name), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(certificate), cmocka_unit_test(names_only)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
