/*
 * errorpage.h: what a client sees when a request fails.
 */
#ifndef STEAD_GATE_ERRORPAGE_H
#define STEAD_GATE_ERRORPAGE_H

#include "req.h"

/* Answers r, whose head was not sent, with the close's status: the site's own page, else a plain
 * one. */
void errorpage_send(
	struct req *r, enum close_id why, unsigned retry_after_s, const struct field *f);
extern const struct handler_ops errorpage_handler;

#endif
