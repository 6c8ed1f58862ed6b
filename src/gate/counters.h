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
/* Count on where the page of the gate before in this place ended; one that is of another shape is left
 * alone. The descriptor stays the caller's. */
void counters_inherit(struct gate *g, int fd);
/* A column of the request's site. */
void counters_site(const struct req *r, unsigned column, int64_t n);
/* A request ended; `active`: it was counted in SITE_ACTIVE. */
void counters_request(const struct req *r, bool active);
/* A column of a backend, by its number in the snapshot; and one of its answers. */
void counters_upstream(struct gate *g, uint32_t number, unsigned column, int64_t n);
void counters_answer(struct gate *g, uint32_t number, uint16_t status, uint64_t us);

#endif
