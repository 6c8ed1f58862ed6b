/*
 * tls_key.c: private keys that are somewhere else, as OpenSSL sees them: a provider with keys of
 * three kinds and their signatures (provider-keymgmt(7), provider-signature(7)).
 *
 * Called by the library inside a handshake. A key here is the certificate's public key and the id
 * by which the process keys knows the private one; all questions about it are answered by the
 * public key, and a signature is asked for with the whole of what is to be signed (tls_sign()). The
 * signatures have names of their own, so that the library never takes its own implementation, which
 * would need the key. Owns the key objects.
 */
#include "tls_server.h"

#include <errno.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#define PARAM_FROM "stead-key"

/* What a key is made from: handed through the library within this process. */
struct key_from {
	struct tls_server *ts;
	EVP_PKEY *public;
	uint8_t id[32];
};

struct remote_key {
	struct tls_server *ts;
	EVP_PKEY *public; /* referenced; of the library's own provider */
	uint8_t id[32];
};

struct signer {
	struct remote_key *key; /* lent for as long as the library signs */
	bool pss;
	int digest; /* 256, 384, 512; 0: the key's own (Ed25519) */
};

/* ---- keys ---- */

static void *key_new(void *ctx)
{
	(void)ctx;
	return OPENSSL_zalloc(sizeof(struct remote_key));
}

static void key_free(void *key)
{
	struct remote_key *k = key;

	if (k)
		EVP_PKEY_free(k->public);
	OPENSSL_free(k);
}

static int key_has(const void *key, int selection)
{
	const struct remote_key *k = key;

	(void)selection;
	return k && k->public;
}

static int key_match(const void *a, const void *b, int selection)
{
	const struct remote_key *x = a, *y = b;

	(void)selection;
	return EVP_PKEY_eq(x->public, y->public) == 1;
}

static int key_import(void *key, int selection, const OSSL_PARAM params[])
{
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, PARAM_FROM);
	struct remote_key *k = key;
	struct key_from from;

	(void)selection;
	if (!p || p->data_size != sizeof(from))
		return 0;
	memcpy(&from, p->data, sizeof(from));
	k->ts = from.ts;
	k->public = from.public;
	memcpy(k->id, from.id, sizeof(k->id));
	return EVP_PKEY_up_ref(k->public);
}

static const OSSL_PARAM *key_import_types(int selection)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_octet_string(PARAM_FROM, NULL, 0), OSSL_PARAM_END};

	return selection ? types : NULL;
}

static int key_export(void *key, int selection, OSSL_CALLBACK *cb, void *arg)
{
	struct remote_key *k = key;
	OSSL_PARAM *params = NULL;
	int good;

	/* What there is of it; who wants more finds that it is not there. */
	if (!(selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) ||
		EVP_PKEY_todata(k->public, EVP_PKEY_PUBLIC_KEY, &params) != 1)
		return 0;
	good = cb(params, arg);
	OSSL_PARAM_free(params);
	return good;
}

static const OSSL_PARAM *key_export_types(int selection)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0), OSSL_PARAM_END};

	return selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY ? types : NULL;
}

static int key_get_params(void *key, OSSL_PARAM params[])
{
	const struct remote_key *k = key;

	return EVP_PKEY_get_params(k->public, params);
}

static const OSSL_PARAM *key_gettable(void *ctx)
{
	static const OSSL_PARAM types[] = {OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
		OSSL_PARAM_END};

	(void)ctx;
	return types;
}

static const char *rsa_operation(int id)
{
	return id == OSSL_OP_SIGNATURE ? "STEAD-RSA" : NULL;
}

static const char *ec_operation(int id)
{
	return id == OSSL_OP_SIGNATURE ? "STEAD-EC" : NULL;
}

static const char *ed25519_operation(int id)
{
	return id == OSSL_OP_SIGNATURE ? "STEAD-ED25519" : NULL;
}

/* The dispatch tables' functions have as many types as there are; the library casts them back by
 * number. */
#define FN(number, function)                                                                       \
	{                                                                                          \
		number, (void (*)(void))(function)                                                 \
	}
