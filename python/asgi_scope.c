/*
 * asgi_scope.c: the bytes of link/link_env.h as a scope (HTTP & WebSocket 2.5, "Connection Scope").
 *
 * Called once for each request. Pairs that repeat from request to request (what one browser says of
 * itself, its address, the host) are kept as objects, so that most of a scope costs none.
 */
#include "asgi.h"

#include "link/link_env.h"

#include <string.h>
#include <strings.h>

static const char *const name_texts[ASGI_NAMES_END] = {
#define NAME(id, text) [ASGI_##id] = text,
	ASGI_NAMES(NAME)
#undef NAME
};

int asgi_scope_init(struct asgi *s)
{
	for (int i = 0; i < ASGI_NAMES_END; i++) {
		s->name[i] = PyUnicode_InternFromString(name_texts[i]);
		if (!s->name[i])
			return -1;
	}
	return 0;
}

void asgi_scope_done(struct asgi *s)
{
	for (int i = 0; i < ASGI_NAMES_END; i++)
		Py_CLEAR(s->name[i]);
	for (int i = 0; i < PAIRS_CACHED; i++)
		Py_CLEAR(s->pairs[i].pair);
	for (int i = 0; i < 8; i++)
		Py_CLEAR(s->methods[i].pair);
	Py_CLEAR(s->path.value);
	Py_CLEAR(s->raw_path.value);
}

/* What of a request is told by more than one entry. */
struct seen {
	const char *client, *server;
	size_t client_len, server_len;
	const char *client_port, *server_port;
	size_t client_port_len, server_port_len;
	/* of a WebSocket's handshake */
	const char *ws_version, *key, *extensions;
	size_t ws_version_len, key_len, extensions_len;
};

enum kind { KIND_FIELD, KIND_ADDRESS };

static PyObject *new_pair(
	enum kind kind, const char *name, size_t name_len, const char *p, size_t n)
{
	PyObject *first, *second, *pair = NULL;

	if (kind == KIND_FIELD) {
		first = PyBytes_FromStringAndSize(name, (Py_ssize_t)name_len);
		second = PyBytes_FromStringAndSize(p, (Py_ssize_t)n);
	} else {
		long port = 0;

		for (size_t i = 0; i < n && port < 100000; i++)
			port = port * 10 + (p[i] - '0');
		first = PyUnicode_DecodeLatin1(name, (Py_ssize_t)name_len, NULL);
		second = PyLong_FromLong(port);
	}
	if (first && second)
		pair = PyTuple_Pack(2, first, second);
	Py_XDECREF(first);
	Py_XDECREF(second);
	return pair;
}

/* A new reference. A place is its last user's: strangers' fields cost others an object, no more. */
static PyObject *cached_pair(
	struct asgi *s, enum kind kind, const char *name, size_t name_len, const char *p, size_t n)
{
	uint32_t hash = 2166136261u + (uint32_t)kind;
	struct asgi_pair *k;

	if (name_len > PAIR_NAME_MAX || n > PAIR_VALUE_MAX)
		return new_pair(kind, name, name_len, p, n);
	for (size_t i = 0; i < name_len; i++)
		hash = (hash ^ (uint8_t)name[i]) * 16777619u;
	/* Some of the value is enough to tell most of those apart that take turns. */
	for (size_t i = n > 8 ? n - 8 : 0; i < n; i++)
		hash = (hash ^ (uint8_t)p[i]) * 16777619u;
	k = &s->pairs[(hash ^ hash >> 16) % PAIRS_CACHED];
	if (!k->pair || k->name_len != name_len || k->value_len != n ||
		memcmp(k->name, name, name_len) != 0 || memcmp(k->value, p, n) != 0 ||
		(kind == KIND_FIELD) != (PyBytes_Check(PyTuple_GetItem(k->pair, 0)) != 0)) {
		PyObject *pair = new_pair(kind, name, name_len, p, n), *old = k->pair;

		if (!pair)
			return NULL;
		memcpy(k->name, name, name_len);
		memcpy(k->value, p, n);
		k->name_len = (uint32_t)name_len;
		k->value_len = (uint32_t)n;
		k->pair = pair;
		Py_XDECREF(old);
	}
	Py_INCREF(k->pair);
	return k->pair;
}

/* Steals value. */
static int put(struct asgi *s, PyObject *scope, enum asgi_name name, PyObject *value)
{
	int res = value ? PyDict_SetItem(scope, s->name[name], value) : -1;

	Py_XDECREF(value);
	return res;
}

