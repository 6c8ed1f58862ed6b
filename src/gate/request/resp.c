/*
 * resp.c: an answer on its way from its handler through the filters to its protocol.
 *
 * Called by handlers and filters. What is true for every protocol is done here once: an answer has
 * one head, HEAD, 204 and 304 have no body, an ended answer takes nothing. An answer without
 * filters costs one test of a byte more than none. Owns the descriptor of a file that filters have
 * to see.
 */
#include "access.h"
#include "cache.h"
#include "filter.h"
#include "gate.h"
#include "lib/must.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { FILE_PIECE = 16 * 1024, FIELDS_SPARE = 8 };

/* The rest of a file that goes through filters. */
struct req_file {
	int fd;
	bool owned;
	uint64_t off, left;
	size_t at, n; /* of the piece: taken, filled */
	char piece[FILE_PIECE];
};

static const struct stream_ops *ops_of(const struct req *r)
{
	return r->gate->protos[r->stream->proto];
}

int req_resp_interim(struct req *r, uint16_t status, const struct field *f, unsigned n)
{
	if (r->head_sent || r->ended)
		return -EPIPE;
	return ops_of(r)->interim(r->gate, r->stream, status, f, n);
}

static bool has(const struct req *r, unsigned filter)
{
	return r->filters >> filter & 1;
}

/* Each filter sees the head that the one before it made; who has no part in the body leaves. */
static void filter_head(struct req *r, struct resp_head *h, bool end)
{
	for (unsigned i = 0; i < FILTER_END; i++) {
		const struct filter_ops *ops = has(r, i) ? filter_table[i] : NULL;

		if (!ops || !ops->head(r, h, end))
			r->filters &= (uint8_t) ~(1u << i);
	}
}

int req_resp_head(struct req *r, const struct resp_head *h, bool end)
{
	struct resp_head copy;

	if (r->head_sent || r->ended)
		return -EPIPE;
	if (has(r, FILTER_CACHE) && cache_takes_head(r, h))
		return 0;
	r->head_sent = true;
	r->head_us = loop_now_us(r->gate->loop);
	r->status = h->status;
	r->no_body = r->method == METHOD_HEAD || h->status == 204 || h->status == 304;
	r->ended = end;
	if (r->filters) {
		copy = *h;
		h = &copy;
		filter_head(r, &copy, end || r->no_body);
		r->status = copy.status;
		if (end || r->no_body)
			r->filters = 0;
	}
	return ops_of(r)->head(r->gate, r->stream, h, end);
}

size_t filter_body(struct req *r, unsigned from, const void *p, size_t n, bool end)
{
	size_t took;

	for (; from < FILTER_END; from++)
		if (has(r, from))
			return filter_table[from]->body(r, p, n, end);
	took = ops_of(r)->body(r->gate, r->stream, p, n, end);
	r->body_out += took;
	return took;
}

size_t filter_room(struct req *r, unsigned from)
{
	for (; from < FILTER_END; from++)
		if (has(r, from))
			return STREAM_WINDOW;
	return ops_of(r)->room(r->gate, r->stream);
}

size_t req_resp_body(struct req *r, const void *p, size_t n, bool end)
{
	size_t took;

	if (r->ended || !r->head_sent)
		return 0;
	if (r->no_body) {
		if (end) {
			r->ended = true;
			ops_of(r)->body(r->gate, r->stream, "", 0, true);
		}
		return n;
	}
	took = filter_body(r, 0, p, n, end);
	/* A tunnel whose one way has ended goes on the other. */
	r->ended |= end && took == n && (!r->tunnel || r->body_done);
	r->room_asked = r->filters && took < n;
	return took;
}

/* Through the filters a file goes as bytes. Called again when there is room. */
static void push_file(struct req *r)
{
	struct req_file *f = r->file;

	for (;;) {
		size_t took;

		if (f->at == f->n && f->left) {
			ssize_t got = pread(f->fd, f->piece,
				(size_t)min_of(f->left, (uint64_t)sizeof(f->piece)), (off_t)f->off);

			if (got <= 0) {
				f->left = 0;
				ops_of(r)->reset(r->gate, r->stream, CLOSE_FILE_ERROR);
				return;
			}
			f->at = 0;
			f->n = (size_t)got;
			f->off += (uint64_t)got;
			f->left -= (uint64_t)got;
		}
		if (f->at == f->n && f->n == 0)
			return;
		took = filter_body(r, 0, f->piece + f->at, f->n - f->at, f->left == 0);
		f->at += took;
		if (f->at < f->n)
			return;
		if (f->left == 0) {
			f->n = f->at = 0;
			return;
		}
	}
}

