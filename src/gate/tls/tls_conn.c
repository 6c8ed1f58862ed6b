/*
 * tls_conn.c: one connection's TLS: records in, records out; see tls_server.h.
 *
 * Called by conn.c with what arrived, by the protocols through conn_send(), and by the loop. Owns
 * the SSL object, the records that the socket has not taken (one and a handshake's at the most),
 * and received bytes that nobody wants yet. OpenSSL reads from the loop's lent buffer and writes to
 * the socket: a record is copied only when the socket is full (tls_out.c). An idle connection holds
 * no buffer.
 */
#include "tls_server.h"
#include "counters.h"
#include "req.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

/* ---- OpenSSL's ends ---- */

static int bio_read(BIO *b, char *p, size_t n, size_t *ret_n)
{
	struct tls_conn *t = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	if (!t->cipher_n) {
		BIO_set_retry_read(b);
		return 0;
	}
	n = min_of(n, (size_t)t->cipher_n);
	memcpy(p, t->cipher, n);
	t->cipher += n;
	t->cipher_n -= (uint32_t)n;
	*ret_n = n;
	return 1;
}

/* A record; or, where the kernel makes them, what is to be in some. */
static int bio_write(BIO *b, const char *p, size_t n, size_t *ret_n)
{
	struct tls_conn *t = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	if (t->record_type ? !tls_kernel_put(t, p, n) : !tls_out_put(t, p, n))
		return 0;
	*ret_n = n;
	return 1;
}

static long bio_ctrl_kernel(BIO *b, int what, long n, void *p)
{
	return what == BIO_CTRL_FLUSH ? 1 : tls_kernel_ctrl(BIO_get_data(b), what, n, p);
}

/* OpenSSL asks thirteen times a request whether the kernel makes the records: here it does not. */
static long bio_ctrl(BIO *b, int what, long n, void *p)
{
	(void)b;
	(void)n;
	(void)p;
	return what == BIO_CTRL_FLUSH;
}

/* Made once for a gate, for it is a type. */
static BIO_METHOD *bio_method(struct tls_server *ts)
{
	BIO_METHOD *m = ts->bio;

	if (m)
		return m;
	m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stead connection");
	if (!m)
		return NULL;
	BIO_meth_set_read_ex(m, bio_read);
	BIO_meth_set_write_ex(m, bio_write);
	BIO_meth_set_ctrl(m, ts->kernel ? bio_ctrl_kernel : bio_ctrl);
	ts->bio = m;
	return m;
}

int tls_conn_begin(struct conn *c)
{
	struct gate *g = c->gate;
	struct tls_conn *t;
	BIO_METHOD *m;
	BIO *b;
	int err = tls_server_need(g);

	if (err)
		return err;
	t = calloc(1, sizeof(*t));
	m = bio_method(g->tls);
	b = m ? BIO_new_ex(g->tls->lib, m) : NULL;
	if (t && b)
		t->ssl = SSL_new(g->tls->ctx);
	if (!t || !t->ssl) {
		BIO_free(b);
		free(t);
		ERR_clear_error();
		return -ENOMEM;
	}
	t->conn = c;
	t->turn.kind = OP_TLS_TURN;
	t->out.op.kind = OP_TLS_SEND;
	BIO_set_data(b, t);
	BIO_set_init(b, 1);
	SSL_set_bio(t->ssl, b, b);
	SSL_set_app_data(t->ssl, t);
	SSL_set_accept_state(t->ssl);
	tls_wait_mode(t->ssl, true);
	c->tls = t;
	return 0;
}

static void forget_site(struct tls_conn *t)
{
	snap_unref(t->snap);
	t->snap = NULL;
	t->site = NULL;
	t->cert = NULL;
}

/* ---- the handshake ---- */

static int step(struct tls_conn *t)
{
	struct tls_server *ts = t->conn->gate->tls;
	int res;

	ERR_clear_error();
	ts->current = t;
	res = SSL_do_handshake(t->ssl);
	ts->current = NULL;
	return res;
}

/* What became of it, where people look. */
static void count_end(struct tls_conn *t, bool good)
{
	struct gate *g = t->conn->gate;

	gate_count(g, METRIC_TLS_HANDSHAKES, 1);
	if (!good)
		gate_count(g,
			t->why == CLOSE_TLS_NAME  ? METRIC_TLS_BAD_NAME
			: t->why == CLOSE_TLS_KEY ? METRIC_TLS_NO_KEY
						  : METRIC_TLS_BAD,
			1);
	else if (SSL_session_reused(t->ssl))
		gate_count(g, METRIC_TLS_RESUMED, 1);
}

static void handshake_over(struct tls_conn *t)
{
	const char *name;
	const unsigned char *alpn;
	unsigned n;

	t->ready = true;
	/* One that succeeds may have tried something that did not. */
	ERR_clear_error();
	tls_wait_mode(t->ssl, false);
	SSL_get0_alpn_selected(t->ssl, &alpn, &n);
	t->h2 = n == 2 && memcmp(alpn, "h2", 2) == 0;
	t->version = SSL_get_version(t->ssl);
	name = SSL_CIPHER_standard_name(SSL_get_current_cipher(t->ssl));
	t->cipher_name = name ? name : "";
	count_end(t, true);
	forget_site(t);
	if (t->client)
		tls_client_end(t);
}

