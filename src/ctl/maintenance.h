/*
 * maintenance.h: sites that show a page instead of themselves; see maintenance.c.
 */
#ifndef STEAD_CTL_MAINTENANCE_H
#define STEAD_CTL_MAINTENANCE_H

#include <stdbool.h>
#include <stdint.h>

struct client;
struct ctl;
struct gate_peer;

struct maintenance {
	struct {
		uint32_t number;
		bool on;
	} *all; /* of every site that ever was in it */
	unsigned n;
	uint64_t token[2]; /* shows a gate that a request is the probe */
};
int state_make_maintenance(struct ctl *c);
int state_load_maintenance(struct ctl *c);
bool maintenance_is(const struct ctl *c, uint32_t site);
/* A new gate is told of all. */
void maintenance_tell(struct gate_peer *g);
void maintenance_start(struct client *cl);
/* A gate has taken a snapshot, or it took too long. */
void maintenance_settle(struct client *cl);
void maintenance_late(struct client *cl);

#endif
