/*
 * asgi_call.c: receive() and send() as the app sees them, and what they return to be awaited.
 *
 * Called by the app and by the loop's task that runs it. An awaitable is tried when it is first run;
 * what says "wait" gets a future of the loop and is tried again when that is done. It has send(),
 * throw() and close(), so that it can also be made a task of its own, as a coroutine can.
 */
#include "asgi.h"

static PyObject *call_do(PyObject *self, PyObject *args, PyObject *kw);

struct call {
	PyObject_HEAD struct conn *conn;
	int way;
};

PyObject *asgi_call_new(struct conn *c, int way)
{
	struct call *call = PyObject_New(struct call, c->s->call_type);

	if (!call)
		return NULL;
	Py_INCREF(c);
	call->conn = c;
	call->way = way;
	return (PyObject *)call;
}

static PyObject *call_do(PyObject *self, PyObject *args, PyObject *kw)
{
	struct call *call = (struct call *)self;
	Py_ssize_t n = PyTuple_Size(args), wanted = call->way == ASGI_SEND;
	struct wait *w;

	if (n != wanted || (kw && PyDict_Size(kw))) {
		PyErr_Format(PyExc_TypeError, "%s takes %s", call->way ? "send()" : "receive()",
			call->way ? "one message" : "no argument");
		return NULL;
	}
	w = PyObject_New(struct wait, call->conn->s->wait_type);
	if (!w)
		return NULL;
	w->conn = call->conn;
	Py_INCREF(w->conn);
	w->message = wanted ? PyTuple_GetItem(args, 0) : NULL;
	Py_XINCREF(w->message);
	w->data = w->inner = NULL;
	w->at = 0;
	w->way = (uint8_t)call->way;
	w->begun = false;
	return (PyObject *)w;
}

static void call_free(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	Py_DECREF(((struct call *)self)->conn);
	PyObject_Free(self);
	Py_DECREF(type);
}

static PyType_Slot call_slots[] = {
	{Py_tp_call, call_do},
	{Py_tp_dealloc, call_free},
	{Py_tp_doc, "receive() or send() of one request"},
	{0, NULL},
};
PyType_Spec asgi_call_spec = {
	"_steadlink.Call", sizeof(struct call), 0, Py_TPFLAGS_DEFAULT, call_slots};

void asgi_wake(struct conn *c, int way)
{
	struct asgi *s = c->s;
	PyObject *list = c->waiters[way];

	if (!list)
		return;
	c->waiters[way] = NULL;
	for (Py_ssize_t i = 0; i < PyList_Size(list); i++) {
		PyObject *future = PyList_GetItem(list, i);
		PyObject *done = PyObject_CallMethodObjArgs(future, s->name[ASGI_done], NULL);

		/* One that was cancelled is done. */
		if (done == Py_False) {
			PyObject *none = PyObject_CallMethodObjArgs(
				future, s->name[ASGI_set_result], Py_None, NULL);

			Py_XDECREF(none);
		}
		Py_XDECREF(done);
		if (PyErr_Occurred())
			PyErr_Clear();
	}
	Py_DECREF(list);
}

void asgi_wait_room(struct conn *c)
{
	if (c->in_ring || !c->req || !link_req_room(c->req))
		return;
	c->in_ring = true;
	Py_INCREF(c);
	c->next_ring = c->s->ring;
	c->s->ring = c;
	asgi_turn_soon(c->s);
}

/* A future that asgi_wake() ends; w->inner is its iterator. */
static int begin_wait(struct wait *w)
{
	struct conn *c = w->conn;
	PyObject *future = PyObject_CallFunctionObjArgs(c->s->create_future, NULL);
	int res = -1;

	if (!future)
		return -1;
	if (!c->waiters[w->way])
		c->waiters[w->way] = PyList_New(0);
	if (c->waiters[w->way] && PyList_Append(c->waiters[w->way], future) == 0) {
		w->inner = PyObject_GetIter(future);
		res = w->inner ? 0 : -1;
	}
	Py_DECREF(future);
	return res;
}

static PyObject *try_it(struct wait *w)
{
	struct conn *c = w->conn;

	if (w->way == ASGI_SEND)
		return c->ws ? asgi_ws_send(c, w) : asgi_http_send(c, w);
	return c->ws ? asgi_ws_receive(c) : asgi_http_receive(c);
}

static PyObject *wait_next(PyObject *self)
{
	struct wait *w = (struct wait *)self;

	for (;;) {
		PyObject *res;

		if (w->inner) {
			res = PyIter_Next(w->inner);
			if (res || PyErr_Occurred())
				return res;
			Py_CLEAR(w->inner);
		}
		res = try_it(w);
		if (res == Py_None) {
			/* No exception is the end with None. */
			Py_DECREF(res);
			return NULL;
		}
		if (res) {
			PyErr_SetObject(PyExc_StopIteration, res);
			Py_DECREF(res);
			return NULL;
		}
		if (PyErr_Occurred() || begin_wait(w) < 0)
			return NULL;
	}
}

static PyObject *wait_self(PyObject *self)
{
	Py_INCREF(self);
	return self;
}

static PyObject *wait_send(PyObject *self, PyObject *arg)
{
	PyObject *res = wait_next(self);

	(void)arg;
	if (!res && !PyErr_Occurred())
		PyErr_SetObject(PyExc_StopIteration, Py_None);
	return res;
}

/* Into the future that is waited for, as `yield from` does it. */
static PyObject *wait_throw(PyObject *self, PyObject *args)
{
	struct wait *w = (struct wait *)self;
	PyObject *type = NULL, *value = NULL, *trace = NULL, *inner = w->inner, *throw, *res;

	if (!inner) {
		if (!PyArg_ParseTuple(args, "O|OO", &type, &value, &trace))
			return NULL;
		if (PyExceptionInstance_Check(type)) {
			value = type;
			type = (PyObject *)Py_TYPE(type);
		}
		Py_INCREF(type);
		Py_XINCREF(value);
		Py_XINCREF(trace);
		PyErr_Restore(type, value, trace);
		return NULL;
	}
	throw = PyObject_GetAttrString(inner, "throw");
	res = throw ? PyObject_CallObject(throw, args) : NULL;
	Py_XDECREF(throw);
	if (!res)
		Py_CLEAR(w->inner);
	return res;
}

static PyObject *wait_close(PyObject *self, PyObject *none)
{
	(void)none;
	Py_CLEAR(((struct wait *)self)->inner);
	Py_RETURN_NONE;
}

static void wait_free(PyObject *self)
{
	struct wait *w = (struct wait *)self;
	PyTypeObject *type = Py_TYPE(self);

	Py_XDECREF(w->inner);
	Py_XDECREF(w->message);
	Py_XDECREF(w->data);
	Py_DECREF(w->conn);
	PyObject_Free(self);
	Py_DECREF(type);
}

static PyMethodDef wait_methods[] = {
	{"send", wait_send, METH_O, "as of a coroutine"},
	{"throw", wait_throw, METH_VARARGS, "as of a coroutine"},
	{"close", wait_close, METH_NOARGS, "as of a coroutine"},
	{NULL, NULL, 0, NULL},
};
static PyType_Slot wait_slots[] = {
	{Py_tp_methods, wait_methods},
	{Py_am_await, wait_self},
	{Py_tp_iter, wait_self},
	{Py_tp_iternext, wait_next},
	{Py_tp_dealloc, wait_free},
	{Py_tp_doc, "to be awaited"},
	{0, NULL},
};
PyType_Spec asgi_wait_spec = {
	"_steadlink.Wait", sizeof(struct wait), 0, Py_TPFLAGS_DEFAULT, wait_slots};
