/*
 * up_uwsgi.c: the uwsgi protocol as a backend's (uWSGI's own page "The uwsgi Protocol"): the codec's row.
 *
 * A question is one packet: modifier 0 (a WSGI request), the size of the variables in 16 bits, another
 * modifier 0, then each variable's name and value behind its length in 16 bits, the least byte first; the
 * body follows bare, so that its length must be known. The answer is HTTP's and is read by HTTP's codec;
 * one connection serves one question.
 *
 * Called by up_call.c through up_codecs[] and by the fuzz target. Owns nothing.
 */
#include "up_params.h"

#include <stddef.h>

enum { HEAD_BYTES = 4, VARIABLES_MAX = 65535 };

static void put_u16(struct buf *b, size_t n)
{
	buf_putc(b, (char)(n & 0xff));
	buf_putc(b, (char)(n >> 8 & 0xff));
}

static void pair(struct buf *b, void *arg, const char *name, size_t name_len, size_t value_len)
{
	(void)arg;
	put_u16(b, name_len);
	buf_put(b, name, name_len);
	put_u16(b, value_len);
}

static int head(const struct up_ask *a, struct buf *b)
{
	size_t begin = b->len, n;
	int res;

	buf_put(b, "\0\0\0\0", HEAD_BYTES);
	res = up_params_put(a, b, pair, NULL);
	if (res < 0 || b->error)
		return res;
	/* A value too long for its 16 bits makes the whole too long as well. */
	n = b->len - begin - HEAD_BYTES;
	if (n > VARIABLES_MAX)
		return -CLOSE_HEAD_TOO_LARGE;
	b->p[begin + 1] = (char)(n & 0xff);
	b->p[begin + 2] = (char)(n >> 8);
	return 0;
}

static void init(struct up_answer *x, const struct up_ask *a, struct arena *arena)
{
	up_http_codec.init(x, a, arena);
	x->upgrade = NULL;
}

static int64_t decode(struct up_answer *x, char *p, size_t n, struct up_piece *ret, struct up_head *h)
{
	int64_t used = up_http_codec.decode(x, p, n, ret, h);

	x->keep = false;
	return used;
}

static int eof(struct up_answer *x)
{
	return up_http_codec.eof(x);
}

const struct up_codec up_uwsgi_codec = {
	.name = "uwsgi",
	.needs_length = true,
	.head = head,
	.init = init,
	.decode = decode,
	.eof = eof,
};
