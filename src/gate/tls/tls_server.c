/*
 * tls_server.c: what all TLS connections of a gate share; see tls_server.h.
 *
 * Called by tls_conn.c, and by OpenSSL for what a handshake asks: which certificate (SNI, RFC
 * 6066), which protocol (ALPN, RFC 7301), with what a ticket is made. Owns the context, the keys of
 * tickets, and the list of signatures that are waited for. Versions 1.2 and 1.3 only; no
 * compression, no renegotiation, no early data.
 */
#include "tls_server.h"
#include "aides.h"
#include "lib/hostname.h"
#include "lib/sys.h"
#include "limiter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Forward secrecy and authenticated encryption only. Who has ChaCha20 first has no AES in hardware,
 * and gets it. */
static const char ciphers_12[] =
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
	"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char ciphers_13[] =
	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
static const char groups[] = "X25519:P-256:P-384";

/* ---- signatures ---- */

static void ask(struct tls_server *ts, struct sign_wait *w)
{
	uint8_t mem[sizeof(w->ask) + SIGN_CONTENT_MAX];

	memcpy(mem, &w->ask, sizeof(w->ask));
	memcpy(mem + sizeof(w->ask), w->content, w->content_n);
	w->sent = aides_send(ts->gate, AIDE_KEYS, MSG_SIGN, w->id, mem,
			  sizeof(w->ask) + w->content_n) == 0;
}

int tls_sign(struct tls_server *ts, const struct msg_sign *what, const uint8_t *content, size_t n,
	uint8_t *ret, size_t *ret_n)
{
	struct sign_wait w = {.id = ++ts->sign_ids,
				 .ask = *what,
				 .content = content,
				 .content_n = n,
				 .conn = ts->current,
				 .next = ts->waits},
			 **at;

	if (!w.conn || n > SIGN_CONTENT_MAX)
		return -EINVAL;
	ts->waits = &w;
	w.conn->signing = true;
	ts->jobs++;
	ask(ts, &w);
	tls_wait(ts, &w);
	w.conn->signing = false;
	ts->jobs--;
	tls_job_over(ts);
	for (at = &ts->waits; *at != &w; at = &(*at)->next)
		;
	*at = w.next;
	if (w.err)
		return w.err;
	memcpy(ret, w.signature, w.signature_n);
	*ret_n = w.signature_n;
	return 0;
}

static void answered(struct gate *g, const struct msg *m)
{
	struct tls_server *ts = g->tls;
	struct sign_wait *w = ts ? ts->waits : NULL;
	struct msg_signed said;
	const char *tail;
	size_t n;

	while (w && w->id != m->h.id)
		w = w->next;
	if (!w || w->done || msg_get(m, &said, sizeof(said), sizeof(said)) < 0)
		return;
	tail = msg_tail(m, sizeof(said), &n);
	w->done = true;
	w->err = said.err || n > sizeof(w->signature) ? -EIO : 0;
	if (!w->err) {
		memcpy(w->signature, tail, n);
		w->signature_n = n;
	} else {
		char why[16], count[24];

		(void)snprintf(why, sizeof(why), "%u", said.err);
		if (limiter_may_say(g, LIMITER_KEYS, count))
			gate_event(
				g, EV_SIGN_REFUSED, "error", why, "refused", count, (char *)NULL);
	}
	loop_defer(g->loop, &w->conn->turn);
}

static void heard(struct gate *g, struct msg *m)
{
	struct msg_ticket_keys keys;

	if (m->h.type == MSG_SIGNED) {
		answered(g, m);
	} else if (m->h.type == MSG_TICKET_KEYS &&
		   msg_get(m, &keys, sizeof(keys), sizeof(keys)) == 0 &&
		   keys.n <= TICKET_KEYS_MAX) {
		if (tls_server_need(g) == 0)
			g->tls->tickets = keys;
		explicit_bzero(&keys, sizeof(keys));
	}
}

/* It is there (again): what nobody answered is asked once more. */
static void up(struct gate *g)
{
	for (struct sign_wait *w = g->tls ? g->tls->waits : NULL; w; w = w->next)
		if (!w->sent && !w->done)
			ask(g->tls, w);
}

static void down(struct gate *g)
{
	for (struct sign_wait *w = g->tls ? g->tls->waits : NULL; w; w = w->next)
		w->sent = false;
}

const struct aide_user_ops tls_user_ops = {.up = up, .heard = heard, .down = down};

/* ---- which certificate ---- */

static struct tls_conn *conn_of(const SSL *ssl)
{
	return SSL_get_app_data(ssl);
}

