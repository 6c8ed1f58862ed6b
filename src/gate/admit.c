/*
 * admit.c: see admit.h. Called by conn.c, accept.c and phases.c. Owns the networks of all sites
 * together, compiled at each snapshot; costs nothing while no site has such a setting.
 */
#include "admit.h"
#include "access_list.h"
#include "conn.h"
#include "limiter.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { NETWORKS_MAX = 4096 };

struct networks {
	unsigned n;
	bool cut; /* there were more than fit */
	struct snap_cidr at[NETWORKS_MAX];
};

struct admission {
	struct networks proxy, trusted;
	uint32_t max;  /* the most lenient ConnectionsMax=; 0: some site has none */
	bool counting; /* some site has one */
};

int admit_new(struct gate *g)
{
	g->admission = calloc(1, sizeof(*g->admission));
	return g->admission ? 0 : -ENOMEM;
}

void admit_free(struct gate *g)
{
	free(g->admission);
	g->admission = NULL;
}

/* Sites often name the same few networks. */
static void collect(struct networks *all, const struct snap *s, struct snap_list list)
{
	const struct snap_cidr *net;

	for (uint32_t i = 0; (net = snap_item(s, list, i, sizeof(*net))); i++) {
		unsigned k = 0;

		while (k < all->n && memcmp(&all->at[k], net, sizeof(*net)) != 0)
			k++;
		if (k < all->n)
			continue;
		all->cut |= all->n == NETWORKS_MAX;
		if (!all->cut)
			all->at[all->n++] = *net;
	}
}

static bool holds(const struct networks *all, const uint8_t address[16])
{
	for (unsigned i = 0; i < all->n; i++)
		if (address_in(&all->at[i], address))
			return true;
	return false;
}

void admit_on_snap(struct gate *g)
{
	struct admission *a = g->admission;
	const struct snap_site *s;
	bool free_site = false;

	a->proxy.n = a->trusted.n = a->max = 0;
	a->proxy.cut = a->trusted.cut = a->counting = false;
	for (uint32_t i = 0; g->snap && (s = snap_site(g->snap, i)); i++) {
		collect(&a->proxy, g->snap, s->proxy_protocol);
		collect(&a->trusted, g->snap, s->trusted_proxies);
		a->counting |= s->connections_max != 0;
		free_site |= s->connections_max == 0;
		a->max = max_of(a->max, s->connections_max);
	}
	/* A proxy that is not known here as one must not be refused before its site knows it. */
	if (free_site || a->trusted.cut)
		a->max = 0;
	g->admits = a->counting || a->proxy.n;
}

static bool address_of(const struct sockaddr *peer, socklen_t len, uint8_t ret[16])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)peer;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)peer;

	if (!peer || len < sizeof(sa_family_t))
		return false;
	if (peer->sa_family == AF_INET && len >= sizeof(*v4)) {
		memset(ret, 0, 10);
		ret[10] = ret[11] = 0xff;
		memcpy(ret + 12, &v4->sin_addr, 4);
		return true;
	}
	if (peer->sa_family != AF_INET6 || len < sizeof(*v6))
		return false;
	memcpy(ret, &v6->sin6_addr, 16);
	return true;
}

static void said(struct gate *g, const uint8_t address[16])
{
	char count[24], text[46];

	gate_count(g, METRIC_CONNS_REFUSED, 1);
	if (!limiter_may_say(g, LIMITER_CONNS, count))
		return;
	address_text(address, text);
	gate_event(g, EV_CONNS_LIMITED, "client", text, "refused", count, (char *)NULL);
}

/* Count it; false: it is one too many for every site. */
static bool count(struct gate *g, struct admit *a)
{
	const struct admission *all = g->admission;

	if (!all->counting)
		return true;
	a->nth = limiter_conn_add(g, a->address);
	if (!all->max || a->nth <= all->max || holds(&all->trusted, a->address))
		return true;
	admit_leave(g, a);
	a->nth = 0;
	said(g, a->address);
	return false;
}

bool admit_peer(struct gate *g, const struct sockaddr *peer, socklen_t len, struct admit *ret)
{
	*ret = (struct admit){0};
	if (!g->admits || !address_of(peer, len, ret->address))
		return true;
	ret->proxy = holds(&g->admission->proxy, ret->address);
	/* Its clients count, not the proxy. */
	return ret->proxy || count(g, ret);
}

void admit_leave(struct gate *g, const struct admit *a)
{
	if (a->nth)
		limiter_conn_drop(g, a->address);
}

void admit_refuse(struct gate *g, int fd)
{
	static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
				   "Content-Length: 0\r\nConnection: close\r\n\r\n";
	struct iovec iov = {(void *)busy, sizeof(busy) - 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	loop_sys_sendmsg(g->loop, fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool admit_named(struct conn *c, const uint8_t address[16])
{
	struct admit a = {.nth = 0};
	bool good;

	memcpy(a.address, address, 16);
	good = count(c->gate, &a);
	c->nth = a.nth;
	return good;
}

enum phase_end phase_connections(struct req *r)
{
	uint8_t address[16];

	if (!r->site->connections_max || r->conn_nth <= r->site->connections_max || r->peer_trusted)
		return PHASE_NEXT;
	if (address_parse(r->peer, address))
		said(r->gate, address);
	req_fail(r, CLOSE_CONNS_ADDRESS, 1);
	return PHASE_ANSWERED;
}
