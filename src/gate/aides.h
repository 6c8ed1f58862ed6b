/*
 * aides.h: the gate's side of the processes that help it: resolve, auth and keys (src/aide/).
 *
 * They are started when the first gate wants them, and come anew when they died: then up() is called, and
 * whoever still waits asks again.
 */
#ifndef STEAD_GATE_AIDES_H
#define STEAD_GATE_AIDES_H

#include "gate.h"

enum { AIDE_RESOLVE, AIDE_AUTH, AIDE_KEYS, AIDE_KINDS };

struct aide_user_ops {
	void (*up)(struct gate *g);                  /* its channel is open: ask what is to be asked */
	void (*heard)(struct gate *g, struct msg *m); /* an answer that tbl/msgs.h allows */
	void (*down)(struct gate *g);                /* it is gone; it comes again by itself */
};
/* By kind; NULL: nobody uses it here. */
extern const struct aide_user_ops *const aide_users[AIDE_KINDS];

struct aide_link {
	struct chan chan;
	bool greeted, wanted;
};

/* Have it started. Harmless when it is there. */
void aides_want(struct gate *g, unsigned kind);
/* Ask. 0; -EAGAIN: it is not there (it is wanted from now on, and up() follows); -ENOBUFS: too much waits. */
int aides_send(struct gate *g, unsigned kind, enum msg_type type, uint64_t id, const void *p, size_t n);
/* control.c: the parent gave this gate its end of a channel to that role. Takes fd when it is an aide's. */
bool aides_channel(struct gate *g, uint32_t role, int fd);
int aides_new(struct gate *g);
void aides_free(struct gate *g);

#endif
