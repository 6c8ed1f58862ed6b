/*
 * app_env.c: a request as the bytes of a WSGI environ (PEP 3333, RFC 3875), or as its fields are.
 *
 * Called when a request is given to a worker; writes straight into the ring. Which of the two forms
 * the worker reads it has said (link_env.h). For the first, header fields become
 * HTTP_NAME; a name with an underscore is left out, because it would meet the same key as one with
 * a hyphen (the classic way to forge what a proxy sets). Repeated fields are joined, Cookie with ";
 * " (RFC 6265 section 5.4), others with ", " (RFC 9110 section 5.3).
 */
#include "app_priv.h"
#include "client_cert.h"
#include "link/link_env.h"
#include "link/link_field.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct out {
	char *p, *end;
	bool full;
};

/* Most of what is written is so short that a call of memcpy() costs more than the bytes. */
static inline void copy(char *to, const char *from, size_t n)
{
	uint64_t first8, last8;
	uint32_t first4, last4;

	if (n > 16) {
		memcpy(to, from, n);
	} else if (n >= 8) {
		memcpy(&first8, from, 8);
		memcpy(&last8, from + n - 8, 8);
		memcpy(to, &first8, 8);
		memcpy(to + n - 8, &last8, 8);
	} else if (n >= 4) {
		memcpy(&first4, from, 4);
		memcpy(&last4, from + n - 4, 4);
		memcpy(to, &first4, 4);
		memcpy(to + n - 4, &last4, 4);
	} else if (n) {
		to[0] = from[0];
		to[n / 2] = from[n / 2];
		to[n - 1] = from[n - 1];
	}
}

static void put(struct out *o, enum link_env code, const char *value, size_t n)
{
	struct link_env_entry e = {.code = (uint8_t)code, .value_len = (uint32_t)n};

	if (o->full || (size_t)(o->end - o->p) < sizeof(e) + n) {
		o->full = true;
		return;
	}
	memcpy(o->p, &e, sizeof(e));
	copy(o->p + sizeof(e), value, n);
	o->p += sizeof(e) + n;
}

static void put_number(struct out *o, enum link_env code, uint64_t n)
{
	char text[24], *at = text + sizeof(text);

	do
		*--at = (char)('0' + n % 10);
	while (n /= 10);
	put(o, code, at, (size_t)(text + sizeof(text) - at));
}

static bool is_field(const struct field *f, const char *name, size_t n)
{
	return f->name_len == n && memcmp(f->name, name, n) == 0;
}

/* Eight letters or hyphens, as below. */
static void put_name_plain(char *to, const char *name)
{
	const uint64_t ones = 0x0101010101010101ull;
	uint64_t w;

	memcpy(&w, name, 8);
	/* A hyphen is the one of them without the bit 0x40. */
	w = (w & ~(ones * 0x20)) ^ (~w >> 6 & ones) * (('-' & ~0x20) ^ '_');
	memcpy(to, &w, 8);
}

/* "-" becomes "_" and letters capitals; false when the name has an underscore. */
static bool put_name(char *to, const char *name, size_t n)
{
	size_t i = 0;

	for (; n - i >= 8 && link_field_plain(name + i); i += 8)
		put_name_plain(to + i, name + i);
	if (i && n - i < 8 && link_field_plain(name + n - 8)) {
		put_name_plain(to + n - 8, name + n - 8);
		return true;
	}
	for (; i < n; i++) {
		char c = name[i];

		if (c == '_')
			return false;
		to[i] = c == '-' ? '_' : c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
	}
	return true;
}

static bool seen_before(const struct req *r, unsigned i)
{
	const struct field *f = &r->fields[i];

	for (unsigned j = 0; j < i; j++) {
		const struct field *g = &r->fields[j];

		if (g->name_len == f->name_len && memcmp(g->name, f->name, f->name_len) == 0)
			return true;
	}
	return false;
}

static void put_http(struct out *o, const struct req *r, unsigned i)
{
	const struct field *f = &r->fields[i];
	const char *join = is_field(f, "cookie", 6) ? "; " : ", ";
	struct link_env_entry e = {.code = ENV_HTTP, .name_len = (uint16_t)(5 + f->name_len)};
	char *head = o->p;

	if (o->full || f->name_len > 60000 ||
		(size_t)(o->end - o->p) < sizeof(e) + 5 + f->name_len + f->value_len) {
		o->full = true;
		return;
	}
	memcpy(head + sizeof(e), "HTTP_", 5);
	if (!put_name(head + sizeof(e) + 5, f->name, f->name_len))
		return;
	o->p += sizeof(e) + 5 + f->name_len;
	copy(o->p, f->value, f->value_len);
	o->p += f->value_len;
	e.value_len = f->value_len;
	for (unsigned j = i + 1; j < r->nfields; j++) {
		const struct field *g = &r->fields[j];

		if (g->name_len != f->name_len || memcmp(g->name, f->name, f->name_len) != 0)
			continue;
		if ((size_t)(o->end - o->p) < g->value_len + 2) {
			o->full = true;
			return;
		}
		memcpy(o->p, join, 2);
		memcpy(o->p + 2, g->value, g->value_len);
		o->p += 2 + g->value_len;
		e.value_len += g->value_len + 2;
	}
	memcpy(head, &e, sizeof(e));
}

