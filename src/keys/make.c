/*
 * make.c: a new private key and, for a certificate's, the request that it signs (PKCS #10, RFC
 * 2986); see keys.h. Called by main.c and tests. Owns nothing behind a call. The request is made
 * here of names alone, so that nobody else's bytes are ever signed as one; the key leaves this
 * process only in a box that only it can open.
 */
#include "keys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/chan.h"
#include "lib/hostname.h"

enum { NAME_MAX_BYTES = 253, NAMES_TEXT_MAX = MAKE_NAMES_MAX * (NAME_MAX_BYTES + 6) };

/* A host name in lower case, perhaps with a wildcard: nothing that could be more than one name in a
 * list. */
static bool is_name(const char *p)
{
	size_t n = strlen(p);

	if (n == 0 || n > NAME_MAX_BYTES)
		return false;
	if (strncmp(p, "*.", 2) == 0)
		p += 2;
	for (; *p; p++)
		if (!(*p >= 'a' && *p <= 'z') && !(*p >= '0' && *p <= '9') && *p != '-' &&
			*p != '.')
			return false;
	return true;
}

/* What a local certificate may be for: a name, a name with a wildcard, an address in its one spelling. */
static bool is_local(const char *p)
{
	struct in6_addr a;
	char again[INET6_ADDRSTRLEN];
	int family = strchr(p, ':') ? AF_INET6 : AF_INET;

	if (inet_pton(family, p, &a) == 1)
		return inet_ntop(family, &a, again, sizeof(again)) && strcmp(again, p) == 0 &&
		       hostname_is_local(p, strlen(p));
	return is_name(p) && hostname_is_local(p, strlen(p));
}

bool make_put_name(struct buf *b, const char *name)
{
	bool address = hostname_is_address(name);

	if (!address && !is_name(name))
		return false;
	buf_printf(b, "%s%s:%s", b->len ? "," : "", address ? "IP" : "DNS", name);
	return true;
}

/* "DNS:a,IP:b"; the caller's to free. NULL: there is a name that is none. */
static char *names_text(struct unpack *u, uint32_t n, bool local, int *ret_err)
{
	struct buf b;
	char *text = malloc(NAMES_TEXT_MAX);

	*ret_err = text ? 0 : -ENOMEM;
	if (!text)
		return NULL;
	buf_fixed(&b, text, NAMES_TEXT_MAX);
	for (uint32_t i = 0; i < n && !*ret_err; i++) {
		const char *name = unpack_str(u);

		if (u->bad)
			*ret_err = -EPROTO;
		else if ((local && !is_local(name)) || !make_put_name(&b, name))
			*ret_err = -EINVAL;
	}
	if (!*ret_err && (!unpack_done(u) || b.error || b.len >= NAMES_TEXT_MAX))
		*ret_err = -EPROTO;
	if (*ret_err) {
		free(text);
		return NULL;
	}
	text[b.len] = '\0';
	return text;
}

static bool put_names(X509_REQ *req, const char *text)
{
	X509_EXTENSION *one = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, text);
	STACK_OF(X509_EXTENSION) *all = one ? sk_X509_EXTENSION_new_null() : NULL;
	bool good = all && sk_X509_EXTENSION_push(all, one) == 1 &&
		    X509_REQ_add_extensions(req, all) == 1;

	if (all)
		sk_X509_EXTENSION_free(all);
	X509_EXTENSION_free(one);
	return good;
}

static int make_csr(EVP_PKEY *key, const char *names, struct key_made *m)
{
	X509_REQ *req = X509_REQ_new();
	unsigned char *der = NULL;
	int n = -1;

	if (req && X509_REQ_set_version(req, X509_REQ_VERSION_1) == 1 &&
		X509_REQ_set_pubkey(req, key) == 1 && put_names(req, names) &&
		X509_REQ_sign(req, key, EVP_sha256()) > 0)
		n = i2d_X509_REQ(req, &der);
	X509_REQ_free(req);
	if (n <= 0 || n > MAKE_CSR_MAX) {
		OPENSSL_free(der);
		return -EIO;
	}
	m->csr = malloc((size_t)n);
	if (m->csr)
		memcpy(m->csr, der, (size_t)n);
	m->csr_n = (size_t)n;
	OPENSSL_free(der);
	return m->csr ? 0 : -ENOMEM;
}

