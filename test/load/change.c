/*
 * change.c: changes requests of the corpus by chance, at the places where readers differ: line
 * ends, blanks, names, lengths, the end of a message.
 *
 * Called by mutate.c. Owns the corpus that corpus_load() read. Never looks at what a change means.
 */
#include "change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[] = {"\r\n", "\n", "\r", "\r\n\r\n", " ", "\t", ":", ",", ";", "\"",
	"=", "_", "+", "-", "0x", "0", "00", "5", "a", "A", "ffffffffffffffff",
	"18446744073709551616", "4294967296", "%00", "%0d%0a", "%2f", "%2F..%2f", "/../", "//", "?",
	"#", "@", "\\", "*", "\x0b", "\x0c", "\x1a", "\x7f", "\x80", "\x85", "\xa0", "\xff",
	"\xc2\xa0", "chunked", "identity", "gzip", "Transfer-Encoding: chunked\r\n",
	"Transfer-Encoding: gzip, chunked\r\n", "transfer-encoding:chunked\n",
	"Transfer-Encoding : chunked\r\n", "Transfer_Encoding: chunked\r\n",
	"Content-Length: 5\r\n", "Content-Length: 0\r\n", "Content-Length: 5, 5\r\n",
	"content-length:6\r\n", "Content_Length: 3\r\n", "Host: x\r\n", "Host: x:80\r\n",
	"Host:\r\n", "Connection: close\r\n", "Connection: keep-alive, Host\r\n",
	"Connection: Content-Length\r\n", "Upgrade: websocket\r\n", "Connection: upgrade\r\n",
	"Expect: 100-continue\r\n", "TE: trailers\r\n", "Trailer: Host\r\n", "HTTP/1.1", "HTTP/1.0",
	"HTTP/0.9", "HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "0\r\n\r\n", "0\r\n",
	"5\r\n12345\r\n", "1;a=b\r\nx\r\n", ";\n", "GET /in HTTP/1.1\r\nHost: h\r\n\r\n",
	"GET /in HTTP/1.1\r\nX: ", " GET", "GET http://h/ HTTP/1.1\r\n", "POST", "HEAD",
	"CONNECT h:80", "X-Forwarded-For: 1.2.3.4\r\n", "\r\n ", "\r\n\t", "X: "};

static uint64_t next(uint64_t *s)
{
	uint64_t z = *s += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static size_t below(uint64_t *s, size_t n)
{
	return n ? (size_t)(next(s) % n) : 0;
}

int corpus_load(struct corpus *c, const char *path)
{
	FILE *f = fopen(path, "rb");
	long size;

	if (!f || fseek(f, 0, SEEK_END) < 0 || (size = ftell(f)) < 4)
		return -1;
	rewind(f);
	c->bytes = malloc((size_t)size);
	c->row = calloc((size_t)size / 4, sizeof(*c->row));
	c->len = calloc((size_t)size / 4, sizeof(*c->len));
	if (!c->bytes || !c->row || !c->len || fread(c->bytes, 1, (size_t)size, f) != (size_t)size)
		return -1;
	(void)fclose(f);
	for (const char *p = c->bytes, *end = p + size; end - p >= 4;) {
		uint32_t n;

		memcpy(&n, p, 4);
		p += 4;
		if (n > (size_t)(end - p))
			return -1;
		if (n < CHANGED_MAX / 4) { /* the longest are about bounds, which others test */
			c->row[c->n] = p;
			c->len[c->n++] = n;
		}
		p += n;
	}
	return c->n ? 0 : -1;
}

static size_t put(char *out, size_t n, size_t at, const char *p, size_t len)
{
	if (n + len > CHANGED_MAX / 2)
		return n;
	memmove(out + at + len, out + at, n - at);
	memcpy(out + at, p, len);
	return n + len;
}

static size_t cut(char *out, size_t n, size_t at, size_t len)
{
	len = len < n - at ? len : n - at;
	memmove(out + at, out + at + len, n - at - len);
	return n - len;
}

/* A place where something begins or ends, more often than not. */
static size_t place(const char *out, size_t n, uint64_t *s)
{
	size_t at = below(s, n + 1);

	if (next(s) % 4 == 0)
		return at;
	while (at < n && !strchr("\r\n :,;", out[at]))
		at++;
	return at + (at < n && next(s) % 2);
}

static void line_of(const char *out, size_t n, size_t at, size_t *ret_from, size_t *ret_len)
{
	size_t from = at, to = at;

	while (from > 0 && out[from - 1] != '\n')
		from--;
	while (to < n && out[to] != '\n')
		to++;
	*ret_from = from;
	*ret_len = (to < n ? to + 1 : to) - from;
}

static size_t with_line(char *out, size_t n, uint64_t *s)
{
	char line[512];
	size_t from, len;

	line_of(out, n, below(s, n), &from, &len);
	if (len > sizeof(line))
		return n;
	memcpy(line, out + from, len);
	switch (next(s) % 3) {
	case 0: /* twice */
		return put(out, n, from, line, len);
	case 1: /* gone */
		return cut(out, n, from, len);
	default: /* elsewhere */
		n = cut(out, n, from, len);
		line_of(out, n, below(s, n), &from, &(size_t){0});
		return put(out, n, from, line, len);
	}
}

static size_t one_change(const struct corpus *c, char *out, size_t n, uint64_t *s)
{
	const char *word = words[below(s, sizeof(words) / sizeof(words[0]))];
	size_t at = place(out, n, s), row;

	switch (next(s) % 8) {
	case 0:
	case 1:
		return put(out, n, at, word, strlen(word));
	case 2:
		n = cut(out, n, at, 1 + below(s, 4));
		return put(out, n, at < n ? at : n, word, strlen(word));
	case 3:
		return cut(out, n, at, 1 + below(s, 8));
	case 4:
		if (at < n)
			out[at] = (char)next(s);
		return n;
	case 5:
		if (at < n)
			out[at] ^= next(s) % 2 ? 0x20 : (char)(1 << next(s) % 8);
		return n;
	case 6:
		return with_line(out, n, s);
	default: /* another request's end behind this one's begin */
		row = below(s, c->n);
		at = below(s, c->len[row]);
		n = cut(out, n, place(out, n, s), n);
		return put(out, n, n, c->row[row] + at, c->len[row] - at);
	}
}

size_t change_make(const struct corpus *c, uint64_t seed, char out[static CHANGED_MAX])
{
	uint64_t s = seed * 0xd1342543de82ef95;
	size_t row = below(&s, c->n), n = c->len[row];

	memcpy(out, c->row[row], n);
	if (next(&s) % 8 == 0) {
		row = below(&s, c->n);
		n = put(out, n, n, c->row[row], c->len[row]);
	}
	for (uint64_t k = 1 + below(&s, 1 + below(&s, 4)); k > 0; k--)
		n = one_change(c, out, n, &s);
	return n;
}
