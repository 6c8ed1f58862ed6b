/*
 * tls_buffers.c: whose buffers OpenSSL keeps between two requests; see tls_server.h.
 *
 * An idle connection has none: OpenSSL frees them behind each record (SSL_MODE_RELEASE_BUFFERS), which is four visits of the
 * heap a request. So a connection that asks again within a second keeps its two until it has been silent for a second or two; TLS_KEPT_MAX
 * of a gate do, and the others go on as ever. Called by tls_conn.c with what arrives, and by its timer, which runs only while
 * there are such connections. Owns the list of them.
 */
#include "tls_server.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

enum { BUSY_MS = 1000 };

static void look_later(struct tls_server *ts)
{
	loop_timer_in(ts->gate->loop, &ts->kept_timer, BUSY_MS);
}

void tls_buffers_used(struct tls_conn *t)
{
	struct tls_server *ts = t->conn->gate->tls;
	uint64_t now = loop_now_ms(ts->gate->loop), before = t->used_ms;

	t->used_ms = now;
	/* Where the kernel makes the records nothing is written through OpenSSL. */
	if (t->kept || now - before > BUSY_MS || ts->kept_n == TLS_KEPT_MAX || t->kernel)
		return;
	SSL_clear_mode(t->ssl, SSL_MODE_RELEASE_BUFFERS);
	t->kept = true;
	ts->kept[ts->kept_n++] = t;
	if (ts->kept_n == 1)
		look_later(ts);
}

/* Each goes behind a call that finds nothing to do. SSL_free_buffers() would not do: up to OpenSSL 3.0.13 it frees what a part
 * of a record lies in (CVE-2024-4741). */
static void give_up(struct tls_conn *t)
{
	char none;
	size_t n;

	SSL_set_mode(t->ssl, SSL_MODE_RELEASE_BUFFERS);
	if (t->failed || t->shut || t->ended || tls_conn_has_more(t))
		return; /* they go with it, or behind what it reads next */
	(void)SSL_read_ex(t->ssl, &none, 0, &n);
	(void)SSL_write_ex(t->ssl, "", 0, &n);
	ERR_clear_error();
	/* New keys that the client asked for may have gone with that, or not. */
	if (t->failed)
		conn_end(t->conn, CLOSE_CLIENT_GONE);
}

static void forget(struct tls_server *ts, unsigned i)
{
	ts->kept[i]->kept = false;
	ts->kept[i] = ts->kept[--ts->kept_n];
}

void tls_buffers_forget(struct tls_conn *t)
{
	struct tls_server *ts = t->conn->gate->tls;

	for (unsigned i = 0; t->kept && i < ts->kept_n; i++)
		if (ts->kept[i] == t)
			forget(ts, i);
}

void tls_buffers_on_timer(struct loop *l, struct op *op, int res)
{
	struct tls_server *ts = container_of(op, struct tls_server, kept_timer.op);
	uint64_t now = loop_now_ms(l);

	(void)res;
	for (unsigned i = ts->kept_n; i-- > 0;) {
		struct tls_conn *t = ts->kept[i];

		if (now - t->used_ms <= BUSY_MS)
			continue;
		forget(ts, i);
		give_up(t);
	}
	if (ts->kept_n)
		look_later(ts);
}
