/*
 * access_list.c: see access_list.h. Called by phases.c. Owns nothing. Costs nothing for a route
 * without lists, and a comparison for each entry of one that has them.
 */
#include "access_list.h"
#include "gate.h"

#include <arpa/inet.h>
#include <string.h>

bool address_parse(const char *text, uint8_t ret[16])
{
	memset(ret, 0, 16);
	if (inet_pton(AF_INET, text, ret + 12) == 1) {
		ret[10] = ret[11] = 0xff;
		return true;
	}
	return inet_pton(AF_INET6, text, ret) == 1;
}

void address_text(const uint8_t address[16], char ret[46])
{
	bool v4 = IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)address);

	if (!inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? address + 12 : address, ret, 46))
		ret[0] = 0;
}

bool address_in(const struct snap_cidr *net, const uint8_t address[16])
{
	uint32_t whole = net->bits / 8, rest = net->bits % 8;

	if (net->bits > 128 || memcmp(net->address, address, whole) != 0)
		return false;
	return rest == 0 || ((net->address[whole] ^ address[whole]) & (0xff00 >> rest)) == 0;
}

int address_match(const struct snap *s, struct snap_list list, const uint8_t address[16])
{
	const struct snap_cidr *net;
	int best = -1;

	for (uint32_t i = 0; (net = snap_item(s, list, i, sizeof(*net))); i++)
		if (address_in(net, address) && (int)net->bits > best)
			best = (int)net->bits;
	return best;
}

enum phase_end phase_access(struct req *r)
{
	bool only = r->route->flags & SNAP_ROUTE_ALLOW;
	uint8_t address[16];
	int allow, deny;

	/* A client without an address (a Unix socket) is nobody that a list could name. */
	if (address_parse(r->peer, address)) {
		allow = address_match(r->snap, r->route->allow, address);
		deny = address_match(r->snap, r->route->deny, address);
		if (allow > deny || (deny < 0 && !only))
			return PHASE_NEXT;
	}
	req_fail(r, CLOSE_FORBIDDEN, 0);
	return PHASE_ANSWERED;
}
