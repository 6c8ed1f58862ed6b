/*
 * asgi_ws_app.c: WebSockets as the app sees them: what it receives and what it sends.
 *
 * Called by awaitables of asgi_call.c. The connection itself is asgi_ws.c's.
 */
#include "asgi.h"

#include <errno.h>
#include <string.h>

static PyObject *message_of(struct asgi *s, enum asgi_name type)
{
	PyObject *m = PyDict_New();

	if (m && PyDict_SetItem(m, s->name[ASGI_type], s->name[type]) < 0)
		Py_CLEAR(m);
	return m;
}

static PyObject *disconnect(struct conn *c)
{
	struct asgi *s = c->s;
	PyObject *m = message_of(s, ASGI_ws_disconnect), *code = PyLong_FromLong(c->ws->code);
	PyObject *reason = c->ws->reason ? c->ws->reason : s->name[ASGI_empty];

	if (!m || !code || PyDict_SetItem(m, s->name[ASGI_code], code) < 0 ||
		PyDict_SetItem(m, s->name[ASGI_reason], reason) < 0)
		Py_CLEAR(m);
	Py_XDECREF(code);
	return m;
}

static PyObject *next_message(struct conn *c)
{
	struct asgi *s = c->s;
	struct wsock *ws = c->ws;
	PyObject *o = PyList_GetItem(ws->queue, 0), *m = message_of(s, ASGI_ws_receive);
	bool text = PyUnicode_Check(o);

	if (!m || PyDict_SetItem(m, s->name[text ? ASGI_text : ASGI_bytes], o) < 0 ||
		PyList_SetSlice(ws->queue, 0, 1, NULL) < 0)
		Py_CLEAR(m);
	/* Beyond the bound or not is all that the sum is for. */
	if (PyList_Size(ws->queue) == 0)
		ws->queue_bytes = 0;
	if (m && asgi_ws_wants_more(c) && asgi_ws_pump(c) < 0)
		Py_CLEAR(m);
	return m;
}

PyObject *asgi_ws_receive(struct conn *c)
{
	struct wsock *ws = c->ws;

	if (!ws->connect_told) {
		ws->connect_told = true;
		return message_of(c->s, ASGI_ws_connect);
	}
	if (PyList_Size(ws->queue) && ws->state != WS_STATE_CLOSING)
		return next_message(c);
	if (ws->state == WS_STATE_CLOSED || c->complete ||
		(ws->state == WS_STATE_DENYING && asgi_conn_gone(c)))
		return disconnect(c);
	return NULL;
}

static int put_accept(struct conn *c, PyObject *message)
{
	struct asgi *s = c->s;
	PyObject *protocol = asgi_get(s, message, ASGI_subprotocol), *bytes = NULL, *key;
	char *p;
	Py_ssize_t n;
	int res = -1;

	key = PyObject_CallFunction(
		s->accept_key, "y#", c->ws->key, (Py_ssize_t)sizeof(c->ws->key));
	if (!key || head_begin(&c->head, 101, "", 0) < 0 || PyBytes_AsStringAndSize(key, &p, &n) < 0 ||
		head_field(&c->head, "Sec-WebSocket-Accept", p, (size_t)n) < 0)
		goto out;
	if (protocol && protocol != Py_None) {
		bytes = PyUnicode_Check(protocol) ? PyUnicode_AsLatin1String(protocol) : NULL;
		if (!bytes) {
			if (!PyErr_Occurred())
				PyErr_SetString(PyExc_TypeError, "`subprotocol` must be a str");
			goto out;
		}
		if (PyBytes_AsStringAndSize(bytes, &p, &n) < 0 ||
			head_name(&c->head, Py_None, "Sec-WebSocket-Protocol", 22) < 0 ||
			head_value(&c->head, protocol, protocol, p, (size_t)n) < 0)
			goto out;
	}
	if (c->ws->deflate_bits && !s->deflate)
		s->deflate = ws_deflate_new();
	if (!s->deflate)
		c->ws->deflate_bits = 0;
	if (c->ws->deflate_bits && head_field(&c->head, "Sec-WebSocket-Extensions", c->ws->extension,
					   strlen(c->ws->extension)) < 0)
		goto out;
	if (asgi_put_headers(c, asgi_get(s, message, ASGI_headers), true) < 0 ||
		head_end(&c->head) < 0)
		goto out;
	res = PyErr_Occurred() ? -1 : 0;
out:
	Py_XDECREF(key);
	Py_XDECREF(bytes);
	return res;
}

