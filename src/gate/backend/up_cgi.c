/*
 * up_cgi.c: the head of a CGI program's answer; see up_cgi.h. Called by up_fastcgi.c and the fuzz target.
 * Owns nothing; writes only into the bytes it is given.
 *
 * Without Status the answer is 302 when there is a Location, else 200 (RFC 3875 section 6.3.3). A Location
 * that is a path alone goes to the client too, who asks for it: followed here (section 6.2.2) it would lead
 * past the rules of the route that it names.
 *
 * Accepted although a narrower reading would refuse it, and why:
 *   - lines that end with LF alone: what "a newline" is, is the system's (section 6.2);
 *   - no field at all, as PHP writes where it is told to send none;
 *   - fields of the connection, Transfer-Encoding among them, which are dropped: they are not the program's
 *     to say (section 6.3.4), and its records alone say where the body ends.
 * Refused: a status line; two Status, Location, Content-Type or Content-Length, equal ones too; 1xx.
 */
#include "up_cgi.h"
#include "http1_field.h"

struct gathered {
	unsigned statuses, locations, types, lengths;
};

static bool is(const struct field *f, const char *name)
{
	return f->name_len == strlen(name) && !memcmp(f->name, name, f->name_len);
}

/* "404 Not Found", or "404". */
static bool take_status(struct up_head *h, const struct field *f)
{
	const char *p = f->value;

	if (f->value_len < 3 || (f->value_len > 3 && p[3] != ' '))
		return false;
	for (unsigned i = 0; i < 3; i++)
		if (p[i] < '0' || p[i] > '9')
			return false;
	h->status = (uint16_t)((p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0'));
	h->reason = f->value_len > 4 ? p + 4 : "";
	h->reason_len = f->value_len > 4 ? f->value_len - 4 : 0;
	return h->status >= 200 && h->status <= 599;
}

static bool is_of_connection(const struct field *f)
{
	static const char *const names[] = {"connection", "keep-alive", "proxy-authenticate",
		"proxy-authentication-info", "proxy-authorization", "proxy-connection", "te", "trailer",
		"transfer-encoding", "upgrade"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (is(f, names[i]))
			return true;
	return false;
}

/* False: it is wrong, or it is there twice. */
static bool take_field(struct up_head *h, struct gathered *g, const struct field *f)
{
	if (is(f, "status"))
		return ++g->statuses == 1 && take_status(h, f);
	if (is(f, "content-length")) {
		h->content_length = parse_length(f->value, f->value_len);
		return ++g->lengths == 1 && h->content_length >= 0;
	}
	if (is_of_connection(f))
		return true;
	if (is(f, "location") && ++g->locations > 1)
		return false;
	if (is(f, "content-type") && ++g->types > 1)
		return false;
	h->fields[h->nfields++] = *f;
	return true;
}

int up_cgi_parse(char *p, size_t n, struct up_head *ret_head)
{
	struct cursor c = {p, p + n, p};
	struct up_head *h = ret_head;
	struct gathered g = {0};
	unsigned lines = 0;
	struct field f;
	int res;

	h->status = 0;
	h->reason = h->upgrade = "";
	h->reason_len = h->upgrade_len = h->nfields = 0;
	h->content_length = -1;
	while ((res = parse_field_as(&c, &f, true)) == 1)
		if (++lines > REQ_FIELDS_MAX || !take_field(h, &g, &f))
			return -CLOSE_UP_GARBAGE;
	if (res < 0 || (size_t)(c.p - p) > UP_HEAD_MAX || (res == 0 && n > UP_HEAD_MAX))
		return -CLOSE_UP_GARBAGE;
	if (res == 0)
		return 0;
	if (!h->status)
		h->status = g.locations ? 302 : 200;
	if (h->status == 204)
		h->content_length = 0;
	return (int)(c.p - p);
}

size_t up_cgi_scan(const char *p, size_t n, size_t *scanned)
{
	for (size_t i = *scanned; i < n; i++) {
		size_t before = i && p[i - 1] == '\r' ? i - 1 : i;

		if (p[i] == '\n' && (before == 0 || p[before - 1] == '\n'))
			return i + 1;
	}
	*scanned = n;
	return 0;
}
