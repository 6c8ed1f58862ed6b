/*
 * up_fastcgi.c: FastCGI 1.0 as a backend's protocol (its specification, sections 3, 5, 6.2 and 8): the
 * codec's row.
 *
 * A question is BEGIN_REQUEST (a responder, and the connection is kept), CGI's variables in PARAMS, the body
 * in STDIN. A connection carries one request at a time, number 1: no responder that is in use takes more.
 * No variable is cut by a record's end, because PHP reads each record by itself. The answer's STDOUT is a
 * CGI program's output, however records and receives cut it; STDERR is handed on to be logged; END_REQUEST
 * ends it. A body must be as long as the head says: what is more is dropped, what is less is no whole answer.
 *
 * Called by up_call.c through up_codecs[] and by the fuzz targets. Owns nothing but what it keeps of a head
 * that comes in pieces, in the call's arena.
 */
#include "up_cgi.h"
#include "up_params.h"

#include "lib/must.h"

#include <string.h>

enum {
	VERSION = 1,
	BEGIN_REQUEST = 1,
	END_REQUEST = 3,
	PARAMS = 4,
	STDIN = 5,
	STDOUT = 6,
	STDERR = 7,
	RESPONDER = 1,
	KEEP_CONN = 1,
	REQUEST_ID = 1,
	RECORD_HEAD = 8,
	CONTENT_MAX = 65535,
	SHORT_MAX = 127, /* lengths up to this are one byte, else four */
};
enum protocol_status { REQUEST_COMPLETE = 0, CANT_MPX_CONN, OVERLOADED, UNKNOWN_ROLE };
enum state { S_HEAD = 0, S_BODY, S_ENDED };

/* The question. */

static void set_record(char *to, int type, size_t len)
{
	to[0] = VERSION;
	to[1] = (char)type;
	to[2] = 0;
	to[3] = REQUEST_ID;
	to[4] = (char)(len >> 8);
	to[5] = (char)(len & 0xff);
	to[6] = to[7] = 0;
}

static void put_record(struct buf *b, int type, size_t len)
{
	char head[RECORD_HEAD];

	set_record(head, type, len);
	buf_put(b, head, sizeof(head));
}

static void put_length(struct buf *b, size_t n)
{
	if (n > SHORT_MAX) {
		buf_putc(b, (char)(0x80 | n >> 24));
		buf_putc(b, (char)(n >> 16 & 0xff));
		buf_putc(b, (char)(n >> 8 & 0xff));
	}
	buf_putc(b, (char)(n & 0xff));
}

/* The record of variables at hand. */
struct params {
	size_t at;   /* where it begins in the buffer; it ends with the buffer */
	size_t len;  /* of its content */
	bool too_long;
};

static void end_record(struct buf *b, const struct params *p)
{
	if (!b->error)
		set_record(b->p + p->at, PARAMS, p->len);
}

static void pair(struct buf *b, void *arg, const char *name, size_t name_len, size_t value_len)
{
	struct params *p = arg;
	size_t len = (name_len > SHORT_MAX ? 4 : 1) + (value_len > SHORT_MAX ? 4 : 1) + name_len + value_len;

	p->too_long |= len > CONTENT_MAX;
	if (p->len + len > CONTENT_MAX) {
		end_record(b, p);
		p->at = b->len;
		p->len = 0;
		put_record(b, PARAMS, 0);
	}
	p->len += len;
	put_length(b, name_len);
	put_length(b, value_len);
	buf_put(b, name, name_len);
}

static int head(const struct up_ask *a, struct buf *b)
{
	static const char begin[RECORD_HEAD] = {0, RESPONDER, KEEP_CONN};
	struct params p = {0};
	int res;

	put_record(b, BEGIN_REQUEST, sizeof(begin));
	buf_put(b, begin, sizeof(begin));
	p.at = b->len;
	put_record(b, PARAMS, 0);
	res = up_params_put(a, b, pair, &p);
	if (res < 0 || p.too_long)
		return -CLOSE_HEAD_TOO_LARGE;
	end_record(b, &p);
	put_record(b, PARAMS, 0);
	return 0;
}

static void frame(const struct up_ask *a, size_t n, struct up_frame *ret)
{
	(void)a;
	*ret = (struct up_frame){.take = min_of(n, (size_t)CONTENT_MAX), .pre_len = RECORD_HEAD};
	set_record(ret->pre, STDIN, ret->take);
}

