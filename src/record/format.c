/*
 * format.c: lines of text from access records: the combined format, and formats that the user wrote.
 *
 * Called by conf (is this a format?), by the log process and by `stead logs`. Owns nothing but what
 * struct record_lines keeps. The escaping is nginx's: a byte below 0x20 or above 0x7e, a double quote and
 * a backslash become \xHH, so that whatever a client sends a line stays one line and a quoted value stays
 * in its quotes.
 */
#include "record/record.h"
#include "lib/must.h"

#include <errno.h>
#include <stdio.h>

const char record_combined[] = "$remote_addr - $remote_user [$time_local] \"$request\" $status "
			       "$body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

static bool in_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static enum logvar find(const char *name, size_t n)
{
	for (enum logvar v = 0; v < LOGVAR_END; v++)
		if (strlen(logvar_rows[v].name) == n && !memcmp(logvar_rows[v].name, name, n))
			return v;
	return LOGVAR_END;
}

/* Behind the dollar at text[at - 1]: a variable. *ret_next: behind it. */
static int parse_name(const char *text, size_t n, size_t at, enum logvar *ret_var, size_t *ret_next,
	size_t *ret_at, size_t *ret_len)
{
	bool braces = at < n && text[at] == '{';
	size_t from = at + braces, to = from;

	while (to < n && in_name(text[to]))
		to++;
	*ret_at = at - 1;
	*ret_len = to - at + 1;
	*ret_var = find(text + from, to - from);
	*ret_next = to + braces;
	if (to == from || (braces && (to == n || text[to] != '}')) || *ret_var == LOGVAR_END) {
		if (to > from) {
			*ret_at = from;
			*ret_len = to - from;
		}
		return -EINVAL;
	}
	return 0;
}

static int add(struct record_format *f, size_t from, size_t to, enum logvar var)
{
	if (f->n == RECORD_PARTS_MAX)
		return -E2BIG;
	f->part[f->n].from = (uint16_t)from;
	f->part[f->n].len = (uint16_t)(to - from);
	f->part[f->n++].var = (uint8_t)var;
	return 0;
}

int record_format_parse(const char *text, size_t n, struct record_format *ret, size_t *ret_at, size_t *ret_len)
{
	size_t from = 0, at = 0, next;
	enum logvar var;
	int err = 0;

	ret->n = 0;
	*ret_at = *ret_len = 0;
	if (n > RECORD_FORMAT_MAX)
		return -E2BIG;
	while (at < n && !err) {
		if (text[at++] != '$')
			continue;
		if (at < n && text[at] == '$') {
			err = add(ret, from, at, LOGVAR_END);
			from = ++at;
			continue;
		}
		err = parse_name(text, n, at, &var, &next, ret_at, ret_len);
		if (!err)
			err = add(ret, from, at - 1, var);
		from = at = next;
	}
	return err ? err : add(ret, from, n, LOGVAR_END);
}

static void put_escaped(struct buf *b, const char *p, size_t n, bool cut)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t plain = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];
		char hex[4] = {'\\', 'x', digits[c >> 4], digits[c & 15]};

		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\')
			continue;
		buf_put(b, p + plain, i - plain);
		buf_put(b, hex, sizeof(hex));
		plain = i + 1;
	}
	if (n > plain)
		buf_put(b, p + plain, n - plain);
	if (cut)
		buf_puts(b, "...");
}

static void put_text(struct buf *b, const struct record *r, enum record_text i)
{
	if (r->text[i].n)
		put_escaped(b, r->text[i].p, r->text[i].n, r->head.cut >> i & 1);
	else
		buf_putc(b, '-');
}

/* METHOD TARGET PROTOCOL; of a head that was not understood, what is known of it. */
static void put_request(struct buf *b, const struct record *r)
{
	if (!r->text[RECORD_METHOD].n) {
		buf_putc(b, '-');
		return;
	}
	put_text(b, r, RECORD_METHOD);
	if (!r->text[RECORD_TARGET].n)
		return;
	buf_putc(b, ' ');
	put_text(b, r, RECORD_TARGET);
	buf_putc(b, ' ');
	buf_puts(b, record_protocol(r));
}