/* As Domain= has it. How long it is; 0: it is not known. */
static size_t own_address(const struct tls_conn *t, char ret[TLS_NAME_MAX])
{
	struct sockaddr_storage own = {0};
	socklen_t len = sizeof(own);
	char text[INET6_ADDRSTRLEN];
	const void *four = &((const struct sockaddr_in *)(const void *)&own)->sin_addr;
	const void *six = &((const struct sockaddr_in6 *)(const void *)&own)->sin6_addr;

	if (getsockname(t->conn->lfd.fd, (struct sockaddr *)&own, &len) < 0 ||
		(own.ss_family != AF_INET && own.ss_family != AF_INET6) ||
		!inet_ntop(own.ss_family, own.ss_family == AF_INET ? four : six, text, sizeof(text)))
		return 0;
	return (size_t)snprintf(ret, TLS_NAME_MAX, own.ss_family == AF_INET ? "%s" : "[%s]", text);
}

/* Which certificate is shown. 0; -EAGAIN: it is being got; -ENOENT. */
static int choose(struct tls_server *ts, struct tls_conn *t, const struct snap_site *site, const char *name, size_t n)
{
	const struct snap_demand *d;

	t->cert = snap_cert_by_host(t->snap, site, name, n, &d);
	if (!(site->flags & SNAP_SITE_ON_DEMAND) || n == 0 || !hostname_is_public(name, n) ||
		(t->cert && !d && snap_cert_covers(t->snap, t->cert, name, n)))
		return t->cert ? 0 : -ENOENT;
	if (d && (uint64_t)loop_wall_us(ts->gate->loop) / 1000000 < t->cert->not_after_s) {
		tls_demand_leave(ts, t);
		if ((uint64_t)loop_wall_us(ts->gate->loop) / 1000000 >= d->tell_s)
			tls_demand_used(ts, site->number, name, n);
		return 0;
	}
	return tls_demand_wait(ts, t, site->number, name, n) ? -EAGAIN : -ENOENT;
}

static int on_hello(SSL *ssl, int *ret_alert, void *arg)
{
	struct tls_server *ts = arg;
	struct tls_conn *t = conn_of(ssl);
	const unsigned char *sni;
	char name[TLS_NAME_MAX];
	const struct snap_site *site;
	size_t sni_n, n = 0;
	int err;

	if (t->site || t->challenge) /* a second hello, after a HelloRetryRequest */
		return SSL_CLIENT_HELLO_SUCCESS;
	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &sni, &sni_n) == 1 &&
		!tls_sni_read(sni, sni_n, name, &n)) {
		*ret_alert = SSL_AD_DECODE_ERROR;
		return SSL_CLIENT_HELLO_ERROR;
	}
	if (tls_challenge_is(ssl)) {
		t->challenge = tls_challenge_use(ts, ssl, name, n);
		if (t->challenge)
			return SSL_CLIENT_HELLO_SUCCESS;
		*ret_alert = SSL_AD_UNRECOGNIZED_NAME;
		t->why = CLOSE_TLS_NAME;
		return SSL_CLIENT_HELLO_ERROR;
	}
	/* It may have waited. */
	snap_unref(t->snap);
	t->snap = ts->gate->snap ? snap_ref(ts->gate->snap) : NULL;
	/* A port that could be had while another could not: nothing is served yet. */
	if (!t->snap) {
		*ret_alert = SSL_AD_UNRECOGNIZED_NAME;
		t->why = CLOSE_TLS_NAME;
		return SSL_CLIENT_HELLO_ERROR;
	}
	/* Who asks by an address has no name to say (RFC 6066 section 3): it is the one that he came to. */
	site = snap_site_by_host(t->snap, name, n ? n : own_address(t, name), NULL);
	/* Who names nothing, as old clients and probes do, gets the first certificate that there
	 * is. */
	for (uint32_t i = 0; n == 0 && (!site || !site->cert) && i < snap_nsites(t->snap); i++)
		site = snap_site(t->snap, i);
	err = site ? choose(ts, t, site, name, n) : -ENOENT;
	if (err == -EAGAIN)
		return SSL_CLIENT_HELLO_RETRY;
	if (err) {
		*ret_alert = SSL_AD_UNRECOGNIZED_NAME;
		t->why = CLOSE_TLS_NAME;
		return SSL_CLIENT_HELLO_ERROR;
	}
	t->site = site;
	t->site_number = t->site->number;
	tls_kernel_offer(ts, t);
	/* A session of one site is none of another's: they may ask for other certificates of
	 * clients. */
	if (t->site->client_cas.n == 0) {
		SSL_set_session_id_context(
			ssl, (const unsigned char *)&t->site_number, sizeof(t->site_number));
	} else if (tls_client_begin(ts, t) < 0) {
		*ret_alert = SSL_AD_INTERNAL_ERROR;
		return SSL_CLIENT_HELLO_ERROR;
	}
	return SSL_CLIENT_HELLO_SUCCESS;
}

static int on_cert(SSL *ssl, void *arg)
{
	struct tls_server *ts = arg;
	struct tls_conn *t = conn_of(ssl);
	const struct tls_cert *c;

	/* The hello set it. */
	if (t->challenge)
		return 1;
	if (!t->site || !t->cert || tls_certs_find(ts, t->snap, t->cert, &c) < 0) {
		t->why = CLOSE_TLS_KEY;
		return 0;
	}
	return SSL_use_cert_and_key(ssl, c->leaf, c->key, c->chain, 1);
}

