/*
 * access.h: one record for each request, whatever became of it.
 */
#ifndef STEAD_GATE_ACCESS_H
#define STEAD_GATE_ACCESS_H

#include "lib/loop.h"
#include "req.h"

/* A tunnel begins, which may live longer than many snapshots: what is needed of its own until its
 * record is written is copied, and the reference given back; strings of the snapshot are gone for r
 * then. Without memory nothing happens. */
void access_keep(struct req *r);
/* r->close is set. Writes to the gate's log ring, unless the site's AccessLog= is off. */
void access_record(struct req *r);
op_done access_on_flush;

#endif
