/*
 * jws.c: signed requests (RFC 7515, flattened; ES256 of RFC 7518 section 3.4); see certs.h. Called
 * by order.c's driver and tests. Owns nothing; has no key but the public one.
 */
#include "certs.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

void base64url_put(struct buf *b, const void *p, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const unsigned char *s = p;

	for (size_t i = 0; i < n; i += 3) {
		size_t left = n - i;
		unsigned v = (unsigned)s[i] << 16 | (left > 1 ? (unsigned)s[i + 1] << 8 : 0) |
			     (left > 2 ? s[i + 2] : 0);

		buf_putc(b, digits[v >> 18]);
		buf_putc(b, digits[v >> 12 & 63]);
		if (left > 1)
			buf_putc(b, digits[v >> 6 & 63]);
		if (left > 2)
			buf_putc(b, digits[v & 63]);
	}
}

/* The members in the order of their names, without blanks: RFC 7638 section 3. */
void jws_put_jwk(struct buf *b, const struct jws_key *key)
{
	buf_puts(b, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"");
	base64url_put(b, key->x, sizeof key->x);
	buf_puts(b, "\",\"y\":\"");
	base64url_put(b, key->y, sizeof key->y);
	buf_puts(b, "\"}");
}

int jws_thumbprint(const struct jws_key *key, char ret[44])
{
	char mem[256];
	uint8_t sum[32];
	struct buf b;

	buf_fixed(&b, mem, sizeof mem);
	jws_put_jwk(&b, key);
	if (b.error || EVP_Digest(b.p, b.len, sum, NULL, EVP_sha256(), NULL) != 1)
		return -EIO;
	buf_fixed(&b, ret, 44);
	base64url_put(&b, sum, sizeof sum);
	ret[43] = '\0';
	return 0;
}

void jws_put_input(struct buf *b, const struct jws_key *key, const char *kid, const char *nonce,
	const char *url, const char *payload)
{
	char mem[ACME_URL_BYTES * 2 + ACME_NONCE_BYTES + 512];
	struct buf head;

	buf_fixed(&head, mem, sizeof mem);
	buf_puts(&head, "{\"alg\":\"ES256\",");
	if (kid) {
		buf_puts(&head, "\"kid\":");
		buf_put_json(&head, kid, strlen(kid));
	} else {
		buf_puts(&head, "\"jwk\":");
		jws_put_jwk(&head, key);
	}
	buf_puts(&head, ",\"nonce\":");
	buf_put_json(&head, nonce, strlen(nonce));
	buf_puts(&head, ",\"url\":");
	buf_put_json(&head, url, strlen(url));
	buf_putc(&head, '}');
	if (head.error) {
		b->error = head.error;
		return;
	}
	base64url_put(b, head.p, head.len);
	buf_putc(b, '.');
	if (payload)
		base64url_put(b, payload, strlen(payload));
}

void jws_put_binding_input(struct buf *b, const struct jws_key *key, const char *kid, const char *url)
{
	char head_mem[ACME_URL_BYTES * 2 + 1024], key_mem[256];
	struct buf head, jwk;

	buf_fixed(&head, head_mem, sizeof head_mem);
	buf_puts(&head, "{\"alg\":\"HS256\",\"kid\":");
	buf_put_json(&head, kid, strlen(kid));
	buf_puts(&head, ",\"url\":");
	buf_put_json(&head, url, strlen(url));
	buf_putc(&head, '}');
	buf_fixed(&jwk, key_mem, sizeof key_mem);
	jws_put_jwk(&jwk, key);
	if (head.error || jwk.error) {
		b->error = head.error ? head.error : jwk.error;
		return;
	}
	base64url_put(b, head.p, head.len);
	buf_putc(b, '.');
	base64url_put(b, jwk.p, jwk.len);
}

/* Header and payload as they were signed, and the signature (RFC 7515 section 7.2.2). */
static int put_flattened(struct buf *b, const char *input, size_t n, const void *signature, size_t len)
{
	const char *dot = memchr(input, '.', n);

	if (!dot)
		return -EBADMSG;
	buf_puts(b, "{\"protected\":\"");
	buf_put(b, input, (size_t)(dot - input));
	buf_puts(b, "\",\"payload\":\"");
	buf_put(b, dot + 1, n - (size_t)(dot + 1 - input));
	buf_puts(b, "\",\"signature\":\"");
	base64url_put(b, signature, len);
	buf_puts(b, "\"}");
	return b->error;
}

int jws_put_binding(struct buf *b, const char *input, size_t n, const void *mac, size_t mac_n)
{
	return put_flattened(b, input, n, mac, mac_n);
}

/* Both numbers of the signature, 32 bytes each. */
static int raw_signature(const uint8_t *der, size_t n, uint8_t ret[64])
{
	const unsigned char *at = der;
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)n);
	bool good = sig && at == der + n && BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret, 32) == 32 &&
		    BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret + 32, 32) == 32;

	ECDSA_SIG_free(sig);
	ERR_clear_error();
	return good ? 0 : -EBADMSG;
}

int jws_put(struct buf *b, const char *input, size_t n, const uint8_t *der, size_t der_n)
{
	uint8_t raw[64];

	if (raw_signature(der, der_n, raw) < 0)
		return -EBADMSG;
	return put_flattened(b, input, n, raw, sizeof raw);
}
