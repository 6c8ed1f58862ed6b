/*
 * asgi.h: what the ASGI files of the extension _steadlink share (ASGI 3.0, HTTP & WebSocket 2.5).
 *
 * One struct asgi is a worker's server: an event loop's thread runs everything in it, so nothing here
 * is locked and nothing blocks. Each request is a struct conn, a Python object: scope, receive() and
 * send() lead to it, the loop's task runs the app. What cannot go on now is a future of the loop,
 * which asgi_turn() ends when the link has brought something.
 */
#ifndef STEAD_PYTHON_ASGI_H
#define STEAD_PYTHON_ASGI_H

#include "head.h"
#include "link/link_worker.h"
#include "link/ws.h"
#include "link/ws_deflate.h"

/* What a message is asked for, and what scopes say. */
#define ASGI_NAMES(NAME)                                                                           \
	NAME(type, "type")                                                                         \
	NAME(status, "status")                                                                     \
	NAME(headers, "headers")                                                                   \
	NAME(trailers, "trailers")                                                                 \
	NAME(body, "body")                                                                         \
	NAME(more_body, "more_body")                                                               \
	NAME(path, "path")                                                                         \
	NAME(text, "text")                                                                         \
	NAME(bytes, "bytes")                                                                       \
	NAME(code, "code")                                                                         \
	NAME(reason, "reason")                                                                     \
	NAME(subprotocol, "subprotocol")                                                           \
	NAME(method, "method")                                                                     \
	NAME(raw_path, "raw_path")                                                                 \
	NAME(query_string, "query_string")                                                         \
	NAME(http_version, "http_version")                                                         \
	NAME(scheme, "scheme")                                                                     \
	NAME(client, "client")                                                                     \
	NAME(server, "server")                                                                     \
	NAME(state, "state")                                                                       \
	NAME(subprotocols, "subprotocols")                                                         \
	NAME(request_id, "stead.request_id")                                                       \
	NAME(user, "stead.user")                                                                   \
	NAME(http_request, "http.request")                                                         \
	NAME(http_disconnect, "http.disconnect")                                                   \
	NAME(ws_connect, "websocket.connect")                                                      \
	NAME(ws_receive, "websocket.receive")                                                      \
	NAME(ws_disconnect, "websocket.disconnect")                                                \
	NAME(version_0, "1.0")                                                                     \
	NAME(https, "https")                                                                       \
	NAME(wss, "wss")                                                                           \
	NAME(set_result, "set_result")                                                             \
	NAME(done, "done")                                                                         \
	NAME(call_soon, "call_soon")                                                               \
	NAME(run, "run")                                                                           \
	NAME(self, "__self__")                                                                     \
	NAME(task_factory, "get_task_factory")                                                     \
	NAME(empty, "")

enum asgi_name {
#define NAME(id, text) ASGI_##id,
	ASGI_NAMES(NAME)
#undef NAME
		ASGI_NAMES_END
};

enum { PAIRS_CACHED = 256, PAIR_NAME_MAX = 64, PAIR_VALUE_MAX = 256 };

/* A pair of a scope, with the bytes that it was made of. */
struct asgi_pair {
	PyObject *pair;
	uint32_t name_len, value_len;
	char name[PAIR_NAME_MAX], value[PAIR_VALUE_MAX];
};

/* The value that a key of a scope had last, with its bytes. */
struct asgi_last {
	PyObject *value;
	uint32_t len;
	char bytes[PAIR_VALUE_MAX];
};

enum { ASGI_RECEIVE = 0, ASGI_SEND, ASGI_WAYS };

struct conn;

struct asgi {
	struct link_worker *worker;
	PyObject *app;
	PyObject *run;           /* run(conn, app, scope, receive, send): the coroutine of one request */
	PyObject *loop, *create_task, *create_future, *call_soon;
	PyObject *task_type, *task_args; /* asyncio.Task and its keywords; NULL: create_task() */
	PyObject *catcher;               /* call_soon() of the loop while a Task is made */
	PyObject *step, *context;        /* what it caught */
	PyObject *step_type;             /* what such a step is; NULL: none was seen yet */
	bool eager;                      /* in this turn */
	PyObject *sent_types[3];         /* the app's own str objects, each for a type of asgi_http_send() */
	PyObject *on_error;      /* prints an exception */
	PyObject *accept_key;    /* the value of Sec-WebSocket-Accept for a key */
	PyObject *gone;          /* the exception that send() raises when the client has gone */
	PyObject *http, *websocket; /* what each scope of the kind begins as */
	PyObject *state;         /* of the lifespan; NULL: the app has none */
	PyObject *turn;          /* the callable that the loop runs again */
	PyTypeObject *conn_type, *call_type, *wait_type;
	PyObject *name[ASGI_NAMES_END];
	struct asgi_pair pairs[PAIRS_CACHED], methods[8];
	struct asgi_last path, raw_path;
	struct conn *first;      /* every request whose app or link has not ended */
	struct conn *ring;       /* wait for room in a ring; each holds a reference */
	struct conn *owing;      /* their end is still to be told; each holds a reference */
	unsigned live;
	size_t message_max;
	struct ws_deflate *deflate; /* of all WebSockets; NULL: none was agreed yet */
	uint32_t ping_ms, close_ms;
	bool stopping;
};

enum ws_state {
	WS_STATE_CONNECTING = 0, /* the handshake waits for the app */
	WS_STATE_DENYING,        /* … which answers with an HTTP response */
	WS_STATE_OPEN,
	WS_STATE_CLOSING, /* our close frame went, the client's has not come */
	WS_STATE_CLOSED,
};

