/*
 * http1_field.h: field lines, lists and lengths of HTTP/1 heads (RFC 9112 section 5, RFC 9110 sections
 * 5.5, 5.6 and 8.6), requests' and answers' alike. Included by http1_parse.c and up_parse.c, so that
 * both directions are read by one grammar. Owns nothing.
 */
#ifndef STEAD_GATE_HTTP1_FIELD_H
#define STEAD_GATE_HTTP1_FIELD_H

#include "http1_token.h"
#include "stream.h"

#include <endian.h>
#include <string.h>

struct cursor {
	char *p, *end;
	char *start;
};

static inline bool is_ows(char c)
{
	return c == ' ' || c == '\t';
}

static inline bool same(const char *p, size_t n, const char *lower)
{
	for (size_t i = 0; i < n; i++)
		if (!lower[i] || token[(unsigned char)p[i]] != (unsigned char)lower[i])
			return false;
	return lower[n] == 0;
}

/* The first byte from p on that ends or spoils a field's value: a control character but HT, or DEL.
 */
static inline char *value_end(char *p, const char *end)
{
	const uint64_t ones = 0x0101010101010101ull, high = 0x8080808080808080ull;

	while (end - p >= 8) {
		uint64_t w, low, del;

		memcpy(&w, p, 8);
		w = le64toh(w);
		low = (w - ones * 0x20) & ~w & high;
		del = w ^ ones * 0x7f;
		del = (del - ones) & ~del & high;
		if (!(low | del)) {
			p += 8;
			continue;
		}
		/* The first one marked is one; those behind it a borrow may have marked. */
		p += __builtin_ctzll(low | del) / 8;
		if (*p != '\t')
			return p;
		p++;
	}
	while (p < end && ((unsigned char)*p >= 0x20 ? *p != 0x7f : *p == '\t'))
		p++;
	return p;
}

/* Decimal digits only; -1: anything else, or more than an int64 holds. */
static inline int64_t parse_length(const char *p, size_t n)
{
	int64_t v = 0;

	if (n == 0 || n > 19)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, p[i] - '0', &v))
			return -1;
	}
	return v;
}

/* Behind a line that ends at `end`: CRLF or, where `lf`, LF alone. 1, 0 more, < 0. */
static inline int parse_end(struct cursor *c, char *end, bool lf)
{
	if (end == c->end)
		return 0;
	if (lf && *end == '\n') {
		c->p = end + 1;
		return 1;
	}
	if (*end != '\r')
		return -CLOSE_BAD_REQUEST;
	if (c->end - end < 2)
		return 0;
	if (end[1] != '\n')
		return -CLOSE_BAD_REQUEST;
	c->p = end + 2;
	return 1;
}

/* One line of the fields; a CGI program's may end with LF alone (`lf`). 2: the empty line; 1: a field;
 * 0 more; < 0. */
static inline int parse_field_as(struct cursor *c, struct field *ret_field, bool lf)
{
	char *from = c->p, *p = c->p, *end;
	unsigned char low;
	int res;

	if (p == c->end)
		return 0;
	if (*p == '\r' || (lf && *p == '\n')) {
		res = parse_end(c, p, lf);
		return res > 0 ? 2 : res;
	}
	while (p < c->end && (low = token[(unsigned char)*p]) != 0)
		*p++ = (char)low;
	if (p == c->end)
		return 0;
	/* A blank before the colon and a folded line (section 5.1, 5.2) end here too. */
	if (*p != ':' || p == from)
		return -CLOSE_BAD_REQUEST;
	ret_field->name = from;
	ret_field->name_len = (uint32_t)(p - from);
	p++;
	while (p < c->end && is_ows(*p))
		p++;
	end = value_end(p, c->end);
	res = parse_end(c, end, lf);
	if (res <= 0)
		return res;
	while (end > p && is_ows(end[-1]))
		end--;
	ret_field->value = p;
	ret_field->value_len = (uint32_t)(end - p);
	return 1;
}

static inline int parse_field(struct cursor *c, struct field *ret_field)
{
	return parse_field_as(c, ret_field, false);
}

/* Does a list of tokens hold this field's name? */
static inline bool list_has(const char *p, size_t n, const struct field *f)
{
	const char *end = p + n;

	while (p < end) {
		const char *from;

		while (p < end && (is_ows(*p) || *p == ','))
			p++;
		from = p;
		while (p < end && token[(unsigned char)*p])
			p++;
		if ((size_t)(p - from) == f->name_len && f->name_len) {
			size_t i = 0;

			while (i < f->name_len &&
				token[(unsigned char)from[i]] == (unsigned char)f->name[i])
				i++;
			if (i == f->name_len)
				return true;
		}
		while (p < end && *p != ',')
			p++;
	}
	return false;
}

#endif
