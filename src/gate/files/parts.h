/*
 * parts.h: several ranges of one file in one answer, multipart/byteranges (RFC 9110 section 14.6).
 */
#ifndef STEAD_GATE_PARTS_H
#define STEAD_GATE_PARTS_H

#include "filecache.h"
#include "range.h"
#include "req.h"

struct parts;
/* Answer r with n ranges (2 … RANGES_MAX) of the file, which the caller holds until the request ends. `h` is the
 * answer's head but its length, `type` the Content-Type among its fields. The request's own memory; NULL: the request has
 * been failed. */
struct parts *parts_begin(struct req *r, const struct file *file, const struct range *ranges, unsigned n,
	struct resp_head *h, struct field *type);
/* Go on: there is room. */
void parts_push(struct req *r, struct parts *m);

#endif
