/*
 * deadline_rig.h: a gate's app handler on a virtual clock, with workers that are moved by hand: one
 * takes what it was given, begins it or not, says that it is busy or not.
 */
#ifndef STEAD_TEST_DEADLINE_RIG_H
#define STEAD_TEST_DEADLINE_RIG_H

#include "app_priv.h"
#include "peer.h"

enum { WORKERS = 3, REQUESTS = 8, TIMEOUT_MS = 100, LONG_MS = 250, FAST_US = 80 };

struct rig {
	struct sim *sim;
	struct loop *loop;
	struct gate g;
	struct peer p[WORKERS];
	struct msg_worker m[WORKERS];
	struct fake_req *req[REQUESTS];
	unsigned np, nreq;
};

void step(struct rig *r);
void pass_ms(struct rig *r, unsigned ms);
struct peer *add_worker(struct rig *r, unsigned threads, bool async);
void rig_up(struct rig *r);
void rig_done(struct rig *r);
/* A request, started; length -1: without one that is said. */
struct fake_req *ask(struct rig *r, const char *method, int64_t length);
/* What was given to it is read. How much it holds. */
unsigned take(struct peer *p);
bool has(const struct peer *p, const struct fake_req *f, uint16_t *ret_seat);
/* False: it was taken back. It must have been given. */
bool begin(struct peer *p, const struct fake_req *f);
/* The rig, one worker with so many threads, and a GET that it runs. */
struct fake_req *rig_up_running(struct rig *r, unsigned threads);
/* What it says of itself: so many of its threads run something. */
void busy(struct peer *p, uint32_t n);
/* A frame of the worker; of a head n bytes of body follow it. */
void say(struct rig *r, struct peer *p, const struct fake_req *f, uint16_t type, uint16_t flags,
	size_t n);
/* The gate's view of that worker. */
const struct app_worker *worker_at(const struct rig *r, unsigned i);

#endif
