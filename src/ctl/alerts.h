/*
 * alerts.h: what is under way to those whom [Alert] names (alerts.c).
 */
#ifndef STEAD_CTL_ALERTS_H
#define STEAD_CTL_ALERTS_H

#include <stdint.h>

#include "lib/loop.h"

enum {
	ALERT_TARGETS_MAX = 16,
	ALERT_TARGET_BYTES = 2048,
	ALERT_DUE_MAX = 1000,        /* that wait; the oldest gives way */
	ALERT_EACH_MAX = 50,         /* in one message */
	ALERT_BYTES_MAX = 16 * 1024, /* of records in one message */
	ALERT_TEXT_BYTES = 48 * 1024,
	ALERT_HOUR_MAX = 10,         /* messages to each of them */
	ALERT_TRIES_MAX = 20,        /* three days */
};

struct ctl;
struct ask;
struct msg;

struct alerts {
	struct timer timer;
	struct ask *ask; /* that sends; NULL: nothing is under way */
	char target[ALERT_TARGET_BYTES], shown[256];
	uint64_t last; /* the id of the last one that it sends */
	unsigned n, tries;
};

int state_make_alerts(struct ctl *c);
/* ALERT_SEEN of the log process. */
void alerts_seen(struct ctl *c, const struct msg *m);
/* Send what is due; also at the start. */
void alerts_run(struct ctl *c);
op_done alerts_on_timer;

#endif
