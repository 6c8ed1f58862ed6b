/*
 * alerts.h: what is under way to those whom [Alert] names (alerts.c).
 */
#ifndef STEAD_CTL_ALERTS_H
#define STEAD_CTL_ALERTS_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "lib/buf.h"
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

struct app;
struct ask;
struct ask_ops;
struct client;
struct ctl;
struct msg;
struct alert_test;

struct alerts {
	struct timer timer;
	struct alert_test *test; /* `stead alert test` is under way (alert_test.c) */
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

/* ---- what alert_test.c needs of it ---- */
/* Whom the [Alert] of this app names, at most ALERT_TARGETS_MAX; how many. */
unsigned alerts_targets(const struct app *a, char (*ret)[ALERT_TARGET_BYTES]);
/* What is told to people of a target: a webhook's path is often its secret, so its host alone. */
void alerts_shown(const char *target, char ret[256]);
void alerts_host(char ret[65]);
/* A mail's text as it is, or a webhook's JSON of the list (borrowed). NULL without memory; the caller frees it. */
char *alerts_body(const struct buf *text, const char *target, const char *id, const char *host, json_t *list);
/* Start the one that sends it, by the mail server of whoever names the target; `answer` hears of its end. NULL without memory. */
struct ask *alerts_hand(struct ctl *c, const char *target, const char *id, const char *subject, const char *body,
	const struct ask_ops *answer, void *owner);

/* ---- alert_test.c ---- */
/* The request alert-test. */
void alert_test_start(struct client *cl);
/* That client goes: nobody waits for its test any more. */
void alert_test_gone(struct ctl *c, const struct client *cl);

#endif
