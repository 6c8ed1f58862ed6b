/*
 * hostname.c: what is local, and what a list of names covers; see hostname.h. Called by the gates
 * for each request that is not encrypted where it might be, by keys for each name of a local
 * certificate, by ctl. Owns nothing.
 */
#include "hostname.h"

#include <stdint.h>
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
