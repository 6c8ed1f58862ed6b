/*
 * scrape.h: the port of Metrics=: GET /metrics, and nothing else.
 *
 * A gate serves it, because of all processes it has least to lose by a stranger's bytes: its parser is the one
 * that faces the world anyway, it is jailed, and it dies and comes again in milliseconds. It knows no figures:
 * it asks ctl, which never reads a byte from the port and hands over the text as a sealed piece of memory, so
 * that whoever reads it slowly holds up nothing but that copy.
 */
#ifndef STEAD_GATE_SCRAPE_H
#define STEAD_GATE_SCRAPE_H

#include "gate.h"
#include "req.h"

enum { SCRAPE_CONNS_MAX = 16 }; /* of a gate on that port */

extern const struct handler_ops scrape_handler;
/* Of a request that came in on the port: instead of the phases. */
void scrape_begin(struct req *r);
/* ctl's answer. The descriptor stays the caller's. */
void scrape_answer(struct gate *g, int fd);
/* There is no ctl to wait for any more. */
void scrape_end(struct gate *g);
op_done scrape_on_timer;

#endif
