/*
 * buf.c: a growing byte string whose error sticks, and packed fields in it. Called by every part;
 * owns its memory unless fixed. Never terminates the program and never reports an error twice.
 */
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/visible.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool buf_valid(const struct buf *b)
{
	if (b->len > b->cap || b->cap > b->max || (b->cap && !b->p))
		return false;
	return b->error == 0 || b->error == -ENOMEM || b->error == -EOVERFLOW;
}

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void buf_fixed(struct buf *b, void *mem, size_t cap)
{
	*b = (struct buf){.p = mem, .cap = cap, .max = cap, .fixed = true};
}

void buf_done(struct buf *b)
{
	if (!b->fixed)
		free(b->p);
	*b = (struct buf){.max = b->max};
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->error = 0;
}

char *buf_room(struct buf *b, size_t n)
{
	size_t cap;
	char *p;

	if (b->error)
		return NULL;
	if (n <= b->cap - b->len)
		return b->p ? b->p + b->len : (char *)"";
	/* A fixed one is at its maximum from the beginning. */
	if (n > b->max - b->len) {
		b->error = -EOVERFLOW;
		return NULL;
	}
	cap = b->cap < 64 ? 64 : b->cap;
	while (cap < b->len + n)
		cap = cap > b->max / 2 ? b->max : cap * 2;
	cap = min_of(cap, b->max);
	p = realloc(b->p, cap);
	if (!p) {
		b->error = -ENOMEM;
		return NULL;
	}
	b->p = p;
	b->cap = cap;
	return p + b->len;
}

void buf_grew(struct buf *b, size_t n)
{
	must(!b->error && n <= b->cap - b->len);
	b->len += n;
}

void buf_put_slow(struct buf *b, const void *p, size_t n)
{
	char *to = n ? buf_room(b, n) : NULL;

	if (!to)
		return;
	memcpy(to, p, n);
	b->len += n;
}

