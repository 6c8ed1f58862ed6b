/*
 * fuzz_client.c: what is forwarded as garbage: items of X-Forwarded-For from the end, each an address or none, and it ends;
 * then all of a request's fields by a trusted proxy: the client is an address that was told or the peer, and an id is
 * printable.
 *
 * The input's lines are the values of two X-Forwarded-For, an X-Forwarded-Proto and an X-Request-Id.
 */
#include "access_list.h"
#include "client.h"
#include "gate.h"
#include "lib/must.h"

#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The end of a gate, which the process defines. */
void gate_drained(struct gate *g)
{
	(void)g;
}

/* One site, which trusts 10.0.0.0/8. */
static struct snap *snap_of(void)
{
	struct snap_writer *w = snap_writer_new();
	struct snap_cidr net = {.bits = 96 + 8};
	struct snap_route route = snap_route_default();
	struct snap_site site = {0};
	int fds[SNAP_SEGMENTS_MAX + 1];
	struct snap *s;
	unsigned n;

	must(w && inet_pton(AF_INET6, "::ffff:10.0.0.0", net.address) == 1);
	site.name = snap_put_str(w, "shop");
	site.trusted_proxies = snap_put_list(w, &net, sizeof(net), 1);
	route.path = snap_put_str(w, "/");
	route.to = SNAP_TO_STATIC;
	route.root = snap_put_str(w, "/srv");
	route.app = SNAP_NONE;
	(void)snap_put_site(w, &site, &route, 1);
	snap_put_host(w, 0, "shop.example", 0);
	must(snap_finish(w, 1, 0, fds, &n) == 0);
	snap_writer_free(w);
	must(snap_load(fds, n, &s) == 0);
	while (n)
		close(fds[--n]);
	return s;
}

static void items(const char *list, size_t size)
{
	const char *item;
	size_t n = size, len, before = size + 1;
	uint8_t address[16];
	char text[46];

	while (client_last_item(list, &n, &item, &len)) {
		must(n < before && item >= list && item + len <= list + size);
		before = n;
		if (client_address(item, len, text, address))
			must(strlen(text) < sizeof(text));
	}
}

static void whole(const struct snap *s, const char *p, size_t size)
{
	static const char *const names[] = {"x-forwarded-for", "x-forwarded-for", "x-forwarded-proto", "x-request-id"};
	struct field f[ARRAY_LEN(names)];
	struct req r = {.snap = (struct snap *)s, .site = snap_site(s, 0), .fields = f, .peer = "10.0.0.1", .peer_port = 7};
	uint8_t address[16];

	for (; r.nfields < ARRAY_LEN(names) && size; r.nfields++) {
		const char *nl = memchr(p, '\n', size);
		size_t n = nl ? (size_t)(nl - p) : size;

		f[r.nfields] = (struct field){names[r.nfields], p, (uint32_t)strlen(names[r.nfields]), (uint32_t)n};
		n += nl != NULL;
		p += n;
		size -= n;
	}
	must(phase_client(&r) == PHASE_NEXT && r.peer_trusted);
	must(strcmp(r.via, "10.0.0.1") == 0 && address_parse(r.peer, address));
	must(r.peer_port == 0 || strcmp(r.peer, "10.0.0.1") == 0);
	must(r.given_id_len <= 128);
	for (uint32_t i = 0; i < r.given_id_len; i++)
		must(r.given_id[i] > ' ' && r.given_id[i] < 0x7f && !strchr("\"<>\\,;", r.given_id[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct snap *s;

	if (!s)
		s = snap_of();
	items((const char *)data, size);
	whole(s, (const char *)data, size);
	return 0;
}