static void finish(const struct up_ask *a, const struct field *trailers, unsigned n, struct buf *b)
{
	(void)a;
	(void)trailers;
	(void)n;
	put_record(b, STDIN, 0);
}

/* The answer. */

static void init(struct up_answer *x, const struct up_ask *a, struct arena *arena)
{
	x->arena = arena;
	x->to_head = a->method_id == METHOD_HEAD;
}

static uint16_t u16_at(const void *p)
{
	const uint8_t *b = p;

	return (uint16_t)(b[0] << 8 | b[1]);
}

/* A record's head is whole. False: it is none that may come here. */
static bool begin_record(struct up_answer *x)
{
	struct up_records *c = &x->u.records;
	const uint8_t *h = c->head;

	c->left = u16_at(h + 4);
	c->padding = h[6];
	if (h[0] != VERSION || u16_at(h + 2) != REQUEST_ID)
		return false;
	switch (h[1]) {
	case STDOUT:
		if (c->out_over && c->left)
			return false;
		c->out_over |= !c->left;
		return true;
	case STDERR:
		return true;
	case END_REQUEST:
		return c->left == sizeof(c->end);
	default:
		return false;
	}
}

/* END_REQUEST and its padding have been read. Minus the close_id, or 0: the answer is whole. */
static int end_of(struct up_answer *x)
{
	const struct up_records *c = &x->u.records;

	switch ((enum protocol_status)c->end[4]) {
	case REQUEST_COMPLETE:
		break;
	case CANT_MPX_CONN:
	case OVERLOADED:
		return x->state == S_HEAD && !x->head_len ? -CLOSE_UP_BUSY : -CLOSE_UP_CLOSED;
	case UNKNOWN_ROLE:
		return x->state == S_HEAD && !x->head_len ? -CLOSE_UP_ROLE : -CLOSE_UP_CLOSED;
	default:
		return -CLOSE_UP_GARBAGE;
	}
	if (x->state == S_HEAD)
		return -CLOSE_UP_GARBAGE;
	return c->counted && x->left ? -CLOSE_UP_CLOSED : 0;
}

static bool is_record(const char *p, int type, size_t len)
{
	return p[0] == VERSION && p[1] == type && u16_at(p + 2) == REQUEST_ID && u16_at(p + 4) == len;
}

/* Behind the content that was just taken: does nothing follow but the answer's good end? Then the owner can
 * send its own end together with it. p: what follows, with the padding that is left. */
static bool ends_here(const struct up_answer *x, const char *p, size_t n)
{
	const struct up_records *c = &x->u.records;
	size_t at = c->padding;

	if (c->left || (c->counted && x->left))
		return false;
	if (n >= at + RECORD_HEAD && is_record(p + at, STDOUT, 0))
		at += RECORD_HEAD + (uint8_t)p[at + 6];
	return n >= at + RECORD_HEAD + sizeof(c->end) && is_record(p + at, END_REQUEST, sizeof(c->end)) &&
	       p[at + RECORD_HEAD + 4] == REQUEST_COMPLETE;
}

/* The head stands whole at p. */
static int64_t got_head(struct up_answer *x, char *p, size_t n, struct up_piece *ret, struct up_head *h)
{
	struct up_records *c = &x->u.records;
	int res = up_cgi_parse(p, n, h);

	if (res <= 0)
		return res;
	c->bodiless = x->to_head || h->status == 204 || h->status == 304;
	c->counted = !c->bodiless && h->content_length >= 0;
	x->left = c->counted ? (uint64_t)h->content_length : 0;
	x->state = S_BODY;
	ret->kind = UP_PIECE_HEAD;
	return res;
}

/* n bytes of STDOUT before the head's end. How many were used, or minus the close_id. */
static int64_t decode_head(struct up_answer *x, char *p, size_t n, struct up_piece *ret, struct up_head *h)
{
	size_t had = x->head_len, end;
	int64_t res;

	if (!had) {
		res = got_head(x, p, n, ret, h);
		if (res)
			return res;
	}
	/* Only what belongs to the head is taken, so that what follows is read where it lies. */
	n = min_of(n, (size_t)UP_HEAD_MAX + 1 - had);
	if (!up_answer_keep(x, p, n))
		return -CLOSE_NO_MEMORY;
	end = up_cgi_scan(x->head, x->head_len, &x->head_scanned);
	if (!end)
		return x->head_len > UP_HEAD_MAX ? -CLOSE_UP_GARBAGE : (int64_t)n;
	res = got_head(x, x->head, end, ret, h);
	if (res != (int64_t)end)
		return res < 0 ? res : -CLOSE_UP_GARBAGE;
	return (int64_t)(end - had);
}

