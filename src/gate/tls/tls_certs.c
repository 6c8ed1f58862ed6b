/*
 * tls_certs.c: certificates that have been read, by the snapshot's id of their chain; see
 * tls_server.h.
 *
 * Called at each handshake that needs one. Owns them: at most TLS_CERTS_MAX, of a full table the
 * one that was asked for longest ago goes (connections that use it hold references of their own). A
 * reload changes nothing here: what is not in the snapshot any more is not asked for any more.
 */
#include "tls_server.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024 };

struct tls_certs {
	struct tls_cert *bucket[BUCKETS], *newest, *oldest;
	unsigned n;
};

int tls_certs_new(struct tls_server *ts)
{
	ts->certs = calloc(1, sizeof(*ts->certs));
	return ts->certs ? 0 : -ENOMEM;
}

static struct tls_cert **bucket_of(struct tls_certs *t, const uint8_t id[32])
{
	return &t->bucket[(id[0] | id[1] << 8) & (BUCKETS - 1)];
}

static void unlink_age(struct tls_certs *t, struct tls_cert *c)
{
	*(c->newer ? &c->newer->older : &t->newest) = c->older;
	*(c->older ? &c->older->newer : &t->oldest) = c->newer;
}

static void link_newest(struct tls_certs *t, struct tls_cert *c)
{
	c->newer = NULL;
	c->older = t->newest;
	*(t->newest ? &t->newest->newer : &t->oldest) = c;
	t->newest = c;
}

static void cert_free(struct tls_cert *c)
{
	if (!c)
		return;
	EVP_PKEY_free(c->key);
	sk_X509_pop_free(c->chain, X509_free);
	X509_free(c->leaf);
	free(c);
}

static void drop(struct tls_certs *t, struct tls_cert *c)
{
	struct tls_cert **at = bucket_of(t, c->id);

	unlink_age(t, c);
	while (*at != c)
		at = &(*at)->bucket_next;
	*at = c->bucket_next;
	t->n--;
	cert_free(c);
}

void tls_certs_free(struct tls_server *ts)
{
	while (ts->certs && ts->certs->newest)
		drop(ts->certs, ts->certs->newest);
	free(ts->certs);
	ts->certs = NULL;
}

unsigned tls_certs_n(const struct tls_server *ts)
{
	return ts->certs->n;
}

static X509 *read_der(struct tls_server *ts, const uint8_t *der, size_t n)
{
	const unsigned char *at = der;
	X509 *x = X509_new_ex(ts->lib, NULL);

	if (x && !d2i_X509(&x, &at, (long)n))
		return NULL; /* it is freed */
	return x;
}

static struct tls_cert *read_cert(
	struct tls_server *ts, const struct snap *s, const struct snap_cert *from)
{
	struct tls_cert *c = calloc(1, sizeof(*c));
	const uint8_t *der;
	size_t n;

	if (!c)
		return NULL;
	memcpy(c->id, from->id, sizeof(c->id));
	c->chain = sk_X509_new_null();
	for (uint32_t i = 0; c->chain && (der = snap_cert_der(s, from, i, &n)); i++) {
		X509 *x = read_der(ts, der, n);

		if (!x || (i > 0 && !sk_X509_push(c->chain, x))) {
			X509_free(x);
			goto fail;
		}
		if (i == 0)
			c->leaf = x;
	}
	c->key = c->leaf ? tls_key_new(ts, c->leaf, from->key) : NULL;
	if (c->key)
		return c;
fail:
	cert_free(c);
	return NULL;
}

int tls_certs_find(struct tls_server *ts, const struct snap *s, const struct snap_cert *cert,
	const struct tls_cert **ret)
{
	struct tls_certs *t = ts->certs;
	struct tls_cert *c = *bucket_of(t, cert->id), **at;

	while (c && memcmp(c->id, cert->id, sizeof(c->id)) != 0)
		c = c->bucket_next;
	if (c) {
		unlink_age(t, c);
		link_newest(t, c);
		*ret = c;
		return 0;
	}
	c = read_cert(ts, s, cert);
	ERR_clear_error();
	if (!c)
		return -EBADMSG;
	if (t->n == TLS_CERTS_MAX)
		drop(t, t->oldest);
	at = bucket_of(t, c->id);
	c->bucket_next = *at;
	*at = c;
	link_newest(t, c);
	t->n++;
	*ret = c;
	return 0;
}
