/*
 * environ.c: the bytes of link/link_env.h as a WSGI environ.
 *
 * Called once for each request. Keys and the values that repeat from request to request (the
 * method, the host, what one browser says of itself) are kept, so that most of an environ costs no
 * new object. Values are decoded as latin-1, as PEP 3333 wants it. Most requests also have the same
 * keys as one before them: their environ is a copy of that one's, in which a few values are set anew.
 */
#include "wsgi.h"

#include <string.h>

static const char *const key_names[ENV_END] = {
#define ENV(NAME, key) [ENV_##NAME] = key,
	LINK_ENV_KEYS(ENV)
#undef ENV
};

int environ_init(struct wsgi *w)
{
	for (int i = 1; i < ENV_END; i++) {
		w->keys[i].key = PyUnicode_InternFromString(key_names[i]);
		if (!w->keys[i].key)
			return -1;
	}
	return 0;
}

void environ_done(struct wsgi *w)
{
	for (int i = 0; i < ENV_END; i++) {
		Py_CLEAR(w->keys[i].key);
		Py_CLEAR(w->keys[i].value);
	}
	for (int i = 0; i < NAMES_CACHED; i++) {
		Py_CLEAR(w->names[i].key);
		Py_CLEAR(w->names[i].value);
	}
	for (int i = 0; i < SHAPES; i++)
		Py_CLEAR(w->shapes[i].env);
}

/* Set k's key; the value's object is kept for the next request that says the same. */
static int set_cached(PyObject *env, struct env_key *k, const char *p, uint32_t n)
{
	PyObject *value;
	int res;

	if (k->value && k->value_len == n && memcmp(k->bytes, p, n) == 0)
		return PyDict_SetItem(env, k->key, k->value);
	value = PyUnicode_DecodeLatin1(p, n, NULL);
	if (!value)
		return -1;
	res = PyDict_SetItem(env, k->key, value);
	if (n <= VALUE_CACHED_MAX) {
		PyObject *old = k->value;

		memcpy(k->bytes, p, n);
		k->value_len = n;
		k->value = value;
		Py_XDECREF(old);
	} else {
		Py_DECREF(value);
	}
	return res;
}

static int set_plain(PyObject *env, const char *name, uint16_t name_len, const char *p, uint32_t n)
{
	PyObject *key = PyUnicode_DecodeLatin1(name, name_len, NULL);
	PyObject *value = key ? PyUnicode_DecodeLatin1(p, n, NULL) : NULL;
	int res = value ? PyDict_SetItem(env, key, value) : -1;

	Py_XDECREF(key);
	Py_XDECREF(value);
	return res;
}

static int set_http(struct wsgi *w, PyObject *env, const char *name, uint16_t name_len,
	const char *p, uint32_t n)
{
	uint32_t hash = 2166136261u;
	struct env_key *k;

	if (name_len > NAME_CACHED_MAX)
		return set_plain(env, name, name_len, p, n);
	/* From the sixth byte on: nearly all begin with HTTP_. */
	for (uint16_t i = 5; i < name_len; i++)
		hash = (hash ^ (uint8_t)name[i]) * 16777619u;
	k = &w->names[(hash ^ hash >> 16) % NAMES_CACHED];
	if (k->key && k->name_len == name_len && memcmp(k->name, name, name_len) == 0)
		return set_cached(env, k, p, n);
	/* A place that is taken stays with the one that came first: names of strangers cannot wear
	 * it out. */
	if (k->key)
		return set_plain(env, name, name_len, p, n);
	k->key = PyUnicode_DecodeLatin1(name, name_len, NULL);
	if (!k->key)
		return -1;
	PyUnicode_InternInPlace(&k->key);
	memcpy(k->name, name, name_len);
	k->name_len = name_len;
	return set_cached(env, k, p, n);
}

/* One entry of a block; its name is before its value. */
struct entry {
	struct link_env_entry e;
	const char *name, *value;
};

/* The entry at *p, and *p behind it. False: the block is over. */
static inline bool entry_next(const char **p, const char *end, struct entry *ret)
{
	size_t left = (size_t)(end - *p);

	if (left < sizeof(ret->e))
		return false;
	memcpy(&ret->e, *p, sizeof(ret->e));
	left -= sizeof(ret->e);
	if (ret->e.name_len > left || ret->e.value_len > left - ret->e.name_len)
		return false;
	ret->name = *p + sizeof(ret->e);
	ret->value = ret->name + ret->e.name_len;
	*p = ret->value + ret->e.value_len;
	return true;
}

/* 1 set, 0 it says nothing that is known here, -1. */
static int set_entry(struct wsgi *w, PyObject *env, const struct entry *t)
{
	int res;

	if ((t->e.code == ENV_HTTP || t->e.code == ENV_VAR) && t->e.name_len > 5)
		res = set_http(w, env, t->name, t->e.name_len, t->value, t->e.value_len);
	else if (t->e.code > ENV_HTTP && t->e.code < ENV_END)
		res = set_cached(env, &w->keys[t->e.code], t->value, t->e.value_len);
	else
		return 0;
	return res < 0 ? -1 : 1;
}

