/*
 * aide.h: the skeleton of a process that helps every gate: its channel to the parent and one to each gate
 * (and to ctl or another such process, where the parent makes one).
 *
 * The parent starts such a process when the first gate asks for it (WANT) and pairs it with all of them,
 * also with those that come later. It keeps nothing between two questions, so its death costs only a
 * question asked again.
 */
#ifndef STEAD_AIDE_H
#define STEAD_AIDE_H

#include "lib/chan.h"
#include "lib/loop.h"
#include "tbl/tbl.h"

enum { AIDE_PARENT_FD = 3, AIDE_PEERS_MAX = 128 };

struct aide;
struct aide_peer {
	struct chan chan;
	struct aide *aide; /* NULL: this place is free */
	uint32_t role;     /* enum proc: GATE, or CTL or another aide where the parent pairs it with them */
	uint32_t index;    /* of the gate */
	uint64_t generation;
	bool greeted;
};
struct aide_ops {
	/* START came: the last step before anything from outside is read (the jail). 0 or -errno, which
	 * ends the process. */
	int (*started)(struct aide *a, struct msg *start);
	/* A message that tbl/msgs.h allows from that peer. */
	void (*heard)(struct aide *a, struct aide_peer *from, struct msg *m);
	/* It can be spoken to now. May be NULL. */
	void (*up)(struct aide *a, struct aide_peer *peer);
	/* What the parent says beyond START, CHANNEL and STOP. May be NULL. */
	void (*told)(struct aide *a, struct msg *m);
	/* It is gone: answers to it are not wanted any more. May be NULL. */
	void (*gone)(struct aide *a, struct aide_peer *peer);
};
struct aide {
	struct loop *loop;
	enum proc role;
	const struct aide_ops *ops;
	struct chan parent;
	bool greeted, started;
	struct aide_peer peer[AIDE_PEERS_MAX];
	void *own; /* the process's */
};

/* Opens the parent's channel. `a` is zeroed memory of the caller's; the loop's table has CHAN_OPS. */
int aide_open(struct aide *a, struct loop *l, enum proc role, const struct aide_ops *ops);
/* To a gate; a full or broken channel closes it (the gate asks again). */
void aide_answer(struct aide_peer *to, uint16_t type, uint64_t id, const void *p, size_t n, const void *q, size_t m);

/* filter.c: what an aide may still call, beside what each of them needs (messages, memory, time, the end). */
struct aide_filter {
	const int *more; /* numbers of system calls, as SCMP_SYS() has them */
	size_t n;
	bool internet; /* sockets of IPv4 and IPv6 may be made */
	bool lenient;  /* anything else fails with EPERM, so that libraries do without; or it ends the process */
};
/* From here on. 0; -errno: there is no filter. Nothing in a build with a sanitizer (filter_off.c), whose run time
 * needs calls of its own. */
int aide_filter(const struct aide_filter *f);

#endif
