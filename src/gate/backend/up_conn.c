/*
 * up_conn.c: connections to backends: their sockets, what waits to be sent, and the kept ones.
 *
 * Called by up_call.c and by the loop. Owns descriptors, buffers and the pool. Knows nothing of what is
 * said on a connection. A kept connection waits for its receive all the time, so its end is heard before
 * anybody uses it; that costs no system call. A closed one is freed at the turn's end, so whoever stands
 * on it may look at it until then.
 */
#include "up.h"
#include "lib/must.h"
#include "tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TLS_PIECE = 16 * 1024 };

int up_buf_put(struct gate *g, struct up_buf *b, const void *p, size_t n)
{
	if (b->at && b->len + n > b->cap - b->at) {
		memmove(b->p, b->p + b->at, b->len);
		b->at = 0;
	}
	if (b->len + n > b->cap - b->at) {
		size_t cap = b->cap ? b->cap : 4096;
		char *more;

		while (cap < b->len + n)
			cap *= 2;
		if (cap > UINT32_MAX || g->budget_used + (cap - b->cap) > g->budget_max)
			return -ENOBUFS;
		more = realloc(b->p, cap);
		if (!more)
			return -ENOMEM;
		g->budget_used += cap - b->cap;
		gate_count(g, METRIC_BUDGET_BYTES, (int64_t)(cap - b->cap));
		b->p = more;
		b->cap = (uint32_t)cap;
	}
	memcpy(b->p + b->at + b->len, p, n);
	b->len += (uint32_t)n;
	return 0;
}

void up_buf_drop(struct gate *g, struct up_buf *b, size_t n)
{
	must(n <= b->len);
	b->at += (uint32_t)n;
	b->len -= (uint32_t)n;
	if (b->len)
		return;
	g->budget_used -= b->cap;
	gate_count(g, METRIC_BUDGET_BYTES, -(int64_t)b->cap);
	free(b->p);
	*b = (struct up_buf){0};
}

static void unlink_idle(struct up_conn *n)
{
	if (!n->idle)
		return;
	if (n->prev)
		n->prev->next = n->next;
	else
		n->server->idle = n->next;
	if (n->next)
		n->next->prev = n->prev;
	n->next = n->prev = NULL;
	n->idle = false;
	n->server->u->idle_n--;
}

void up_conn_drop_input(struct up_conn *n)
{
	if (n->in_taken)
		loop_buf_give(n->gate->loop, n->in);
	n->in = NULL;
	n->in_at = n->in_len = 0;
	n->in_taken = false;
}

void up_conn_close(struct up_conn *n)
{
	struct up *up = gate_up(n->gate);

	if (!n->server)
		return;
	unlink_idle(n);
	n->server->conns--;
	/* Whoever waits for the last of them hears of it soon. */
	if (!n->server->known && !n->server->conns)
		up_tick_in(up, 1);
	n->server = NULL;
	n->call = NULL;
	up_conn_drop_input(n);
	if (n->out.p)
		up_buf_drop(n->gate, &n->out, n->out.len);
	loop_close(n->gate->loop, &n->lfd);
	tls_free(n->tls);
	n->tls = NULL;
	gate_count(n->gate, METRIC_UP_OPEN, -1);
	n->next = up->dead;
	up->dead = n;
	loop_defer(n->gate->loop, &up->turn);
}

void up_on_turn(struct loop *l, struct op *op, int res)
{
	struct up *up = container_of(op, struct up, turn);

	(void)l;
	(void)res;
	while (up->dead) {
		struct up_conn *n = up->dead;

		up->dead = n->next;
		free(n);
	}
	if (!up->room)
		return;
	up->room = false;
	for (struct upstream *u = up->all; u; u = u->next) {
		if (!u->room)
			continue;
		u->room = false;
		up_call_dispatch(u);
	}
}

struct up_conn *up_conn_idle(struct up_server *s)
{
	struct up_conn *n = s->idle;

	if (n)
		unlink_idle(n);
	return n;
}

void up_conn_close_idle(struct up_server *s, uint64_t older_than_ms)
{
	struct up_conn *next;

	for (struct up_conn *n = s->idle; n; n = next) {
		next = n->next;
		if (n->idle_since_ms < older_than_ms)
			up_conn_close(n);
	}
}

