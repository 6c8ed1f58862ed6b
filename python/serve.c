/*
 * serve.c: the module _steadlink: taking requests and running the app.
 *
 * Called by stead_worker.py, in one thread or several. For each request: environ, call, answer,
 * close(). An app's error becomes an error page, or a cut when the head was sent; its traceback
 * goes to stderr.
 */
#include "asgi.h"
#include "wsgi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Print what is set, and clear it. */
static void report(struct wsgi *w)
{
	PyObject *type, *value, *tb, *res;

	PyErr_Fetch(&type, &value, &tb);
	if (!type)
		return;
	PyErr_NormalizeException(&type, &value, &tb);
	res = PyObject_CallFunctionObjArgs(
		w->on_error, type, value ? value : Py_None, tb ? tb : Py_None, NULL);
	if (!res)
		PyErr_Clear();
	Py_XDECREF(res);
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(tb);
}

static int send_item(struct request *r, PyObject *item, bool end)
{
	char *p;
	Py_ssize_t n;

	if (!PyBytes_Check(item)) {
		PyErr_Format(PyExc_TypeError, "the app's iterable must yield bytes, not %R",
			(PyObject *)Py_TYPE(item));
		return -1;
	}
	if (PyBytes_AsStringAndSize(item, &p, &n) < 0)
		return -1;
	return n || end ? request_send(r, p, (size_t)n, end) : 0;
}

/* Is with this item all sent that Content-Length says? Then the end goes with it, in one frame: the gate need
 * not be woken again for an end alone, and no framework's answer is a list. */
static bool fills(const struct request *r, PyObject *item)
{
	uint64_t n = PyBytes_Check(item) ? (uint64_t)PyBytes_Size(item) : 0;

	return n && !r->is_head && r->head.content_length >= 0 &&
	       r->sent + n >= (uint64_t)r->head.content_length;
}

static int answer_iter(struct request *r, PyObject *result)
{
	PyObject *it = PyObject_GetIter(result), *item;
	bool ended = false;
	int res = 0;

	if (!it)
		return -1;
	while (!res && (item = PyIter_Next(it))) {
		/* One that goes on behind its own end is stopped (PEP 3333, "Handling the
		 * Content-Length Header"). */
		res = ended ? 1 : send_item(r, item, fills(r, item));
		ended = link_req_ended(r->req);
		Py_DECREF(item);
	}
	Py_DECREF(it);
	if (res < 0 || PyErr_Occurred())
		return -1;
	return ended ? 0 : request_send(r, NULL, 0, true);
}

/* 1 sent, 0 no real file, -1. */
static int answer_file(struct wsgi *w, struct request *r, PyObject *result)
{
	PyObject *pair = PyObject_CallFunctionObjArgs(w->file_of, result, NULL);
	struct stat st;
	long long off;
	int fd, res = 0;

	if (!pair) {
		PyErr_Clear();
		return 0;
	}
	if (PyTuple_Check(pair) && PyArg_ParseTuple(pair, "iL", &fd, &off) && off >= 0 &&
		fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		res = request_send_file(
			r, fd, (uint64_t)off, off < st.st_size ? (uint64_t)(st.st_size - off) : 0);
	else
		PyErr_Clear();
	Py_DECREF(pair);
	return res;
}

static int answer(struct wsgi *w, struct request *r, PyObject *result)
{
	if ((PyList_CheckExact(result) && PyList_Size(result) == 1))
		return send_item(r, PyList_GetItem(result, 0), true);
	if (PyTuple_CheckExact(result) && PyTuple_Size(result) == 1)
		return send_item(r, PyTuple_GetItem(result, 0), true);
	if ((PyObject *)Py_TYPE(result) == w->file_type) {
		int res = answer_file(w, r, result);

		if (res)
			return res < 0 ? -1 : 0;
	}
	return answer_iter(r, result);
}

static void close_result(struct wsgi *w, PyObject *result)
{
	PyObject *close, *res;

	if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
		return;
	close = PyObject_GetAttr(result, w->str_close);
	if (!close) {
		PyErr_Clear();
		return;
	}
	res = PyObject_CallFunctionObjArgs(close, NULL);
	if (!res)
		report(w);
	Py_XDECREF(res);
	Py_DECREF(close);
}

/* The gate must learn of the end, or the request's seat would never be free. */
static int tell_failed(struct wsgi *w, struct link_req *req)
{
	for (;;) {
		uint64_t seen = link_worker_seen(w->worker);

		if (link_req_fail(req) != -EAGAIN)
			return 0;
		if (wsgi_wait(w, seen) < 0)
			return -1;
	}
}

static void failed(struct wsgi *w, struct request *r)
{
	bool gone = r->gone || link_req_gone(r->req);

	/* An app that is told by an exception that its client has gone may let it through. */
	if (gone && PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_BrokenPipeError))
		PyErr_Clear();
	report(w);
}

