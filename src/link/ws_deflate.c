/*
 * ws_deflate.c: see ws_deflate.h. Two zlib streams without header or checksum, begun anew for each
 * message. Called in one thread.
 */
#include "link/ws_deflate.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

enum { LEVEL = 3, MEMORY = 8, FIRST = 4096 };

/* What ends each message and is not sent (RFC 7692 section 7.2.1). */
static const unsigned char tail[4] = {0, 0, 0xff, 0xff};

struct ws_deflate {
	z_stream out, in;
	unsigned bits; /* of `out`; 0: not begun yet */
	bool can_read; /* `in` was begun */
};

struct ws_deflate *ws_deflate_new(void)
{
	return calloc(1, sizeof(struct ws_deflate));
}

void ws_deflate_free(struct ws_deflate *z)
{
	if (!z)
		return;
	if (z->bits)
		(void)deflateEnd(&z->out);
	if (z->can_read)
		(void)inflateEnd(&z->in);
	free(z);
}

/* ---- the offer ---- */

struct words {
	const char *p, *end;
};

static void skip_space(struct words *w)
{
	while (w->p < w->end && (*w->p == ' ' || *w->p == '\t'))
		w->p++;
}

static bool take(struct words *w, char c)
{
	skip_space(w);
	if (w->p == w->end || *w->p != c)
		return false;
	w->p++;
	return true;
}

