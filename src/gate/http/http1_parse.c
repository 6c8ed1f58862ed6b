/*
 * http1_parse.c: the head of an HTTP/1 request; see http1_parse.h. Called by http1.c and the fuzz
 * targets. Owns nothing; writes only into the bytes it is given.
 *
 * Accepted although a narrower reading would refuse it, and why:
 *   - one empty line before the request's line (RFC 9112 section 2.2: SHOULD ignore at least one);
 *   - HTTP/1.2 to HTTP/1.9, as 1.1 (RFC 9110 section 2.5: the highest minor version known);
 *   - bytes 0x80 to 0xff in field values (obs-text, RFC 9110 section 5.5), handed on as they are;
 *   - | { } ^ ` and, in the query, \ in a target: browsers send them unencoded (WHATWG URL);
 *   - leading zeroes in Content-Length (1*DIGIT);
 *   - a field name that the standards do not know.
 */
#include "http1_parse.h"
#include "http1_field.h"

/* What the head says of the body and of the connection, gathered field by field. */
struct gathered {
	char *host_value;
	uint32_t host_len;
	unsigned hosts, lengths, codings;
	const char *coding;
	uint32_t coding_len;
	int64_t length;
	bool close, keep_alive, upgrade, nominated, bad_expect, bad_length;
	unsigned upgrades;
};

/* What may stand in a target: RFC 3986, and what browsers send besides. No '#': a fragment never
 * goes over the wire. */
static const bool target[256] = {['!'] = true,
	['$' ... ';'] = true,
	['='] = true,
	['?' ... '~'] = true};

static uint8_t method_of(const char *p, size_t n)
{
	switch (n) {
	case 3:
		if (!memcmp(p, "GET", 3))
			return METHOD_GET;
		return memcmp(p, "PUT", 3) ? METHOD_OTHER : METHOD_PUT;
	case 4:
		if (!memcmp(p, "POST", 4))
			return METHOD_POST;
		return memcmp(p, "HEAD", 4) ? METHOD_OTHER : METHOD_HEAD;
	case 5:
		if (!memcmp(p, "PATCH", 5))
			return METHOD_PATCH;
		return memcmp(p, "TRACE", 5) ? METHOD_OTHER : METHOD_TRACE;
	case 6:
		return memcmp(p, "DELETE", 6) ? METHOD_OTHER : METHOD_DELETE;
	case 7:
		if (!memcmp(p, "OPTIONS", 7))
			return METHOD_OPTIONS;
		return memcmp(p, "CONNECT", 7) ? METHOD_OTHER : METHOD_CONNECT;
	default:
		return METHOD_OTHER;
	}
}

/* Bytes ended where more are needed: too long already, or wait. */
static int more_of_line(const struct cursor *c)
{
	return c->end - c->start > HTTP1_LINE_MAX ? -CLOSE_LINE_TOO_LONG : 0;
}

/* "HTTP/1.1" CRLF. 1 done, 0 more, < 0. */
static int parse_version(struct cursor *c, struct http1_head *h)
{
	static const char name[] = "HTTP/";
	size_t n = (size_t)(c->end - c->p);

	if (n >= 10 && !memcmp(c->p, "HTTP/1.1\r\n", 10)) {
		h->version_minor = 1;
		c->p += 10;
		return 1;
	}
	for (size_t i = 0; i < 10; i++) {
		char ch;

		if (i >= n)
			return more_of_line(c);
		ch = c->p[i];
		if (i < 5                  ? ch != name[i]
			: i == 5 || i == 7 ? ch < '0' || ch > '9'
			: i == 6           ? ch != '.'
					   : ch != (i == 8 ? '\r' : '\n'))
			return -CLOSE_BAD_REQUEST;
	}
	if (c->p[5] != '1')
		return -CLOSE_BAD_VERSION;
	h->version_minor = c->p[7] == '0' ? 0 : 1;
	c->p += 10;
	return 1;
}

