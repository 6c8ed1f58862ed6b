/*
 * auth.h: BasicAuth=: names and passwords (RFC 7617), checked by the process auth (src/auth).
 */
#ifndef STEAD_GATE_AUTH_H
#define STEAD_GATE_AUTH_H

#include "aides.h"
#include "phases.h"

/* Lets the request pass when its Authorization field is right, and sets r->user; else 401. Waits for auth
 * when the password was not seen lately. */
enum phase_end phase_basic(struct req *r);
void auth_cancel(struct req *r);
void auth_free(struct gate *g);
op_done auth_on_tick;
extern const struct aide_user_ops auth_user_ops;


#endif
