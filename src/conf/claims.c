/*
 * claims.c: what only one site may have: a table of texts, each with the place that claimed it first.
 *
 * Called by check, which sees the files in the order of their names, and by ctl, which knows what
 * serves already. Owns the table and its copies; nothing is ever given back but all of it.
 */
#include <stdlib.h>
#include <string.h>

#include "conf_priv.h"

enum { TABLE_FIRST = 64, BLOCK_BYTES = 16 * 1024, BLOCKS_MAX = 65536 };

struct conf_claims {
	struct arena_pool pool;
	struct arena mem;
	struct conf_claim **table; /* open addressing, at most half full */
	size_t size, n;
};

struct conf_claims *conf_claims_new(void)
{
	struct conf_claims *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	arena_pool_init(&c->pool, BLOCK_BYTES, BLOCKS_MAX, 0);
	arena_init(&c->mem, &c->pool);
	c->size = TABLE_FIRST;
	c->table = calloc(c->size, sizeof(*c->table));
	if (c->table == NULL) {
		conf_claims_free(c);
		return NULL;
	}
	return c;
}

void conf_claims_free(struct conf_claims *c)
{
	if (c == NULL)
		return;
	arena_reset(&c->mem);
	arena_pool_done(&c->pool);
	free(c->table);
	free(c);
}

/* FNV-1a. */
static size_t hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3ull;
	return (size_t)(h ^ h >> 32);
}

/* Where it is, or would be. */
static struct conf_claim **place(struct conf_claim **table, size_t size, const char *text)
{
	size_t at = hash(text) & (size - 1);

	while (table[at] != NULL && strcmp(table[at]->text, text) != 0)
		at = (at + 1) & (size - 1);
	return &table[at];
}

/* False: no memory; it is as before, and may become full. */
static bool grow(struct conf_claims *c)
{
	size_t size = c->size * 2;
	struct conf_claim **table = calloc(size, sizeof(*table));

	if (table == NULL)
		return false;
	for (size_t i = 0; i < c->size; i++)
		if (c->table[i] != NULL)
			*place(table, size, c->table[i]->text) = c->table[i];
	free(c->table);
	c->table = table;
	c->size = size;
	return true;
}

const struct conf_claim *conf_claims_find(const struct conf_claims *c, const char *text)
{
	return *place(c->table, c->size, text);
}

const struct conf_claim *conf_claims_take(struct conf_claims *c, const struct conf_claim *claim)
{
	struct conf_claim **at, *copy;

	if (c->n * 2 >= c->size && !grow(c) && c->n + 1 >= c->size)
		return NULL;
	at = place(c->table, c->size, claim->text);
	if (*at != NULL)
		return *at;
	copy = arena_alloc(&c->mem, sizeof(*copy));
	if (copy == NULL)
		return NULL;
	*copy = *claim;
	copy->text = arena_strndup(&c->mem, claim->text, strlen(claim->text));
	copy->file = arena_strndup(&c->mem, claim->file, strlen(claim->file));
	if (copy->text == NULL || copy->file == NULL)
		return NULL;
	*at = copy;
	c->n++;
	return NULL;
}