static int parse_line(struct cursor *c, struct http1_head *h)
{
	char *from;

	if (c->p < c->end && *c->p == '\r') {
		if (c->end - c->p < 2)
			return 0;
		if (c->p[1] != '\n')
			return -CLOSE_BAD_REQUEST;
		c->p += 2;
	}
	c->start = from = c->p;
	while (c->p < c->end && token[(unsigned char)*c->p])
		c->p++;
	if (c->p == c->end)
		return more_of_line(c);
	if (*c->p != ' ' || c->p == from)
		return -CLOSE_BAD_REQUEST;
	h->method_str = from;
	h->method_len = (uint32_t)(c->p - from);
	h->method = method_of(from, h->method_len);
	from = ++c->p;
	while (c->p < c->end && target[(unsigned char)*c->p])
		c->p++;
	if (c->p == c->end)
		return more_of_line(c);
	if (c->p - c->start > HTTP1_LINE_MAX)
		return -CLOSE_LINE_TOO_LONG;
	h->target = from;
	h->target_len = (uint32_t)(c->p - from);
	if (*c->p != ' ' || c->p == from)
		return -CLOSE_BAD_REQUEST;
	c->p++;
	return parse_version(c, h);
}

/* Connection's list. False: not a list of tokens. */
static bool parse_connection(struct gathered *g, const char *p, size_t n)
{
	const char *end = p + n;

	while (p < end) {
		const char *from;

		while (p < end && (is_ows(*p) || *p == ','))
			p++;
		from = p;
		while (p < end && token[(unsigned char)*p])
			p++;
		if (same(from, (size_t)(p - from), "close"))
			g->close = true;
		else if (same(from, (size_t)(p - from), "keep-alive"))
			g->keep_alive = true;
		else if (same(from, (size_t)(p - from), "upgrade"))
			g->upgrade = true;
		else if (p > from)
			g->nominated = true;
		while (p < end && is_ows(*p))
			p++;
		if (p < end && *p != ',')
			return false;
	}
	return true;
}

/* A field that the protocol itself reads. Returns true when it goes no further (hop by hop). */
static int take_known(struct http1_head *h, struct gathered *g, const struct field *f)
{
	static const struct field trailers = {.name = "trailers", .name_len = 8};
	const char *name = f->name;

	switch (f->name_len) {
	case 2:
		if (memcmp(name, "te", 2))
			return 0;
		h->te_trailers |= list_has(f->value, f->value_len, &trailers);
		return 1;
	case 4:
		if (!memcmp(name, "host", 4)) {
			g->hosts++;
			g->host_value = (char *)f->value;
			g->host_len = f->value_len;
		}
		return 0;
	case 6:
		if (memcmp(name, "expect", 6) || h->version_minor == 0)
			return 0;
		if (same(f->value, f->value_len, "100-continue"))
			h->expect_continue = true;
		else
			g->bad_expect = true;
		return 0;
	case 7:
		if (!memcmp(name, "upgrade", 7)) {
			g->upgrades++;
			h->upgrade = f->value;
			h->upgrade_len = f->value_len;
			return 1;
		}
		return !memcmp(name, "trailer", 7);
	case 10:
		if (!memcmp(name, "connection", 10))
			return parse_connection(g, f->value, f->value_len) ? 1 : -CLOSE_BAD_REQUEST;
		return !memcmp(name, "keep-alive", 10);
	case 14:
		if (!memcmp(name, "content-length", 14)) {
			g->lengths++;
			g->length = parse_length(f->value, f->value_len);
			g->bad_length |= g->length < 0;
		}
		return 0;
	case 16:
		return !memcmp(name, "proxy-connection", 16);
	case 17:
		if (memcmp(name, "transfer-encoding", 17))
			return 0;
		g->codings++;
		g->coding = f->value;
		g->coding_len = f->value_len;
		return 1;
	default:
		return 0;
	}
}

/* absolute-form (RFC 9112 section 3.2.2): its authority takes Host's place, and what is handed on
 * says so. */
