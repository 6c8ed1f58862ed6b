/*
 * fuzz_ws.c: WebSocket's frames from a client, its offer of compression, and what compressed
 * messages unfold to. Whatever comes: the same events whether it comes at once or byte by byte, no
 * message beyond its bound, texts that are UTF-8, codes that may be sent; an answer that is one of
 * ours; any message of ours unfolds to itself.
 */
#include "lib/must.h"
#include "link/ws.h"
#include "link/ws_deflate.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EVENTS_MAX = 64, MESSAGE_MAX = 2000, UNFOLDED_MAX = 20000 };

struct seen {
	unsigned n;
	struct {
		enum ws_event event;
		size_t len;
		uint32_t sum;
		unsigned code;
	} at[EVENTS_MAX];
};

static uint32_t sum_of(const char *p, size_t n)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)p[i]) * 16777619u;
	return h;
}

/* Its sum, or of what went wrong. */
static uint32_t unfolded(const char *p, size_t n)
{
	struct ws_deflate *z = ws_deflate_new();
	uint32_t sum = 1;
	char *own = malloc(n + !n), *all;
	size_t all_n;

	must(z != NULL && own != NULL);
	if (n)
		memcpy(own, p, n);
	if (ws_inflate_message(z, own, n, UNFOLDED_MAX, &all, &all_n) == 0) {
		must(all_n <= UNFOLDED_MAX);
		sum = sum_of(all, all_n);
		free(all);
	}
	free(own);
	ws_deflate_free(z);
	return sum;
}

static void run_offer(const char *p, size_t n)
{
	char agreed[WS_AGREED_MAX], *own = malloc(n + !n);
	unsigned bits;

	must(own != NULL);
	if (n)
		memcpy(own, p, n);
	bits = ws_deflate_agree(own, n, agreed);
	must(!bits || (bits >= WS_WINDOW_MIN && bits <= WS_WINDOW_MAX));
	/* What is said keeps itself: as an offer it would be taken as it is. */
	if (bits) {
		char again[WS_AGREED_MAX];

		must(ws_deflate_agree(agreed, strlen(agreed), again) == bits);
		must(strcmp(agreed, again) == 0);
	}
	free(own);
}

static void run_message(unsigned bits, const char *p, size_t n)
{
	struct ws_deflate *z = ws_deflate_new();
	char *small, *all;
	size_t small_n, all_n;

	must(z != NULL);
	if (ws_deflate_message(z, bits, p, n, &small, &small_n) == 0) {
		must(small_n < n);
		must(ws_inflate_message(z, small, small_n, n, &all, &all_n) == 0);
		must(all_n == n && memcmp(all, p, n) == 0);
		free(all);
		free(small);
	}
	ws_deflate_free(z);
}

static void note(struct seen *s, const struct ws *w, enum ws_event e)
{
	const char *p = "";
	size_t n = 0;
	bool text = false, deflated = false;
	uint32_t utf8 = 0;

	if (e == WS_GOT_MESSAGE) {
		p = ws_message(w, &n, &text, &deflated);
		must(n <= MESSAGE_MAX);
		must(!text || deflated || (ws_utf8(&utf8, p, n) && !utf8));
	} else if (e != WS_ERROR) {
		p = ws_control(w, &n);
		must(n <= WS_CONTROL_MAX);
	}
	must(e != WS_ERROR || ws_code_ok(ws_code(w)));
	if (s->n == EVENTS_MAX)
		return;
	s->at[s->n].event = e;
	s->at[s->n].len = n;
	s->at[s->n].sum = deflated ? unfolded(p, n) : sum_of(p, n);
	s->at[s->n++].code = e == WS_ERROR || e == WS_GOT_CLOSE ? ws_code(w) : 0;
}

static void run(struct seen *s, const char *p, size_t n, size_t step, bool deflate)
{
	struct ws w;

	memset(s, 0, sizeof(*s));
	ws_init(&w, MESSAGE_MAX);
	w.deflate = deflate;
	while (n) {
		size_t piece = n < step ? n : step;
		enum ws_event e;
		/* Of exactly its size, so that a read beyond it is seen. */
		char *own = malloc(piece);
		size_t took;

		must(own != NULL);
		memcpy(own, p, piece);
		took = ws_read(&w, own, piece, &e);
		must(took <= piece && (took || e != WS_NONE));
		free(own);
		p += took;
		n -= took;
		if (e != WS_NONE)
			note(s, &w, e);
	}
	ws_done(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole, bytes, pieces;

	if (!size)
		return 0;
	run_offer((const char *)data + 1, size - 1);
	run_message(WS_WINDOW_MIN + data[0] % 7, (const char *)data + 1, size - 1);
	run(&whole, (const char *)data + 1, size - 1, SIZE_MAX, data[0] & 1);
	run(&bytes, (const char *)data + 1, size - 1, 1, data[0] & 1);
	run(&pieces, (const char *)data + 1, size - 1, 2 + data[0] / 2, data[0] & 1);
	must(memcmp(&whole, &bytes, sizeof(whole)) == 0);
	must(memcmp(&whole, &pieces, sizeof(whole)) == 0);
	return 0;
}
