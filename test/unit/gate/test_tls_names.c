/*
 * test_tls_names.c: names that clients send in a hello, and what certificates of clients say of themselves, at their
 * bounds; also when libcrypto has no memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gate.h"
#include "lib/must.h"
#include "tls_server.h"
#include "../short_memory.h"

#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The end of a gate, which the process defines. */
void gate_drained(struct gate *g)
{
	(void)g;
}

/* stead's own allocations are wrapped (meson.build), and libcrypto's with them: one of those is counted twice. */
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_malloc(size_t n)
{
	return short_memory_fails() ? NULL : __real_malloc(n);
}

void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n)
{
	return short_memory_fails() ? NULL : __real_realloc(p, n);
}

static void hellos(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *name; /* NULL: refused */
	} rows[] = {
		{"\0\4\0\0\1a", 6, "a"},
		{"\0\6\0\0\3A.b", 8, "a.b"},
		{"\0\5\0\0\2a.", 7, "a"},
		{"\0\4\0\0\1.", 6, "."},
		{"\0\5\0\0\2a ", 7, NULL},
		{"\0\5\0\0\2a\x7f", 7, NULL},
		{"\0\5\0\0\2a\x80", 7, NULL},
		{"\0\5\0\0\2a\xff", 7, NULL},
		{"\0\5\0\0\2a\0", 7, NULL},
		{"\0\3\0\0\0", 5, NULL},
		{"\0\4\1\0\1a", 6, NULL},
		{"\0\5\0\0\1a", 6, NULL},
		{"\0\4\0\0\2a", 6, NULL},
		{"\0\2\0\0", 4, NULL},
	};
	uint8_t large[300] = {1, 2, 0, 0, 255};
	char name[TLS_NAME_MAX];
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool good = tls_sni_read((const uint8_t *)rows[i].bytes, rows[i].n, name, &n);

		if (good != (rows[i].name != NULL) || n != (good ? strlen(rows[i].name) : 0))
			fail_msg("row %zu", i);
		if (good)
			assert_memory_equal(name, rows[i].name, n);
	}
	memset(large + 5, 'a', sizeof(large) - 5);
	for (size_t len = TLS_NAME_MAX - 1; len <= TLS_NAME_MAX; len++) {
		large[0] = (uint8_t)((len + 3) >> 8);
		large[1] = (uint8_t)(len + 3);
		large[3] = (uint8_t)(len >> 8);
		large[4] = (uint8_t)len;
		assert_int_equal(tls_sni_read(large, len + 5, name, &n), len < TLS_NAME_MAX);
	}
}

static void name_of(X509_NAME *name, const char *cn, size_t n)
{
	assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, (int)n, -1, 0), 1);
}

/* Signed by itself; as many bytes of serial number, and of an extension. */
static X509 *made(const char *subject, const char *issuer, size_t serial_n, size_t extension_n)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	char long_serial[200];
	ASN1_OCTET_STRING *text = ASN1_OCTET_STRING_new();
	unsigned char *filler = calloc(1, extension_n + 1);
	ASN1_OBJECT *id = OBJ_txt2obj("1.2.3.4", 1);
	X509_EXTENSION *extension;

	memset(long_serial, 0x11, sizeof(long_serial));
	assert_int_equal(ASN1_STRING_set(X509_get_serialNumber(x), long_serial, (int)serial_n), 1);
	name_of(X509_get_subject_name(x), subject, strlen(subject));
	name_of(X509_get_issuer_name(x), issuer, strlen(issuer));
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	assert_int_equal(ASN1_OCTET_STRING_set(text, filler, (int)extension_n), 1);
	extension = X509_EXTENSION_create_by_OBJ(NULL, id, 0, text);
	assert_int_equal(X509_add_ext(x, extension, -1), 1);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	X509_EXTENSION_free(extension);
	ASN1_OCTET_STRING_free(text);
	ASN1_OBJECT_free(id);
	EVP_PKEY_free(key);
	free(filler);
	return x;
}

