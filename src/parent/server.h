/*
 * server.h: the parent as a machine's server, started by an init: the sockets that it was started with (inherit.c) and
 * what systemd is told (notify.c). Part of parent.h.
 */
#ifndef STEAD_PARENT_SERVER_H
#define STEAD_PARENT_SERVER_H

#include "lib/chan.h"
#include "lib/loop.h"

struct parent;

enum { GIVEN_MAX = 64 }; /* listeners that are there before us */

/* What systemd is told (notify.c). */
struct notify {
	int fd;
	struct timer timer;
	uint64_t half_ms; /* of the watchdog's time; 0: there is none */
	bool ready, reloading, stopping;
	bool due; /* the last word is to be said again */
	char status[200];
};
struct server {
	bool on;         /* of the whole machine, for ever: not of one folder, for the command that waits */
	bool reload_due; /* no ctl was there to be told */
	struct notify notify;
	int given[GIVEN_MAX];
	unsigned given_n;
};

/* ---- inherit.c: socket activation ---- */
/* Take note of what LISTEN_FDS names. First of all, with p->server.on set. */
void inherit_init(struct parent *p);
/* A descriptor of the caller's for that address; -ENOENT: it is to be bound. */
int inherit_take(struct parent *p, const char *address);
void inherit_done(struct parent *p);

/* ---- notify.c: a server and systemd ---- */
/* With p->server.on and p->loop set. */
void notify_init(struct parent *p);
/* SERVING: how ctl says that it stands. */
void notify_serving(struct parent *p, struct msg *m);
/* SIGHUP: ctl shall read the configuration again, and systemd waits for that. */
void notify_reload(struct parent *p);
void notify_stopping(struct parent *p);
void notify_done(struct parent *p);
op_done notify_on_timer;

#endif
