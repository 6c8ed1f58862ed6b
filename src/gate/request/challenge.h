/*
 * challenge.h: proofs for a certificate's authority that a name leads here (RFC 8555 section 8.3,
 * http-01).
 */
#ifndef STEAD_GATE_CHALLENGE_H
#define STEAD_GATE_CHALLENGE_H

#include "lib/chan.h"
#include "phases.h"

struct gate;
enum { CHALLENGES_MAX = 256, CHALLENGE_TOKEN_MAX = 128, CHALLENGE_TEXT_MAX = 192 };
/* CHALLENGE. 0; -EPROTO: it is not in form; -ENOMEM. Of too many the one that would be forgotten
 * first gives way. */
int challenge_heard(struct gate *g, const struct msg *m);
void challenge_free(struct gate *g);
/* A phase: who asks for a token that ctl told is given its text, whatever else holds for the site:
 * the authority has no password, and follows no redirect to a certificate that is not there yet.
 * Other tokens are the site's own. */
enum phase_end phase_challenge(struct req *r);

#endif
