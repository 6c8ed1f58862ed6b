/*
 * tls_challenge.c: proofs for a certificate's authority that a name leads here, by TLS (RFC 8737);
 * see tls_server.h.
 *
 * Called by control.c when ctl told one, and for each hello. Owns the table, which is made with the
 * first. The certificates come from keys, which also has their key: it signs the handshake like any
 * other, so no private key is here. Who speaks acme-tls/1 gets one of these or nothing, and others
 * never get one.
 */
#include "tls_server.h"

#include "gate.h"
#include "lib/buf.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

struct tls_challenge {
	uint64_t until_ms; /* 0: this place is free */
	uint8_t *der;
	size_t der_n, name_n;
	uint8_t key[32];
	char name[TLS_NAME_MAX];
};
struct tls_challenges {
	struct tls_challenge all[TLS_CHALLENGES_MAX];
};

static const char protocol[] = "\x0a" "acme-tls/1";

static void forget(struct tls_challenge *at)
{
	free(at->der);
	*at = (struct tls_challenge){0};
}

void tls_challenges_free(struct tls_server *ts)
{
	for (unsigned i = 0; ts->challenges && i < TLS_CHALLENGES_MAX; i++)
		forget(&ts->challenges->all[i]);
	free(ts->challenges);
	ts->challenges = NULL;
}

static struct tls_challenge *find(struct tls_server *ts, const char *name, size_t n)
{
	for (unsigned i = 0; ts->challenges && i < TLS_CHALLENGES_MAX; i++) {
		struct tls_challenge *at = &ts->challenges->all[i];

		if (at->until_ms && at->name_n == n && memcmp(at->name, name, n) == 0)
			return at;
	}
	return NULL;
}

static struct tls_challenge *place_for(struct tls_server *ts, const char *name, size_t n)
{
	struct tls_challenge *first = find(ts, name, n);

	if (first)
		return first;
	first = &ts->challenges->all[0];
	for (unsigned i = 1; i < TLS_CHALLENGES_MAX; i++)
		if (ts->challenges->all[i].until_ms < first->until_ms)
			first = &ts->challenges->all[i];
	return first;
}

int tls_challenge_heard(struct gate *g, const struct msg *m)
{
	struct msg_challenge_tls said;
	struct tls_challenge *at;
	const char *name, *der;
	size_t n, der_n;
	struct unpack u;
	uint8_t *copy;
	int err;

	if (msg_get(m, &said, sizeof(said), sizeof(said)) < 0)
		return -EPROTO;
	name = msg_tail(m, sizeof(said), &n);
	unpack_init(&u, name, n);
	name = unpack_str(&u);
	der = unpack_bytes(&u, &der_n);
	if (!unpack_done(&u) || !name[0] || strlen(name) >= TLS_NAME_MAX || der_n > CHALLENGE_DER_MAX)
		return -EPROTO;
	err = tls_server_need(g);
	if (err)
		return err;
	if (!said.forget_ms) {
		at = find(g->tls, name, strlen(name));
		if (at)
			forget(at);
		return 0;
	}
	if (!g->tls->challenges)
		g->tls->challenges = calloc(1, sizeof(*g->tls->challenges));
	copy = malloc(der_n + 1);
	if (!g->tls->challenges || !copy) {
		free(copy);
		return -ENOMEM;
	}
	at = place_for(g->tls, name, strlen(name));
	forget(at);
	at->until_ms = loop_now_ms(g->loop) + said.forget_ms;
	at->name_n = strlen(name);
	memcpy(at->name, name, at->name_n);
	memcpy(at->key, said.key, sizeof(at->key));
	at->der = copy;
	at->der_n = der_n;
	memcpy(copy, der, der_n);
	return 0;
}

bool tls_challenge_is(SSL *ssl)
{
	const unsigned char *p;
	size_t n;

	/* The list's length in two bytes, then the one protocol. */
	return SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation,
		       &p, &n) == 1 &&
	       n == sizeof(protocol) - 1 + 2 && p[0] == 0 && p[1] == sizeof(protocol) - 1 &&
	       memcmp(p + 2, protocol, sizeof(protocol) - 1) == 0;
}

bool tls_challenge_use(struct tls_server *ts, SSL *ssl, const char *name, size_t n)
{
	const struct tls_challenge *at = find(ts, name, n);
	const unsigned char *der = at ? at->der : NULL;
	EVP_PKEY *key = NULL;
	X509 *leaf;
	bool good;

	if (!at || at->until_ms <= loop_now_ms(ts->gate->loop))
		return false;
	leaf = X509_new_ex(ts->lib, NULL);
	/* What cannot be read is freed. */
	if (leaf && !d2i_X509(&leaf, &der, (long)at->der_n))
		leaf = NULL;
	if (leaf)
		key = tls_key_new(ts, leaf, at->key);
	good = key && SSL_use_cert_and_key(ssl, leaf, key, NULL, 1) == 1 &&
	       SSL_set_num_tickets(ssl, 0) == 1;
	EVP_PKEY_free(key);
	X509_free(leaf);
	ERR_clear_error();
	return good;
}
