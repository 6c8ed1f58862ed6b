/*
 * environ.c: the bytes of link/link_env.h as a WSGI environ.
 *
 * Called once for each request. Keys and the values that repeat from request to request (the
 * method, the host, what one browser says of itself) are kept, so that most of an environ costs no
 * new object. Values are decoded as latin-1, as PEP 3333 wants it.
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

PyObject *environ_new(struct wsgi *w, const char *p, size_t n, bool *is_head)
{
	PyObject *env = PyDict_Copy(w->base);
	const char *end = p + n;
	int res = 0;

	*is_head = false;
	while (env && !res && (size_t)(end - p) >= sizeof(struct link_env_entry)) {
		struct link_env_entry e;
		const char *value;

		memcpy(&e, p, sizeof(e));
		p += sizeof(e);
		if (e.name_len > (size_t)(end - p) || e.value_len > (size_t)(end - p) - e.name_len)
			break;
		value = p + e.name_len;
		if ((e.code == ENV_HTTP || e.code == ENV_VAR) && e.name_len > 5)
			res = set_http(w, env, p, e.name_len, value, e.value_len);
		else if (e.code > ENV_HTTP && e.code < ENV_END)
			res = set_cached(env, &w->keys[e.code], value, e.value_len);
		if (e.code == ENV_METHOD)
			*is_head = e.value_len == 4 && memcmp(value, "HEAD", 4) == 0;
		p = value + e.value_len;
	}
	if (res)
		Py_CLEAR(env);
	return env;
}