static PyObject *do_accept(struct conn *c, PyObject *message)
{
	int res;

	if (put_accept(c, message) < 0)
		return NULL;
	res = link_req_tunnel(c->req, c->head.p, c->head.len);
	if (res == -EAGAIN) {
		asgi_wait_room(c);
		return NULL;
	}
	if (res < 0) {
		asgi_ws_lost(c);
		return asgi_raise_gone(c);
	}
	head_done(&c->head);
	c->ws->state = WS_STATE_OPEN;
	c->ws->frames.deflate = c->ws->deflate_bits != 0;
	c->ws->due_ms = asgi_now_ms() + c->s->ping_ms;
	if (asgi_ws_pump(c) < 0)
		return NULL;
	return asgi_none();
}

static PyObject *do_send(struct conn *c, struct wait *w)
{
	struct asgi *s = c->s;
	PyObject *text = asgi_get(s, w->message, ASGI_text);
	PyObject *bytes = asgi_get(s, w->message, ASGI_bytes);
	char *p;
	Py_ssize_t n;

	if (w->begun)
		return c->ws->out_len ? NULL : asgi_none();
	if (c->ws->out_len)
		return NULL;
	text = text == Py_None ? NULL : text;
	bytes = bytes == Py_None ? NULL : bytes;
	if (PyErr_Occurred())
		return NULL;
	if ((text != NULL) == (bytes != NULL)) {
		PyErr_SetString(PyExc_ValueError,
			"a message has exactly one of `text` and `bytes`");
		return NULL;
	}
	if (text && PyUnicode_Check(text)) {
		w->data = PyUnicode_AsUTF8String(text);
	} else if (bytes && PyBytes_Check(bytes)) {
		Py_INCREF(bytes);
		w->data = bytes;
	} else if (bytes && (PyByteArray_Check(bytes) || PyObject_TypeCheck(bytes, &PyMemoryView_Type))) {
		w->data = PyBytes_FromObject(bytes);
	} else {
		PyErr_SetString(PyExc_TypeError, "`text` must be a str, and `bytes` bytes");
	}
	if (!w->data || PyBytes_AsStringAndSize(w->data, &p, &n) < 0)
		return NULL;
	asgi_ws_put_message(c, text ? WS_TEXT : WS_BINARY, p, (size_t)n);
	w->begun = true;
	if (c->ws->state == WS_STATE_CLOSED)
		return asgi_raise_gone(c);
	return c->ws->out_len ? NULL : asgi_none();
}

static PyObject *do_close(struct conn *c, PyObject *message)
{
	struct asgi *s = c->s;
	PyObject *code = asgi_get(s, message, ASGI_code), *bytes = NULL;
	PyObject *reason = asgi_get(s, message, ASGI_reason);
	long number = code && code != Py_None ? PyLong_AsLong(code) : WS_NORMAL;
	char *p = "";
	Py_ssize_t n = 0;

	if (PyErr_Occurred())
		return NULL;
	if (!ws_code_ok((unsigned)number) || number < 0) {
		PyErr_Format(PyExc_ValueError, "not a close code: %ld", number);
		return NULL;
	}
	if (reason && reason != Py_None) {
		bytes = PyUnicode_Check(reason) ? PyUnicode_AsUTF8String(reason) : NULL;
		if (!bytes || PyBytes_AsStringAndSize(bytes, &p, &n) < 0) {
			if (!PyErr_Occurred())
				PyErr_SetString(PyExc_TypeError, "`reason` must be a str");
			Py_XDECREF(bytes);
			return NULL;
		}
	}
	asgi_ws_close_with(c, (uint16_t)number, p, (size_t)n);
	Py_XDECREF(bytes);
	return asgi_none();
}

