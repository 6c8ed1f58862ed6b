/*
 * http1_host.c: a host and its port (RFC 3986 section 3.2, RFC 9110 section 7.2); see
 * http1_parse.h. Called by http1_parse.c. Owns nothing. Narrower than the grammar: no user, no
 * escapes, no sub-delimiters, no empty label and no empty port, because no name that DNS or an IP
 * literal gives has them.
 */
#include "http1_parse.h"

/* What a name's labels are made of. */
static const bool label[256] = {['-'] = true,
	['0' ... '9'] = true,
	['A' ... 'Z'] = true,
	['_'] = true,
	['a' ... 'z'] = true};

bool http1_parse_host(char *p, size_t n, uint32_t *ret_len, uint16_t *ret_port)
{
	char *end = p + n, *at = p, *host_end;
	unsigned port = 0;

	if (n == 0 || n > 255 + 6)
		return false;
	if (*at == '[') {
		unsigned colons = 0;

		for (at++; at < end && *at != ']'; at++) {
			char c = *at;

			colons += c == ':';
			if (c >= 'A' && c <= 'F')
				*at = (char)(c + 32);
			else if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == ':' ||
					 c == '.'))
				return false;
		}
		if (at == end || colons < 2)
			return false;
		host_end = ++at;
	} else {
		for (char *from = at; at < end; from = ++at) {
			for (; at < end && label[(unsigned char)*at]; at++)
				if (*at >= 'A' && *at <= 'Z')
					*at = (char)(*at + 32);
			if (at == end || *at == ':')
				break;
			if (*at != '.' || at == from)
				return false;
		}
		host_end = at > p && at[-1] == '.' ? at - 1 : at;
	}
	if (host_end == p)
		return false;
	if (at < end) {
		if (*at++ != ':' || end - at > 5 || at == end)
			return false;
		for (; at < end; at++) {
			if (*at < '0' || *at > '9')
				return false;
			port = port * 10 + (unsigned)(*at - '0');
		}
		if (port > 65535 || port == 0)
			return false;
	}
	*ret_len = (uint32_t)(host_end - p);
	*ret_port = (uint16_t)port;
	return true;
}
