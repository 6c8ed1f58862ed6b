/*
 * conn.c: connections: their memory, their ledger, their one timer and their end.
 *
 * Called by accept.c with new ones, by the loop with bytes and time, by http1*.c. Owns the
 * descriptor, the buffer with bytes not used yet, and the h1 that hangs on it. Knows nothing of
 * HTTP but its name. Deadlines are coarse: the timer is not touched when a request comes or goes,
 * but looks, when it fires, at what the connection waits for and since when.
 */
#include "conn.h"
#include "access_list.h"
#include "counters.h"
#include "http1.h"
#include "http2.h"
#include "tls_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum {
	SPARES_MAX = 1024,
	LINGER_MS = 2000,
	LINGER_BYTES = 256 * 1024,
	ASKED_MS = 100,
};

static void name_peer(struct conn *c, const struct sockaddr *peer, socklen_t len)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)peer;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)peer;

	c->peer[0] = 0;
	c->peer_port = 0;
	if (!peer || len < sizeof(sa_family_t))
		return;
	if (peer->sa_family == AF_INET && len >= sizeof(*v4)) {
		inet_ntop(AF_INET, &v4->sin_addr, c->peer, sizeof(c->peer));
		c->peer_port = ntohs(v4->sin_port);
	} else if (peer->sa_family == AF_INET6 && len >= sizeof(*v6)) {
		/* An IPv4 client on a socket for both is shown as what it is. */
		if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
			inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], c->peer, sizeof(c->peer));
		else
			inet_ntop(AF_INET6, &v6->sin6_addr, c->peer, sizeof(c->peer));
		c->peer_port = ntohs(v6->sin6_port);
	}
}

int conn_new(struct gate *g, int fd, struct listener *from, const struct sockaddr *peer,
	socklen_t peer_len, const struct admit *as)
{
	struct conn *c = g->conns_free;
	int err;

	if (c) {
		g->conns_free = c->next;
		g->conns_free_n--;
	} else {
		c = malloc(sizeof(*c));
		if (!c)
			return -ENOMEM;
	}
	*c = (struct conn){
		.lfd = LFD_INIT,
		.recv.kind = OP_CONN_RECV,
		.hup.kind = OP_CONN_HUP,
		.timer.op.kind = OP_CONN_TIMER,
		.gate = g,
		.listener = from,
		.state = CONN_OPEN,
		.proxy_due = as->proxy,
		.nth = as->nth,
		.idle_ms = g->limits.idle_ms,
		.since_ms = loop_now_ms(g->loop),
	};
	err = loop_add(g->loop, &c->lfd, fd);
	if (err) {
		free(c);
		return err;
	}
	from->refs++;
	name_peer(c, peer, peer_len);
	c->next = g->conns;
	if (g->conns)
		g->conns->prev = c;
	g->conns = c;
	g->conns_n++;
	gate_count(g, METRIC_CONNS_ACCEPTED, 1);
	gate_count(g, METRIC_CONNS_OPEN, 1);
	conn_wake_in(c, min_of(g->limits.header_ms, g->limits.idle_ms));
	conn_receive(c, true);
	return 0;
}

static void conn_free(struct conn *c)
{
	struct gate *g = c->gate;

	tls_conn_free(c);
	if (g->conns_free_n >= SPARES_MAX) {
		free(c);
	} else {
		c->state = CONN_FREE;
		c->next = g->conns_free;
		g->conns_free = c;
		g->conns_free_n++;
	}
	gate_left(g);
}

void conn_free_spares(struct gate *g)
{
	while (g->conns_free) {
		struct conn *c = g->conns_free;

		g->conns_free = c->next;
		g->conns_free_n--;
		free(c);
	}
}

void conn_drop_input(struct conn *c)
{
	if (c->in_taken)
		loop_buf_give(c->gate->loop, c->in);
	c->in = NULL;
	c->in_at = c->in_len = 0;
	c->in_taken = false;
}

/* It does not count for its address any more. */
static void leave_row(struct conn *c)
{
	struct admit as = {.nth = c->nth};

	if (c->nth && address_parse(c->peer, as.address))
		admit_leave(c->gate, &as);
	c->nth = 0;
}

