/*
 * forward_auth.h: ForwardAuth=: a server is asked whether a request may pass.
 */
#ifndef STEAD_GATE_FORWARD_AUTH_H
#define STEAD_GATE_FORWARD_AUTH_H

#include "phases.h"
#include "up.h"

/* A GET of the configured URL with the request's method, URI and host, its cookies and Authorization. A
 * status from 200 to 299 lets it pass, with the answer's Remote-* and X-Auth-* fields in place of the
 * client's; any other answer becomes the client's. */
enum phase_end phase_forward_auth(struct req *r);
void forward_auth_cancel(struct req *r);
extern const struct up_owner_ops forward_auth_owner;

#endif
