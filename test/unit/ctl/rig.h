/*
 * rig.h: a ctl whose parent is the test: a loop, a state folder of its own, the other end of
 * descriptor 3.
 */
#ifndef STEAD_TEST_UNIT_CTL_RIG_H
#define STEAD_TEST_UNIT_CTL_RIG_H

#include "ctl.h"

struct rig {
	struct ctl *c;
	int parent; /* the test's end of the channel */
	char dir[64];
	struct msg msg; /* the last one received */
	char mem[CHAN_PAYLOAD_MAX];
};
/* With an open state in a fresh folder. */
void rig_init(struct rig *r);
void rig_done(struct rig *r);
/* Let ctl work until it sent a message of that type, now in r->msg. */
void rig_expect(struct rig *r, uint16_t type);
/* Nothing of it waits. */
void rig_settle(struct rig *r);
/* As the parent. */
void rig_say(struct rig *r, uint16_t type, uint64_t id, const void *p, size_t n, int fd);
/* As a client of the control socket, which control_open() made: its descriptor. */
int rig_connect(struct rig *r);
void rig_ask(int fd, const char *text);
/* The next line as JSON. */
json_t *rig_line(struct rig *r, int fd);
/* The socket is opened and `up` asked for; the client's descriptor. */
int rig_up(struct rig *r);

#endif
