/*
 * asgi_http.c: HTTP in ASGI's messages (HTTP & WebSocket 2.5, "HTTP").
 *
 * Called by awaitables of asgi_call.c. The head goes with the first piece of the body, so that an
 * answer of one piece is one frame; every piece goes to the link before its send() returns. Bodies
 * move by the link's windows: what is not taken is not read.
 */
#include "asgi.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BODY_PIECE = 64 * 1024, STATUS_MIN = 200, STATUS_MAX = 999 };

static PyObject *disconnect(struct conn *c)
{
	PyObject *m = PyDict_New();

	if (m && PyDict_SetItem(m, c->s->name[ASGI_type], c->s->name[ASGI_http_disconnect]) < 0)
		Py_CLEAR(m);
	return m;
}

static PyObject *request(struct conn *c, const char *p, size_t n, bool more)
{
	struct asgi *s = c->s;
	PyObject *m = PyDict_New(), *body = PyBytes_FromStringAndSize(p, (Py_ssize_t)n);

	if (!m || !body || PyDict_SetItem(m, s->name[ASGI_type], s->name[ASGI_http_request]) < 0 ||
		PyDict_SetItem(m, s->name[ASGI_body], body) < 0 ||
		PyDict_SetItem(m, s->name[ASGI_more_body], more ? Py_True : Py_False) < 0)
		Py_CLEAR(m);
	Py_XDECREF(body);
	c->body_told = !more;
	return m;
}

/* Apart from the rest: most requests have none, and need not touch so much of the stack. */
__attribute__((noinline)) static PyObject *receive_body(struct conn *c)
{
	char piece[BODY_PIECE] __attribute__((uninitialized));
	size_t n = 0;
	long got = 0;

	/* What lies there at once is one message. */
	while (n < sizeof(piece) && (got = link_req_read(c->req, piece + n, sizeof(piece) - n)) > 0)
		n += (size_t)got;
	if (got == -EPIPE && !n)
		return disconnect(c);
	if (got == -EAGAIN && !n)
		return NULL;
	return request(c, piece, n, !link_req_body_over(c->req));
}

PyObject *asgi_http_receive(struct conn *c)
{
	if (c->complete || asgi_conn_gone(c))
		return disconnect(c);
	if (c->body_told)
		return NULL;
	return link_req_has_body(c->req) ? receive_body(c) : request(c, NULL, 0, false);
}

static int put_bytes(struct conn *c, PyObject *name, PyObject *value, bool accepting)
{
	char *p;
	Py_ssize_t n;

	if (!PyBytes_Check(name) || !PyBytes_Check(value)) {
		PyErr_Format(
			PyExc_TypeError, "header fields must be bytes, not %R: %R", name, value);
		return -1;
	}
	if (PyBytes_AsStringAndSize(name, &p, &n) < 0)
		return -1;
	if (accepting && n == 24 && strncasecmp(p, "sec-websocket-extensions", 24) == 0) {
		PyErr_SetString(PyExc_ValueError,
			"sec-websocket-extensions is said by the server, not by a header");
		return -1;
	}
	if (accepting && n == 22 && strncasecmp(p, "sec-websocket-protocol", 22) == 0) {
		PyErr_SetString(PyExc_ValueError,
			"sec-websocket-protocol is said by `subprotocol`, not by a header");
		return -1;
	}
	if (head_name(&c->head, name, p, (size_t)n) < 0 ||
		PyBytes_AsStringAndSize(value, &p, &n) < 0)
		return -1;
	return head_value(&c->head, name, value, p, (size_t)n);
}

static int put_pair(struct conn *c, PyObject *pair, bool accepting)
{
	PyObject *name, *value;
	int res;

	if (PyTuple_Check(pair) && PyTuple_Size(pair) == 2)
		return put_bytes(c, PyTuple_GetItem(pair, 0), PyTuple_GetItem(pair, 1), accepting);
	if (PySequence_Size(pair) != 2) {
		if (!PyErr_Occurred())
			PyErr_Format(PyExc_ValueError, "a header is a name and a value: %R", pair);
		return -1;
	}
	name = PySequence_GetItem(pair, 0);
	value = PySequence_GetItem(pair, 1);
	res = name && value ? put_bytes(c, name, value, accepting) : -1;
	Py_XDECREF(name);
	Py_XDECREF(value);
	return res;
}

int asgi_put_headers(struct conn *c, PyObject *headers, bool accepting)
{
	PyObject *it, *pair;
	int res = 0;

	if (!headers || headers == Py_None)
		return 0;
	it = PyObject_GetIter(headers);
	if (!it)
		return -1;
	while (!res && (pair = PyIter_Next(it))) {
		res = put_pair(c, pair, accepting);
		Py_DECREF(pair);
	}
	Py_DECREF(it);
	return res < 0 || PyErr_Occurred() ? -1 : 0;
}

