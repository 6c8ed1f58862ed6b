/*
 * probe.h: the first real request, made as a client makes it; see probe.c.
 */
#ifndef STEAD_CTL_PROBE_H
#define STEAD_CTL_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/loop.h"

struct ctl;

enum probe_end { PROBE_LIVE = 1, PROBE_TIMEOUT };
struct probe {
	struct ctl *ctl;
	struct lfd lfd;
	struct op connect, recv;
	struct timer timer;
	struct buf answer;
	char address[128], path[1100];
	uint64_t give_up_ms;
	unsigned wanted, good; /* answers below 500 in a row */
	unsigned status;       /* of the last answer, 0: none */
	unsigned again_ms;
	bool running, told;
	bool trial; /* upgrade.c asked, and is told */
	bool any; /* any answer will do: what answers is another server of some site */
	uint32_t site; /* its number */
	bool coming;   /* what the snapshot shows to ctl alone is asked */
	bool inside;   /* what lies behind ClientCa= is asked */
	char host[300]; /* whom it asks for; "": the address */
};
/* Then the last five may be set; it is the folder's own else. */
void probe_start(struct ctl *c, struct probe *p, const char *address, const char *path,
	unsigned count, uint64_t timeout_ms);
void probe_stop(struct probe *p);
/* The status of an HTTP/1.1 answer's first line; 0 when it is none (yet). */
unsigned probe_status(const char *p, size_t n);
op_done probe_on_connect, probe_on_recv, probe_on_timer;

#endif