void tls_job_over(struct tls_server *ts)
{
	struct tls_conn *t = ts->first;

	if (!t || ts->jobs >= TLS_JOBS_MAX)
		return;
	ts->first = t->behind;
	if (!ts->first)
		ts->last = NULL;
	t->behind = NULL;
	t->queued = false;
	loop_defer(ts->gate->loop, &t->turn);
}

/* Stacks are bounded: who comes while all of them are taken waits for one. */
static bool wait_for_job(struct tls_conn *t)
{
	struct tls_server *ts = t->conn->gate->tls;

	if (t->signing || ts->jobs < TLS_JOBS_MAX)
		return false;
	if (!t->queued) {
		*(ts->last ? &ts->last->behind : &ts->first) = t;
		ts->last = t;
		t->queued = true;
	}
	return true;
}

static void leave_queue(struct tls_conn *t)
{
	struct tls_server *ts = t->conn->gate->tls;
	struct tls_conn *before = NULL, *at = ts->first;

	if (!t->queued)
		return;
	for (; at != t; at = at->behind)
		before = at;
	*(before ? &before->behind : &ts->first) = t->behind;
	if (ts->last == t)
		ts->last = before;
	t->queued = false;
}

/* False: it is not over, or never will be. */
static bool handshake(struct tls_conn *t)
{
	struct conn *c = t->conn;
	int res, err;

	if (t->ready)
		return true;
	if (wait_for_job(t))
		return false;
	res = step(t);
	/* It may have needed none. */
	tls_job_over(c->gate->tls);
	if (res == 1 && !t->failed) {
		handshake_over(t);
		return true;
	}
	err = t->failed ? SSL_ERROR_SYSCALL : SSL_get_error(t->ssl, res);
	if (err == SSL_ERROR_WANT_ASYNC || err == SSL_ERROR_WANT_CLIENT_HELLO_CB ||
		(err == SSL_ERROR_WANT_READ && !c->eof && t->in_bytes <= TLS_HANDSHAKE_MAX))
		return false;
	if (!t->why)
		t->why = t->signing || (err == SSL_ERROR_SSL &&
					       ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_PROV)
				 ? CLOSE_TLS_KEY
				 : CLOSE_TLS_HANDSHAKE;
	ERR_clear_error();
	/* A client that comes and goes without a byte is a probe, and no handshake. */
	if (t->in_bytes)
		count_end(t, false);
	conn_end(c, c->eof ? CLOSE_CLIENT_END : (enum close_id)t->why);
	return false;
}

/* ---- bytes in ---- */

bool tls_conn_has_more(const struct tls_conn *t)
{
	return t->cipher_n || SSL_has_pending(t->ssl);
}

/* Why SSL_read_ex() gave nothing. Whoever fails leaves OpenSSL's queue of errors empty, so nobody looks before a call: that
 * costs a hundredth of a request. */
static int why_not(const struct tls_conn *t)
{
	int err = SSL_want_read(t->ssl) ? SSL_ERROR_WANT_READ : SSL_get_error(t->ssl, 0);

	if (err != SSL_ERROR_WANT_READ)
		ERR_clear_error();
	return err;
}

/* Plain bytes into the connection's buffer. How many; 0: none now (or c->eof, or it has failed). */
static size_t read_plain(struct tls_conn *t)
{
	struct conn *c = t->conn;
	size_t n, all = 0, cap = loop_buf_bytes(c->gate->loop);
	int err = SSL_ERROR_NONE;
	char *buf;

	if (!tls_conn_has_more(t))
		return 0;
	buf = loop_buf_new(c->gate->loop);
	if (!buf) {
		conn_end(c, CLOSE_NO_MEMORY);
		return 0;
	}
	while (err == SSL_ERROR_NONE && all < cap && tls_conn_has_more(t)) {
		if (SSL_read_ex(t->ssl, buf + all, cap - all, &n))
			all += n;
		else
			err = why_not(t);
	}
	if (err == SSL_ERROR_ZERO_RETURN)
		t->ended = true;
	else if (err != SSL_ERROR_NONE && err != SSL_ERROR_WANT_READ)
		t->failed = true;
	if (all == 0) {
		loop_buf_give(c->gate->loop, buf);
		return 0;
	}
	c->in = buf;
	c->in_at = 0;
	c->in_len = (uint32_t)all;
	c->in_taken = true;
	return all;
}

static void want_raw(struct tls_conn *t)
{
	struct conn *c = t->conn;

	if (t->raw_waits || c->eof || t->signing || t->queued || t->asking)
		return;
	if (t->held) {
		must(!t->cipher_n);
		loop_buf_give(c->gate->loop, t->held);
		t->held = NULL;
	}
	t->raw_waits = true;
	loop_recv(c->gate->loop, &c->lfd, &c->recv);
}

