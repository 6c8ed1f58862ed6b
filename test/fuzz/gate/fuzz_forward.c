/*
 * fuzz_forward.c: what a client sent, as a backend reads it: our own strict reader takes it back,
 * and sees the same path, the same host and one length, whatever stood in the original; and the packet of
 * uwsgi's protocol for the same request has whole pairs, none of them twice; and so have FastCGI's records,
 * none of which cuts a pair.
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
	r->target = h->path;
	r->target_len = h->path_len;
	r->host = h->host;
	r->host_len = h->host_len;
	r->host_port = h->host_port;
	r->content_length = h->content_length;
	r->te_trailers = h->te_trailers;
	r->upgrade = h->upgrade;
	r->upgrade_len = h->upgrade_len;
	r->fields = (struct field *)h->fields;
	r->nfields = h->nfields;
	r->user = "";
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

static size_t u16_at(const char *p)
{
	return (unsigned char)p[0] | (size_t)(unsigned char)p[1] << 8;
}

/* A variable, by whichever protocol: none is there twice. */
struct seen {
	const char *name[REQ_FIELDS_MAX + 32];
	size_t len[REQ_FIELDS_MAX + 32];
	unsigned n;
	bool path;
};

static void see(struct seen *s, const struct req *r, const char *name, size_t name_len, const char *value,
	size_t len)
{
	must(!memchr(name, '-', name_len));
	for (unsigned i = 0; i < s->n; i++)
		must(s->len[i] != name_len || memcmp(s->name[i], name, name_len) != 0);
	must(name_len != 10 || memcmp(name, "HTTP_PROXY", 10) != 0);
	if (name_len == 9 && !memcmp(name, "PATH_INFO", 9))
		s->path = len == r->path_len && !memcmp(value, r->path, len);
	must(s->n < sizeof(s->len) / sizeof(s->len[0]));
	s->name[s->n] = name;
	s->len[s->n++] = name_len;
}

/* The same question in uwsgi's protocol: one packet, whole pairs, no variable twice, the path unchanged. */
static void check_uwsgi(const struct req *r, const char *p, size_t n)
{
	struct seen s = {.n = 0};
	size_t at = 4;

	must(n >= 4 && p[0] == 0 && p[3] == 0 && u16_at(p + 1) == n - 4);
	while (at < n) {
		size_t name_len = u16_at(p + at), len;

		must(n - at >= 4 && n - at - 4 >= name_len);
		len = u16_at(p + at + 2 + name_len);
		must(n - at - 4 - name_len >= len);
		see(&s, r, p + at + 2, name_len, p + at + 4 + name_len, len);
		at += 4 + name_len + len;
	}
	must(s.path);
}

/* A length of FastCGI's pairs (its section 3.4). */
static size_t length_at(const char *p, size_t *at, size_t end)
{
	const unsigned char *b = (const unsigned char *)p + *at;

	must(*at < end);
	if (*b < 128) {
		*at += 1;
		return *b;
	}
	must(end - *at >= 4);
	*at += 4;
	return (size_t)(b[0] & 0x7f) << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
}

static size_t content_at(const char *p, size_t at, char type)
{
	must(p[at] == 1 && p[at + 1] == type && p[at + 2] == 0 && p[at + 3] == 1 && p[at + 6] == 0);
	return (size_t)(unsigned char)p[at + 4] << 8 | (unsigned char)p[at + 5];
}

/* And in FastCGI's: one request begins, whole pairs in each record, and a record without any ends them. */
static void check_fastcgi(const struct req *r, const char *p, size_t n)
{
	struct seen s = {.n = 0};
	size_t at = 16, len;

	must(n > 24 && content_at(p, 0, 1) == 8 && p[8] == 0 && p[9] == 1 && p[10] == 1);
	do {
		size_t end;

		must(n - at >= 8);
		len = content_at(p, at, 4);
		at += 8;
		must(n - at >= len);
		for (end = at + len; at < end;) {
			size_t name_len = length_at(p, &at, end), value_len = length_at(p, &at, end);

			must(name_len <= end - at && value_len <= end - at - name_len);
			see(&s, r, p + at, name_len, p + at + name_len, value_len);
			at += name_len + value_len;
		}
	} while (len);
	must(at == n && s.path);
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
			buf_fixed(&b, text, sizeof(text));
			if (up_uwsgi_codec.head(&ask, &b) == 0 && !b.error)
				check_uwsgi(&r, text, b.len);
			buf_fixed(&b, text, sizeof(text));
			if (up_fastcgi_codec.head(&ask, &b) == 0 && !b.error)
				check_fastcgi(&r, text, b.len);
		}
	}
	arena_reset(&r.arena);
	arena_pool_done(&pool);
	return 0;
}
