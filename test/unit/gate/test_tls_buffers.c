/*
 * test_tls_buffers.c: whose buffers OpenSSL keeps, and that they go: by OpenSSL's own count of large pieces of memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sim.h"
#include "tls_server.h"

enum { LARGE = 16 * 1024, RECORD_HEAD = 5 };

struct piece {
	size_t n;
	max_align_t bytes[];
};
static int large; /* pieces of LARGE or more that OpenSSL has */

static void *take(size_t n, const char *file, int line)
{
	struct piece *p = malloc(sizeof(*p) + n);

	(void)file;
	(void)line;
	if (!p)
		return NULL;
	p->n = n;
	large += n >= LARGE;
	return p->bytes;
}

static void give(void *bytes, const char *file, int line)
{
	struct piece *p = bytes ? (struct piece *)((char *)bytes - offsetof(struct piece, bytes)) : NULL;

	(void)file;
	(void)line;
	large -= p && p->n >= LARGE;
	free(p);
}

static void *again(void *bytes, size_t n, const char *file, int line)
{
	struct piece *p = bytes ? (struct piece *)((char *)bytes - offsetof(struct piece, bytes)) : NULL;
	void *to = take(n, file, line);

	if (to && p)
		memcpy(to, bytes, p->n < n ? p->n : n);
	if (to)
		give(bytes, file, line);
	return to;
}

struct bed {
	struct sim *sim;
	struct gate gate;
	struct tls_server ts;
	struct conn conn;
	struct tls_conn t;
	SSL_CTX *server_ctx, *client_ctx;
	SSL *client;
};

/* The end of a gate, which the process defines. */
void gate_drained(struct gate *g)
{
	(void)g;
}

static op_done *const ops[OP_GATE_END] = {[OP_TLS_KEPT] = tls_buffers_on_timer};

static void certify(SSL_CTX *ctx)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();

	assert_non_null(key);
	assert_non_null(x);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), 0));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 3600));
	assert_int_equal(X509_set_pubkey(x, key), 1);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(x);
	EVP_PKEY_free(key);
}

