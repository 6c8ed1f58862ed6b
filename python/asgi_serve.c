/*
 * asgi_serve.c: the ASGI server of the module _steadlink: requests into tasks of the loop.
 *
 * Called by stead_asgi.py: asgi_turn() whenever the link's descriptor is readable, asgi_tick() once a
 * second. A request becomes a coroutine, a task of the loop runs it, and what the link brings for it
 * later ends the futures that it waits for.
 */
#include "asgi.h"

#include <errno.h>
#include <stdlib.h>

enum { ROUNDS_MAX = 4 }; /* of a turn, so that the loop's other work comes to its time */

static struct asgi *of_capsule(PyObject *o)
{
	return PyCapsule_GetPointer(o, "stead.asgi");
}

static void asgi_free(PyObject *capsule)
{
	struct asgi *s = of_capsule(capsule);
	PyObject **const objects[] = {&s->app, &s->run, &s->create_task, &s->create_future,
		&s->call_soon, &s->on_error, &s->accept_key, &s->gone, &s->http, &s->websocket,
		&s->state, &s->turn};

	for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++)
		Py_CLEAR(*objects[i]);
	asgi_scope_done(s);
	link_worker_free(s->worker);
	free(s);
}

static int set_up(struct asgi *s, PyObject *marks)
{
	PyObject *key, *value;
	Py_ssize_t at = 0;

	s->conn_type = (PyTypeObject *)PyType_FromSpec(&asgi_conn_spec);
	s->call_type = s->conn_type ? (PyTypeObject *)PyType_FromSpec(&asgi_call_spec) : NULL;
	s->wait_type = s->call_type ? (PyTypeObject *)PyType_FromSpec(&asgi_wait_spec) : NULL;
	if (!s->wait_type || asgi_scope_init(s) < 0)
		return -1;
	/* By these others know a coroutine function. */
	while (PyDict_Next(marks, &at, &key, &value))
		if (PyObject_SetAttr((PyObject *)s->call_type, key, value) < 0)
			return -1;
	return 0;
}

/* asgi_open(app, run, create_task, create_future, call_soon, on_error, accept_key, gone, http, websocket,
 * marks, message_max, concurrency, ping_ms, close_ms, parent_fd): a server */
static PyObject *open_server(PyObject *module, PyObject *args)
{
	struct asgi *s = calloc(1, sizeof(*s));
	PyObject *capsule, *marks;
	unsigned concurrency;
	Py_ssize_t message_max;
	int fd, err;

	(void)module;
	if (!s)
		return PyErr_NoMemory();
	if (!PyArg_ParseTuple(args, "OOOOOOOOOOO!nIIIi", &s->app, &s->run, &s->create_task,
		    &s->create_future, &s->call_soon, &s->on_error, &s->accept_key, &s->gone,
		    &s->http, &s->websocket, &PyDict_Type, &marks, &message_max, &concurrency,
		    &s->ping_ms, &s->close_ms, &fd)) {
		free(s);
		return NULL;
	}
	err = link_worker_new(1, fd, &s->worker);
	if (err) {
		free(s);
		errno = -err;
		return PyErr_SetFromErrno(PyExc_OSError);
	}
	link_worker_async(s->worker, concurrency, LINK_FORM_FIELDS);
	s->message_max = (size_t)message_max;
	Py_INCREF(s->app);
	Py_INCREF(s->run);
	Py_INCREF(s->create_task);
	Py_INCREF(s->create_future);
	Py_INCREF(s->call_soon);
	Py_INCREF(s->on_error);
	Py_INCREF(s->accept_key);
	Py_INCREF(s->gone);
	Py_INCREF(s->http);
	Py_INCREF(s->websocket);
	capsule = PyCapsule_New(s, "stead.asgi", asgi_free);
	if (capsule && set_up(s, marks) < 0)
		Py_CLEAR(capsule);
	return capsule;
}

/* A handshake that is wrong is answered here. */
static void refuse(struct conn *c, unsigned status)
{
	size_t took;

	c->app_done = true;
	if (head_begin(&c->head, status, "", 0) == 0 &&
		(status != 426 || head_field(&c->head, "Sec-WebSocket-Version", "13", 2) == 0) &&
		head_end(&c->head) == 0) {
		head_set_length(&c->head, 0);
		(void)link_req_head(c->req, c->head.p, c->head.len, "", 0, true, &took);
	}
	PyErr_Clear();
	asgi_conn_fail(c);
}