static bool reads(X509 *x, struct tls_client *c)
{
	memset(c, 0, sizeof(*c));
	return tls_subject_read(c, x);
}

static void done(X509 *x, struct tls_client *c)
{
	free(c->text);
	X509_free(x);
}

static void certificates(void **state)
{
	static struct tls_client c;
	X509 *x = made("ann \xc3\xa9,x\n", "an authority", 2, 10);

	(void)state;
	assert_true(reads(x, &c));
	assert_string_equal(c.subject, "CN=ann \\C3\\A9\\,x\\0A");
	assert_string_equal(c.issuer, "CN=an authority");
	assert_string_equal(c.serial, "1111");
	assert_int_equal(strlen(c.fingerprint), 64);
	assert_true(c.der[0] == ':' && c.der[strlen(c.der) - 1] == ':');
	done(x, &c);
	/* one that is too large for a field is told by its sum alone */
	x = made("ann", "authority", 64, 5000);
	assert_true(reads(x, &c));
	assert_string_equal(c.der, "");
	assert_int_equal(strlen(c.serial), 128);
	done(x, &c);
	x = made("ann", "authority", 65, 10);
	assert_false(reads(x, &c));
	done(x, &c);
}

/* What libcrypto hands on as it is: the short name of a kind of attribute that somebody gave a control character. */
static void odd_attributes(void **state)
{
	static const char *const names[] = {"o\x01d", "o\x7f" "d"};
	static struct tls_client c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char oid[32];
		X509 *x = made("ann", "authority", 2, 10);

		snprintf(oid, sizeof(oid), "1.3.6.1.4.1.99999.%zu", i);
		assert_int_not_equal(OBJ_create(oid, names[i], NULL), NID_undef);
		assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), oid, MBSTRING_UTF8,
					 (const unsigned char *)"v", 1, -1, 0),
			1);
		assert_false(reads(x, &c));
		assert_null(c.text);
		done(x, &c);
	}
}

/* Names that are too long: as many attributes as it takes, for one holds 64 characters. */
static void long_names(void **state)
{
	static struct tls_client c;
	char part[64];

	(void)state;
	memset(part, 'a', sizeof(part));
	for (unsigned issuer = 0; issuer < 2; issuer++) {
		X509 *x = made("ann", "authority", 2, 10);
		X509_NAME *name = issuer ? X509_get_issuer_name(x) : X509_get_subject_name(x);

		for (size_t n = 0; n <= TLS_CLIENT_TEXT_MAX; n += sizeof(part))
			name_of(name, part, sizeof(part));
		assert_false(reads(x, &c));
		assert_null(c.text);
		done(x, &c);
	}
}

static void what_is_no_certificate(void **state)
{
	static struct tls_client c;
	X509 *x = X509_new();

	(void)state;
	/* nothing in it is set: no serial number, and no bytes that it could be written as */
	assert_false(reads(x, &c));
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 7), 1);
	assert_false(reads(x, &c));
	done(x, &c);
}

/* Every allocation fails once: no name, nothing half. */
static void no_memory(void **state)
{
	static struct tls_client c;
	X509 *x = made("ann", "authority", 2, 10);
	unsigned nth = 1, refused = 0;
	bool hit;

	(void)state;
	for (hit = true; hit; nth++) {
		bool good;

		*short_memory_at() = nth;
		good = reads(x, &c);
		hit = *short_memory_at() == 0;
		*short_memory_at() = 0;
		assert_true(good || !c.text);
		assert_true(good || hit);
		refused += !good;
		if (good)
			assert_string_equal(c.subject, "CN=ann");
		free(c.text);
	}
	assert_true(refused > 5);
	c.text = NULL;
	done(x, &c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hellos),
		cmocka_unit_test(certificates),
		cmocka_unit_test(odd_attributes),
		cmocka_unit_test(long_names),
		cmocka_unit_test(what_is_no_certificate),
		cmocka_unit_test(no_memory),
	};

	short_memory_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
