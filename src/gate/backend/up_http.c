/*
 * up_http.c: HTTP/1.1 as a backend's protocol (RFC 9112): the codec's row.
 *
 * Called by up_call.c through up_codecs[] and by the fuzz target. Owns nothing but what it keeps of a
 * head that comes in pieces, in the call's arena. Writes one form only: one Host, one Content-Length
 * or chunked, no field of the connection but those of an upgrade and TE.
 */
#include "up_codec.h"
#include "up_parse.h"

#include "lib/must.h"

#include <string.h>
#include <strings.h>

enum { LINE_BYTES = 32 }; /* of the first two lines, beside method, target and host */

enum state { S_HEAD = 0, S_LENGTH, S_CHUNKED, S_CLOSE, S_TRAILERS, S_WHOLE, S_TUNNEL, S_ENDED };

#define PUT(b, literal) buf_put(b, literal, sizeof(literal) - 1)

static bool expects_body(const struct up_ask *a)
{
	return a->method_id == METHOD_POST || a->method_id == METHOD_PUT || a->method_id == METHOD_PATCH;
}

static char *add(char *to, const char *p, size_t n)
{
	memcpy(to, p, n);
	return to + n;
}
#define ADD(to, literal) add(to, literal, sizeof(literal) - 1)

/* The request's line and the fields: many small pieces, so room for all of them is asked for once. */
static void put_fields(const struct up_ask *a, struct buf *b)
{
	size_t n = (size_t)a->method_len + a->target_len + a->host_len + LINE_BYTES;
	char *from, *to;

	for (unsigned i = 0; i < a->nfields; i++)
		n += (size_t)a->fields[i].name_len + a->fields[i].value_len + 4;
	from = to = buf_room(b, n);
	if (!from)
		return;
	to = add(to, a->method, a->method_len);
	*to++ = ' ';
	to = add(to, a->target, a->target_len);
	to = ADD(to, " HTTP/1.1\r\nhost: ");
	to = add(to, a->host, a->host_len);
	to = ADD(to, "\r\n");
	for (unsigned i = 0; i < a->nfields; i++) {
		const struct field *f = &a->fields[i];

		to = add(to, f->name, f->name_len);
		to = ADD(to, ": ");
		to = add(to, f->value, f->value_len);
		to = ADD(to, "\r\n");
	}
	must((size_t)(to - from) <= n);
	buf_grew(b, (size_t)(to - from));
}

static int put_head(const struct up_ask *a, struct buf *b)
{
	put_fields(a, b);
	if (a->upgrade) {
		PUT(b, "connection: upgrade\r\nupgrade: ");
		buf_put(b, a->upgrade, a->upgrade_len);
		PUT(b, "\r\n");
	} else if (a->trailers) {
		PUT(b, "connection: te\r\nte: trailers\r\n");
	}
	if (a->content_length < 0) {
		PUT(b, "transfer-encoding: chunked\r\n");
	} else if (a->content_length > 0 || expects_body(a)) {
		PUT(b, "content-length: ");
		buf_putu(b, (uint64_t)a->content_length);
		PUT(b, "\r\n");
	}
	PUT(b, "\r\n");
	return 0;
}

