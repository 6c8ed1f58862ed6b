/*
 * site.c: sites without a folder of their own, and lists of them.
 *
 * Called by the up flow, which hears them from check, by state_site.c and by whoever looks one up.
 * A list owns its sites. Values stay packed as they were told until a snapshot is made of them.
 */
#include "ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct site *site_new(const char *file)
{
	struct site *s = calloc(1, sizeof *s);

	if (!s || !(s->file = strdup(file))) {
		free(s);
		return NULL;
	}
	conf_name_from_file(file, s->name);
	return s;
}

struct site *site_copy(const struct site *s)
{
	struct site *copy = site_new(s->file);

	if (!copy || !(copy->values = malloc(s->bytes + 1))) {
		site_free(copy);
		return NULL;
	}
	memcpy(copy->name, s->name, sizeof copy->name);
	if (s->bytes)
		memcpy(copy->values, s->values, s->bytes);
	copy->bytes = s->bytes;
	copy->number = s->number;
	copy->bad = s->bad;
	copy->kept = s->kept;
	return copy;
}

void site_free(struct site *s)
{
	if (!s)
		return;
	free(s->file);
	free(s->values);
	free(s);
}

int sites_add(struct site_list *l, struct site *s)
{
	if (l->n == l->room) {
		unsigned room = l->room * 2 + 16;
		struct site **all = realloc(l->all, room * sizeof(struct site *));

		if (!all) {
			site_free(s);
			return -ENOMEM;
		}
		l->all = all;
		l->room = room;
	}
	l->all[l->n++] = s;
	return 0;
}

int sites_copy(const struct site_list *l, struct site_list *ret)
{
	int err = 0;

	for (unsigned i = 0; i < l->n && !err; i++) {
		struct site *s = site_copy(l->all[i]);

		err = s ? sites_add(ret, s) : -ENOMEM;
	}
	return err;
}

void sites_free(struct site_list *l)
{
	for (unsigned i = 0; i < l->n; i++)
		site_free(l->all[i]);
	free(l->all);
	*l = (struct site_list){0};
}

static int by_file(const void *key, const void *at)
{
	return strcmp(key, (*(struct site *const *)at)->file);
}

struct site *sites_of_file(const struct site_list *l, const char *file)
{
	struct site **at = l->n ? bsearch(file, l->all, l->n, sizeof *l->all, by_file) : NULL;

	return at ? *at : NULL;
}

struct site *sites_named(const struct site_list *l, const char *name)
{
	for (unsigned i = 0; i < l->n; i++)
		if (strcmp(l->all[i]->name, name) == 0)
			return l->all[i];
	return NULL;
}

bool site_value_next(struct unpack *u, struct site_value *ret)
{
	if (u->bad || unpack_done(u))
		return false;
	ret->section = unpack_str(u);
	ret->arg = unpack_str(u);
	ret->key = unpack_str(u);
	ret->text = unpack_str(u);
	ret->line = unpack_u32(u);
	ret->col = unpack_u32(u);
	return !u->bad;
}

const char *site_domain(const struct site *s)
{
	struct site_value v;
	struct unpack u;

	unpack_init(&u, s->values, s->bytes);
	while (site_value_next(&u, &v))
		if (strcmp(v.section, "Site") == 0 && strcmp(v.key, "Domain") == 0)
			return v.text;
	return "";
}
