/*
 * cert_look.c: what a certificate and its private key are, in a child that can only compute: PEM
 * and DER of others are parsed here and nowhere else.
 *
 * Called by cert_reader.c behind sandbox_enter(). What it says is input for whoever hears it. The
 * private key is sealed here for the process keys, so that nobody behind this can read it. Owns
 * nothing.
 */
#include "cert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/must.h"
#include "seal/local_ca.h"
#include "seal/x509.h"
#include "snap/cert_box.h"

enum { SERIAL_BYTES_MAX = 23, SOON_DAYS = 14 };

static void say(struct cert_work *w, enum cert_record about, enum conf_level level,
	const char *todo, const char *text)
{
	pack_u32(&w->out, about);
	pack_u32(&w->out, level);
	pack_str(&w->out, text);
	pack_str(&w->out, todo);
}

/* Every certificate of the file. */
static STACK_OF(X509) * read_chain(struct cert_work *w)
{
	STACK_OF(X509) *all = NULL;

	switch (x509_read_chain(w->cert_text, w->cert_n, CERT_CHAIN_MAX, &w->last, &all)) {
	case 0:
		return all;
	case -E2BIG:
		say(w, CERT_FINDING, CONF_ERROR,
			"leave the site's certificate and those between it and the authority",
			"there are more than 16 certificates in the file");
		break;
	case -EBADMSG:
		say(w, CERT_FINDING, CONF_ERROR, "copy the file again from where it was made",
			"a certificate of the file is damaged");
		break;
	default:
		say(w, CERT_FINDING, CONF_ERROR,
			"name a PEM file, which has -----BEGIN CERTIFICATE----- in it",
			"there is no certificate in the file that can be read");
	}
	return NULL;
}

/* ---- the key ---- */

/* A private key, and what is sealed of it: DER that d2i_AutoPrivateKey() reads. */
struct key {
	EVP_PKEY *pair;
	unsigned char *der;
	int der_n;
	bool is_leafs; /* it was compared with the certificate's, whose SubjectPublicKeyInfo is its
			  own to the letter */
};

static void key_done(struct key *k)
{
	EVP_PKEY_free(k->pair);
	if (k->der)
		OPENSSL_clear_free(k->der, (size_t)k->der_n);
	*k = (struct key){0};
}

/* The number of an ECPrivateKey (RFC 5915): a sequence, version 1, an octet string. NULL: it has
 * another form. */
static BIGNUM *ec_number(const uint8_t *p, int n)
{
	int at = n < 8 || p[0] != 0x30 ? 0 : p[1] < 0x80 ? 2 : p[1] == 0x81 ? 3 : 0;

	if (!at || memcmp(p + at, "\2\1\1\4", 4) != 0 || n - at < 6 || p[at + 4] > 66 ||
		n - at - 5 < p[at + 4])
		return NULL;
	return BN_bin2bn(p + at + 5, p[at + 4], NULL);
}

static EVP_PKEY *ec_pair(const char *group, const BIGNUM *number, const ASN1_BIT_STRING *point)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL), *look;
	EVP_PKEY *pair = NULL;
	uint8_t native[66]; /* as the machine has numbers: OpenSSL's parameters do */
	OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)group, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_PRIV_KEY, native, sizeof(native)),
		OSSL_PARAM_octet_string(
			OSSL_PKEY_PARAM_PUB_KEY, point->data, (size_t)point->length),
		OSSL_PARAM_END};
	bool good = ctx && BN_bn2nativepad(number, native, sizeof(native)) > 0 &&
		    EVP_PKEY_fromdata_init(ctx) == 1 &&
		    EVP_PKEY_fromdata(ctx, &pair, EVP_PKEY_KEYPAIR, params) == 1;

	explicit_bzero(native, sizeof(native));
	EVP_PKEY_CTX_free(ctx);
	look = good ? EVP_PKEY_CTX_new(pair, NULL) : NULL;
	good = look && EVP_PKEY_pairwise_check(look) == 1;
	EVP_PKEY_CTX_free(look);
	if (good)
		return pair;
	EVP_PKEY_free(pair);
	return NULL;
}

