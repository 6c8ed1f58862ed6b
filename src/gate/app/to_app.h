/*
 * to_app.h: the gate's side of every app: workers, the queue in front of them, the handler of
 * requests.
 *
 * One struct to_app per gate. The gate's control part calls to_app_on_*() for what parent and ctl
 * tell; requests come in through to_app_handler (HANDLER_APP). It owns the link to each worker, the
 * queue of each app and the gate-wide budget of body bytes. It never blocks, and what a worker
 * wrote is input: read once, bounded, then used (link/link.h).
 *
 * What it needs of the gate is struct to_app_env, and one accessor that the gate defines.
 */
#ifndef STEAD_GATE_TO_APP_H
#define STEAD_GATE_TO_APP_H

#include "lib/loop.h"
#include "req.h"
#include "snap/snap.h"
#include "tbl/tbl.h"

struct to_app;
struct gate;

/* Its completions: as many kinds in a row of the gate's op table, beginning with env.op_base.
 * In the table: TO_APP_OP_TABLE(OP_APP_BASE), */
enum {
	TO_APP_OP_SOCK = 0,
	TO_APP_OP_WAKE,
	TO_APP_OP_KICK,
	TO_APP_OP_TICK,
	TO_APP_OP_DEADLINE,
	TO_APP_OPS
};
op_done to_app_done_sock, to_app_done_wake, to_app_done_kick, to_app_done_tick,
	to_app_done_deadline;
#define TO_APP_OP_TABLE(base)                                                                      \
	[(base) + TO_APP_OP_SOCK] = to_app_done_sock,                                              \
		  [(base) + TO_APP_OP_WAKE] = to_app_done_wake,                                    \
		  [(base) + TO_APP_OP_KICK] = to_app_done_kick,                                    \
		  [(base) + TO_APP_OP_TICK] = to_app_done_tick,                                    \
		  [(base) + TO_APP_OP_DEADLINE] = to_app_done_deadline

struct to_app_env {
	struct gate *gate;
	struct loop *loop;
	uint16_t op_base;
	uint32_t gate_index;
	uint64_t gate_generation;
	struct counters_page *counters;
	uint64_t *budget_used; /* bytes held for slow peers, by the whole gate */
	uint64_t budget_max;
	/* Send MSG_WORKER_* to whom the table allows: the parent, and ctl too for UP and BAD. */
	void (*say)(struct gate *g, enum msg_type type, const struct msg_worker *w);
	/* Tell the parent that requests wait for an app that has no worker; may be NULL. */
	void (*want)(struct gate *g, uint32_t app);
	/* What other gates have to know of an app's queue, and what they have; both may be NULL. */
	void (*queue_tell)(struct gate *g, uint32_t app, uint32_t queued);
	uint32_t (*queue_others)(struct gate *g, uint32_t app);
	/* Emit an event (EV_REQUEST_DEADLINE, EV_WORKER_BROKE_LINK); may be NULL. path NULL when
	 * none. */
	void (*event)(struct gate *g, enum event ev, const char *app, uint32_t slot, uint64_t ms,
		const char *text);
};

/* Defined by the gate: g's own struct to_app. */
struct to_app *gate_to_app(const struct gate *g);

/* -ENOMEM. env is copied. */
int to_app_new(const struct to_app_env *env, struct to_app **ret);
/* Every request must have been aborted before. */
void to_app_free(struct to_app *t);

/* A new snapshot serves: apps are added, and those that it lacks are forgotten once they are empty.
 */
void to_app_on_snap(struct to_app *t, struct snap *s);
/* Takes fd (this gate's end of the link socket). */
void to_app_on_worker(struct to_app *t, const struct msg_worker *w, int fd);
void to_app_on_worker_gone(struct to_app *t, const struct msg_worker *w);
void to_app_on_worker_drain(struct to_app *t, const struct msg_worker *w);
/* OVERLAY_APP_DOWN; others are ignored. */
void to_app_on_overlay(struct to_app *t, const struct msg_overlay *o);

/* The gate ends. leave: tunnels take leave of their clients, now (once) and as they begin. */
void to_app_on_drain(struct to_app *t, bool leave);

/* Requests waiting or running, and tunnels; 0: nothing stands in the way of ending. */
unsigned to_app_active(const struct to_app *t);

extern const struct handler_ops to_app_handler;

#endif
