/*
 * tcp.h: [Tcp]: connections that are passed on as they are, between a client and a server of an upstream.
 *
 * One struct tcp per gate. What a listener of kind LISTENER_TCP accepts becomes a pair: two ends, each
 * with a descriptor. tcp.c makes and ends pairs, tcp_dial.c finds a server, tcp_copy.c passes bytes on.
 *
 *   DIALS   a server was asked; nothing is read from the client, so nothing is lost when another one is
 *   WAITS   no server has an address yet: names are being looked up
 *   COPIES  bytes go both ways
 *
 * A pair holds no snapshot: what it needs of one it copied. It counts as active at its server, which
 * keeps server and upstream there over reloads. While an end does not take its bytes, at most one of the
 * loop's buffers is held for it and nothing is read from the other end: so the kernel holds the sender
 * back. An idle pair owns no buffer.
 */
#ifndef STEAD_GATE_TCP_H
#define STEAD_GATE_TCP_H

#include "conn.h"
#include "gate.h"
#include "up.h"

enum { TCP_CLIENT = 0, TCP_SERVER = 1 };
enum tcp_state { TCP_DIALS = 1, TCP_WAITS, TCP_COPIES };

/* What comes in by one listener; of the snapshot that serves. */
struct tcp_service {
	uint32_t listener;
	struct upstream *u;
	uint32_t idle_ms;
	uint32_t send_proxy;
};

struct tcp_end {
	struct lfd lfd;
	struct op recv;
	struct send_op send; /* to this end */
	char *held;          /* what is being sent to it, when it did not go at once */
	uint64_t bytes;      /* received from it */
	uint8_t index;       /* TCP_CLIENT, TCP_SERVER */
	bool eof;            /* it says nothing more */
};

struct tcp_pair {
	struct tcp_end end[2];
	struct op connect;
	struct timer timer; /* DIALS, WAITS: the deadline; COPIES: looks whether anything moved */
	struct tcp_pair *next, *prev;
	struct gate *gate;
	struct upstream *u;
	struct up_server *server; /* NULL: none is asked */
	uint64_t start_us, moved_ms;
	uint32_t connect_us;      /* until a server took it */
	uint32_t idle_ms;
	uint16_t peer_port;
	uint8_t peer[16]; /* IPv4 in its mapped form; all zero: not known */
	uint8_t state;    /* enum tcp_state */
	uint8_t send_proxy;
	uint8_t why;      /* of the last failed try */
	uint8_t tries, ntried;
	const struct up_server *tried[UP_TRIED_MAX]; /* only compared */
};
_Static_assert(sizeof(struct tcp_pair) <= 900, "an idle pair stays below 1 KB");

struct tcp {
	struct gate *gate;
	struct tcp_service *services;
	unsigned nservices;
	struct tcp_pair *pairs;
	unsigned n, waiting;
};

/* tcp.c */
int tcp_new(struct gate *g);
/* Every pair ends. Before up_free(). */
void tcp_free(struct gate *g);
/* A new snapshot serves; the upstreams know it already. */
void tcp_on_snap(struct gate *g, const struct snap *s);
/* Does the snapshot say where this listener's connections go? Until then none is accepted. */
bool tcp_knows(const struct gate *g, uint32_t listener);
/* Takes fd. */
void tcp_accept(struct listener *ls, int fd, const struct sockaddr *peer, socklen_t len);
void tcp_end_all(struct gate *g, enum close_id why);
/* It is over: both ends are closed, the pair is freed. */
void tcp_end(struct tcp_pair *p, enum close_id why);
op_done tcp_on_timer;

/* tcp_dial.c: ask a server, and then others, until one takes the connection or none is left. */
void tcp_dial(struct tcp_pair *p);
/* The server is not its any more. */
void tcp_leave(struct tcp_pair *p);
/* Addresses of this upstream's servers became known. */
void tcp_on_resolved(struct upstream *u);
/* The time for it is over. */
void tcp_dial_timeout(struct tcp_pair *p);
op_done tcp_on_connect;
/* A PROXY header (the PROXY protocol, sections 2.1 and 2.2) for a connection from `from` to `to`;
 * addresses of 16 bytes, IPv4 mapped; from NULL: not known. Its length; at most TCP_PROXY_MAX. */
enum { TCP_PROXY_MAX = 108 };
size_t tcp_proxy_header(unsigned version, const uint8_t *from, uint16_t from_port, const uint8_t *to,
	uint16_t to_port, char ret[static TCP_PROXY_MAX]);

/* tcp_copy.c: both ends are connected. */
void tcp_copy(struct tcp_pair *p);
op_done tcp_on_recv, tcp_on_send;

/* tcp_record.c: its access record. */
void tcp_record(struct tcp_pair *p, enum close_id why);
/* A socket's address in 16 bytes. False: it has none of IP. */
bool tcp_address(const struct sockaddr *sa, socklen_t len, uint8_t ret[16], uint16_t *ret_port);

#define TCP_OP_TABLE                                                                               \
	[OP_TCP_RECV] = tcp_on_recv, [OP_TCP_SEND] = tcp_on_send, [OP_TCP_CONNECT] = tcp_on_connect, \
	[OP_TCP_TIMER] = tcp_on_timer

#endif
