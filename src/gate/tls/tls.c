/*
 * tls.c: TLS over two memory BIOs; see tls.h. Called by connections to backends (up_conn.c). Owns the SSL
 * object and a buffer for decrypted bytes; never touches a socket.
 */
#include "tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

enum { PLAIN_BYTES = 16 * 1024 };

struct tls {
	SSL *ssl;
	BIO *in, *out;
	bool closed, broken;
	char plain[PLAIN_BYTES];
};

struct tls *tls_new(struct ssl_st *ssl)
{
	struct tls *t = malloc(sizeof(*t));

	if (!t) {
		SSL_free(ssl);
		return NULL;
	}
	t->ssl = ssl;
	t->closed = t->broken = false;
	t->in = BIO_new(BIO_s_mem());
	t->out = BIO_new(BIO_s_mem());
	if (!t->in || !t->out) {
		BIO_free(t->in);
		BIO_free(t->out);
		SSL_free(ssl);
		free(t);
		return NULL;
	}
	BIO_set_mem_eof_return(t->in, -1);
	SSL_set_bio(ssl, t->in, t->out);
	return t;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	/* Else OpenSSL takes the session for one that broke, and forgets it. */
	SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(t->ssl);
	free(t);
}

int tls_feed(struct tls *t, const void *p, size_t n)
{
	size_t wrote = 0;

	return BIO_write_ex(t->in, p, n, &wrote) && wrote == n ? 0 : -ENOMEM;
}

static int failed(struct tls *t)
{
	long verify = SSL_get_verify_result(t->ssl);

	t->broken = true;
	ERR_clear_error();
	return verify != X509_V_OK && SSL_get_verify_mode(t->ssl) != SSL_VERIFY_NONE ? -EKEYREJECTED
										      : -EBADMSG;
}

int tls_step(struct tls *t)
{
	int res, err;

	if (SSL_is_init_finished(t->ssl))
		return 0;
	ERR_clear_error();
	res = SSL_do_handshake(t->ssl);
	if (res == 1) {
		ERR_clear_error();
		return 0;
	}
	err = SSL_get_error(t->ssl, res);
	return err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE ? 0 : failed(t);
}

bool tls_ready(const struct tls *t)
{
	return SSL_is_init_finished(t->ssl);
}

int tls_write(struct tls *t, const void *p, size_t n)
{
	size_t wrote = 0;

	ERR_clear_error();
	return SSL_write_ex(t->ssl, p, n, &wrote) && wrote == n ? 0 : failed(t);
}

const char *tls_output(struct tls *t, size_t *ret_n)
{
	char *p = NULL;
	long n = BIO_get_mem_data(t->out, &p);

	*ret_n = n > 0 ? (size_t)n : 0;
	return p;
}

void tls_output_sent(struct tls *t)
{
	(void)BIO_reset(t->out);
}

bool tls_pending(struct tls *t)
{
	size_t n;

	(void)tls_output(t, &n);
	return n > 0;
}

size_t tls_read(struct tls *t, char **ret_p, uint32_t *ret_at)
{
	size_t n = 0;
	int err;

	*ret_p = t->plain;
	*ret_at = 0;
	if (t->closed || t->broken)
		return 0;
	ERR_clear_error();
	if (SSL_read_ex(t->ssl, t->plain, sizeof(t->plain), &n))
		return n;
	err = SSL_get_error(t->ssl, 0);
	if (err == SSL_ERROR_ZERO_RETURN)
		t->closed = true;
	else if (err != SSL_ERROR_WANT_READ && err != SSL_ERROR_WANT_WRITE)
		(void)failed(t);
	return 0;
}

bool tls_closed(const struct tls *t)
{
	return t->closed;
}

bool tls_broken(const struct tls *t)
{
	return t->broken;
}