void up_conn_close_spare(struct up_server *s, uint64_t older_than_ms)
{
	struct up_conn *next;

	for (struct up_conn *n = s->idle; n && s->u->idle_n > s->u->keep_alive; n = next) {
		next = n->next;
		if (n->idle_since_ms < older_than_ms)
			up_conn_close(n);
	}
}

static struct up_conn *older_of(struct up_server *s, struct up_conn *oldest)
{
	for (struct up_conn *n = s->idle; n; n = n->next)
		if (!oldest || n->idle_since_ms <= oldest->idle_since_ms)
			oldest = n;
	return oldest;
}

/* The oldest of the gate's kept ones of this upstream, to make room. */
static void close_oldest(struct upstream *u)
{
	struct up_conn *oldest = NULL;

	for (struct up_server *s = u->servers; s; s = s->next)
		oldest = older_of(s, oldest);
	if (oldest)
		up_conn_close(oldest);
}

bool up_is_shared(const struct upstream *u)
{
	return u->protocol == SNAP_PROTO_FASTCGI &&
	       (!u->connections_max || (u->flags & SNAP_UPSTREAM_SCARCE));
}

/* FastCGI's programs serve one connection each, and all others wait until it is closed. So a gate
 * that has as many as it may keeps none while a call on a new one beyond them (a probe, a second
 * try) has not been answered to: whoever served this one may be who it waits for. Up to that number
 * each has a process of its own. Where nobody said how many there may be, each may be wanted, and
 * none is kept longer than another gate can wait. */
static bool is_wanted_elsewhere(const struct up_conn *n)
{
	const struct up_server *s = n->server;

	if (s->u->protocol != SNAP_PROTO_FASTCGI)
		return false;
	if (s->fresh && (!s->u->connections_max || s->conns > s->u->connections_max))
		return true;
	return up_is_shared(s->u) && loop_now_ms(n->gate->loop) - n->born_ms > UP_SHARE_MS;
}

/* A new connection is to be opened beyond as many as may be: a kept one ends, so that it does not
 * wait for that. */
static void make_room(struct up_server *s)
{
	struct up_conn *oldest = older_of(s, NULL);

	if (s->u->protocol == SNAP_PROTO_FASTCGI && s->u->connections_max &&
		s->conns >= s->u->connections_max && oldest)
		up_conn_close(oldest);
}

void up_conn_keep(struct up_conn *n, bool may)
{
	struct up_server *s = n->server;
	struct upstream *u = s->u;

	n->call = NULL;
	if (!may || n->eof || n->sending || n->out.len || n->in_at < n->in_len || !s->known ||
		!u->keep_alive || n->gate->draining || is_wanted_elsewhere(n)) {
		up_conn_close(n);
		return;
	}
	/* More at work at once than are to be kept: they rest a moment all the same, or under such a load
	 * every other answer would close a connection and the next question open one again. */
	if (u->idle_n >= u->keep_alive + UP_SPARE_MAX)
		close_oldest(u);
	n->served++;
	n->idle = true;
	n->idle_since_ms = loop_now_ms(n->gate->loop);
	n->prev = NULL;
	n->next = s->idle;
	if (s->idle)
		s->idle->prev = n;
	s->idle = n;
	u->idle_n++;
	up_tick_in(u->up, UP_TICK_MS);
	if (!n->in)
		up_conn_receive(n);
}

socklen_t up_server_address(struct up_server *s, union up_address *ret)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	const uint8_t *a;

	memset(ret, 0, sizeof(*ret));
	if (s->kind == SNAP_SERVER_UNIX) {
		size_t n = strlen(s->name);

		if (n >= sizeof(ret->un.sun_path))
			return 0;
		ret->un.sun_family = AF_UNIX;
		memcpy(ret->un.sun_path, s->name, n + 1);
		return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	}
	if (!s->naddresses)
		return 0;
	a = s->addresses[s->address_at++ % s->naddresses];
	if (!memcmp(a, mapped, sizeof(mapped))) {
		ret->v4.sin_family = AF_INET;
		ret->v4.sin_port = htons(s->port);
		memcpy(&ret->v4.sin_addr, a + 12, 4);
		return sizeof(ret->v4);
	}
	ret->v6.sin6_family = AF_INET6;
	ret->v6.sin6_port = htons(s->port);
	memcpy(&ret->v6.sin6_addr, a, 16);
	return sizeof(ret->v6);
}

