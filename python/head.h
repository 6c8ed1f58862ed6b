/*
 * head.h: an answer's head as the link carries it (struct link_head), put together field by field.
 *
 * For both kinds of apps. What is wrong with a field is an exception at the app's own call; the gate
 * checks the same again.
 */
#ifndef STEAD_PYTHON_HEAD_H
#define STEAD_PYTHON_HEAD_H

#define Py_LIMITED_API 0x03090000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "link/link.h"

enum { HEAD_FIELDS_MAX = 1000 };

struct head {
	char *p;
	size_t len, cap, value_at; /* value_at: of the field whose name was put last */
	size_t name_len;
	unsigned nfields;
	int64_t content_length; /* -1: no such field */
};

/* Each 0, or -1 with an exception. */
int head_begin(struct head *h, unsigned status, const char *reason, size_t n);
/* `name` and `value` are for what an exception says. */
int head_name(struct head *h, PyObject *name, const char *p, size_t n);
int head_value(struct head *h, PyObject *name, PyObject *value, const char *p, size_t n);
/* Both at once, of bytes that are right. */
int head_field(struct head *h, const char *name, const char *p, size_t n);
int head_end(struct head *h);
/* Say another length than the fields do. */
void head_set_length(struct head *h, int64_t length);
void head_done(struct head *h);

#endif