#define KEY_FNS(operation)                                                                         \
	FN(OSSL_FUNC_KEYMGMT_NEW, key_new), FN(OSSL_FUNC_KEYMGMT_FREE, key_free),                  \
		FN(OSSL_FUNC_KEYMGMT_HAS, key_has), FN(OSSL_FUNC_KEYMGMT_MATCH, key_match),        \
		FN(OSSL_FUNC_KEYMGMT_IMPORT, key_import),                                          \
		FN(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_import_types),                              \
		FN(OSSL_FUNC_KEYMGMT_EXPORT, key_export),                                          \
		FN(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, key_export_types),                              \
		FN(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params),                                  \
		FN(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable),                               \
		FN(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, operation),                             \
	{                                                                                          \
		0, NULL                                                                            \
	}

static const OSSL_DISPATCH rsa_fns[] = {KEY_FNS(rsa_operation)};
static const OSSL_DISPATCH ec_fns[] = {KEY_FNS(ec_operation)};
static const OSSL_DISPATCH ed25519_fns[] = {KEY_FNS(ed25519_operation)};

/* ---- signatures ---- */

static void *signer_new(void *ctx, const char *properties)
{
	(void)ctx;
	(void)properties;
	return OPENSSL_zalloc(sizeof(struct signer));
}

static void signer_free(void *signer)
{
	OPENSSL_free(signer);
}

static int digest_bits(const char *name)
{
	static const struct {
		const char *name;
		int bits;
	} all[] = {{"SHA256", 256}, {"SHA2-256", 256}, {"SHA384", 384}, {"SHA2-384", 384},
		{"SHA512", 512}, {"SHA2-512", 512}};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (OPENSSL_strcasecmp(name, all[i].name) == 0)
			return all[i].bits;
	return -1;
}

static int set_params(void *signer, const OSSL_PARAM params[])
{
	const OSSL_PARAM *pad =
		params ? OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE) : NULL;
	struct signer *s = signer;
	int mode = 0;

	if (pad && pad->data_type == OSSL_PARAM_UTF8_STRING)
		mode = OPENSSL_strcasecmp(pad->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0
			       ? RSA_PKCS1_PSS_PADDING
			       : RSA_PKCS1_PADDING;
	else if (pad && !OSSL_PARAM_get_int(pad, &mode))
		return 0;
	if (mode)
		s->pss = mode == RSA_PKCS1_PSS_PADDING;
	/* The salt is always as long as the digest: that is what TLS has, and what keys makes. */
	return !mode || mode == RSA_PKCS1_PSS_PADDING || mode == RSA_PKCS1_PADDING;
}

static const OSSL_PARAM *settable(void *signer, void *ctx)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0), OSSL_PARAM_END};

	(void)signer;
	(void)ctx;
	return types;
}

static int sign_init(void *signer, const char *digest, void *key, const OSSL_PARAM params[])
{
	struct signer *s = signer;

	s->key = key;
	s->digest = digest && *digest ? digest_bits(digest) : 0;
	return s->key && s->digest >= 0 && set_params(signer, params);
}

/* SignatureScheme (RFC 8446 section 4.2.3). 0: there is none. */
static uint32_t scheme_of(const struct signer *s)
{
	unsigned step = s->digest == 256 ? 0 : s->digest == 384 ? 1 : 2;

	if (EVP_PKEY_is_a(s->key->public, "ED25519"))
		return 0x0807;
	if (!s->digest)
		return 0;
	if (EVP_PKEY_is_a(s->key->public, "EC"))
		return 0x0403 + (step << 8);
	return s->pss ? 0x0804 + step : 0x0401 + (step << 8);
}

