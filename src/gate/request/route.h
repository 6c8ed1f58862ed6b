/*
 * route.h: which handler answers a request.
 */
#ifndef STEAD_GATE_ROUTE_H
#define STEAD_GATE_ROUTE_H

#include "phases.h"

/* Phases: the site by its host; the route by its path; what keeps a request out; the handler. */
enum phase_end phase_site(struct req *r);
enum phase_end phase_route(struct req *r);
enum phase_end phase_body(struct req *r);
enum phase_end phase_handler(struct req *r);
/* The site of a status page when there is no host to go by. */
const struct snap_site *route_default_site(struct snap *s);

#endif
