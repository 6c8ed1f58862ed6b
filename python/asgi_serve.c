/*
 * asgi_serve.c: the ASGI server of the module _steadlink: requests into tasks of the loop.
 *
 * Called by stead_asgi.py: asgi_turn() whenever the link's descriptor is readable, asgi_tick() once
 * a second. A request becomes a coroutine, a task of the loop runs it, and what the link brings for
 * it later ends the futures that it waits for.
 *
 * A task takes its first step here, and not behind the loop's other callbacks: most requests are
 * answered in it, without a turn of the loop. It is a Task of asyncio's like any other, made in the
 * same order and with a context of its own; it only steps sooner (as with eager_start=True, which
 * Python has from 3.12 on).
 */
#include "asgi.h"

#include <errno.h>
#include <stdlib.h>

enum {
	ROUNDS_MAX = 4, /* of a turn, so that the loop's other work comes to its time */
	BEGUN_MAX = 32, /* requests in a turn, for the same reason */
};

static struct asgi *of_capsule(PyObject *o)
{
	return PyCapsule_GetPointer(o, "stead.asgi");
}

static void asgi_free(PyObject *capsule)
{
	struct asgi *s = of_capsule(capsule);
	PyObject **const objects[] = {&s->app, &s->run, &s->create_task, &s->create_future,
		&s->call_soon, &s->on_error, &s->accept_key, &s->gone, &s->http, &s->websocket,
		&s->state, &s->turn, &s->loop, &s->task_type, &s->task_args, &s->catcher, &s->step,
		&s->context, &s->step_type, &s->sent_types[0], &s->sent_types[1],
		&s->sent_types[2]};

	for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++)
		Py_CLEAR(*objects[i]);
	asgi_scope_done(s);
	ws_deflate_free(s->deflate);
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

/* asgi_open(app, run, create_task, create_future, call_soon, on_error, accept_key, gone, http,
 * websocket, marks, message_max, concurrency, ping_ms, close_ms, parent_fd): a server */
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

/* Is it what a Task gives to call_soon()? The first one shows what they are. */
static bool is_step(struct asgi *s, PyObject *callback)
{
	PyObject *task;
	bool found = false;

	if (s->step_type)
		return (PyObject *)Py_TYPE(callback) == s->step_type;
	task = PyObject_GetAttr(callback, s->name[ASGI_self]);
	if (task)
		found = PyObject_IsInstance(task, s->task_type) == 1;
	PyErr_Clear();
	Py_XDECREF(task);
	if (found) {
		s->step_type = (PyObject *)Py_TYPE(callback);
		Py_INCREF(s->step_type);
	}
	return found;
}

/* call_soon() of the loop while a Task is made: gets its first step. Whatever else calls it
 * meanwhile (what the collector of garbage ends may) is answered by the loop itself. */
static PyObject *catch_step(PyObject *self, PyObject *args, PyObject *kw)
{
	struct asgi *s = PyCapsule_GetPointer(self, "stead.asgi.step");
	PyObject *context = kw ? PyDict_GetItemString(kw, "context") : NULL;

	if (!s)
		return NULL;
	if (s->step || !context || PyTuple_Size(args) != 1 || !is_step(s, PyTuple_GetItem(args, 0)))
		return PyObject_Call(s->call_soon, args, kw);
	s->step = PyTuple_GetItem(args, 0);
	s->context = context;
	Py_INCREF(s->step);
	Py_INCREF(context);
	Py_RETURN_NONE;
}

static PyMethodDef catch_def = {"call_soon", (PyCFunction)(void (*)(void))catch_step,
	METH_VARARGS | METH_KEYWORDS, "takes a task's first step"};

/* A step that is not of our task: the loop's, as if it had not been caught. */
static void give_back(struct asgi *s)
{
	PyObject *args = PyTuple_Pack(1, s->step), *kw = PyDict_New(), *res = NULL;

	if (args && kw && PyDict_SetItemString(kw, "context", s->context) == 0)
		res = PyObject_Call(s->call_soon, args, kw);
	if (!res)
		print_error();
	Py_XDECREF(res);
	Py_XDECREF(args);
	Py_XDECREF(kw);
	Py_CLEAR(s->step);
	Py_CLEAR(s->context);
}

/* The task of c. Its first step is in s->step and s->context then, or with the loop. */
static void make_task(struct conn *c, PyObject *coro)
{
	struct asgi *s = c->s;
	PyObject *args = PyTuple_Pack(1, coro), *of = NULL;

	if (!args || PyObject_SetAttr(s->loop, s->name[ASGI_call_soon], s->catcher) < 0) {
		Py_XDECREF(args);
		return;
	}
	c->task = PyObject_Call(s->task_type, args, s->task_args);
	Py_DECREF(args);
	if (!c->task)
		print_error();
	if (PyObject_DelAttr(s->loop, s->name[ASGI_call_soon]) < 0)
		print_error();
	if (!s->step)
		return;
	of = PyObject_GetAttr(s->step, s->name[ASGI_self]);
	if (!of)
		PyErr_Clear();
	if (!of || of != c->task)
		give_back(s);
	Py_XDECREF(of);
}

