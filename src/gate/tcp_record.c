/*
 * tcp_record.c: what is said of a connection of [Tcp] when it is over, and how its addresses are written:
 * in its record and in the PROXY header for its server.
 *
 * Called by tcp.c and tcp_dial.c. Owns nothing. The PROXY protocol is HAProxy's, as its document of
 * 2020/03/05 writes it.
 */
#include "access.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "tcp.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { RECORD_MAX = 1024 };

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
	n = snprintf(ret, TCP_PROXY_MAX, "PROXY %s %s %s %u %u\r\n", is_v4(from) ? "TCP4" : "TCP6", source,
		target, (unsigned)from_port, (unsigned)to_port);
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

size_t tcp_proxy_header(unsigned version, const uint8_t *from, uint16_t from_port, const uint8_t *to,
	uint16_t to_port, char ret[static TCP_PROXY_MAX])
{
	/* Both of one family, or nothing is told. */
	if (from && is_v4(from) != is_v4(to))
		from = NULL;
	return version == 1 ? version_1(from, from_port, to, to_port, ret)
			    : version_2(from, from_port, to, to_port, ret);
}

static void put_ms(struct buf *b, const char *name, uint64_t us)
{
	buf_printf(b, ",\"%s\":%llu.%03u", name, (unsigned long long)(us / 1000), (unsigned)(us % 1000));
}

void tcp_record(struct tcp_pair *p, enum close_id why)
{
	struct gate *g = p->gate;
	const struct up_server *s = p->server;
	char mem[RECORD_MAX], peer[INET6_ADDRSTRLEN] = "";
	const char *name = strchr(p->u->name, '/');
	struct buf b;

	if (!g->ring_ready)
		return;
	if (p->peer_port)
		text_of(p->peer, peer);
	name = name ? name + 1 : p->u->name;
	buf_fixed(&b, mem, sizeof(mem));
	buf_puts(&b, "{\"tcp\":");
	buf_put_json(&b, name, strlen(name));
	buf_printf(&b, ",\"client\":\"%s\",\"port\":%u,\"server\":", peer, (unsigned)p->peer_port);
	buf_put_json(&b, s ? s->name : "", s ? strnlen(s->name, 300) : 0);
	if (s && s->port)
		buf_printf(&b, ",\"server_port\":%u", (unsigned)s->port);
	buf_printf(&b, ",\"bytes_in\":%llu,\"bytes_out\":%llu,\"tries\":%u",
		(unsigned long long)p->end[TCP_CLIENT].bytes, (unsigned long long)p->end[TCP_SERVER].bytes,
		(unsigned)p->tries);
	put_ms(&b, "connect_ms", p->connect_us);
	put_ms(&b, "ms", loop_now_us(g->loop) - p->start_us);
	buf_printf(&b, ",\"close\":\"%s\"}", close_rows[why].name);
	if (b.error)
		return;
	logring_put(&g->ring, LOGREC_ACCESS, loop_wall_us(g->loop), b.p, b.len);
	loop_defer(g->loop, &g->access_flush);
}
