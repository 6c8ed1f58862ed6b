/*
 * phases.h: what a request passes before its handler: in this order, each once.
 *
 * A phase of one of the route's rules is asked only when the route has that rule (enum snap_rule). It lets the
 * request pass, answers it, or waits for somebody (a password's check, another server's word) and calls
 * phases_resume() when it knows more: then it is asked again, with its own phase_state. Body bytes that
 * come meanwhile are held, bounded by the stream's window.
 */
#ifndef STEAD_GATE_PHASES_H
#define STEAD_GATE_PHASES_H

#include "req.h"

enum phase_end { PHASE_NEXT, PHASE_WAIT, PHASE_ANSWERED };

/* From the request's head on. */
void phases_begin(struct req *r);
/* The phase that waited may be asked again. Not from inside a phase. */
void phases_resume(struct req *r);
/* The request ends while a phase waits: it forgets the request. Harmless when none does. */
void phases_cancel(struct req *r);

#endif
