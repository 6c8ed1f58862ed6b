/*
 * read.c: a stead.conf or unit file, from its entries to values, with every error of it in one go.
 *
 * Called by `check`. Decides what a key means in its section: a row, a later key, one of systemd's
 * that has no effect here, or an unknown one with the nearest known.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf_priv.h"
#include "lib/must.h"

/* Where one item of a value goes: the entry, and the offset in it where the item begins. */
struct item {
	const struct conf_entry *e;
	enum conf_key key;
	const char *text;
	size_t off;
};

static void bad_at(struct conf *c, const struct item *it, size_t off, const char *why)
{
	struct conf_pos pos = conf_entry_pos(it->e, off);

	conf_find(c, CONF_ERROR, &pos, "", "%s=: %s", it->e->key, why);
}

/* Specifiers, then the row's check. */
static void put_item(struct conf *c, const struct item *it)
{
	struct conf_pos pos = conf_entry_pos(it->e, it->off);
	const char *text = it->text, *why = "";
	size_t off = 0;

	if (conf_rows[it->key].flags & CONF_SPECIFIERS) {
		int r = conf_specifiers(c, it->text, &text, &off, &why);

		if (r == -EINVAL)
			bad_at(c, it, it->off + off, why);
		if (r < 0)
			return;
	}
	if (conf_rows[it->key].type == CONF_TYPE_LOGFORMAT)
		pos = conf_entry_pos(it->e, it->off + conf_logformat_fault(text));
	(void)conf_put_key(c, it->key, text, CONF_FROM_FILE, &pos);
}

/* PREFIX PATH and CODE PATH: two words, either of which may be quoted, are one item. */
static void put_pair(struct conf *c, struct item *it)
{
	const char *at = it->e->value, *word[2] = {"", ""}, *why = "";
	char *joined;
	size_t off, n;
	int r = 1;

	for (int i = 0; i < 2 && r == 1; i++) {
		r = conf_word_next(c, it->e->value, &at, &word[i], &off, &why);
		if (i == 0)
			it->off = off;
	}
	if (r >= 0 && at[strspn(at, " \t")] != '\0') {
		off = (size_t)(at - it->e->value) + strspn(at, " \t");
		why = "there is more than two words; quote a path with blanks";
		r = -EINVAL;
	}
	if (r == -EINVAL)
		bad_at(c, it, off, why);
	if (r < 0)
		return;
	n = strlen(word[0]) + strlen(word[1]) + 2;
	joined = conf_alloc(c, n);
	if (joined == NULL)
		return;
	snprintf(joined, n, "%s%s%s", word[0], word[1][0] != '\0' ? " " : "", word[1]);
	it->text = joined;
	put_item(c, it);
}

static void put_words(struct conf *c, struct item *it)
{
	const char *at = it->e->value, *why = "";
	size_t off = 0;
	int r;

	while ((r = conf_word_next(c, it->e->value, &at, &it->text, &off, &why)) == 1) {
		it->off = off;
		put_item(c, it);
	}
	if (r == -EINVAL)
		bad_at(c, it, off, why);
}

/* systemd's WorkingDirectory=~ is the home; a - before it says that the folder may be missing. */
static void put_directory(struct conf *c, struct item *it)
{
	if (strcmp(it->text, "~") == 0)
		it->text = "%h";
	else if (strcmp(it->text, "-~") == 0)
		it->text = "-%h";
	put_item(c, it);
}

static void put_entry(struct conf *c, const struct conf_entry *e, enum conf_key key)
{
	const struct conf_row *row = &conf_rows[key];
	struct item it = {.e = e, .key = key, .text = e->value};

	if (e->value[0] == '\0') {
		(void)conf_put_key(c, key, "", CONF_FROM_FILE, &e->key_pos);
		return;
	}
	if (!(row->flags & CONF_MANY) && c->at->head[key] != NULL &&
		c->at->head[key]->origin == CONF_FROM_FILE)
		conf_find(c, CONF_WARNING, &e->key_pos, "take one of them out",
			"%s= is written twice: this one counts, the one in line %u does not",
			e->key, c->at->head[key]->pos.line);
	if (row->type == CONF_TYPE_PREFIX || row->type == CONF_TYPE_ERRPAGE)
		put_pair(c, &it);
	else if (key == CONF_SERVICE_WORKING_DIRECTORY)
		put_directory(c, &it);
	else if (row->type == CONF_TYPE_CMD)
		conf_command_put(c, e, key);
	else if (row->flags & CONF_LINE)
		put_item(c, &it);
	else if ((row->flags & CONF_MANY) && row->type != CONF_TYPE_ENVFILE)
		put_words(c, &it);
	else
		put_item(c, &it);
}

