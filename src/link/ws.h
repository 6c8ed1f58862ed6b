/*
 * ws.h: WebSocket's frames from the server's side (RFC 6455 sections 5 to 8), without a socket.
 *
 * Used by python/ and meant for C apps as well. ws_read() is given bytes as they come, in pieces of
 * any size, and stops at each event; the caller sends what ws_frame_head() and ws_close_frame()
 * write. Owns the message that is being put together, whose size is bounded; nothing else is
 * allocated. What a client sends is input: whatever does not hold is WS_ERROR with the close code
 * that tells it, after which nothing more is read.
 */
#ifndef STEAD_LINK_WS_H
#define STEAD_LINK_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ws_opcode { WS_CONTINUE = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };
/* Close codes that are said here. */
enum ws_code {
	WS_NORMAL = 1000,
	WS_GOING_AWAY = 1001,
	WS_PROTOCOL = 1002,
	WS_NO_CODE = 1005,  /* never sent: the close frame was empty */
	WS_ABNORMAL = 1006, /* never sent: there was none */
	WS_BAD_DATA = 1007,
	WS_TOO_BIG = 1009,
	WS_SERVER_ERROR = 1011,
};
enum ws_event {
	WS_NONE = 0, /* all was taken; more is needed */
	WS_GOT_MESSAGE,
	WS_GOT_PING,
	WS_GOT_PONG,
	WS_GOT_CLOSE,
	WS_ERROR,
};
enum { WS_CONTROL_MAX = 125, WS_HEAD_MAX = 10, WS_CLOSE_MAX = 2 + 2 + 123 };

struct ws {
	size_t message_max;
	uint8_t head[14]; /* of the frame that is read, with its mask */
	uint8_t head_len, head_need;
	uint8_t op;    /* of the frame */
	uint8_t whole; /* opcode of the message that is put together; 0: none */
	bool fin, in_frame, deflated, over;
	bool deflate; /* permessage-deflate was agreed (RFC 7692): RSV1 may be set */
	uint8_t mask[4];
	unsigned mask_at;
	uint64_t left; /* of the frame's payload */
	uint32_t utf8; /* where the text stands */
	char *message;
	size_t len, cap;
	char control[WS_CONTROL_MAX];
	uint8_t control_len;
	uint16_t code; /* of the close frame, or of the error */
};

void ws_init(struct ws *w, size_t message_max);
void ws_done(struct ws *w);
/* Take up to n bytes: returns how many. *ret: what happened behind the last of them. */
size_t ws_read(struct ws *w, const char *p, size_t n, enum ws_event *ret);
/* WS_GOT_MESSAGE: text (valid UTF-8, unless it is deflated) or binary; until the next ws_read(). */
const char *ws_message(const struct ws *w, size_t *ret_n, bool *ret_text, bool *ret_deflated);
/* WS_GOT_PING, WS_GOT_PONG: the payload; WS_GOT_CLOSE: the reason, valid UTF-8. */
const char *ws_control(const struct ws *w, size_t *ret_n);
/* WS_GOT_CLOSE: the client's code (WS_NO_CODE: none); WS_ERROR: the one to send. */
static inline uint16_t ws_code(const struct ws *w)
{
	return w->code;
}

/* The head of a frame of n bytes; its length. */
size_t ws_frame_head(char to[static WS_HEAD_MAX], enum ws_opcode op, bool deflated, uint64_t n);
/* A whole close frame; a reason that is too long is cut between characters. WS_NO_CODE: an empty one.
 * Its length. */
size_t ws_close_frame(char to[static WS_CLOSE_MAX], uint16_t code, const char *reason, size_t n);
/* May it stand in a close frame (section 7.4)? */
bool ws_code_ok(unsigned code);
/* Go on validating UTF-8 (RFC 3629) from *state (0 at the beginning, and between characters). */
bool ws_utf8(uint32_t *state, const char *p, size_t n);
/* Is it the value of Sec-WebSocket-Key: 16 bytes in base64 (section 4.1)? */
bool ws_key_ok(const char *p, size_t n);

#endif
