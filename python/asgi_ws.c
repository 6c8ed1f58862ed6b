/*
 * asgi_ws.c: WebSockets in ASGI's messages (HTTP & WebSocket 2.5, "WebSocket"; RFC 6455).
 *
 * Called by awaitables of asgi_call.c and when the link brings something. Frames are read and written
 * by link/ws.c. What a client sends faster than its app receives stays in the link's window; what an
 * app sends faster than its client reads makes send() wait. Pings, pongs and the closing handshake
 * are kept here, and the app sees messages only.
 */
#include "asgi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	QUEUE_MAX = 64,                /* messages that came and were not received */
	QUEUE_BYTES_MAX = 64 * 1024,   /* … and their bytes, beyond which no more are read */
	SMALL_MAX = 4096,              /* a frame that is put together before it goes */
	CONTROL_OUT_MAX = 16 * 1024,   /* a pong is dropped behind so much that waits */
};

uint64_t asgi_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int asgi_ws_new(struct conn *c)
{
	struct wsock *ws = calloc(1, sizeof(*ws));

	if (!ws) {
		PyErr_NoMemory();
		return -1;
	}
	ws_init(&ws->frames, c->s->message_max);
	ws->code = WS_ABNORMAL;
	ws->queue = PyList_New(0);
	c->ws = ws;
	return ws->queue ? 0 : -1;
}

void asgi_ws_free(struct conn *c)
{
	if (!c->ws)
		return;
	ws_done(&c->ws->frames);
	Py_XDECREF(c->ws->queue);
	Py_XDECREF(c->ws->reason);
	free(c->ws->out);
	free(c->ws);
	c->ws = NULL;
}

/* Out. */

/* The connection has ended, or will when what waits has gone: the app hears of it. */
void asgi_ws_closed(struct conn *c)
{
	c->ws->state = WS_STATE_CLOSED;
	asgi_wake(c, ASGI_RECEIVE);
	asgi_wake(c, ASGI_SEND);
}

void asgi_ws_lost(struct conn *c)
{
	if (c->ws->state != WS_STATE_CLOSED)
		asgi_ws_closed(c);
	c->ws->cut = c->ws->cut || c->ws->out_len;
	c->ws->out_len = c->ws->out_at = 0;
	asgi_conn_end(c);
}

/* As much of what waits as goes. */
static void flush(struct conn *c)
{
	struct wsock *ws = c->ws;

	while (c->req && ws->out_len) {
		size_t took;
		int res = link_req_body(c->req, ws->out + ws->out_at, ws->out_len, false, &took);

		if (res == -EAGAIN) {
			asgi_wait_room(c);
			return;
		}
		if (res < 0) {
			asgi_ws_lost(c);
			return;
		}
		ws->out_at += took;
		ws->out_len -= took;
	}
	if (ws->out_cap > SMALL_MAX) {
		free(ws->out);
		ws->out = NULL;
		ws->out_cap = 0;
	}
	ws->out_at = 0;
	if (ws->end_owed)
		asgi_conn_end(c);
	asgi_wake(c, ASGI_SEND);
}

static bool keep(struct wsock *ws, const char *p, size_t n)
{
	if (ws->out_at + ws->out_len + n > ws->out_cap) {
		size_t cap = ws->out_len + n < 256 ? 256 : ws->out_len + n;
		char *more = malloc(cap);

		if (!more)
			return false;
		if (ws->out_len)
			memcpy(more, ws->out + ws->out_at, ws->out_len);
		free(ws->out);
		ws->out = more;
		ws->out_cap = cap;
		ws->out_at = 0;
	}
	memcpy(ws->out + ws->out_at + ws->out_len, p, n);
	ws->out_len += n;
	return true;
}

/* Bytes behind what waits: straight to the link when nothing does. */
static void put(struct conn *c, const char *p, size_t n)
{
	struct wsock *ws = c->ws;

	while (c->req && n && !ws->out_len) {
		size_t took;
		int res = link_req_body(c->req, p, n, false, &took);

		if (res == -EAGAIN)
			break;
		if (res < 0) {
			asgi_ws_lost(c);
			return;
		}
		p += took;
		n -= took;
	}
	if (!n || !c->req)
		return;
	if (!keep(ws, p, n)) {
		asgi_ws_lost(c);
		return;
	}
	asgi_wait_room(c);
}

