/*
 * record.c: an access record to bytes, back, and to members of JSON.
 *
 * Called by the gate's access.c (record_put), by the log process and tests (the rest). Owns nothing.
 * record_get() takes nothing for granted: each length is checked against what is there.
 */
#include "record/record.h"
#include "lib/must.h"

#include <endian.h>
#include <errno.h>

/* Their sum and the head are below RECORD_RAW_MAX; a byte can become six in JSON, and four in a line. */
const uint16_t record_text_max[RECORD_TEXTS] = {
	[RECORD_SITE] = 64,
	[RECORD_CLIENT] = 48,
	[RECORD_USER] = 128,
	[RECORD_METHOD] = 32,
	[RECORD_TARGET] = 2048,
	[RECORD_HOST] = 256,
	[RECORD_REFERER] = 1024,
	[RECORD_AGENT] = 512,
	[RECORD_ID] = 128,
	[RECORD_UPSTREAM] = 64,
	[RECORD_SERVER] = 128,
	[RECORD_CACHE] = 32,
	[RECORD_TLS] = 16,
	[RECORD_CIPHER] = 48,
	[RECORD_SNI] = 256,
	[RECORD_SUBJECT] = 512,
	[RECORD_FORMAT] = RECORD_FORMAT_MAX,
};

size_t record_put(struct record *r, char *mem)
{
	char *to = mem + sizeof(r->head);

	r->head.bytes = sizeof(r->head);
	r->head.cut = 0;
	for (unsigned i = 0; i < RECORD_TEXTS; i++) {
		size_t n = r->text[i].n;

		if (n > record_text_max[i]) {
			n = record_text_max[i];
			r->head.cut |= 1u << i;
		}
		r->head.len[i] = (uint16_t)n;
		if (n)
			memcpy(to, r->text[i].p, n);
		to += n;
	}
	memset(r->head.pad, 0, sizeof(r->head.pad));
	memcpy(mem, &r->head, sizeof(r->head));
	return (size_t)(to - mem);
}

int record_get(const char *p, size_t n, struct record *ret)
{
	size_t at;

	if (n < sizeof(ret->head))
		return -EBADMSG;
	memcpy(&ret->head, p, sizeof(ret->head));
	at = ret->head.bytes;
	if (at < sizeof(ret->head) || at > n || ret->head.close >= CLOSE_END)
		return -EBADMSG;
	for (unsigned i = 0; i < RECORD_TEXTS; i++) {
		size_t len = ret->head.len[i];

		if (len > record_text_max[i] || len > n - at)
			return -EBADMSG;
		ret->text[i] = (struct record_str){p + at, len};
		at += len;
	}
	return at == n ? 0 : -EBADMSG;
}

static const char digits[] = "0123456789abcdef";
#define EACH(byte) (0x0101010101010101ull * (byte))

/* Eight digits at once: each forwarded request is told its id. */
static void put_hex(char to[static 8], uint32_t v)
{
	uint64_t x = htobe32(v);

	x = le32toh((uint32_t)x);
	x = (x | x << 16) & 0x0000ffff0000ffffull;
	x = (x | x << 8) & 0x00ff00ff00ff00ffull;
	x = (x >> 4 | x << 8) & EACH(15);
	x += EACH('0') + ((x + EACH(6)) >> 4 & EACH(1)) * ('a' - '0' - 10);
	x = htole64(x);
	memcpy(to, &x, 8);
}

void record_id(const uint64_t id[2], char ret[33])
{
	for (unsigned i = 0; i < 2; i++) {
		put_hex(ret + 16 * i, (uint32_t)(id[i] >> 32));
		put_hex(ret + 16 * i + 8, (uint32_t)id[i]);
	}
	ret[32] = 0;
}

struct record_str record_request_id(const struct record *r, char mem[33])
{
	if (r->text[RECORD_ID].n)
		return r->text[RECORD_ID];
	if (!r->head.id[0] && !r->head.id[1])
		return (struct record_str){"", 0};
	record_id(r->head.id, mem);
	return (struct record_str){mem, 32};
}

/* A string whose end is shown as cut. NUL, which many readers refuse, is no character of a text. */
static void put_string(struct buf *b, struct record_str s, bool cut)
{
	char mem[2048];

	must(s.n <= sizeof(mem)); /* the bound of the longest, which record_get() holds */
	if (s.n && memchr(s.p, 0, s.n)) {
		for (size_t i = 0; i < s.n; i++)
			mem[i] = s.p[i] ? s.p[i] : (char)0xff;
		s.p = mem;
	}
	buf_put_json(b, s.p, s.n);
	if (cut && !b->error) {
		b->len--;
		buf_puts(b, "\xe2\x80\xa6\"");
	}
}