static int sign(void *signer, unsigned char *sig, size_t *sig_n, size_t sig_max,
	const unsigned char *tbs, size_t tbs_n)
{
	struct signer *s = signer;
	struct msg_sign ask = {.scheme = scheme_of(s)};
	size_t n = (size_t)EVP_PKEY_get_size(s->key->public);

	if (!sig) {
		*sig_n = n;
		return 1;
	}
	/* TLS 1.3 signs behind 64 blanks; in TLS 1.2 the last 32 of these bytes are our own random
	 * ones. */
	ask.purpose = tbs_n > 64 && tbs[0] == ' ' && memcmp(tbs, tbs + 1, 63) == 0
			      ? SIGN_TLS13_SERVER
			      : SIGN_TLS12_SERVER;
	memcpy(ask.key, s->key->id, sizeof(ask.key));
	if (sig_max < n || n > SIGNATURE_MAX ||
		tls_sign(s->key->ts, &ask, tbs, tbs_n, sig, sig_n) < 0 || *sig_n > sig_max) {
		ERR_raise(ERR_LIB_PROV, ERR_R_OPERATION_FAIL);
		return 0;
	}
	return 1;
}

static const OSSL_DISPATCH sign_fns[] = {FN(OSSL_FUNC_SIGNATURE_NEWCTX, signer_new),
	FN(OSSL_FUNC_SIGNATURE_FREECTX, signer_free),
	FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, sign_init),
	FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, sign),
	FN(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, set_params),
	FN(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, settable), {0, NULL}};

/* ---- the provider ---- */

#define PROPERTIES "provider=stead"
static const OSSL_ALGORITHM keymgmts[] = {
	{"RSA:rsaEncryption:1.2.840.113549.1.1.1", PROPERTIES, rsa_fns, ""},
	{"EC:id-ecPublicKey:1.2.840.10045.2.1", PROPERTIES, ec_fns, ""},
	{"ED25519:1.3.101.112", PROPERTIES, ed25519_fns, ""}, {NULL, NULL, NULL, NULL}};
static const OSSL_ALGORITHM signatures[] = {{"STEAD-RSA", PROPERTIES, sign_fns, ""},
	{"STEAD-EC", PROPERTIES, sign_fns, ""}, {"STEAD-ED25519", PROPERTIES, sign_fns, ""},
	{NULL, NULL, NULL, NULL}};

static const OSSL_ALGORITHM *query(void *ctx, int operation, int *ret_no_cache)
{
	(void)ctx;
	*ret_no_cache = 0;
	return operation == OSSL_OP_KEYMGMT     ? keymgmts
	       : operation == OSSL_OP_SIGNATURE ? signatures
						: NULL;
}

static const OSSL_DISPATCH provider_fns[] = {
	FN(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query), {0, NULL}};

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
	const OSSL_DISPATCH **ret, void **ret_ctx)
{
	(void)in;
	*ret = provider_fns;
	*ret_ctx = (void *)handle;
	return 1;
}

int tls_key_provider(struct tls_server *ts)
{
	ts->providers[0] = OSSL_PROVIDER_load(ts->lib, "default");
	if (!ts->providers[0] || !OSSL_PROVIDER_add_builtin(ts->lib, "stead", provider_init))
		return -EIO;
	ts->providers[1] = OSSL_PROVIDER_load(ts->lib, "stead");
	return ts->providers[1] && EVP_set_default_properties(ts->lib, "?provider=default") ? 0
											    : -EIO;
}

EVP_PKEY *tls_key_new(struct tls_server *ts, X509 *leaf, const uint8_t id[32])
{
	EVP_PKEY *public = X509_get0_pubkey(leaf), *key = NULL;
	const char *kind = !public                            ? NULL
			   : EVP_PKEY_is_a(public, "RSA")     ? "RSA"
			   : EVP_PKEY_is_a(public, "EC")      ? "EC"
			   : EVP_PKEY_is_a(public, "ED25519") ? "ED25519"
							      : NULL;
	EVP_PKEY_CTX *ctx = kind ? EVP_PKEY_CTX_new_from_name(ts->lib, kind, PROPERTIES) : NULL;
	struct key_from from = {.ts = ts, .public = public};
	OSSL_PARAM params[] = {
		OSSL_PARAM_octet_string(PARAM_FROM, &from, sizeof(from)), OSSL_PARAM_END};

	memcpy(from.id, id, sizeof(from.id));
	if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
		EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	return key;
}
