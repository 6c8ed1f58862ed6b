/*
 * fuzz_forward.c: what a client sent, as a backend reads it: our own strict reader takes it back,
 * and sees the same path, the same host and one length, whatever stood in the original.
 */
#include "http1_parse.h"
#include "lib/must.h"
#include "target.h"
#include "up.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void gate_drained(struct gate *g)
{
	(void)g;
}

static void fill(struct req *r, const struct http1_head *h)
{
	r->method = h->method;
	r->method_str = h->method_str;
	r->method_len = h->method_len;
	r->version_minor = h->version_minor;
	r->path_raw = h->path;
	r->path_raw_len = h->path_len;
	r->host = h->host;
	r->host_len = h->host_len;
	r->host_port = h->host_port;
	r->content_length = h->content_length;
	r->te_trailers = h->te_trailers;
	r->upgrade = h->upgrade;
	r->upgrade_len = h->upgrade_len;
	r->fields = (struct field *)h->fields;
	r->nfields = h->nfields;
	memcpy(r->peer, "::1", 4);
}

static unsigned count(const struct http1_head *h, const char *name)
{
	unsigned n = 0;

	for (unsigned i = 0; i < h->nfields; i++)
		n += h->fields[i].name_len == strlen(name) &&
		     !memcmp(h->fields[i].name, name, strlen(name));
	return n;
}

static void check(
	const struct req *r, const struct up_ask *a, char *text, size_t n, struct arena *arena)
{
	static struct http1_head again;
	struct req back = {.arena = *arena};
	int res = http1_parse_head(text, n, 1 << 20, &again);

	/* The forwarding fields may be one too many for the reader's bound. */
	if (res < 0 && a->nfields + 4 > REQ_FIELDS_MAX)
		return;
	if (res == -CLOSE_LINE_TOO_LONG)
		return;
	must(res == (int)n);
	must(again.content_length == r->content_length);
	must(again.host_len == r->host_len && !memcmp(again.host, r->host, r->host_len));
	must(count(&again, "x-forwarded-for") == 1 && count(&again, "forwarded") == 1);
	must(count(&again, "x-forwarded-proto") == 1 && count(&again, "via") == 1);
	for (unsigned i = 0; i < again.nfields; i++)
		must(!memchr(again.fields[i].name, '_', again.fields[i].name_len));
	back.path_raw = again.path;
	back.path_raw_len = again.path_len;
	must(target_parse(&back));
	must(back.path_len == r->path_len && !memcmp(back.path, r->path, r->path_len));
	must(back.query_len == r->query_len && !memcmp(back.query, r->query, r->query_len));
	*arena = back.arena;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http1_head head;
	static char text[64 * 1024];
	struct arena_pool pool;
	struct req r = {0};
	struct up_ask ask = {0};
	struct buf b;
	char *copy;

	if (size > 8192)
		return 0;
	arena_pool_init(&pool, 4096, 1024, 0);
	arena_init(&r.arena, &pool);
	copy = arena_alloc(&r.arena, size + 1);
	must(copy);
	memcpy(copy, data, size);
	if (http1_parse_head(copy, size, HTTP1_HEAD_MAX, &head) > 0 &&
		head.method != METHOD_CONNECT && *head.path == '/' && head.host_len) {
		fill(&r, &head);
		if (target_parse(&r) && up_forward(&r, &ask) == 0) {
			buf_fixed(&b, text, sizeof(text));
			must(up_http_codec.head(&ask, &b) == 0);
			if (!b.error)
				check(&r, &ask, text, b.len, &r.arena);
		}
	}
	arena_reset(&r.arena);
	arena_pool_done(&pool);
	return 0;
}
