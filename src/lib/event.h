/*
 * event.h: typed events, as bytes.
 *
 * lib never logs: a process emits an event by its id (tbl/events.h) with fields, and the log process
 * renders it. An encoded event is u32 id, then (name, value) string pairs packed as in buf.h. emit()
 * writes to the process's log ring; before the ring exists, and for the parent without a log process,
 * the text goes to stderr through event_text().
 */
#ifndef STEAD_LIB_EVENT_H
#define STEAD_LIB_EVENT_H

#include "buf.h"
#include <stdarg.h>

/* Encode: fields are pairs "name", "format", args…: see event_begin/field/end. */
void event_begin(struct buf *b, uint32_t id);
void event_field_str(struct buf *b, const char *name, const char *value);
void event_field_u64(struct buf *b, const char *name, uint64_t value);
void event_field_i64(struct buf *b, const char *name, int64_t value);
/* Decode: calls `each` for every field. -EBADMSG. */
int event_decode(const void *p, size_t n, uint32_t *ret_id,
	void (*each)(void *arg, const char *name, const char *value), void *arg);

#endif