/* Most keys are EC in PKCS #8, and OpenSSL's general way to read one takes five times as long as to
 * make it of its number and the certificate's point. False: it is another kind, or does not fit,
 * which the general way says. */
static bool read_ec_key(const struct cert_work *w, X509 *leaf, struct key *ret)
{
	BIO *b = BIO_new_mem_buf(w->key_text, (int)w->key_n);
	PKCS8_PRIV_KEY_INFO *p8 =
		b ? PEM_read_bio_PKCS8_PRIV_KEY_INFO(b, NULL, x509_no_password, NULL) : NULL;
	const ASN1_BIT_STRING *point = X509_get0_pubkey_bitstr(leaf);
	EVP_PKEY *public = X509_get0_pubkey(leaf);
	const ASN1_OBJECT *algorithm = NULL, *curve = NULL;
	const X509_ALGOR *how = NULL;
	const unsigned char *p = NULL;
	char group[32] = "";
	BIGNUM *number = NULL;
	const void *value = NULL;
	int n = 0, type = 0;

	if (p8 && point && point->length > 1 && point->data[0] == 4 && public &&
		EVP_PKEY_get_group_name(public, group, sizeof(group), NULL) == 1 &&
		PKCS8_pkey_get0(&algorithm, &p, &n, &how, p8) == 1) {
		X509_ALGOR_get0(NULL, &type, &value, how);
		curve = type == V_ASN1_OBJECT ? value : NULL;
		if (OBJ_obj2nid(algorithm) == NID_X9_62_id_ecPublicKey && curve &&
			OBJ_obj2nid(curve) == OBJ_txt2nid(group))
			number = ec_number(p, n);
	}
	ret->pair = number ? ec_pair(group, number, point) : NULL;
	if (ret->pair)
		ret->der_n = i2d_PKCS8_PRIV_KEY_INFO(p8, &ret->der);
	BN_clear_free(number);
	PKCS8_PRIV_KEY_INFO_free(p8);
	BIO_free(b);
	ERR_clear_error();
	ret->is_leafs = ret->pair && ret->der_n > 0;
	if (!ret->is_leafs)
		key_done(ret);
	return ret->is_leafs;
}

static bool read_any_key(struct cert_work *w, struct key *ret)
{
	BIO *b = BIO_new_mem_buf(w->key_text, (int)w->key_n);

	ret->pair = b ? PEM_read_bio_PrivateKey(b, NULL, x509_no_password, NULL) : NULL;
	BIO_free(b);
	if (ret->pair) {
		ret->der_n = i2d_PrivateKey(ret->pair, &ret->der);
		return true;
	}
	if (memmem(w->key_text, w->key_n, "ENCRYPTED", 9))
		say(w, CERT_KEY_FINDING, CONF_ERROR,
			"take the password off: openssl pkey -in FILE -out NEW",
			"the private key is protected by a password");
	else
		say(w, CERT_KEY_FINDING, CONF_ERROR,
			"name a PEM file, which has -----BEGIN PRIVATE KEY----- in it",
			"there is no private key in the file that can be read");
	return false;
}

static bool is_usable(struct cert_work *w, EVP_PKEY *key)
{
	char group[32] = "";
	size_t n;

	if (EVP_PKEY_is_a(key, "ED25519"))
		return true;
	if (EVP_PKEY_is_a(key, "RSA")) {
		if (EVP_PKEY_get_bits(key) >= 2048 && EVP_PKEY_get_bits(key) <= 8192)
			return true;
		say(w, CERT_FINDING, CONF_ERROR,
			"have a certificate made with a new key: EC P-256, or RSA with 2048 bits",
			"an RSA key needs 2048 to 8192 bits");
		return false;
	}
	if (EVP_PKEY_is_a(key, "EC") &&
		EVP_PKEY_get_group_name(key, group, sizeof(group), &n) == 1 &&
		(strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0 ||
			strcmp(group, "secp521r1") == 0))
		return true;
	say(w, CERT_FINDING, CONF_ERROR,
		"have a certificate made with a new key: EC P-256, or RSA with 2048 bits",
		"clients do not know that kind of key");
	return false;
}

