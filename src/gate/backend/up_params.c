/*
 * up_params.c: a request as CGI's variables (RFC 3875 section 4.1), for FastCGI's and uwsgi's backends.
 *
 * Called by the codecs with what is asked; owns nothing, allocates nothing. Header fields become
 * HTTP_NAME; repeated ones are joined, Cookie with "; " (RFC 6265 section 5.4), others with ", " (RFC
 * 9110 section 5.3). Two fields never meet in one variable: a name with an underscore is left out,
 * because it would read as one with a hyphen, and Proxy is, because HTTP_PROXY would steer the app's own
 * requests.
 */
#include "up_params.h"
#include "client_cert.h"

#include <string.h>

struct out {
	struct buf *b;
	up_pair_fn *pair;
	void *arg;
};

static void put(const struct out *o, const char *name, const char *value, size_t n)
{
	o->pair(o->b, o->arg, name, strlen(name), n);
	buf_put(o->b, value, n);
}

static void put_str(const struct out *o, const char *name, const char *value)
{
	put(o, name, value, strlen(value));
}

static void put_number(const struct out *o, const char *name, uint64_t n)
{
	char text[24], *at = text + sizeof(text);

	do
		*--at = (char)('0' + n % 10);
	while (n /= 10);
	put(o, name, at, (size_t)(text + sizeof(text) - at));
}

static bool same_name(const struct field *a, const struct field *b)
{
	return a->name_len == b->name_len && memcmp(a->name, b->name, a->name_len) == 0;
}

static bool is_field(const struct field *f, const char *name)
{
	return f->name_len == strlen(name) && memcmp(f->name, name, f->name_len) == 0;
}

static bool seen_before(const struct up_ask *a, unsigned i)
{
	for (unsigned j = 0; j < i; j++)
		if (same_name(&a->fields[j], &a->fields[i]))
			return true;
	return false;
}

/* The field i and its repetitions as one value. */
static void put_joined(const struct out *o, const struct up_ask *a, unsigned i, const char *name, size_t name_len)
{
	const struct field *f = &a->fields[i];
	const char *join = is_field(f, "cookie") ? "; " : ", ";
	size_t len = f->value_len;

	for (unsigned j = i + 1; j < a->nfields; j++)
		if (same_name(&a->fields[j], f))
			len += 2 + a->fields[j].value_len;
	o->pair(o->b, o->arg, name, name_len, len);
	buf_put(o->b, f->value, f->value_len);
	for (unsigned j = i + 1; j < a->nfields; j++) {
		if (!same_name(&a->fields[j], f))
			continue;
		buf_put(o->b, join, 2);
		buf_put(o->b, a->fields[j].value, a->fields[j].value_len);
	}
}

static int put_field(const struct out *o, const struct up_ask *a, unsigned i)
{
	const struct field *f = &a->fields[i];
	char name[UP_PARAM_NAME_MAX] = "HTTP_";

	if (memchr(f->name, '_', f->name_len) || is_field(f, "proxy") || is_field(f, "content-length") ||
		is_field(f, "host") || seen_before(a, i))
		return 0;
	if (is_field(f, "content-type")) {
		put_joined(o, a, i, "CONTENT_TYPE", 12);
		return 0;
	}
	if (f->name_len > sizeof(name) - 5)
		return -CLOSE_HEAD_TOO_LARGE;
	for (unsigned k = 0; k < f->name_len; k++) {
		char c = f->name[k];

		name[5 + k] = c == '-' ? '_' : c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
	}
	put_joined(o, a, i, name, 5 + f->name_len);
	return 0;
}

/* Who asks, and where: what only a client's request has. */
static void put_peer(const struct out *o, const struct req *r)
{
	const char *name, *value;

	put_number(o, "SERVER_PORT", r->host_port ? r->host_port : r->local_port);
	put_str(o, "SERVER_PROTOCOL", req_protocol(r));
	put_str(o, "SERVER_ADDR", r->local);
	put_str(o, "REMOTE_ADDR", r->peer);
	put_number(o, "REMOTE_PORT", r->peer_port);
	if (r->user[0]) {
		put_str(o, "AUTH_TYPE", "Basic");
		put_str(o, "REMOTE_USER", r->user);
	}
	put_str(o, "REQUEST_SCHEME", r->tls ? "https" : "http");
	if (r->tls)
		put_str(o, "HTTPS", "on");
	for (unsigned i = 0; client_cert_variable(r, i, &name, &value); i++)
		put_str(o, name, value);
}

/* Which program, of which path. */
static void put_script(const struct out *o, const struct up_ask *a)
{
	const struct up_script *s = a->script;

	if (!s) {
		put(o, "SCRIPT_NAME", a->prefix, a->prefix_len);
		put(o, "PATH_INFO", a->path, a->path_len);
		return;
	}
	put_str(o, "SCRIPT_NAME", s->name);
	put_str(o, "SCRIPT_FILENAME", s->file);
	put_str(o, "DOCUMENT_ROOT", s->root);
	/* PATH_TRANSLATED, which RFC 3875 would have here, is what a PHP with cgi.fix_pathinfo=0 runs in the script's
	 * place: "/index.php/upload/picture.jpg" would run the picture. */
	if (*s->info)
		put_str(o, "PATH_INFO", s->info);
	/* Without it a PHP that is told to run behind a server only refuses. */
	put_str(o, "REDIRECT_STATUS", "200");
}

int up_params_put(const struct up_ask *a, struct buf *b, up_pair_fn *pair, void *arg)
{
	const struct out o = {b, pair, arg};
	const struct req *r = a->req;
	int res = 0;

	put(&o, "REQUEST_METHOD", a->method, a->method_len);
	/* As the client wrote it, with what a route's prefix took away: apps make links with it. */
	if (r)
		put(&o, "REQUEST_URI", r->target, r->target_len);
	else
		put(&o, "REQUEST_URI", a->target, a->target_len);
	put_script(&o, a);
	put(&o, "QUERY_STRING", a->query, a->query_len);
	put_str(&o, "GATEWAY_INTERFACE", "CGI/1.1");
	put_str(&o, "SERVER_SOFTWARE", "stead");
	if (r && r->host_len)
		put(&o, "SERVER_NAME", r->host, r->host_len);
	else
		put(&o, "SERVER_NAME", a->host, a->host_len);
	if (r) {
		put_peer(&o, r);
	} else {
		put_str(&o, "SERVER_PORT", "80");
		put_str(&o, "SERVER_PROTOCOL", "HTTP/1.1");
		put_str(&o, "REMOTE_ADDR", "127.0.0.1");
	}
	if (a->content_length > 0 || a->method_id == METHOD_POST || a->method_id == METHOD_PUT ||
		a->method_id == METHOD_PATCH)
		put_number(&o, "CONTENT_LENGTH", a->content_length > 0 ? (uint64_t)a->content_length : 0);
	put(&o, "HTTP_HOST", a->host, a->host_len);
	for (unsigned i = 0; res == 0 && i < a->nfields; i++)
		res = put_field(&o, a, i);
	return res;
}