static void put_fields(struct out *o, const struct req *r)
{
	/* Which first letters occurred: a field whose letter is new cannot repeat an earlier one.
	 */
	uint32_t letters = 0;

	for (unsigned i = 0; i < r->nfields; i++) {
		const struct field *f = &r->fields[i];
		uint32_t bit = f->name_len ? 1u << ((uint8_t)f->name[0] + f->name_len) % 32 : 1;

		if (letters & bit && seen_before(r, i))
			continue;
		letters |= bit;
		if (is_field(f, "content-type", 12))
			put(o, ENV_CONTENT_TYPE, f->value, f->value_len);
		else if (is_field(f, "content-length", 14) ||
			 is_field(f, "transfer-encoding", 17) || is_field(f, "proxy", 5))
			continue; /* the body's length is told below; HTTP_PROXY would steer the
				     app's own requests */
		else
			put_http(o, r, i);
	}
}

/* As they came, in their order. A name with an underscore is left out here too, because apps make
 * environs of these; and so is Proxy, for the same reason. */
static void put_raw(struct out *o, const struct req *r)
{
	for (unsigned i = 0; i < r->nfields && !o->full; i++) {
		const struct field *f = &r->fields[i];
		struct link_env_entry e = {.code = ENV_FIELD,
			.name_len = (uint16_t)f->name_len,
			.value_len = f->value_len};

		if (is_field(f, "proxy", 5) || memchr(f->name, '_', f->name_len))
			continue;
		if (f->name_len > 60000 ||
			(size_t)(o->end - o->p) < sizeof(e) + f->name_len + f->value_len) {
			o->full = true;
			return;
		}
		memcpy(o->p, &e, sizeof(e));
		copy(o->p + sizeof(e), f->name, f->name_len);
		copy(o->p + sizeof(e) + f->name_len, f->value, f->value_len);
		o->p += sizeof(e) + f->name_len + f->value_len;
	}
}

static void put_where(struct out *o, const struct req *r, enum link_form form)
{
	if (form == LINK_FORM_FIELDS) {
		put(o, ENV_PATH_RAW, r->path_raw, r->path_raw_len);
		put(o, ENV_SERVER_ADDR, r->local, strlen(r->local));
		put_number(o, ENV_SERVER_PORT, r->local_port);
		return;
	}
	put(o, ENV_URI, r->target, r->target_len);
	if (r->host_len)
		put(o, ENV_SERVER_NAME, r->host, r->host_len);
	else
		put(o, ENV_SERVER_NAME, r->local, strlen(r->local));
	put_number(o, ENV_SERVER_PORT, r->host_port ? r->host_port : r->local_port);
}

/* Who showed a certificate, by the names that Apache's apps know. */
static void put_cert(struct out *o, const struct req *r)
{
	const char *name, *value;

	for (unsigned i = 0; client_cert_variable(r, i, &name, &value); i++) {
		struct link_env_entry e = {.code = ENV_VAR,
			.name_len = (uint16_t)strlen(name),
			.value_len = (uint32_t)strlen(value)};

		if (o->full || (size_t)(o->end - o->p) < sizeof(e) + e.name_len + e.value_len) {
			o->full = true;
			return;
		}
		memcpy(o->p, &e, sizeof(e));
		memcpy(o->p + sizeof(e), name, e.name_len);
		memcpy(o->p + sizeof(e) + e.name_len, value, e.value_len);
		o->p += sizeof(e) + e.name_len + e.value_len;
	}
}

long app_env_encode(const struct req *r, enum link_form form, char *p, size_t cap)
{
	struct out o = {p, p + cap, false};
	char text[REQ_ID_MEM];
	const char *id;
	size_t n;

	put(&o, ENV_METHOD, r->method_str, r->method_len);
	put(&o, ENV_PATH_INFO, r->path, r->path_len);
	if (r->query_len)
		put(&o, ENV_QUERY, r->query, r->query_len);
	put_where(&o, r, form);
	put(&o, ENV_PROTOCOL, req_protocol(r), REQ_PROTOCOL_BYTES);
	put(&o, ENV_REMOTE_ADDR, r->peer, strlen(r->peer));
	put_number(&o, ENV_REMOTE_PORT, r->peer_port);
	if (r->user[0])
		put(&o, ENV_REMOTE_USER, r->user, strlen(r->user));
	if (r->tls)
		put(&o, ENV_SCHEME, "https", 5);
	if (r->content_length > 0 || req_field(r, "content-length"))
		put_number(&o, ENV_CONTENT_LENGTH,
			r->content_length > 0 ? (uint64_t)r->content_length : 0);
	id = req_id(r, text, &n);
	put(&o, ENV_REQUEST_ID, id, n);
	if (form == LINK_FORM_FIELDS) {
		put_raw(&o, r);
	} else {
		put_fields(&o, r);
		put_cert(&o, r);
	}
	return o.full ? -EMSGSIZE : o.p - p;
}
