/*
 * control.h: what the gate is told: the channels to the parent and to ctl.
 */
#ifndef STEAD_GATE_CONTROL_H
#define STEAD_GATE_CONTROL_H

#include "gate.h"

extern const struct stream_ops *const gate_protos[PROTO_END];

/* Open the channel to the parent on fd and say HELLO. */
int control_open(struct gate *g, int fd);
void control_close(struct gate *g);

/* The drain timer: of the gate (drain_on_timer()), and tunnels of apps take leave. */
op_done control_on_drain;

/* main.c: START came; all that must be open is open. 0, or -errno and the gate ends. */
int control_started(struct gate *g);

#endif
