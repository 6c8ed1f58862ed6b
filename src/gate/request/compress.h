/*
 * compress.h: Compress=: answers that are texts go out encoded, as the client takes them.
 */
#ifndef STEAD_GATE_COMPRESS_H
#define STEAD_GATE_COMPRESS_H

#include "encoding.h"
#include "filter.h"

enum { COMPRESS_BYTES_MIN = 1024, COMPRESS_ACTIVE_MAX = 32 };

extern const struct filter_ops compress_filter;
/* The codings that this request's answer may have: bits as encoding_accepted(). */
unsigned compress_accepted(const struct req *r);
/* Say that the answer depends on Accept-Encoding (RFC 9110 section 12.5.5). */
int compress_vary(struct req *r, struct resp_head *h);
/* Spare encoders, at the gate's end. */
void compress_free(struct gate *g);

#endif
