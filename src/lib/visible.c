/*
 * visible.c: see visible.h. Pure.
 */
#include "visible.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static uint32_t decode(const unsigned char *s, size_t len)
{
	uint32_t c = s[0] & (len == 1 ? 0x7fu : 0xffu >> (len + 1));

	for (size_t i = 1; i < len; i++)
		c = c << 6 | (s[i] & 0x3f);
	return c;
}

size_t visible_utf8(const char *p, size_t n)
{
	const unsigned char *s = (const unsigned char *)p;
	size_t len;
	uint32_t c;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		len = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		len = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (n < len)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	c = decode(s, len);
	if (len == 3 && (c < 0x800 || (c >= 0xd800 && c <= 0xdfff)))
		return 0;
	if (len == 4 && (c < 0x10000 || c > 0x10ffff))
		return 0;
	return len;
}

static bool is_odd(uint32_t c)
{
	return (c < 0x20 && c != '\t' && c != '\n') || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

size_t visible_odd(const char *p, size_t n)
{
	size_t len = visible_utf8(p, n);

	if (len == 0)
		return 1;
	return is_odd(decode((const unsigned char *)p, len)) ? len : 0;
}

void visible_make(char *text, char by)
{
	size_t n = strlen(text), at = 0, to = 0;

	while (at < n) {
		size_t odd = visible_odd(text + at, n - at), len = odd ? odd : visible_utf8(text + at, n - at);

		if (odd)
			text[to] = by;
		else
			memmove(text + to, text + at, len);
		to += odd ? 1 : len;
		at += len;
	}
	text[to] = '\0';
}
