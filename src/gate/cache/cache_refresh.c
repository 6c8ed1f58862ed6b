/*
 * cache_refresh.c: asking again in the background, while a stale answer is given (RFC 5861 section 3).
 *
 * A background request is a struct req like any other, on a stream that takes every answer and shows it
 * to nobody: so apps and backends are asked alike, and the cache's filter stores what comes. Called by
 * the cache's phase and by the loop. Owns these streams and their arenas; CACHE_BACKGROUND_MAX of them.
 */
#include "cache_priv.h"

#include "lib/must.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cache_background {
	struct stream stream;
	struct cache_background *next;
	struct cache *c;
	bool begun, over;
	enum close_id why;
};

static struct cache_background *background_of(struct stream *s)
{
	return container_of(s, struct cache_background, stream);
}

static void end(struct stream *s, enum close_id why)
{
	struct cache_background *b = background_of(s);

	if (b->over)
		return;
	b->over = true;
	b->why = why;
	cache_turn_soon(b->c);
}

/* ---- the stream that nobody listens to ---- */

static int take_interim(
	struct gate *g, struct stream *s, uint16_t status, const struct field *f, unsigned n)
{
	(void)g, (void)s, (void)status, (void)f, (void)n;
	return 0;
}

static int take_head(struct gate *g, struct stream *s, const struct resp_head *h, bool last)
{
	(void)g, (void)h;
	if (last)
		end(s, CLOSE_DONE);
	return 0;
}

static size_t take_body(struct gate *g, struct stream *s, const void *p, size_t n, bool last)
{
	(void)g, (void)p;
	if (last)
		end(s, CLOSE_DONE);
	return n;
}

static int take_file(struct gate *g, struct stream *s, int fd, uint64_t off, uint64_t len, bool owned)
{
	(void)g, (void)off, (void)len;
	if (owned)
		close(fd);
	end(s, CLOSE_DONE);
	return 0;
}

static int take_trailers(struct gate *g, struct stream *s, const struct field *f, unsigned n)
{
	(void)g, (void)f, (void)n;
	end(s, CLOSE_DONE);
	return 0;
}

static size_t room(struct gate *g, struct stream *s)
{
	(void)g, (void)s;
	return STREAM_WINDOW;
}

static void consume(struct gate *g, struct stream *s, size_t n)
{
	(void)g, (void)s, (void)n;
}

static int tunnel(struct gate *g, struct stream *s)
{
	(void)g, (void)s;
	return -EPIPE;
}

static void reset(struct gate *g, struct stream *s, enum close_id why)
{
	(void)g;
	end(s, why);
}

const struct stream_ops cache_stream_ops = {
	.interim = take_interim,
	.head = take_head,
	.body = take_body,
	.file = take_file,
	.trailers = take_trailers,
	.room = room,
	.consume = consume,
	.tunnel = tunnel,
	.reset = reset,
};

/* ---- making one ---- */

static bool is_left_out(const struct field *f)
{
	static const char *const names[] = {"if-none-match", "if-modified-since", "if-match",
		"if-unmodified-since", "range", "if-range", "cache-control", "pragma"};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (cache_named(f, names[i]))
			return true;
	return false;
}

static bool copy(struct arena *a, const char **to, uint32_t *to_len, const char *from, size_t n)
{
	*to = arena_strndup(a, from, n);
	if (to_len)
		*to_len = (uint32_t)n;
	return *to != NULL;
}

static bool copy_fields(struct req *to, const struct req *from)
{
	to->fields = arena_alloc(&to->arena, (from->nfields + 1) * sizeof(*to->fields));
	if (!to->fields)
		return false;
	for (unsigned i = 0; i < from->nfields; i++) {
		struct field *f = &to->fields[to->nfields];

		if (is_left_out(&from->fields[i]))
			continue;
		if (!copy(&to->arena, &f->name, &f->name_len, from->fields[i].name,
			    from->fields[i].name_len) ||
			!copy(&to->arena, &f->value, &f->value_len, from->fields[i].value,
				from->fields[i].value_len))
			return false;
		to->nfields++;
	}
	return true;
}