/* n bytes of the body: what of them goes on. */
static void decode_body(struct up_answer *x, char *p, size_t n, struct up_piece *ret)
{
	struct up_records *c = &x->u.records;

	if (c->bodiless)
		return;
	if (c->counted) {
		n = (size_t)min_of((uint64_t)n, x->left);
		x->left -= n;
	}
	if (n)
		*ret = (struct up_piece){UP_PIECE_BODY, p, n};
}

/* n bytes of the record's content, which has as many. */
static int64_t decode_content(struct up_answer *x, char *p, size_t n, struct up_piece *ret, struct up_head *h)
{
	struct up_records *c = &x->u.records;
	int64_t used = (int64_t)n;

	if (c->head[1] == END_REQUEST) {
		memcpy(c->end + c->end_len, p, n);
		c->end_len += (uint8_t)n;
		c->end_told = c->end_len == sizeof(c->end);
	} else if (c->head[1] == STDERR) {
		*ret = (struct up_piece){UP_PIECE_LOG, p, n};
	} else if (x->state == S_HEAD) {
		used = decode_head(x, p, n, ret, h);
	} else {
		decode_body(x, p, n, ret);
	}
	if (used > 0)
		c->left -= (uint16_t)used;
	return used;
}

/* What stands at p of a record: its head, content or padding. How many bytes were used: 0 when there is no
 * more to do without more bytes. */
static int64_t decode_record(struct up_answer *x, char *p, size_t n, struct up_piece *ret, struct up_head *h)
{
	struct up_records *c = &x->u.records;
	size_t take;

	if (c->head_len < RECORD_HEAD) {
		take = min_of(n, (size_t)(RECORD_HEAD - c->head_len));
		memcpy(c->head + c->head_len, p, take);
		c->head_len += (uint8_t)take;
		return c->head_len < RECORD_HEAD || begin_record(x) ? (int64_t)take : -CLOSE_UP_GARBAGE;
	}
	if (c->left)
		return n ? decode_content(x, p, min_of(n, (size_t)c->left), ret, h) : 0;
	take = min_of(n, (size_t)c->padding);
	c->padding -= (uint8_t)take;
	return (int64_t)take;
}

static int64_t decode(struct up_answer *x, char *p, size_t n, struct up_piece *ret, struct up_head *h)
{
	struct up_records *c = &x->u.records;
	size_t at = 0;

	*ret = (struct up_piece){UP_PIECE_MORE, NULL, 0};
	if (x->state == S_ENDED)
		return -CLOSE_UP_GARBAGE;
	x->begun |= n > 0;
	for (;;) {
		int64_t used = decode_record(x, p + at, n - at, ret, h);

		if (used < 0)
			return used;
		at += (size_t)used;
		if (ret->kind == UP_PIECE_HEAD || ret->kind == UP_PIECE_BODY)
			x->last = ends_here(x, p + at, n - at);
		if (ret->kind != UP_PIECE_MORE)
			return (int64_t)at;
		if (c->head_len == RECORD_HEAD && !c->left && !c->padding) {
			if (c->end_told)
				break;
			c->head_len = 0;
		} else if (at == n) {
			return (int64_t)at;
		}
		if (at == n && c->head_len == 0)
			return (int64_t)at;
	}
	if (end_of(x) < 0)
		return end_of(x);
	x->state = S_ENDED;
	x->keep = true;
	ret->kind = UP_PIECE_END;
	return (int64_t)at;
}

static int eof(struct up_answer *x)
{
	(void)x;
	return -CLOSE_UP_CLOSED;
}

const struct up_codec up_fastcgi_codec = {
	.name = "fastcgi",
	.keeps = true,
	.needs_length = true,
	.head = head,
	.frame = frame,
	.finish = finish,
	.init = init,
	.decode = decode,
	.eof = eof,
};