void buf_putu(struct buf *b, uint64_t n)
{
	char text[20];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	buf_put(b, text + at, sizeof(text) - at);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	size_t room = b->cap - b->len;
	va_list ap;
	char *to;
	int n;

	if (b->error)
		return;
	va_start(ap, fmt);
	n = vsnprintf(room ? b->p + b->len : NULL, room, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->error = -EOVERFLOW;
		return;
	}
	if ((size_t)n < room || n == 0) {
		b->len += (size_t)n;
		return;
	}
	/* vsnprintf() writes a NUL too; a text that fits exactly but for that is written aside. */
	if ((size_t)n == b->max - b->len) {
		char *text = malloc((size_t)n + 1);

		if (!text) {
			b->error = -ENOMEM;
			return;
		}
		va_start(ap, fmt);
		vsnprintf(text, (size_t)n + 1, fmt, ap);
		va_end(ap);
		buf_put(b, text, (size_t)n);
		free(text);
		return;
	}
	to = buf_room(b, (size_t)n + 1);
	if (!to)
		return;
	va_start(ap, fmt);
	vsnprintf(to, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

/* One control character, quote or backslash. */
static void put_json_escaped(struct buf *b, unsigned char c)
{
	static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	for (size_t i = 0; i + 1 < sizeof(named); i += 2) {
		if ((unsigned char)named[i] == c) {
			buf_putc(b, '\\');
			buf_putc(b, named[i + 1]);
			return;
		}
	}
	buf_printf(b, "\\u%04x", c);
}

#define EACH(byte) (0x0101010101010101ull * (byte))

/* Has a byte of these eight that value? A borrow may say yes of the byte above one that has. */
static uint64_t with(uint64_t eight, uint64_t value)
{
	uint64_t x = eight ^ EACH(value);

	return (x - EACH(1)) & ~x & EACH(0x80);
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* How many bytes from p on may stand in a JSON string as they are, found eight at a time: most of what is
 * written is such. */
static size_t plain_run(const unsigned char *p, size_t n)
{
	size_t i = 0;
	uint64_t w, odd;

	for (; i + 8 <= n; i += 8) {
		memcpy(&w, p + i, 8);
		w = le64toh(w);
		odd = ((w | (w - EACH(0x20))) & EACH(0x80)) | with(w, 0x7f) | with(w, '"') |
		      with(w, '\\');
		/* The lowest is one for certain. */
		if (odd)
			return i + (unsigned)__builtin_ctzll(odd) / 8;
	}
	while (i < n && is_plain(p[i]))
		i++;
	return i;
}

void buf_put_json(struct buf *b, const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t i = plain_run(p, n), plain = 0;

	buf_putc(b, '"');
	while (i < n) {
		size_t len = visible_utf8(s + i, n - i);

		if (len && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\' && p[i] != 0x7f) {
			i += len;
			continue;
		}
		buf_put(b, s + plain, i - plain);
		if (len)
			put_json_escaped(b, p[i]);
		else
			buf_puts(b, "\xef\xbf\xbd");
		plain = ++i;
		i += plain_run(p + i, n - i);
	}
	if (n > plain)
		buf_put(b, s + plain, n - plain);
	buf_putc(b, '"');
}

const char *buf_str(struct buf *b)
{
	char *end;

	if (b->error)
		return "";
	end = buf_room(b, 1);
	if (!end)
		return "";
	*end = 0;
	return b->p;
}

void buf_drop(struct buf *b, size_t n)
{
	must(n <= b->len);
	if (n && n < b->len)
		memmove(b->p, b->p + n, b->len - n);
	b->len -= n;
}

static void put_le(struct buf *b, uint64_t v, size_t n)
{
	unsigned char raw[8];

	for (size_t i = 0; i < n; i++)
		raw[i] = (unsigned char)(v >> 8 * i);
	buf_put(b, raw, n);
}

void pack_u32(struct buf *b, uint32_t v)
{
	put_le(b, v, 4);
}

void pack_u64(struct buf *b, uint64_t v)
{
	put_le(b, v, 8);
}

void pack_bytes(struct buf *b, const void *p, size_t n)
{
	if (n > UINT32_MAX) {
		if (!b->error)
			b->error = -EOVERFLOW;
		return;
	}
	pack_u32(b, (uint32_t)n);
	buf_put(b, p, n);
	buf_putc(b, 0);
}

void pack_str(struct buf *b, const char *s)
{
	pack_bytes(b, s ? s : "", s ? strlen(s) : 0);
}

void unpack_init(struct unpack *u, const void *p, size_t n)
{
	*u = (struct unpack){.p = p, .end = n ? (const char *)p + n : p};
}

static uint64_t get_le(struct unpack *u, size_t n)
{
	uint64_t v = 0;

	if (u->bad || (size_t)(u->end - u->p) < n) {
		u->bad = true;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)(unsigned char)u->p[i] << 8 * i;
	u->p += n;
	return v;
}

uint32_t unpack_u32(struct unpack *u)
{
	return (uint32_t)get_le(u, 4);
}

uint64_t unpack_u64(struct unpack *u)
{
	return get_le(u, 8);
}

const char *unpack_bytes(struct unpack *u, size_t *ret_n)
{
	size_t n = unpack_u32(u);
	const char *p = u->p;

	/* The NUL behind the bytes is counted in, so the comparison cannot be fooled by n. */
	if (u->bad || n >= (size_t)(u->end - u->p) || u->p[n] != 0) {
		u->bad = true;
		*ret_n = 0;
		return "";
	}
	u->p += n + 1;
	*ret_n = n;
	return p;
}

const char *unpack_str(struct unpack *u)
{
	size_t n;
	const char *p = unpack_bytes(u, &n);

	if (memchr(p, 0, n)) {
		u->bad = true;
		return "";
	}
	return p;
}

bool unpack_done(const struct unpack *u)
{
	return !u->bad && u->p == u->end;
}
