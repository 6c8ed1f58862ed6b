/*
 * wsgi.h: what the files of the extension _steadlink share.
 *
 * The extension is the worker's end of the link (src/link) with a WSGI server around it (PEP 3333),
 * in the limited API of CPython 3.9, so that one file serves every later interpreter with a GIL.
 * All state hangs on one struct wsgi; the GIL guards it. The GIL is given up only to wait.
 */
#ifndef STEAD_PYTHON_WSGI_H
#define STEAD_PYTHON_WSGI_H

#define Py_LIMITED_API 0x03090000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "head.h"
#include "link/link_env.h"
#include "link/link_worker.h"

enum { NAMES_CACHED = 256, NAME_CACHED_MAX = 64, VALUE_CACHED_MAX = 256, TEXTS_CACHED = 128 };
enum { SHAPES = 4, SHAPE_BLOCK_MAX = 2048, SHAPE_DIFFS_MAX = 6, SHAPE_LEARN = 8 };

/* A key of the environ with the value that it had last. */
struct env_key {
	PyObject *key, *value;
	uint32_t name_len, value_len;
	char name[NAME_CACHED_MAX], bytes[VALUE_CACHED_MAX];
};
/* An environ of an earlier request, and the block that it was made of: a request whose block has the same keys in the
 * same order begins as a copy of it, in which only the values that differ are set. */
struct env_shape {
	PyObject *env; /* NULL: none yet */
	uint32_t len;
	char block[SHAPE_BLOCK_MAX];
};
/* A str that was met as part of a head, and its bytes. */
struct text_entry {
	PyObject *str, *bytes;
	const char *p; /* of bytes */
	size_t n;
};

struct wsgi {
	struct link_worker *worker;
	PyObject *app, *base;          /* base: the environ that each request's begins as */
	PyObject *on_error;            /* prints the exception that is set */
	PyObject *file_type, *file_of; /* FileWrapper; a real file's (fd, offset) or None */
	PyTypeObject *request_type, *input_type;
	PyObject *no_input, *key_input, *str_close, *no_bytes;
	PyObject *spare; /* a request object of an earlier request */
	struct env_key keys[ENV_END], names[NAMES_CACHED];
	struct text_entry texts[TEXTS_CACHED];
	struct env_shape shapes[SHAPES]; /* the one that fitted last is the first that is tried */
	unsigned shape_last, shape_misses;
};

/* start_response, and what is known of the answer. */
struct request {
	PyObject_HEAD struct wsgi *w;
	struct link_req *req; /* NULL: over */
	PyObject *write;      /* the callable that start_response returns */
	struct head head;
	bool started, head_sent, is_head;
	bool gone; /* nobody waits for the answer any more */
	uint64_t sent; /* bytes of the body */
};

/* wsgi.input of a request with a body. */
struct input {
	PyObject_HEAD struct wsgi *w;
	struct link_req *req; /* NULL: over */
	char *buf;            /* read ahead by readline() */
	size_t at, len, cap;
};

/* environ.c */
int environ_init(struct wsgi *w);
void environ_done(struct wsgi *w);
/* A new dict; *is_head: the method is HEAD. */
PyObject *environ_new(struct wsgi *w, const char *p, size_t n, bool *is_head);

/* request.c */
extern PyType_Spec request_spec;
struct request *request_new(struct wsgi *w, struct link_req *req);
/* The request is over: nothing that the app kept reaches the link any more. */
void request_end(struct wsgi *w, struct request *r);
/* Body bytes, with the head when it is not sent yet. 0, or -1 with an exception unless r->gone. */
int request_send(struct request *r, const char *p, size_t n, bool end);
/* The rest from a file. 1 done, 0 it must be read, -1. */
int request_send_file(struct request *r, int fd, uint64_t off, uint64_t len);
/* Wait without the GIL. 0, or -1 with an exception. */
int wsgi_wait(struct wsgi *w, uint64_t seen);

/* input.c */
extern PyType_Spec input_spec;
PyObject *input_new(struct wsgi *w, struct link_req *req);
void input_end(PyObject *o);

/* serve.c */
int wsgi_run(struct wsgi *w, unsigned thread);

#endif
