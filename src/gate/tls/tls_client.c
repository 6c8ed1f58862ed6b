/*
 * tls_client.c: certificates that clients show (RFC 8446 section 4.3.2, RFC 5246 section 7.4.4):
 * what is asked for, what of it holds, and what it says; see tls_server.h.
 *
 * Called by tls_server.c at a hello, by OpenSSL with a chain, by tls_conn.c behind the handshake,
 * and by client_cert.c for each request. A handshake never fails for a certificate: whom it is good
 * for depends on the route. So each list of the site gives its verdict once, and the verdicts are
 * kept in the session's ticket, bound to the lists by the session's context: when these change, no
 * session of before is resumed. Owns a bounded table of lists that have been read.
 */
#include "tls_server.h"
#include "lib/base64.h"
#include "lib/buf.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	VOUCHERS_MAX = 64,
	DEPTH_MAX = 8,  /* certificates between the client's and one of the list */
	NAMES_MAX = 64, /* are told to the client, for his choice */
	ANONYMOUS_S =
		300, /* a session without a certificate is resumed so long: he may have got one */
	DER_FIELD_MAX = 4096, /* of a certificate in a header field */
	TEXT_MAX = 16 * 1024,
};

struct voucher {
	uint8_t id[32]; /* SHA-256 of all its certificates; all 0: free */
	X509_STORE *store;
	STACK_OF(X509) * certs;
	uint64_t used;
};
struct tls_vouchers {
	uint64_t clock;
	struct voucher at[VOUCHERS_MAX];
};
/* In a ticket, by one gate for another of the same build. */
struct kept {
	uint32_t bytes; /* of this */
	uint32_t n;
	struct tls_verdict verdict[SNAP_CLIENT_CAS_MAX];
};

/* ---- the lists ---- */

static bool list_id(const struct snap *s, const struct snap_client_ca *ca, uint8_t ret[32])
{
	EVP_MD_CTX *sum = EVP_MD_CTX_new();
	bool good = sum && EVP_DigestInit_ex(sum, EVP_sha256(), NULL);
	const struct snap_str *str;

	for (uint32_t i = 0; good && (str = snap_item(s, ca->certs, i, sizeof(*str))); i++) {
		size_t n;
		const char *p = snap_str(s, *str, &n);
		uint64_t bytes = n;

		good = EVP_DigestUpdate(sum, &bytes, sizeof(bytes)) && EVP_DigestUpdate(sum, p, n);
	}
	good = good && EVP_DigestFinal_ex(sum, ret, NULL);
	EVP_MD_CTX_free(sum);
	return good;
}

/* What a site asks for, in one sum: its number and its lists in their order. */
static bool policy_of(const struct snap *s, const struct snap_site *site, uint8_t ret[32])
{
	struct {
		uint32_t number, n;
		uint8_t id[SNAP_CLIENT_CAS_MAX][32];
	} all = {.number = site->number};
	const struct snap_client_ca *ca;

	for (; all.n < SNAP_CLIENT_CAS_MAX &&
		(ca = snap_item(s, site->client_cas, all.n, sizeof(*ca)));
		all.n++)
		if (!list_id(s, ca, all.id[all.n]))
			return false;
	return EVP_Digest(&all, sizeof(all), ret, NULL, EVP_sha256(), NULL) == 1;
}

static void drop(struct voucher *v)
{
	X509_STORE_free(v->store);
	sk_X509_pop_free(v->certs, X509_free);
	memset(v, 0, sizeof(*v));
}

void tls_vouchers_free(struct tls_server *ts)
{
	for (unsigned i = 0; ts->vouchers && i < VOUCHERS_MAX; i++)
		drop(&ts->vouchers->at[i]);
	free(ts->vouchers);
	ts->vouchers = NULL;
}

/* One that cannot be read vouches for nobody. */
static bool read_list(struct tls_server *ts, const struct snap *s, const struct snap_client_ca *ca,
	struct voucher *to)
{
	const struct snap_str *str;