/* What it raises would have ended the loop; run() of stead_asgi.py lets nothing out. */
static void first_step(struct asgi *s)
{
	PyObject *step = s->step, *context = s->context, *res;

	s->step = s->context = NULL;
	res = PyObject_CallMethodObjArgs(context, s->name[ASGI_run], step, NULL);
	if (!res)
		print_error();
	Py_XDECREF(res);
	Py_DECREF(step);
	Py_DECREF(context);
}

/* The app's loop makes its tasks in its own way, or shall be watched: then so are ours. */
static bool may_be_eager(struct asgi *s)
{
	PyObject *factory;
	bool none;

	if (!s->task_type)
		return false;
	factory = PyObject_CallMethodObjArgs(s->loop, s->name[ASGI_task_factory], NULL);
	none = factory == Py_None;
	if (!factory)
		print_error();
	Py_XDECREF(factory);
	return none;
}

/* The request's task. False: it has none; with an exception, if that is not told yet. */
static bool start_task(struct conn *c, PyObject *scope)
{
	struct asgi *s = c->s;
	PyObject *receive = asgi_call_new(c, ASGI_RECEIVE);
	PyObject *send = receive ? asgi_call_new(c, ASGI_SEND) : NULL, *coro = NULL;

	if (send)
		coro = PyObject_CallFunctionObjArgs(
			s->run, (PyObject *)c, s->app, scope, receive, send, NULL);
	Py_XDECREF(receive);
	Py_XDECREF(send);
	if (!coro)
		return false;
	if (!s->eager)
		c->task = PyObject_CallFunctionObjArgs(s->create_task, coro, NULL);
	else
		make_task(c, coro);
	if (s->step)
		first_step(s);
	Py_DECREF(coro);
	/* A loop of the app's own may have run it to its end already. */
	if (c->app_done)
		Py_CLEAR(c->task);
	return c->task || c->app_done;
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
	int res = 1, begun = 0;

	(void)module;
	if (!s)
		return NULL;
	s->eager = may_be_eager(s);
	for (int i = 0; res == 1 && i < ROUNDS_MAX && begun < BEGUN_MAX; i++) {
		struct link_req *req;

		res = link_worker_arm(s->worker, i > 0);
		if (res == -ECHILD) {
			PyErr_SetString(PyExc_RuntimeError,
				"a forked child came back into the server; end it with os._exit()");
			return NULL;
		}
		while ((res == 0 || res == 1) && begun < BEGUN_MAX &&
			link_worker_take(s->worker, 0, &req) == 0) {
			begun++;
			begin(s, req);
		}
		if (begun == BEGUN_MAX && res == 0)
			res = 1;
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
	return PyLong_FromLong(link_worker_stopping(s->worker) && !s->stopping ? 2
			       : res == 1                                      ? 1
									       : 0);
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
	if (state == Py_None)
		Py_RETURN_NONE;
	Py_INCREF(state);
	s->state = state;
	/* Scopes begin with all their keys, so that none of them grows. */
	if (PyDict_SetItem(s->http, s->name[ASGI_state], Py_None) < 0 ||
		PyDict_SetItem(s->websocket, s->name[ASGI_state], Py_None) < 0)
		return NULL;
	Py_RETURN_NONE;
}

/* asgi_eager(server, loop, task type): its tasks take their first step at once */
static PyObject *set_eager(PyObject *module, PyObject *args)
{
	PyObject *capsule, *loop, *type, *self;
	struct asgi *s;

	(void)module;
	if (!PyArg_ParseTuple(args, "OOO", &capsule, &loop, &type))
		return NULL;
	s = of_capsule(capsule);
	if (!s)
		return NULL;
	if (s->task_type)
		Py_RETURN_NONE;
	self = PyCapsule_New(s, "stead.asgi.step", NULL);
	s->catcher = self ? PyCFunction_New(&catch_def, self) : NULL;
	Py_XDECREF(self);
	s->task_args = s->catcher ? Py_BuildValue("{sO}", "loop", loop) : NULL;
	if (!s->task_args)
		return NULL;
	Py_INCREF(loop);
	s->loop = loop;
	Py_INCREF(type);
	s->task_type = type;
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
	{"asgi_eager", set_eager, METH_VARARGS, "make tasks that take their first step at once"},
	{"asgi_add", add, METH_VARARGS, "one more gate, by its link socket"},
	{NULL, NULL, 0, NULL},
};
