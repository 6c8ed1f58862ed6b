/*
 * stead_request.c: libstead's view of one request: what the gate wrote of it, as C strings; and its
 * body.
 *
 * Called by the app's own code. The environ block (link_env.h) is this process's copy and is taken
 * apart in place when it is first asked for, so that an app which looks at nothing pays nothing. A
 * name is moved over the entry's head that was read before it, which makes room for the byte that
 * ends it; a value is ended in the head of the next entry. The block is input: entries that do not
 * fit end it.
 */
#include "stead_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static int add_field(struct stead_req *r, const char *name, const char *value)
{
	if (r->nfields == r->fields_cap) {
		size_t cap = r->fields_cap ? r->fields_cap * 2 : 32;
		struct stead_pair *more = realloc(r->fields, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		r->fields = more;
		r->fields_cap = cap;
	}
	r->fields[r->nfields++] = (struct stead_pair){name, value};
	return 0;
}

/* HTTP_ACCEPT_ENCODING is accept-encoding: the gate leaves out names that have an underscore of
 * their own. */
static char *name_of(char *p, size_t n)
{
	char *name = p - 1;

	memmove(name, p, n);
	name[n] = 0;
	for (size_t i = 5; i < n; i++) {
		char c = name[i];

		name[i] = c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
	}
	return name + 5;
}

static int put_entry(struct stead_req *r, const struct link_env_entry *e, char *p)
{
	char *value = p + e->name_len;

	if (e->code == ENV_HTTP)
		return e->name_len > 5 ? add_field(r, name_of(p, e->name_len), value) : 0;
	if (e->code >= ENV_END)
		return 0;
	r->var[e->code] = value;
	if (e->code == ENV_CONTENT_TYPE)
		return add_field(r, "content-type", value);
	if (e->code == ENV_CONTENT_LENGTH)
		return add_field(r, "content-length", value);
	return 0;
}

/* The entry at p, when it is whole. */
static bool entry_at(const char *p, const char *end, struct link_env_entry *ret)
{
	size_t left = (size_t)(end - p);

	if (left < sizeof(*ret))
		return false;
	memcpy(ret, p, sizeof(*ret));
	left -= sizeof(*ret);
	return ret->name_len <= left && ret->value_len <= left - ret->name_len;
}

int stead_req_parse(struct stead_req *r)
{
	struct link_env_entry next;
	size_t n;
	char *p, *end;
	bool more;
	int err = 0;

	if (r->parsed)
		return 0;
	memset(r->var, 0, sizeof(r->var));
	r->nfields = 0;
	p = link_req_env_own(r->link, &n);
	end = p + n;
	more = entry_at(p, end, &next);
	while (more && !err) {
		struct link_env_entry e = next;
		char *bytes = p + sizeof(e);

		p = bytes + e.name_len + e.value_len;
		more = entry_at(p, end, &next);
		*p = 0;
		err = put_entry(r, &e, bytes);
	}
	r->parsed = true;
	return err;
}

static const char *var(struct stead_req *r, enum link_env code)
{
	if (!r || !r->link || stead_req_parse(r) < 0 || !r->var[code])
		return "";
	return r->var[code];
}

static unsigned number(struct stead_req *r, enum link_env code)
{
	return (unsigned)strtoul(var(r, code), NULL, 10);
}

const char *stead_method(struct stead_req *r)
{
	return var(r, ENV_METHOD);
}

const char *stead_target(struct stead_req *r)
{
	return var(r, ENV_URI);
}

const char *stead_path(struct stead_req *r)
{
	return var(r, ENV_PATH_INFO);
}

const char *stead_query(struct stead_req *r)
{
	return var(r, ENV_QUERY);
}

const char *stead_protocol(struct stead_req *r)
{
	return var(r, ENV_PROTOCOL);
}

const char *stead_scheme(struct stead_req *r)
{
	const char *scheme = var(r, ENV_SCHEME);

	/* Only what is not the usual one is told. */
	return *scheme ? scheme : "http";
}

const char *stead_host(struct stead_req *r)
{
	return var(r, ENV_SERVER_NAME);
}

unsigned stead_port(struct stead_req *r)
{
	return number(r, ENV_SERVER_PORT);
}

const char *stead_peer(struct stead_req *r)
{
	return var(r, ENV_REMOTE_ADDR);
}

unsigned stead_peer_port(struct stead_req *r)
{
	return number(r, ENV_REMOTE_PORT);
}

const char *stead_user(struct stead_req *r)
{
	return var(r, ENV_REMOTE_USER);
}

const char *stead_id(struct stead_req *r)
{
	return var(r, ENV_REQUEST_ID);
}

const char *stead_field(struct stead_req *r, const char *name)
{
	if (!r || !r->link || !name || stead_req_parse(r) < 0)
		return NULL;
	for (size_t i = 0; i < r->nfields; i++) {
		if (strcasecmp(r->fields[i].name, name) == 0)
			return r->fields[i].value;
	}
	return NULL;
}

bool stead_field_at(struct stead_req *r, size_t i, const char **ret_name, const char **ret_value)
{
	if (!r || !r->link || !ret_name || !ret_value || stead_req_parse(r) < 0 || i >= r->nfields)
		return false;
	*ret_name = r->fields[i].name;
	*ret_value = r->fields[i].value;
	return true;
}

int64_t stead_length(struct stead_req *r)
{
	const char *text;

	if (!r || !r->link || !link_req_has_body(r->link))
		return 0;
	text = var(r, ENV_CONTENT_LENGTH);
	return *text ? link_field_length(text, strlen(text)) : -1;
}

ssize_t stead_read(struct stead_req *r, void *p, size_t n)
{
	struct link_worker *w;
	ssize_t res;

	if (!r || !r->link || !p || !n)
		return -EINVAL;
	w = r->s->worker;
	for (;;) {
		uint64_t seen;
		int err;

		res = link_req_read(r->link, p, n);
		if (res != -EAGAIN || r->s->nonblock)
			return res;
		seen = link_worker_seen(w);
		res = link_req_read(r->link, p, n);
		if (res != -EAGAIN)
			return res;
		err = link_worker_wait(w, seen);
		if (err < 0 && err != -EINTR)
			return err;
	}
}

bool stead_gone(struct stead_req *r)
{
	return !r || !r->link || link_req_gone(r->link);
}

void stead_log(struct stead_req *r, const char *format, ...)
{
	char line[4096];
	const char *id = stead_id(r);
	int at = *id ? snprintf(line, sizeof(line), "[%s] ", id) : 0, n;
	va_list ap;

	if (!format || at < 0 || at > 200)
		return;
	va_start(ap, format);
	n = vsnprintf(line + at, sizeof(line) - (size_t)at - 1, format, ap);
	va_end(ap);
	if (n < 0)
		return;
	n = (int)strlen(line);
	/* What a client sent must not look like a line of its own. */
	for (int i = 0; i < n; i++) {
		if (line[i] == '\n' || line[i] == '\r')
			line[i] = ' ';
	}
	line[n++] = '\n';
	(void)!write(STDERR_FILENO, line, (size_t)n);
}