static void look_at_names(struct cert_work *w, X509 *leaf)
{
	for (unsigned i = 0; i < w->nnames; i++) {
		const char *name = w->names[i];
		char text[400], probe[300];

		/* A wildcard's names are covered when any of them is. */
		(void)snprintf(probe, sizeof(probe), "%s%s", name[0] == '*' ? "any" : "",
			name[0] == '*' ? name + 1 : name);
		if (X509_check_host(leaf, probe, 0, 0, NULL) == 1 ||
			X509_check_ip_asc(leaf, probe, 0) == 1)
			continue;
		(void)snprintf(text, sizeof(text),
			"the certificate is not for %.255s: browsers will warn there", name);
		say(w, CERT_FINDING, CONF_WARNING,
			"have one made with all names of Domain= and Alias= in it", text);
	}
}

static void look_at_time(struct cert_work *w, const X509 *leaf)
{
	char text[120], day[32];
	time_t end = (time_t)x509_seconds(X509_get0_notAfter(leaf)), now = time(NULL);
	struct tm tm;

	/* strftime(3) would look for the time zone's file. */
	(void)gmtime_r(&end, &tm);
	(void)snprintf(
		day, sizeof(day), "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
	if (X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0)
		say(w, CERT_FINDING, CONF_WARNING, "set this machine's clock, or wait",
			"the certificate is not valid yet: browsers will warn");
	else if (end < now) {
		(void)snprintf(
			text, sizeof(text), "the certificate ended on %s: browsers will warn", day);
		say(w, CERT_FINDING, CONF_WARNING, "renew it, then `stead reload`", text);
	} else if (end < now + SOON_DAYS * 86400) {
		(void)snprintf(text, sizeof(text), "the certificate ends on %s", day);
		say(w, CERT_FINDING, CONF_WARNING, "renew it, then `stead reload`", text);
	}
}

/* As a browser here would, with this machine's authorities. */
static bool is_trusted(struct cert_work *w, X509 *leaf, STACK_OF(X509) * all)
{
	X509_STORE_CTX *ctx = w->authorities ? X509_STORE_CTX_new() : NULL;
	bool good = ctx && X509_STORE_CTX_init(ctx, w->authorities, leaf, all) == 1 &&
		    X509_STORE_CTX_set_default(ctx, "ssl_server") == 1 &&
		    X509_verify_cert(ctx) == 1;

	X509_STORE_CTX_free(ctx);
	return good;
}

/* ---- what it is for, and whose ---- */

static void put_name(struct buf *b, const void *p, size_t n)
{
	static const char taken[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.*:";
	char text[256];

	if (n == 0 || n >= sizeof(text) || b->len + n + 1 > CERT_NAMES_TEXT_MAX)
		return;
	for (size_t i = 0; i < n; i++) {
		char c = ((const char *)p)[i];

		text[i] = (char)(c >= 'A' && c <= 'Z' ? c | 32 : c);
		/* What no browser asks for is no name. */
		if (!text[i] || !strchr(taken, text[i]))
			return;
	}
	if (b->len)
		buf_putc(b, ' ');
	buf_put(b, text, n);
}

static void put_address(struct buf *b, const uint8_t *p, size_t n)
{
	char text[INET6_ADDRSTRLEN];

	if ((n == 4 || n == 16) && inet_ntop(n == 4 ? AF_INET : AF_INET6, p, text, sizeof(text)))
		put_name(b, text, strlen(text));
}

/* Of subjectAltName only: nothing else counts for a browser (RFC 6125 section 6.4.4). */
static void put_names(struct buf *b, X509 *leaf)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);

		if (name->type == GEN_DNS)
			put_name(b, ASN1_STRING_get0_data(name->d.dNSName),
				(size_t)ASN1_STRING_length(name->d.dNSName));
		else if (name->type == GEN_IPADD)
			put_address(b, ASN1_STRING_get0_data(name->d.iPAddress),
				(size_t)ASN1_STRING_length(name->d.iPAddress));
	}
	GENERAL_NAMES_free(all);
}

