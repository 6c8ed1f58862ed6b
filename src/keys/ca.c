/*
 * ca.c: the certificate of the user's own authority, and those that it signs (RFC 5280); see ca.h.
 * Called by make.c, ca_store.c and tests. Owns nothing behind a call. Touches no descriptor and no
 * clock.
 */
#include "ca.h"
#include "keys.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sys.h"
#include "seal/local_ca.h"
#include "snap/cert_box.h"

enum { SERIAL_BYTES = 16, HOUR_S = 3600, DAY_S = 86400, HOST_SHOWN = 30 };

static bool extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX ctx;
	bool good;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	good = e && X509_add_ext(x, e, -1) == 1;
	X509_EXTENSION_free(e);
	return good;
}

static bool set_serial(X509 *x, char ret_hex[2 * SERIAL_BYTES + 1])
{
	uint8_t bytes[SERIAL_BYTES];
	BIGNUM *n;
	bool good;

	if (sys_random(bytes, sizeof bytes) < 0)
		return false;
	/* Positive, and as long as it looks. */
	bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40);
	for (unsigned i = 0; i < SERIAL_BYTES; i++)
		(void)snprintf(ret_hex + 2 * i, 3, "%02x", bytes[i]);
	n = BN_bin2bn(bytes, sizeof bytes, NULL);
	good = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
	BN_free(n);
	return good;
}

static bool set_time(ASN1_TIME *at, uint64_t s)
{
	return ASN1_TIME_set(at, (time_t)s) != NULL;
}

static X509 *begin(EVP_PKEY *key, const char *name, uint64_t from_s, uint64_t to_s,
	char ret_serial[2 * SERIAL_BYTES + 1])
{
	X509 *x = X509_new();
	X509_NAME *subject = x ? X509_get_subject_name(x) : NULL;

	if (subject && X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x, ret_serial) &&
		X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_ASC,
			(const unsigned char *)"stead", -1, -1, 0) == 1 &&
		X509_NAME_add_entry_by_txt(
			subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0) == 1 &&
		set_time(X509_getm_notBefore(x), from_s) && set_time(X509_getm_notAfter(x), to_s) &&
		X509_set_pubkey(x, key) == 1)
		return x;
	X509_free(x);
	return NULL;
}

int ca_make(const char *host, uint64_t now_s, struct ca *ret)
{
	struct ca ca = {.key = EVP_EC_gen("P-256")};
	char serial[2 * SERIAL_BYTES + 1];
	uint8_t mark[3];
	bool good;

	if (!ca.key || sys_random(mark, sizeof mark) < 0) {
		EVP_PKEY_free(ca.key);
		return -EIO;
	}
	(void)snprintf(ca.name, sizeof ca.name, "stead local CA %.*s %02x%02x%02x", HOST_SHOWN,
		host, mark[0], mark[1], mark[2]);
	ca.cert = begin(ca.key, ca.name, now_s - HOUR_S, now_s + (uint64_t)CA_DAYS * DAY_S, serial);
	good = ca.cert && X509_set_issuer_name(ca.cert, X509_get_subject_name(ca.cert)) == 1 &&
	       extend(ca.cert, ca.cert, NID_subject_key_identifier, "hash") &&
	       extend(ca.cert, ca.cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	       extend(ca.cert, ca.cert, NID_key_usage, "critical,keyCertSign") &&
	       extend(ca.cert, ca.cert, NID_ext_key_usage, "serverAuth") &&
	       extend(ca.cert, ca.cert, NID_name_constraints, LOCAL_CA_NAMES) &&
	       X509_sign(ca.cert, ca.key, EVP_sha256()) > 0;
	ERR_clear_error();
	if (!good) {
		ca_done(&ca);
		return -EIO;
	}
	*ret = ca;
	return 0;
}

int ca_read(const void *cert, size_t cert_n, const void *key, size_t key_n, uint64_t now_s,
	struct ca *ret)
{
	const unsigned char *at = cert, *key_at = key;
	struct ca ca = {.cert = d2i_X509(NULL, &at, (long)cert_n),
		.key = d2i_AutoPrivateKey(NULL, &key_at, (long)key_n)};
	time_t then = (time_t)(now_s + (uint64_t)CA_LEAF_DAYS * DAY_S);
	int err = -EBADMSG;

	if (ca.cert && ca.key && X509_check_private_key(ca.cert, ca.key) == 1 &&
		local_ca_is_confined(ca.cert) &&
		X509_NAME_get_text_by_NID(X509_get_subject_name(ca.cert), NID_commonName, ca.name,
			sizeof ca.name) > 0)
		err = X509_cmp_time(X509_get0_notAfter(ca.cert), &then) > 0 ? 0 : -ESTALE;
	ERR_clear_error();
	if (err)
		ca_done(&ca);
	else
		*ret = ca;
	return err;
}

void ca_done(struct ca *ca)
{
	EVP_PKEY_free(ca->key);
	X509_free(ca->cert);
	*ca = (struct ca){0};
}

/* What is known of it, as CertificateBox= has it. */
static int put_whole(const struct ca *ca, const char *names, const char *serial,
	struct cert_box head, struct key_made *m)
{
	struct buf b;

	memcpy(head.key, m->id, sizeof head.key);
	if (EVP_Digest(m->csr, m->csr_n, head.id, NULL, EVP_sha256(), NULL) != 1)
		return -EIO;
	buf_init(&b, CERT_NAMES_TEXT_MAX + 4096);
	cert_box_put(&b, &(struct cert_box_view){.head = head,
				 .names = names,
				 .issuer = ca->name,
				 .serial = serial,
				 .box = (const char *)m->box,
				 .box_n = m->box_n});
	if (b.error) {
		buf_done(&b);
		return -ENOMEM;
	}
	m->whole = (uint8_t *)b.p; /* the memory is its own now */
	m->whole_n = b.len;
	return 0;
}

int ca_sign(const struct ca *ca, const char *list, const char *names, uint64_t now_s,
	struct key_made *m)
{
	struct cert_box head = {.not_before_s = now_s - HOUR_S,
		.not_after_s = now_s + (uint64_t)CA_LEAF_DAYS * DAY_S};
	char serial[2 * SERIAL_BYTES + 1], first[CA_NAME_MAX];
	unsigned char *der = NULL;
	X509 *x;
	int n = -1;

	(void)snprintf(first, sizeof first, "%.*s", (int)strcspn(names, " "), names);
	x = begin(m->key, first, head.not_before_s, head.not_after_s, serial);
	if (x && X509_set_issuer_name(x, X509_get_subject_name(ca->cert)) == 1 &&
		extend(x, ca->cert, NID_subject_alt_name, list) &&
		extend(x, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
		extend(x, ca->cert, NID_key_usage, "critical,digitalSignature") &&
		extend(x, ca->cert, NID_ext_key_usage, "serverAuth") &&
		extend(x, ca->cert, NID_subject_key_identifier, "hash") &&
		extend(x, ca->cert, NID_authority_key_identifier, "keyid:always") &&
		X509_sign(x, ca->key, EVP_sha256()) > 0)
		n = i2d_X509(x, &der);
	X509_free(x);
	ERR_clear_error();
	if (n <= 0 || n > MAKE_CSR_MAX) {
		OPENSSL_free(der);
		return -EIO;
	}
	m->csr = malloc((size_t)n);
	m->csr_n = (size_t)n;
	if (m->csr)
		memcpy(m->csr, der, (size_t)n);
	OPENSSL_free(der);
	return m->csr ? put_whole(ca, names, serial, head, m) : -ENOMEM;
}
