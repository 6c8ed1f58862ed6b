/*
 * proxy_in.c: the PROXY header at the beginning of a connection; see admit.h and proxy_protocol.h.
 *
 * Called by conn.c while conn->proxy_due. Owns conn->proxy_part: what came of a header that is not
 * whole, which the rule is not, so that a connection carries a pointer only. The header's time is
 * the request head's: both end at HeaderTimeoutSec= from the connection's beginning.
 */
#include "access_list.h"
#include "admit.h"
#include "conn.h"
#include "limiter.h"
#include "proxy_protocol.h"

#include <stdlib.h>
#include <string.h>

struct proxy_part {
	uint32_t len;
	char bytes[PROXY_V2_MAX];
};

void proxy_in_free(struct conn *c)
{
	free(c->proxy_part);
	c->proxy_part = NULL;
}

void proxy_in_bad(struct conn *c)
{
	char count[24];

	gate_count(c->gate, METRIC_PROXY_BAD, 1);
	if (limiter_may_say(c->gate, LIMITER_PROXY, count))
		gate_event(c->gate, EV_PROXY_BAD, "client", c->peer, "refused", count, (char *)NULL);
	conn_end(c, CLOSE_PROXY_BAD);
}

/* False: there is no memory. */
static bool keep(struct conn *c, const char *p, size_t n)
{
	struct proxy_part *part = c->proxy_part;

	if (!part) {
		part = malloc(sizeof(*part));
		if (!part)
			return false;
		part->len = 0;
		c->proxy_part = part;
	}
	/* proxy_parse() has something to say at PROXY_V2_MAX bytes at the latest. */
	must(n <= sizeof(part->bytes) - part->len);
	memcpy(part->bytes + part->len, p, n);
	part->len += (uint32_t)n;
	return true;
}

/* Who the client is. A connection of the proxy's own, or one that it knows nothing about, stays who it is
 * and is counted as that. */
static bool name_client(struct conn *c, const struct proxy_header *h)
{
	uint8_t own[16];

	c->peer_tls = h->tls;
	if (h->known) {
		address_text(h->from, c->peer);
		c->peer_port = h->from_port;
		if (admit_named(c, h->from))
			return true;
	} else if (!address_parse(c->peer, own) || admit_named(c, own)) {
		return true;
	}
	if (!c->listener->tls)
		admit_refuse(c->gate, c->lfd.fd);
	conn_end(c, CLOSE_CONNS_ADDRESS);
	return false;
}

bool proxy_in(struct conn *c)
{
	size_t n, had = c->proxy_part ? c->proxy_part->len : 0;
	const char *p = conn_in(c, &n);
	struct proxy_header h;
	int res;

	if (n == 0) {
		/* A balancer that looks whether somebody listens says nothing. */
		if (had)
			proxy_in_bad(c);
		else
			conn_end(c, CLOSE_CLIENT_END);
		return false;
	}
	if (had) {
		n = min_of(n, PROXY_V2_MAX - had);
		(void)keep(c, p, n);
		res = proxy_parse(c->proxy_part->bytes, had + n, &h);
	} else {
		res = proxy_parse(p, n, &h);
		if (res == 0 && !keep(c, p, n)) {
			conn_end(c, CLOSE_NO_MEMORY);
			return false;
		}
	}
	if (res < 0) {
		proxy_in_bad(c);
		return false;
	}
	if (res == 0) {
		conn_used(c, n);
		conn_receive(c, true);
		return false;
	}
	conn_used(c, (size_t)res - had);
	c->proxy_due = false;
	proxy_in_free(c);
	return name_client(c, &h);
}
