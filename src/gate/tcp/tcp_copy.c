/*
 * tcp_copy.c: passes bytes between the two ends of a pair.
 *
 * Called by tcp_dial.c when a server took the connection, and by the loop. Owns nothing: buffers
 * are the loop's. One receive and one send for each piece; what does not go at once is held, and
 * the end that it came from is not read again before it went. An end's FIN is passed on behind its
 * last byte and the other direction goes on (RFC 9293 section 3.6); a reset ends both at once.
 */
#include "tcp.h"
#include "lib/must.h"

#include <errno.h>

static struct tcp_pair *pair_of(struct tcp_end *e)
{
	return container_of(e - e->index, struct tcp_pair, end[0]);
}

static struct tcp_end *other_of(struct tcp_end *e)
{
	return e->index == TCP_CLIENT ? e + 1 : e - 1;
}

static void moved(struct tcp_pair *p)
{
	p->moved_ms = loop_now_ms(p->gate->loop);
}

/* This end's socket failed. */
static void broke(struct tcp_end *e, int err)
{
	tcp_end(pair_of(e), err == -ENOMEM           ? CLOSE_NO_MEMORY
			    : e->index == TCP_CLIENT ? CLOSE_TCP_CLIENT_BROKE
						     : CLOSE_TCP_SERVER_BROKE);
}

/* The other end said its last byte, and this one has it. */
static void pass_end(struct tcp_end *to)
{
	struct tcp_pair *p = pair_of(to);

	if (to->eof)
		tcp_end(p, CLOSE_TCP_END);
	else if (loop_sys_shutdown(p->gate->loop, to->lfd.fd, SHUT_WR) < 0)
		broke(to, -EPIPE);
}

void tcp_on_recv(struct loop *l, struct op *op, int res)
{
	struct tcp_end *e = container_of(op, struct tcp_end, recv), *to = other_of(e);
	struct tcp_pair *p = pair_of(e);

	if (res < 0) {
		broke(e, res);
		return;
	}
	moved(p);
	if (res == 0) {
		e->eof = true;
		pass_end(to);
		return;
	}
	e->bytes += (uint64_t)res;
	to->send.iov[0] = (struct iovec){op->buf, (size_t)res};
	to->send.iovcnt = 1;
	res = loop_send(l, &to->lfd, &to->send);
	if (res == 0) {
		loop_recv(l, &e->lfd, &e->recv);
	} else if (res != -EINPROGRESS) {
		broke(to, res);
	} else {
		to->held = loop_buf_take(l, op);
		if (!to->held)
			broke(to, -ENOMEM);
	}
}

void tcp_on_send(struct loop *l, struct op *op, int res)
{
	struct tcp_end *to = container_of(op, struct tcp_end, send.op), *e = other_of(to);

	loop_buf_give(l, to->held);
	to->held = NULL;
	if (res < 0) {
		broke(to, res);
		return;
	}
	moved(pair_of(to));
	loop_recv(l, &e->lfd, &e->recv);
}

void tcp_copy(struct tcp_pair *p)
{
	struct gate *g = p->gate;

	p->state = TCP_COPIES;
	p->connect_us = (uint32_t)(loop_now_us(g->loop) - p->start_us);
	moved(p);
	loop_timer_in(g->loop, &p->timer, p->idle_ms);
	for (unsigned i = 0; i < 2; i++)
		loop_recv(g->loop, &p->end[i].lfd, &p->end[i].recv);
}
