/*
 * up_parse.c: the head of a backend's HTTP/1 answer; see up_parse.h. Called by up_http.c and the fuzz
 * target. Owns nothing; writes only into the bytes it is given.
 *
 * Accepted although a narrower reading would refuse it, and why:
 *   - a status line without the blank before an empty reason: many servers write it so;
 *   - HTTP/1.2 to HTTP/1.9, as 1.1; HTTP/1.0;
 *   - a 204 or 304 with a Content-Length: it has no body all the same (RFC 9112 section 6.3).
 * Refused: folded lines, a lone LF, two lengths (equal ones too), a length beside a coding, codings but
 * chunked, a coding in HTTP/1.0.
 */
#include "up_parse.h"
#include "http1_field.h"

struct gathered {
	unsigned lengths, codings, upgrades;
	int64_t length;
	bool bad, chunked, close, keep_alive;
	struct field connection[4];
	unsigned connections;
};

/* "HTTP/1.1 200 OK" CRLF. 1 done, 0 more, < 0. */
static int parse_status(struct cursor *c, struct up_head *h, struct up_parsed *ret)
{
	static const char name[] = "HTTP/1.";
	size_t n = (size_t)(c->end - c->p);
	char *p = c->p, *end;

	for (size_t i = 0; i < 7; i++)
		if (i >= n)
			return 0;
		else if (p[i] != name[i])
			return -CLOSE_UP_GARBAGE;
	if (n < 14)
		return 0;
	if (p[7] < '0' || p[7] > '9' || p[8] != ' ')
		return -CLOSE_UP_GARBAGE;
	ret->version_minor = p[7] == '0' ? 0 : 1;
	for (size_t i = 9; i < 12; i++)
		if (p[i] < '0' || p[i] > '9')
			return -CLOSE_UP_GARBAGE;
	h->status = (uint16_t)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
	if (h->status < 100 || h->status > 599 || (p[12] != ' ' && p[12] != '\r'))
		return -CLOSE_UP_GARBAGE;
	p += p[12] == ' ' ? 13 : 12;
	end = value_end(p, c->end);
	if (end == c->end)
		return 0;
	if (*end != '\r')
		return -CLOSE_UP_GARBAGE;
	if (c->end - end < 2)
		return 0;
	if (end[1] != '\n')
		return -CLOSE_UP_GARBAGE;
	h->reason = p;
	h->reason_len = (uint32_t)(end - p);
	c->p = end + 2;
	return 1;
}

/* Connection's list: what it says of itself, and whether it takes other fields away. */
static bool take_connection(struct gathered *g, const struct field *f)
{
	static const struct field close = {.name = "close", .name_len = 5};
	static const struct field keep = {.name = "keep-alive", .name_len = 10};

	g->close |= list_has(f->value, f->value_len, &close);
	g->keep_alive |= list_has(f->value, f->value_len, &keep);
	if (g->connections == sizeof(g->connection) / sizeof(g->connection[0]))
		return false;
	g->connection[g->connections++] = *f;
	return true;
}

/* A field of the connection or of the framing: true when it goes no further. */
static bool take_known(struct up_head *h, struct gathered *g, const struct field *f)
{
	const char *name = f->name;

	switch (f->name_len) {
	case 2:
		return !memcmp(name, "te", 2);
	case 7:
		if (!memcmp(name, "upgrade", 7)) {
			g->upgrades++;
			h->upgrade = f->value;
			h->upgrade_len = f->value_len;
			return true;
		}
		return !memcmp(name, "trailer", 7);
	case 10:
		if (!memcmp(name, "connection", 10)) {
			g->bad |= !take_connection(g, f);
			return true;
		}
		return !memcmp(name, "keep-alive", 10);
	case 14:
		if (memcmp(name, "content-length", 14))
			return false;
		g->lengths++;
		g->length = parse_length(f->value, f->value_len);
		g->bad |= g->length < 0;
		return true;
	case 16:
		return !memcmp(name, "proxy-connection", 16);
	case 17:
		if (memcmp(name, "transfer-encoding", 17))
			return false;
		g->codings++;
		g->chunked = same(f->value, f->value_len, "chunked");
		return true;
	case 18:
		return !memcmp(name, "proxy-authenticate", 18);
	case 19:
		return !memcmp(name, "proxy-authorization", 19);
	case 25:
		return !memcmp(name, "proxy-authentication-info", 25);
	default:
		return false;
	}
}