/* The same question, as GET and without conditions. */
static bool copy_req(struct req *to, const struct req *from)
{
	struct arena *a = &to->arena;

	to->site = from->site;
	to->route = from->route;
	to->method = METHOD_GET;
	to->method_str = "GET";
	to->method_len = 3;
	to->version_minor = 1;
	to->tls = from->tls;
	to->peer_trusted = from->peer_trusted;
	to->rewritten = from->rewritten;
	to->body_done = true;
	to->host_port = from->host_port;
	to->peer_port = from->peer_port;
	to->local_port = from->local_port;
	memcpy(to->peer, from->peer, sizeof(to->peer));
	memcpy(to->via, from->via, sizeof(to->via));
	memcpy(to->local, from->local, sizeof(to->local));
	return copy(a, &to->target, &to->target_len, from->target, from->target_len) &&
	       copy(a, &to->path, &to->path_len, from->path, from->path_len) &&
	       copy(a, &to->path_raw, &to->path_raw_len, from->path_raw, from->path_raw_len) &&
	       copy(a, &to->query, &to->query_len, from->query, from->query_len) &&
	       copy(a, &to->host, &to->host_len, from->host, from->host_len) &&
	       copy(a, &to->user, NULL, from->user, strlen(from->user)) && copy_fields(to, from);
}

/* It knows the stored answer too. */
static bool prepare(struct req *r, struct cache_req *from)
{
	struct cache_req *cr;
	struct buf b;
	char *mem;

	r->handler = from->handler;
	cr = cache_req_new(r);
	if (!cr)
		return false;
	buf_fixed(&b, from->c->bytes, sizeof(from->c->bytes));
	cache_head_pack(from->head, &b);
	mem = b.error ? NULL : arena_strndup(&r->arena, b.p, b.len);
	cr->head = arena_alloc(&r->arena, sizeof(*cr->head));
	if (!mem || !cr->head || !cache_head_unpack(mem, b.len, cr->head))
		return false;
	cr->ref = from->ref;
	cr->has_stored = cr->background = true;
	cr->why = "stale";
	cr->checks = cache_make_conditional(cr);
	cache_lead(cr);
	return cr->pending != NULL;
}

static void finish(struct cache_background *b)
{
	struct req *r = b->stream.req;
	struct arena arena = r->arena;

	b->c->nbackground--;
	req_done(r, b->why);
	/* What req_done() used of it came from the same blocks. */
	arena_reset(&arena);
	free(b);
}

void cache_refresh(struct cache_req *from)
{
	struct cache *c = from->c;
	struct cache_background *b;
	struct arena arena;
	struct req *r;

	if (c->nbackground >= CACHE_BACKGROUND_MAX || from->asked.no_store ||
		cache_pending_of(c, from->hash))
		return;
	b = calloc(1, sizeof(*b));
	if (!b)
		return;
	b->c = c;
	b->stream.proto = PROTO_CACHE;
	arena_init(&arena, &c->gate->pool);
	r = req_new(c->gate, &b->stream, &arena);
	if (!r) {
		arena_reset(&arena);
		free(b);
		return;
	}
	r->snap = snap_ref(from->r->snap);
	c->nbackground++;
	if (!copy_req(r, from->r) || !prepare(r, from)) {
		b->why = CLOSE_NO_MEMORY;
		finish(b);
		return;
	}
	b->next = c->background;
	c->background = b;
	cache_turn_soon(c);
}

void cache_refresh_reap(struct cache *c)
{
	struct cache_background **at = &c->background, *b;

	for (b = c->background; b; b = b->next)
		if (!b->begun) {
			b->begun = true;
			cache_of(b->stream.req)->asked.asked_ms = cache_wall_ms(c->gate);
			req_start(b->stream.req);
		}
	while ((b = *at)) {
		if (!b->over) {
			at = &b->next;
			continue;
		}
		*at = b->next;
		finish(b);
	}
}

void cache_refresh_end_all(struct cache *c)
{
	struct cache_background *b;

	while ((b = c->background)) {
		c->background = b->next;
		b->why = CLOSE_DRAINED;
		req_on_reset(b->stream.req, CLOSE_DRAINED);
		finish(b);
	}
}