static void print_error(void)
{
	if (PyErr_Occurred())
		PyErr_WriteUnraisable(NULL);
}

/* The request's task. False: with an exception. */
static bool start_task(struct conn *c, PyObject *scope)
{
	struct asgi *s = c->s;
	PyObject *receive = asgi_call_new(c, ASGI_RECEIVE);
	PyObject *send = receive ? asgi_call_new(c, ASGI_SEND) : NULL, *coro = NULL;

	if (send)
		coro = PyObject_CallFunctionObjArgs(
			s->run, (PyObject *)c, s->app, scope, receive, send, NULL);
	if (coro)
		c->task = PyObject_CallFunctionObjArgs(s->create_task, coro, NULL);
	Py_XDECREF(coro);
	Py_XDECREF(receive);
	Py_XDECREF(send);
	return c->task != NULL;
}

static void begin(struct asgi *s, struct link_req *req)
{
	struct conn *c = asgi_conn_new(s, req);
	PyObject *scope = NULL;
	unsigned bad = 0;

	if (!c) {
		(void)link_req_fail(req);
		link_req_done(req);
		print_error();
		return;
	}
	if (!link_req_may_tunnel(req) || asgi_ws_new(c) == 0)
		scope = asgi_scope(c, &bad);
	if (scope && bad) {
		refuse(c, bad);
	} else if (!scope || !start_task(c, scope)) {
		print_error();
		c->app_done = true;
		asgi_conn_fail(c);
	}
	Py_XDECREF(scope);
}

static void touched(struct conn *c)
{
	if (c->ws && asgi_ws_pump(c) < 0)
		print_error();
	if (!c->req && c->ws)
		return;
	asgi_wake(c, ASGI_RECEIVE);
	asgi_wake(c, ASGI_SEND);
}

/* asgi_turn(server): 0 wait, 1 there is more to do at once, 2 the parent has gone */
static PyObject *turn(PyObject *module, PyObject *capsule)
{
	struct asgi *s = of_capsule(capsule);
	int res = 1;

	(void)module;
	if (!s)
		return NULL;
	for (int i = 0; res == 1 && i < ROUNDS_MAX; i++) {
		struct link_req *req;

		res = link_worker_arm(s->worker);
		if (res == -ECHILD) {
			PyErr_SetString(PyExc_RuntimeError,
				"a forked child came back into the server; end it with os._exit()");
			return NULL;
		}
		while ((res == 0 || res == 1) && link_worker_take(s->worker, 0, &req) == 0)
			begin(s, req);
		while ((req = link_worker_touched(s->worker))) {
			struct conn *c = link_req_user(req);

			if (!c)
				continue;
			Py_INCREF(c);
			touched(c);
			Py_DECREF(c);
		}
		asgi_conns_retry(s);
	}
	return PyLong_FromLong(
		link_worker_stopping(s->worker) && !s->stopping ? 2 : res == 1 ? 1 : 0);
}

void asgi_turn_soon(struct asgi *s)
{
	PyObject *handle;

	if (!s->turn)
		return;
	handle = PyObject_CallFunctionObjArgs(s->call_soon, s->turn, NULL);
	if (!handle)
		print_error();
	Py_XDECREF(handle);
}

/* asgi_turn_by(server, turn): what the loop calls for one more turn */
static PyObject *turn_by(PyObject *module, PyObject *args)
{
	PyObject *capsule, *what;
	struct asgi *s;

	(void)module;
	if (!PyArg_ParseTuple(args, "OO", &capsule, &what))
		return NULL;
	s = of_capsule(capsule);
	if (!s)
		return NULL;
	Py_INCREF(what);
	Py_XDECREF(s->turn);
	s->turn = what;
	Py_RETURN_NONE;
}

static void each(struct asgi *s, void (*f)(struct conn *c, uint64_t now), uint64_t now)
{
	struct conn *c = s->first;

	Py_XINCREF(c);
	while (c) {
		struct conn *next;

		f(c, now);
		/* It may have left the list; then the rest is seen the next time. */
		next = c->next;
		Py_XINCREF(next);
		Py_DECREF(c);
		c = next;
	}
}