int up_conn_open(struct up_server *s, struct up_call *c)
{
	struct gate *g = c->gate;
	struct up *up = gate_up(g);
	union up_address to;
	socklen_t len = up_server_address(s, &to);
	struct up_conn *n;
	int err = 0;

	if (!len)
		return -EADDRNOTAVAIL;
	make_room(s);
	n = malloc(sizeof(*n));
	if (!n)
		return -ENOMEM;
	*n = (struct up_conn){
		.lfd = LFD_INIT, .gate = g, .server = s, .call = c, .born_ms = loop_now_ms(g->loop)};
	n->recv.kind = (uint16_t)(up->op_base + UP_OP_RECV);
	n->connect.kind = (uint16_t)(up->op_base + UP_OP_CONNECT);
	n->send.op.kind = (uint16_t)(up->op_base + UP_OP_SEND);
	if (s->u->flags & SNAP_UPSTREAM_TLS)
		err = tls_client_new(up, s, &n->tls);
	if (!err)
		err = loop_connect(g->loop, &n->lfd, &to.sa, len, &n->connect);
	if (err) {
		tls_free(n->tls);
		free(n);
		return err;
	}
	s->conns++;
	gate_count(g, METRIC_UP_CONNECTS, 1);
	gate_count(g, METRIC_UP_OPEN, 1);
	c->conn = n;
	return 0;
}

static void lost(struct up_conn *n, int err, bool connecting)
{
	struct up_call *c = n->call;

	if (!n->server)
		return;
	if (c)
		up_call_lost(c, err, connecting);
	else
		up_conn_close(n);
}

/* Turn what waits into records, as many as go at once. */
static int pump_tls(struct up_conn *n)
{
	while (!n->sending) {
		const char *p;
		size_t len;
		int res;

		if (n->out.len && tls_ready(n->tls) && !tls_pending(n->tls)) {
			size_t take = min_of((size_t)n->out.len, (size_t)TLS_PIECE);

			res = tls_write(n->tls, n->out.p + n->out.at, take);
			if (res < 0)
				return res;
			up_buf_drop(n->gate, &n->out, take);
		}
		p = tls_output(n->tls, &len);
		if (!len)
			return 0;
		n->send.iov[0] = (struct iovec){(void *)p, len};
		n->send.iovcnt = 1;
		res = loop_send(n->gate->loop, &n->lfd, &n->send);
		if (res == -EINPROGRESS) {
			n->sending = true;
			return 0;
		}
		if (res < 0)
			return res;
		tls_output_sent(n->tls);
	}
	return 0;
}

static int pump(struct up_conn *n)
{
	int res;

	if (n->tls)
		return pump_tls(n);
	if (n->sending || !n->out.len)
		return 0;
	n->send.iov[0] = (struct iovec){n->out.p + n->out.at, n->out.len};
	n->send.iovcnt = 1;
	res = loop_send(n->gate->loop, &n->lfd, &n->send);
	if (res == -EINPROGRESS) {
		n->sending = true;
		return 0;
	}
	if (res == 0)
		up_buf_drop(n->gate, &n->out, n->out.len);
	return res;
}

static int queue(struct up_conn *n, const struct iovec *iov, unsigned cnt, uint64_t skip)
{
	for (unsigned i = 0; i < cnt; i++) {
		size_t gone = (size_t)min_of(skip, (uint64_t)iov[i].iov_len);
		int err;

		skip -= gone;
		err = iov[i].iov_len == gone ? 0
					     : up_buf_put(n->gate, &n->out,
						       (const char *)iov[i].iov_base + gone,
						       iov[i].iov_len - gone);
		if (err)
			return err;
	}
	return 0;
}

int up_conn_write(struct up_conn *n, const struct iovec *iov, unsigned cnt)
{
	uint64_t gone;
	int res;

	/* A send under way has the buffer's memory lent, which may not move. */
	if (n->sending || n->out.len || n->tls || !n->connected) {
		if (n->sending && !n->tls) {
			gone = n->send.sent;
			loop_send_cancel(n->gate->loop, &n->lfd);
			n->sending = false;
			up_buf_drop(n->gate, &n->out, (size_t)gone);
		}
		res = queue(n, iov, cnt, 0);
		return res < 0 || !n->connected ? res : pump(n);
	}
	must(cnt <= SEND_IOV_MAX);
	memcpy(n->send.iov, iov, cnt * sizeof(*iov));
	n->send.iovcnt = (uint8_t)cnt;
	res = loop_send(n->gate->loop, &n->lfd, &n->send);
	if (res != -EINPROGRESS)
		return res;
	gone = n->send.sent;
	loop_send_cancel(n->gate->loop, &n->lfd);
	res = queue(n, iov, cnt, gone);
	return res < 0 ? res : pump(n);
}