static inline void put_text(struct buf *b, const struct record *r, enum record_text i, const char *name, bool always)
{
	if (!always && !r->text[i].n)
		return;
	buf_puts(b, ",\"");
	buf_puts(b, name);
	buf_puts(b, "\":");
	put_string(b, r->text[i], r->head.cut >> i & 1);
}

static inline void put_number(struct buf *b, const char *name, uint64_t v)
{
	buf_puts(b, ",\"");
	buf_puts(b, name);
	buf_puts(b, "\":");
	/* Beyond it many readers of JSON fail; no honest gate comes there. */
	buf_putu(b, min_of(v, (uint64_t)INT64_MAX));
}

/* Milliseconds with their thousandths. */
static void put_ms(struct buf *b, const char *name, uint64_t us)
{
	unsigned part = (unsigned)(us % 1000);
	const char text[] = {'.', digits[part / 100], digits[part / 10 % 10], digits[part % 10]};

	put_number(b, name, us / 1000);
	buf_put(b, text, sizeof(text));
}

static void put_upstream(struct buf *b, const struct record *r)
{
	if (!r->text[RECORD_UPSTREAM].n)
		return;
	put_text(b, r, RECORD_UPSTREAM, "upstream", true);
	put_text(b, r, RECORD_SERVER, "server", false);
	if (r->head.upstream_status) {
		put_number(b, "upstream_status", r->head.upstream_status);
		put_ms(b, "upstream_ms", r->head.upstream_us);
	}
}

static void put_close(struct buf *b, const struct record *r)
{
	buf_puts(b, ",\"close\":\"");
	buf_puts(b, close_rows[r->head.close].name);
	buf_putc(b, '"');
}

/* A connection that was passed on. */
static void put_tcp(struct buf *b, const struct record *r)
{
	put_text(b, r, RECORD_UPSTREAM, "tcp", true);
	put_text(b, r, RECORD_CLIENT, "client", true);
	if (r->head.port)
		put_number(b, "port", r->head.port);
	put_text(b, r, RECORD_SERVER, "server", true);
	put_number(b, "bytes_in", r->head.body_in);
	put_number(b, "bytes_out", r->head.body_out);
	put_number(b, "tries", r->head.number);
	put_ms(b, "connect_ms", r->head.upstream_us);
	put_ms(b, "ms", r->head.whole_us);
	put_close(b, r);
}

void record_members(struct buf *b, const struct record *r)
{
	char mem[33];

	if (r->head.flags & RECORD_IS_TCP) {
		put_tcp(b, r);
		return;
	}
	put_text(b, r, RECORD_SITE, "site", true);
	put_text(b, r, RECORD_CLIENT, "client", true);
	if (r->head.port)
		put_number(b, "port", r->head.port);
	put_text(b, r, RECORD_USER, "user", false);
	put_text(b, r, RECORD_METHOD, "method", true);
	put_text(b, r, RECORD_TARGET, "target", true);
	buf_puts(b, ",\"protocol\":\"");
	buf_puts(b, record_protocol(r));
	buf_putc(b, '"');
	if (r->head.flags & RECORD_IS_TLS)
		buf_puts(b, ",\"scheme\":\"https\"");
	put_text(b, r, RECORD_HOST, "host", true);
	put_number(b, "status", r->head.status);
	put_number(b, "bytes", r->head.body_out);
	if (r->head.body_in)
		put_number(b, "received", r->head.body_in);
	put_ms(b, "ms", r->head.whole_us);
	if (r->head.flags & RECORD_HAS_FIRST)
		put_ms(b, "first_ms", r->head.first_us);
	put_text(b, r, RECORD_REFERER, "referer", false);
	put_text(b, r, RECORD_AGENT, "agent", false);
	put_upstream(b, r);
	put_text(b, r, RECORD_CACHE, "cache", false);
	put_text(b, r, RECORD_TLS, "tls", false);
	put_text(b, r, RECORD_CIPHER, "cipher", false);
	put_text(b, r, RECORD_SNI, "sni", false);
	put_text(b, r, RECORD_SUBJECT, "subject", false);
	buf_puts(b, ",\"id\":");
	put_string(b, record_request_id(r, mem), r->head.cut >> RECORD_ID & 1);
	put_close(b, r);
}

const char *record_protocol(const struct record *r)
{
	if (r->head.flags & RECORD_HTTP_2)
		return "HTTP/2.0";
	return r->head.flags & RECORD_HTTP_1_0 ? "HTTP/1.0" : "HTTP/1.1";
}
