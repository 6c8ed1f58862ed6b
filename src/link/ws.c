/*
 * ws.c: see ws.h. The frame's head byte by byte, its payload in pieces; control frames may stand
 * between the frames of a message (RFC 6455 section 5.4), so each kind has its own memory.
 */
#include "link/ws.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD_MIN = 2, MASK_BYTES = 4 };

void ws_init(struct ws *w, size_t message_max)
{
	memset(w, 0, sizeof(*w));
	w->message_max = message_max;
	w->head_need = HEAD_MIN;
}

void ws_done(struct ws *w)
{
	free(w->message);
	w->message = NULL;
	w->len = w->cap = 0;
}

/*
 * The state is what is still expected of a character: how many bytes in bits 0-1, and the bounds of
 * the next of them in bits 8-15 and 16-23; 0 between characters.
 */
static uint32_t expect(unsigned more, uint32_t low, uint32_t high)
{
	return more | low << 8 | high << 16;
}

static bool first_byte(uint8_t c, uint32_t *state)
{
	if (c >= 0xc2 && c <= 0xdf)
		*state = expect(1, 0x80, 0xbf);
	else if (c == 0xe0)
		*state = expect(2, 0xa0, 0xbf);
	else if (c == 0xed)
		*state = expect(2, 0x80, 0x9f); /* no surrogates */
	else if (c >= 0xe1 && c <= 0xef)
		*state = expect(2, 0x80, 0xbf);
	else if (c == 0xf0)
		*state = expect(3, 0x90, 0xbf);
	else if (c >= 0xf1 && c <= 0xf3)
		*state = expect(3, 0x80, 0xbf);
	else if (c == 0xf4)
		*state = expect(3, 0x80, 0x8f);
	else
		return false;
	return true;
}

bool ws_utf8(uint32_t *state, const char *p, size_t n)
{
	const uint8_t *at = (const uint8_t *)p, *end = at + n;

	while (at < end) {
		uint64_t eight;

		if (!*state && end - at >= 8) {
			memcpy(&eight, at, 8);
			if (!(eight & 0x8080808080808080ull)) {
				at += 8;
				continue;
			}
		}
		if (*state) {
			unsigned more = *state & 3;

			if (*at < (*state >> 8 & 0xff) || *at > (*state >> 16 & 0xff))
				return false;
			*state = more > 1 ? expect(more - 1, 0x80, 0xbf) : 0;
		} else if (*at >= 0x80 && !first_byte(*at, state)) {
			return false;
		}
		at++;
	}
	return true;
}

bool ws_code_ok(unsigned code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
	       (code >= 3000 && code <= 4999);
}

bool ws_key_ok(const char *p, size_t n)
{
	static const char last[] = "AQgw"; /* two bits of the sixteenth byte, then zeros */

	if (n != 24 || p[22] != '=' || p[23] != '=' || !p[21] || !strchr(last, p[21]))
		return false;
	for (size_t i = 0; i < 22; i++) {
		char c = p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '+' || c == '/'))
			return false;
	}
	return true;
}

static enum ws_event fail(struct ws *w, uint16_t code)
{
	w->over = true;
	w->code = code;
	return WS_ERROR;
}

static bool is_control(uint8_t op)
{
	return op & 8;
}

/* The first two bytes: what may stand there now, and how long the head is. */
static bool begin_head(struct ws *w)
{
	uint8_t op = w->head[0] & 0x0f, n = w->head[1] & 0x7f;
	bool rsv1 = w->head[0] & 0x40;

	w->op = op;
	w->fin = w->head[0] & 0x80;
	if (w->head[0] & 0x30 || !(w->head[1] & 0x80))
		return false;
	/* RSV1 stands on the first frame of a message only (RFC 7692 section 6). */
	if (rsv1 && (!w->deflate || (op != WS_TEXT && op != WS_BINARY)))
		return false;
	if (is_control(op)) {
		if (op > WS_PONG || !w->fin || n > WS_CONTROL_MAX)
			return false;
	} else if (op > WS_BINARY || (op == WS_CONTINUE) != (w->whole != 0)) {
		return false;
	}
	if (op == WS_TEXT || op == WS_BINARY)
		w->deflated = rsv1;
	w->head_need = (uint8_t)(HEAD_MIN + (n == 126 ? 2 : n == 127 ? 8 : 0) + MASK_BYTES);
	return true;
}

