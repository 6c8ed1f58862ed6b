/*
 * buf.h: a growing byte string whose error sticks.
 *
 * Appending to a buf never needs a check: the first failure (out of memory, over the bound) sets
 * `error` and everything later is ignored; the builder checks once at the end. buf_fixed() builds in
 * memory that the caller owns and never allocates, which is the form the data plane uses.
 */
#ifndef STEAD_LIB_BUF_H
#define STEAD_LIB_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
	char *p;
	size_t len;
	size_t cap;
	size_t max;  /* never grows beyond; SIZE_MAX without a bound */
	int error;   /* 0, -ENOMEM or -EOVERFLOW, the first one */
	bool fixed;  /* memory is the caller's */
};

/* What is valid at any time; used by tests and must(). */
bool buf_valid(const struct buf *b);
void buf_init(struct buf *b, size_t max);
void buf_fixed(struct buf *b, void *mem, size_t cap);
void buf_done(struct buf *b);
/* Length 0, error cleared, memory kept. */
void buf_reset(struct buf *b);
void buf_put_slow(struct buf *b, const void *p, size_t n); /* buf_put() with any room, or none */
static inline void buf_put(struct buf *b, const void *p, size_t n)
{
	if (b->error || n > b->cap - b->len || n == 0) {
		buf_put_slow(b, p, n);
		return;
	}
	memcpy(b->p + b->len, p, n);
	b->len += n;
}
static inline void buf_puts(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}
static inline void buf_putc(struct buf *b, char c)
{
	buf_put(b, &c, 1);
}
void buf_putu(struct buf *b, uint64_t n);          /* decimal */
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A JSON string with its quotes: control characters, quotes, backslash escaped; bytes that are not
 * UTF-8 become U+FFFD (RFC 8259 section 7). */
void buf_put_json(struct buf *b, const char *s, size_t n);
/* Room for n more bytes; NULL with the error set when there is none. Commit with buf_grew(). */
char *buf_room(struct buf *b, size_t n);
void buf_grew(struct buf *b, size_t n);
/* The text with a NUL behind it (not counted); "" after an error. */
const char *buf_str(struct buf *b);
/* Remove n bytes from the front. */
void buf_drop(struct buf *b, size_t n);

/*
 * Packed fields for messages of variable shape: little-endian integers and length-prefixed strings,
 * written to a buf and read back with bounds checked. Reading past the end sets `bad` and yields 0 or
 * an empty string; the reader checks once.
 */
struct unpack {
	const char *p, *end;
	bool bad;
};
void pack_u32(struct buf *b, uint32_t v);
void pack_u64(struct buf *b, uint64_t v);
void pack_bytes(struct buf *b, const void *p, size_t n); /* u32 length, then the bytes, then one NUL */
void pack_str(struct buf *b, const char *s);             /* NULL is written as "" */
void unpack_init(struct unpack *u, const void *p, size_t n);
uint32_t unpack_u32(struct unpack *u);
uint64_t unpack_u64(struct unpack *u);
/* A NUL-terminated string inside the packed bytes; one with a NUL inside is `bad`. Never NULL. */
const char *unpack_str(struct unpack *u);
const char *unpack_bytes(struct unpack *u, size_t *ret_n);
/* True when nothing was bad and every byte was read. */
bool unpack_done(const struct unpack *u);

#endif