/* A path, decoded (`text`) or as it came: the object is kept for the next request that says the
 * same. */
static int put_path(struct asgi *s, PyObject *scope, bool text, const char *p, size_t n)
{
	enum asgi_name name = text ? ASGI_path : ASGI_raw_path;
	struct asgi_last *last = text ? &s->path : &s->raw_path;
	PyObject *value, *old = last->value;

	if (old && last->len == n && memcmp(last->bytes, p, n) == 0)
		return PyDict_SetItem(scope, s->name[name], old);
	value = text ? PyUnicode_DecodeUTF8(p, (Py_ssize_t)n, "replace")
		     : PyBytes_FromStringAndSize(p, (Py_ssize_t)n);
	if (!value || n > sizeof(last->bytes))
		return put(s, scope, name, value);
	memcpy(last->bytes, p, n);
	last->len = (uint32_t)n;
	last->value = value;
	Py_XDECREF(old);
	return PyDict_SetItem(scope, s->name[name], value);
}

static int put_method(struct conn *c, PyObject *scope, const char *p, size_t n)
{
	struct asgi *s = c->s;
	struct asgi_pair *k = &s->methods[n % 8];

	c->is_head = n == 4 && memcmp(p, "HEAD", 4) == 0;
	if (!k->pair || k->name_len != n || memcmp(k->name, p, n) != 0) {
		PyObject *text = PyUnicode_DecodeLatin1(p, (Py_ssize_t)n, NULL), *old = k->pair;

		if (!text || n > PAIR_NAME_MAX)
			return put(s, scope, ASGI_method, text);
		memcpy(k->name, p, n);
		k->name_len = (uint32_t)n;
		k->pair = text;
		Py_XDECREF(old);
	}
	return PyDict_SetItem(scope, s->name[ASGI_method], k->pair);
}

static int put_protocols(PyObject *list, const char *p, size_t n)
{
	const char *end = p + n;

	while (p < end) {
		const char *comma = memchr(p, ',', (size_t)(end - p)), *to = comma ? comma : end;
		PyObject *text;
		int res;

		while (p < to && (*p == ' ' || *p == '\t'))
			p++;
		while (p < to && (to[-1] == ' ' || to[-1] == '\t'))
			to--;
		if (p < to) {
			text = PyUnicode_DecodeLatin1(p, to - p, NULL);
			res = text ? PyList_Append(list, text) : -1;
			Py_XDECREF(text);
			if (res < 0)
				return -1;
		}
		p = comma ? comma + 1 : end;
	}
	return 0;
}

static bool is(const char *name, size_t len, const char *what)
{
	return len == strlen(what) && memcmp(name, what, len) == 0;
}

static int put_field(struct conn *c, PyObject *headers, PyObject *protocols, struct seen *seen,
	const char *name, size_t name_len, const char *p, size_t n)
{
	PyObject *pair = cached_pair(c->s, KIND_FIELD, name, name_len, p, n);
	int res = pair ? PyList_Append(headers, pair) : -1;

	Py_XDECREF(pair);
	if (res < 0 || !protocols)
		return res;
	if (is(name, name_len, "sec-websocket-protocol"))
		return put_protocols(protocols, p, n);
	if (is(name, name_len, "sec-websocket-version")) {
		seen->ws_version = p;
		seen->ws_version_len = n;
	} else if (is(name, name_len, "sec-websocket-key")) {
		seen->key = p;
		seen->key_len = seen->key_len ? SIZE_MAX : n; /* one only */
	} else if (is(name, name_len, "sec-websocket-extensions") && !seen->extensions) {
		seen->extensions = p;
		seen->extensions_len = n;
	}
	return 0;
}

static int put_entry(
	struct conn *c, PyObject *scope, struct seen *seen, uint8_t code, const char *p, size_t n)
{
	struct asgi *s = c->s;

