/*
 * service.h: programs that stead runs and asks like backends: what the parent says of them, whether they
 * answer.
 *
 * A program's run is one server of the upstream whose row of the snapshot names its app and protocol. It
 * comes by message, as workers do, so a run that takes another's place needs no snapshot; it may be told
 * before the snapshot is there, and stays over snapshots.
 */
#ifndef STEAD_GATE_SERVICE_H
#define STEAD_GATE_SERVICE_H

#include "up.h"

/* SERVICE, SERVICE_DRAIN, SERVICE_GONE. */
void service_heard(struct gate *g, struct msg *m);
/* A new snapshot serves: each run finds its upstream. */
void services_place(struct up *up);
/* Try those that are to be tried and let go of those that are done with; when to look again. */
uint64_t services_look(struct up *up, uint64_t now_ms);
void services_free(struct up *up);
/* OVERLAY_APP_DOWN: what waits for a program of that app is answered now; others are ignored. */
void services_on_overlay(struct up *up, const struct msg_overlay *o);
/* Does no program of u's app come up? *ret_retry_s: when to come again. */
bool service_is_down(const struct upstream *u, unsigned *ret_retry_s);
/* Is that server of use still? Else it goes when its last call is over. */
bool service_needs(const struct up_server *s);
/* It goes. */
void service_lost(struct up_server *s);
/* A probe's answer; status 0: none came. */
void service_probed(struct up_server *s, bool well, unsigned status);

#endif
