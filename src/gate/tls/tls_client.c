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

#include <errno.h>
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

/* What a session holds of verdicts under the client's policy. NULL: there was no certificate, or it is of others. */
static const struct kept *kept_of(const struct tls_client *c, SSL_SESSION *session)
{
	unsigned policy_n = 0;
	const unsigned char *policy = session ? SSL_SESSION_get0_id_context(session, &policy_n) : NULL;
	void *p = NULL;
	size_t n = 0;

	if (policy_n != sizeof(c->policy) || memcmp(policy, c->policy, policy_n) != 0)
		return NULL;
	if (!SSL_SESSION_get0_peer(session) || !SSL_SESSION_get0_ticket_appdata(session, &p, &n) ||
		n != sizeof(struct kept))
		return NULL;
	return p;
}

static SSL_TICKET_RETURN on_ticket_read(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
	size_t n, SSL_TICKET_STATUS status, void *arg)
{
	const struct tls_conn *t = SSL_get_app_data(ssl);
	const struct kept *kept;
	int64_t now_s = (int64_t)(loop_wall_us(t->conn->gate->loop) / 1000000);

	(void)name;
	(void)n;
	(void)arg;
	if (status == SSL_TICKET_EMPTY || status == SSL_TICKET_NO_DECRYPT)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
		return SSL_TICKET_RETURN_IGNORE;
	kept = t->client ? kept_of(t->client, session) : NULL;
	/* Now, because a ticket that takes this one's place is made before the handshake is over. */
	if (kept)
		memcpy(t->client->verdict, kept->verdict, sizeof(t->client->verdict));
	if (t->client && !kept && now_s - SSL_SESSION_get_time(session) > ANONYMOUS_S)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	/* A new ticket would be younger, and so on for ever. */
	return status == SSL_TICKET_SUCCESS || (t->client && !kept) ? SSL_TICKET_RETURN_USE
								    : SSL_TICKET_RETURN_USE_RENEW;
}

void tls_client_context(struct tls_server *ts)
{
	SSL_CTX_set_cert_verify_callback(ts->ctx, on_chain, ts);
	SSL_CTX_set_session_ticket_cb(ts->ctx, on_new_ticket, on_ticket_read, ts);
}

/* ---- what came of it ---- */

void tls_client_end(struct tls_conn *t)
{
	struct tls_client *c = t->client;
	const X509 *x = SSL_get0_peer_certificate(t->ssl);

	c->subject = c->issuer = c->serial = c->fingerprint = c->der = "";
	c->given = x != NULL;
	if (!x)
		return;
	if (tls_subject_read(c, x))
		return;
	/* It is there, and good for nothing. */
	for (unsigned i = 0; i < SNAP_CLIENT_CAS_MAX; i++)
		c->verdict[i].err = X509_V_ERR_UNSPECIFIED;
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