	to->store = X509_STORE_new();
	to->certs = sk_X509_new_null();
	if (!to->store || !to->certs)
		return false;
	/* Whoever is named vouches, an authority below another as well as a client's own
	 * certificate. */
	X509_STORE_set_flags(to->store, X509_V_FLAG_PARTIAL_CHAIN);
	for (uint32_t i = 0; (str = snap_item(s, ca->certs, i, sizeof(*str))); i++) {
		size_t n;
		const unsigned char *p = (const unsigned char *)snap_str(s, *str, &n);
		X509 *x = X509_new_ex(ts->lib, NULL);

		if (x && d2i_X509(&x, &p, (long)n) && X509_STORE_add_cert(to->store, x) &&
			sk_X509_push(to->certs, x))
			continue;
		X509_free(x);
		ERR_clear_error();
	}
	return true;
}

/* NULL: there is no memory. */
static struct voucher *voucher_of(
	struct tls_server *ts, const struct snap *s, const struct snap_client_ca *ca)
{
	struct tls_vouchers *all = ts->vouchers;
	struct voucher *oldest;
	uint8_t id[32];

	if (!list_id(s, ca, id))
		return NULL;
	oldest = &all->at[0];
	for (unsigned i = 0; i < VOUCHERS_MAX; i++) {
		struct voucher *v = &all->at[i];

		if (v->store && !memcmp(v->id, id, sizeof(id))) {
			v->used = ++all->clock;
			return v;
		}
		if (v->used < oldest->used)
			oldest = v;
	}
	drop(oldest);
	if (!read_list(ts, s, ca, oldest)) {
		drop(oldest);
		return NULL;
	}
	memcpy(oldest->id, id, sizeof(id));
	oldest->used = ++all->clock;
	return oldest;
}

/* ---- the hello ---- */

/* Browsers offer those of their certificates that one of these made. */
static void tell_names(struct tls_server *ts, struct tls_conn *t)
{
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
	const struct snap_client_ca *ca;

	for (uint32_t i = 0;
		names && (ca = snap_item(t->snap, t->site->client_cas, i, sizeof(*ca))); i++) {
		const struct voucher *v = voucher_of(ts, t->snap, ca);

		for (int k = 0;
			v && k < sk_X509_num(v->certs) && sk_X509_NAME_num(names) < NAMES_MAX;
			k++) {
			X509_NAME *name =
				X509_NAME_dup(X509_get_subject_name(sk_X509_value(v->certs, k)));

			if (!name || !sk_X509_NAME_push(names, name))
				X509_NAME_free(name);
		}
	}
	if (names)
		SSL_set0_CA_list(t->ssl, names);
	ERR_clear_error();
}

int tls_client_begin(struct tls_server *ts, struct tls_conn *t)
{
	struct tls_client *c = calloc(1, sizeof(*c));

	if (!ts->vouchers)
		ts->vouchers = calloc(1, sizeof(*ts->vouchers));
	if (!c || !ts->vouchers || !policy_of(t->snap, t->site, c->policy)) {
		free(c);
		return -ENOMEM;
	}
	c->generation = snap_generation(t->snap);
	for (unsigned i = 0; i < SNAP_CLIENT_CAS_MAX; i++)
		c->verdict[i].err = X509_V_ERR_UNSPECIFIED;
	t->client = c;
	SSL_set_session_id_context(t->ssl, c->policy, sizeof(c->policy));
	SSL_set_verify(t->ssl, SSL_VERIFY_PEER, NULL);
	tell_names(ts, t);
	return 0;
}

void tls_client_free(struct tls_client *c)
{
	if (!c)
		return;
	free(c->text);
	free(c);
}

/* ---- the chain ---- */