static enum ws_event begin_frame(struct ws *w)
{
	uint8_t n = w->head[1] & 0x7f;
	const uint8_t *p = w->head + HEAD_MIN;

	w->left = n;
	if (n == 126) {
		w->left = (uint64_t)p[0] << 8 | p[1];
		p += 2;
		if (w->left < 126)
			return fail(w, WS_PROTOCOL);
	} else if (n == 127) {
		w->left = 0;
		for (int i = 0; i < 8; i++)
			w->left = w->left << 8 | *p++;
		if (w->left < 65536 || w->left >> 63)
			return fail(w, WS_PROTOCOL);
	}
	memcpy(w->mask, p, MASK_BYTES);
	w->mask_at = 0;
	w->head_len = 0;
	w->head_need = HEAD_MIN;
	w->in_frame = true;
	if (is_control(w->op)) {
		w->control_len = 0;
		return WS_NONE;
	}
	if (w->op != WS_CONTINUE) {
		w->whole = w->op;
		w->len = 0;
		w->utf8 = 0;
	}
	/* Before a byte of it is read. */
	if (w->left > w->message_max - w->len)
		return fail(w, WS_TOO_BIG);
	return WS_NONE;
}

static size_t take_head(struct ws *w, const char *p, size_t n, enum ws_event *ret)
{
	size_t at = 0;

	while (at < n && w->head_len < w->head_need) {
		w->head[w->head_len++] = (uint8_t)p[at++];
		if (w->head_len == HEAD_MIN && !begin_head(w)) {
			*ret = fail(w, WS_PROTOCOL);
			return at;
		}
	}
	if (w->head_len == w->head_need)
		*ret = begin_frame(w);
	return at;
}

/* Unmask n bytes, eight at a time (section 5.3). */
static void unmask(struct ws *w, char *to, const char *from, size_t n)
{
	uint8_t turned[8];
	uint64_t mask, word;
	size_t i = 0;

	for (unsigned k = 0; k < 8; k++)
		turned[k] = w->mask[(w->mask_at + k) % MASK_BYTES];
	memcpy(&mask, turned, 8);
	for (; i + 8 <= n; i += 8) {
		memcpy(&word, from + i, 8);
		word ^= mask;
		memcpy(to + i, &word, 8);
	}
	for (; i < n; i++)
		to[i] = (char)(from[i] ^ turned[i % 8]);
	w->mask_at = (unsigned)((w->mask_at + n) % MASK_BYTES);
}

/* Memory grows with what comes, not with what a head promises. */
static bool make_room(struct ws *w, size_t n)
{
	size_t cap = w->cap ? w->cap : 256;
	char *more;

	if (w->len + n <= w->cap)
		return true;
	while (cap < w->len + n)
		cap *= 2;
	more = realloc(w->message, cap);
	if (!more)
		return false;
	w->message = more;
	w->cap = cap;
	return true;
}

static enum ws_event end_close(struct ws *w)
{
	uint32_t utf8 = 0;

	w->over = true;
	w->code = WS_NO_CODE;
	if (!w->control_len)
		return WS_GOT_CLOSE;
	if (w->control_len == 1)
		return fail(w, WS_PROTOCOL);
	w->code = (uint16_t)((uint8_t)w->control[0] << 8 | (uint8_t)w->control[1]);
	if (!ws_code_ok(w->code))
		return fail(w, WS_PROTOCOL);
	if (!ws_utf8(&utf8, w->control + 2, w->control_len - 2u) || utf8)
		return fail(w, WS_BAD_DATA);
	return WS_GOT_CLOSE;
}

