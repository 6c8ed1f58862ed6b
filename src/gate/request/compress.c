/*
 * compress.c: the filter that encodes answers; see compress.h. Called by resp.c.
 *
 * Owns the encoders: at most COMPRESS_ACTIVE_MAX at work in a gate, then answers go out as they
 * are. What a handler gave is out when its call ends (flushed), so nothing streamed is ever
 * delayed. Never touches an answer that is encoded already, a part of one, or one that says
 * no-transform.
 */
#include "compress.h"
#include "gate.h"
#include "lib/must.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { OUT_BYTES = 16 * 1024, SPARES_MAX = 4 };

struct compress {
	struct encoder *e;
	uint32_t at, len; /* of out: gone, made */
	bool ended;       /* the handler's last byte was taken */
	bool finished;    /* the encoder's last byte is in out */
	bool flush;       /* it holds bytes that have to go */
	char out[OUT_BYTES];
};

struct compressors {
	struct encoder *spare[CODING_END];
	unsigned spares[CODING_END], active;
};

static struct compressors *compressors_of(struct gate *g)
{
	if (!g->compressors)
		g->compressors = calloc(1, sizeof(*g->compressors));
	return g->compressors;
}

void compress_free(struct gate *g)
{
	for (unsigned i = 0; g->compressors && i < CODING_END; i++)
		while (g->compressors->spare[i]) {
			struct encoder *e = g->compressors->spare[i];

			g->compressors->spare[i] = e->next;
			encoder_free(e);
		}
	free(g->compressors);
	g->compressors = NULL;
}

static struct encoder *encoder_get(struct gate *g, enum coding coding)
{
	struct compressors *all = compressors_of(g);
	struct encoder *e;

	if (!all || all->active >= COMPRESS_ACTIVE_MAX)
		return NULL;
	e = all->spare[coding];
	if (e) {
		all->spare[coding] = e->next;
		all->spares[coding]--;
	} else {
		e = encoder_new(coding);
	}
	all->active += e != NULL;
	return e;
}

static void encoder_put(struct gate *g, struct encoder *e)
{
	struct compressors *all = g->compressors;

	all->active--;
	if (all->spares[e->coding] >= SPARES_MAX || !encoder_reset(e)) {
		encoder_free(e);
		return;
	}
	e->next = all->spare[e->coding];
	all->spare[e->coding] = e;
	all->spares[e->coding]++;
}

unsigned compress_accepted(const struct req *r)
{
	const struct field *f = req_field(r, "accept-encoding");

	return f ? encoding_accepted(f->value, f->value_len) : 1u << CODING_IDENTITY;
}

static bool has_word(const struct field *f, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; f && i + n <= f->value_len; i++)
		if (strncasecmp(f->value + i, word, n) == 0)
			return true;
	return false;
}

int compress_vary(struct req *r, struct resp_head *h)
{
	const struct field *f = filter_field(h, "vary");
	char *value;

	if (has_word(f, "accept-encoding") || (f && f->value_len == 1 && *f->value == '*'))
		return 0;
	if (!f)
		return filter_set_field(r, h, "Vary", "Accept-Encoding", false);
	value = arena_printf(&r->arena, "%.*s, Accept-Encoding", (int)f->value_len, f->value);
	return value ? filter_set_field(r, h, "Vary", value, false) : -1;
}

#define IS(f, literal) filter_is(f, literal, sizeof(literal) - 1)

/* Could any client get it encoded? What is cheap to ask first. */
static bool worth(const struct resp_head *h)
{
	const struct field *type = NULL;

	if ((h->content_length >= 0 && h->content_length < COMPRESS_BYTES_MIN) || h->status < 200 ||
		h->status == 204 || h->status == 206 || h->status == 304)
		return false;
	for (unsigned i = 0; i < h->nfields; i++) {
		const struct field *f = &h->fields[i];

		if (IS(f, "content-encoding") || IS(f, "content-range") ||
			(IS(f, "cache-control") && has_word(f, "no-transform")))
			return false;
		if (!type && IS(f, "content-type"))
			type = f;
	}
	return type && encoding_worth(type->value, type->value_len);
}

