/*
 * to_app.h: requests to the workers of an app, over the link. What the rest of the gate calls.
 *
 * control.c hands over workers as the parent tells of them; route.c chooses HANDLER_APP, whose ops are
 * to_app_ops; gate_new()/gate_free() make and drop the state behind struct gate.apps.
 */
#ifndef STEAD_GATE_TO_APP_H
#define STEAD_GATE_TO_APP_H

#include "gate.h"
#include "req.h"

extern const struct handler_ops to_app_ops;

/* 0 or -errno. Called before any other, and after everything else of the gate is gone. */
int to_app_init(struct gate *g);
void to_app_done(struct gate *g);
/* A snapshot took over (g->snap): apps may have come, gone or changed their bounds. */
void to_app_snap(struct gate *g);
/* Takes fd: this gate's end of the link socket. */
void to_app_worker(struct gate *g, const struct msg_worker *w, int fd);
void to_app_worker_gone(struct gate *g, const struct msg_worker *w);
/* Give it nothing new; send WORKER_IDLE to the parent when it runs nothing of this gate's. */
void to_app_worker_drain(struct gate *g, const struct msg_worker *w);
/* OVERLAY_APP_DOWN and OVERLAY_MAINTENANCE. */
void to_app_overlay(struct gate *g, const struct msg_overlay *o);
/* A fresh channel to ctl: tell it again which workers are up. */
void to_app_ctl_came(struct gate *g);

/* Kinds OP_APP … for gate_ops[]: #define TO_APP_OPS [OP_APP] = to_app_on_…, … */
#define TO_APP_OPS [OP_APP] = NULL

#endif