static int begin_file(struct req *r, int fd, uint64_t off, uint64_t len, bool owned)
{
	struct req_file *f = arena_alloc(&r->arena, sizeof(*f));

	if (!f) {
		if (owned)
			close(fd);
		ops_of(r)->reset(r->gate, r->stream, CLOSE_NO_MEMORY);
		return -ENOMEM;
	}
	*f = (struct req_file){.fd = fd, .owned = owned, .off = off, .left = len};
	r->file = f;
	push_file(r);
	return 0;
}

int req_resp_file(struct req *r, int fd, uint64_t off, uint64_t len, bool owned)
{
	if (r->ended || !r->head_sent)
		return -EPIPE;
	if (r->filters && !r->no_body && len) {
		r->ended = true;
		return begin_file(r, fd, off, len, owned);
	}
	r->ended = true;
	if (!r->no_body)
		r->body_out += len;
	return ops_of(r)->file(r->gate, r->stream, fd, off, len, owned);
}

void req_resp_trailers(struct req *r, const struct field *f, unsigned n)
{
	if (r->ended || !r->head_sent)
		return;
	if (r->filters || r->no_body || !r->te_trailers || !ops_of(r)->trailers) {
		req_resp_body(r, "", 0, true);
		return;
	}
	r->ended = true;
	ops_of(r)->trailers(r->gate, r->stream, f, n);
}

int req_resp_tunnel(struct req *r)
{
	if (r->ended || !r->head_sent || !ops_of(r)->tunnel)
		return -EPIPE;
	r->tunnel = true;
	r->body_done = false;
	access_keep(r);
	return ops_of(r)->tunnel(r->gate, r->stream);
}

size_t req_resp_room(struct req *r)
{
	size_t room;

	if (r->ended)
		return 0;
	if (r->no_body)
		return STREAM_WINDOW;
	room = filter_room(r, 0);
	if (r->filters && r->room_asked)
		return 0;
	return room;
}

void req_consume(struct req *r, size_t n)
{
	ops_of(r)->consume(r->gate, r->stream, n);
}

/* From the protocol upwards: the last filter first, because it holds the bytes that come first. */
void filters_on_room(struct req *r)
{
	const struct handler_ops *ops = r->handler ? r->gate->handlers[r->handler] : NULL;

	for (unsigned i = FILTER_END; i-- > 0;)
		if (has(r, i) && !filter_table[i]->on_room(r))
			return;
	r->room_asked = false;
	if (r->file)
		push_file(r);
	else if (!r->ended && ops && ops->room)
		ops->room(r);
}

void filters_done(struct req *r)
{
	for (unsigned i = 0; i < FILTER_END; i++)
		if (r->filter_state[i] && filter_table[i] && filter_table[i]->done)
			filter_table[i]->done(r);
	if (r->file && r->file->owned)
		close(r->file->fd);
	r->file = NULL;
}

bool filter_same_name(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int differ = a[i] ^ b[i];

		if (differ && (differ != ('a' ^ 'A') || (a[i] | differ) < 'a' || (a[i] | differ) > 'z'))
			return false;
	}
	return true;
}

const struct field *filter_field_n(const struct resp_head *h, const char *name, size_t n)
{
	for (unsigned i = 0; i < h->nfields; i++)
		if (filter_is(&h->fields[i], name, n))
			return &h->fields[i];
	return NULL;
}

/* A table of our own, with room for `more`. */
static struct field *own_fields(struct req *r, struct resp_head *h, unsigned more)
{
	struct field *f = arena_alloc(&r->arena, (h->nfields + more + FIELDS_SPARE) * sizeof(*f));

	if (!f)
		return NULL;
	if (h->nfields)
		memcpy(f, h->fields, h->nfields * sizeof(*f));
	h->fields = f;
	return f;
}

int filter_set_field(
	struct req *r, struct resp_head *h, const char *name, const char *value, bool add)
{
	size_t n = strlen(name);
	struct field *f = own_fields(r, h, 1);
	unsigned kept = 0;
	bool placed = false;

	if (!f)
		return -ENOMEM;
	for (unsigned i = 0; i < h->nfields; i++) {
		bool same = !add && filter_is(&f[i], name, n);

		if (same && placed)
			continue;
		f[kept] = f[i];
		if (same) {
			f[kept].value = value;
			f[kept].value_len = (uint32_t)strlen(value);
			placed = true;
		}
		kept++;
	}
	if (!placed)
		f[kept++] = (struct field){name, value, (uint32_t)n, (uint32_t)strlen(value)};
	h->nfields = kept;
	return 0;
}

int filter_drop_field(struct req *r, struct resp_head *h, const char *name)
{
	size_t n = strlen(name);
	struct field *f;
	unsigned kept = 0;

	if (!filter_field(h, name))
		return 0;
	f = own_fields(r, h, 0);
	if (!f)
		return -ENOMEM;
	for (unsigned i = 0; i < h->nfields; i++)
		if (!filter_is(&f[i], name, n))
			f[kept++] = f[i];
	h->nfields = kept;
	return 0;
}