static SSL *new_end(SSL_CTX *ctx)
{
	SSL *ssl = SSL_new(ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

	assert_non_null(ssl);
	BIO_set_mem_eof_return(in, -1);
	SSL_set_bio(ssl, in, out);
	return ssl;
}

/* What `from` has sent, but `rest` bytes of it at the most, arrives. */
static void carry(SSL *from, SSL *to, size_t rest)
{
	size_t n = BIO_ctrl_pending(SSL_get_wbio(from)), got;
	char bytes[LARGE];

	assert_true(n > rest && n < sizeof(bytes));
	assert_int_equal(BIO_read_ex(SSL_get_wbio(from), bytes, n - rest, &got), 1);
	assert_int_equal(BIO_write(SSL_get_rbio(to), bytes, (int)got), (int)got);
}

static void pass(struct bed *b, unsigned ms)
{
	sim_advance_us(b->sim, (uint64_t)ms * 1000);
	assert_int_equal(loop_step(b->gate.loop, 0), 0);
}

static int begin(void **state)
{
	struct sim_options o = {.seed = 1};
	struct bed *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	assert_int_equal(sim_new(&b->sim, &o), 0);
	assert_int_equal(loop_new_sim(&b->gate.loop, b->sim, ops, OP_GATE_END), 0);
	b->gate.tls = &b->ts;
	b->ts.gate = &b->gate;
	b->ts.kept_timer.op.kind = OP_TLS_KEPT;
	b->conn.gate = &b->gate;
	b->t.conn = &b->conn;
	b->server_ctx = SSL_CTX_new(TLS_server_method());
	b->client_ctx = SSL_CTX_new(TLS_client_method());
	certify(b->server_ctx);
	SSL_CTX_set_num_tickets(b->server_ctx, 0);
	SSL_CTX_set_read_ahead(b->server_ctx, 1);
	SSL_CTX_set_mode(b->server_ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_mode(b->client_ctx, SSL_MODE_RELEASE_BUFFERS);
	b->t.ssl = new_end(b->server_ctx);
	b->client = new_end(b->client_ctx);
	SSL_set_accept_state(b->t.ssl);
	assert_int_equal(SSL_connect(b->client), -1);
	carry(b->client, b->t.ssl, 0);
	assert_int_equal(SSL_do_handshake(b->t.ssl), -1);
	carry(b->t.ssl, b->client, 0);
	assert_int_equal(SSL_connect(b->client), 1);
	carry(b->client, b->t.ssl, 0);
	assert_int_equal(SSL_do_handshake(b->t.ssl), 1);
	assert_int_equal(large, 0);
	pass(b, 10000);
	*state = b;
	return 0;
}

static int end(void **state)
{
	struct bed *b = *state;

	tls_buffers_forget(&b->t);
	assert_int_equal(b->ts.kept_n, 0);
	SSL_free(b->t.ssl);
	SSL_free(b->client);
	SSL_CTX_free(b->server_ctx);
	SSL_CTX_free(b->client_ctx);
	loop_timer_stop(b->gate.loop, &b->ts.kept_timer);
	loop_free(b->gate.loop);
	sim_free(b->sim);
	free(b);
	assert_int_equal(large, 0);
	return 0;
}

static void read_ask(struct bed *b)
{
	char got[8];
	size_t n;

	assert_int_equal(SSL_read_ex(b->t.ssl, got, sizeof(got), &n), 1);
	assert_int_equal(n, 3);
	assert_memory_equal(got, "ask", 3);
}

/* A request and its answer. */
static void ask(struct bed *b)
{
	char got[8];
	size_t n;

	assert_int_equal(SSL_write_ex(b->client, "ask", 3, &n), 1);
	carry(b->client, b->t.ssl, 0);
	tls_buffers_used(&b->t);
	read_ask(b);
	assert_int_equal(SSL_write_ex(b->t.ssl, "answer", 6, &n), 1);
	carry(b->t.ssl, b->client, 0);
	assert_int_equal(SSL_read_ex(b->client, got, sizeof(got), &n), 1);
	assert_int_equal(n, 6);
}

static void busy_then_silent(void **state)
{
	struct bed *b = *state;

	ask(b);
	assert_int_equal(large, 0);
	pass(b, 500);
	ask(b);
	assert_int_equal(b->ts.kept_n, 1);
	assert_int_equal(large, 2);
	/* It goes on: two they are and stay. */
	for (unsigned i = 0; i < 20; i++) {
		pass(b, 300);
		ask(b);
		assert_int_equal(large, 2);
	}
	pass(b, 1100);
	pass(b, 1100);
	assert_int_equal(b->ts.kept_n, 0);
	assert_int_equal(large, 0);
	/* None of that is to be seen by the client, and it may become busy again. */
	ask(b);
	assert_int_equal(large, 0);
	ask(b);
	assert_int_equal(large, 2);
}

static void seldom(void **state)
{
	struct bed *b = *state;

	for (unsigned i = 0; i < 4; i++) {
		ask(b);
		assert_int_equal(large, 0);
		assert_int_equal(b->ts.kept_n, 0);
		pass(b, 1500);
	}
}

/* When its time is up a part of a record lies in the buffer: `rest` bytes are still to come. */
static void half(struct bed *b, size_t rest)
{
	char got[8];
	size_t n;

	ask(b);
	ask(b);
	assert_int_equal(SSL_write_ex(b->client, "ask", 3, &n), 1);
	carry(b->client, b->t.ssl, rest);
	tls_buffers_used(&b->t);
	assert_int_equal(SSL_read_ex(b->t.ssl, got, sizeof(got), &n), 0);
	pass(b, 1100);
	pass(b, 1100);
	assert_int_equal(b->ts.kept_n, 0);
	carry(b->client, b->t.ssl, 0);
	read_ask(b);
	assert_int_equal(SSL_write_ex(b->t.ssl, "answer", 6, &n), 1);
	assert_int_equal(large, 0);
	carry(b->t.ssl, b->client, 0);
	assert_int_equal(SSL_read_ex(b->client, got, sizeof(got), &n), 1);
	assert_int_equal(n, 6);
	pass(b, 5000);
}

static void parts(void **state)
{
	struct bed *b = *state;
	/* "ask", its type, its tag */
	size_t body = 3 + 1 + 16;

	half(b, 1);
	half(b, body - 1);
	half(b, body); /* the head alone: what SSL_free_buffers() freed */
	half(b, body + RECORD_HEAD - 1);
}

static void bounded(void **state)
{
	static struct tls_conn many[TLS_KEPT_MAX + 2];
	struct bed *b = *state;

	for (unsigned i = 0; i < ARRAY_LEN(many); i++) {
		many[i] = (struct tls_conn){.conn = &b->conn, .ssl = SSL_new(b->server_ctx)};
		many[i].kernel = i == 0;
		tls_buffers_used(&many[i]);
		tls_buffers_used(&many[i]);
		assert_int_equal(b->ts.kept_n, i < TLS_KEPT_MAX ? i : TLS_KEPT_MAX);
	}
	for (unsigned i = 0; i < ARRAY_LEN(many); i++) {
		tls_buffers_forget(&many[i]);
		assert_false(many[i].kept);
		SSL_free(many[i].ssl);
	}
	assert_int_equal(b->ts.kept_n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(busy_then_silent, begin, end),
		cmocka_unit_test_setup_teardown(seldom, begin, end),
		cmocka_unit_test_setup_teardown(parts, begin, end),
		cmocka_unit_test_setup_teardown(bounded, begin, end),
	};

	if (!CRYPTO_set_mem_functions(take, again, give))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
