/*
 * input.c: wsgi.input: the request's body as it comes.
 *
 * Called by the app. Reads never go beyond the body, whose end the gate tells, so chunked bodies
 * end as those with a length do (wsgi.input_terminated). Waiting gives up the GIL. When the client
 * has gone before the body was whole, reading raises BrokenPipeError.
 */
#include "wsgi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Bytes straight from the link: > 0, 0 at the end, -1 with an exception. */
static long pull(struct input *in, char *p, size_t n)
{
	for (;;) {
		uint64_t seen = 0;
		long res;

		if (!in->req)
			return 0;
		res = link_req_read(in->req, p, n);
		if (res == -EAGAIN) {
			seen = link_worker_seen(in->w->worker);
			res = link_req_read(in->req, p, n);
		}
		if (res >= 0)
			return res;
		if (res == -EAGAIN) {
			if (wsgi_wait(in->w, seen) < 0)
				return -1;
			continue;
		}
		PyErr_SetString(
			PyExc_BrokenPipeError, "the client went away before its request was whole");
		return -1;
	}
}

static long from_buf(struct input *in, char *p, size_t n)
{
	size_t take = n < in->len ? n : in->len;

	memcpy(p, in->buf + in->at, take);
	in->at += take;
	in->len -= take;
	return (long)take;
}

static PyObject *read_some(struct input *in, Py_ssize_t want)
{
	size_t cap = want >= 0 && want < 65536 ? (size_t)want : 65536, len = 0;
	PyObject *bytes;
	char *p = malloc(cap ? cap : 1);

	/* Grows with what comes: a size that nobody's body fills is never allocated. */
	while (p && (want < 0 || len < (size_t)want)) {
		long got;

		if (len == cap) {
			char *more;

			cap *= 2;
			if (want >= 0 && cap > (size_t)want)
				cap = (size_t)want;
			more = realloc(p, cap);
			if (!more) {
				free(p);
				return PyErr_NoMemory();
			}
			p = more;
		}
		got = in->len ? from_buf(in, p + len, cap - len) : pull(in, p + len, cap - len);
		if (got < 0) {
			free(p);
			return NULL;
		}
		if (got == 0)
			break;
		len += (size_t)got;
	}
	bytes = p ? PyBytes_FromStringAndSize(p, (Py_ssize_t)len) : PyErr_NoMemory();
	free(p);
	return bytes;
}

static int size_arg(PyObject *args, const char *format, Py_ssize_t *ret)
{
	PyObject *o = NULL;

	*ret = -1;
	if (!PyArg_ParseTuple(args, format, &o))
		return -1;
	if (!o || o == Py_None)
		return 0;
	*ret = PyNumber_AsSsize_t(o, PyExc_OverflowError);
	return *ret == -1 && PyErr_Occurred() ? -1 : 0;
}

static PyObject *input_read(PyObject *self, PyObject *args)
{
	Py_ssize_t want;

	if (size_arg(args, "|O:read", &want) < 0)
		return NULL;
	return read_some((struct input *)self, want);
}

/* Read on, behind what is buffered. As pull(). */
static long fill(struct input *in)
{
	enum { STEP = 16384 };
	long got;

	if (in->at) {
		memmove(in->buf, in->buf + in->at, in->len);
		in->at = 0;
	}
	if (in->cap - in->len < STEP) {
		size_t cap = in->cap ? in->cap * 2 : STEP;
		char *more = realloc(in->buf, cap < in->len + STEP ? in->len + STEP : cap);

		if (!more) {
			PyErr_NoMemory();
			return -1;
		}
		in->buf = more;
		in->cap = cap < in->len + STEP ? in->len + STEP : cap;
	}
	got = pull(in, in->buf + in->len, in->cap - in->len);
	if (got > 0)
		in->len += (size_t)got;
	return got;
}

static PyObject *read_line(struct input *in, Py_ssize_t max)
{
	size_t looked = 0, n;
	PyObject *line;

	for (;;) {
		char *nl = in->len > looked
				   ? memchr(in->buf + in->at + looked, '\n', in->len - looked)
				   : NULL;
		long got;

		n = nl ? (size_t)(nl - (in->buf + in->at)) + 1 : in->len;
		if (nl || (max >= 0 && n >= (size_t)max))
			break;
		looked = in->len;
		got = fill(in);
		if (got < 0)
			return NULL;
		if (got == 0)
			break;
	}
	if (max >= 0 && n > (size_t)max)
		n = (size_t)max;
	line = PyBytes_FromStringAndSize(n ? in->buf + in->at : NULL, (Py_ssize_t)n);
	if (line) {
		in->at += n;
		in->len -= n;
	}
	return line;
}

static PyObject *input_readline(PyObject *self, PyObject *args)
{
	Py_ssize_t max;

	if (size_arg(args, "|O:readline", &max) < 0)
		return NULL;
	return read_line((struct input *)self, max);
}

static PyObject *input_next(PyObject *self)
{
	PyObject *line = read_line((struct input *)self, -1);

	if (line && PyBytes_Size(line) == 0)
		Py_CLEAR(line);
	return line;
}

static PyObject *input_readlines(PyObject *self, PyObject *args)
{
	Py_ssize_t hint, all = 0;
	PyObject *lines = NULL;

	if (size_arg(args, "|O:readlines", &hint) < 0)
		return NULL;
	lines = PyList_New(0);
	while (lines && (hint <= 0 || all < hint)) {
		PyObject *line = input_next(self);

		if (!line)
			break;
		all += PyBytes_Size(line);
		if (PyList_Append(lines, line) < 0)
			Py_CLEAR(lines);
		Py_DECREF(line);
	}
	if (PyErr_Occurred())
		Py_CLEAR(lines);
	return lines;
}

static PyObject *input_iter(PyObject *self)
{
	Py_INCREF(self);
	return self;
}

static PyObject *input_close(PyObject *self, PyObject *none)
{
	(void)self;
	(void)none;
	Py_RETURN_NONE;
}

PyObject *input_new(struct wsgi *w, struct link_req *req)
{
	struct input *in = PyObject_New(struct input, w->input_type);

	if (!in)
		return NULL;
	memset((char *)in + sizeof(PyObject), 0, sizeof(*in) - sizeof(PyObject));
	in->w = w;
	in->req = req;
	return (PyObject *)in;
}

void input_end(PyObject *o)
{
	((struct input *)o)->req = NULL;
}

static void input_free(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	free(((struct input *)self)->buf);
	PyObject_Free(self);
	Py_DECREF(type);
}

static PyMethodDef input_methods[] = {
	{"read", input_read, METH_VARARGS,
		"read(size=-1): at most size bytes; all when it is negative"},
	{"readline", input_readline, METH_VARARGS, "readline(size=-1)"},
	{"readlines", input_readlines, METH_VARARGS, "readlines(hint=-1)"},
	{"close", input_close, METH_NOARGS, "does nothing"},
	{NULL, NULL, 0, NULL},
};
static PyType_Slot input_slots[] = {
	{Py_tp_methods, input_methods},
	{Py_tp_iter, input_iter},
	{Py_tp_iternext, input_next},
	{Py_tp_dealloc, input_free},
	{Py_tp_doc, "the body of one request"},
	{0, NULL},
};
PyType_Spec input_spec = {
	"_steadlink.Input", sizeof(struct input), 0, Py_TPFLAGS_DEFAULT, input_slots};
