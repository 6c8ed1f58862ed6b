/*
 * access.h: one record for each request, whatever became of it.
 */
#ifndef STEAD_GATE_ACCESS_H
#define STEAD_GATE_ACCESS_H

#include "lib/loop.h"
#include "req.h"

/* r->close is set. Writes to the gate's log ring, unless the site's AccessLog= is off. */
void access_record(struct req *r);
op_done access_on_flush;

#endif