static int parse_absolute(struct http1_head *h, struct gathered *g)
{
	char *p = (char *)h->target, *end = p + h->target_len, *slash;
	struct field *f = h->fields;
	size_t skip;

	if (h->target_len > 7 && same(p, 4, "http") && !memcmp(p + 4, "://", 3))
		skip = 7;
	else if (h->target_len > 8 && same(p, 5, "https") && !memcmp(p + 5, "://", 3))
		skip = 8;
	else
		return -CLOSE_BAD_TARGET;
	p += skip;
	for (slash = p; slash < end && *slash != '/' && *slash != '?'; slash++)
		;
	if (!http1_parse_host(p, (size_t)(slash - p), &h->host_len, &h->host_port))
		return -CLOSE_BAD_TARGET;
	h->host = p;
	if (slash < end && *slash == '?')
		return -CLOSE_BAD_TARGET;
	/* OPTIONS of no resource is about the server as a whole (section 3.2.4). */
	h->path = slash < end ? slash : h->method == METHOD_OPTIONS ? "*" : "/";
	h->path_len = slash < end ? (uint32_t)(end - slash) : 1;
	while (g->hosts && (f->name_len != 4 || memcmp(f->name, "host", 4)))
		f++;
	if (g->hosts) {
		f->value = p;
		f->value_len = (uint32_t)(slash - p);
	}
	return 1;
}

static int check_target(struct http1_head *h, struct gathered *g)
{
	if (g->hosts > 1 || (g->hosts == 0 && h->version_minor > 0))
		return -CLOSE_BAD_HOST;
	if (g->hosts && !http1_parse_host(g->host_value, g->host_len, &h->host_len, &h->host_port))
		return -CLOSE_BAD_HOST;
	h->host = g->hosts ? g->host_value : "";
	h->path = h->target;
	h->path_len = h->target_len;
	if (h->method == METHOD_CONNECT) {
		uint32_t len;
		uint16_t port;

		/* authority-form; nobody is a proxy here, so routing refuses the method. */
		if (!http1_parse_host((char *)h->target, h->target_len, &len, &port) || !port)
			return -CLOSE_BAD_TARGET;
		h->path = "/";
		h->path_len = 1;
		return 1;
	}
	if (*h->target == '/')
		return 1;
	if (*h->target == '*')
		return h->target_len == 1 && h->method == METHOD_OPTIONS ? 1 : -CLOSE_BAD_TARGET;
	return parse_absolute(h, g);
}

/* How long is the body (RFC 9112 section 6.3)? Ambiguity is refused, never resolved. */
static int check_framing(struct http1_head *h, const struct gathered *g)
{
	if (g->bad_length || g->lengths > 1 || g->codings > 1)
		return -CLOSE_BAD_FRAMING;
	if (g->codings && (g->lengths || h->version_minor == 0))
		return -CLOSE_BAD_FRAMING;
	if (g->codings) {
		if (memchr(g->coding, ',', g->coding_len) && same(g->coding, 7, "chunked"))
			return -CLOSE_BAD_FRAMING;
		if (!same(g->coding, g->coding_len, "chunked"))
			return -CLOSE_BAD_CODING;
		h->chunked = true;
		h->content_length = -1;
	} else {
		h->content_length = g->lengths ? g->length : 0;
	}
	return 1;
}

/* Fields that Connection may not take away, whatever it nominates: they belong to the message. */
static bool end_to_end(const struct field *f)
{
	static const char *const names[] = {"host", "content-length", "content-type",
		"content-encoding", "authorization", "cookie", "expect", "range", "if-range",
		"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (f->name_len == strlen(names[i]) && !memcmp(f->name, names[i], f->name_len))
			return true;
	return false;
}

/* Connection's line again, to drop the fields that it nominates (RFC 9110 section 7.6.1). */
static void drop_nominated(struct http1_head *h, const struct field *connection)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < h->nfields; i++) {
		struct field *f = &h->fields[i];

		if (end_to_end(f) || !list_has(connection->value, connection->value_len, f))
			h->fields[kept++] = *f;
	}
	h->nfields = kept;
}

static int parse_fields(struct cursor *c, struct http1_head *h, struct gathered *g)
{
	struct field connection[4];
	unsigned lines = 0, connections = 0;

	for (;;) {
		struct field f;
		bool nominated = g->nominated;
		int res = parse_field(c, &f);

		if (res == 2)
			break;
		if (res <= 0)
			return res;
		if (++lines > REQ_FIELDS_MAX)
			return -CLOSE_HEAD_TOO_LARGE;
		g->nominated = false;
		res = take_known(h, g, &f);
		if (res < 0)
			return res;
		if (g->nominated) {
			if (connections == sizeof(connection) / sizeof(connection[0]))
				return -CLOSE_BAD_REQUEST;
			connection[connections++] = f;
		}
		g->nominated |= nominated;
		if (res == 0)
			h->fields[h->nfields++] = f;
	}
	for (unsigned i = 0; i < connections; i++)
		drop_nominated(h, &connection[i]);
	return 1;
}