static enum ws_event end_frame(struct ws *w)
{
	w->in_frame = false;
	switch (w->op) {
	case WS_PING:
		return WS_GOT_PING;
	case WS_PONG:
		return WS_GOT_PONG;
	case WS_CLOSE:
		return end_close(w);
	default:
		break;
	}
	if (!w->fin)
		return WS_NONE;
	if (w->whole == WS_TEXT && w->utf8 && !w->deflated)
		return fail(w, WS_BAD_DATA);
	w->op = w->whole;
	w->whole = 0;
	return WS_GOT_MESSAGE;
}

static size_t take_payload(struct ws *w, const char *p, size_t n, enum ws_event *ret)
{
	char *to;

	if (n > w->left)
		n = (size_t)w->left;
	if (is_control(w->op)) {
		unmask(w, w->control + w->control_len, p, n);
		w->control_len = (uint8_t)(w->control_len + n);
	} else if (n) {
		if (!make_room(w, n)) {
			*ret = fail(w, WS_TOO_BIG);
			return 0;
		}
		to = w->message + w->len;
		unmask(w, to, p, n);
		w->len += n;
		if (w->whole == WS_TEXT && !w->deflated && !ws_utf8(&w->utf8, to, n)) {
			*ret = fail(w, WS_BAD_DATA);
			return n;
		}
	}
	w->left -= n;
	if (!w->left)
		*ret = end_frame(w);
	return n;
}

size_t ws_read(struct ws *w, const char *p, size_t n, enum ws_event *ret)
{
	size_t at = 0;

	*ret = WS_NONE;
	/* A large message's memory goes when the next thing is read. */
	if (!w->whole && w->cap > 65536)
		ws_done(w);
	while (!w->over && *ret == WS_NONE && (at < n || (w->in_frame && !w->left))) {
		if (w->in_frame)
			at += take_payload(w, p + at, n - at, ret);
		else
			at += take_head(w, p + at, n - at, ret);
	}
	return w->over && *ret == WS_NONE ? n : at;
}

const char *ws_message(const struct ws *w, size_t *ret_n, bool *ret_text, bool *ret_deflated)
{
	*ret_n = w->len;
	*ret_text = w->op == WS_TEXT;
	*ret_deflated = w->deflated;
	return w->len ? w->message : "";
}

const char *ws_control(const struct ws *w, size_t *ret_n)
{
	bool code = w->op == WS_CLOSE && w->control_len >= 2;

	*ret_n = w->control_len - (code ? 2u : 0u);
	return w->control + (code ? 2 : 0);
}

size_t ws_frame_head(char to[static WS_HEAD_MAX], enum ws_opcode op, bool deflated, uint64_t n)
{
	to[0] = (char)(0x80 | (deflated ? 0x40 : 0) | op);
	if (n < 126) {
		to[1] = (char)n;
		return 2;
	}
	if (n < 65536) {
		to[1] = 126;
		to[2] = (char)(n >> 8);
		to[3] = (char)n;
		return 4;
	}
	to[1] = 127;
	for (int i = 0; i < 8; i++)
		to[2 + i] = (char)(n >> (56 - 8 * i));
	return 10;
}

size_t ws_close_frame(char to[static WS_CLOSE_MAX], uint16_t code, const char *reason, size_t n)
{
	if (code == WS_NO_CODE)
		return ws_frame_head(to, WS_CLOSE, false, 0);
	if (n > WS_CONTROL_MAX - 2) {
		n = WS_CONTROL_MAX - 2;
		while (n && ((uint8_t)reason[n] & 0xc0) == 0x80)
			n--;
	}
	(void)ws_frame_head(to, WS_CLOSE, false, n + 2);
	to[2] = (char)(code >> 8);
	to[3] = (char)code;
	if (n)
		memcpy(to + 4, reason, n);
	return n + 4;
}
