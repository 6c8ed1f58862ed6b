/*
 * conf.c: the struct conf: its memory, its values with their precedence, its findings.
 *
 * Called by check, ctl and cli through conf.h. Owns every value, finding and string that it hands
 * out. Reads no file.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_priv.h"
#include "lib/must.h"

const char *const conf_origin_names[CONF_FROM_END] = {
	[CONF_FROM_DEFAULT] = "default",
	[CONF_FROM_DETECTED] = "detected",
	[CONF_FROM_FILE] = "file",
	[CONF_FROM_ENV_FILE] = "environment file",
	[CONF_FROM_COMMAND] = "command",
};

enum { BLOCK_BYTES = 16 * 1024, BLOCKS_MAX = 4096 };

static const char *dup_or_null(struct conf *c, const char *s)
{
	return s == NULL ? NULL : conf_strndup(c, s, strlen(s));
}

struct conf *conf_new(const struct conf_facts *facts)
{
	struct conf *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	arena_pool_init(&c->pool, BLOCK_BYTES, BLOCKS_MAX, 0);
	arena_init(&c->mem, &c->pool);
	c->plain.section = SECTION_END;
	c->plain.arg = c->plain.id = "";
	c->at = &c->plain;
	c->facts = *facts;
	c->facts.name = dup_or_null(c, facts->name);
	c->facts.folder = dup_or_null(c, facts->folder);
	c->facts.user = dup_or_null(c, facts->user);
	c->facts.home = dup_or_null(c, facts->home);
	c->facts.group = dup_or_null(c, facts->group);
	c->facts.shell = dup_or_null(c, facts->shell);
	c->facts.host = dup_or_null(c, facts->host);
	c->facts.state = dup_or_null(c, facts->state);
	c->facts.runtime = dup_or_null(c, facts->runtime);
	c->facts.base = dup_or_null(c, facts->base);
	must(!facts->defaults || facts->folderless);
	if (c->facts.cores == 0)
		c->facts.cores = 1;
	if (c->no_memory) {
		conf_free(c);
		return NULL;
	}
	return c;
}

struct conf *conf_new_like(const struct conf *c)
{
	return conf_new(&c->facts);
}

struct conf *conf_new_site(const struct conf *defaults, const char *name)
{
	struct conf_facts facts = defaults->facts;

	must(defaults->finished && facts.folderless);
	facts.name = name;
	facts.defaults = defaults;
	return conf_new(&facts);
}

void conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	arena_reset(&c->mem);
	/* The arena keeps its first block for reuse; the pool gives back whatever is free. */
	arena_pool_done(&c->pool);
	free(c);
}

void *conf_alloc(struct conf *c, size_t n)
{
	void *p = arena_zalloc(&c->mem, n);

	if (p == NULL)
		c->no_memory = true;
	return p;
}

char *conf_strndup(struct conf *c, const char *s, size_t n)
{
	char *p = arena_strndup(&c->mem, s, n);

	if (p == NULL)
		c->no_memory = true;
	return p;
}

/* Findings of one file stand in the order of their places, and files in the order of their first.
 */
static void insert(struct conf *c, struct conf_finding *f)
{
	struct conf_finding **at = &c->findings, *o;

	while ((o = *at) != NULL) {
		if (f->pos.line > 0 && strcmp(o->pos.file, f->pos.file) == 0 &&
			(o->pos.line > f->pos.line ||
				(o->pos.line == f->pos.line && o->pos.col > f->pos.col)))
			break;
		at = &o->next;
	}
	f->next = o;
	*at = f;
}

