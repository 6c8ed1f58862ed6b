/*
 * order.h: between order.c, proof.c and choice.c.
 */
#ifndef STEAD_CERTS_ORDER_H
#define STEAD_CERTS_ORDER_H

#include "certs.h"

enum {
	POLL_MS = 250, /* doubled each time, to POLL_MS_MAX */
	POLL_MS_MAX = 10 * 1000,
	WAIT_MS_MAX = 15 * 60 * 1000, /* for one thing */
};

/* ---- order.c ---- */
/* The step begins. */
void order_go(struct order *o, enum order_step step);
/* What the authority said of `what` has not the form. */
void order_garbled(struct order *o, const char *what);
/* The order fails, and the authority is to blame; it is tried again by itself. */
void order_blame(struct order *o, const char *name, const char *what);
/* An order that an earlier try left is of no use any more: make another, once. False: it is no such
 * one. */
bool order_drop(struct order *o);
/* How long until the next look, behind so many; asked_ms: what Retry-After said, or 0. */
uint64_t order_pause(unsigned polls, uint64_t asked_ms);

/* ---- proof.c: rows of the table of steps ---- */
const char *proof_at_authz(struct order *o);
const char *proof_at_challenge(struct order *o);
const char *proof_at_poll(struct order *o);
void proof_heard_authz(struct order *o, const struct answer *a, uint64_t now_ms, uint64_t now_s);
void proof_heard_begun(struct order *o, const struct answer *a, uint64_t now_ms, uint64_t now_s);
void proof_heard_poll(struct order *o, const struct answer *a, uint64_t now_ms, uint64_t now_s);
/* What is offered, or withdrawn; then it is. */
void proof_next(const struct order *o, struct order_next *ret);
void proof_went(struct order *o);

/* ---- choice.c: as those ---- */
void choice_heard(struct order *o, const struct answer *a, uint64_t now_ms, uint64_t now_s);
/* Of another chain, whatever came of it. */
void choice_heard_other(struct order *o, const struct answer *a);

#endif
