/*
 * strict.c: reads a request in the one canonical form that stead hands on.
 *
 * Called by mutate.c with the bytes that a backend got. Owns nothing. What RFC 9110 and 9112 allow
 * besides (other line ends, blanks, letters of names, leading zeros, two equal lengths) is wrong
 * here: two readers could differ about it. It is the same form as in test/scenario/recorder.py,
 * read by another program.
 */
#include "strict.h"

#include <string.h>

struct fields {
	unsigned hosts, lengths, codings, upgrades, tes;
	bool connection_upgrade, connection_te, hop;
	unsigned long long length;
};

static bool is_token(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* The line's length without CRLF; -1: not whole yet, -2: a line end of another kind or a control.
 */
static long line_at(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c == '\r')
			return i + 1 == n ? -1 : p[i + 1] == '\n' ? (long)i : -2;
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return -2;
	}
	return -1;
}

static const char *request_line(const char *p, long n, bool *ret_head)
{
	static const char tail[] = " HTTP/1.1";
	const char *end = p + n - (sizeof(tail) - 1), *q = p;

	if (n < (long)sizeof(tail) + 2 || memcmp(end, tail, sizeof(tail) - 1) != 0)
		return "a request line that does not end with the version";
	while (q < end && is_token((unsigned char)*q))
		q++;
	if (q == p || q == end || *q != ' ')
		return "a method that is no token";
	*ret_head = q - p == 4 && memcmp(p, "HEAD", 4) == 0;
	if (++q == end || (*q != '/' && !(end - q == 1 && *q == '*')))
		return "a target in another form";
	for (; q < end; q++)
		if ((unsigned char)*q <= ' ' || (unsigned char)*q >= 0x7f)
			return "a target with other bytes than visible ones";
	return NULL;
}

static bool is(const char *p, size_t n, const char *text)
{
	return n == strlen(text) && memcmp(p, text, n) == 0;
}

static const char *length_value(const char *v, size_t n, unsigned long long *ret)
{
	*ret = 0;
	if (n == 0 || n > 18 || (v[0] == '0' && n > 1))
		return "a length in another form";
	for (size_t i = 0; i < n; i++) {
		if (v[i] < '0' || v[i] > '9')
			return "a length in another form";
		*ret = *ret * 10 + (unsigned)(v[i] - '0');
	}
	return NULL;
}

static const char *meaning(const char *name, size_t n, const char *v, size_t v_n, struct fields *f)
{
	if (is(name, n, "host")) {
		f->hosts++;
	} else if (is(name, n, "content-length")) {
		f->lengths++;
		return length_value(v, v_n, &f->length);
	} else if (is(name, n, "transfer-encoding")) {
		f->codings++;
		return is(v, v_n, "chunked") ? NULL : "another coding than chunked";
	} else if (is(name, n, "upgrade")) {
		f->upgrades++;
	} else if (is(name, n, "te")) {
		f->tes++;
	} else if (is(name, n, "connection")) {
		f->connection_upgrade |= is(v, v_n, "upgrade");
		f->connection_te |= is(v, v_n, "TE") || is(v, v_n, "te");
		f->hop |= !f->connection_upgrade && !f->connection_te;
	} else if (is(name, n, "keep-alive") || is(name, n, "proxy-connection") ||
		   is(name, n, "expect")) {
		f->hop = true;
	}
	return NULL;
}

static const char *field_line(const char *p, long n, struct fields *f)
{
	const char *end = p + n, *q = p, *v;

	while (q < end && is_token((unsigned char)*q) && *q != '_' && !(*q >= 'A' && *q <= 'Z'))
		q++;
	if (q == p || end - q < 2 || q[0] != ':' || q[1] != ' ')
		return "a field that is not `name: value` in small letters";
	v = q + 2;
	if (v < end && (*v == ' ' || *v == '\t' || end[-1] == ' ' || end[-1] == '\t'))
		return "blanks around a value";
	return f ? meaning(p, (size_t)(q - p), v, (size_t)(end - v), f) : NULL;
}

/* Lines of fields up to the empty one. 1, 0, -1 as strict_read(). */
static int fields_at(const char *p, size_t n, size_t *at, struct fields *f, const char **ret_why)
{
	for (;;) {
		long len = line_at(p + *at, n - *at);

		if (len < 0) {
			*ret_why = "a line end of another kind, or a control";
			return len == -1 ? 0 : -1;
		}
		if (len == 0) {
			*at += 2;
			return 1;
		}
		*ret_why = field_line(p + *at, len, f);
		if (*ret_why)
			return -1;
		*at += (size_t)len + 2;
	}
}

static int chunks_at(const char *p, size_t n, size_t *at, const char **ret_why)
{
	static const char digits[] = "0123456789abcdef";

	for (;;) {
		long len = line_at(p + *at, n - *at);
		unsigned long long size = 0;

		*ret_why = "a chunk's size in another form";
		if (len < 0)
			return len == -1 ? 0 : -1;
		if (len == 0 || len > 15)
			return -1;
		for (long i = 0; i < len; i++) {
			const char *digit = strchr(digits, p[*at + (size_t)i]);

			if (!digit || !*digit)
				return -1;
			size = size * 16 + (unsigned long long)(digit - digits);
		}
		*at += (size_t)len + 2;
		if (size == 0)
			return fields_at(p, n, at, NULL, ret_why);
		if (size > n - *at || n - *at - size < 2)
			return 0;
		*ret_why = "no CRLF behind a chunk";
		if (memcmp(p + *at + size, "\r\n", 2) != 0)
			return -1;
		*at += (size_t)size + 2;
	}
}

static const char *wrong_together(const struct fields *f)
{
	if (f->hosts != 1)
		return "not one host";
	if (f->lengths + f->codings > 1)
		return "two lengths";
	if (f->upgrades > 1 || f->upgrades > f->connection_upgrade || f->tes > f->connection_te)
		return "upgrade or te that connection does not name";
	return f->hop ? "a field that concerns one connection only" : NULL;
}

int strict_read(const char *p, size_t n, struct strict *ret)
{
	struct fields f = {0};
	long len = line_at(p, n);
	size_t at;
	int r;

	ret->why = "a line end of another kind, or a control";
	if (len < 0)
		return len == -1 ? 0 : -1;
	ret->why = request_line(p, len, &ret->head);
	if (ret->why)
		return -1;
	at = (size_t)len + 2;
	r = fields_at(p, n, &at, &f, &ret->why);
	if (r <= 0)
		return r;
	ret->why = wrong_together(&f);
	if (ret->why)
		return -1;
	if (f.codings) {
		r = chunks_at(p, n, &at, &ret->why);
		if (r <= 0)
			return r;
	} else if (f.length > n - at) {
		return 0;
	} else {
		at += (size_t)f.length;
	}
	ret->used = at;
	return 1;
}