/* 0, or -1 when this thread must end (an exception is set). */
static int handle(struct wsgi *w, struct link_req *req)
{
	PyObject *env, *input = NULL, *result = NULL;
	struct request *r = request_new(w, req);
	const char *p;
	size_t n;
	int res = -1;

	if (!r)
		return -1;
	p = link_req_env(req, &n);
	env = environ_new(w, p, n, &r->is_head);
	if (env && link_req_has_body(req)) {
		input = input_new(w, req);
		if (!input || PyDict_SetItem(env, w->key_input, input) < 0)
			Py_CLEAR(env);
	}
	if (env)
		result = PyObject_CallFunctionObjArgs(w->app, env, (PyObject *)r, NULL);
	if (result)
		res = answer(w, r, result);
	if (res < 0)
		failed(w, r);
	if (result)
		close_result(w, result);
	res = link_req_ended(req) ? 0 : tell_failed(w, req);
	/* The environ goes while the request still stands, for objects that say good-bye in it. */
	Py_XDECREF(result);
	Py_XDECREF(env);
	if (input)
		input_end(input);
	Py_XDECREF(input);
	request_end(w, r);
	link_req_done(req);
	return res;
}

int wsgi_run(struct wsgi *w, unsigned thread)
{
	for (;;) {
		struct link_req *req;
		uint64_t seen = 0;
		int res = link_worker_take(w->worker, thread, &req);

		if (res == -EAGAIN) {
			seen = link_worker_seen(w->worker);
			/* Behind `seen`: the byte of a signal may have woken another thread, which cannot hear it. */
			if (PyErr_CheckSignals() < 0)
				return -1;
			res = link_worker_take(w->worker, thread, &req);
		}
		if (res == -ESHUTDOWN)
			return 0;
		if (res == 0 ? handle(w, req) < 0 : wsgi_wait(w, seen) < 0)
			return -1;
	}
}

static void wsgi_free(PyObject *capsule)
{
	struct wsgi *w = PyCapsule_GetPointer(capsule, "stead.wsgi");

	if (!w)
		return;
	environ_done(w);
	for (int i = 0; i < TEXTS_CACHED; i++) {
		Py_CLEAR(w->texts[i].str);
		Py_CLEAR(w->texts[i].bytes);
	}
	if (w->spare)
		request_end(w, (struct request *)w->spare);
	Py_CLEAR(w->app);
	Py_CLEAR(w->base);
	Py_CLEAR(w->on_error);
	Py_CLEAR(w->file_type);
	Py_CLEAR(w->file_of);
	Py_CLEAR(w->no_input);
	Py_CLEAR(w->key_input);
	Py_CLEAR(w->str_close);
	link_worker_free(w->worker);
	free(w);
}

static int set_up(struct wsgi *w)
{
	w->request_type = (PyTypeObject *)PyType_FromSpec(&request_spec);
	w->input_type = w->request_type ? (PyTypeObject *)PyType_FromSpec(&input_spec) : NULL;
	if (!w->input_type || environ_init(w) < 0)
		return -1;
	w->key_input = PyUnicode_InternFromString("wsgi.input");
	w->str_close = PyUnicode_InternFromString("close");
	w->no_input = input_new(w, NULL);
	if (!w->key_input || !w->str_close || !w->no_input)
		return -1;
	return PyDict_SetItem(w->base, w->key_input, w->no_input);
}