/* Fields that Connection may not take away: they belong to the message. */
static bool end_to_end(const struct field *f)
{
	static const char *const names[] = {"content-type", "content-encoding", "cache-control",
		"set-cookie", "vary", "location", "etag", "content-range"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (f->name_len == strlen(names[i]) && !memcmp(f->name, names[i], f->name_len))
			return true;
	return false;
}

static void drop_nominated(struct up_head *h, const struct gathered *g)
{
	for (unsigned i = 0; i < g->connections; i++) {
		const struct field *c = &g->connection[i];
		unsigned kept = 0;

		for (unsigned k = 0; k < h->nfields; k++)
			if (end_to_end(&h->fields[k]) ||
				!list_has(c->value, c->value_len, &h->fields[k]))
				h->fields[kept++] = h->fields[k];
		h->nfields = kept;
	}
}

static int parse_fields(struct cursor *c, struct up_head *h, struct gathered *g)
{
	unsigned lines = 0;

	for (;;) {
		struct field f;
		int res = parse_field(c, &f);

		if (res == 2)
			break;
		if (res <= 0)
			return res < 0 ? -CLOSE_UP_GARBAGE : 0;
		if (++lines > REQ_FIELDS_MAX)
			return -CLOSE_UP_GARBAGE;
		if (!take_known(h, g, &f))
			h->fields[h->nfields++] = f;
	}
	if (g->connections)
		drop_nominated(h, g);
	return 1;
}

/* How long is the body (RFC 9112 section 6.3)? False: that can be read in two ways. */
static bool check_framing(struct up_head *h, struct gathered *g, bool to_head, struct up_parsed *ret)
{
	bool bodiless = to_head || h->status < 200 || h->status == 204 || h->status == 304;

	if (g->bad || g->lengths > 1 || g->codings > 1 || (g->codings && g->lengths))
		return false;
	if (g->codings && (!g->chunked || ret->version_minor == 0))
		return false;
	h->content_length = g->lengths ? g->length : -1;
	ret->keep = !g->close && (ret->version_minor > 0 || g->keep_alive);
	if (bodiless) {
		/* A backend that says so and sends one all the same must not be heard twice. */
		if ((h->status < 200 || h->status == 204) && (g->codings || g->length > 0))
			ret->keep = false;
		if (h->status < 200 || h->status == 204)
			h->content_length = 0;
		ret->framing = UP_FRAMED_NONE;
	} else if (g->codings) {
		ret->framing = UP_FRAMED_CHUNKED;
	} else if (g->lengths) {
		ret->framing = g->length ? UP_FRAMED_LENGTH : UP_FRAMED_NONE;
	} else {
		ret->framing = UP_FRAMED_CLOSE;
		ret->keep = false;
	}
	return true;
}

int up_parse_head(char *p, size_t n, bool to_head, struct up_head *ret_head, struct up_parsed *ret)
{
	struct cursor c = {p, p + n, p};
	struct up_head *h = ret_head;
	struct gathered g = {.length = 0};
	int res;

	h->nfields = 0;
	h->upgrade = NULL;
	h->upgrade_len = 0;
	res = parse_status(&c, h, ret);
	if (res > 0)
		res = parse_fields(&c, h, &g);
	if (res == 0 && n >= UP_HEAD_MAX)
		return -CLOSE_UP_GARBAGE;
	if (res <= 0)
		return res;
	if ((size_t)(c.p - p) > UP_HEAD_MAX || !check_framing(h, &g, to_head, ret))
		return -CLOSE_UP_GARBAGE;
	if (h->status == 101 && g.upgrades != 1)
		return -CLOSE_UP_GARBAGE;
	if (h->status != 101)
		h->upgrade = NULL;
	return (int)(c.p - p);
}
