/*
 * up_tls.c: TLS towards backends: contexts, names, sessions to resume (RFC 8446, RFC 9110 section 4.3.4).
 *
 * Called by up_conn.c. Owns nothing: the contexts are struct up's, made when the first such backend is
 * asked, because the authorities take a megabyte and more that others need not carry.
 */
#include "tls.h"
#include "up.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

static const char *const bundles[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem",
	"/etc/pki/tls/certs/ca-bundle.crt"};

void tls_session_free(void *session)
{
	SSL_SESSION_free(session);
}

void tls_ctx_free(void *ctx)
{
	SSL_CTX_free(ctx);
}

/* A ticket came: the newest one is kept for the next connection to that server. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct up_server *s = SSL_get_app_data(ssl);

	if (!s)
		return 0;
	SSL_SESSION_free(s->tls_session);
	s->tls_session = session;
	return 1;
}

static bool load_authorities(SSL_CTX *ctx)
{
	bool found = false;

	for (size_t i = 0; !found && i < sizeof(bundles) / sizeof(bundles[0]); i++)
		found = SSL_CTX_load_verify_file(ctx, bundles[i]) == 1;
	/* Of those that are not there, too: nobody looks for errors of others before a call (tls_conn.c). */
	ERR_clear_error();
	return found;
}

static int context(struct up *up, bool verify, SSL_CTX **ret)
{
	void **at = verify ? &up->tls_ctx : &up->tls_ctx_noverify;
	SSL_CTX *ctx = *at;

	if (ctx) {
		*ret = ctx;
		return 0;
	}
	ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx)
		return -ENOMEM;
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(
		ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
	SSL_CTX_set_verify(ctx, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	if (verify && !load_authorities(ctx)) {
		SSL_CTX_free(ctx);
		return -EKEYREJECTED;
	}
	*at = ctx;
	*ret = ctx;
	return 0;
}

/* Whom the certificate must name. */
static bool set_name(SSL *ssl, const struct up_server *s, bool verify)
{
	static const unsigned char alpn[] = "\x08http/1.1";

	if (SSL_set_alpn_protos(ssl, alpn, sizeof(alpn) - 1) != 0)
		return false;
	if (s->kind == SNAP_SERVER_ADDRESS)
		return !verify || X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), s->name);
	if (s->kind == SNAP_SERVER_UNIX)
		return !verify || SSL_set1_host(ssl, "localhost");
	return SSL_set_tlsext_host_name(ssl, s->name) && (!verify || SSL_set1_host(ssl, s->name));
}

int tls_client_new(struct up *up, struct up_server *s, struct tls **ret)
{
	bool verify = s->u->flags & SNAP_UPSTREAM_TLS_VERIFY;
	SSL_CTX *ctx;
	SSL *ssl;
	int err = context(up, verify, &ctx);

	if (err)
		return err;
	ssl = SSL_new(ctx);
	if (!ssl)
		return -ENOMEM;
	SSL_set_app_data(ssl, s);
	SSL_set_connect_state(ssl);
	if (!set_name(ssl, s, verify)) {
		SSL_free(ssl);
		ERR_clear_error();
		return -EKEYREJECTED;
	}
	if (s->tls_session)
		SSL_set_session(ssl, s->tls_session);
	*ret = tls_new(ssl);
	return *ret ? 0 : -ENOMEM;
}
