/*
 * subst.c: variables in texts of the configuration; see subst.h. Called by rewrite.c and edit.c.
 * Owns nothing. What a client chose is encoded for the place it gets to, so that it can begin
 * neither a header field, nor a query, nor another target there.
 */
#include "subst.h"
#include "gate.h"

#include <stdio.h>
#include <string.h>

enum { RESULT_MAX = 8 * 1024 };

struct out {
	char *p;
	size_t n, cap;
	bool full;
	enum subst_for what;
	bool query; /* SUBST_URL: behind the '?' */
};

static void put(struct out *o, char c)
{
	if (o->n + 1 < o->cap)
		o->p[o->n++] = c;
	else
		o->full = true;
}

static bool plain_in_path(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-._~!$&'()*+,;=:@/", c));
}

static bool plain_in_query(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-._~!$'()*,;:@/?", c));
}

static void put_encoded(struct out *o, const char *p, size_t n, bool query)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (query ? plain_in_query(c) : plain_in_path(c)) {
			put(o, (char)c);
			continue;
		}
		put(o, '%');
		put(o, digits[c >> 4]);
		put(o, digits[c & 15]);
	}
}

/* Decoded bytes that a client chose. */
static void put_decoded(struct out *o, const char *p, size_t n)
{
	if (o->what == SUBST_URL) {
		put_encoded(o, p, n, o->query);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		put(o, o->what == SUBST_VALUE && (c < 0x20 || c == 0x7f) ? ' ' : (char)c);
	}
}

/* Bytes that stood in a target already: what the parser let pass is safe in a URL and in a field.
 */
static void put_raw(struct out *o, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put(o, p[i]);
}

static bool is(const char *name, size_t n, const char *word)
{
	return n == strlen(word) && !memcmp(name, word, n);
}

static void put_variable(struct req *r, struct out *o, const char *name, size_t n)
{
	char id[REQ_ID_MEM];
	size_t len;

	if (is(name, n, "uri")) {
		put_decoded(o, r->path, r->path_len);
	} else if (is(name, n, "request_uri")) {
		put_raw(o, r->target, r->target_len);
	} else if (is(name, n, "args")) {
		put_raw(o, r->query, r->query_len);
	} else if (is(name, n, "host")) {
		put_raw(o, r->host, r->host_len);
	} else if (is(name, n, "scheme")) {
		put_raw(o, r->tls ? "https" : "http", r->tls ? 5 : 4);
	} else if (is(name, n, "remote_addr")) {
		put_raw(o, r->peer, strlen(r->peer));
	} else if (is(name, n, "request_id")) {
		name = req_id(r, id, &len);
		put_raw(o, name, len);
	} else if (is(name, n, "server_name")) {
		const char *text = snap_str(r->snap, r->site->canonical, &len);

		put_raw(o, text, len);
	}
}

static void put_group(struct out *o, const struct regex_groups *groups, unsigned i)
{
	if (groups && i < groups->n)
		put_decoded(o, groups->subject + groups->at[i].from, groups->at[i].len);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool in_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_';
}

/* Behind a '$' at p. How many bytes it took. */
static size_t put_reference(
	struct req *r, struct out *o, const char *p, size_t n, const struct regex_groups *groups)
{
	bool braces = n && *p == '{';
	size_t from = braces, to = from;
	int group;

	if (n && *p == '$') {
		put(o, '$');
		return 1;
	}
	if (n && is_digit(*p)) {
		put_group(o, groups, (unsigned)(*p - '0'));
		return 1;
	}
	while (to < n && in_name(p[to]))
		to++;
	if (to == from || (braces && (to == n || p[to] != '}'))) {
		put(o, '$');
		return 0;
	}
	group = groups ? regex_group_number(r->gate, groups, p + from, to - from) : -1;
	if (to == from + 1 && is_digit(p[from]))
		put_group(o, groups, (unsigned)(p[from] - '0'));
	else if (group >= 0)
		put_group(o, groups, (unsigned)group);
	else
		put_variable(r, o, p + from, to - from);
	return to + braces;
}

char *subst(struct req *r, const char *text, size_t len, const struct regex_groups *groups,
	enum subst_for what, size_t *ret_len)
{
	char mem[RESULT_MAX] __attribute__((uninitialized));
	struct out o = {.p = mem, .cap = sizeof(mem), .what = what};
	char *copy;

	for (size_t i = 0; i < len && !o.full; i++) {
		if (text[i] == '$') {
			i += put_reference(r, &o, text + i + 1, len - i - 1, groups);
			continue;
		}
		o.query |= text[i] == '?';
		put(&o, text[i]);
	}
	copy = o.full ? NULL : arena_strndup(&r->arena, mem, o.n);
	*ret_len = copy ? o.n : 0;
	return copy;
}

char *subst_encode_path(struct req *r, const char *path, size_t len, size_t *ret_len)
{
	struct out o = {.cap = 3 * len + 1, .what = SUBST_URL};

	o.p = arena_alloc(&r->arena, o.cap);
	if (!o.p)
		return NULL;
	put_encoded(&o, path, len, false);
	o.p[o.n] = 0;
	*ret_len = o.n;
	return o.p;
}