static bool get_point(const EVP_PKEY *key, const char *which, uint8_t ret[32])
{
	BIGNUM *v = NULL;
	bool good = EVP_PKEY_get_bn_param(key, which, &v) == 1 && BN_bn2binpad(v, ret, 32) == 32;

	BN_free(v);
	return good;
}

/* Its id, its point, and its box. */
static int describe(EVP_PKEY *key, const uint8_t to[SEAL_KEY_BYTES], struct key_made *m)
{
	unsigned char *public = NULL, *private = NULL;
	int n = i2d_PUBKEY(key, &public), p = i2d_PrivateKey(key, &private), err = -EIO;

	if (n > 0 && p > 0 && (size_t)p + SEAL_MORE_BYTES <= sizeof(m->box) &&
		EVP_Digest(public, (size_t)n, m->id, NULL, EVP_sha256(), NULL) == 1 &&
		get_point(key, OSSL_PKEY_PARAM_EC_PUB_X, m->x) &&
		get_point(key, OSSL_PKEY_PARAM_EC_PUB_Y, m->y))
		err = seal_close(to, m->id, sizeof(m->id), private, (size_t)p, m->box);
	m->box_n = err ? 0 : (size_t)p + SEAL_MORE_BYTES;
	if (private)
		OPENSSL_clear_free(private, (size_t)p);
	OPENSSL_free(public);
	return err;
}

/* The certificate at once, of the user's own authority. */
static int make_local(
	const struct ca *ca, const char *list, uint64_t now_s, struct key_made *m)
{
	char *names = malloc(strlen(list) + 1), *to = names;
	int err;

	if (!names)
		return -ENOMEM;
	for (const char *p = list; *p; p += *p == ',') {
		size_t n;

		p = strchr(p, ':') + 1;
		n = strcspn(p, ",");
		if (to != names)
			*to++ = ' ';
		memcpy(to, p, n);
		to += n;
		p += n;
	}
	*to = '\0';
	err = ca_sign(ca, list, names, now_s, m);
	free(names);
	return err;
}

/* The form of a question: an account has no names, a certificate some. */
static bool is_whole(const struct msg_key_make *ask)
{
	return ask->kind == KEY_ACCOUNT ? ask->names == 0
					: (ask->kind == KEY_CERTIFICATE || ask->kind == KEY_LOCAL) &&
						  ask->names && ask->names <= MAKE_NAMES_MAX;
}

int make_key(const void *payload, size_t n, const uint8_t to[SEAL_KEY_BYTES], const struct ca *ca,
	uint64_t now_s, struct key_made *ret)
{
	struct key_made m = {0};
	struct msg_key_make ask;
	struct unpack u;
	char *names = NULL;
	int err = 0;

	if (n < sizeof(ask))
		return -EPROTO;
	memcpy(&ask, payload, sizeof(ask));
	unpack_init(&u, (const char *)payload + sizeof(ask), n - sizeof(ask));
	if (!is_whole(&ask))
		return -EPROTO;
	if (ask.kind != KEY_ACCOUNT)
		names = names_text(&u, ask.names, ask.kind == KEY_LOCAL, &err);
	else if (!unpack_done(&u))
		err = -EPROTO;
	if (!err && ask.kind == KEY_LOCAL && !ca->key)
		err = -ENOENT;
	if (!err) {
		m.key = EVP_EC_gen("P-256");
		err = m.key ? describe(m.key, to, &m) : -EIO;
	}
	if (!err && names)
		err = ask.kind == KEY_LOCAL ? make_local(ca, names, now_s, &m)
					    : make_csr(m.key, names, &m);
	free(names);
	ERR_clear_error();
	if (err)
		make_done(&m);
	else
		*ret = m;
	return err;
}

void make_done(struct key_made *m)
{
	EVP_PKEY_free(m->key);
	free(m->csr);
	free(m->whole);
	m->key = NULL;
	m->csr = m->whole = NULL;
}