/* Else the kernel would keep what waits for a client that takes nothing, megabytes of it, for as long as
 * that client likes. */
static void drop_unsent(const struct conn *c)
{
	const struct linger now = {.l_onoff = 1};

	(void)setsockopt(c->lfd.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

void conn_end(struct conn *c, enum close_id why)
{
	struct gate *g = c->gate;

	if (c->state == CONN_ENDED)
		return;
	/* A lingering connection ended when its answer did; this is only its last breath. */
	if (c->state == CONN_LINGER)
		why = c->why;
	c->state = CONN_ENDED;
	c->why = (uint8_t)why;
	conn_enter(c);
	if (c->h1)
		http1_gone(c, why);
	if (c->h2)
		http2_gone(c, why);
	conn_drop_input(c);
	proxy_in_free(c);
	if (c->tls)
		tls_conn_end(c);
	leave_row(c);
	loop_timer_stop(g->loop, &c->timer);
	if (why == CLOSE_SEND_TOO_SLOW)
		drop_unsent(c);
	loop_close(g->loop, &c->lfd);
	if (c->next)
		c->next->prev = c->prev;
	if (c->prev)
		c->prev->next = c->next;
	else
		g->conns = c->next;
	g->conns_n--;
	g->closes[why]++;
	gate_count(g, METRIC_CONNS_OPEN, -1);
	gate_count(g, METRIC_BYTES_IN, (int64_t)c->ledger.bytes_in);
	listener_unref(c->listener);
	conn_leave(c);
}

void conn_leave(struct conn *c)
{
	must(c->busy > 0);
	if (--c->busy == 0 && c->state == CONN_ENDED)
		conn_free(c);
}

void conn_linger(struct conn *c, enum close_id why)
{
	if (c->state != CONN_OPEN)
		return;
	must(!c->h1 && !c->h2);
	conn_drop_input(c);
	if (c->eof || conn_shut(c) < 0) {
		conn_end(c, why);
		return;
	}
	c->state = CONN_LINGER;
	c->why = (uint8_t)why;
	c->since_ms = loop_now_ms(c->gate->loop);
	conn_wake_in(c, LINGER_MS);
	conn_receive(c, true);
}

void conn_wake_in(struct conn *c, uint64_t ms)
{
	uint64_t at = loop_now_ms(c->gate->loop) + ms;

	if (!c->timer.at_ms || c->timer.at_ms > at)
		loop_timer(c->gate->loop, &c->timer, at);
}

void conn_receive(struct conn *c, bool on)
{
	struct loop *l = c->gate->loop;

	if (c->tls && c->state == CONN_OPEN) {
		tls_conn_receive(c, on);
		return;
	}
	if (on && !c->receiving && !c->eof) {
		must(c->in_at == c->in_len);
		conn_drop_input(c);
		c->receiving = true;
		loop_recv(l, &c->lfd, &c->recv);
	} else if (!on && c->receiving) {
		c->receiving = false;
		loop_recv_cancel(l, &c->lfd);
	}
}

int conn_send(struct conn *c, struct send_op *s)
{
	return c->tls ? tls_conn_send(c, s) : loop_send(c->gate->loop, &c->lfd, s);
}

void conn_send_cancel(struct conn *c)
{
	if (c->tls)
		tls_conn_send_cancel(c);
	else
		loop_send_cancel(c->gate->loop, &c->lfd);
}

int conn_shut(struct conn *c)
{
	return c->tls ? tls_conn_shut(c) : loop_sys_shutdown(c->gate->loop, c->lfd.fd, SHUT_WR);
}

void conn_watch(struct conn *c)
{
	if (c->hup_waits)
		return;
	c->hup_waits = true;
	loop_hup(c->gate->loop, &c->lfd, &c->hup);
}

static bool is_idle(const struct conn *c)
{
	return !c->h1 && (!c->h2 || http2_is_idle(c));
}

enum { BEGINS = sizeof(HTTP2_BEGINS) - 1 };

/* What came alone, before what has come now, which is no HTTP/2. False: there is no room; no method that
 * begins so has a line so long. */
static bool put_back(struct conn *c)
{
	struct op *op = &c->recv;
	size_t n = c->began;

	if (n && c->in_len + n > op->buf_len) {
		conn_end(c, CLOSE_BAD_REQUEST);
		return false;
	}
	memmove(op->buf + n, op->buf, c->in_len);
	memcpy(op->buf, HTTP2_BEGINS, n);
	c->in_len += (uint32_t)n;
	c->began = 0;
	return true;
}

/* Is the preface's first line whole? No request of HTTP/1 has it. */
static bool says_http2(const struct conn *c, const char *p, size_t n)
{
	static const char line[] = "PRI * HTTP/2.0\r\n";
	size_t need = sizeof(line) - 1 > c->began ? sizeof(line) - 1 - c->began : 0;

	return n >= need && memcmp(p, &HTTP2_BEGINS[c->began], need) == 0;
}

/* The first bytes of a connection say which protocol it is. False: there are too few of them yet (they are
 * counted and not kept, because it is known what they are), or it has ended. */
static bool is_decided(struct conn *c)
{
	size_t n, left = BEGINS - c->began;
	const char *p = conn_in(c, &n);

	if (c->h2 || c->h1 || c->ledger.requests || !n)
		return true;
	/* Over TLS it was agreed upon in the handshake. */
	if (c->tls && !c->tls->h2)
		return true;
	/* Over TLS HTTP/2 was agreed upon; in the clear its first line says so, and what follows is wrong (RFC 9113 section
	 * 3.4). */
	if (memcmp(p, &HTTP2_BEGINS[c->began], min_of(n, left)) != 0 && (c->tls || says_http2(c, p, n))) {
		conn_end(c, CLOSE_BAD_FRAME);
		return false;
	}
	if (memcmp(p, &HTTP2_BEGINS[c->began], min_of(n, left)) != 0)
		return put_back(c);
	if (n >= left)
		return http2_begin(c, c->began);
	c->began += (uint8_t)n;
	conn_used(c, n);
	conn_receive(c, true);
	return false;
}

void conn_run(struct conn *c)
{
	if (!is_decided(c))
		return;
	if (c->h2)
		http2_run(c);
	else
		http1_run(c);
}

/* 1: the client shut its side, and may still read; whoever receives will see it. Else it is gone.
 */
void conn_on_hup(struct loop *l, struct op *op, int res)
{
	struct conn *c = container_of(op, struct conn, hup);

	(void)l;
	c->hup_waits = false;
	conn_enter(c);
	if (res == 1)
		conn_watch(c);
	else if (!c->receiving)
		conn_end(c, is_idle(c) ? CLOSE_CLIENT_END : CLOSE_CLIENT_GONE);
	conn_leave(c);
}

static void linger_got(struct conn *c, int res)
{
	c->linger_bytes += res > 0 ? (uint32_t)res : 0;
	if (res <= 0 || c->linger_bytes > LINGER_BYTES)
		conn_end(c, c->why);
	else
		conn_receive(c, true);
}

/* Bytes of the client, or its end. */
static void arrived(struct conn *c, struct op *op)
{
	if (!c->listener->tls) {
		conn_run(c);
		return;
	}
	if (!c->tls && c->eof)
		conn_end(c, CLOSE_CLIENT_END);
	else if (!c->tls && tls_conn_begin(c) < 0)
		conn_end(c, CLOSE_NO_MEMORY);
	else
		tls_conn_got(c, op);
}

/* Bytes that are still there when this call ends are kept in the loop's own buffer. */
static void keep_rest(struct conn *c, struct op *op)
{
	if (c->state == CONN_ENDED || !c->in || c->in_taken)
		return;
	if (c->in_at == c->in_len)
		conn_drop_input(c);
	else if (loop_buf_take(c->gate->loop, op))
		c->in_taken = true;
	else
		conn_end(c, CLOSE_NO_MEMORY);
}

void conn_on_recv(struct loop *l, struct op *op, int res)
{
	struct conn *c = container_of(op, struct conn, recv);

	(void)l;
	c->receiving = false;
	if (res > 0)
		c->ledger.bytes_in += (uint64_t)res;
	conn_enter(c);
	if (c->state == CONN_LINGER) {
		linger_got(c, res);
	} else if (res < 0) {
		conn_end(c, !is_idle(c)          ? CLOSE_CLIENT_GONE
			    : res == -ECONNRESET ? CLOSE_CLIENT_END
						 : CLOSE_IO_ERROR);
	} else {
		if (res == 0) {
			c->eof = true;
			c->eof_us = loop_now_us(c->gate->loop);
		} else {
			c->in = op->buf;
			c->in_at = 0;
			c->in_len = (uint32_t)res;
		}
		if (!c->proxy_due || proxy_in(c))
			arrived(c, op);
		keep_rest(c, op);
	}
	conn_leave(c);
}

uint64_t conn_idle_due(const struct conn *c)
{
	const struct gate *g = c->gate;
	uint64_t due = c->since_ms + (c->ledger.requests ? c->idle_ms : g->limits.header_ms);
	uint64_t grace = max_of(g->drain_began_ms, c->since_ms) + g->drain_idle_ms;

	return g->draining ? min_of(due, grace) : due;
}

/* Did a request come since this turn of the loop began? Its receive comes in the next one. */
static bool is_asked(const struct conn *c)
{
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	return loop_sys_recvmsg(c->gate->loop, c->lfd.fd, &m, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static enum close_id idle_why(const struct conn *c)
{
	if (!c->listener->tls || (c->tls && c->tls->ready))
		return CLOSE_IDLE;
	gate_count(c->gate, METRIC_TLS_SLOW, 1);
	return CLOSE_TLS_TIMEOUT;
}

void conn_on_timer(struct loop *l, struct op *op, int res)
{
	struct conn *c = container_of(op, struct conn, timer.op);
	struct gate *g = c->gate;
	uint64_t now = loop_now_ms(l), due;

	(void)res;
	conn_enter(c);
	if (c->state == CONN_LINGER) {
		due = c->since_ms + LINGER_MS;
		if (now >= due)
			conn_end(c, c->why);
		else
			conn_wake_in(c, due - now);
	} else if (c->h2) {
		http2_timer(c);
	} else if (!c->h1) {
		due = conn_idle_due(c);
		if (now >= due && c->proxy_due)
			proxy_in_bad(c);
		else if (now >= due && is_asked(c))
			conn_wake_in(c, ASKED_MS);
		else if (now >= due)
			conn_end(c, g->draining ? CLOSE_DRAINED : idle_why(c));
		else
			conn_wake_in(c, due - now);
	} else {
		http1_timer(c);
	}
	conn_leave(c);
}

static bool has_tunnel(const struct conn *c)
{
	return (c->h1 && c->h1->tunnel) || (c->h2 && http2_has_tunnel(c));
}

void conn_end_all(struct gate *g, enum conn_which which, enum close_id why)
{
	struct conn *next;

	for (struct conn *c = g->conns; c; c = next) {
		next = c->next;
		if (which == CONN_ALL || !has_tunnel(c))
			conn_end(c, why);
	}
}

void conn_count(const struct gate *g, uint32_t *ret_conns, uint32_t *ret_tunnels)
{
	*ret_conns = *ret_tunnels = 0;
	for (const struct conn *c = g->conns; c; c = c->next) {
		++*ret_conns;
		*ret_tunnels += has_tunnel(c);
	}
}

void conn_describe(const struct conn *c, struct req *r)
{
	r->tls = c->listener->tls || c->peer_tls;
	if (c->tls)
		tls_conn_describe(c, r);
	r->conn_nth = c->nth;
	r->metrics = c->listener->metrics;
	r->local_port = c->listener->port;
	r->peer_port = c->peer_port;
	memcpy(r->peer, c->peer, sizeof(r->peer));
	memcpy(r->local, c->listener->local, sizeof(r->local));
}
