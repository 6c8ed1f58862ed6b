/*
 * target.h: a request's target to the path that everything else goes by.
 */
#ifndef STEAD_GATE_TARGET_H
#define STEAD_GATE_TARGET_H

#include "req.h"

/* Set path, path_raw and query from path_raw as the protocol gave it (path and query, or "*"). The
 * path is decoded, dot segments are removed. False: it is malformed, or climbs above the root. */
bool target_parse(struct req *r);

#endif
