/*
 * target.h: a request's target to the path that everything else goes by.
 */
#ifndef STEAD_GATE_TARGET_H
#define STEAD_GATE_TARGET_H

#include "req.h"

enum { TARGET_SLASH = 1 }; /* what stands for an encoded slash in path_literal: no path has this byte */

/* Set path, path_literal, path_raw and query from path_raw as the protocol gave it (path and query, or "*"). The
 * path is decoded, dot segments are removed, and it begins with one slash. False: it is malformed, or climbs
 * above the root. */
bool target_parse(struct req *r);
/* The path without its empty segments, as many servers read it; `to` has room for n. Its length. */
size_t target_merge(char *to, const char *p, size_t n);

#endif