static int on_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_n,
	const unsigned char *in, unsigned n, void *arg)
{
	static const unsigned char protocols[] = "\x02h2\x08http/1.1";
	const struct tls_conn *t = conn_of(ssl);
	uint32_t flags = t->site ? t->site->flags : 0;
	const unsigned char *from = protocols;
	unsigned len = sizeof(protocols) - 1;

	(void)arg;
	if (t->challenge) {
		/* It is the only one that was offered. */
		*ret = in + 1;
		*ret_n = in[0];
		return SSL_TLSEXT_ERR_OK;
	}
	if (flags & SNAP_SITE_NO_HTTP2) {
		from += 3;
		len -= 3;
	}
	if (flags & SNAP_SITE_NO_HTTP1)
		len -= 9;
	return SSL_select_next_proto((unsigned char **)ret, ret_n, from, len, in, n) ==
			       OPENSSL_NPN_NEGOTIATED
		       ? SSL_TLSEXT_ERR_OK
		       : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ---- tickets ---- */

static int with_key(const struct ticket_key *k, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int encrypt)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, (void *)k->mac, sizeof(k->mac)),
		OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0), OSSL_PARAM_END};

	return EVP_MAC_CTX_set_params(mac, params) &&
	       EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->aes, iv, encrypt);
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int encrypt)
{
	struct tls_server *ts = conn_of(ssl)->conn->gate->tls;
	const struct msg_ticket_keys *all = &ts->tickets;

	if (encrypt) {
		if (!all->n || sys_random(iv, 16) < 0)
			return 0;
		memcpy(name, all->key[0].name, sizeof(all->key[0].name));
		return with_key(&all->key[0], iv, cipher, mac, 1) ? 1 : -1;
	}
	for (uint32_t i = 0; i < all->n; i++)
		if (memcmp(name, all->key[i].name, sizeof(all->key[i].name)) == 0)
			/* 2: good, and its client gets a new one. Always in TLS 1.3, where each is used once (RFC
			 * 8446 appendix C.4); in 1.2 when it is of an older key. */
			return !with_key(&all->key[i], iv, cipher, mac, 0)        ? -1
			       : i == 0 && SSL_version(ssl) != TLS1_3_VERSION ? 1
									      : 2;
	return 0;
}

/* ---- the context ---- */

static int make_context(struct tls_server *ts)
{
	SSL_CTX *ctx = SSL_CTX_new_ex(ts->lib, NULL, TLS_server_method());

	ts->ctx = ctx;
	if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) ||
		!SSL_CTX_set_cipher_list(ctx, ciphers_12) ||
		!SSL_CTX_set_ciphersuites(ctx, ciphers_13) ||
		!SSL_CTX_set1_groups_list(ctx, groups))
		return -EIO;
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					 SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF |
					 SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* A record is asked for at once, not its five bytes of head before the rest: what is received has a bound. */
	SSL_CTX_set_read_ahead(ctx, 1);
	/* Sessions live in tickets alone, which every gate can read. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_timeout(ctx, 24 * 3600);
	SSL_CTX_set_max_early_data(ctx, 0);
	SSL_CTX_set_client_hello_cb(ctx, on_hello, ts);
	SSL_CTX_set_cert_cb(ctx, on_cert, ts);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, ts);
	tls_client_context(ts);
	return SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) ? 0 : -EIO;
}

int tls_server_need(struct gate *g)
{
	struct tls_server *ts = g->tls;
	int err;

	if (ts)
		return 0;
	ts = calloc(1, sizeof(*ts));
	if (!ts)
		return -ENOMEM;
	g->tls = ts;
	ts->gate = g;
	ts->kept_timer.op.kind = OP_TLS_KEPT;
	ts->kernel = tls_kernel_there();
	ts->lib = OSSL_LIB_CTX_new();
	err = ts->lib ? tls_certs_new(ts) : -ENOMEM;
	if (!err)
		err = tls_key_provider(ts);
	if (!err)
		err = make_context(ts);
	if (err)
		tls_server_free(g);
	ERR_clear_error();
	return err;
}

void tls_server_free(struct gate *g)
{
	struct tls_server *ts = g->tls;

	if (!ts)
		return;
	loop_timer_stop(g->loop, &ts->kept_timer);
	SSL_CTX_free(ts->ctx);
	BIO_meth_free(ts->bio);
	tls_certs_free(ts);
	tls_challenges_free(ts);
	tls_demands_free(ts);
	tls_vouchers_free(ts);
	for (unsigned i = 0; i < ARRAY_LEN(ts->providers); i++)
		if (ts->providers[i])
			OSSL_PROVIDER_unload(ts->providers[i]);
	OSSL_LIB_CTX_free(ts->lib);
	explicit_bzero(&ts->tickets, sizeof(ts->tickets));
	free(ts);
	g->tls = NULL;
}