	switch (code) {
	case ENV_METHOD:
		return c->ws ? 0 : put_method(c, scope, p, n);
	case ENV_PATH_INFO:
		return put_path(s, scope, true, p, n);
	case ENV_PATH_RAW:
		return put_path(s, scope, false, p, n);
	case ENV_QUERY:
		return put(
			s, scope, ASGI_query_string, PyBytes_FromStringAndSize(p, (Py_ssize_t)n));
	case ENV_PROTOCOL:
		if (n == 8 && p[7] == '0')
			return PyDict_SetItem(
				scope, s->name[ASGI_http_version], s->name[ASGI_version_0]);
		return 0;
	case ENV_SCHEME:
		if (n == 5)
			return PyDict_SetItem(scope, s->name[ASGI_scheme],
				s->name[c->ws ? ASGI_wss : ASGI_https]);
		return 0;
	case ENV_REMOTE_ADDR:
		seen->client = p;
		seen->client_len = n;
		return 0;
	case ENV_REMOTE_PORT:
		seen->client_port = p;
		seen->client_port_len = n;
		return 0;
	case ENV_SERVER_ADDR:
		seen->server = p;
		seen->server_len = n;
		return 0;
	case ENV_SERVER_PORT:
		seen->server_port = p;
		seen->server_port_len = n;
		return 0;
	case ENV_REQUEST_ID:
		return put(
			s, scope, ASGI_request_id, PyUnicode_DecodeLatin1(p, (Py_ssize_t)n, NULL));
	case ENV_REMOTE_USER:
		return put(s, scope, ASGI_user, PyUnicode_DecodeUTF8(p, (Py_ssize_t)n, "replace"));
	default:
		return 0;
	}
}

static int read_block(
	struct conn *c, PyObject *scope, PyObject *headers, PyObject *protocols, struct seen *seen)
{
	size_t n;
	const char *p = link_req_env(c->req, &n), *end = p + n;

	while ((size_t)(end - p) >= sizeof(struct link_env_entry)) {
		struct link_env_entry e;
		const char *value;
		int res;

		memcpy(&e, p, sizeof(e));
		p += sizeof(e);
		if (e.name_len > (size_t)(end - p) || e.value_len > (size_t)(end - p) - e.name_len)
			break;
		value = p + e.name_len;
		if (e.code == ENV_FIELD)
			res = put_field(
				c, headers, protocols, seen, p, e.name_len, value, e.value_len);
		else
			res = put_entry(c, scope, seen, e.code, value, e.value_len);
		if (res < 0)
			return -1;
		p = value + e.value_len;
	}
	return 0;
}

static int put_addresses(struct asgi *s, PyObject *scope, const struct seen *seen)
{
	if (seen->client_len && put(s, scope, ASGI_client,
					cached_pair(s, KIND_ADDRESS, seen->client, seen->client_len,
						seen->client_port, seen->client_port_len)) < 0)
		return -1;
	if (!seen->server_len)
		return 0;
	return put(s, scope, ASGI_server,
		cached_pair(s, KIND_ADDRESS, seen->server, seen->server_len, seen->server_port,
			seen->server_port_len));
}

/* RFC 6455 section 4.2.1. */
static unsigned bad_handshake(struct conn *c, const struct seen *seen)
{
	if (seen->ws_version_len != 2 || memcmp(seen->ws_version, "13", 2) != 0)
		return 426;
	if (!seen->key || !ws_key_ok(seen->key, seen->key_len))
		return 400;
	memcpy(c->ws->key, seen->key, sizeof(c->ws->key));
	if (seen->extensions)
		c->ws->deflate_bits = (uint8_t)ws_deflate_agree(
			seen->extensions, seen->extensions_len, c->ws->extension);
	return 0;
}

PyObject *asgi_scope(struct conn *c, unsigned *ret_bad)
{
	struct asgi *s = c->s;
	struct seen seen = {0};
	PyObject *scope = PyDict_Copy(c->ws ? s->websocket : s->http);
	PyObject *headers = PyList_New(0), *protocols = c->ws ? PyList_New(0) : NULL, *state;
	int res = scope && headers && (!c->ws || protocols) ? 0 : -1;

	*ret_bad = 0;
	if (!res)
		res = read_block(c, scope, headers, protocols, &seen);
	if (!res)
		res = put_addresses(s, scope, &seen);
	if (!res && c->ws) {
		*ret_bad = bad_handshake(c, &seen);
		res = PyDict_SetItem(scope, s->name[ASGI_subprotocols], protocols);
	}
	if (!res)
		res = PyDict_SetItem(scope, s->name[ASGI_headers], headers);
	if (!res && s->state) {
		state = PyDict_Copy(s->state);
		res = put(s, scope, ASGI_state, state);
	}
	Py_XDECREF(headers);
	Py_XDECREF(protocols);
	if (res < 0)
		Py_CLEAR(scope);
	return scope;
}