/* Has the block the shape's keys in its order? The shape's was looked at when it was learned. Then *ret_n of the entries have other values; not too many. */
static bool fits(const struct env_shape *s, const char *p, const char *end,
	struct entry diffs[SHAPE_DIFFS_MAX], unsigned *ret_n)
{
	const char *old = s->block, *old_end = old + s->len;
	unsigned n = 0;

	while (old < old_end) {
		struct link_env_entry is, was;
		size_t left = (size_t)(end - p);

		memcpy(&was, old, sizeof(was));
		if (left < sizeof(is))
			return false;
		memcpy(&is, p, sizeof(is));
		p += sizeof(is);
		old += sizeof(was);
		left -= sizeof(is);
		if (is.code != was.code || is.name_len != was.name_len || is.name_len > left ||
			is.value_len > left - is.name_len)
			return false;
		/* The value lies behind the name, so that both are one look. */
		if (is.value_len != was.value_len || memcmp(p, old, is.name_len + is.value_len) != 0) {
			if (n == SHAPE_DIFFS_MAX || memcmp(p, old, is.name_len) != 0)
				return false;
			diffs[n++] = (struct entry){is, p, p + is.name_len};
		}
		p += is.name_len + is.value_len;
		old += was.name_len + was.value_len;
	}
	*ret_n = n;
	return p == end;
}

/* The environ as a copy of an earlier one; NULL without an exception: there is none like it. */
static PyObject *of_shape(struct wsgi *w, const char *p, const char *end)
{
	struct entry diffs[SHAPE_DIFFS_MAX] __attribute__((uninitialized));
	unsigned n = 0, i;
	PyObject *env = NULL, *kept;

	for (i = 0; i < SHAPES; i++) {
		struct env_shape *s = &w->shapes[(w->shape_last + i) % SHAPES];

		if (!s->env || !fits(s, p, end, diffs, &n))
			continue;
		w->shape_last = (w->shape_last + i) % SHAPES;
		/* Held, because what is collected meanwhile may let another thread run. */
		kept = s->env;
		Py_INCREF(kept);
		env = PyDict_Copy(kept);
		Py_DECREF(kept);
		break;
	}
	for (i = 0; env && i < n; i++) {
		if (set_entry(w, env, &diffs[i]) < 0)
			Py_CLEAR(env);
	}
	return env;
}

/* Keep env, made of this block, as a shape. Not each that comes, because to copy it costs something too: of clients that
 * all differ only some are learned. A key that stands twice in a block, or beside one of those that each environ has and a
 * block need not, would not be what is copied; such a block is none to learn. */
static void learn(struct wsgi *w, PyObject *env, const char *p, size_t n, unsigned keys)
{
	struct env_shape *s = &w->shapes[w->shape_misses / SHAPE_LEARN % SHAPES];
	PyObject *copy, *old;

	if (w->shape_misses++ % SHAPE_LEARN || n > sizeof(s->block) ||
		PyDict_Size(env) != PyDict_Size(w->base) + (Py_ssize_t)keys)
		return;
	copy = PyDict_Copy(env);
	if (!copy) {
		PyErr_Clear();
		return;
	}
	/* Whole entries only: fits() relies on it. */
	memcpy(s->block, p, n);
	s->len = (uint32_t)n;
	old = s->env;
	s->env = copy;
	Py_XDECREF(old);
}

static bool is_head_of(const char *p, const char *end)
{
	struct entry t;

	while (entry_next(&p, end, &t)) {
		if (t.e.code == ENV_METHOD)
			return t.e.value_len == 4 && memcmp(t.value, "HEAD", 4) == 0;
	}
	return false;
}

PyObject *environ_new(struct wsgi *w, const char *p, size_t n, bool *is_head)
{
	const char *at = p, *end = p + n;
	PyObject *env = of_shape(w, p, end);
	unsigned keys = 0;
	uint64_t seen = 0;
	struct entry t;
	int res = 0;

	*is_head = is_head_of(p, end);
	if (env || PyErr_Occurred())
		return env;
	env = PyDict_Copy(w->base);
	while (env && res >= 0 && entry_next(&at, end, &t)) {
		res = set_entry(w, env, &t);
		/* One that nobody knows makes the count wrong, and a block with it none to learn. */
		if (t.e.code == ENV_QUERY || t.e.code == ENV_SCHEME)
			keys += seen >> t.e.code & 1;
		else
			keys++;
		seen |= t.e.code < 64 ? (uint64_t)1 << t.e.code : 0;
	}
	if (res < 0)
		Py_CLEAR(env);
	if (env)
		learn(w, env, p, (size_t)(at - p), keys);
	return env;
}
