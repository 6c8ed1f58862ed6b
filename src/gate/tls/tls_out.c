/*
 * tls_out.c: the way out of a TLS connection: what a protocol wants sent becomes records, and they
 * the socket's bytes.
 *
 * Called by conn_send() and the loop, and by tls_conn.c with each record that OpenSSL makes. Owns
 * the records that the socket has not taken: nothing more is encrypted while there are any, so that
 * is one, and those of a handshake. A record leaves from where OpenSSL made it; it is copied only
 * when the socket is full.
 */
#include "http1.h"
#include "http2.h"
#include "tls_server.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <unistd.h>

enum { RECORDS_AT_ONCE = 16 }; /* then others run */

/* Send what waits in the queue. */
static void send_queue(struct tls_conn *t)
{
	struct conn *c = t->conn;
	unsigned n = 0;
	int res;

	while (!t->failed && t->q.first) {
		n = 0;
		for (struct outbuf *b = t->q.first; b && n < SEND_IOV_MAX; b = b->next)
			t->out.iov[n++] = (struct iovec){b->bytes + b->at, b->len - b->at};
		t->out.iovcnt = (uint8_t)n;
		res = loop_send(c->gate->loop, &c->lfd, &t->out);
		t->sending = res == -EINPROGRESS;
		if (t->sending)
			return;
		t->failed |= res < 0;
		if (res == 0)
			outq_drop(c->gate, &t->q, (size_t)t->out.sent);
	}
}

bool tls_out_put(struct tls_conn *t, const char *p, size_t n)
{
	struct conn *c = t->conn;
	size_t gone = 0;

	if (!t->sending && !t->q.first && !t->failed) {
		t->out.iov[0] = (struct iovec){(void *)p, n};
		t->out.iovcnt = 1;
		int res = loop_send(c->gate->loop, &c->lfd, &t->out);

		gone = (size_t)t->out.sent;
		/* The bytes are the library's: none of them is lent beyond this call. */
		if (res == -EINPROGRESS)
			loop_send_cancel(c->gate->loop, &c->lfd);
		else if (res < 0)
			t->failed = true;
	}
	if (t->failed || (gone < n && !outq_put(c->gate, &t->q, p + gone, n - gone))) {
		t->failed = true;
		return false;
	}
	if (!t->sending)
		send_queue(t);
	return true;
}

/* Of what comes before the file. */
static uint64_t length_of_head(const struct send_op *s)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < s->iovcnt; i++)
		n += s->iov[i].iov_len;
	return n;
}

/* The next piece of what is to be sent, a record's content at the most: where it lies, or put
 * together in the gate's buffer. 0: its file cannot be read, or is shorter than it was. */
static size_t next_piece(struct tls_conn *t, uint64_t head, const char **ret)
{
	char *to = t->conn->gate->tls->scratch;
	struct send_op *s = t->plain;
	uint64_t skip = s->sent;
	size_t n = 0;

	for (unsigned i = 0; i < s->iovcnt && n < TLS_RECORD_BYTES; i++) {
		const char *p = s->iov[i].iov_base;
		size_t len = s->iov[i].iov_len;

		if (skip >= len) {
			skip -= len;
			continue;
		}
		p += skip;
		len -= (size_t)skip;
		skip = 0;
		if (n == 0 && (len >= TLS_RECORD_BYTES || s->sent + len == head + s->file_len)) {
			*ret = p;
			return min_of(len, (size_t)TLS_RECORD_BYTES);
		}
		len = min_of(len, TLS_RECORD_BYTES - n);
		memcpy(to + n, p, len);
		n += len;
	}
	*ret = to;
	if (s->sent + n >= head && s->file_len > s->sent + n - head && n < TLS_RECORD_BYTES) {
		uint64_t off = s->sent + n - head;
		ssize_t got = pread(s->file_fd, to + n,
			(size_t)min_of(s->file_len - off, (uint64_t)(TLS_RECORD_BYTES - n)),
			(off_t)(s->file_off + off));

		n = got > 0 ? n + (size_t)got : 0;
	}
	return n;
}

/* 0: all is encrypted, and at most a record of it waits for the socket; -EINPROGRESS; or an error.
 */
static int push(struct tls_conn *t)
{
	struct send_op *s = t->plain;
	uint64_t head = length_of_head(s), all = head + s->file_len;

	for (unsigned records = 0; s->sent < all; records++) {
		const char *p;
		size_t n, took = 0;

		if (t->sending)
			return -EINPROGRESS;
		if (records == RECORDS_AT_ONCE) {
			loop_defer(t->conn->gate->loop, &t->turn);
			return -EINPROGRESS;
		}
		n = next_piece(t, head, &p);
		if (n == 0)
			return -EIO;
		if (t->failed || !SSL_write_ex(t->ssl, p, n, &took) || t->failed) {
			ERR_clear_error();
			t->failed = true;
			return -EPIPE;
		}
		s->sent += took;
	}
	return 0;
}

int tls_conn_send(struct conn *c, struct send_op *s)
{
	struct tls_conn *t = c->tls;
	int res;

	must(!t->plain && t->ready);
	if (tls_kernel_sends(t))
		return loop_send(c->gate->loop, &c->lfd, s);
	t->plain = s;
	s->sent = 0;
	res = push(t);
	if (res != -EINPROGRESS)
		t->plain = NULL;
	return res;
}

void tls_conn_send_cancel(struct conn *c)
{
	struct tls_conn *t = c->tls;

	if (!t->plain && t->kernel && !t->sending)
		loop_send_cancel(c->gate->loop, &c->lfd);
	t->plain = NULL;
}

/* It completes as a loop's does. */
static void plain_done(struct tls_conn *t, int res)
{
	struct conn *c = t->conn;
	struct send_op *s = t->plain;

	t->plain = NULL;
	if (c->h2)
		http2_on_send(c->gate->loop, &s->op, res);
	else
		http1_on_send(c->gate->loop, &s->op, res);
}

void tls_out_go_on(struct tls_conn *t)
{
	int res = t->plain ? push(t) : -EINPROGRESS;

	if (res != -EINPROGRESS)
		plain_done(t, res);
}

static void shut_when_sent(struct tls_conn *t)
{
	tls_kernel_sent(t);
	if (t->shut && !t->q.first)
		(void)loop_sys_shutdown(t->conn->gate->loop, t->conn->lfd.fd, SHUT_WR);
}

void tls_conn_on_sent(struct loop *l, struct op *op, int res)
{
	struct tls_conn *t = container_of(op, struct tls_conn, out.op);
	struct conn *c = t->conn;

	(void)l;
	conn_enter(c);
	t->sending = false;
	t->failed |= res < 0;
	if (res == 0) {
		outq_drop(c->gate, &t->q, (size_t)t->out.sent);
		send_queue(t);
	}
	if (t->failed && t->plain)
		plain_done(t, res < 0 ? res : -EPIPE);
	else if (t->failed)
		conn_end(c, CLOSE_CLIENT_GONE);
	else if (!t->sending) {
		shut_when_sent(t);
		tls_out_go_on(t);
	}
	conn_leave(c);
}

int tls_conn_shut(struct conn *c)
{
	struct tls_conn *t = c->tls;

	if (t->shut)
		return 0;
	t->shut = true;
	if (t->ready && !t->failed)
		(void)SSL_shutdown(t->ssl);
	ERR_clear_error();
	shut_when_sent(t);
	return 0;
}
