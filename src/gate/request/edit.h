/*
 * edit.h: Header=: fields that the configuration sets, adds and removes.
 */
#ifndef STEAD_GATE_EDIT_H
#define STEAD_GATE_EDIT_H

#include "filter.h"
#include "phases.h"

/* Of the request: what app and upstream see. */
enum phase_end phase_edit(struct req *r);
/* Give the request a field (name in lower case; replaced, or one more when `add`); name and value live as
 * long as the request. -ENOMEM; -E2BIG: too many. */
int edit_set(struct req *r, const char *name, const char *value, size_t value_len, bool add);
/* Take all of that name away. */
void edit_remove(struct req *r, const char *name);

extern const struct filter_ops edit_filter;

#endif
