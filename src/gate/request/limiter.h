/*
 * limiter.h: what is counted of clients over all gates, in constant memory: rates of requests
 * (RateLimit=) and connections of an address (ConnectionsMax=).
 *
 * The table is one page that the parent makes and every gate maps (tbl/tbl.h struct limits_page). A gate
 * that was given none counts for itself.
 *
 * RATES are buckets of tokens, kept as one number: when the bucket will be full again (GCRA). 65,536
 * buckets lie in sets of eight, found by a keyed hash of limit and client. When a set is full the fullest
 * bucket gives way, which is the one with the least to lose: a full one loses nothing, because a bucket
 * that is not there is full. A client may so be let through early only when more than eight others of its
 * set are limited at the same time. Gates change a bucket by compare-and-swap; when two make the same new
 * one at once, one request may pass too many.
 *
 * CONNECTIONS are a count-min sketch for each gate, which alone writes it; the sum over the gates of the
 * smallest of four counters. It is never too small; with n connections of other addresses it is too large
 * by one or more with a probability of (1 - exp(-n / 32768))^4: 2 in 10^4 at 4,000, 2 in 100 at 15,000,
 * and by ten or more practically never.
 *
 * QUEUES of apps are one number for each gate and app, so that Queue= bounds their sum.
 */
#ifndef STEAD_GATE_LIMITER_H
#define STEAD_GATE_LIMITER_H

#include "gate.h"

struct limiter;

/* -ENOMEM. Makes no table yet. */
int limiter_new(struct gate *g);
void limiter_free(struct gate *g);
/* The parent's table; the descriptor stays the caller's. What the gate counted before is not taken along.
 * -errno: it is none, and the gate goes on as before. */
int limiter_attach(struct gate *g, int fd);

/* One request of whom `hash` (limiter_hash()) names. True: it may pass. False: it may not, and would in
 * *ret_wait_ms. Without memory everybody may. */
bool limiter_take(struct gate *g, uint64_t hash, uint32_t per_s_milli, uint32_t burst, uint64_t *ret_wait_ms);
uint64_t limiter_hash(struct gate *g, uint32_t number, const void *p, size_t n);
/* What an address is counted by: IPv6 by its /64, because a client has all of that. How many bytes of it. */
size_t limiter_network(const uint8_t address[16]);

/* A connection of that address more; how many there are with it. 0: without memory. */
uint32_t limiter_conn_add(struct gate *g, const uint8_t address[16]);
void limiter_conn_drop(struct gate *g, const uint8_t address[16]);

/* So many requests wait here for that app; and how many wait in all other gates. */
void limiter_queue_tell(struct gate *g, uint32_t app, uint32_t queued);
uint32_t limiter_queue_others(struct gate *g, uint32_t app);

/* Of things that a flood could make happen often: true once a second, with how many there were. */
enum limiter_event { LIMITER_RATE, LIMITER_CONNS, LIMITER_PROXY, LIMITER_KEYS, LIMITER_EVENTS };
bool limiter_may_say(struct gate *g, enum limiter_event what, char ret_count[24]);

#endif