/* As a person names it: its common name, else its organisation. */
static void issuer_of(const X509 *leaf, char ret[CERT_ISSUER_TEXT_MAX])
{
	static const int nids[] = {
		NID_commonName, NID_organizationName, NID_organizationalUnitName};

	ret[0] = '\0';
	for (size_t i = 0; i < sizeof(nids) / sizeof(nids[0]) && ret[0] == '\0'; i++)
		(void)X509_NAME_get_text_by_NID(
			X509_get_issuer_name(leaf), nids[i], ret, CERT_ISSUER_TEXT_MAX);
	for (char *p = ret; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

static void serial_of(const X509 *leaf, char ret[CERT_SERIAL_TEXT_MAX])
{
	static const char hex[] = "0123456789abcdef";
	const ASN1_INTEGER *serial = X509_get0_serialNumber(leaf);
	const uint8_t *p = ASN1_STRING_get0_data(serial);
	int n = min_of(ASN1_STRING_length(serial), (int)SERIAL_BYTES_MAX);

	for (int i = 0; i < n; i++) {
		ret[2 * i] = hex[p[i] >> 4];
		ret[2 * i + 1] = hex[p[i] & 15];
	}
	ret[2 * max_of(n, 0)] = '\0';
}

/* All that ctl and the gates need to know of it, and the sealed key, if it is to be sealed. */
static bool put_box(struct cert_work *w, X509 *leaf, STACK_OF(X509) * all, const struct key *key,
	const struct buf *chain)
{
	uint8_t box[CERT_DER_MAX + SEAL_MORE_BYTES];
	char issuer[CERT_ISSUER_TEXT_MAX], serial[CERT_SERIAL_TEXT_MAX];
	struct cert_box head = {.not_after_s = x509_seconds(X509_get0_notAfter(leaf)),
		.not_before_s = x509_seconds(X509_get0_notBefore(leaf)),
		.trusted = is_trusted(w, leaf, all)};
	unsigned char *spki = NULL;
	struct buf names, whole;
	int n = key->is_leafs ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &spki)
			      : i2d_PUBKEY(key->pair, &spki);
	bool good = n > 0 && key->der_n > 0 && key->der_n <= CERT_DER_MAX &&
		    EVP_Digest(spki, (size_t)n, head.key, NULL, EVP_sha256(), NULL) == 1 &&
		    EVP_Digest(chain->p, chain->len, head.id, NULL, EVP_sha256(), NULL) == 1 &&
		    seal_close(w->seal_for, head.key, sizeof(head.key), key->der,
			    (size_t)key->der_n, box) == 0;

	OPENSSL_free(spki);
	if (!good)
		return false;
	issuer_of(leaf, issuer);
	serial_of(leaf, serial);
	buf_init(&names, CERT_NAMES_TEXT_MAX + 1);
	buf_init(&whole, CERT_RECORDS_MAX);
	put_names(&names, leaf);
	cert_box_put(&whole, &(struct cert_box_view){.head = head,
				     .names = buf_str(&names),
				     .issuer = issuer,
				     .serial = serial,
				     .box = (const char *)box,
				     .box_n = (size_t)key->der_n + SEAL_MORE_BYTES});
	pack_u32(&w->out, CERT_BOX);
	pack_bytes(&w->out, whole.p, whole.len);
	good = !whole.error && !names.error;
	buf_done(&names);
	buf_done(&whole);
	return good;
}

static bool put_chain(struct cert_work *w, STACK_OF(X509) * all, struct buf *chain)
{
	for (int i = 0; i < sk_X509_num(all); i++) {
		unsigned char *der = NULL;
		int n = i2d_X509(sk_X509_value(all, i), &der);

		if (n <= 0 || n > CERT_DER_MAX) {
			OPENSSL_free(der);
			return false;
		}
		pack_u32(&w->out, CERT_DER);
		pack_bytes(&w->out, der, (size_t)n);
		buf_put(chain, der, (size_t)n);
		OPENSSL_free(der);
	}
	return chain->error == 0;
}

/* Each is signed by the one behind it; browsers have the authority itself, and nothing between. */
static void look_at_chain(struct cert_work *w, STACK_OF(X509) * all)
{
	X509 *leaf = sk_X509_value(all, 0);
	char text[160];

	for (int i = 0; i + 1 < sk_X509_num(all); i++) {
		X509 *one = sk_X509_value(all, i), *next = sk_X509_value(all, i + 1);

		/* By name and key identifier: a signature that does not hold with these is nothing
		 * that a person brings about. */
		if (X509_check_issued(next, one) == X509_V_OK)
			continue;
		(void)snprintf(text, sizeof(text),
			"certificate %d of the file is not signed by the one behind it: browsers "
			"may warn",
			i + 1);
		say(w, CERT_FINDING, CONF_WARNING,
			"put the site's own first, then each by which the one before it is signed",
			text);
		return;
	}
	if (sk_X509_num(all) == 1 && X509_self_signed(leaf, 0) != 1 && !is_trusted(w, leaf, all))
		say(w, CERT_FINDING, CONF_WARNING,
			"use the file with the whole chain (fullchain.pem), unless the authority "
			"is your own",
			"the certificates between the site's and its authority are missing: "
			"browsers may warn");
}

static void look_at_pair(struct cert_work *w)
{
	STACK_OF(X509) *all = read_chain(w);
	X509 *leaf = all ? sk_X509_value(all, 0) : NULL;
	struct key key = {0};
	bool read = leaf && (read_ec_key(w, leaf, &key) || read_any_key(w, &key));
	struct buf chain;

	buf_init(&chain, CERT_RECORDS_MAX);
	if (read && !key.is_leafs && X509_check_private_key(leaf, key.pair) != 1) {
		say(w, CERT_KEY_FINDING, CONF_ERROR,
			"name the key that the certificate was made with",
			"the private key is not the certificate's");
	} else if (read && is_usable(w, key.pair)) {
		look_at_time(w, leaf);
		look_at_names(w, leaf);
		look_at_chain(w, all);
		if (!put_chain(w, all, &chain))
			say(w, CERT_FINDING, CONF_ERROR, "", "the certificate is too large");
		else if (w->seal_for && !put_box(w, leaf, all, &key, &chain))
			say(w, CERT_KEY_FINDING, CONF_ERROR, "",
				"the private key could not be sealed");
	}
	buf_done(&chain);
	key_done(&key);
	sk_X509_pop_free(all, X509_free);
}

/* What root is about to let the whole machine trust. */
static void look_at_authority(struct cert_work *w)
{
	STACK_OF(X509) *all = read_chain(w);

	if (all && (sk_X509_num(all) != 1 || !local_ca_is_confined(sk_X509_value(all, 0))))
		say(w, CERT_FINDING, CONF_ERROR,
			"do not trust it; remove its folder, and `stead up` makes another",
			"this is not an authority that stead has made: it may sign more than local "
			"names");
	sk_X509_pop_free(all, X509_free);
}

void cert_look(struct cert_work *w)
{
	if (w->job == CERT_JOB_AUTHORITY)
		look_at_authority(w);
	else
		look_at_pair(w);
	ERR_clear_error();
	pack_u32(&w->out, CERT_END);
}
