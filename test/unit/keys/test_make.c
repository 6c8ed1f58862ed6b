/*
 * test_make.c: a key is made, comes out in a box that only its maker can open, and signs a request
 * for exactly the names.
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

#include "ask.h"

enum { NOW = 1800000000 };
static const struct ca authority; /* there is none */
static int ask(enum key_kind kind, const char *const *names, uint32_t n, struct key_made *ret)
{
	return ask_key(kind, &authority, NOW, names, n, ret);
}

static void account(void **state)
{
	uint8_t plain[MAKE_BOX_MAX];
	struct key_made m;
	size_t n;

	(void)state;
	assert_int_equal(ask(KEY_ACCOUNT, NULL, 0, &m), 0);
	assert_null(m.csr);
	assert_int_equal(seal_open(secret, m.id, 32, m.box, m.box_n, plain, &n), 0);
	/* For its own id only. */
	m.id[0] ^= 1;
	assert_int_equal(seal_open(secret, m.id, 32, m.box, m.box_n, plain, &n), -EBADMSG);
	make_done(&m);
}

static void certificate(void **state)
{
	static const char *const names[] = {"a.example", "*.b.example"};
	struct key_made m;
	const unsigned char *at;
	X509_REQ *req;
	STACK_OF(X509_EXTENSION) * all;
	GENERAL_NAMES *alt;

	(void)state;
	assert_int_equal(ask(KEY_CERTIFICATE, names, 2, &m), 0);
	at = m.csr;
	req = d2i_X509_REQ(NULL, &at, (long)m.csr_n);
	assert_non_null(req);
	assert_int_equal(X509_REQ_verify(req, m.key), 1);
	all = X509_REQ_get_extensions(req);
	alt = X509V3_get_d2i(all, NID_subject_alt_name, NULL, NULL);
	assert_int_equal(sk_GENERAL_NAME_num(alt), 2);
	for (int i = 0; i < 2; i++) {
		const ASN1_IA5STRING *name = sk_GENERAL_NAME_value(alt, i)->d.dNSName;

		assert_int_equal(sk_GENERAL_NAME_value(alt, i)->type, GEN_DNS);
		assert_int_equal(ASN1_STRING_length(name), strlen(names[i]));
		assert_memory_equal(ASN1_STRING_get0_data(name), names[i], strlen(names[i]));
	}
	GENERAL_NAMES_free(alt);
	sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
	X509_REQ_free(req);
	make_done(&m);
}

/* A name that would be more than one in OpenSSL's list, or something else than a name. */
static void names_only(void **state)
{
	static const char *const bad[] = {"a.example,DNS:bank.example", "a b", "", "A.example",
		"email:x", "a.example\n", "*.*.example", "a*.example"};
	struct key_made m;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(ask(KEY_CERTIFICATE, &bad[i], 1, &m), -EINVAL);
	assert_int_equal(ask(KEY_CERTIFICATE, NULL, 0, &m), -EPROTO);
	assert_int_equal(ask(KEY_ACCOUNT, bad, 1, &m), -EPROTO);
	assert_int_equal(ask((enum key_kind)7, NULL, 0, &m), -EPROTO);
	assert_int_equal(make_key("", 0, secret, &authority, NOW, &m), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(account), cmocka_unit_test(certificate),
		cmocka_unit_test(names_only)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
