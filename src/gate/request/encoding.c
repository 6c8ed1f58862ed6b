/*
 * encoding.c: which codings a client takes, and what is worth one; see encoding.h. Called by compress.c, to_static.c
 * and the fuzz target. Owns nothing.
 */
#include "encoding.h"

#include <string.h>
#include <strings.h>

const char *const coding_names[CODING_END] = {"identity", "gzip", "br", "zstd"};
const char *const coding_extensions[CODING_END] = {"", ".gz", ".br", ".zst"};

static bool is_ows(char c)
{
	return c == ' ' || c == '\t';
}

static bool is(const char *p, size_t n, const char *word)
{
	return strlen(word) == n && strncasecmp(p, word, n) == 0;
}

/* ";q=0.5" and the like behind a coding, in thousandths; other parameters do not count. */
static unsigned weight(const char *p, const char *end)
{
	unsigned q = 1000, unit = 100;

	while (p < end && (*p == ';' || is_ows(*p)))
		p++;
	if (end - p < 3 || (*p != 'q' && *p != 'Q') || p[1] != '=')
		return q;
	p += 2;
	q = *p == '1' ? 1000 : 0;
	if (*p == '0' && end - p > 1 && p[1] == '.')
		for (p += 2; p < end && *p >= '0' && *p <= '9' && unit; p++, unit /= 10)
			q += (unsigned)(*p - '0') * unit;
	return q;
}

/* One item of the list. */
static void take(const char *p, const char *end, unsigned q[CODING_END], unsigned *star)
{
	const char *name_end = p;
	size_t n;

	while (name_end < end && *name_end != ';' && !is_ows(*name_end))
		name_end++;
	n = (size_t)(name_end - p);
	if (n == 1 && *p == '*')
		*star = weight(name_end, end);
	for (unsigned i = 0; i < CODING_END; i++)
		if (is(p, n, coding_names[i]) || (i == CODING_GZIP && is(p, n, "x-gzip")))
			q[i] = weight(name_end, end);
}

unsigned encoding_accepted(const char *p, size_t n)
{
	enum { UNSAID = 1001 };
	unsigned q[CODING_END] = {UNSAID, UNSAID, UNSAID, UNSAID}, star = UNSAID, best = 0,
		 bits = 1;
	const char *end = p + n;

	while (p < end) {
		const char *from, *to;

		while (p < end && (*p == ',' || is_ows(*p)))
			p++;
		from = p;
		while (p < end && *p != ',')
			p++;
		to = p;
		while (to > from && is_ows(to[-1]))
			to--;
		take(from, to, q, &star);
	}
	for (unsigned i = CODING_GZIP; i < CODING_END; i++) {
		if (q[i] == UNSAID)
			q[i] = star == UNSAID ? 0 : star;
		if (q[i] > best)
			best = q[i];
	}
	/* What is wished for more than any coding is the text itself. */
	if (q[CODING_IDENTITY] != UNSAID && q[CODING_IDENTITY] > best)
		return bits;
	for (unsigned i = CODING_GZIP; i < CODING_END; i++)
		if (best > 0 && q[i] == best)
			bits |= 1u << i;
	return bits;
}

enum coding encoding_best(unsigned codings)
{
	for (unsigned i = CODING_END; --i > 0;)
		if (codings >> i & 1)
			return (enum coding)i;
	return CODING_IDENTITY;
}

bool encoding_worth(const char *type, size_t n)
{
	static const char *const types[] = {"application/json", "application/javascript",
		"application/xml", "application/wasm", "application/manifest+json",
		"application/rss+xml", "application/atom+xml", "application/xhtml+xml",
		"application/ld+json", "application/problem+json", "application/x-ndjson",
		"image/svg+xml", "image/x-icon", "image/vnd.microsoft.icon", "image/bmp",
		"font/ttf", "font/otf", "application/vnd.ms-fontobject", "application/yaml",
		"application/x-javascript", "application/graphql", "application/geo+json"};
	const char *semicolon = memchr(type, ';', n);
	size_t len = semicolon ? (size_t)(semicolon - type) : n;

	while (len && is_ows(type[len - 1]))
		len--;
	/* Events go out as they come; an encoder between would only hold them. */
	if (len > 5 && strncasecmp(type, "text/", 5) == 0)
		return !is(type, len, "text/event-stream");
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (is(type, len, types[i]))
			return true;
	return false;
}