static void put_frame(struct conn *c, enum ws_opcode op, bool deflated, const char *p, size_t n)
{
	char frame[WS_HEAD_MAX + SMALL_MAX] __attribute__((uninitialized));
	size_t head = ws_frame_head(frame, op, deflated, n);

	if (n <= SMALL_MAX) {
		if (n)
			memcpy(frame + head, p, n);
		put(c, frame, head + n);
		return;
	}
	put(c, frame, head);
	put(c, p, n);
}

void asgi_ws_put(struct conn *c, enum ws_opcode op, const char *p, size_t n)
{
	put_frame(c, op, false, p, n);
}

void asgi_ws_put_message(struct conn *c, enum ws_opcode op, const char *p, size_t n)
{
	char *small;
	size_t small_n;

	/* Without the memory for it, it goes as it is. */
	if (!c->ws->deflate_bits ||
		ws_deflate_message(c->s->deflate, c->ws->deflate_bits, p, n, &small, &small_n) < 0) {
		put_frame(c, op, false, p, n);
		return;
	}
	put_frame(c, op, true, small, small_n);
	free(small);
}

/* Nothing more is read; the tunnel ends behind what waits. */
static void finish(struct conn *c)
{
	c->ws->end_owed = true;
	if (!c->ws->out_len)
		asgi_conn_end(c);
}

static void put_close(struct conn *c, uint16_t code, const char *reason, size_t n)
{
	char frame[WS_CLOSE_MAX];

	put(c, frame, ws_close_frame(frame, code, reason, n));
}

void asgi_ws_close_with(struct conn *c, uint16_t code, const char *reason, size_t n)
{
	struct wsock *ws = c->ws;

	if (ws->state != WS_STATE_OPEN)
		return;
	ws->code = code;
	ws->state = WS_STATE_CLOSING;
	ws->due_ms = asgi_now_ms() + c->s->close_ms;
	put_close(c, code, reason, n);
	asgi_wake(c, ASGI_SEND);
	/* What the app has not received it will not; and the client's close must be read. */
	(void)asgi_ws_pump(c);
}

void asgi_ws_close(struct conn *c, uint16_t code, const char *reason)
{
	asgi_ws_close_with(c, code, reason, strlen(reason));
}

/* In. */

/* The client broke a rule, or its connection ends without one of its own. */
static void end_with(struct conn *c, uint16_t code)
{
	if (c->ws->state == WS_STATE_OPEN) {
		c->ws->code = code;
		put_close(c, code, "", 0);
	}
	if (c->ws->state != WS_STATE_CLOSED)
		asgi_ws_closed(c);
	finish(c);
}

static int queue_message(struct conn *c, bool text, const char *p, size_t n)
{
	struct wsock *ws = c->ws;
	PyObject *o;
	int res;

	o = text ? PyUnicode_DecodeUTF8(p, (Py_ssize_t)n, NULL)
		 : PyBytes_FromStringAndSize(p, (Py_ssize_t)n);
	res = o ? PyList_Append(ws->queue, o) : -1;
	Py_XDECREF(o);
	ws->queue_bytes += n;
	asgi_wake(c, ASGI_RECEIVE);
	return res;
}

/* One that came compressed: only now is it known whether a text is one. */
static int got_deflated(struct conn *c, bool text, const char *p, size_t n)
{
	uint32_t utf8 = 0;
	char *all;
	int res = ws_inflate_message(c->s->deflate, p, n, c->s->message_max, &all, &n);

	if (res < 0) {
		end_with(c, res == -EBADMSG ? WS_BAD_DATA : WS_TOO_BIG);
		return 0;
	}
	if (text && (!ws_utf8(&utf8, all, n) || utf8))
		end_with(c, WS_BAD_DATA);
	else
		res = queue_message(c, text, all, n);
	free(all);
	return res;
}

static int got_message(struct conn *c)
{
	bool text, deflated;
	size_t n;
	const char *p = ws_message(&c->ws->frames, &n, &text, &deflated);

	if (c->ws->state != WS_STATE_OPEN || c->app_done)
		return 0;
	return deflated ? got_deflated(c, text, p, n) : queue_message(c, text, p, n);
}

