/*
 * accept.c: listeners and the connections that come in by them.
 *
 * Called by control.c (LISTENER, UNLISTEN) and the loop. Owns this gate's descriptor of each
 * listening socket; the socket itself lives as long as the parent's descriptor. Accepts a few and
 * then gives way to connections that are at work; without descriptors it pauses and does not spin.
 */
#include "admit.h"
#include "conn.h"
#include "scrape.h"
#include "tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPT_PAUSE_MS = 100 };

static void split_address(struct listener *ls, const char *address)
{
	const char *colon = strrchr(address, ':');
	size_t n = colon ? (size_t)(colon - address) : strlen(address);
	unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : 0;

	if (n >= 2 && address[0] == '[' && address[n - 1] == ']') {
		address++;
		n -= 2;
	}
	n = min_of(n, sizeof(ls->local) - 1);
	memcpy(ls->local, address, n);
	ls->local[n] = 0;
	ls->port = port <= 65535 ? (uint16_t)port : 0;
}

static void wait_next(struct listener *ls)
{
	/* Whose bytes shall go nowhere yet waits in the queue. */
	if (ls->lfd.fd >= 0 && !ls->lfd.rd && (!ls->tcp || tcp_knows(ls->gate, ls->number)))
		loop_accept(ls->gate->loop, &ls->lfd, &ls->op);
}

int accept_listen(
	struct gate *g, uint32_t number, enum listener_kind kind, int fd, const char *address)
{
	struct listener *ls = calloc(1, sizeof(*ls));
	int err, on = 1;

	if (!ls)
		return -ENOMEM;
	ls->lfd = (struct lfd)LFD_INIT;
	ls->op.kind = OP_ACCEPT;
	ls->gate = g;
	ls->number = number;
	ls->tls = kind == LISTENER_TLS;
	ls->tcp = kind == LISTENER_TCP;
	ls->metrics = kind == LISTENER_METRICS;
	ls->refs = 1;
	split_address(ls, address);
	/* What is accepted inherits it: an answer's last small piece does not wait for an
	 * acknowledgement. A socket that is not TCP has no such option, and needs none. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* A client that vanished without a word is noticed, however long its connection may idle. */
	if (ls->tcp)
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	err = loop_add(g->loop, &ls->lfd, fd);
	if (err) {
		free(ls);
		return err;
	}
	ls->next = g->listeners;
	g->listeners = ls;
	wait_next(ls);
	return 0;
}

void listener_unref(struct listener *ls)
{
	must(ls->refs > 0);
	if (--ls->refs == 0)
		free(ls);
}

static void unlisten(struct gate *g, struct listener **at)
{
	struct listener *ls = *at;

	*at = ls->next;
	loop_close(g->loop, &ls->lfd);
	listener_unref(ls);
}

void accept_unlisten(struct gate *g, uint32_t number)
{
	struct listener **at = &g->listeners;

	while (*at) {
		if ((*at)->number == number)
			unlisten(g, at);
		else
			at = &(*at)->next;
	}
}

void accept_unlisten_all(struct gate *g)
{
	while (g->listeners)
		unlisten(g, &g->listeners);
}

/* Too many already: say so and close, without a connection object. */
static void refuse(struct gate *g, const struct listener *ls, int fd, enum close_id why)
{
	if (!ls->tls)
		admit_refuse(g, fd);
	loop_sys_close(g->loop, fd);
	g->closes[why]++;
	gate_count(g, METRIC_CONNS_ACCEPTED, 1);
}

void accept_on(struct loop *l, struct op *op, int res)
{
	struct listener *ls = container_of(op, struct listener, op);
	struct gate *g = ls->gate;
	socklen_t len;
	const struct sockaddr *peer = loop_accepted_peer(l, &len);
	struct admit as;

	if (res == -EMFILE || res == -ENFILE || res == -ENOMEM || res == -ENOBUFS) {
		loop_timer_in(l, &g->accept_timer, ACCEPT_PAUSE_MS);
		return;
	}
	if (res >= 0) {
		if (ls->tcp) {
			tcp_accept(ls, res, peer, len);
		} else if (g->conns_n + 2 * g->tcp->n >= g->conns_max ||
			   (ls->metrics && ls->refs > SCRAPE_CONNS_MAX)) {
			gate_count(g, METRIC_CONNS_REFUSED, 1);
			refuse(g, ls, res, CLOSE_CONNS_MAX);
		} else if (!admit_peer(g, peer, len, &as)) {
			refuse(g, ls, res, CLOSE_CONNS_ADDRESS);
		} else if (conn_new(g, res, ls, peer, len, &as) < 0) {
			admit_leave(g, &as);
			loop_sys_close(l, res);
			g->closes[CLOSE_NO_MEMORY]++;
		}
	}
	wait_next(ls);
}

void accept_resume(struct gate *g)
{
	for (struct listener *ls = g->listeners; ls; ls = ls->next)
		wait_next(ls);
}

void accept_on_timer(struct loop *l, struct op *op, int res)
{
	(void)l;
	(void)res;
	accept_resume(container_of(op, struct gate, accept_timer.op));
}