int http1_parse_head(char *p, size_t n, size_t head_max, struct http1_head *ret_head)
{
	struct cursor c = {p, p + n, p};
	struct http1_head *h = ret_head;
	struct gathered g = {0};
	int res;

	h->method_str = h->target = NULL;
	h->method_len = h->target_len = 0;
	h->host = "";
	h->host_len = 0;
	h->host_port = 0;
	h->nfields = 0;
	h->chunked = h->expect_continue = h->keep_alive = h->te_trailers = false;
	h->upgrade = NULL;
	h->upgrade_len = 0;
	h->content_length = 0;
	h->method = METHOD_OTHER;
	h->version_minor = 1;
	res = parse_line(&c, h);
	if (res <= 0)
		return res;
	res = parse_fields(&c, h, &g);
	if (res == 0)
		return n >= head_max ? -CLOSE_HEAD_TOO_LARGE : 0;
	if (res < 0)
		return res;
	if ((size_t)(c.p - p) > head_max)
		return -CLOSE_HEAD_TOO_LARGE;
	h->keep_alive = !g.close && (h->version_minor > 0 || g.keep_alive);
	res = check_framing(h, &g);
	if (res > 0)
		res = check_target(h, &g);
	if (res < 0)
		return res;
	/* An offer that is not made for this connection, or twice, or before a body, is ignored
	 * (RFC 9110 section 7.8). */
	if (!g.upgrade || g.upgrades != 1 || h->version_minor == 0 || h->content_length != 0)
		h->upgrade = NULL;
	if (g.bad_expect)
		return -CLOSE_BAD_EXPECT;
	return (int)(c.p - p);
}

int http1_scan_head(const char *p, size_t n, size_t head_max, size_t *at)
{
	size_t i = *at;

	for (; i < n; i++) {
		if (p[i] == '\n') {
			/* Every LF stands behind a CR, and a second pair ends the head; an empty
			 * line at the very beginning is not its end. */
			if (i == 0 || p[i - 1] != '\r')
				return -CLOSE_BAD_REQUEST;
			if (i >= 3 && p[i - 2] == '\n') {
				*at = i + 1;
				return i + 1 > head_max ? -CLOSE_HEAD_TOO_LARGE : (int)(i + 1);
			}
		} else if (i > 0 && p[i - 1] == '\r') {
			return -CLOSE_BAD_REQUEST;
		} else if (p[i] == 0) {
			return -CLOSE_BAD_REQUEST;
		}
	}
	*at = n;
	if (n >= HTTP1_LINE_MAX && !memchr(p + 1, '\n', n - 1))
		return -CLOSE_LINE_TOO_LONG;
	return n >= head_max ? -CLOSE_HEAD_TOO_LARGE : 0;
}

int http1_parse_trailers(char *p, size_t n, struct field *ret_fields, unsigned max)
{
	struct cursor c = {p, p + n, p};
	unsigned kept = 0;

	while (c.p < c.end) {
		struct field f;
		int res = parse_field(&c, &f);

		if (res != 1)
			return -CLOSE_BAD_CHUNK;
		if (kept == max)
			return -CLOSE_HEAD_TOO_LARGE;
		/* What frames, routes or authenticates a message cannot come behind it (RFC 9110
		 * section 6.5.1). */
		if (!http1_is_forbidden_trailer(&f))
			ret_fields[kept++] = f;
	}
	return (int)kept;
}

bool http1_is_forbidden_trailer(const struct field *f)
{
	static const char *const names[] = {"host", "content-length", "content-type",
		"content-encoding", "content-range", "transfer-encoding", "connection", "te",
		"trailer", "upgrade", "expect", "authorization", "cookie", "set-cookie",
		"cache-control", "max-forwards", "range", "location", "retry-after", "vary",
		"age", "date", "expires", "www-authenticate", "proxy-authenticate",
		"proxy-authorization", "keep-alive", "proxy-connection", "forwarded", "via"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (f->name_len == strlen(names[i]) && !memcmp(f->name, names[i], f->name_len))
			return true;
	return (f->name_len > 12 && !memcmp(f->name, "x-forwarded-", 12)) ||
	       memchr(f->name, '_', f->name_len) != NULL;
}
