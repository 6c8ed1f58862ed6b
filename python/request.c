/*
 * request.c: start_response(), write(), and sending an answer over the link.
 *
 * Called by serve.c and by the app. The head is encoded when start_response() is called and sent
 * with the first bytes of the body, so that an answer of one piece is one frame. A request object
 * that the app did not keep is used again for the next request.
 */
#include "wsgi.h"

#include "link/link_field.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int wsgi_wait(struct wsgi *w, uint64_t seen)
{
	int res;

	Py_BEGIN_ALLOW_THREADS res = link_worker_wait(w->worker, seen);
	Py_END_ALLOW_THREADS if (res == -ECHILD)
	{
		PyErr_SetString(PyExc_RuntimeError,
			"a forked child came back into the server; end it with os._exit()");
		return -1;
	}
	return PyErr_CheckSignals();
}

/* The latin-1 bytes of a str; borrowed from the cache until the next call. */
static int text(struct wsgi *w, PyObject *str, const char **ret_p, size_t *ret_n)
{
	struct text_entry *e = &w->texts[((uintptr_t)str >> 4) % TEXTS_CACHED];

	if (e->str != str) {
		PyObject *bytes, *old_str = e->str, *old_bytes = e->bytes;
		char *p;
		Py_ssize_t n;

		if (!PyUnicode_Check(str)) {
			PyErr_SetString(PyExc_TypeError, "status and header fields must be str");
			return -1;
		}
		bytes = PyUnicode_AsLatin1String(str);
		if (!bytes)
			return -1;
		if (PyBytes_AsStringAndSize(bytes, &p, &n) < 0) {
			Py_DECREF(bytes);
			return -1;
		}
		Py_INCREF(str);
		*e = (struct text_entry){str, bytes, p, (size_t)n};
		Py_XDECREF(old_str);
		Py_XDECREF(old_bytes);
	}
	*ret_p = e->p;
	*ret_n = e->n;
	return 0;
}

static int put_field(struct request *r, PyObject *pair)
{
	PyObject *name, *value;
	const char *p;
	size_t n;

	if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2) {
		PyErr_SetString(PyExc_TypeError, "response headers must be (name, value) tuples");
		return -1;
	}
	name = PyTuple_GetItem(pair, 0);
	value = PyTuple_GetItem(pair, 1);
	if (text(r->w, name, &p, &n) < 0 || head_name(&r->head, name, p, n) < 0)
		return -1;
	if (text(r->w, value, &p, &n) < 0)
		return -1;
	return head_value(&r->head, name, value, p, n);
}