/* A WebSocket beside what every request has. */
struct wsock {
	struct ws frames;
	uint8_t state; /* enum ws_state */
	bool connect_told, ping_sent;
	bool end_owed; /* the tunnel ends when `out` is empty */
	bool cut;      /* it ended before all of `out` went */
	PyObject *queue; /* messages that came: a list of str and bytes */
	size_t queue_bytes;
	char *out; /* what the link did not take yet */
	size_t out_at, out_len, out_cap;
	uint16_t code; /* of the end, for the app */
	PyObject *reason;
	uint64_t due_ms; /* the next ping, or the end of patience with a client that shall close */
	char key[24];
	uint8_t deflate_bits;         /* of the window for what is sent; 0: no compression was agreed */
	char extension[WS_AGREED_MAX]; /* … and how that is told to the client */
};

struct conn {
	PyObject_HEAD struct asgi *s;
	struct link_req *req; /* NULL: over */
	struct conn *next, *prev, *next_ring, *next_owing;
	PyObject *task;
	PyObject *waiters[ASGI_WAYS]; /* lists of futures */
	bool in_ring, in_owing, app_done;
	bool end_well; /* … of what is owed: else a failure */
	bool listed;
	struct head head;
	bool started, head_sent, complete, is_head, no_body, body_told;
	int64_t left; /* of Content-Length; -1: none was said */
	struct wsock *ws;
};

/* What receive() or send() returned: it runs when it is awaited. */
struct wait {
	PyObject_HEAD struct conn *conn;
	PyObject *message; /* of send() */
	PyObject *data;    /* its bytes, once they were looked at */
	size_t at;         /* of the data: taken by the link */
	uint8_t way;
	bool begun;
	PyObject *inner; /* a future's iterator */
};

/* asgi_scope.c */
int asgi_scope_init(struct asgi *s);
void asgi_scope_done(struct asgi *s);
/* The scope of a request; fills c->is_head, and c->ws when it is a WebSocket. NULL: an exception. *ret_bad
 * (an HTTP status): the handshake is wrong, and nobody is called. */
PyObject *asgi_scope(struct conn *c, unsigned *ret_bad);

/* Each step of a receive() or send(): a new reference, or NULL: with an exception, or without one: wait. */
PyObject *asgi_http_receive(struct conn *c);
PyObject *asgi_http_send(struct conn *c, struct wait *w);
PyObject *asgi_ws_receive(struct conn *c);
PyObject *asgi_ws_send(struct conn *c, struct wait *w);

/* asgi_http.c */
/* http.response.start and .body, and those of a denied WebSocket, whose types have a prefix. */
PyObject *asgi_response(struct conn *c, struct wait *w, const char *type);
int asgi_put_headers(struct conn *c, PyObject *headers, bool accepting);

/* asgi_ws.c */
uint64_t asgi_now_ms(void);
/* The connection has ended, or will when what waits has gone: the app hears of it. */
void asgi_ws_closed(struct conn *c);
/* … at once, and nothing more can be said. */
void asgi_ws_lost(struct conn *c);
/* A frame behind what waits. */
void asgi_ws_put(struct conn *c, enum ws_opcode op, const char *p, size_t n);
/* A message, compressed where that was agreed and is worth it. */
void asgi_ws_put_message(struct conn *c, enum ws_opcode op, const char *p, size_t n);
void asgi_ws_close_with(struct conn *c, uint16_t code, const char *reason, size_t n);
/* Is it open, and not more in the queue than its bound? */
bool asgi_ws_wants_more(const struct conn *c);
int asgi_ws_new(struct conn *c);
void asgi_ws_free(struct conn *c);
/* Something came from the client, or there is room again. 0, or -1 with an exception. */
int asgi_ws_pump(struct conn *c);
/* Take leave: of an open one by a close frame. */
void asgi_ws_close(struct conn *c, uint16_t code, const char *reason);
/* The app has returned, or failed. */
void asgi_ws_app_done(struct conn *c, bool failed);
void asgi_ws_tick(struct conn *c, uint64_t now_ms);

/* asgi_call.c */
extern PyType_Spec asgi_call_spec, asgi_wait_spec;
PyObject *asgi_call_new(struct conn *c, int way);
/* Everybody who waits for this way tries again. */
void asgi_wake(struct conn *c, int way);
/* It waits for room: in the ring, if the client's window is not what lacks. */
void asgi_wait_room(struct conn *c);

/* asgi_conn.c */
extern PyType_Spec asgi_conn_spec;
struct conn *asgi_conn_new(struct asgi *s, struct link_req *req);
/* Nothing more goes to the link: tell the end (of a WebSocket, or a failure), now or when there is room. */
void asgi_conn_end(struct conn *c);
void asgi_conn_fail(struct conn *c);
/* Its end was told. */
void asgi_conn_release(struct conn *c);
bool asgi_conn_gone(const struct conn *c);
/* Try again what found no room. */
void asgi_conns_retry(struct asgi *s);
PyObject *asgi_raise_gone(struct conn *c);

/* asgi_serve.c */
/* Another turn, from the loop: what waits for the link must be told to it. */
void asgi_turn_soon(struct asgi *s);
extern PyMethodDef asgi_methods[];

static inline PyObject *asgi_get(struct asgi *s, PyObject *message, enum asgi_name name)
{
	return PyDict_GetItemWithError(message, s->name[name]); /* borrowed */
}
static inline PyObject *asgi_none(void)
{
	Py_RETURN_NONE;
}

#endif
