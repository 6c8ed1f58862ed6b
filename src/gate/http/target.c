/*
 * target.c: percent-decoding and dot segments (RFC 3986 sections 2.1, 5.2.4, 6.2.2). Called by
 * req.c and the fuzz target. Owns nothing; a target with nothing to decode is used where it lies.
 *
 * Routing and files go by the same decoded path, so no encoding makes the two disagree. Refused: a
 * wrong or cut escape, an encoded control character, a dot segment that climbs above the root or
 * that needs an encoded slash or backslash to be one, and a backslash. Of several slashes at the beginning one
 * is left: "//a/b" is a path to some readers and a host's name to others (RFC 3986 section 4.2). What slashes
 * leave open further on, phase_route() settles.
 */
#include "target.h"

#include <string.h>

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Is there anything that the plain way cannot take? */
static bool is_plain(const char *p, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (p[i] == '%' || p[i] == '\\' || ((p[i] == '.' || p[i] == '/') && p[i - 1] == '/'))
			return false;
	return true;
}

/* Decode into out; what was an encoded slash is 1 in `marks`. Length, or -1. */
static long decode(const char *p, size_t n, char *out, char *marks)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		int c = (unsigned char)p[i];

		marks[len] = 0;
		if (c == '\\')
			return -1;
		if (c == '%') {
			int hi, lo;

			if (n - i < 3)
				return -1;
			hi = hex(p[i + 1]);
			lo = hex(p[i + 2]);
			if (hi < 0 || lo < 0)
				return -1;
			c = hi * 16 + lo;
			if (c < 0x20 || c == 0x7f)
				return -1;
			marks[len] = c == '/' || c == '\\';
			i += 2;
		}
		out[len++] = (char)c;
	}
	return (long)len;
}

static bool is_separator(char c)
{
	return c == '/' || c == '\\';
}

/* Remove dot segments in place. Length, or -1: above the root, or made of encoded slashes. */
static long remove_dots(char *p, char *marks, size_t n)
{
	size_t to = 0, at = 0;

	while (at < n) {
		/* p[at] begins a segment with its slash */
		size_t end = at + 1, len;
		bool dots;

		while (end < n && !is_separator(p[end]))
			end++;
		len = end - at - 1;
		dots = (len == 1 && p[at + 1] == '.') ||
		       (len == 2 && p[at + 1] == '.' && p[at + 2] == '.');
		if (!dots) {
			memmove(p + to, p + at, end - at);
			memmove(marks + to, marks + at, end - at);
			to += end - at;
			at = end;
			continue;
		}
		if (marks[at] || (end < n && marks[end]))
			return -1;
		if (len == 2) {
			if (to == 0)
				return -1;
			do
				to--;
			while (to > 0 && !(p[to] == '/' && !marks[to]));
		}
		at = end;
		/* A dot segment at the end leaves its folder's slash. */
		if (at == n) {
			marks[to] = 0;
			p[to++] = '/';
		}
	}
	return (long)to;
}

/* The path with each encoded slash as a byte that no path has, in the place of its marks; NULL: it has neither
 * such a slash nor an empty segment. */
static const char *literal_form(const char *p, char *marks, size_t n)
{
	bool open = false;

	for (size_t i = 0; i < n; i++) {
		bool slash = p[i] == '/';

		open |= slash && (marks[i] || (i && p[i - 1] == '/'));
		marks[i] = slash && marks[i] ? TARGET_SLASH : p[i];
	}
	marks[n] = 0;
	return open ? marks : NULL;
}

size_t target_merge(char *to, const char *p, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		if (p[i] != '/' || !len || to[len - 1] != '/')
			to[len++] = p[i];
	return len;
}

bool target_parse(struct req *r)
{
	const char *raw = r->path_raw, *mark = memchr(raw, '?', r->path_raw_len);
	size_t n = mark ? (size_t)(mark - raw) : r->path_raw_len;
	char *p, *marks;
	long len;

	r->query = mark ? mark + 1 : "";
	r->query_len = mark ? (uint32_t)(r->path_raw_len - n - 1) : 0;
	r->path_raw_len = (uint32_t)n;
	if (n == 1 && *raw == '*') {
		r->path = "*";
		r->path_len = 1;
		return true;
	}
	if (n == 0 || *raw != '/')
		return false;
	if (is_plain(raw, n)) {
		r->path = mark ? arena_strndup(&r->arena, raw, n) : raw;
		r->path_len = (uint32_t)n;
		return r->path != NULL;
	}
	p = arena_alloc(&r->arena, 2 * (n + 2));
	if (!p)
		return false;
	marks = p + n + 2;
	len = decode(raw, n, p, marks);
	if (len > 0)
		len = remove_dots(p, marks, (size_t)len);
	if (len <= 0)
		return false;
	for (; len > 1 && p[1] == '/' && !marks[1]; len--)
		p++, marks++;
	p[len] = 0;
	r->path_literal = literal_form(p, marks, (size_t)len);
	r->path = p;
	r->path_len = (uint32_t)len;
	return true;
}
