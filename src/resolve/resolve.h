/*
 * resolve.h: the parts of stead-resolve: names.c questions for addresses and their answers, caa.c what certs wants to
 * know of a name, spread.c whether a record has reached the servers of its zone, sockets.c c-ares' sockets and time on the loop, jail.c what is left to the process.
 */
#ifndef STEAD_RESOLVE_H
#define STEAD_RESOLVE_H

#include "aide/aide.h"

#include <time.h>

enum { OP_RESOLVE_IN = OP_USER, OP_RESOLVE_OUT, OP_RESOLVE_TIMER, OP_RESOLVE_SPREAD, OP_RESOLVE_END };
enum { SOCKETS_MAX = 64, QUERIES_MAX = 1024, SPREADS_MAX = 16 };

struct ares_channeldata;
struct resolver;

/* One channel of c-ares. */
struct lookups {
	struct lookups *next; /* of resolver.others */
	struct resolver *resolver;
	struct ares_channeldata *channel;
};
struct socket_place {
	struct resolver *resolver;
	struct lookups *of;
	struct lfd lfd;
	struct op in, out;
	bool reads, writes;
};
struct query;
struct caa_query;
struct spread;
struct resolver {
	struct aide aide;
	struct loop *loop;
	struct lookups names, caa, *others; /* others: of single servers */
	struct timespec conf_time; /* of resolv.conf, as read */
	uint64_t conf_looked_ms;
	struct query *queries;
	struct caa_query *caa_queries;
	struct spread *spreads;
	unsigned queries_n, caa_n, spreads_n; /* of all kinds; of those */
	struct timer timer;
	struct socket_place sockets[SOCKETS_MAX];
};

/* Read the system's settings. 0 or -errno. */
int names_open(struct resolver *r);
void names_heard(struct aide *a, struct aide_peer *from, struct msg *m);
void names_gone(struct aide *a, struct aide_peer *peer);

/* caa.c: as those of names.c. */
int caa_open(struct resolver *r);
void caa_heard(struct resolver *r, struct aide_peer *from, const struct msg *m);
void caa_gone(struct resolver *r, const struct aide_peer *peer);

/* spread.c: SPREAD is answered with SPREAD_TOLD. */
void spread_heard(struct resolver *r, struct aide_peer *from, const struct msg *m);
void spread_gone(struct resolver *r, const struct aide_peer *peer);
op_done spread_on_turn;

void sockets_init(struct resolver *r);
/* c-ares' own callback: what it waits for on a socket. arg: struct lookups. */
void sockets_want(void *arg, int fd, int reads, int writes);
/* Behind every call into c-ares: when must it be called again? */
void sockets_time(struct resolver *r);
op_done sockets_on_readable, sockets_on_writable, sockets_on_timer;

/* From here on: sockets of the internet, and the files about names. 0 or -errno. For ever. */
int resolve_jail_close(void);

#endif
