/*
 * fuzz_http1.c: what a client sends, as the parsers see it: heads one behind the other with their
 * bodies, cut into pieces. The first byte says how large the pieces are.
 */
#include "http1_parse.h"
#include "lib/must.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(const char *from, size_t n, const char *p, size_t len)
{
	must(len == 0 || (p >= from && p + len <= from + n));
}

static void check_head(const char *from, size_t n, const struct http1_head *h)
{
	must(h->nfields <= REQ_FIELDS_MAX);
	check_inside(from, n, h->target, h->target_len);
	if (h->host_len)
		check_inside(from, n, h->host, h->host_len);
	for (unsigned i = 0; i < h->nfields; i++) {
		const struct field *f = &h->fields[i];

		must(f->name_len > 0);
		check_inside(from, n, f->name, f->name_len);
		check_inside(from, n, f->value, f->value_len);
		must(!memchr(f->value, '\n', f->value_len) && !memchr(f->value, 0, f->value_len));
		must(!memchr(f->name, ' ', f->name_len));
	}
	must(h->path_len > 0 && (*h->path == '/' || *h->path == '*'));
	must(h->chunked == (h->content_length < 0));
}

/* The body behind a head; how much of it there is, or -1. */
static int64_t take_body(const struct http1_head *h, const char *p, size_t n, size_t step)
{
	struct http1_chunks k = {0};
	size_t at = 0;

	if (!h->chunked)
		return h->content_length <= (int64_t)n ? h->content_length : -1;
	while (at < n && !http1_chunks_done(&k)) {
		const char *got;
		size_t len, piece = n - at < step ? n - at : step;
		int64_t used = http1_chunks_take(&k, p + at, piece, &got, &len);

		if (used < 0)
			return -1;
		must((size_t)used <= piece && (used > 0 || len > 0));
		check_inside(p + at, piece, got, len);
		at += (size_t)used;
	}
	return http1_chunks_done(&k) ? (int64_t)at : -1;
}

/* A head in pieces: the same end, and never a wrong one. */
static void check_scan(const char *p, size_t n, size_t step, int whole)
{
	size_t at = 0;
	int res = 0;

	for (size_t have = step; res == 0 && have < n + step; have += step)
		res = http1_scan_head(p, have < n ? have : n, HTTP1_HEAD_MAX, &at);
	if (whole > 0)
		must(res == whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http1_head h;
	size_t step, at = 0, n;
	char *p;

	if (size < 2)
		return 0;
	step = 1 + data[0] % 40;
	n = size - 1;
	p = malloc(n);
	must(p);
	memcpy(p, data + 1, n);
	for (unsigned i = 0; i < 20 && at < n; i++) {
		int res = http1_parse_head(p + at, n - at, HTTP1_HEAD_MAX, &h);
		int64_t body;

		check_scan(p + at, n - at, step, res);
		if (res <= 0) {
			must(res > -CLOSE_END);
			break;
		}
		check_head(p + at, (size_t)res, &h);
		at += (size_t)res;
		body = take_body(&h, p + at, n - at, step);
		if (body < 0)
			break;
		at += (size_t)body;
	}
	free(p);
	return 0;
}