static void got_close(struct conn *c)
{
	struct wsock *ws = c->ws;
	uint16_t code = ws_code(&ws->frames);
	size_t n;
	const char *reason = ws_control(&ws->frames, &n);

	if (ws->state == WS_STATE_OPEN) {
		ws->code = code;
		ws->reason = PyUnicode_DecodeUTF8(reason, (Py_ssize_t)n, "replace");
		PyErr_Clear();
		put_close(c, code, "", 0);
	}
	if (ws->state != WS_STATE_CLOSED)
		asgi_ws_closed(c);
	finish(c);
}

static int got(struct conn *c, enum ws_event e)
{
	const char *p;
	size_t n;

	switch (e) {
	case WS_GOT_MESSAGE:
		return got_message(c);
	case WS_GOT_PING:
		p = ws_control(&c->ws->frames, &n);
		if (c->ws->state == WS_STATE_OPEN && c->ws->out_len < CONTROL_OUT_MAX)
			asgi_ws_put(c, WS_PONG, p, n);
		return 0;
	case WS_GOT_PONG:
		c->ws->ping_sent = false;
		return 0;
	case WS_GOT_CLOSE:
		got_close(c);
		return 0;
	case WS_ERROR:
		end_with(c, ws_code(&c->ws->frames));
		return 0;
	default:
		return 0;
	}
}

bool asgi_ws_wants_more(const struct conn *c)
{
	const struct wsock *ws = c->ws;

	if (!c->req || ws->end_owed)
		return false;
	/* While it closes only the client's close frame is looked for. */
	return ws->state == WS_STATE_CLOSING ||
	       (ws->state == WS_STATE_OPEN && PyList_Size(ws->queue) < QUEUE_MAX &&
		       ws->queue_bytes < QUEUE_BYTES_MAX);
}

int asgi_ws_pump(struct conn *c)
{
	struct wsock *ws = c->ws;
	char piece[16 * 1024] __attribute__((uninitialized));
	int res = 0;

	if (ws->state == WS_STATE_CONNECTING || ws->state == WS_STATE_DENYING) {
		if (asgi_conn_gone(c)) {
			if (ws->state == WS_STATE_CONNECTING)
				asgi_ws_lost(c);
			else
				asgi_wake(c, ASGI_RECEIVE);
		}
		return 0;
	}
	if (c->req && link_req_away(c->req))
		asgi_ws_close_with(c, WS_GOING_AWAY, "the server ends", 15);
	flush(c);
	while (!res && asgi_ws_wants_more(c)) {
		long n = link_req_read(c->req, piece, sizeof(piece));

		if (n == -EAGAIN)
			break;
		if (n <= 0) {
			asgi_ws_lost(c);
			break;
		}
		for (size_t at = 0; !res && at < (size_t)n && c->req && !ws->end_owed;) {
			enum ws_event e;

			at += ws_read(&ws->frames, piece + at, (size_t)n - at, &e);
			res = got(c, e);
		}
	}
	return res;
}

void asgi_ws_app_done(struct conn *c, bool failed)
{
	switch (c->ws->state) {
	case WS_STATE_CONNECTING:
	case WS_STATE_DENYING:
		if (c->req)
			asgi_conn_fail(c);
		if (!c->complete)
			asgi_ws_closed(c);
		return;
	case WS_STATE_OPEN:
		asgi_ws_close(c, failed ? WS_SERVER_ERROR : WS_NORMAL, "");
		return;
	default:
		return;
	}
}

void asgi_ws_tick(struct conn *c, uint64_t now)
{
	struct wsock *ws = c->ws;

	if (!c->req || now < ws->due_ms)
		return;
	if (ws->state == WS_STATE_OPEN && ws->ping_sent) {
		/* It answered no ping. */
		ws->code = WS_ABNORMAL;
		put_close(c, WS_SERVER_ERROR, "no pong", 7);
		asgi_ws_closed(c);
		ws->out_len = ws->out_at = 0;
		finish(c);
	} else if (ws->state == WS_STATE_OPEN && c->s->ping_ms) {
		ws->ping_sent = true;
		ws->due_ms = now + c->s->ping_ms;
		asgi_ws_put(c, WS_PING, "", 0);
	} else if (ws->state == WS_STATE_CLOSING || ws->end_owed) {
		asgi_ws_lost(c);
	}
}
