/*
 * head.c: see head.h.
 */
#include "head.h"

#include "link/link_field.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static char *room(struct head *h, size_t n)
{
	if (h->len + n > h->cap) {
		size_t cap = h->cap ? h->cap * 2 : 1024;
		char *more;

		while (cap < h->len + n)
			cap *= 2;
		more = realloc(h->p, cap);
		if (!more) {
			PyErr_NoMemory();
			return NULL;
		}
		h->p = more;
		h->cap = cap;
	}
	return h->p + h->len;
}

int head_begin(struct head *h, unsigned status, const char *reason, size_t n)
{
	struct link_head head = {
		.status = (uint16_t)status, .reason_len = (uint32_t)n, .content_length = -1};
	char *at;

	h->len = 0;
	h->nfields = 0;
	h->content_length = -1;
	at = room(h, sizeof(head) + n);
	if (!at)
		return -1;
	memcpy(at, &head, sizeof(head));
	if (n)
		memcpy(at + sizeof(head), reason, n);
	h->len = sizeof(head) + n;
	return 0;
}

int head_name(struct head *h, PyObject *name, const char *p, size_t n)
{
	uint16_t n16 = (uint16_t)n;
	char *at;

	if (h->nfields == HEAD_FIELDS_MAX) {
		PyErr_Format(PyExc_ValueError, "more than %d response headers", HEAD_FIELDS_MAX);
		return -1;
	}
	if (!link_field_name_ok(p, n) || n > 60000) {
		PyErr_Format(PyExc_ValueError, "not a header field's name: %R", name);
		return -1;
	}
	at = room(h, 8 + n);
	if (!at)
		return -1;
	memcpy(at, &n16, 2);
	memset(at + 2, 0, 6);
	memcpy(at + 8, p, n);
	h->name_len = n;
	h->len += 8 + n;
	h->value_at = h->len;
	h->nfields++;
	return 0;
}

int head_value(struct head *h, PyObject *name, PyObject *value, const char *p, size_t n)
{
	uint32_t n32 = (uint32_t)n;
	char *at;

	if (!link_field_value_ok(p, n) || n > LINK_FRAME_MAX) {
		PyErr_Format(PyExc_ValueError,
			"the value of header field %R has control characters", name);
		return -1;
	}
	at = room(h, n);
	if (!at)
		return -1;
	memcpy(h->p + h->value_at - h->name_len - 4, &n32, 4);
	if (n)
		memcpy(at, p, n);
	h->len += n;
	if (h->name_len == 14 && strncasecmp(h->p + h->value_at - 14, "content-length", 14) == 0) {
		h->content_length = link_field_length(p, n);
		if (h->content_length < 0) {
			PyErr_Format(PyExc_ValueError, "not a length: %R", value);
			return -1;
		}
	}
	return 0;
}

int head_field(struct head *h, const char *name, const char *p, size_t n)
{
	if (head_name(h, Py_None, name, strlen(name)) < 0)
		return -1;
	return head_value(h, Py_None, Py_None, p, n);
}

int head_end(struct head *h)
{
	uint16_t nfields = (uint16_t)h->nfields;

	if (h->len > LINK_FRAME_MAX / 2) {
		PyErr_SetString(PyExc_ValueError, "the response's head is too large");
		return -1;
	}
	memcpy(h->p + offsetof(struct link_head, nfields), &nfields, 2);
	memcpy(h->p + offsetof(struct link_head, content_length), &h->content_length, 8);
	return 0;
}

void head_set_length(struct head *h, int64_t length)
{
	h->content_length = length;
	memcpy(h->p + offsetof(struct link_head, content_length), &length, 8);
}

void head_done(struct head *h)
{
	free(h->p);
	h->p = NULL;
	h->len = h->cap = 0;
}
