/* cm.h: cmocka with what it needs, and a conf with known facts. */
#ifndef STEAD_TEST_CONF_CM_H
#define STEAD_TEST_CONF_CM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "conf/conf.h"
#include "lib/must.h"

static inline struct conf *conf_with_facts(void)
{
	struct conf_facts f = {.name = "shop",
		.folder = "/srv/shop",
		.user = "ann",
		.home = "/home/ann",
		.group = "staff",
		.shell = "/bin/sh",
		.host = "box",
		.state = "/srv/shop/.stead",
		.runtime = "/run/x",
		.uid = 1000,
		.gid = 100,
		.cores = 3};
	struct conf *c = conf_new(&f);

	assert_non_null(c);
	return c;
}

/* The items of a key, joined by |. */
static inline const char *joined(const struct conf *c, enum conf_key key, char *mem, size_t cap)
{
	size_t n = 0;

	mem[0] = '\0';
	for (const struct conf_value *v = conf_get(c, key); v != NULL && n < cap; v = v->next)
		n += (size_t)snprintf(mem + n, cap - n, "%s%s", n > 0 ? "|" : "", v->text);
	return mem;
}

#endif
