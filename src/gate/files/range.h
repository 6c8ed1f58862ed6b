/*
 * range.h: Range fields (RFC 9110 section 14).
 */
#ifndef STEAD_GATE_RANGE_H
#define STEAD_GATE_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RANGES_MAX = 16 };

struct range {
	uint64_t from, len; /* within the file; len > 0 */
};

/* > 0: how many ranges, in ret_ranges (RANGES_MAX), in the order asked. 0: to be ignored, and the
 * whole be sent (another unit, malformed, too many, more bytes than the whole). -1: none of them
 * lies in the file (416). */
int range_parse(const char *p, size_t n, uint64_t size, struct range *ret_ranges);

#endif
