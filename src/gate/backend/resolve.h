/*
 * resolve.h: the gate's side of the process that looks names up.
 */
#ifndef STEAD_GATE_RESOLVE_H
#define STEAD_GATE_RESOLVE_H

#include "aides.h"

enum { RESOLVE_AGAIN_MS = 5000 }; /* without an answer */

/* Ask for the addresses of a host; up_on_resolved() is called when they are known. -EAGAIN: nobody is there
 * to ask yet, and the tick asks again when somebody is; -ENOBUFS: too many questions wait. */
int resolve_ask(struct gate *g, const char *host);
extern const struct aide_user_ops resolve_user_ops;

#endif