static const struct conf_known_row *known_key(enum conf_section section, const char *key)
{
	for (unsigned i = 0; i < conf_known_rows_n; i++)
		if (conf_known_rows[i].section == section &&
			strcmp(conf_known_rows[i].key, key) == 0)
			return &conf_known_rows[i];
	return NULL;
}

struct guess {
	const char *key;
	unsigned distance;
	enum conf_section section;
};

static void guess(struct guess *g, const char *key, const char *other, enum conf_section section,
	enum conf_section wanted)
{
	unsigned d = conf_distance(key, other, 4);

	/* In another section only the very same name counts. */
	if (section != wanted ? d > 0 : !conf_near(key, d))
		return;
	if (d < g->distance || (d == g->distance && section == wanted && g->section != wanted)) {
		g->key = other;
		g->distance = d;
		g->section = section;
	}
}

static void unknown_key(struct conf *c, const struct conf_entry *e)
{
	const struct section_row *sr = &section_rows[e->section];
	struct guess g = {.key = NULL, .distance = 5};
	bool warn = (sr->flags & SECTION_SYSTEMD) != 0;
	char todo[CONF_TODO_MAX] = "";

	/* What is not shown any more is not guessed either: each costs hundreds of comparisons. */
	for (enum conf_key k = 0; k < CONF_END && c->findings_n <= CONF_FINDINGS_MAX; k++)
		guess(&g, e->key, conf_rows[k].key,
			conf_key_in(e->section, conf_rows[k].key) == k ? e->section
								       : conf_rows[k].section,
			e->section);
	for (unsigned i = 0; i < conf_known_rows_n && c->findings_n <= CONF_FINDINGS_MAX; i++)
		guess(&g, e->key, conf_known_rows[i].key, conf_known_rows[i].section, e->section);
	if (g.key != NULL && g.section != e->section)
		snprintf(todo, sizeof(todo), "%s= belongs into [%s]", g.key,
			section_rows[g.section].name);
	else if (g.key != NULL)
		snprintf(todo, sizeof(todo), "did you mean %s=?", g.key);
	conf_find(c, warn ? CONF_WARNING : CONF_ERROR, &e->key_pos, todo,
		"there is no key %.60s= in [%s]", e->key, sr->name);
}

static void read_entry(struct conf *c, const struct conf_entry *e)
{
	enum conf_key key = conf_key_in(e->section, e->key);
	const struct conf_known_row *known;

	if (e->key[0] == 'X' && e->key[1] == '-')
		return; /* systemd's rule for what other programs keep in the file */
	if (key != CONF_END && conf_rows[key].flags & CONF_LATER) {
		conf_find(c, CONF_ERROR, &e->key_pos, "take the line out",
			"this version of stead does not have %s= yet", e->key);
		return;
	}
	if (key != CONF_END) {
		c->at = conf_scope_at(c, e->section, e->scope, &e->key_pos);
		if (c->at != NULL)
			put_entry(c, e, key);
		c->at = &c->plain;
		return;
	}
	known = known_key(e->section, e->key);
	if (known == NULL)
		unknown_key(c, e);
	else if (known->refused)
		conf_find(c, CONF_ERROR, &e->key_pos, known->todo, "%s= cannot hold in [%s]: %s",
			e->key, section_rows[e->section].name, known->why);
	else if (known->later)
		conf_find(c, CONF_ERROR, &e->key_pos, "take the line out",
			"this version of stead does not have %s= yet", e->key);
	else if (e->section == SECTION_SERVICE)
		conf_find(c, CONF_NOTE, &e->key_pos, "", "%s= has no effect in this version%s%s",
			e->key, known->why[0] != '\0' ? ": " : "", known->why);
}

int conf_read(struct conf *c, const char *file, const char *text, size_t n)
{
	unsigned errors = c->errors;
	struct conf_entry *entries;
	int r = conf_parse(c, file, text, n, &entries);

	/* The name first: specifiers of other values are made from it. */
	for (struct conf_entry *e = entries; e != NULL && r == 0; e = e->next)
		if (e->section == SECTION_SITE && strcmp(e->key, "Name") == 0)
			read_entry(c, e);
	for (struct conf_entry *e = entries; e != NULL && r == 0; e = e->next)
		if (!(e->section == SECTION_SITE && strcmp(e->key, "Name") == 0))
			read_entry(c, e);
	if (r < 0 || c->no_memory)
		return -ENOMEM;
	return c->errors > errors ? -EINVAL : 0;
}
