/*
 * tcp.c: [Tcp]: what the snapshot says of it, and the birth and the end of pairs.
 *
 * Called by accept.c with connections, by gate.c with snapshots and the gate's end, by the loop
 * with time. Owns pairs: their descriptors, their timer, what is held for a slow end. A pair ends
 * exactly once, with one close reason, which its record, the counters and the other end learn:
 * where one end broke off, the other is reset too, so that nobody takes a cut stream for a whole
 * one.
 */
#include "tcp.h"
#include "lib/must.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int tcp_new(struct gate *g)
{
	g->tcp = calloc(1, sizeof(*g->tcp));
	if (!g->tcp)
		return -ENOMEM;
	g->tcp->gate = g;
	return 0;
}

void tcp_free(struct gate *g)
{
	if (!g->tcp)
		return;
	tcp_end_all(g, CLOSE_DRAINED);
	free(g->tcp->services);
	free(g->tcp);
	g->tcp = NULL;
}

void tcp_on_snap(struct gate *g, const struct snap *s)
{
	struct tcp *t = g->tcp;
	unsigned n = snap_ntcps(s);
	struct tcp_service *all = n ? calloc(n, sizeof(*all)) : NULL;

	free(t->services);
	t->services = all;
	t->nservices = 0;
	for (unsigned i = 0; all && i < n; i++) {
		const struct snap_tcp *row = snap_tcp(s, i);
		struct upstream *u = row ? up_find(g->up, g->snap, row->upstream) : NULL;

		if (u)
			all[t->nservices++] = (struct tcp_service){.listener = row->listener,
				.u = u,
				.idle_ms = row->idle_ms,
				.send_proxy = row->send_proxy};
	}
	accept_resume(g);
}

static const struct tcp_service *service_of(const struct gate *g, uint32_t listener)
{
	const struct tcp *t = g->tcp;

	for (unsigned i = 0; i < t->nservices; i++)
		if (t->services[i].listener == listener)
			return &t->services[i];
	return NULL;
}

bool tcp_knows(const struct gate *g, uint32_t listener)
{
	return service_of(g, listener) != NULL;
}

static struct tcp_pair *pair_new(struct gate *g, const struct tcp_service *svc)
{
	struct tcp_pair *p = malloc(sizeof(*p));

	if (!p)
		return NULL;
	*p = (struct tcp_pair){.gate = g,
		.u = svc->u,
		.idle_ms = svc->idle_ms ? svc->idle_ms : 60000,
		.send_proxy = (uint8_t)svc->send_proxy,
		.connect.kind = OP_TCP_CONNECT,
		.timer.op.kind = OP_TCP_TIMER,
		.start_us = loop_now_us(g->loop)};
	for (uint8_t i = 0; i < 2; i++) {
		struct tcp_end *e = &p->end[i];

		e->lfd = (struct lfd)LFD_INIT;
		e->recv.kind = OP_TCP_RECV;
		e->send.op.kind = OP_TCP_SEND;
		e->index = i;
	}
	return p;
}

static void refuse(struct gate *g, int fd, enum close_id why)
{
	loop_sys_close(g->loop, fd);
	g->closes[why]++;
}

/* Each pair takes two descriptors. */
static bool is_full(const struct gate *g)
{
	return g->conns_n + 2 * g->tcp->n + 2 > g->conns_max;
}

void tcp_accept(struct listener *ls, int fd, const struct sockaddr *peer, socklen_t len)
{
	struct gate *g = ls->gate;
	const struct tcp_service *svc = service_of(g, ls->number);
	struct tcp_pair *p;

	gate_count(g, METRIC_TCP_CONNS, 1);
	/* Taken away while this one waited in the queue. */
	if (!svc || is_full(g)) {
		refuse(g, fd, svc ? CLOSE_CONNS_MAX : CLOSE_UP_NONE);
		return;
	}
	p = pair_new(g, svc);
	if (!p || loop_add(g->loop, &p->end[TCP_CLIENT].lfd, fd)) {
		refuse(g, fd, CLOSE_NO_MEMORY);
		free(p);
		return;
	}
	(void)tcp_address(peer, len, p->peer, &p->peer_port);
	p->u->active++;
	p->next = g->tcp->pairs;
	if (p->next)
		p->next->prev = p;
	g->tcp->pairs = p;
	g->tcp->n++;
	gate_count(g, METRIC_TCP_OPEN, 1);
	tcp_dial(p);
}

/* Does the other end have to learn that the stream was cut? */
static bool is_cut(enum close_id why)
{
	return why == CLOSE_TCP_CLIENT_BROKE || why == CLOSE_TCP_SERVER_BROKE ||
	       why == CLOSE_NO_MEMORY || why == CLOSE_IO_ERROR;
}

static void end_close(struct tcp_pair *p, struct tcp_end *e, bool cut)
{
	static const struct linger reset = {.l_onoff = 1};

	if (e->lfd.fd < 0)
		return;
	if (cut)
		(void)setsockopt(e->lfd.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	loop_close(p->gate->loop, &e->lfd);
	loop_buf_give(p->gate->loop, e->held);
	e->held = NULL;
}

void tcp_end(struct tcp_pair *p, enum close_id why)
{
	struct gate *g = p->gate;
	struct tcp *t = g->tcp;

	for (unsigned i = 0; i < 2; i++)
		end_close(p, &p->end[i], is_cut(why));
	loop_timer_stop(g->loop, &p->timer);
	tcp_record(p, why);
	if (p->state == TCP_WAITS)
		t->waiting--;
	if (p->state != TCP_COPIES)
		gate_count(g, METRIC_TCP_FAILED, 1);
	tcp_leave(p);
	p->u->active--;
	gate_count(g, METRIC_TCP_OPEN, -1);
	gate_count(g, METRIC_TCP_BYTES_IN, (int64_t)p->end[TCP_CLIENT].bytes);
	gate_count(g, METRIC_TCP_BYTES_OUT, (int64_t)p->end[TCP_SERVER].bytes);
	g->closes[why]++;
	if (p->next)
		p->next->prev = p->prev;
	*(p->prev ? &p->prev->next : &t->pairs) = p->next;
	t->n--;
	/* What is not in the configuration any more goes with its last connection. */
	if (!p->u->known)
		up_tick_in(g->up, 1);
	free(p);
	gate_left(g);
}

void tcp_end_all(struct gate *g, enum close_id why)
{
	while (g->tcp->pairs)
		tcp_end(g->tcp->pairs, why);
}

void tcp_on_timer(struct loop *l, struct op *op, int res)
{
	struct tcp_pair *p =
		container_of(container_of(op, struct timer, op), struct tcp_pair, timer);
	uint64_t now = loop_now_ms(l), due = p->moved_ms + p->idle_ms;

	(void)res;
	if (p->state != TCP_COPIES)
		tcp_dial_timeout(p);
	else if (now >= due)
		tcp_end(p, CLOSE_TCP_IDLE);
	else
		loop_timer(l, &p->timer, due);
}
