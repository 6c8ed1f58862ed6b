/*
 * route.h: which handler answers a request.
 */
#ifndef STEAD_GATE_ROUTE_H
#define STEAD_GATE_ROUTE_H

#include "req.h"

/* Sets site, route and handler. False: it was answered here (no such site, no such route …). */
bool route_request(struct req *r);
/* The site of a status page when there is no host to go by. */
const struct snap_site *route_default_site(struct snap *s);

#endif
