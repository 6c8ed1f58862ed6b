/*
 * counters.h: the gate's counters page (tbl/metrics.h). One writer, so an addition is a load and a
 * store.
 */
#ifndef STEAD_GATE_COUNTERS_H
#define STEAD_GATE_COUNTERS_H

#include "gate.h"
#include "req.h"

int counters_new(struct gate *g);
void counters_free(struct gate *g);
/* A column of the request's site. */
void counters_site(const struct req *r, unsigned column, int64_t n);
/* A request ended; `active`: it was counted in SITE_ACTIVE. */
void counters_request(const struct req *r, bool active);

#endif