static void shut_now(struct up_conn *n)
{
	if (!n->shut_wanted || n->sending || n->out.len)
		return;
	n->shut_wanted = false;
	/* TLS would need its own closing alert; the backend hears of the end when all is over. */
	if (!n->tls)
		(void)loop_sys_shutdown(n->gate->loop, n->lfd.fd, SHUT_WR);
}

void up_conn_shut(struct up_conn *n)
{
	n->shut_wanted = true;
	shut_now(n);
}

void up_conn_on_send(struct loop *l, struct op *op, int res)
{
	struct up_conn *n = container_of(op, struct up_conn, send.op);

	(void)l;
	n->sending = false;
	if (res < 0) {
		lost(n, res, false);
		return;
	}
	if (n->tls)
		tls_output_sent(n->tls);
	else
		up_buf_drop(n->gate, &n->out, (size_t)n->send.sent);
	res = pump(n);
	if (res < 0) {
		lost(n, res, false);
		return;
	}
	shut_now(n);
	if (n->server && n->call && !n->sending && !n->out.len)
		up_call_sent(n->call);
}

void up_conn_on_connect(struct loop *l, struct op *op, int res)
{
	struct up_conn *n = container_of(op, struct up_conn, connect);

	(void)l;
	if (res < 0) {
		lost(n, res, true);
		return;
	}
	n->connected = true;
	up_conn_receive(n);
	if (n->tls) {
		res = tls_step(n->tls);
		if (res >= 0)
			res = pump_tls(n);
		if (res < 0)
			lost(n, res, true);
		return;
	}
	if (n->call)
		up_call_connected(n->call);
}

void up_conn_receive(struct up_conn *n)
{
	if (n->receiving || n->eof || !n->connected)
		return;
	must(!n->in);
	n->receiving = true;
	loop_recv(n->gate->loop, &n->lfd, &n->recv);
}

/* Bytes still unused when this call ends are kept in the loop's own buffer. */
static void keep_rest(struct up_conn *n, struct op *op)
{
	if (!n->server || !n->in || n->in_taken)
		return;
	if (n->in_at == n->in_len && !(n->call && n->call->hold_len))
		up_conn_drop_input(n);
	else if (loop_buf_take(n->gate->loop, op))
		n->in_taken = true;
	else
		lost(n, -ENOMEM, false);
}

static void got_tls(struct up_conn *n, struct op *op, int res)
{
	bool was = tls_ready(n->tls);

	if (res == 0) {
		n->eof = true;
		/* An end without TLS's own is how an attacker cuts an answer short. */
		if (!tls_closed(n->tls))
			lost(n, -ECONNRESET, !was);
		else if (n->call)
			up_call_deliver(n);
		else
			up_conn_close(n);
		return;
	}
	res = tls_feed(n->tls, op->buf, (size_t)res);
	if (res >= 0)
		res = tls_step(n->tls);
	if (res >= 0)
		res = pump_tls(n);
	if (res < 0) {
		lost(n, res, !was);
		return;
	}
	if (!was && tls_ready(n->tls) && n->call)
		up_call_connected(n->call);
	if (n->server && tls_ready(n->tls))
		up_call_deliver(n);
	if (n->server && !n->call && (n->eof || tls_broken(n->tls)))
		up_conn_close(n);
}

void up_conn_on_recv(struct loop *l, struct op *op, int res)
{
	struct up_conn *n = container_of(op, struct up_conn, recv);

	(void)l;
	n->receiving = false;
	if (res < 0 || (n->idle && !n->tls)) {
		/* What comes on a kept connection nobody asked for; its end is the usual case. */
		lost(n, res, false);
		return;
	}
	if (n->tls) {
		got_tls(n, op, res);
		/* What was decrypted lies in a buffer of its own. */
		if (n->server && n->in_at == n->in_len && !(n->call && n->call->hold_len))
			up_conn_drop_input(n);
	} else if (res == 0) {
		n->eof = true;
		up_call_deliver(n);
	} else {
		n->in = op->buf;
		n->in_at = 0;
		n->in_len = (uint32_t)res;
		up_call_deliver(n);
		keep_rest(n, op);
	}
	if (n->server && !n->in && !(n->call && n->call->blocked))
		up_conn_receive(n);
}
