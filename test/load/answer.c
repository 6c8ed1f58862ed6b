/*
 * answer.c: reads one HTTP/1.1 answer as strictly as a client can, and compares it with what was
 * asked.
 *
 * Called by load.c with all bytes that came since the request. Owns nothing, keeps nothing: the
 * answer is read from its first byte again each time, because nearly all come whole. RFC 9112
 * sections 4, 6.3 and 7.1.
 */
#include "load.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct head {
	size_t len;
	int status;
	bool closes, chunked;
	long long length; /* -1: none was given */
};

static const char *line_end(const char *p, const char *end)
{
	return memmem(p, (size_t)(end - p), "\r\n", 2);
}

static bool field_is(const char *p, const char *eol, const char *name, const char **ret_value)
{
	size_t n = strlen(name);

	if ((size_t)(eol - p) <= n || strncasecmp(p, name, n) != 0 || p[n] != ':')
		return false;
	for (p += n + 1; p < eol && *p == ' '; p++)
		;
	*ret_value = p;
	return true;
}

/* 1: read, 0: more is needed, -1: no head of an answer. */
static int read_head(const char *p, size_t len, struct head *ret)
{
	const char *end = p + len, *begin = p, *eol, *value;
	struct head h = {.length = -1};

	eol = line_end(p, end);
	if (!eol)
		return len > 4096 ? -1 : 0;
	if (eol - p < 13 || memcmp(p, "HTTP/1.1 ", 9) != 0 || p[12] != ' ')
		return -1;
	h.status = (int)strtol(p + 9, NULL, 10);
	for (p = eol + 2; (eol = line_end(p, end)) != NULL && eol != p; p = eol + 2) {
		if (!memchr(p, ':', (size_t)(eol - p)))
			return -1;
		if (field_is(p, eol, "content-length", &value))
			h.length = strtoll(value, NULL, 10);
		else if (field_is(p, eol, "transfer-encoding", &value))
			h.chunked = strncasecmp(value, "chunked\r", 8) == 0;
		else if (field_is(p, eol, "connection", &value))
			h.closes = strncasecmp(value, "close\r", 6) == 0;
	}
	if (!eol)
		return len > 32768 ? -1 : 0;
	h.len = (size_t)(eol + 2 - begin);
	*ret = h;
	return 1;
}

/* The body without its chunks, into out. 1: whole, 0: more is needed, -1: broken; *ret_used: bytes
 * read. */
static int unchunk(const char *p, size_t len, char *out, size_t *ret_len, size_t *ret_used)
{
	const char *end = p + len, *begin = p, *eol;
	size_t n = 0, size;
	char *last;

	while ((eol = line_end(p, end)) != NULL) {
		size = (size_t)strtoull(p, &last, 16);
		if (last != eol || last == p || size > IN_BYTES)
			return -1;
		p = eol + 2;
		if (size + 2 > (size_t)(end - p))
			return 0;
		if (memcmp(p + size, "\r\n", 2) != 0)
			return -1;
		memcpy(out + n, p, size);
		n += size;
		p += size + 2;
		if (size == 0) {
			*ret_len = n;
			*ret_used = (size_t)(p - begin);
			return 1;
		}
	}
	return 0;
}

static bool body_is_asked(const struct conn *c, const char *body, size_t len)
{
	size_t word = strlen(c->ask->word), token = strlen(c->token);

	return len > word + 1 + token && memcmp(body, c->ask->word, word) == 0 &&
	       body[word] == ' ' && memcmp(body + word + 1, c->token, token) == 0 &&
	       (body[word + 1 + token] == '\n' || body[word + 1 + token] == ' ');
}

enum answer answer_read(const struct conn *c, bool at_end, enum fault *ret_fault)
{
	static char plain[IN_BYTES];
	const char *p = c->in, *body;
	size_t left = c->in_len, body_len = 0, used = 0;
	struct head h;
	int r;

	/* Interim answers are passed over. */
	while ((r = read_head(p, left, &h)) == 1 && h.status < 200) {
		p += h.len;
		left -= h.len;
	}
	*ret_fault = FAULT_WRONG;
	if (r < 0)
		return ANSWER_CLOSES;
	if (r == 0)
		return ANSWER_MORE;
	body = p + h.len;
	left -= h.len;
	if (h.chunked) {
		r = unchunk(body, left, plain, &body_len, &used);
		if (r < 0)
			return ANSWER_CLOSES;
		if (r == 0)
			return ANSWER_MORE;
		body = plain;
	} else if (h.length >= 0) {
		if (left < (size_t)h.length)
			return ANSWER_MORE;
		body_len = used = (size_t)h.length;
	} else {
		if (!at_end)
			return ANSWER_MORE;
		body_len = used = left;
	}
	if (used != left) /* nobody asked for more than one answer */
		return ANSWER_CLOSES;
	*ret_fault = h.status != 200                    ? FAULT_STATUS
		     : body_is_asked(c, body, body_len) ? FAULT_NONE
							: FAULT_WRONG;
	return h.closes ? ANSWER_CLOSES : ANSWER_KEEPS;
}
