/*
 * filter.h: filters that an answer passes between its handler and its protocol, in the order of enum
 * filter (req.h).
 *
 * Whoever knows that a filter may take part sets its bit in req.filters before the answer's head. In
 * head() the filter changes the head, and says whether it takes part in the body too; then it gets every
 * body byte and gives on what it makes of them. It bounds what it holds: while it holds bytes that nobody
 * took, its body() takes nothing.
 */
#ifndef STEAD_GATE_FILTER_H
#define STEAD_GATE_FILTER_H

#include "req.h"

struct filter_ops {
	/* The head on its way; *h may be changed, and its fields replaced by a copy in the arena. `end`: no
	 * body follows. True: this filter sees the body. */
	bool (*head)(struct req *r, struct resp_head *h, bool end);
	/* Take some or all of p; give on through filter_body(r, own number + 1, …). Returns how many of n
	 * were taken; `end` holds when all were. */
	size_t (*body)(struct req *r, const void *p, size_t n, bool end);
	/* There is room behind it again: give on what it holds. True: it takes bytes again. */
	bool (*on_room)(struct req *r);
	/* The request ends: give back what is not arena memory. May be NULL. */
	void (*done)(struct req *r);
};
/* By enum filter; NULL: it has no part here (tests). */
extern const struct filter_ops *const filter_table[FILTER_END];

/* For filters: to the next one at or behind `from`, or to the protocol. */
size_t filter_body(struct req *r, unsigned from, const void *p, size_t n, bool end);
/* Bytes that are taken there now; 0: on_room() will be called. */
size_t filter_room(struct req *r, unsigned from);
/* Give the head's field a value (replaced, or appended when `add`), copying the table of fields into the
 * arena when it is not there yet: name and value must live as long as the request. -ENOMEM. */
int filter_set_field(struct req *r, struct resp_head *h, const char *name, const char *value, bool add);
/* Take every field of that name away (names are compared without case). */
int filter_drop_field(struct req *r, struct resp_head *h, const char *name);
/* Are these n bytes the same name, whatever their case? */
bool filter_same_name(const char *a, const char *b, size_t n);
static inline bool filter_is(const struct field *f, const char *name, size_t n)
{
	return f->name_len == n && filter_same_name(f->name, name, n);
}
/* The first field of that name, or NULL. */
const struct field *filter_field_n(const struct resp_head *h, const char *name, size_t n);
static inline const struct field *filter_field(const struct resp_head *h, const char *name)
{
	return filter_field_n(h, name, strlen(name));
}

/* For req.c */
void filters_on_room(struct req *r);
void filters_done(struct req *r);

#endif
