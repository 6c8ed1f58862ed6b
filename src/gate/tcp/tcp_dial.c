/*
 * tcp_dial.c: finds a server for a connection of [Tcp].
 *
 * Called by tcp.c with a new pair and its deadline, by up_upstream.c when names were looked up, by
 * the loop. Owns nothing; servers, their health and the choice among them are those of [Upstream]
 * (up.h). Nothing was read from the client yet, so a server that refuses is no loss: the next one
 * is asked, as often as Retry= says. Where no server is usable the client is told at once; only
 * names that were never looked up are waited for.
 */
#include "tcp.h"
#include "counters.h"
#include "lib/must.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

void tcp_leave(struct tcp_pair *p)
{
	if (!p->server)
		return;
	p->server->active--;
	counters_upstream(p->gate, p->u->number, UPSTREAM_ACTIVE, -1);
	p->server->trial = false;
	p->server = NULL;
}

static void no_server(struct tcp_pair *p)
{
	enum close_id why = p->why ? (enum close_id)p->why : CLOSE_UP_NONE;

	up_tell_down(p->u, close_rows[why].text);
	tcp_end(p, why);
}

/* Is there a name that nobody could tell an address of yet? */
static bool may_wait(const struct upstream *u)
{
	for (const struct up_server *s = u->servers; s; s = s->next)
		if (s->known && s->kind == SNAP_SERVER_NAME && !s->naddresses)
			return true;
	return false;
}

static void wait_for_name(struct tcp_pair *p)
{
	if (p->state == TCP_WAITS)
		return;
	p->state = TCP_WAITS;
	p->gate->tcp->waiting++;
	loop_timer_in(p->gate->loop, &p->timer, p->u->timeout_ms);
}

static struct up_server *choose(struct tcp_pair *p)
{
	struct up_call c = {.gate = p->gate, .sticky_number = UINT32_MAX, .ntried = p->ntried};
	static const uint8_t key[16] = {1};

	if (p->u->balance == SNAP_BALANCE_HASH)
		c.key = up_siphash(key, p->peer, sizeof(p->peer));
	memcpy(c.tried, p->tried, sizeof(c.tried));
	return up_pick(p->u, &c);
}

static void failed(struct tcp_pair *p, int err)
{
	up_server_refused(p->server, err);
	up_server_failed(p->server);
	gate_count(p->gate, METRIC_UP_FAULTS, 1);
	counters_upstream(p->gate, p->u->number, UPSTREAM_FAULTS, 1);
}

/* False: this server could not be asked. */
static bool ask(struct tcp_pair *p, struct up_server *s)
{
	union up_address to;
	socklen_t len = up_server_address(s, &to);
	int err;

	p->server = s;
	s->trial = s->out_until_ms != 0;
	s->active++;
	counters_upstream(p->gate, p->u->number, UPSTREAM_REQUESTS, 1);
	counters_upstream(p->gate, p->u->number, UPSTREAM_ACTIVE, 1);
	if (p->tries++)
		counters_upstream(p->gate, p->u->number, UPSTREAM_RETRIES, 1);
	if (p->ntried < UP_TRIED_MAX)
		p->tried[p->ntried++] = s;
	err = len ? loop_connect(p->gate->loop, &p->end[TCP_SERVER].lfd, &to.sa, len, &p->connect)
		  : -EADDRNOTAVAIL;
	if (err) {
		failed(p, err);
		p->why = CLOSE_UP_CONNECT;
		tcp_leave(p);
	}
	return !err;
}

void tcp_dial(struct tcp_pair *p)
{
	while (p->tries <= p->u->retry) {
		struct up_server *s = choose(p);

		if (!s)
			break;
		if (!ask(p, s))
			continue;
		if (p->state == TCP_WAITS)
			p->gate->tcp->waiting--;
		p->state = TCP_DIALS;
		gate_count(p->gate, METRIC_UP_CONNECTS, 1);
		loop_timer_in(p->gate->loop, &p->timer, p->u->timeout_ms);
		return;
	}
	if (!p->why && may_wait(p->u))
		wait_for_name(p);
	else
		no_server(p);
}

/* The one that was asked did not take it. */
static void next(struct tcp_pair *p, enum close_id why, int err)
{
	failed(p, err);
	loop_close(p->gate->loop, &p->end[TCP_SERVER].lfd);
	tcp_leave(p);
	p->why = (uint8_t)why;
	tcp_dial(p);
}

void tcp_dial_timeout(struct tcp_pair *p)
{
	if (p->state == TCP_DIALS)
		next(p, CLOSE_UP_CONNECT_TIMEOUT, -ETIMEDOUT);
	else
		no_server(p);
}

void tcp_on_resolved(struct upstream *u)
{
	struct tcp *t = u->up->gate->tcp;
	struct tcp_pair *following;

	if (!t || !t->waiting)
		return;
	for (struct tcp_pair *p = t->pairs; p; p = following) {
		following = p->next;
		if (p->u == u && p->state == TCP_WAITS)
			tcp_dial(p);
	}
}

/* Before any byte: a new socket takes so few at once; one that does not is none. */
static bool say_who(struct tcp_pair *p)
{
	char text[TCP_PROXY_MAX];
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);
	uint8_t to[16];
	uint16_t port = 0;
	struct tcp_end *e = &p->end[TCP_SERVER];
	bool known = getsockname(p->end[TCP_CLIENT].lfd.fd, (struct sockaddr *)&own, &len) == 0 &&
		     tcp_address((const struct sockaddr *)&own, len, to, &port) && p->peer_port;

	e->send.iov[0] =
		(struct iovec){text, tcp_proxy_header(p->send_proxy, known ? p->peer : NULL,
					     p->peer_port, to, port, text)};
	e->send.iovcnt = 1;
	return loop_send(p->gate->loop, &e->lfd, &e->send) == 0;
}

void tcp_on_connect(struct loop *l, struct op *op, int res)
{
	struct tcp_pair *p = container_of(op, struct tcp_pair, connect);

	(void)l;
	if (res == 0 && p->send_proxy && !say_who(p))
		res = -EPIPE;
	if (res < 0) {
		next(p, res == -ETIMEDOUT ? CLOSE_UP_CONNECT_TIMEOUT : CLOSE_UP_CONNECT, res);
		return;
	}
	up_server_answered(p->server);
	up_tell_back(p->u);
	tcp_copy(p);
}
