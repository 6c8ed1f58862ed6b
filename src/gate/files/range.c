/*
 * range.c: "bytes=0-99,-5" to pieces of a file. Called by to_static.c and the fuzz target. Owns
 * nothing. A field that asks for more than the file has bytes is ignored: many overlapping ranges
 * are how a small request makes a large answer (RFC 9110 section 14.2, 17.15).
 */
#include "range.h"

#include <string.h>

/* Digits to a number that stops at UINT64_MAX. False: no digit. */
static bool number(const char **at, const char *end, uint64_t *ret)
{
	const char *p = *at;
	uint64_t v = 0;

	for (; p < end && *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			v = UINT64_MAX / 16;
	if (p == *at)
		return false;
	*at = p;
	*ret = v;
	return true;
}

static const char *skip_ows(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	return p;
}

/* One spec, which has a byte at least. 1 a range of the file, 0 outside of it, -1 malformed. */
static int one(const char **at, const char *end, uint64_t size, struct range *ret)
{
	uint64_t from, to = UINT64_MAX;

	if (**at == '-') {
		++*at;
		if (!number(at, end, &to))
			return -1;
		if (to == 0 || size == 0)
			return 0;
		ret->len = to < size ? to : size;
		ret->from = size - ret->len;
		return 1;
	}
	if (!number(at, end, &from) || *at == end || **at != '-')
		return -1;
	++*at;
	(void)number(at, end, &to); /* none: to the end */
	if (to < from)
		return -1;
	if (from >= size)
		return 0;
	ret->from = from;
	ret->len = to < size - 1 ? to - from + 1 : size - from;
	return 1;
}

int range_parse(const char *p, size_t n, uint64_t size, struct range *ret_ranges)
{
	const char *end = p + n;
	unsigned specs = 0, found = 0;
	uint64_t sum = 0;

	if (n < 6 || memcmp(p, "bytes=", 6))
		return 0;
	p += 6;
	for (;;) {
		struct range r;
		int res;

		p = skip_ows(p, end);
		/* An empty element of a list is to be borne (RFC 9110 section 5.6.1.2). */
		if (p < end && *p == ',') {
			p++;
			continue;
		}
		if (p == end)
			break;
		if (++specs > RANGES_MAX)
			return 0;
		res = one(&p, end, size, &r);
		if (res < 0)
			return 0;
		if (res > 0) {
			ret_ranges[found++] = r;
			sum += r.len;
		}
		p = skip_ows(p, end);
		if (p < end && *p != ',')
			return 0;
	}
	if (!specs)
		return 0;
	if (!found)
		return -1;
	return found > 1 && sum > size ? 0 : (int)found;
}