static void tick_one(struct conn *c, uint64_t now)
{
	if (c->ws)
		asgi_ws_tick(c, now);
}

static PyObject *tick(PyObject *module, PyObject *capsule)
{
	struct asgi *s = of_capsule(capsule);

	(void)module;
	if (!s)
		return NULL;
	each(s, tick_one, asgi_now_ms());
	Py_RETURN_NONE;
}

static void away_one(struct conn *c, uint64_t now)
{
	(void)now;
	if (c->ws)
		asgi_ws_close(c, WS_GOING_AWAY, "the server ends");
}

/* asgi_stop(server): take no more requests, and take leave of WebSockets */
static PyObject *stop(PyObject *module, PyObject *capsule)
{
	struct asgi *s = of_capsule(capsule);

	(void)module;
	if (!s)
		return NULL;
	link_worker_stop(s->worker);
	s->stopping = true;
	each(s, away_one, 0);
	Py_RETURN_NONE;
}

static PyObject *live(PyObject *module, PyObject *capsule)
{
	struct asgi *s = of_capsule(capsule);

	(void)module;
	return s ? PyLong_FromUnsignedLong(s->live) : NULL;
}

/* asgi_tasks(server): those that still run */
static PyObject *tasks(PyObject *module, PyObject *capsule)
{
	struct asgi *s = of_capsule(capsule);
	PyObject *list = s ? PyList_New(0) : NULL;

	(void)module;
	for (struct conn *c = list ? s->first : NULL; list && c; c = c->next)
		if (c->task && PyList_Append(list, c->task) < 0)
			Py_CLEAR(list);
	return list;
}

/* asgi_state(server, state): what every scope gets a copy of; None: nothing */
static PyObject *set_state(PyObject *module, PyObject *args)
{
	PyObject *capsule, *state;
	struct asgi *s;

	(void)module;
	if (!PyArg_ParseTuple(args, "OO", &capsule, &state))
		return NULL;
	s = of_capsule(capsule);
	if (!s)
		return NULL;
	Py_CLEAR(s->state);
	if (state != Py_None) {
		Py_INCREF(state);
		s->state = state;
	}
	Py_RETURN_NONE;
}

static PyObject *descriptor(PyObject *module, PyObject *capsule)
{
	struct asgi *s = of_capsule(capsule);
	int fd = s ? link_worker_fd(s->worker) : 0;

	(void)module;
	if (!s)
		return NULL;
	if (fd < 0) {
		errno = -fd;
		return PyErr_SetFromErrno(PyExc_OSError);
	}
	return PyLong_FromLong(fd);
}

static PyObject *add(PyObject *module, PyObject *args)
{
	PyObject *capsule;
	struct asgi *s;
	int fd, err;

	(void)module;
	if (!PyArg_ParseTuple(args, "Oi", &capsule, &fd))
		return NULL;
	s = of_capsule(capsule);
	if (!s)
		return NULL;
	err = link_worker_add(s->worker, fd);
	if (err) {
		errno = -err;
		return PyErr_SetFromErrno(PyExc_OSError);
	}
	Py_RETURN_NONE;
}

PyMethodDef asgi_methods[] = {
	{"asgi_open", open_server, METH_VARARGS, "make an ASGI server"},
	{"asgi_fd", descriptor, METH_O, "what the loop waits for"},
	{"asgi_turn", turn, METH_O, "take what the link has brought"},
	{"asgi_turn_by", turn_by, METH_VARARGS, "what the loop calls for one more turn"},
	{"asgi_tick", tick, METH_O, "pings, and the end of patience"},
	{"asgi_stop", stop, METH_O, "take no more requests"},
	{"asgi_live", live, METH_O, "requests that have not ended"},
	{"asgi_tasks", tasks, METH_O, "the tasks that run"},
	{"asgi_state", set_state, METH_VARARGS, "what every scope gets a copy of"},
	{"asgi_add", add, METH_VARARGS, "one more gate, by its link socket"},
	{NULL, NULL, 0, NULL},
};
