/*
 * admit.h: who may connect, and who a connection is from: ConnectionsMax= and ProxyProtocol=.
 *
 * Both are settings of sites, and a connection comes before any site is named. So networks of
 * ProxyProtocol= are those of all sites together; and a connection is refused at once only when every site
 * would refuse it. Else it is let in with its place in the row of its address (conn->nth), and the site
 * that its first request names refuses it there: never one of the older ones.
 */
#ifndef STEAD_GATE_ADMIT_H
#define STEAD_GATE_ADMIT_H

#include "phases.h"

#include <sys/socket.h>

struct conn;
struct gate;

struct admit {
	uint8_t address[16];
	uint32_t nth; /* of its address' connections, itself included; 0: it was not counted */
	bool proxy;   /* it must begin with a PROXY header */
};

int admit_new(struct gate *g);
void admit_free(struct gate *g);
/* There is another snapshot. */
void admit_on_snap(struct gate *g);
/* A connection comes. False: it is one too many; nothing is kept of it. *ret is zero for one that no
 * setting concerns. */
bool admit_peer(struct gate *g, const struct sockaddr *peer, socklen_t len, struct admit *ret);
/* It ended, or came to nothing. */
void admit_leave(struct gate *g, const struct admit *a);
/* What a refused connection is told, without waiting. */
void admit_refuse(struct gate *g, int fd);
/* The same, of a connection whose client a PROXY header names. */
bool admit_named(struct conn *c, const uint8_t address[16]);
/* 503 and the end for a connection whose place in its address' row is beyond the site's ConnectionsMax=. */
enum phase_end phase_connections(struct req *r);

/* proxy_in.c: take the PROXY header that a connection must begin with. True: it is whole, and what came
 * behind it is the client's; false: more is needed, or the connection ended. */
bool proxy_in(struct conn *c);
void proxy_in_free(struct conn *c);
/* It ends for its header: counted, and said now and then. */
void proxy_in_bad(struct conn *c);

#endif
