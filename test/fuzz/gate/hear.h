/*
 * hear.h: a backend's answer, read by its codec in pieces, as sums that can be compared: what fuzz_up.c and
 * fuzz_fastcgi.c share.
 */
#ifndef STEAD_TEST_FUZZ_HEAR_H
#define STEAD_TEST_FUZZ_HEAR_H

#include "lib/must.h"
#include "up_codec.h"

#include <stdlib.h>
#include <string.h>

struct heard {
	uint64_t sum, body, log;
	int end; /* 0 more, 1 whole, < 0 minus the close_id */
	unsigned heads;
	bool keep;
};

static inline void add(struct heard *h, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h->sum = (h->sum ^ (unsigned char)p[i]) * 0x100000001b3ull;
}

static inline void take(struct heard *h, const struct up_piece *piece, const struct up_head *head)
{
	if (piece->kind == UP_PIECE_BODY) {
		add(h, piece->data, piece->len);
		h->body += piece->len;
	} else if (piece->kind == UP_PIECE_LOG) {
		add(h, piece->data, piece->len);
		h->log += piece->len;
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
static inline struct heard hear(const struct up_codec *codec, const char *text, size_t n, size_t step,
	const struct up_ask *ask)
{
	static struct up_head head;
	struct heard h = {.sum = 1};
	struct up_answer x = {0};
	struct arena_pool pool;
	struct arena arena;
	size_t at = 0;

	arena_pool_init(&pool, 4096, 256, 0);
	arena_init(&arena, &pool);
	codec->init(&x, ask, &arena);
	while (h.end == 0) {
		size_t len = n - at < step ? n - at : step, used_all = 0;
		char *copy = malloc(len ? len : 1);

		must(copy);
		memcpy(copy, text + at, len);
		for (;;) {
			struct up_piece piece;
			int64_t used = codec->decode(
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
			h.end = codec->eof(&x);
			break;
		}
	}
	h.keep = x.keep;
	arena_reset(&arena);
	arena_pool_done(&pool);
	return h;
}

/* Both were read to the same. */
static inline void must_equal(const struct heard *a, const struct heard *b)
{
	must(a->end == b->end || (a->end < 0 && b->end < 0));
	if (a->end >= 0)
		must(a->sum == b->sum && a->body == b->body && a->log == b->log &&
			a->heads == b->heads && a->keep == b->keep);
}

#endif
