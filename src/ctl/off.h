/*
 * off.h: apps that somebody stopped, and apps that do not start by themselves; see off.c.
 */
#ifndef STEAD_CTL_OFF_H
#define STEAD_CTL_OFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

struct app;
struct app_run;
struct client;
struct ctl;
struct gate_peer;
struct msg;
struct msg_disk;
struct msg_proc_state;

/* What a client of start or stop waits for. */
enum off_step { OFF_NOTHING, OFF_GATES, OFF_ENDS, OFF_READY, OFF_RELOAD };

/* Of an app, in its run. */
struct off {
	bool stopped;     /* nothing of it runs, and its site says so */
	bool disabled;    /* it is not started with the server */
	uint64_t since_us; /* when it was stopped; 0: it never was */
	uint32_t result;  /* how its last process ended (enum service_result), and its status, as in PROC_STATE */
	int32_t status;
};

/* The table `app_off`, made when it is not there yet, into the apps that are known. */
int state_load_off(struct ctl *c);
/* It filled the disk, or used up its inodes, and was ended (DISK): from now on it is stopped. Or it is asked who did. */
void off_heard_disk(struct ctl *c, const struct msg *m);
/* inodes.c: have it counted who made files, by DISK of INODES_WHO and what is packed behind it; answered to the parent. */
void inodes_ask(struct ctl *c, const struct msg_disk *d, const char *tail, size_t n);
/* For a flow that takes the app live: it is not stopped any more. */
void off_clear(struct ctl *c, struct app *a);
/* A new gate is told. */
void off_tell(struct gate_peer *g);
bool off_is(const struct ctl *c, uint32_t number);
/* What `stead status APP` says of it: file, enabled, active, sub and result (systemd's words), status, since_us. */
json_t *off_unit(const struct app *a);
/* start, stop APP, enable, disable. */
void off_start(struct client *cl);
/* A process of it is in another phase, or gone. */
void off_heard(struct ctl *c, const struct msg_proc_state *st);

/* ---- off_reload.c: reload APP ---- */
void off_reload(struct client *cl);
void off_reload_settle(struct client *cl, const struct app *a);
/* Something changed that one of them may have waited for; a worker died; it took too long. */
void off_settle(struct client *cl);
void off_died(struct client *cl, const struct msg_proc_state *st);
void off_late(struct client *cl);

#endif
