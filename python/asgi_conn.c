/*
 * asgi_conn.c: one request from the link to the end of its app.
 *
 * Called by asgi_serve.c and by the coroutine that runs the app, which says done() at its end. The
 * server's list holds a request until both have ended: the app may work on behind its answer, and a
 * WebSocket may still say good-bye when its app has returned.
 */
#include "asgi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct conn *asgi_conn_new(struct asgi *s, struct link_req *req)
{
	struct conn *c = PyObject_New(struct conn, s->conn_type);

	if (!c)
		return NULL;
	memset((char *)c + sizeof(PyObject), 0, sizeof(*c) - sizeof(PyObject));
	c->s = s;
	c->req = req;
	c->left = -1;
	c->next = s->first;
	if (c->next)
		c->next->prev = c;
	s->first = c;
	s->live++;
	c->listed = true;
	link_req_set_user(req, c);
	return c;
}

/* Both have ended: nobody looks for it any more. */
static void settle(struct conn *c)
{
	if (c->req || !c->app_done || !c->listed)
		return;
	c->listed = false;
	if (c->prev)
		c->prev->next = c->next;
	else
		c->s->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->next = c->prev = NULL;
	c->s->live--;
	Py_DECREF(c);
}

bool asgi_conn_gone(const struct conn *c)
{
	return !c->req || link_req_gone(c->req);
}

void asgi_conn_release(struct conn *c)
{
	struct link_req *req = c->req;

	if (!req)
		return;
	c->req = NULL;
	link_req_set_user(req, NULL);
	link_req_done(req);
	settle(c);
}

/* 0 the end was told, -EAGAIN. */
static int tell_end(struct conn *c)
{
	size_t took;
	int res = -EPIPE;

	if (link_req_ended(c->req))
		return 0;
	if (c->end_well)
		res = link_req_body(c->req, "", 0, true, &took);
	/* To a client that has gone nothing can be said, but the gate wants its seat back. */
	if (res < 0 && res != -EAGAIN)
		res = link_req_fail(c->req);
	return res == -EAGAIN ? res : 0;
}

static void end(struct conn *c, bool well)
{
	if (!c->req || c->in_owing)
		return;
	c->end_well = well;
	if (tell_end(c) == 0) {
		asgi_conn_release(c);
		return;
	}
	c->in_owing = true;
	Py_INCREF(c);
	c->next_owing = c->s->owing;
	c->s->owing = c;
	asgi_turn_soon(c->s);
}

void asgi_conn_end(struct conn *c)
{
	end(c, true);
}

void asgi_conn_fail(struct conn *c)
{
	end(c, false);
}

void asgi_conns_retry(struct asgi *s)
{
	struct conn *ring = s->ring, *owing = s->owing;

	s->ring = s->owing = NULL;
	while (ring) {
		struct conn *c = ring;

		ring = c->next_ring;
		c->in_ring = false;
		if (c->ws)
			asgi_ws_pump(c);
		asgi_wake(c, ASGI_SEND);
		Py_DECREF(c);
	}
	while (owing) {
		struct conn *c = owing;

		owing = c->next_owing;
		c->in_owing = false;
		end(c, c->end_well);
		Py_DECREF(c);
	}
}

PyObject *asgi_raise_gone(struct conn *c)
{
	PyErr_SetString(c->s->gone, "the client has gone");
	return NULL;
}

/* Is it the exception of a send() that found nobody, or one that was raised because of it? */
static bool is_of_gone(struct asgi *s, PyObject *e)
{
	bool found = false;

	Py_INCREF(e);
	for (int i = 0; e && i < 16 && !found; i++) {
		PyObject *cause = PyException_GetCause(e);

		found = PyErr_GivenExceptionMatches(e, s->gone);
		if (!cause)
			cause = PyException_GetContext(e);
		Py_DECREF(e);
		e = cause;
	}
	Py_XDECREF(e);
	return found;
}

static void report(struct asgi *s, PyObject *e)
{
	PyObject *trace = PyException_GetTraceback(e), *res;

	res = PyObject_CallFunctionObjArgs(
		s->on_error, (PyObject *)Py_TYPE(e), e, trace ? trace : Py_None, NULL);
	if (!res)
		PyErr_Clear();
	Py_XDECREF(res);
	Py_XDECREF(trace);
}

static void report_text(struct asgi *s, const char *text)
{
	PyObject *e = PyObject_CallFunction(PyExc_RuntimeError, "s", text);

	if (e)
		report(s, e);
	else
		PyErr_Clear();
	Py_XDECREF(e);
}

/* done(exception or None): the app has returned. */
static PyObject *conn_done(PyObject *self, PyObject *e)
{
	struct conn *c = (struct conn *)self;
	struct asgi *s = c->s;
	bool gone = asgi_conn_gone(c) && !c->complete, failed = e != Py_None;

	Py_INCREF(self);
	c->app_done = true;
	Py_CLEAR(c->task);
	if (failed && !is_of_gone(s, e) && !s->stopping)
		report(s, e);
	if (c->ws) {
		asgi_ws_app_done(c, failed);
	} else if (c->req) {
		if (!failed && !gone)
			report_text(s, c->started
					? "the app returned before its response was whole"
					: "the app returned without a response");
		asgi_conn_fail(c);
	}
	asgi_wake(c, ASGI_RECEIVE);
	asgi_wake(c, ASGI_SEND);
	settle(c);
	Py_DECREF(self);
	Py_RETURN_NONE;
}

static void conn_free(PyObject *self)
{
	struct conn *c = (struct conn *)self;
	PyTypeObject *type = Py_TYPE(self);

	for (int i = 0; i < ASGI_WAYS; i++)
		Py_CLEAR(c->waiters[i]);
	Py_CLEAR(c->task);
	asgi_ws_free(c);
	head_done(&c->head);
	PyObject_Free(self);
	Py_DECREF(type);
}

static PyMethodDef conn_methods[] = {
	{"done", conn_done, METH_O, "the app has returned (None), or failed with this"},
	{NULL, NULL, 0, NULL},
};
static PyType_Slot conn_slots[] = {
	{Py_tp_methods, conn_methods},
	{Py_tp_dealloc, conn_free},
	{Py_tp_doc, "one request"},
	{0, NULL},
};
PyType_Spec asgi_conn_spec = {
	"_steadlink.Conn", sizeof(struct conn), 0, Py_TPFLAGS_DEFAULT, conn_slots};
