/*
 * ws_deflate.h: WebSocket messages compressed each by itself (RFC 7692, permessage-deflate).
 *
 * Used by python/ beside link/ws.h. Neither side takes its window from one message to the next
 * (server_no_context_takeover, client_no_context_takeover): so one struct serves any number of
 * connections of a thread, its memory does not grow with them, and what one message says never
 * shows in the length of another. What a client sends is input: the text of its offer is read
 * strictly, and what its bytes unfold to is bounded before it is kept.
 */
#ifndef STEAD_LINK_WS_DEFLATE_H
#define STEAD_LINK_WS_DEFLATE_H

#include <stddef.h>
#include <stdint.h>

enum {
	WS_WINDOW_MIN = 9, /* 8 is an offer's right, but zlib writes none so small */
	WS_WINDOW_MAX = 15,
	WS_AGREED_MAX = 112,    /* bytes of an answer, with its NUL */
	WS_OFFERS_MAX = 16,     /* looked at; behind them nothing is agreed */
	WS_DEFLATE_SMALL = 128, /* a message below it is not worth it */
};

struct ws_deflate;

/* About 300 KB once both ways were used. NULL: no memory. */
struct ws_deflate *ws_deflate_new(void);
void ws_deflate_free(struct ws_deflate *z);
/* The value of Sec-WebSocket-Extensions: the first offer that can be kept (section 5). The answer's
 * value is written to `to`. Returns the window's bits for what is sent, 0: nothing is agreed, also
 * when any part of the value is malformed (RFC 6455 section 9.1). */
unsigned ws_deflate_agree(const char *offer, size_t n, char to[static WS_AGREED_MAX]);
/* n bytes, compressed with that window. 0: *ret (malloc, the caller's) and *ret_n. -ENOSPC: it
 * would not become shorter, send it as it is; -ENOMEM. */
int ws_deflate_message(
	struct ws_deflate *z, unsigned bits, const char *p, size_t n, char **ret, size_t *ret_n);
/* What n bytes of a message unfold to, at most `max`. 0: *ret (malloc, the caller's) and *ret_n.
 * -EMSGSIZE: more than max; -EBADMSG: no DEFLATE; -ENOMEM. */
int ws_inflate_message(
	struct ws_deflate *z, const char *p, size_t n, size_t max, char **ret, size_t *ret_n);

#endif
