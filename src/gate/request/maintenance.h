/*
 * maintenance.h: sites that show a page instead of themselves.
 */
#ifndef STEAD_GATE_MAINTENANCE_H
#define STEAD_GATE_MAINTENANCE_H

#include "phases.h"
#include "tbl/tbl.h"

struct gate;
/* OVERLAY_MAINTENANCE, OVERLAY_STOPPED and OVERLAY_PROBE. */
void maintenance_on_overlay(struct gate *g, const struct msg_overlay *o);
void maintenance_free(struct gate *g);
/* Is it ctl's own request, which sees what others do not yet? Its token is taken out. */
bool maintenance_probe(struct req *r);
/* A phase: 503 for all but the path of Health= and ctl's own first request. */
enum phase_end phase_maintenance(struct req *r);

#endif