/* The target before its question mark, or behind it. */
static void put_target(struct buf *b, const struct record *r, bool query)
{
	struct record_str t = r->text[RECORD_TARGET];
	const char *mark = t.n ? memchr(t.p, '?', t.n) : NULL;
	size_t before = mark ? (size_t)(mark - t.p) : t.n;
	const char *p = query && mark ? mark + 1 : t.p;
	size_t n = query ? (mark ? t.n - before - 1 : 0) : before;

	if (n)
		put_escaped(b, p, n, (r->head.cut >> RECORD_TARGET & 1) && (query || !mark));
	else
		buf_putc(b, '-');
}

static void put_seconds(struct buf *b, uint64_t us, bool known)
{
	if (known)
		buf_printf(b, "%llu.%03llu", (unsigned long long)(us / 1000000),
			(unsigned long long)(us / 1000 % 1000));
	else
		buf_putc(b, '-');
}

static void put_status(struct buf *b, unsigned status, const char *none)
{
	if (status)
		buf_putu(b, status);
	else
		buf_puts(b, none);
}

/* Both texts of this second. */
static void keep_second(struct record_lines *l, uint64_t wall_us)
{
	time_t s = (time_t)(wall_us / 1000000);
	struct tm tm;
	size_t n;

	if (l->local[0] && l->second == s)
		return;
	if (s < 0 || s > 253402300799 || !localtime_r(&s, &tm))
		tm = (struct tm){.tm_year = 70, .tm_mday = 1};
	l->second = s;
	if (!strftime(l->local, sizeof(l->local), "%d/%b/%Y:%H:%M:%S %z", &tm))
		l->local[0] = 0;
	n = strftime(l->iso, sizeof(l->iso), "%Y-%m-%dT%H:%M:%S%z", &tm);
	/* +0100 as ISO 8601 writes it beside hours with a colon. */
	if (n > 5 && n + 2 < sizeof(l->iso)) {
		memmove(l->iso + n - 1, l->iso + n - 2, 3);
		l->iso[n - 2] = ':';
	}
}

static void put_id(struct buf *b, const struct record *r)
{
	char mem[33];
	struct record_str id = record_request_id(r, mem);

	if (id.n)
		put_escaped(b, id.p, id.n, r->head.cut >> RECORD_ID & 1);
	else
		buf_putc(b, '-');
}

/* Variables that are one text of the record: its number + 1. */
static const uint8_t texts[LOGVAR_END] = {
	[LOGVAR_REMOTE_ADDR] = RECORD_CLIENT + 1,
	[LOGVAR_REMOTE_USER] = RECORD_USER + 1,
	[LOGVAR_REQUEST_METHOD] = RECORD_METHOD + 1,
	[LOGVAR_REQUEST_URI] = RECORD_TARGET + 1,
	[LOGVAR_HOST] = RECORD_HOST + 1,
	[LOGVAR_SITE] = RECORD_SITE + 1,
	[LOGVAR_HTTP_REFERER] = RECORD_REFERER + 1,
	[LOGVAR_HTTP_USER_AGENT] = RECORD_AGENT + 1,
	[LOGVAR_UPSTREAM] = RECORD_UPSTREAM + 1,
	[LOGVAR_UPSTREAM_ADDR] = RECORD_SERVER + 1,
	[LOGVAR_CACHE_STATUS] = RECORD_CACHE + 1,
	[LOGVAR_SSL_PROTOCOL] = RECORD_TLS + 1,
	[LOGVAR_SSL_CIPHER] = RECORD_CIPHER + 1,
	[LOGVAR_SSL_SERVER_NAME] = RECORD_SNI + 1,
	[LOGVAR_SSL_CLIENT_S_DN] = RECORD_SUBJECT + 1,
};

