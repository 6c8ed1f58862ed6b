/*
 * regex.c: patterns by their text, compiled once; see regex.h. Called by route.c, rewrite.c and
 * subst.c. Owns the compiled patterns, all freed when there are too many (a change of a gate's
 * whole configuration, thousands of times) and at the gate's end. Never keeps a pointer into a
 * snapshot.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "regex.h"
#include "lib/must.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

enum {
	BUCKETS = 256,
	MATCH_LIMIT = 100000, /* about 5 ms at the worst */
	DEPTH_LIMIT = 2000,
	HEAP_LIMIT_KB = 1024,
	TELL_MS = 60000,
};

struct compiled {
	struct compiled *next;
	pcre2_code *code; /* NULL: it is no pattern */
	uint32_t hash;
	size_t len;
	char text[];
};

struct regexes {
	struct compiled *bucket[BUCKETS];
	unsigned n;
	pcre2_match_context *limits;
	pcre2_match_data *data;
	uint64_t told_ms;
};

static uint32_t hash_of(const char *p, size_t n)
{
	uint32_t h = 0x811c9dc5;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 0x01000193u;
	return h;
}

static void forget_all(struct regexes *x)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		while (x->bucket[i]) {
			struct compiled *c = x->bucket[i];

			x->bucket[i] = c->next;
			pcre2_code_free(c->code);
			free(c);
		}
	x->n = 0;
}

void regex_free_all(struct gate *g)
{
	struct regexes *x = g->regexes;

	if (!x)
		return;
	forget_all(x);
	pcre2_match_context_free(x->limits);
	pcre2_match_data_free(x->data);
	free(x);
	g->regexes = NULL;
}

static struct regexes *regexes_of(struct gate *g)
{
	struct regexes *x = g->regexes;

	if (x)
		return x;
	x = calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	g->regexes = x;
	x->limits = pcre2_match_context_create(NULL);
	x->data = pcre2_match_data_create(REGEX_GROUPS, NULL);
	if (!x->limits || !x->data) {
		regex_free_all(g);
		return NULL;
	}
	pcre2_set_match_limit(x->limits, MATCH_LIMIT);
	pcre2_set_depth_limit(x->limits, DEPTH_LIMIT);
	pcre2_set_heap_limit(x->limits, HEAP_LIMIT_KB);
	return x;
}

static struct compiled *compile(struct regexes *x, const char *text, size_t len, uint32_t hash)
{
	struct compiled *c;
	PCRE2_SIZE at;
	int err;

	if (x->n >= REGEX_KEPT_MAX)
		forget_all(x);
	c = malloc(sizeof(*c) + len);
	if (!c)
		return NULL;
	c->code = pcre2_compile(
		(PCRE2_SPTR)text, len, PCRE2_NEVER_UTF | PCRE2_NEVER_BACKSLASH_C, &err, &at, NULL);
	c->hash = hash;
	c->len = len;
	memcpy(c->text, text, len);
	c->next = x->bucket[hash % BUCKETS];
	x->bucket[hash % BUCKETS] = c;
	x->n++;
	return c;
}

static struct compiled *find(struct regexes *x, const char *text, size_t len)
{
	uint32_t hash = hash_of(text, len);

	for (struct compiled *c = x->bucket[hash % BUCKETS]; c; c = c->next)
		if (c->hash == hash && c->len == len && !memcmp(c->text, text, len))
			return c;
	return compile(x, text, len, hash);
}

static void tell_limit(struct gate *g, const struct compiled *c)
{
	uint64_t now = loop_now_ms(g->loop);
	char text[256];
	size_t n = min_of(c->len, sizeof(text) - 1);

	if (g->regexes->told_ms && now - g->regexes->told_ms < TELL_MS)
		return;
	g->regexes->told_ms = now;
	memcpy(text, c->text, n);
	text[n] = 0;
	gate_event(g, EV_REGEX_LIMIT, "pattern", text, (char *)NULL);
}

bool regex_match(struct gate *g, const char *pattern, size_t pattern_len, const char *subject,
	size_t len, struct regex_groups *ret_groups)
{
	struct regexes *x = regexes_of(g);
	struct compiled *c = x ? find(x, pattern, pattern_len) : NULL;
	const PCRE2_SIZE *at;
	int n;

	if (!c || !c->code)
		return false;
	n = pcre2_match(c->code, (PCRE2_SPTR)subject, len, 0, 0, x->data, x->limits);
	if (n == PCRE2_ERROR_MATCHLIMIT || n == PCRE2_ERROR_DEPTHLIMIT ||
		n == PCRE2_ERROR_HEAPLIMIT)
		tell_limit(g, c);
	if (n < 0)
		return false;
	if (!ret_groups)
		return true;
	/* 0: there are more groups than have a place. */
	n = n == 0 ? REGEX_GROUPS : n;
	at = pcre2_get_ovector_pointer(x->data);
	*ret_groups = (struct regex_groups){.subject = subject,
		.pattern = pattern,
		.pattern_len = pattern_len,
		.n = (unsigned)n};
	for (unsigned i = 0; i < (unsigned)n; i++) {
		if (at[2 * i] == PCRE2_UNSET || at[2 * i + 1] < at[2 * i])
			continue;
		ret_groups->at[i].from = at[2 * i];
		ret_groups->at[i].len = at[2 * i + 1] - at[2 * i];
	}
	return true;
}

int regex_group_number(
	struct gate *g, const struct regex_groups *groups, const char *name, size_t len)
{
	struct regexes *x = regexes_of(g);
	struct compiled *c = x ? find(x, groups->pattern, groups->pattern_len) : NULL;
	char text[33];
	int n;

	if (!c || !c->code || len >= sizeof(text))
		return -1;
	memcpy(text, name, len);
	text[len] = 0;
	n = pcre2_substring_number_from_name(c->code, (PCRE2_SPTR)text);
	return n > 0 && n < REGEX_GROUPS ? n : -1;
}
