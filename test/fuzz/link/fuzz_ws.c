/*
 * fuzz_ws.c: WebSocket's frames from a client. Whatever comes: the same events whether it comes at
 * once or byte by byte, no message beyond its bound, texts that are UTF-8, codes that may be sent.
 */
#include "lib/must.h"
#include "link/ws.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EVENTS_MAX = 64, MESSAGE_MAX = 2000 };

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
	s->at[s->n].sum = sum_of(p, n);
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
	run(&whole, (const char *)data + 1, size - 1, SIZE_MAX, data[0] & 1);
	run(&bytes, (const char *)data + 1, size - 1, 1, data[0] & 1);
	run(&pieces, (const char *)data + 1, size - 1, 2 + data[0] / 2, data[0] & 1);
	must(memcmp(&whole, &bytes, sizeof(whole)) == 0);
	must(memcmp(&whole, &pieces, sizeof(whole)) == 0);
	return 0;
}
