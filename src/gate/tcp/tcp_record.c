/*
 * tcp_record.c: what is said of a connection of [Tcp] when it is over, and how its addresses are
 * written: in its record and in the PROXY header for its server.
 *
 * Called by tcp.c and tcp_dial.c. Owns nothing. The PROXY protocol is HAProxy's, as its document of
 * 2020/03/05 writes it.
 */
#include "access.h"
#include "lib/must.h"
#include "record/record.h"
#include "tcp.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_v4(const uint8_t a[16])
{
	return !memcmp(a, mapped, sizeof(mapped));
}

bool tcp_address(const struct sockaddr *sa, socklen_t len, uint8_t ret[16], uint16_t *ret_port)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sa;

	if (!sa || len < sizeof(sa_family_t))
		return false;
	if (sa->sa_family == AF_INET && len >= sizeof(*v4)) {
		memcpy(ret, mapped, sizeof(mapped));
		memcpy(ret + 12, &v4->sin_addr, 4);
		*ret_port = ntohs(v4->sin_port);
		return true;
	}
	if (sa->sa_family == AF_INET6 && len >= sizeof(*v6)) {
		memcpy(ret, &v6->sin6_addr, 16);
		*ret_port = ntohs(v6->sin6_port);
		return true;
	}
	return false;
}

static void text_of(const uint8_t a[16], char ret[static INET6_ADDRSTRLEN])
{
	if (is_v4(a))
		inet_ntop(AF_INET, a + 12, ret, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, a, ret, INET6_ADDRSTRLEN);
}

/* Section 2.1: one line. */
static size_t version_1(
	const uint8_t *from, uint16_t from_port, const uint8_t *to, uint16_t to_port, char *ret)
{
	char source[INET6_ADDRSTRLEN], target[INET6_ADDRSTRLEN];
	int n;

	if (!from)
		return (size_t)snprintf(ret, TCP_PROXY_MAX, "PROXY UNKNOWN\r\n");
	text_of(from, source);
	text_of(to, target);
	n = snprintf(ret, TCP_PROXY_MAX, "PROXY %s %s %s %u %u\r\n", is_v4(from) ? "TCP4" : "TCP6",
		source, target, (unsigned)from_port, (unsigned)to_port);
	must(n > 0 && n < TCP_PROXY_MAX);
	return (size_t)n;
}

/* Section 2.2: binary; LOCAL when there is nothing to tell. */
static size_t version_2(
	const uint8_t *from, uint16_t from_port, const uint8_t *to, uint16_t to_port, char *ret)
{
	static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";
	size_t skip = from && is_v4(from) ? 12 : 0, each = 16 - skip, n = 16;
	uint16_t ports[2] = {htons(from_port), htons(to_port)};

	memcpy(ret, signature, sizeof(signature));
	memset(ret + 12, 0, 4);
	ret[12] = from ? 0x21 : 0x20; /* version 2; PROXY or LOCAL */
	if (!from)
		return n;
	ret[13] = skip ? 0x11 : 0x21; /* TCP over IPv4 or IPv6 */
	ret[15] = (char)(2 * each + sizeof(ports));
	memcpy(ret + n, from + skip, each);
	memcpy(ret + n + each, to + skip, each);
	memcpy(ret + n + 2 * each, ports, sizeof(ports));
	return n + 2 * each + sizeof(ports);
}

size_t tcp_proxy_header(unsigned version, const uint8_t *from, uint16_t from_port,
	const uint8_t *to, uint16_t to_port, char ret[static TCP_PROXY_MAX])
{
	/* Both of one family, or nothing is told. */
	if (from && is_v4(from) != is_v4(to))
		from = NULL;
	return version == 1 ? version_1(from, from_port, to, to_port, ret)
			    : version_2(from, from_port, to, to_port, ret);
}

/* "10.0.0.2:5432", "[::1]:5432" or a path. */
static size_t server_text(const struct up_server *s, char *mem, size_t cap)
{
	const char *form = s->port == 0 ? "%s" : strchr(s->name, ':') ? "[%s]:%u" : "%s:%u";
	int n = snprintf(mem, cap, form, s->name, (unsigned)s->port);

	return n < 0 ? 0 : min_of((size_t)n, cap - 1);
}

void tcp_record(struct tcp_pair *p, enum close_id why)
{
	struct gate *g = p->gate;
	char mem[RECORD_RAW_MAX] __attribute__((uninitialized)), peer[INET6_ADDRSTRLEN] = "",
								 server[320];
	const char *name = strrchr(p->u->name, '/');
	struct record rec = {.head = {.flags = RECORD_IS_TCP,
				     .number = p->tries,
				     .whole_us = loop_now_us(g->loop) - p->start_us,
				     .upstream_us = p->connect_us,
				     .body_in = p->end[TCP_CLIENT].bytes,
				     .body_out = p->end[TCP_SERVER].bytes,
				     .status = (uint16_t)close_rows[why].status,
				     .port = p->peer_port,
				     .close = (uint16_t)why}};

	if (!g->ring_ready)
		return;
	if (p->peer_port)
		text_of(p->peer, peer);
	name = name ? name + 1 : p->u->name;
	rec.text[RECORD_UPSTREAM] = (struct record_str){name, strlen(name)};
	rec.text[RECORD_CLIENT] = (struct record_str){peer, strlen(peer)};
	if (p->server)
		rec.text[RECORD_SERVER] =
			(struct record_str){server, server_text(p->server, server, sizeof(server))};
	logring_put(&g->ring, LOGREC_ACCESS, loop_wall_us(g->loop), mem, record_put(&rec, mem));
	loop_defer(g->loop, &g->access_flush);
}