void conf_find(struct conf *c, enum conf_level level, const struct conf_pos *pos, const char *todo,
	const char *fmt, ...)
{
	struct conf_finding *f;
	char text[1024];
	va_list ap;

	if (level == CONF_ERROR)
		c->errors++;
	if (c->findings_n > CONF_FINDINGS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (c->findings_n++ == CONF_FINDINGS_MAX) {
		snprintf(text, sizeof(text), "there is more; only the first %d are shown",
			CONF_FINDINGS_MAX);
		todo = "";
	}
	f = conf_alloc(c, sizeof(*f));
	if (f == NULL)
		return;
	f->level = level;
	f->text = conf_strndup(c, text, strlen(text));
	f->todo = conf_strndup(c, todo, strlen(todo));
	f->pos.file = "";
	if (pos != NULL) {
		f->pos = *pos;
		f->pos.file = conf_strndup(c, pos->file, strlen(pos->file));
	}
	if (!c->no_memory)
		insert(c, f);
}

const struct conf_finding *conf_findings(const struct conf *c)
{
	return c->findings;
}

unsigned conf_errors(const struct conf *c)
{
	return c->errors;
}

const struct conf_value *conf_get(const struct conf *c, enum conf_key key)
{
	return c->plain.head[key];
}

static bool belongs(const struct conf_row *row, enum conf_section section)
{
	return row->section == section ||
	       (section == SECTION_ROUTE && (row->flags & CONF_ROUTE) != 0) ||
	       (section == SECTION_WORKER && (row->flags & CONF_LIFE) != 0);
}

enum conf_key conf_key_in(enum conf_section section, const char *key)
{
	for (enum conf_key k = 0; k < CONF_END; k++)
		if (belongs(&conf_rows[k], section) && strcmp(conf_rows[k].key, key) == 0)
			return k;
	return CONF_END;
}

static enum conf_section section_by_name(const char *name)
{
	enum conf_section s = 0;

	while (s < SECTION_END && strcmp(section_rows[s].name, name) != 0)
		s++;
	return s;
}

bool conf_has_section(const struct conf *c, enum conf_section s)
{
	return !c->facts.folderless || (section_rows[s].flags & SECTION_FOLDERLESS) != 0;
}

enum conf_key conf_key_by_name(const char *section, const char *key)
{
	enum conf_section s = section_by_name(section);

	return s == SECTION_END ? CONF_END : conf_key_in(s, key);
}

struct conf_scope *conf_scope_at(
	struct conf *c, enum conf_section section, const char *id, const struct conf_pos *pos)
{
	struct conf_scope *s;

	if (id[0] == '\0')
		return &c->plain;
	for (s = c->scopes; s != NULL; s = s->next)
		if (s->section == section && strcmp(s->id, id) == 0)
			return s;
	if (c->nscopes >= CONF_SCOPES_MAX) {
		conf_find(c, CONF_ERROR, pos, "", "there are more than %d sections with a name",
			CONF_SCOPES_MAX);
		return NULL;
	}
	s = conf_alloc(c, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->section = section;
	s->id = conf_strndup(c, id, strlen(id));
	s->arg = conf_strndup(c, id, strcspn(id, "\n"));
	s->pos.file = "";
	if (pos != NULL) {
		s->pos = *pos;
		s->pos.file = conf_strndup(c, pos->file, strlen(pos->file));
	}
	*(c->scopes_tail != NULL ? &c->scopes_tail->next : &c->scopes) = s;
	c->scopes_tail = s;
	c->nscopes++;
	return c->no_memory ? NULL : s;
}

const char *conf_scope_id(struct conf *c, enum conf_section section, const char *arg)
{
	unsigned n = 1;
	char number[16];
	char *id;

	for (const struct conf_scope *s = c->scopes; s != NULL; s = s->next)
		n += s->section == section && strcmp(s->arg, arg) == 0;
	if (section != SECTION_ROUTE || n == 1)
		return conf_strndup(c, arg, strlen(arg));
	snprintf(number, sizeof(number), "\n%u", n);
	id = conf_alloc(c, strlen(arg) + strlen(number) + 1);
	if (id != NULL) {
		memcpy(id, arg, strlen(arg));
		memcpy(id + strlen(arg), number, strlen(number) + 1);
	}
	return id;
}

const struct conf_scope *conf_scope_next(const struct conf *c, const struct conf_scope *s)
{
	return s == NULL ? c->scopes : s->next;
}

enum conf_section conf_scope_section(const struct conf_scope *s)
{
	return s->section;
}

const char *conf_scope_arg(const struct conf_scope *s)
{
	return s->id;
}

const struct conf_value *conf_scope_get(const struct conf_scope *s, enum conf_key key)
{
	return s->head[key];
}

static void refresh_tail(struct conf *c, enum conf_key key)
{
	c->at->tail[key] = c->at->head[key];
	while (c->at->tail[key] != NULL && c->at->tail[key]->next != NULL)
		c->at->tail[key] = c->at->tail[key]->next;
}

void conf_drop(struct conf *c, enum conf_key key, enum conf_origin origin)
{
	struct conf_value **p = &c->at->head[key];

	while (*p != NULL) {
		if ((*p)->origin <= origin)
			*p = (*p)->next;
		else
			p = &(*p)->next;
	}
	refresh_tail(c, key);
}

/* One variable has one value: a later or higher one takes the place of the other. True when done.
 */
static bool env_replace(struct conf *c, struct conf_value *v)
{
	for (struct conf_value *o = c->at->head[v->key]; o != NULL; o = o->next) {
		struct conf_value *next = o->next;

		if (o->part1 == NULL || strcmp(o->part1, v->part1) != 0)
			continue;
		if (o->origin <= v->origin) {
			*o = *v;
			o->next = next;
		}
		return true;
	}
	return false;
}

static void append(struct conf *c, struct conf_value *v)
{
	if (c->at->tail[v->key] == NULL)
		c->at->head[v->key] = v;
	else
		c->at->tail[v->key]->next = v;
	c->at->tail[v->key] = v;
}

static unsigned count_items(const struct conf *c, enum conf_key key)
{
	unsigned n = 0;

	for (const struct conf_value *v = c->at->head[key]; v != NULL; v = v->next)
		n += v->text[0] != '\0';
	return n;
}

/* Put a checked value where its origin says. False when the list is full. */
static bool place(struct conf *c, struct conf_value *v)
{
	const struct conf_row *row = &conf_rows[v->key];
	bool env = row->type == CONF_TYPE_ENV;

	if (env && v->text[0] != '\0' && env_replace(c, v))
		return true;
	if (c->at->head[v->key] != NULL && !env) {
		if (c->at->head[v->key]->origin > v->origin)
			return true;
		/* A single value takes the place of the one before; a list only of a lower
		 * origin's, and of the mark that it was emptied. */
		if (!(row->flags & CONF_MANY))
			conf_drop(c, v->key, v->origin);
		else if (c->at->head[v->key]->origin < v->origin ||
			 c->at->head[v->key]->text[0] == '\0')
			conf_drop(c, v->key, v->origin);
	}
	if ((row->flags & CONF_MANY) && row->max != 0 && count_items(c, v->key) >= row->max)
		return false;
	append(c, v);
	return true;
}

/* A list stays empty; so does what a route takes away from its site (BasicAuth=, RateLimit=). */
static bool stays_empty(const struct conf *c, const struct conf_row *row)
{
	if (row->flags & CONF_MANY)
		return row->min == 0 && row->type != CONF_TYPE_ENV;
	return c->at != &c->plain && (row->flags & CONF_ROUTE) != 0 &&
	       (row->type == CONF_TYPE_PATH || row->type == CONF_TYPE_URL ||
		       row->type == CONF_TYPE_RATE);
}

/* An empty value: a single one goes back to what is below it; a list stays empty, and that is a
 * value of its own (text ""), unless it must not be empty. */
static int put_empty(struct conf *c, struct conf_value *v)
{
	const struct conf_row *row = &conf_rows[v->key];

	conf_drop(c, v->key, v->origin);
	if (!stays_empty(c, row))
		return 0;
	v->text = "";
	if (c->at->head[v->key] == NULL)
		append(c, v);
	return 0;
}

int conf_put_key(struct conf *c, enum conf_key key, const char *text, enum conf_origin origin,
	const struct conf_pos *pos)
{
	const struct conf_row *row = &conf_rows[key];
	char why_mem[512], todo_mem[CONF_TODO_MAX];
	struct conf_value *v;
	struct buf why, todo;
	int r;

	must(key < CONF_END);
	c->finished = false;
	v = conf_alloc(c, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	v->key = key;
	v->origin = origin;
	v->pos.file = "";
	if (pos != NULL) {
		v->pos = *pos;
		v->pos.file = conf_strndup(c, pos->file, strlen(pos->file));
	}
	if (text[0] == '\0')
		return c->no_memory ? -ENOMEM : put_empty(c, v);
	buf_fixed(&why, why_mem, sizeof(why_mem));
	buf_fixed(&todo, todo_mem, sizeof(todo_mem));
	r = strlen(text) > CONF_VALUE_BYTES_MAX ? -E2BIG
						: conf_value_check(c, row, text, v, &why, &todo);
	if (r == -E2BIG) {
		buf_puts(&why, "it is too long");
		r = -EINVAL;
	}
	if (c->no_memory)
		return -ENOMEM;
	if (r < 0) {
		conf_find(c, CONF_ERROR, pos, buf_str(&todo), "%s=: %s", row->key, buf_str(&why));
		return r;
	}
	if (!place(c, v)) {
		conf_find(c, CONF_ERROR, pos, "", "%s=: more than %llu are not allowed", row->key,
			(unsigned long long)row->max);
		return -EINVAL;
	}
	return 0;
}

int conf_put(struct conf *c, const char *section, const char *arg, const char *key,
	const char *text, enum conf_origin origin, const struct conf_pos *pos)
{
	enum conf_section s = section_by_name(section);
	enum conf_key k = s == SECTION_END ? CONF_END : conf_key_in(s, key);
	struct conf_scope *scope;
	int r;

	if (k == CONF_END || (arg[0] != '\0') != section_rows[s].arg || origin >= CONF_FROM_END ||
		!conf_has_section(c, s))
		return -ENOENT;
	r = conf_scope_id_check(c, s, arg, pos);
	if (r < 0)
		return r;
	scope = conf_scope_at(c, s, arg, pos);
	if (scope == NULL)
		return c->no_memory ? -ENOMEM : -EINVAL;
	c->at = scope;
	r = conf_put_key(c, k, text, origin, pos);
	c->at = &c->plain;
	return r;
}