static int encode_head(struct request *r, PyObject *status, PyObject *headers)
{
	Py_ssize_t nfields;
	const char *p;
	unsigned code;
	size_t n;

	if (text(r->w, status, &p, &n) < 0)
		return -1;
	if (n < 3 || p[0] < '2' || p[0] > '9' || p[1] < '0' || p[1] > '9' || p[2] < '0' ||
		p[2] > '9' || (n > 3 && p[3] != ' ') || !link_field_value_ok(p, n) || n > 1000) {
		PyErr_Format(PyExc_ValueError, "not a status: %R", status);
		return -1;
	}
	if (!PyList_Check(headers)) {
		PyErr_SetString(PyExc_TypeError, "response headers must be a list");
		return -1;
	}
	nfields = PyList_Size(headers);
	code = (unsigned)((p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0'));
	if (head_begin(&r->head, code, p + 4, n > 4 ? n - 4 : 0) < 0)
		return -1;
	for (Py_ssize_t i = 0; i < nfields; i++) {
		PyObject *pair = PyList_GetItem(headers, i);

		if (!pair || put_field(r, pair) < 0)
			return -1;
	}
	return head_end(&r->head);
}

/* PEP 3333: with exc_info and the head gone, the exception goes on; else it replaces the head. */
static int check_again(struct request *r, PyObject *exc_info)
{
	bool have = exc_info && exc_info != Py_None;

	if (have && r->head_sent) {
		PyObject *type = NULL, *value = NULL, *tb = NULL;

		if (!PyArg_ParseTuple(exc_info, "OOO", &type, &value, &tb))
			return -1;
		Py_INCREF(type);
		Py_INCREF(value);
		Py_INCREF(tb);
		PyErr_Restore(type, value, tb == Py_None ? (Py_DECREF(tb), NULL) : tb);
		return -1;
	}
	if (!have && r->started) {
		PyErr_SetString(PyExc_AssertionError, "start_response() was called twice");
		return -1;
	}
	return 0;
}

static PyObject *start_response(PyObject *self, PyObject *args, PyObject *kw)
{
	char *names[] = {
		"status", "response_headers", "exc_info", NULL}; /* the interface wants no const */
	struct request *r = (struct request *)self;
	PyObject *status, *headers, *exc_info = NULL;

	if (!kw && PyTuple_Size(args) == 2) {
		status = PyTuple_GetItem(args, 0);
		headers = PyTuple_GetItem(args, 1);
	} else if (!PyArg_ParseTupleAndKeywords(
			   args, kw, "OO|O", names, &status, &headers, &exc_info)) {
		return NULL;
	}
	if (!r->req) {
		PyErr_SetString(PyExc_RuntimeError, "this request is over");
		return NULL;
	}
	if (check_again(r, exc_info) < 0)
		return NULL;
	r->started = false;
	if (encode_head(r, status, headers) < 0)
		return NULL;
	r->started = true;
	Py_INCREF(r->write);
	return r->write;
}

/* One try. */
static int send_once(struct request *r, const char *p, size_t n, bool end, size_t *took)
{
	if (r->head_sent)
		return link_req_body(r->req, p, n, end, took);
	return link_req_head(r->req, r->head.p, r->head.len, p, n, end, took);
}

int request_send(struct request *r, const char *p, size_t n, bool end)
{
	size_t took;

	if (!r->started) {
		PyErr_SetString(
			PyExc_AssertionError, "the body began before start_response() was called");
		return -1;
	}
	/* Nobody sees the body of an answer to HEAD. */
	if (r->is_head && n) {
		n = 0;
		if (!end && r->head_sent)
			return 0;
	}
	for (;;) {
		uint64_t seen = 0;
		int res = send_once(r, p, n, end, &took);

		if (res == -EAGAIN) {
			seen = link_worker_seen(r->w->worker);
			res = send_once(r, p, n, end, &took);
		}
		if (res == -EAGAIN) {
			if (wsgi_wait(r->w, seen) < 0)
				return -1;
			continue;
		}
		if (res == -EPIPE) {
			r->gone = true;
			return -1;
		}
		if (res < 0) {
			PyErr_Format(
				PyExc_RuntimeError, "the answer cannot be sent (error %d)", -res);
			return -1;
		}
		r->head_sent = true;
		p += took;
		n -= took;
		r->sent += took;
		if (!n && (!end || link_req_ended(r->req)))
			return 0;
	}
}

int request_send_file(struct request *r, int fd, uint64_t off, uint64_t len)
{
	int64_t length = r->head.content_length < 0 ? (int64_t)len : r->head.content_length;
	int res;

	if (!r->started || r->head_sent || (uint64_t)length > len)
		return 0;
	head_set_length(&r->head, length);
	if (r->is_head || !length)
		return request_send(r, NULL, 0, true) < 0 ? -1 : 1;
	if (request_send(r, NULL, 0, false) < 0)
		return -1;
	for (;;) {
		uint64_t seen = link_worker_seen(r->w->worker);

		res = link_req_file(r->req, fd, off, (uint64_t)length);
		if (res != -EAGAIN)
			break;
		if (wsgi_wait(r->w, seen) < 0)
			return -1;
	}
	if (res == -EPIPE) {
		r->gone = true;
		return -1;
	}
	return res == 0;
}

static PyObject *write_bytes(PyObject *self, PyObject *arg)
{
	struct request *r = (struct request *)self;
	char *p;
	Py_ssize_t n;

	if (!PyBytes_Check(arg)) {
		PyErr_SetString(PyExc_TypeError, "write() takes bytes");
		return NULL;
	}
	if (!r->req) {
		PyErr_SetString(PyExc_RuntimeError, "this request is over");
		return NULL;
	}
	if (PyBytes_AsStringAndSize(arg, &p, &n) < 0)
		return NULL;
	if (n && request_send(r, p, (size_t)n, false) < 0) {
		if (!PyErr_Occurred())
			PyErr_SetString(PyExc_BrokenPipeError, "the client has gone");
		return NULL;
	}
	Py_RETURN_NONE;
}

static PyMethodDef write_def = {"write", write_bytes, METH_O, "Send a piece of the answer's body."};

struct request *request_new(struct wsgi *w, struct link_req *req)
{
	struct request *r = (struct request *)w->spare;

	w->spare = NULL;
	if (!r) {
		r = PyObject_New(struct request, w->request_type);
		if (!r)
			return NULL;
		memset((char *)r + sizeof(PyObject), 0, sizeof(*r) - sizeof(PyObject));
		r->w = w;
		r->write = PyCFunction_New(&write_def, (PyObject *)r);
		if (!r->write) {
			Py_DECREF(r);
			return NULL;
		}
	}
	r->req = req;
	r->head.len = 0;
	r->sent = 0;
	r->started = r->head_sent = r->gone = r->is_head = false;
	return r;
}

void request_end(struct wsgi *w, struct request *r)
{
	r->req = NULL;
	/* Ours and the write function's: nobody else has it. */
	if (!w->spare && Py_REFCNT(r) == 2 && Py_REFCNT(r->write) == 1) {
		w->spare = (PyObject *)r;
		return;
	}
	/* It and its write function hold each other; without this they would for ever. */
	Py_CLEAR(r->write);
	Py_DECREF(r);
}

static void request_free(PyObject *self)
{
	struct request *r = (struct request *)self;
	PyTypeObject *type = Py_TYPE(self);

	Py_CLEAR(r->write);
	head_done(&r->head);
	PyObject_Free(self);
	Py_DECREF(type);
}

static PyType_Slot request_slots[] = {
	{Py_tp_call, start_response},
	{Py_tp_dealloc, request_free},
	{Py_tp_doc, "start_response() of one request"},
	{0, NULL},
};
PyType_Spec request_spec = {
	"_steadlink.StartResponse", sizeof(struct request), 0, Py_TPFLAGS_DEFAULT, request_slots};