/* 403, as the handshake's answer. */
static PyObject *deny(struct conn *c)
{
	size_t took;
	int res;

	if (head_begin(&c->head, 403, "", 0) < 0 || head_end(&c->head) < 0)
		return NULL;
	head_set_length(&c->head, 0);
	res = link_req_head(c->req, c->head.p, c->head.len, "", 0, true, &took);
	if (res == -EAGAIN) {
		asgi_wait_room(c);
		return NULL;
	}
	asgi_ws_closed(c);
	asgi_conn_end(c);
	return asgi_none();
}

enum act { ACT_NONE, ACT_ACCEPT, ACT_SEND, ACT_CLOSE, ACT_START, ACT_BODY };

static enum act act_of(struct conn *c, PyObject *message)
{
	static const char *const types[] = {[ACT_SEND] = "websocket.send",
		[ACT_ACCEPT] = "websocket.accept",
		[ACT_CLOSE] = "websocket.close",
		[ACT_START] = "websocket.http.response.start",
		[ACT_BODY] = "websocket.http.response.body"};
	PyObject *type;

	if (!PyDict_Check(message)) {
		PyErr_Format(PyExc_TypeError, "a message must be a dict, not %R",
			(PyObject *)Py_TYPE(message));
		return ACT_NONE;
	}
	type = asgi_get(c->s, message, ASGI_type);
	for (int i = ACT_ACCEPT; type && PyUnicode_Check(type) && i <= ACT_BODY; i++)
		if (PyUnicode_CompareWithASCIIString(type, types[i]) == 0)
			return (enum act)i;
	if (!PyErr_Occurred())
		PyErr_Format(PyExc_ValueError, "a WebSocket has no message of type %R",
			type ? type : Py_None);
	return ACT_NONE;
}

static PyObject *wrong(const char *when)
{
	return PyErr_Format(PyExc_RuntimeError, "this message may not be sent %s", when);
}

PyObject *asgi_ws_send(struct conn *c, struct wait *w)
{
	struct wsock *ws = c->ws;
	enum act act = act_of(c, w->message);

	if (act == ACT_NONE)
		return NULL;
	if (ws->state == WS_STATE_CONNECTING && asgi_conn_gone(c))
		asgi_ws_lost(c);
	switch (ws->state) {
	case WS_STATE_CONNECTING:
		if (act == ACT_ACCEPT)
			return do_accept(c, w->message);
		if (act == ACT_CLOSE)
			return deny(c);
		if (act == ACT_SEND)
			return wrong("before the WebSocket is accepted");
		ws->state = WS_STATE_DENYING;
		return asgi_response(c, w, act == ACT_START ? "start" : "body");
	case WS_STATE_DENYING:
		if (act == ACT_START || act == ACT_BODY)
			return asgi_response(c, w, act == ACT_START ? "start" : "body");
		return wrong("behind an HTTP response");
	case WS_STATE_OPEN:
		if (act == ACT_SEND)
			return do_send(c, w);
		if (act == ACT_CLOSE)
			return do_close(c, w->message);
		return wrong("when the WebSocket is open");
	default:
		/* All of it went, and the client's close came before the app was told so. */
		if (act == ACT_SEND && w->begun && !ws->out_len && !ws->cut)
			return asgi_none();
		/* Closing what is closed is nobody's fault. */
		return act == ACT_CLOSE ? asgi_none() : asgi_raise_gone(c);
	}
}
