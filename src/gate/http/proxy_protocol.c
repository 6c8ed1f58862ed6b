/*
 * proxy_protocol.c: see proxy_protocol.h. Called by proxy_in.c and the fuzz target. Owns nothing,
 * keeps nothing: a header that came in pieces is looked at again from its first byte, which its
 * bound makes cheap.
 *
 * Version 1 is one line of text of at most 107 bytes. Version 2 is binary: 12 bytes of signature,
 * version and command, family and transport, a length, addresses, and type-length-value fields. Of
 * those only what says that the client's connection is encrypted is read; the others are passed
 * over within their bounds. A sender must not be half understood: whatever is malformed refuses the
 * connection (section 2: "the receiver … must close").
 */
#include "proxy_protocol.h"

#include "lib/must.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

enum {
	V2_HEAD = 16,
	V2_LOCAL = 0,
	V2_PROXY = 1,
	V2_INET = 1,
	V2_INET6 = 2,
	V2_UNIX = 3,
	V2_STREAM = 1,
	TLV_HEAD = 3,
	TLV_SSL = 0x20,
	TLV_SSL_FIXED = 5,
	SSL_CLIENT_SSL = 1,
};

static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";

static unsigned big16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static void map_v4(const uint8_t v4[4], uint8_t ret[16])
{
	memset(ret, 0, 10);
	ret[10] = ret[11] = 0xff;
	memcpy(ret + 12, v4, 4);
}

/* ---- version 2 ---- */

/* False: a field runs over the end of the header. */
static bool read_tlvs(const uint8_t *p, size_t n, struct proxy_header *ret)
{
	while (n) {
		size_t len;

		if (n < TLV_HEAD)
			return false;
		len = big16(p + 1);
		if (len > n - TLV_HEAD)
			return false;
		if (*p == TLV_SSL) {
			if (len < TLV_SSL_FIXED)
				return false;
			ret->tls = p[TLV_HEAD] & SSL_CLIENT_SSL;
		}
		p += TLV_HEAD + len;
		n -= TLV_HEAD + len;
	}
	return true;
}

static int read_addresses(const uint8_t *p, size_t n, unsigned family, struct proxy_header *ret)
{
	static const uint8_t bytes[] = {[V2_INET] = 12, [V2_INET6] = 36, [V2_UNIX] = 216};
	size_t used;

	must(family < sizeof(bytes)); /* parse_v2() refused every other */
	used = bytes[family];
	if (n < used)
		return -EBADMSG;
	if (family == V2_INET) {
		map_v4(p, ret->from);
		map_v4(p + 4, ret->to);
	} else if (family == V2_INET6) {
		memcpy(ret->from, p, 16);
		memcpy(ret->to, p + 16, 16);
	}
	if (family == V2_INET || family == V2_INET6) {
		ret->from_port = (uint16_t)big16(p + used - 4);
		ret->to_port = (uint16_t)big16(p + used - 2);
		ret->known = true;
	}
	return read_tlvs(p + used, n - used, ret) ? 0 : -EBADMSG;
}

static int parse_v2(const uint8_t *p, size_t n, struct proxy_header *ret)
{
	unsigned command, family, transport;
	size_t len;

	if (n > 12 && (p[12] >> 4 != 2 || (p[12] & 15) > V2_PROXY))
		return -EBADMSG;
	/* Unassigned families and transports must be refused (section 2.2). */
	if (n > 13 && (p[13] >> 4 > V2_UNIX || (p[13] & 15) > 2))
		return -EBADMSG;
	if (n < V2_HEAD)
		return 0;
	command = p[12] & 15;
	family = p[13] >> 4;
	transport = p[13] & 15;
	len = V2_HEAD + big16(p + 14);
	if (len > PROXY_V2_MAX)
		return -EMSGSIZE;
	if (n < len)
		return 0;
	/* LOCAL: whatever addresses stand there do not count, and need not be whole. Nor do they
	 * where family or transport is not told, or is not a stream's. */
	if (command != V2_LOCAL && family && transport == V2_STREAM) {
		int err = read_addresses(p + V2_HEAD, len - V2_HEAD, family, ret);

		if (err)
			return err;
	}
	return (int)len;
}

/* ---- version 1 ---- */

/* The next word of the line, ended by one blank or the line's end. */
static bool next_word(const char **at, const char *end, char *ret, size_t cap)
{
	const char *from = *at, *stop = memchr(from, ' ', (size_t)(end - from));
	size_t n = (size_t)((stop ? stop : end) - from);

	if (n == 0 || n >= cap)
		return false;
	memcpy(ret, from, n);
	ret[n] = 0;
	*at = stop ? stop + 1 : end;
	return !memchr(ret, 0, n);
}

static bool read_port(const char *text, uint16_t *ret)
{
	unsigned long v = 0;
	size_t n = strlen(text);

	/* Decimal, without sign, blank or leading zero. */
	if (n > 5 || (n > 1 && *text == '0'))
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		v = v * 10 + (unsigned long)(*text - '0');
	}
	*ret = (uint16_t)v;
	return v <= 65535;
}

static bool read_address(const char *text, bool v6, uint8_t ret[16])
{
	uint8_t v4[4];

	if (v6)
		return inet_pton(AF_INET6, text, ret) == 1;
	if (inet_pton(AF_INET, text, v4) != 1)
		return false;
	map_v4(v4, ret);
	return true;
}

/* The line behind "PROXY ", without its end. */
static bool read_line(const char *at, const char *end, struct proxy_header *ret)
{
	char word[48];
	bool v6;

	if (!next_word(&at, end, word, sizeof(word)))
		return false;
	/* Behind UNKNOWN anything may stand, and nothing of it counts. */
	if (strcmp(word, "UNKNOWN") == 0)
		return true;
	v6 = strcmp(word, "TCP6") == 0;
	if (!v6 && strcmp(word, "TCP4") != 0)
		return false;
	if (!next_word(&at, end, word, sizeof(word)) || !read_address(word, v6, ret->from) ||
		!next_word(&at, end, word, sizeof(word)) || !read_address(word, v6, ret->to) ||
		!next_word(&at, end, word, sizeof(word)) || !read_port(word, &ret->from_port) ||
		!next_word(&at, end, word, sizeof(word)) || !read_port(word, &ret->to_port))
		return false;
	ret->known = true;
	return at == end && end[-1] != ' ';
}

static int parse_v1(const char *p, size_t n, struct proxy_header *ret)
{
	size_t seen = n < PROXY_V1_MAX ? n : PROXY_V1_MAX;
	const char *lf = memchr(p, '\n', seen);

	if (!lf)
		return n >= PROXY_V1_MAX ? -EMSGSIZE : 0;
	if (lf[-1] != '\r' || !read_line(p + 6, lf - 1, ret))
		return -EBADMSG;
	return (int)(lf + 1 - p);
}

int proxy_parse(const void *p, size_t n, struct proxy_header *ret)
{
	int res;

	*ret = (struct proxy_header){0};
	if (n == 0)
		return 0;
	if (*(const uint8_t *)p == signature[0]) {
		if (memcmp(p, signature, n < 12 ? n : 12) != 0)
			return -EBADMSG;
		res = parse_v2(p, n, ret);
	} else {
		if (memcmp(p, "PROXY ", n < 6 ? n : 6) != 0)
			return -EBADMSG;
		res = n < 6 ? 0 : parse_v1(p, n, ret);
	}
	if (res <= 0)
		*ret = (struct proxy_header){0};
	return res;
}