static PyObject *start(struct conn *c, PyObject *message)
{
	struct asgi *s = c->s;
	PyObject *status = asgi_get(s, message, ASGI_status), *trailers;
	long code;

	if (c->started) {
		PyErr_SetString(PyExc_RuntimeError, "the response was started already");
		return NULL;
	}
	if (!status || !PyLong_Check(status)) {
		if (!PyErr_Occurred())
			PyErr_SetString(
				PyExc_TypeError, "the response's start needs `status`, an int");
		return NULL;
	}
	code = PyLong_AsLong(status);
	if (code < STATUS_MIN || code > STATUS_MAX) {
		if (!PyErr_Occurred())
			PyErr_Format(PyExc_ValueError, "not the status of a response: %ld", code);
		return NULL;
	}
	trailers = asgi_get(s, message, ASGI_trailers);
	if (trailers && PyObject_IsTrue(trailers)) {
		PyErr_SetString(PyExc_ValueError, "trailers are not among scope[\"extensions\"]");
		return NULL;
	}
	if (PyErr_Occurred() || head_begin(&c->head, (unsigned)code, "", 0) < 0 ||
		asgi_put_headers(c, asgi_get(s, message, ASGI_headers), false) < 0 ||
		head_end(&c->head) < 0 || PyErr_Occurred())
		return NULL;
	c->no_body = c->is_head || code == 204 || code == 304;
	c->left = c->head.content_length;
	c->started = true;
	return asgi_none();
}

/* The bytes of a body message, counted against Content-Length; once. */
static int look_at_body(struct conn *c, struct wait *w, bool more)
{
	PyObject *body = asgi_get(c->s, w->message, ASGI_body);
	Py_ssize_t n;

	if (PyErr_Occurred())
		return -1;
	w->begun = true;
	/* What the same answer to GET would have said. */
	if (c->is_head && !more && !c->head_sent && c->left < 0 && body && PyBytes_Check(body))
		head_set_length(&c->head, PyBytes_Size(body));
	if (!body || c->no_body) {
		w->data = PyBytes_FromStringAndSize(NULL, 0);
	} else if (PyBytes_Check(body)) {
		Py_INCREF(body);
		w->data = body;
	} else if (PyByteArray_Check(body) || PyObject_TypeCheck(body, &PyMemoryView_Type)) {
		w->data = PyBytes_FromObject(body);
	} else {
		PyErr_Format(PyExc_TypeError, "the response's body must be bytes, not %R",
			(PyObject *)Py_TYPE(body));
	}
	n = w->data ? PyBytes_Size(w->data) : -1;
	if (n < 0)
		return -1;
	if (c->left < 0 || c->no_body)
		return 0;
	if (n > c->left || (!more && n < c->left)) {
		PyErr_Format(PyExc_RuntimeError, "the response is %s than its Content-Length",
			n > c->left ? "longer" : "shorter");
		return -1;
	}
	c->left -= n;
	return 0;
}

static int put_piece(struct conn *c, const char *p, size_t n, bool end, size_t *ret_took)
{
	if (c->head_sent)
		return link_req_body(c->req, p, n, end, ret_took);
	return link_req_head(c->req, c->head.p, c->head.len, p, n, end, ret_took);
}

/* The answer is whole: its seat is free, and whoever waits for the client need not. */
static PyObject *completed(struct conn *c)
{
	c->complete = true;
	asgi_conn_release(c);
	asgi_wake(c, ASGI_RECEIVE);
	asgi_wake(c, ASGI_SEND);
	return asgi_none();
}

static PyObject *failed_to_send(struct conn *c, int err)
{
	if (err == -EPIPE)
		return asgi_raise_gone(c);
	return PyErr_Format(PyExc_RuntimeError, "the answer cannot be sent (error %d)", -err);
}

static PyObject *body(struct conn *c, struct wait *w)
{
	PyObject *flag = asgi_get(c->s, w->message, ASGI_more_body);
	int more = flag ? PyObject_IsTrue(flag) : 0;
	char *p;
	Py_ssize_t n;

	if (PyErr_Occurred() || more < 0)
		return NULL;
	if (!c->started) {
		PyErr_SetString(
			PyExc_RuntimeError, "the body began before the response was started");
		return NULL;
	}
	if (!w->begun && look_at_body(c, w, more) < 0)
		return NULL;
	if (PyBytes_AsStringAndSize(w->data, &p, &n) < 0)
		return NULL;
	if (!n && more && c->head_sent)
		return asgi_none();
	for (;;) {
		size_t took;
		int res = put_piece(c, p + w->at, (size_t)n - w->at, !more, &took);

		if (res == -EAGAIN) {
			asgi_wait_room(c);
			return NULL;
		}
		if (res < 0)
			return failed_to_send(c, res);
		c->head_sent = true;
		w->at += took;
		if (link_req_ended(c->req))
			return completed(c);
		if (w->at == (size_t)n && more)
			return asgi_none();
	}
}