static int64_t end_of(const X509 *x)
{
	struct tm tm;

	return ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static struct tls_verdict judge(struct tls_server *ts, const SSL *ssl, const struct voucher *v,
	X509 *leaf, STACK_OF(X509) * others)
{
	X509_STORE_CTX *ctx = v ? X509_STORE_CTX_new_ex(ts->lib, NULL) : NULL;
	struct tls_verdict is = {.err = X509_V_ERR_OUT_OF_MEM};

	if (ctx && X509_STORE_CTX_init(ctx, v->store, leaf, others) == 1 &&
		X509_STORE_CTX_set_default(ctx, "ssl_client") == 1) {
		X509_STORE_CTX_set_depth(ctx, DEPTH_MAX);
		X509_VERIFY_PARAM_set_auth_level(
			X509_STORE_CTX_get0_param(ctx), SSL_get_security_level(ssl));
		is.err = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
		if (is.err == X509_V_OK) {
			const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);

			is.until_s = INT64_MAX;
			for (int i = 0; i < sk_X509_num(chain); i++)
				is.until_s = min_of(is.until_s, end_of(sk_X509_value(chain, i)));
		}
	}
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return is;
}

/* The handshake goes on whatever is found. */
static int on_chain(X509_STORE_CTX *ctx, void *arg)
{
	struct tls_server *ts = arg;
	const SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_conn *t = ssl ? SSL_get_app_data(ssl) : NULL;
	const struct snap_client_ca *ca;

	X509_STORE_CTX_set_error(ctx, X509_V_OK);
	if (!t || !t->client || !t->site)
		return 0;
	for (uint32_t i = 0; i < SNAP_CLIENT_CAS_MAX &&
			     (ca = snap_item(t->snap, t->site->client_cas, i, sizeof(*ca)));
		i++)
		t->client->verdict[i] = judge(ts, ssl, voucher_of(ts, t->snap, ca),
			X509_STORE_CTX_get0_cert(ctx), X509_STORE_CTX_get0_untrusted(ctx));
	return 1;
}

/* ---- tickets ---- */

static int on_new_ticket(SSL *ssl, void *arg)
{
	const struct tls_conn *t = SSL_get_app_data(ssl);
	struct kept k = {.bytes = sizeof(k), .n = SNAP_CLIENT_CAS_MAX};

	(void)arg;
	if (!t->client || !SSL_get0_peer_certificate(ssl))
		return 1;
	memcpy(k.verdict, t->client->verdict, sizeof(k.verdict));
	return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), &k, sizeof(k));
}

/* What a session holds of verdicts. NULL: there was no certificate. */
static const struct kept *kept_of(SSL_SESSION *session)
{
	void *p = NULL;
	size_t n = 0;

	if (!session || !SSL_SESSION_get0_peer(session) ||
		!SSL_SESSION_get0_ticket_appdata(session, &p, &n) || n != sizeof(struct kept))
		return NULL;
	return p;
}

static SSL_TICKET_RETURN on_ticket_read(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
	size_t n, SSL_TICKET_STATUS status, void *arg)
{
	const struct tls_conn *t = SSL_get_app_data(ssl);
	int64_t now_s = (int64_t)(loop_wall_us(t->conn->gate->loop) / 1000000);

	(void)name;
	(void)n;
	(void)arg;
	if (status == SSL_TICKET_EMPTY || status == SSL_TICKET_NO_DECRYPT)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
		return SSL_TICKET_RETURN_IGNORE;
	if (t->client && !kept_of(session) && now_s - SSL_SESSION_get_time(session) > ANONYMOUS_S)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

void tls_client_context(struct tls_server *ts)
{
	SSL_CTX_set_cert_verify_callback(ts->ctx, on_chain, ts);
	SSL_CTX_set_session_ticket_cb(ts->ctx, on_new_ticket, on_ticket_read, ts);
}

/* ---- what it says ---- */

/* One that is long, or not printable when it is written as RFC 2253 writes it, is no name that an
 * app should decide by. */
static bool put_name(struct buf *b, const X509_NAME *name)
{
	BIO *mem = BIO_new(BIO_s_mem());
	char *p = NULL;
	long n = mem && X509_NAME_print_ex(mem, name, 0, XN_FLAG_RFC2253) >= 0
			 ? BIO_get_mem_data(mem, &p)
			 : -1;
	bool good = n >= 0 && n <= TLS_CLIENT_TEXT_MAX;

	for (long i = 0; good && i < n; i++)
		good = p[i] >= 0x20 && p[i] < 0x7f;
	if (good)
		buf_put(b, p, (size_t)n);
	buf_putc(b, 0);
	BIO_free(mem);
	return good;
}

static bool put_hex(struct buf *b, const uint8_t *p, size_t n, const char *digits)
{
	for (size_t i = 0; i < n; i++) {
		buf_putc(b, digits[p[i] >> 4]);
		buf_putc(b, digits[p[i] & 15]);
	}
	buf_putc(b, 0);
	return true;
}

static bool put_serial(struct buf *b, const X509 *x)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
	int n = ASN1_STRING_length(serial);

	return n > 0 && n <= 64 &&
	       put_hex(b, ASN1_STRING_get0_data(serial), (size_t)n, "0123456789ABCDEF");
}