/* RFC 9110 section 5.6.2. */
static bool is_token(unsigned char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

struct text {
	const char *p;
	size_t n;
};

static bool take_token(struct words *w, struct text *ret)
{
	skip_space(w);
	ret->p = w->p;
	while (w->p < w->end && is_token((unsigned char)*w->p))
		w->p++;
	ret->n = (size_t)(w->p - ret->p);
	return ret->n > 0;
}

/* A quoted value must be a token when its quotes are gone (RFC 6455 section 9.1), so nothing in it
 * is escaped. */
static bool take_value(struct words *w, struct text *ret)
{
	if (!take(w, '"'))
		return take_token(w, ret);
	return w->p < w->end && is_token((unsigned char)*w->p) && take_token(w, ret) &&
	       w->p < w->end && *w->p++ == '"';
}

static bool same(struct text t, const char *name)
{
	return t.n == strlen(name) && strncasecmp(t.p, name, t.n) == 0;
}

/* 8 to 15, without a zero before it; 0: it is neither. */
static unsigned bits_of(struct text t)
{
	if (t.n == 1 && (t.p[0] == '8' || t.p[0] == '9'))
		return (unsigned)(t.p[0] - '0');
	if (t.n == 2 && t.p[0] == '1' && t.p[1] >= '0' && t.p[1] <= '5')
		return 10 + (unsigned)(t.p[1] - '0');
	return 0;
}

struct offer {
	bool ours;     /* permessage-deflate, and nothing in it that cannot be kept */
	unsigned bits; /* server_max_window_bits; 0: none was said */
	unsigned seen; /* a bit for each parameter: none stands twice */
};

/* Section 7.1. */
static void take_parameter(struct offer *o, struct text name, const struct text *value)
{
	static const char *const names[] = {"server_no_context_takeover",
		"client_no_context_takeover", "server_max_window_bits", "client_max_window_bits"};
	unsigned i = 0, bits = value ? bits_of(*value) : 0;

	while (i < 4 && !same(name, names[i]))
		i++;
	if (i == 4 || o->seen & 1u << i || (i < 2 && value) || (i == 2 && bits < WS_WINDOW_MIN) ||
		(i == 3 && value && !bits)) {
		o->ours = false;
		return;
	}
	o->seen |= 1u << i;
	if (i == 2)
		o->bits = bits;
}

/* False: what stands there is no extension. */
static bool take_offer(struct words *w, struct offer *ret)
{
	struct text name, value;

	*ret = (struct offer){0};
	if (!take_token(w, &name))
		return false;
	ret->ours = same(name, "permessage-deflate");
	while (take(w, ';')) {
		bool has = false;

		if (!take_token(w, &name))
			return false;
		if (take(w, '=')) {
			has = true;
			if (!take_value(w, &value))
				return false;
		}
		take_parameter(ret, name, has ? &value : NULL);
	}
	return true;
}

unsigned ws_deflate_agree(const char *offer, size_t n, char to[static WS_AGREED_MAX])
{
	struct words w = {offer, offer + n};
	struct offer first = {0}, o;

	for (unsigned i = 0; i < WS_OFFERS_MAX; i++) {
		if (!take_offer(&w, &o))
			return 0;
		if (o.ours && !first.ours)
			first = o;
		if (take(&w, ','))
			continue;
		skip_space(&w);
		if (w.p != w.end || !first.ours)
			return 0;
		n = (size_t)snprintf(to, WS_AGREED_MAX,
			"permessage-deflate; server_no_context_takeover; "
			"client_no_context_takeover");
		if (first.bits)
			snprintf(to + n, WS_AGREED_MAX - n, "; server_max_window_bits=%u",
				first.bits);
		return first.bits ? first.bits : WS_WINDOW_MAX;
	}
	return 0;
}

/* ---- messages ---- */

static int begin_out(struct ws_deflate *z, unsigned bits)
{
	if (z->bits == bits)
		return deflateReset(&z->out) == Z_OK ? 0 : -ENOMEM;
	if (z->bits)
		(void)deflateEnd(&z->out);
	z->bits = 0;
	memset(&z->out, 0, sizeof(z->out));
	if (deflateInit2(&z->out, LEVEL, Z_DEFLATED, -(int)bits, MEMORY, Z_DEFAULT_STRATEGY) !=
		Z_OK)
		return -ENOMEM;
	z->bits = bits;
	return 0;
}

int ws_deflate_message(
	struct ws_deflate *z, unsigned bits, const char *p, size_t n, char **ret, size_t *ret_n)
{
	char *out;
	int err, res;

	if (n < WS_DEFLATE_SMALL || n > UINT_MAX / 2)
		return -ENOSPC;
	err = begin_out(z, bits);
	if (err)
		return err;
	/* What does not fit into less than it was is not worth it. */
	out = malloc(n);
	if (!out)
		return -ENOMEM;
	z->out.next_in = (unsigned char *)p;
	z->out.avail_in = (unsigned)n;
	z->out.next_out = (unsigned char *)out;
	z->out.avail_out = (unsigned)n;
	res = deflate(&z->out, Z_SYNC_FLUSH);
	n -= z->out.avail_out;
	/* With no room left it is not known to be all, whatever its last bytes look like. */
	if (res != Z_OK || !z->out.avail_out || n <= sizeof(tail) ||
		memcmp(out + n - sizeof(tail), tail, sizeof(tail)) != 0) {
		free(out);
		return -ENOSPC;
	}
	*ret = out;
	*ret_n = n - sizeof(tail);
	return 0;
}

/* What was unfolded. Memory grows with what comes out. */
struct unfolded {
	char *p;
	size_t len, cap, max;
};

static int more_room(struct unfolded *u)
{
	/* One byte more than may be, by which it is seen to be too much. */
	size_t cap = u->cap ? u->cap * 2 : FIRST;
	char *p;

	if (u->len > u->max)
		return -EMSGSIZE;
	if (u->len < u->cap)
		return 0;
	if (cap > u->max + 1)
		cap = u->max + 1;
	p = realloc(u->p, cap);
	if (!p)
		return -ENOMEM;
	u->p = p;
	u->cap = cap;
	return 0;
}

/* All of p. A block that says it is the last one may be followed by others (section 7.2.3.4). */
static int unfold(z_stream *s, const void *p, size_t n, struct unfolded *u)
{
	s->next_in = (unsigned char *)p;
	s->avail_in = (unsigned)n;
	for (;;) {
		int err = more_room(u), res;
		size_t room;

		if (err)
			return err;
		room = u->cap - u->len < UINT_MAX / 2 ? u->cap - u->len : UINT_MAX / 2;
		s->next_out = (unsigned char *)u->p + u->len;
		s->avail_out = (unsigned)room;
		res = inflate(s, Z_SYNC_FLUSH);
		u->len += room - s->avail_out;
		if (res == Z_MEM_ERROR)
			return -ENOMEM;
		if (res != Z_OK && res != Z_STREAM_END && res != Z_BUF_ERROR)
			return -EBADMSG;
		if (res == Z_STREAM_END && inflateReset(s) != Z_OK)
			return -EBADMSG;
		if (!s->avail_in && s->avail_out)
			return 0;
	}
}

int ws_inflate_message(
	struct ws_deflate *z, const char *p, size_t n, size_t max, char **ret, size_t *ret_n)
{
	struct unfolded u = {.max = max};
	int err;

	if (n > UINT_MAX / 2 || max > SIZE_MAX / 4)
		return -EMSGSIZE;
	if (!z->can_read && inflateInit2(&z->in, -WS_WINDOW_MAX) != Z_OK)
		return -ENOMEM;
	z->can_read = true;
	if (inflateReset(&z->in) != Z_OK)
		return -EBADMSG;
	err = unfold(&z->in, p, n, &u);
	if (!err)
		err = unfold(&z->in, tail, sizeof(tail), &u);
	/* Between two blocks: else it was cut within one, and the tail has been taken for its
	 * bytes. */
	if (!err && !(z->in.data_type & 128))
		err = -EBADMSG;
	if (err) {
		free(u.p);
		return err;
	}
	*ret = u.p;
	*ret_n = u.len;
	return 0;
}
