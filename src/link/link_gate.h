/*
 * link_gate.h: a gate's end of the link to one worker, on the gate's loop.
 *
 * The owner (src/gate/app_*.c) gives the op kinds, calls link_gate_on_*() from their completions
 * and reads frames with link_peek()/link_take() on `end`. Everything that a worker does wrong is a
 * negative errno here; the owner then closes this link and says WORKER_BAD. Nothing here blocks or
 * allocates.
 */
#ifndef STEAD_LINK_LINK_GATE_H
#define STEAD_LINK_LINK_GATE_H

#include "lib/loop.h"
#include "link/link.h"

struct link_gate {
	struct loop *loop;
	struct lfd sock, wake;
	struct op sock_op, wake_op;
	int wake_wr; /* wakes the worker; our own open file description */
	struct link_end end;
	const struct link_status *status; /* the worker's page */
	uint32_t threads;                 /* requests at once, as the hello said, bounded */
	bool async;                       /* … on far seats too, and it begins all that it is given */
	enum link_form form;
	int version;                      /* 0: no hello yet */
	bool put, took;                   /* something to tell since the last flush */
	unsigned nfiles;                  /* received and not used yet */
	struct link_gate_file {
		int fd;
		uint32_t number;
	} files[LINK_FILES_MAX];
};

/* Takes sock, whatever comes of it. Makes ring and pipes and says hello. */
int link_gate_init(struct link_gate *g, struct loop *l, int sock, uint16_t sock_kind,
	uint16_t wake_kind, uint32_t index, uint64_t generation);
/* Idempotent. */
void link_gate_done(struct link_gate *g);
static inline bool link_gate_up(const struct link_gate *g)
{
	return g->version != 0;
}
/* The socket is readable: 1 the worker's hello came, 0 go on, -EPIPE it closed, else it broke the
 * protocol (-EPROTONOSUPPORT: another version). Waits again by itself. */
int link_gate_on_sock(struct link_gate *g);
/* The wake pipe is readable: empties it and waits again. 0, or -errno. */
int link_gate_on_wake(struct link_gate *g);
/* Tell the worker what was appended or taken. */
void link_gate_flush(struct link_gate *g);
/* Wake it because of a stopped seat. */
void link_gate_poke(struct link_gate *g);
/* The descriptor that the worker sent under this number, now the caller's: a regular file on a file
 * system that cannot hang. -EPROTO: there is none, or not such a file; else it could not be looked
 * at. */
int link_gate_file(struct link_gate *g, uint32_t number);

#endif