/* open(app, environ, on_error, file_type, file_of, threads, parent_fd): a server, for run() and
 * stop() */
static PyObject *module_open(PyObject *module, PyObject *args)
{
	struct wsgi *w = calloc(1, sizeof(*w));
	PyObject *capsule, *app, *base, *on_error, *file_type, *file_of;
	unsigned threads;
	int fd, err;

	(void)module;
	if (!w)
		return PyErr_NoMemory();
	if (!PyArg_ParseTuple(
		    args, "OOOOOIi", &app, &base, &on_error, &file_type, &file_of, &threads, &fd)) {
		free(w);
		return NULL;
	}
	err = link_worker_new(threads, fd, &w->worker);
	if (err) {
		free(w);
		errno = -err;
		return PyErr_SetFromErrno(PyExc_OSError);
	}
	w->app = app;
	w->base = base;
	w->on_error = on_error;
	w->file_type = file_type;
	w->file_of = file_of;
	Py_INCREF(app);
	Py_INCREF(base);
	Py_INCREF(on_error);
	Py_INCREF(file_type);
	Py_INCREF(file_of);
	capsule = PyCapsule_New(w, "stead.wsgi", wsgi_free);
	if (capsule && set_up(w) < 0)
		Py_CLEAR(capsule);
	return capsule;
}

static struct wsgi *of_capsule(PyObject *o)
{
	return PyCapsule_GetPointer(o, "stead.wsgi");
}

static PyObject *module_run(PyObject *module, PyObject *args)
{
	PyObject *capsule;
	unsigned thread;
	struct wsgi *w;

	(void)module;
	if (!PyArg_ParseTuple(args, "OI", &capsule, &thread))
		return NULL;
	w = of_capsule(capsule);
	if (!w || wsgi_run(w, thread) < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *module_stop(PyObject *module, PyObject *capsule)
{
	struct wsgi *w = of_capsule(capsule);

	(void)module;
	if (!w)
		return NULL;
	link_worker_stop(w->worker);
	Py_RETURN_NONE;
}

static PyObject *module_wakeup_fd(PyObject *module, PyObject *capsule)
{
	struct wsgi *w = of_capsule(capsule);

	(void)module;
	return w ? PyLong_FromLong(link_worker_wakeup_fd(w->worker)) : NULL;
}

static PyObject *module_add(PyObject *module, PyObject *args)
{
	PyObject *capsule;
	struct wsgi *w;
	int fd, err;

	(void)module;
	if (!PyArg_ParseTuple(args, "Oi", &capsule, &fd))
		return NULL;
	w = of_capsule(capsule);
	if (!w)
		return NULL;
	err = link_worker_add(w->worker, fd);
	if (err) {
		errno = -err;
		return PyErr_SetFromErrno(PyExc_OSError);
	}
	Py_RETURN_NONE;
}

static PyMethodDef wsgi_methods[] = {
	{"open", module_open, METH_VARARGS, "make a server"},
	{"run", module_run, METH_VARARGS, "serve on this thread until stop()"},
	{"stop", module_stop, METH_O, "take no more requests"},
	{"wakeup_fd", module_wakeup_fd, METH_O, "for signal.set_wakeup_fd()"},
	{"add", module_add, METH_VARARGS, "one more gate, by its link socket"},
	{NULL, NULL, 0, NULL},
};
static struct PyModuleDef module_def = {PyModuleDef_HEAD_INIT, "_steadlink",
	"the worker's end of stead's link", -1, wsgi_methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__steadlink(void);
PyMODINIT_FUNC PyInit__steadlink(void)
{
	PyObject *module = PyModule_Create(&module_def);

	if (module && PyModule_AddFunctions(module, asgi_methods) < 0)
		Py_CLEAR(module);
	return module;
}
