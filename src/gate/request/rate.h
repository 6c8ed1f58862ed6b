/*
 * rate.h: RateLimit=: how many requests one client, one site, or one value of a header may make.
 */
#ifndef STEAD_GATE_RATE_H
#define STEAD_GATE_RATE_H

#include "phases.h"

/* 429 with Retry-After for what is more. Costs nothing for a route without limits. */
enum phase_end phase_rate(struct req *r);

#endif
