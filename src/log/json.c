/*
 * json.c: is this the inside of one JSON object (RFC 8259)? Strict, and without a copy.
 *
 * Called for stored lines before they are passed on, so that one bad line
 * breaks no reader. Owns nothing, allocates nothing, nests at most JSON_DEPTH_MAX deep. It answers
 * yes or no and never says what is inside.
 */
#include "log.h"

#include <string.h>

enum { JSON_DEPTH_MAX = 16 };

struct scan {
	const unsigned char *p, *end;
};

static bool take_char(struct scan *s, char c)
{
	if (s->p == s->end || *s->p != (unsigned char)c)
		return false;
	s->p++;
	return true;
}

/* A line feed cannot be inside a line, and nobody of stead writes the others. */
static void skip_space(struct scan *s)
{
	while (s->p < s->end && *s->p == ' ')
		s->p++;
}

static bool take_digits(struct scan *s)
{
	const unsigned char *from = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return s->p > from;
}

static bool take_number(struct scan *s)
{
	(void)take_char(s, '-');
	if (!take_char(s, '0') && !take_digits(s))
		return false;
	if (take_char(s, '.') && !take_digits(s))
		return false;
	if (take_char(s, 'e') || take_char(s, 'E')) {
		if (!take_char(s, '+'))
			(void)take_char(s, '-');
		return take_digits(s);
	}
	return true;
}

/* One character of more than a byte (RFC 3629 section 4): neither overlong nor a surrogate. */
static bool take_utf8(struct scan *s)
{
	const unsigned char *p = s->p;
	size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;

	if (p[0] < 0xc2 || p[0] > 0xf4 || (size_t)(s->end - p) < n)
		return false;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return false;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return false;
	s->p += n;
	return true;
}

/* The four digits of \uXXXX. */
static bool take_unicode(struct scan *s, unsigned *ret_unit)
{
	unsigned unit = 0;

	for (int i = 0; i < 4; i++) {
		unsigned c = s->p < s->end ? *s->p++ : 0;

		if (c >= '0' && c <= '9')
			unit = unit << 4 | (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			unit = unit << 4 | ((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	*ret_unit = unit;
	return true;
}

/* Behind the backslash. Half a surrogate pair is no character, and NUL many readers refuse. */
static bool take_escape(struct scan *s)
{
	unsigned unit, low;

	if (s->p == s->end)
		return false;
	if (*s->p != 'u')
		return strchr("\"\\/bfnrt", *s->p) != NULL && *s->p++ != 0;
	s->p++;
	if (!take_unicode(s, &unit))
		return false;
	if (unit == 0 || (unit >= 0xdc00 && unit <= 0xdfff))
		return false;
	if (unit < 0xd800 || unit > 0xdbff)
		return true;
	return take_char(s, '\\') && take_char(s, 'u') && take_unicode(s, &low) && low >= 0xdc00 &&
	       low <= 0xdfff;
}

static bool take_string(struct scan *s)
{
	if (!take_char(s, '"'))
		return false;
	while (s->p < s->end) {
		unsigned char c = *s->p;

		if (c >= 0x80) {
			if (!take_utf8(s))
				return false;
			continue;
		}
		s->p++;
		if (c == '"')
			return true;
		if (c < 0x20 || c == 0x7f || (c == '\\' && !take_escape(s)))
			return false;
	}
	return false;
}

static bool take_word(struct scan *s, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
		return false;
	s->p += n;
	return true;
}

static bool take_value(struct scan *s, unsigned depth);

static bool take_array(struct scan *s, unsigned depth)
{
	skip_space(s);
	if (take_char(s, ']'))
		return true;
	do {
		if (!take_value(s, depth))
			return false;
	} while (take_char(s, ','));
	return take_char(s, ']');
}

/* Behind the opening brace. */
static bool take_members(struct scan *s, unsigned depth)
{
	skip_space(s);
	if (take_char(s, '}'))
		return true;
	do {
		skip_space(s);
		if (!take_string(s))
			return false;
		skip_space(s);
		if (!take_char(s, ':') || !take_value(s, depth))
			return false;
	} while (take_char(s, ','));
	return take_char(s, '}');
}

static bool take_value(struct scan *s, unsigned depth)
{
	bool good;

	if (depth == 0)
		return false;
	skip_space(s);
	if (s->p == s->end)
		return false;
	switch (*s->p) {
	case '{':
		s->p++;
		good = take_members(s, depth - 1);
		break;
	case '[':
		s->p++;
		good = take_array(s, depth - 1);
		break;
	case '"':
		good = take_string(s);
		break;
	default:
		good = take_word(s, "true") || take_word(s, "false") || take_word(s, "null") ||
		       take_number(s);
	}
	skip_space(s);
	return good;
}

bool json_is_members(const char *p, size_t n)
{
	struct scan s = {(const unsigned char *)p, (const unsigned char *)p + n};

	return take_members(&s, JSON_DEPTH_MAX) && s.p == s.end;
}