static bool put_der(struct buf *b, const X509 *x)
{
	unsigned char *der = NULL;
	int n = i2d_X509(x, &der);
	uint8_t sum[32];
	char text[BASE64_BYTES(DER_FIELD_MAX)];
	bool good = n > 0 && EVP_Digest(der, (size_t)n, sum, NULL, EVP_sha256(), NULL) == 1;

	if (good)
		(void)put_hex(b, sum, sizeof(sum), "0123456789abcdef");
	if (good && n <= DER_FIELD_MAX) {
		base64_encode(der, (size_t)n, text);
		buf_putc(b, ':');
		buf_puts(b, text);
		buf_putc(b, ':');
	}
	buf_putc(b, 0);
	OPENSSL_free(der);
	return good;
}

static const char *next(const char **at)
{
	const char *p = *at;

	*at += strlen(p) + 1;
	return p;
}

/* Its texts, one behind the other. */
static int describe(struct tls_client *c, const X509 *x)
{
	struct buf b;
	const char *at;
	bool good;

	buf_init(&b, TEXT_MAX);
	good = put_name(&b, X509_get_subject_name(x)) && put_name(&b, X509_get_issuer_name(x)) &&
	       put_serial(&b, x) && put_der(&b, x);
	ERR_clear_error();
	if (b.error || !good) {
		int err = b.error == -ENOMEM ? -ENOMEM : 0;

		buf_done(&b);
		/* It is there, and good for nothing. */
		for (unsigned i = 0; i < SNAP_CLIENT_CAS_MAX; i++)
			c->verdict[i].err = X509_V_ERR_UNSPECIFIED;
		return err;
	}
	c->text = malloc(b.len);
	if (c->text) {
		memcpy(c->text, b.p, b.len);
		at = c->text;
		c->subject = next(&at);
		c->issuer = next(&at);
		c->serial = next(&at);
		c->fingerprint = next(&at);
		c->der = next(&at);
	}
	buf_done(&b);
	return c->text ? 0 : -ENOMEM;
}

int tls_client_end(struct tls_conn *t)
{
	struct tls_client *c = t->client;
	const X509 *x = SSL_get0_peer_certificate(t->ssl);
	const struct kept *k;

	c->subject = c->issuer = c->serial = c->fingerprint = c->der = "";
	c->given = x != NULL;
	if (!x)
		return 0;
	if (SSL_session_reused(t->ssl)) {
		k = kept_of(SSL_get_session(t->ssl));
		if (k)
			memcpy(c->verdict, k->verdict, sizeof(c->verdict));
	}
	return describe(c, x);
}

/* ---- a request ---- */

bool tls_client_holds(struct tls_client *c, uint32_t conn_site, const struct snap *s,
	const struct snap_site *site)
{
	uint8_t policy[32];

	if (conn_site != site->number)
		return false;
	if (c->generation == snap_generation(s))
		return true;
	if (!policy_of(s, site, policy) || memcmp(policy, c->policy, sizeof(policy)) != 0)
		return false;
	c->generation = snap_generation(s);
	return true;
}

bool tls_client_good(const struct tls_client *c, uint32_t i, int64_t now_s)
{
	return c->given && i < SNAP_CLIENT_CAS_MAX && c->verdict[i].err == X509_V_OK &&
	       now_s < c->verdict[i].until_s;
}
