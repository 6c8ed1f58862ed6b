/*
 * rewrite.h: the phases that send a request elsewhere: https, aliases, Redirect=, Rewrite=.
 */
#ifndef STEAD_GATE_REWRITE_H
#define STEAD_GATE_REWRITE_H

#include "phases.h"

/* What comes unencrypted, and shall not: 308 to https, or 403 (Http=). */
enum phase_end phase_https(struct req *r);
/* A name that is only an alias: 308 to the canonical one. */
enum phase_end phase_alias(struct req *r);
enum phase_end phase_redirect(struct req *r);
/* The first rewrite that matches changes path and query; the route stays. */
enum phase_end phase_rewrite(struct req *r);

#endif
