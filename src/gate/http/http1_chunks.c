/*
 * http1_chunks.c: a chunked body as it comes, byte by byte if need be (RFC 9112 section 7.1).
 * Called by http1_body.c and the fuzz targets. Owns nothing. Trailer fields are checked like fields
 * and given out as they are.
 *
 * Stricter than the grammar: no blank around a size or before an extension (BWS is for senders to
 * omit), a size of at most 16 digits, and extensions bounded for each chunk and for the whole body.
 */
#include "http1_parse.h"

enum {
	K_SIZE, /* at a chunk's size */
	K_EXT,  /* in its extensions */
	K_SIZE_LF,
	K_DATA,
	K_DATA_CR,
	K_DATA_LF,
	K_TRAILER, /* at the beginning of a line behind the last chunk */
	K_TRAILER_NAME,
	K_TRAILER_VALUE,
	K_TRAILER_LF,
	K_END_LF,
	K_DONE
};

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

static bool is_token(char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	for (const char *p = "!#$%&'*+-.^_`|~"; *p; p++)
		if (*p == c)
			return true;
	return false;
}

static bool is_text(char c)
{
	return c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f);
}

/* In the line of a chunk's size. False: malformed. */
static bool step_size(struct http1_chunks *k, char c)
{
	int v = hex(c);

	switch (k->state) {
	case K_SIZE:
		if (v >= 0) {
			/* 15 digits hold every size that can come true. */
			if (++k->digits > 16 || k->left >> 56)
				return false;
			k->left = k->left * 16 + (unsigned)v;
			return true;
		}
		if (!k->digits)
			return false;
		if (c == ';') {
			k->state = K_EXT;
			k->ext = 0;
			return true;
		}
		k->state = K_SIZE_LF;
		return c == '\r';
	case K_EXT:
		if (c == '\r') {
			k->state = K_SIZE_LF;
			return true;
		}
		return is_text(c) && ++k->ext <= HTTP1_EXT_MAX && ++k->ext_all <= HTTP1_EXT_ALL_MAX;
	default:
		if (c != '\n')
			return false;
		k->state = k->left ? K_DATA : K_TRAILER;
		return true;
	}
}

static bool step_trailer(struct http1_chunks *k, char c)
{
	if (++k->trailer > HTTP1_TRAILER_MAX)
		return false;
	switch (k->state) {
	case K_TRAILER:
		if (c == '\r') {
			k->state = K_END_LF;
			return true;
		}
		k->state = K_TRAILER_NAME;
		return is_token(c);
	case K_TRAILER_NAME:
		if (c == ':') {
			k->state = K_TRAILER_VALUE;
			return true;
		}
		return is_token(c);
	case K_TRAILER_VALUE:
		if (c == '\r') {
			k->state = K_TRAILER_LF;
			return true;
		}
		return is_text(c);
	case K_TRAILER_LF:
		k->state = K_TRAILER;
		return c == '\n';
	default:
		k->state = K_DONE;
		return c == '\n';
	}
}

static bool step(struct http1_chunks *k, char c)
{
	switch (k->state) {
	case K_SIZE:
	case K_EXT:
	case K_SIZE_LF:
		return step_size(k, c);
	case K_DATA_CR:
		k->state = K_DATA_LF;
		return c == '\r';
	case K_DATA_LF:
		k->state = K_SIZE;
		k->digits = 0;
		return c == '\n';
	default:
		return step_trailer(k, c);
	}
}

int64_t http1_chunks_take(
	struct http1_chunks *k, const char *p, size_t n, const char **ret_data, size_t *ret_len)
{
	size_t at = 0, line = 0;
	bool lines = false;

	*ret_len = 0;
	k->in_trailer = false;
	while (at < n && k->state != K_DONE) {
		if (!lines && ((k->state == K_TRAILER && p[at] != '\r') ||
				      (k->state > K_TRAILER && k->state < K_END_LF))) {
			lines = true;
			line = at;
		}
		if (k->state == K_DATA) {
			size_t len = n - at < k->left ? n - at : (size_t)k->left;

			*ret_data = p + at;
			*ret_len = len;
			k->left -= len;
			if (!k->left)
				k->state = K_DATA_CR;
			return (int64_t)(at + len);
		}
		if (!step(k, p[at++]))
			return -CLOSE_BAD_CHUNK;
		/* The empty line that ends the section is not given out. */
		if (lines && k->state == K_END_LF) {
			at--;
			k->state = K_TRAILER;
			k->trailer--;
			break;
		}
	}
	if (lines) {
		*ret_data = p + line;
		*ret_len = at - line;
		k->in_trailer = true;
	}
	return (int64_t)at;
}

bool http1_chunks_done(const struct http1_chunks *k)
{
	return k->state == K_DONE;
}
