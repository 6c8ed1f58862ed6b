/*
 * encoding.h: content codings (RFC 9110 section 8.4): which one the client takes, and encoders.
 *
 * No request, no socket: what the fuzz target runs is all of it.
 */
#ifndef STEAD_GATE_ENCODING_H
#define STEAD_GATE_ENCODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order of preference, the last the most: zstd costs the least CPU for a byte of text (measured:
 * see encoder.c), then brotli, then gzip. */
enum coding { CODING_IDENTITY = 0, CODING_GZIP, CODING_BR, CODING_ZSTD, CODING_END };
extern const char *const coding_names[CODING_END];
/* ".gz", ".br", ".zst". */
extern const char *const coding_extensions[CODING_END];

/* The codings that an Accept-Encoding field (RFC 9110 section 12.5.3) takes: a bit each, with those of a
 * lower weight left out where a higher one is there. Bit CODING_IDENTITY is always set: nobody is refused
 * for want of it. */
unsigned encoding_accepted(const char *p, size_t n);
/* The best of these bits. */
enum coding encoding_best(unsigned codings);
/* Is it worth it: texts, and formats that are texts? Parameters behind ';' do not matter. */
bool encoding_worth(const char *type, size_t n);

enum encoder_op { ENCODER_GO, ENCODER_FLUSH, ENCODER_END };
struct encoder {
	struct encoder *next; /* the owner's */
	uint8_t coding;
	void *state;
};
/* NULL: no memory. */
struct encoder *encoder_new(enum coding coding);
void encoder_free(struct encoder *e);
/* Ready for another text. False: make a new one. */
bool encoder_reset(struct encoder *e);
/* Take from *in, give to *out; both and their lengths are moved on. 1: all of the input is taken and, for
 * FLUSH and END, everything is out; 0: more room is needed; -1: it failed. */
int encoder_run(struct encoder *e, enum encoder_op op, const char **in, size_t *n, char **out, size_t *room);

#endif
