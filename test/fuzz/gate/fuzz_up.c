/*
 * fuzz_up.c: a backend's answer: cut anywhere it is read as when it came whole, and never beyond
 * its bytes. The first byte says what was asked (HEAD, an upgrade) and the second where it is cut.
 */
#include "lib/must.h"
#include "up_codec.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct heard {
	uint64_t sum, body;
	int end; /* 0 more, 1 whole, < 0 minus the close_id */
	unsigned heads;
	bool keep;
};

static void add(struct heard *h, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h->sum = (h->sum ^ (unsigned char)p[i]) * 0x100000001b3ull;
}

static void take(struct heard *h, const struct up_piece *piece, const struct up_head *head)
{
	if (piece->kind == UP_PIECE_BODY) {
		add(h, piece->data, piece->len);
		h->body += piece->len;
	} else if (piece->kind == UP_PIECE_HEAD || piece->kind == UP_PIECE_INTERIM ||
		   piece->kind == UP_PIECE_TRAILERS) {
		must(head->nfields <= REQ_FIELDS_MAX);
		h->heads++;
		for (unsigned i = 0; i < head->nfields; i++) {
			add(h, head->fields[i].name, head->fields[i].name_len);
			add(h, head->fields[i].value, head->fields[i].value_len);
			must(!memchr(head->fields[i].value, '\n', head->fields[i].value_len));
		}
		if (piece->kind != UP_PIECE_TRAILERS)
			must(head->status >= 100 && head->status < 600);
	}
}

/* Read all of it, in pieces of `step` bytes that lie where nothing is behind them. */
static struct heard hear(const char *text, size_t n, size_t step, const struct up_ask *ask)
{
	static struct up_head head;
	struct heard h = {.sum = 1};
	struct up_answer x = {0};
	struct arena_pool pool;
	struct arena arena;
	size_t at = 0;

	arena_pool_init(&pool, 4096, 256, 0);
	arena_init(&arena, &pool);
	up_http_codec.init(&x, ask, &arena);
	while (h.end == 0) {
		size_t len = n - at < step ? n - at : step, used_all = 0;
		char *copy = malloc(len ? len : 1);

		must(copy);
		memcpy(copy, text + at, len);
		for (;;) {
			struct up_piece piece;
			int64_t used = up_http_codec.decode(
				&x, copy + used_all, len - used_all, &piece, &head);

			if (used < 0) {
				h.end = (int)used;
				break;
			}
			must((size_t)used <= len - used_all);
			used_all += (size_t)used;
			take(&h, &piece, &head);
			if (piece.kind == UP_PIECE_END) {
				h.end = 1;
				break;
			}
			if (piece.kind == UP_PIECE_MORE) {
				must(used_all == len);
				break;
			}
		}
		free(copy);
		at += used_all;
		if (h.end == 0 && at == n) {
			h.end = up_http_codec.eof(&x);
			break;
		}
	}
	h.keep = x.keep;
	arena_reset(&arena);
	arena_pool_done(&pool);
	return h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct up_ask ask = {.method_id = METHOD_GET};
	struct heard whole, cut;

	if (size < 2 || size > 20000)
		return 0;
	if (data[0] & 1)
		ask.method_id = METHOD_HEAD;
	ask.upgrade = data[0] & 2 ? "x" : NULL;
	whole = hear((const char *)data + 2, size - 2, size, &ask);
	cut = hear((const char *)data + 2, size - 2, 1u + data[1] % 64u, &ask);
	must(whole.end == cut.end || (whole.end < 0 && cut.end < 0));
	if (whole.end >= 0)
		must(whole.sum == cut.sum && whole.body == cut.body && whole.heads == cut.heads &&
			whole.keep == cut.keep);
	return 0;
}
