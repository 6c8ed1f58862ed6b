/*
 * hostname.c: what is local, and what a list of names covers; see hostname.h. Called by the gates
 * for each request that is not encrypted where it might be, by keys for each name of a local
 * certificate, by ctl. Owns nothing.
 */
#include "hostname.h"
#include "must.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static bool equals(const char *p, size_t n, const char *text)
{
	return n == strlen(text) && memcmp(p, text, n) == 0;
}

static bool is_below(const char *p, size_t n, const char *dot_name)
{
	size_t m = strlen(dot_name);

	return n > m && memcmp(p + n - m, dot_name, m) == 0;
}

/* Four numbers up to 255 without a zero before them; *ret_first is the first. */
static bool is_ipv4(const char *p, size_t n, unsigned *ret_first)
{
	unsigned parts = 0;

	for (size_t i = 0; i < n; parts++) {
		unsigned v = 0;
		size_t from = i;

		for (; i < n && i < from + 3 && p[i] >= '0' && p[i] <= '9'; i++)
			v = v * 10 + (unsigned)(p[i] - '0');
		if (i == from || v > 255 || (p[from] == '0' && i > from + 1) || parts == 4)
			return false;
		if (parts == 0)
			*ret_first = v;
		if (i == n)
			return parts == 3;
		if (p[i++] != '.')
			return false;
	}
	return false;
}

static void strip_brackets(const char **p, size_t *n)
{
	if (*n > 2 && (*p)[0] == '[' && (*p)[*n - 1] == ']') {
		(*p)++;
		*n -= 2;
	}
}

bool hostname_is_local(const char *p, size_t n)
{
	unsigned first = 0;

	strip_brackets(&p, &n);
	if (is_ipv4(p, n, &first))
		return first == 127;
	return equals(p, n, "localhost") || equals(p, n, "test") || equals(p, n, "::1") ||
	       is_below(p, n, ".localhost") || is_below(p, n, ".test");
}

bool hostname_is_loopback(const char *p, size_t n)
{
	unsigned first = 0;

	strip_brackets(&p, &n);
	return is_ipv4(p, n, &first) ? first == 127 : equals(p, n, "localhost") || equals(p, n, "::1");
}

/* A label's length when it is one; else 0. */
static size_t label(const char *p, size_t n)
{
	size_t len = 0;

	while (len < n && ((p[len] >= 'a' && p[len] <= 'z') || (p[len] >= '0' && p[len] <= '9') || p[len] == '-'))
		len++;
	return len > 63 || (len < n && p[len] != '.') || (len && (p[0] == '-' || p[len - 1] == '-')) ? 0 : len;
}

bool hostname_is_public(const char *p, size_t n)
{
	static const char *const local[] = {".local", ".internal", ".home.arpa", ".invalid", ".onion"};
	size_t at = 0, len = 0;
	bool number = true;

	if (n == 0 || n > 253 || !memchr(p, '.', n) || hostname_is_local(p, n))
		return false;
	for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
		if (is_below(p, n, local[i]))
			return false;
	for (; at <= n; at += len + 1) {
		len = label(p + at, n - at);
		if (!len)
			return false;
	}
	for (size_t i = n - len; i < n; i++)
		number &= p[i] >= '0' && p[i] <= '9';
	return !number;
}

static bool covers(const char *name, size_t name_n, const char *p, size_t n)
{
	const char *dot;
	unsigned first;

	if (name_n == n && memcmp(name, p, n) == 0)
		return true;
	if (name_n < 3 || name[0] != '*' || name[1] != '.' || is_ipv4(p, n, &first))
		return false;
	dot = memchr(p, '.', n);
	return dot && dot > p && (size_t)(p + n - dot) == name_n - 1 &&
	       memcmp(dot, name + 1, name_n - 1) == 0;
}

bool hostname_among(const char *names, size_t names_n, const char *p, size_t n)
{
	strip_brackets(&p, &n);
	if (n == 0)
		return false;
	while (names_n) {
		const char *blank = memchr(names, ' ', names_n);
		size_t len = blank ? (size_t)(blank - names) : names_n;

		if (covers(names, len, p, n))
			return true;
		len += blank != NULL;
		names += len;
		names_n -= len;
	}
	return false;
}

/* How many bytes it has, network order; 0: it is none. */
static unsigned read_address(const char *p, uint8_t ret[16])
{
	char again[INET6_ADDRSTRLEN];
	int family = strchr(p, ':') ? AF_INET6 : AF_INET;

	if (inet_pton(family, p, ret) != 1)
		return 0;
	must(inet_ntop(family, ret, again, sizeof(again)));
	if (strcmp(again, p) != 0)
		return 0;
	return family == AF_INET ? 4 : 16;
}

bool hostname_is_address(const char *p)
{
	uint8_t a[16];

	return read_address(p, a) != 0;
}

bool hostname_is_public_address(const char *p)
{
	uint8_t a[16];
	unsigned n = read_address(p, a);

	/* 2000::/3 is all that was given out of IPv6. */
	if (n != 4)
		return n == 16 && (a[0] & 0xe0) == 0x20;
	return a[0] != 0 && a[0] != 10 && a[0] != 127 && a[0] < 224 &&
	       !(a[0] == 100 && (a[1] & 0xc0) == 64) && !(a[0] == 169 && a[1] == 254) &&
	       !(a[0] == 172 && (a[1] & 0xf0) == 16) && !(a[0] == 192 && a[1] == 168);
}

void hostname_reverse(const char *p, char ret[HOSTNAME_REVERSE_MAX])
{
	uint8_t a[16];
	unsigned n = read_address(p, a);
	char *at = ret;

	if (n == 4)
		(void)snprintf(ret, HOSTNAME_REVERSE_MAX, "%u.%u.%u.%u.in-addr.arpa", a[3], a[2], a[1],
			a[0]);
	else if (n == 0)
		(void)snprintf(ret, HOSTNAME_REVERSE_MAX, "%s", p);
	for (unsigned i = n == 16 ? 16 : 0; i-- > 0;)
		at += snprintf(at, 5, "%x.%x.", a[i] & 15u, a[i] >> 4);
	if (n == 16)
		(void)snprintf(at, 9, "ip6.arpa");
}