/* Other bytes may not have the same strong tag (RFC 9110 section 8.8.3.3). */
static int weaken(struct req *r, struct resp_head *h)
{
	const struct field *tag = filter_field(h, "etag");
	char *weak;

	if (!tag || (tag->value_len > 2 && !memcmp(tag->value, "W/", 2)))
		return 0;
	weak = arena_printf(&r->arena, "W/%.*s", (int)tag->value_len, tag->value);
	return weak ? filter_set_field(r, h, "ETag", weak, false) : -1;
}

static bool head(struct req *r, struct resp_head *h, bool end)
{
	enum coding coding;
	struct compress *c = NULL;
	struct encoder *e = NULL;

	if (!worth(h) || compress_vary(r, h) < 0)
		return false;
	coding = encoding_best(compress_accepted(r));
	if (coding == CODING_IDENTITY)
		return false;
	/* HEAD tells what GET would. */
	if (!end) {
		c = arena_alloc(&r->arena, sizeof(*c));
		e = c ? encoder_get(r->gate, coding) : NULL;
		if (!e)
			return false;
	}
	if (weaken(r, h) < 0 || filter_drop_field(r, h, "accept-ranges") < 0 ||
		filter_set_field(r, h, "Content-Encoding", coding_names[coding], false) < 0) {
		if (e)
			encoder_put(r->gate, e);
		return false;
	}
	h->content_length = -1;
	if (end)
		return false;
	c->e = e;
	c->at = c->len = 0;
	c->ended = c->finished = c->flush = false;
	r->filter_state[FILTER_COMPRESS] = c;
	return true;
}

/* Give on what was made. False: there is no room for all of it. */
static bool give(struct req *r, struct compress *c)
{
	if (c->at < c->len || c->finished)
		c->at += (uint32_t)filter_body(
			r, FILTER_COMPRESS + 1, c->out + c->at, c->len - c->at, c->finished);
	if (c->at < c->len)
		return false;
	c->at = c->len = 0;
	return true;
}

/* Encode from p as long as what comes of it finds room. False: the encoder failed. */
static bool encode(struct req *r, struct compress *c, enum encoder_op op, const char **p, size_t *n)
{
	while (!c->finished && give(r, c)) {
		char *out = c->out;
		size_t room = sizeof(c->out);
		int res = encoder_run(c->e, op, p, n, &out, &room);

		if (res < 0)
			return false;
		c->len = (uint32_t)(out - c->out);
		if (res == 0)
			continue;
		c->flush = false;
		c->finished = op == ENCODER_END;
		if (c->finished || c->len)
			(void)give(r, c);
		return true;
	}
	return true;
}

static void fail(struct req *r)
{
	r->gate->protos[r->stream->proto]->reset(r->gate, r->stream, CLOSE_NO_MEMORY);
}

static size_t body(struct req *r, const void *p, size_t n, bool end)
{
	struct compress *c = r->filter_state[FILTER_COMPRESS];
	const char *from = p;
	size_t left = n;

	if (c->ended || c->at < c->len)
		return 0;
	c->flush = true;
	if (!encode(r, c, end ? ENCODER_END : ENCODER_FLUSH, &from, &left)) {
		fail(r);
		return n;
	}
	c->ended = end && left == 0;
	return n - left;
}

static bool on_room(struct req *r)
{
	struct compress *c = r->filter_state[FILTER_COMPRESS];
	const char *none = "";
	size_t n = 0;

	if (c->finished)
		return give(r, c);
	if (!give(r, c))
		return false;
	if ((c->flush || c->ended) &&
		!encode(r, c, c->ended ? ENCODER_END : ENCODER_FLUSH, &none, &n)) {
		fail(r);
		return false;
	}
	return c->at == c->len && !c->ended;
}

static void done(struct req *r)
{
	struct compress *c = r->filter_state[FILTER_COMPRESS];

	encoder_put(r->gate, c->e);
	r->filter_state[FILTER_COMPRESS] = NULL;
}

const struct filter_ops compress_filter = {
	.head = head,
	.body = body,
	.on_room = on_room,
	.done = done,
};