static void put_time(struct record_lines *l, struct buf *b, uint64_t wall_us, enum logvar var)
{
	keep_second(l, wall_us);
	if (var == LOGVAR_MSEC)
		put_seconds(b, wall_us, true);
	else
		buf_puts(b, var == LOGVAR_TIME_LOCAL ? l->local : l->iso);
}

static void put_number(struct buf *b, const struct record *r, enum logvar var)
{
	const struct record_head *h = &r->head;

	switch (var) {
	case LOGVAR_REMOTE_PORT:
		put_status(b, h->port, "-");
		break;
	case LOGVAR_STATUS:
		put_status(b, h->status, "000");
		break;
	case LOGVAR_BODY_BYTES_SENT:
		buf_putu(b, h->body_out);
		break;
	case LOGVAR_REQUEST_LENGTH:
		buf_putu(b, h->body_in);
		break;
	case LOGVAR_REQUEST_TIME:
		put_seconds(b, h->whole_us, true);
		break;
	case LOGVAR_FIRST_BYTE_TIME:
		put_seconds(b, h->first_us, h->flags & RECORD_HAS_FIRST);
		break;
	case LOGVAR_UPSTREAM_STATUS:
		put_status(b, h->upstream_status, "-");
		break;
	case LOGVAR_UPSTREAM_RESPONSE_TIME:
		put_seconds(b, h->upstream_us, h->upstream_status != 0);
		break;
	default:
		buf_putc(b, '-');
		break;
	}
}

static void put_var(struct record_lines *l, struct buf *b, uint64_t wall_us, const struct record *r,
	enum logvar var)
{
	const char *close = close_rows[r->head.close].name;

	switch (var) {
	case LOGVAR_TIME_LOCAL:
	case LOGVAR_TIME_ISO8601:
	case LOGVAR_MSEC:
		put_time(l, b, wall_us, var);
		break;
	case LOGVAR_REQUEST:
		put_request(b, r);
		break;
	case LOGVAR_URI:
		put_target(b, r, false);
		break;
	case LOGVAR_ARGS:
		put_target(b, r, true);
		break;
	case LOGVAR_SERVER_PROTOCOL:
		buf_puts(b, record_protocol(r));
		break;
	case LOGVAR_SCHEME:
		buf_puts(b, r->head.flags & RECORD_IS_TLS ? "https" : "http");
		break;
	case LOGVAR_REQUEST_ID:
		put_id(b, r);
		break;
	case LOGVAR_CLOSE:
		buf_puts(b, close ? close : "-");
		break;
	default:
		put_number(b, r, var);
		break;
	}
}

/* The parsed format of r and its text; NULL: it is none. */
static const struct record_format *format_of(struct record_lines *l, const struct record *r, const char **ret_text)
{
	struct record_str s = r->text[RECORD_FORMAT];
	size_t at, len;

	*ret_text = record_combined;
	if (!s.n && !l->has_combined) {
		int err = record_format_parse(
			record_combined, strlen(record_combined), &l->combined, &at, &len);

		must(!err);
		l->has_combined = true;
	}
	if (!s.n)
		return &l->combined;
	*ret_text = l->custom_text;
	if (l->has_custom && l->custom_len == s.n && !memcmp(l->custom_text, s.p, s.n))
		return &l->custom;
	l->has_custom = record_format_parse(s.p, s.n, &l->custom, &at, &len) == 0;
	if (!l->has_custom)
		return NULL;
	memcpy(l->custom_text, s.p, s.n);
	l->custom_len = s.n;
	return &l->custom;
}

int record_line(struct record_lines *l, struct buf *b, uint64_t wall_us, const struct record *r)
{
	const char *text;
	const struct record_format *f = format_of(l, r, &text);

	if (!f)
		return -EINVAL;
	for (unsigned i = 0; i < f->n; i++) {
		enum logvar var = f->part[i].var;

		buf_put(b, text + f->part[i].from, f->part[i].len);
		if (var >= LOGVAR_END)
			continue;
		if (texts[var])
			put_text(b, r, (enum record_text)(texts[var] - 1));
		else
			put_var(l, b, wall_us, r, var);
	}
	return 0;
}