static void frame(const struct up_ask *a, size_t n, struct up_frame *ret)
{
	static const char digits[] = "0123456789abcdef";
	int shift = 28;

	*ret = (struct up_frame){.take = n};
	if (a->content_length >= 0)
		return;
	while (shift > 0 && !(n >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		ret->pre[ret->pre_len++] = digits[n >> shift & 15];
	ret->pre[ret->pre_len++] = '\r';
	ret->pre[ret->pre_len++] = '\n';
	memcpy(ret->post, "\r\n", 2);
	ret->post_len = 2;
}

static void finish(const struct up_ask *a, const struct field *trailers, unsigned n, struct buf *b)
{
	if (a->content_length >= 0)
		return;
	PUT(b, "0\r\n");
	for (unsigned i = 0; i < n; i++) {
		buf_put(b, trailers[i].name, trailers[i].name_len);
		PUT(b, ": ");
		buf_put(b, trailers[i].value, trailers[i].value_len);
		PUT(b, "\r\n");
	}
	PUT(b, "\r\n");
}

static void init(struct up_answer *x, const struct up_ask *a, struct arena *arena)
{
	x->arena = arena;
	x->to_head = a->method_id == METHOD_HEAD;
	x->upgrade = a->upgrade;
	x->upgrade_len = a->upgrade_len;
}

bool up_answer_keep(struct up_answer *x, const char *p, size_t n)
{
	size_t cap = x->head_cap ? x->head_cap : 2048;

	if (x->head_len + n > x->head_cap) {
		char *more;

		while (cap < x->head_len + n)
			cap *= 2;
		more = arena_alloc(x->arena, cap);
		if (!more)
			return false;
		if (x->head_len)
			memcpy(more, x->head, x->head_len);
		x->head = more;
		x->head_cap = (uint32_t)cap;
	}
	memcpy(x->head + x->head_len, p, n);
	x->head_len += (uint32_t)n;
	return true;
}

/* The head stands at p, whole. */
static int64_t got_head(struct up_answer *x, char *p, size_t n, struct up_piece *ret, struct up_head *h)
{
	struct up_parsed said;
	int res = up_parse_head(p, n, x->to_head, h, &said);

	if (res <= 0)
		return res;
	if (h->status < 200 && h->status != 101) {
		if (++x->interims > UP_INTERIM_MAX)
			return -CLOSE_UP_GARBAGE;
		ret->kind = UP_PIECE_INTERIM;
		return res;
	}
	/* Never a protocol that the client did not ask for (RFC 9110 section 7.8). */
	if (h->status == 101 && (!x->upgrade || h->upgrade_len != x->upgrade_len ||
					strncasecmp(h->upgrade, x->upgrade, x->upgrade_len) != 0))
		return -CLOSE_UP_GARBAGE;
	ret->kind = UP_PIECE_HEAD;
	x->keep = said.keep && h->status != 101;
	x->left = said.framing == UP_FRAMED_LENGTH ? (uint64_t)h->content_length : 0;
	x->state = h->status == 101                      ? S_TUNNEL
		   : said.framing == UP_FRAMED_LENGTH    ? S_LENGTH
		   : said.framing == UP_FRAMED_CHUNKED   ? S_CHUNKED
		   : said.framing == UP_FRAMED_CLOSE     ? S_CLOSE
							 : S_WHOLE;
	x->last = x->state == S_WHOLE;
	return res;
}

static int64_t decode_head(struct up_answer *x, char *p, size_t n, struct up_piece *ret, struct up_head *h)
{
	size_t had = x->head_len;
	int64_t res;
	int end;

	if (!had) {
		res = n ? got_head(x, p, n, ret, h) : 0;
		if (res || !n)
			return res;
		if (!up_answer_keep(x, p, n))
			return -CLOSE_NO_MEMORY;
		end = http1_scan_head(x->head, x->head_len, UP_HEAD_MAX, &x->head_scanned);
		return end ? -CLOSE_UP_GARBAGE : (int64_t)n;
	}
	/* Only what belongs to the head is taken, so that what follows is read where it lies. */
	n = min_of(n, (size_t)UP_HEAD_MAX + 1 - had);
	if (!up_answer_keep(x, p, n))
		return -CLOSE_NO_MEMORY;
	end = http1_scan_head(x->head, x->head_len, UP_HEAD_MAX, &x->head_scanned);
	if (end < 0)
		return -CLOSE_UP_GARBAGE;
	if (end == 0)
		return (int64_t)n;
	res = got_head(x, x->head, (size_t)end, ret, h);
	if (res != end)
		return res < 0 ? res : -CLOSE_UP_GARBAGE;
	x->head = NULL;
	x->head_len = x->head_cap = 0;
	x->head_scanned = 0;
	return end - (int64_t)had;
}

static int64_t decode_chunked(struct up_answer *x, char *p, size_t n, struct up_piece *ret)
{
	static const char ending[] = "\r\n0\r\n\r\n";
	const char *data;
	size_t len, at = 0;

	while (at < n && !http1_chunks_done(&x->u.chunks)) {
		int64_t used = http1_chunks_take(&x->u.chunks, p + at, n - at, &data, &len);

		if (used < 0)
			return -CLOSE_UP_GARBAGE;
		at += (size_t)used;
		if (len && x->u.chunks.in_trailer) {
			if (!up_answer_keep(x, data, len))
				return -CLOSE_NO_MEMORY;
		} else if (len) {
			*ret = (struct up_piece){UP_PIECE_BODY, data, len};
			/* The usual end: then this piece can leave together with our own end. */
			if (n - at == sizeof(ending) - 1 && !memcmp(p + at, ending, n - at)) {
				x->last = true;
				x->state = S_WHOLE;
				return (int64_t)n;
			}
			break;
		}
	}
	if (http1_chunks_done(&x->u.chunks))
		x->state = x->head_len ? S_TRAILERS : S_WHOLE;
	return (int64_t)at;
}

static int64_t decode_trailers(struct up_answer *x, struct up_piece *ret, struct up_head *h)
{
	int n = http1_parse_trailers(x->head, x->head_len, h->fields, REQ_FIELDS_MAX);

	if (n < 0)
		return -CLOSE_UP_GARBAGE;
	h->nfields = (unsigned)n;
	x->state = S_WHOLE;
	if (n)
		ret->kind = UP_PIECE_TRAILERS;
	return 0;
}

static int64_t decode(struct up_answer *x, char *p, size_t n, struct up_piece *ret, struct up_head *h)
{
	int64_t used = 0;

	*ret = (struct up_piece){UP_PIECE_MORE, NULL, 0};
	switch ((enum state)x->state) {
	case S_HEAD:
		x->begun |= n > 0;
		return decode_head(x, p, n, ret, h);
	case S_LENGTH:
		n = (size_t)min_of((uint64_t)n, x->left);
		if (!n)
			return 0;
		x->left -= n;
		if (!x->left) {
			x->state = S_WHOLE;
			x->last = true;
		}
		*ret = (struct up_piece){UP_PIECE_BODY, p, n};
		return (int64_t)n;
	case S_CLOSE:
	case S_TUNNEL:
		if (n)
			*ret = (struct up_piece){UP_PIECE_BODY, p, n};
		return (int64_t)n;
	case S_CHUNKED:
		used = decode_chunked(x, p, n, ret);
		if (used < 0 || ret->kind != UP_PIECE_MORE || x->state == S_CHUNKED)
			return used;
		if (x->state == S_TRAILERS) {
			int64_t res = decode_trailers(x, ret, h);

			if (res < 0 || ret->kind != UP_PIECE_MORE)
				return res < 0 ? res : used;
		}
		break;
	case S_TRAILERS:
		used = decode_trailers(x, ret, h);
		if (used < 0 || ret->kind != UP_PIECE_MORE)
			return used;
		break;
	case S_WHOLE:
		break;
	case S_ENDED:
		return -CLOSE_UP_GARBAGE;
	}
	x->state = S_ENDED;
	ret->kind = UP_PIECE_END;
	return used;
}

static int eof(struct up_answer *x)
{
	return x->state == S_CLOSE || x->state == S_TUNNEL || x->state == S_WHOLE ? 0 : -CLOSE_UP_CLOSED;
}

const struct up_codec up_http_codec = {
	.name = "http",
	.keeps = true,
	.head = put_head,
	.frame = frame,
	.finish = finish,
	.init = init,
	.decode = decode,
	.eof = eof,
};