/* Read by us, where the gate must not (a file system that can hang). 0, or as link_req_body(). */
static int read_file(struct conn *c, struct wait *w, int fd, int64_t size)
{
	char piece[BODY_PIECE];

	while (!link_req_ended(c->req)) {
		size_t want = (size_t)(size - (int64_t)w->at), took;
		ssize_t n =
			pread(fd, piece, want < sizeof(piece) ? want : sizeof(piece), (off_t)w->at);
		int res;

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		res = link_req_body(c->req, piece, (size_t)n, n == (ssize_t)want, &took);
		if (res < 0)
			return res;
		w->at += took;
	}
	return 0;
}

static int send_file(struct conn *c, struct wait *w, int fd, int64_t size)
{
	bool empty = c->no_body || !size;
	size_t took;
	int res;

	if (!w->begun) {
		head_set_length(&c->head, size);
		res = put_piece(c, "", 0, empty, &took);
		if (res < 0)
			return res;
		c->head_sent = w->begun = true;
	}
	if (empty)
		return 0;
	if (!link_file_good(fd, 0, (uint64_t)size))
		return read_file(c, w, fd, size);
	return link_req_file(c->req, fd, 0, (uint64_t)size);
}

/* The file that the message names. -1 with an exception. */
static int open_file(struct conn *c, struct wait *w, int64_t *ret_size)
{
	PyObject *path = asgi_get(c->s, w->message, ASGI_path), *name = NULL;
	struct stat st;
	int fd;

	if (!path || !PyUnicode_FSConverter(path, &name)) {
		if (!PyErr_Occurred())
			PyErr_SetString(PyExc_TypeError, "http.response.pathsend needs `path`");
		return -1;
	}
	fd = open(PyBytes_AsString(name), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	Py_DECREF(name);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		*ret_size = st.st_size;
		return fd;
	}
	if (fd >= 0) {
		close(fd);
		errno = EINVAL;
	}
	PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
	return -1;
}

/* http.response.pathsend: the whole body from a file, which the gate sends by itself. */
static PyObject *pathsend(struct conn *c, struct wait *w)
{
	int64_t size;
	int fd, res;

	if (!c->started || (c->head_sent && !w->begun)) {
		PyErr_SetString(
			PyExc_RuntimeError, "a file is the whole body of a started response");
		return NULL;
	}
	fd = open_file(c, w, &size);
	if (fd < 0)
		return NULL;
	if (c->left >= 0 && c->left != size) {
		close(fd);
		PyErr_SetString(
			PyExc_RuntimeError, "the file has another size than Content-Length");
		return NULL;
	}
	res = send_file(c, w, fd, size);
	close(fd);
	if (res == -EAGAIN) {
		asgi_wait_room(c);
		return NULL;
	}
	return res < 0 ? failed_to_send(c, res) : completed(c);
}

PyObject *asgi_response(struct conn *c, struct wait *w, const char *type)
{
	if (c->complete)
		return asgi_none();
	if (asgi_conn_gone(c))
		return asgi_raise_gone(c);
	if (strcmp(type, "start") == 0)
		return start(c, w->message);
	if (strcmp(type, "body") == 0)
		return body(c, w);
	return pathsend(c, w);
}

PyObject *asgi_http_send(struct conn *c, struct wait *w)
{
	static const char *const types[] = {
		"http.response.body", "http.response.start", "http.response.pathsend"};
	PyObject *type;

	if (!PyDict_Check(w->message)) {
		PyErr_Format(PyExc_TypeError, "a message must be a dict, not %R",
			(PyObject *)Py_TYPE(w->message));
		return NULL;
	}
	type = asgi_get(c->s, w->message, ASGI_type);
	/* An app says it with the same object each time, as a rule. */
	for (size_t i = 0; type && i < sizeof(types) / sizeof(types[0]); i++)
		if (type == c->s->sent_types[i])
			return asgi_response(c, w, types[i] + 14);
	for (size_t i = 0; type && PyUnicode_Check(type) && i < sizeof(types) / sizeof(types[0]);
		i++) {
		if (PyUnicode_CompareWithASCIIString(type, types[i]) == 0) {
			PyObject *old = c->s->sent_types[i];

			Py_INCREF(type);
			c->s->sent_types[i] = type;
			Py_XDECREF(old);
			return asgi_response(c, w, types[i] + 14);
		}
	}
	if (!PyErr_Occurred())
		PyErr_Format(PyExc_ValueError, "a response has no message of type %R",
			type ? type : Py_None);
	return NULL;
}
