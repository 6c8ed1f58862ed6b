/*
 * site.h: sites without a folder of their own, and lists of them; see site.c.
 */
#ifndef STEAD_CTL_SITE_H
#define STEAD_CTL_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

/* One file of Sites=, or what of it is the last good version. */
struct site {
	char *file;     /* as positions show it: Sites=, a slash, its name */
	char name[28];
	uint32_t number;
	char *values;   /* what is written: packed, see site_value_next() */
	size_t bytes;
	bool bad;       /* check found errors: there are no values */
	bool published; /* its folders were seen to; within a flow */
	bool kept;      /* the file says other than this, which is its last good version */
};
/* In the order of their files' names. */
struct site_list {
	struct site **all;
	unsigned n, room;
};
struct site_value {
	const char *section, *arg, *key, *text;
	uint32_t line, col;
};
/* NULL without memory. The name is the file's until a value says another. */
struct site *site_new(const char *file);
struct site *site_copy(const struct site *s);
void site_free(struct site *s);
/* Take it, at the end. -ENOMEM: it is freed. */
int sites_add(struct site_list *l, struct site *s);
int sites_copy(const struct site_list *l, struct site_list *ret);
void sites_free(struct site_list *l);
struct site *sites_of_file(const struct site_list *l, const char *file);
struct site *sites_named(const struct site_list *l, const char *name);
/* The next of u, which begins at its values. False at the end, and when they are not in form: then u is bad. */
bool site_value_next(struct unpack *u, struct site_value *ret);
/* The first Domain=; "" when there is none. Points into the site. */
const char *site_domain(const struct site *s);

#endif
