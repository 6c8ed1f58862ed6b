/*
 * outbuf.h: pooled pieces of an answer that a slow client has not taken yet, charged to the gate's
 * budget. Both versions of HTTP hold their output in them.
 */
#ifndef STEAD_GATE_OUTBUF_H
#define STEAD_GATE_OUTBUF_H

#include "gate.h"

enum { OUTBUF_BYTES = 16 * 1024 };

struct outbuf {
	struct outbuf *next;
	uint32_t at, len;
	char bytes[OUTBUF_BYTES - 16];
};

/* Buffers in order: bytes come in at the end and go at the front. Zeroed: empty. */
struct outq {
	struct outbuf *first, *last;
	uint32_t bytes; /* in all of them */
};

/* NULL: no memory, or the gate's budget is used up. */
struct outbuf *outbuf_new(struct gate *g);
void outbuf_free(struct gate *g, struct outbuf *b);
/* Spare buffers, at the gate's end. */
void outbuf_free_spares(struct gate *g);

/* Room for at least one byte at the end of the queue: where, and how much; the caller says with
 * outq_filled() how much of it there is now. NULL: as outbuf_new(). */
char *outq_room(struct gate *g, struct outq *q, size_t *ret_n);
void outq_filled(struct outq *q, size_t n);
/* Copy n bytes to the end. False: as outbuf_new(); a part of them may stand there. */
bool outq_put(struct gate *g, struct outq *q, const char *p, size_t n);
/* The first n bytes are not needed any more. */
void outq_drop(struct gate *g, struct outq *q, size_t n);
void outq_done(struct gate *g, struct outq *q);
/* Move the first n bytes of `from` to the end of `to`. False: as outq_put(). */
bool outq_move(struct gate *g, struct outq *to, struct outq *from, size_t n);

#endif