/* As far as the protocol wants bytes and there are some. */
static void pump(struct tls_conn *t)
{
	struct conn *c = t->conn;

	t->inside = true;
	while (conn_open(c) && c->receiving && handshake(t)) {
		size_t n = read_plain(t);

		if (!conn_open(c))
			break;
		if (n == 0 && t->failed) {
			conn_end(c, CLOSE_TLS_BROKEN);
			break;
		}
		if (t->challenge && (n || t->ended || c->eof)) {
			conn_end(c, CLOSE_TLS_CHALLENGE);
			break;
		}
		if (n == 0 && !t->ended && !c->eof) {
			want_raw(t);
			break;
		}
		c->receiving = false;
		if (n == 0) {
			c->eof = true;
			c->eof_us = loop_now_us(c->gate->loop);
		}
		conn_run(c);
		if (conn_open(c) && c->in && c->in_at == c->in_len)
			conn_drop_input(c);
		if (c->eof)
			break;
	}
	/* The handshake waits for the client, whatever the protocol wants. */
	if (conn_open(c) && c->receiving && !t->ready)
		want_raw(t);
	t->inside = false;
}

void tls_conn_got(struct conn *c, struct op *op)
{
	struct tls_conn *t = c->tls;
	size_t n = c->in_len - c->in_at;

	t->raw_waits = false;
	c->receiving = true; /* for the protocol nothing has been received yet */
	if (c->in) {
		t->cipher = c->in + c->in_at;
		t->cipher_n = (uint32_t)n;
		c->in = NULL;
		c->in_at = c->in_len = 0;
		if (t->ready)
			tls_buffers_used(t);
		else
			t->in_bytes += (uint32_t)n;
	}
	/* Bytes that bring nothing (records without content, new keys again and again) are waste;
	 * what the protocol is given it charges itself. */
	if (t->ready && n < 64 && ledger_waste(&c->ledger, 256)) {
		conn_end(c, CLOSE_LEDGER);
		return;
	}
	pump(t);
	if (conn_open(c) && t->cipher_n && !t->held) {
		t->held = loop_buf_take(c->gate->loop, op);
		if (!t->held)
			conn_end(c, CLOSE_NO_MEMORY);
	}
}

void tls_conn_receive(struct conn *c, bool on)
{
	struct tls_conn *t = c->tls;

	if (!on) {
		c->receiving = false;
		if (t->raw_waits) {
			t->raw_waits = false;
			loop_recv_cancel(c->gate->loop, &c->lfd);
		}
		return;
	}
	if (c->receiving || c->eof)
		return;
	must(c->in_at == c->in_len);
	conn_drop_input(c);
	c->receiving = true;
	if (t->inside)
		return;
	/* What has come already is there without a receive. */
	if (t->ended || tls_conn_has_more(t))
		loop_defer(c->gate->loop, &t->turn);
	else
		want_raw(t);
}

/* A signature came; what was received before is wanted now; or a long answer gave way. */
void tls_conn_on_turn(struct loop *l, struct op *op, int res)
{
	struct tls_conn *t = container_of(op, struct tls_conn, turn);
	struct conn *c = t->conn;

	(void)l;
	(void)res;
	conn_enter(c);
	if (conn_open(c) && !t->sending)
		tls_out_go_on(t);
	if (conn_open(c) && c->receiving)
		pump(t);
	conn_leave(c);
}

/* ---- the end ---- */

/* A handshake that waits for its signature has a stack of its own, which must be left. */
static void leave_handshake(struct tls_conn *t)
{
	struct tls_server *ts = t->conn->gate->tls;

	for (struct sign_wait *w = ts->waits; w; w = w->next)
		if (w->conn == t && !w->done) {
			w->done = true;
			w->err = -ECANCELED;
		}
	(void)step(t);
	ERR_clear_error();
}

void tls_conn_end(struct conn *c)
{
	struct tls_conn *t = c->tls;
	struct loop *l = c->gate->loop;

	leave_queue(t);
	tls_buffers_forget(t);
	if (t->asking)
		tls_demand_leave(c->gate->tls, t);
	if (t->signing)
		leave_handshake(t);
	if (t->ready && !t->shut && !t->failed && !t->sending)
		(void)SSL_shutdown(t->ssl);
	ERR_clear_error();
	t->failed = true;
	loop_send_cancel(l, &c->lfd);
	loop_defer_cancel(l, &t->turn);
	if (t->held)
		loop_buf_give(l, t->held);
	outq_done(c->gate, &t->q);
	t->held = NULL;
	t->cipher_n = 0;
	t->plain = NULL;
	forget_site(t);
}

void tls_conn_free(struct conn *c)
{
	if (!c->tls)
		return;
	SSL_free(c->tls->ssl);
	tls_client_free(c->tls->client);
	free(c->tls);
	c->tls = NULL;
}

void tls_conn_describe(const struct conn *c, struct req *r)
{
	const char *name = SSL_get_servername(c->tls->ssl, TLSEXT_NAMETYPE_host_name);

	r->tls_version = c->tls->version;
	r->tls_cipher = c->tls->cipher_name;
	r->tls_name = name ? name : "";
	r->tls_site = c->tls->site_number;
	r->tls_client = c->tls->client;
}
