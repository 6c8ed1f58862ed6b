/*
 * client.c: see client.h. Called by phases.c and the fuzz target. Owns nothing.
 *
 * X-Forwarded-For is read from its end: the last item was written by the peer, which is trusted; as
 * long as an item is a trusted proxy's too, the one before it was written by that. The first that
 * is not is the client. Where both stand, X-Forwarded-For counts and Forwarded (RFC 7239) does not:
 * the proxies that people put in front write the former, and pass the latter on from clients.
 */
#include "client.h"
#include "access_list.h"
#include "gate.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

enum { ITEMS_MAX = 32, ID_MAX = 128 };

static bool is_ows(char c)
{
	return c == ' ' || c == '\t';
}

bool client_last_item(const char *list, size_t *n, const char **ret_item, size_t *ret_len)
{
	size_t end = *n, from;

	while (end && (is_ows(list[end - 1]) || list[end - 1] == ','))
		end--;
	from = end;
	while (from && list[from - 1] != ',')
		from--;
	*n = from;
	while (from < end && is_ows(list[from]))
		from++;
	*ret_item = list + from;
	*ret_len = end - from;
	return end > from;
}

bool client_address(const char *item, size_t n, char ret[46], uint8_t ret_address[16])
{
	char text[64];
	const char *close;
	bool v4;

	if (n > 1 && *item == '[') {
		close = memchr(item, ']', n);
		if (!close)
			return false;
		n = (size_t)(close - item) - 1;
		item++;
	} else if (memchr(item, '.', n) && memchr(item, ':', n) &&
		   memchr(item, ':', n) == memrchr(item, ':', n)) {
		n = (size_t)((const char *)memchr(item, ':', n) - item);
	}
	if (n == 0 || n >= sizeof(text))
		return false;
	memcpy(text, item, n);
	text[n] = 0;
	if (!address_parse(text, ret_address))
		return false;
	v4 = IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)ret_address);
	return inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ret_address + 12 : ret_address, ret, 46) !=
	       NULL;
}

/* Through the fields from the last to the first, and in each from its end. */
static void find_client(struct req *r)
{
	unsigned seen = 0;

	for (unsigned i = r->nfields; i-- > 0;) {
		const struct field *f = &r->fields[i];
		size_t left = f->value_len, len;
		const char *item;

		if (f->name_len != 15 || memcmp(f->name, "x-forwarded-for", 15) != 0)
			continue;
		while (seen++ < ITEMS_MAX && client_last_item(f->value, &left, &item, &len)) {
			char text[46];
			uint8_t address[16];

			/* What cannot be read ends the chain: behind it anybody may have written.
			 */
			if (!client_address(item, len, text, address))
				return;
			memcpy(r->peer, text, sizeof(r->peer));
			r->peer_port = 0;
			if (address_match(r->snap, r->site->trusted_proxies, address) < 0)
				return;
		}
	}
}

/* The id under which the proxy knows this request is ours too: printable, and nothing that could begin
 * something else where it is shown or passed on. */
static void take_id(struct req *r)
{
	const struct field *f = req_field(r, "x-request-id");

	if (!f || f->value_len == 0 || f->value_len > ID_MAX)
		return;
	for (uint32_t i = 0; i < f->value_len; i++) {
		char c = f->value[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    memchr("-._~+/=:@", c, 9)))
			return;
	}
	r->given_id = f->value;
	r->given_id_len = f->value_len;
}

enum phase_end phase_client(struct req *r)
{
	const struct field *proto;
	uint8_t address[16];

	memcpy(r->via, r->peer, sizeof(r->via));
	if (!r->site->trusted_proxies.n || !address_parse(r->peer, address) ||
		address_match(r->snap, r->site->trusted_proxies, address) < 0)
		return PHASE_NEXT;
	r->peer_trusted = true;
	find_client(r);
	take_id(r);
	proto = req_field(r, "x-forwarded-proto");
	if (proto && proto->value_len == 5 && strncasecmp(proto->value, "https", 5) == 0)
		r->tls = true;
	else if (proto && proto->value_len == 4 && strncasecmp(proto->value, "http", 4) == 0)
		r->tls = false;
	return PHASE_NEXT;
}
