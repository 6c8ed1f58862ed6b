/*
 * conn.h: one client's connection, whatever protocol it speaks.
 *
 * A connection is small while it is idle: no buffer, no arena, one timer. What a request needs
 * hangs on `h1` and goes with it. It ends exactly once, in conn_end(), with one close reason.
 */
#ifndef STEAD_GATE_CONN_H
#define STEAD_GATE_CONN_H

#include "admit.h"
#include "gate.h"
#include "ledger.h"
#include "lib/must.h"

struct h1;
struct h2;
struct tls_conn;
struct proxy_part;

struct listener {
	struct listener *next;
	struct gate *gate;
	struct lfd lfd;
	struct op op;
	uint32_t number; /* ctl's */
	unsigned refs;   /* the gate's, and each connection's */
	uint16_t port;
	bool tls, tcp, metrics;
	char local[46];
};

enum conn_state { CONN_FREE = 0, CONN_OPEN, CONN_LINGER, CONN_ENDED };

struct conn {
	struct lfd lfd;
	struct op recv;
	struct op hup; /* waits while nothing is received, to hear that the client is gone */
	struct timer timer;
	struct conn *next, *prev; /* of the gate's; next alone: spare */
	struct gate *gate;
	struct listener *listener;
	struct h1 *h1; /* NULL: idle, or HTTP/2 */
	struct h2 *h2; /* it speaks HTTP/2 */
	struct tls_conn *tls; /* NULL: as it is, or nothing has come yet */

	char *in; /* received and not yet used; lent, or taken when in_taken */
	uint32_t in_at, in_len;
	bool in_taken, eof, receiving, hup_waits;
	uint8_t began;  /* bytes of HTTP/2's preface that came alone, and stand nowhere */
	bool proxy_due; /* it must begin with a PROXY header, which is not whole yet */
	bool peer_tls;  /* … which said that the client's own connection is encrypted */
	uint8_t state; /* enum conn_state */
	uint8_t busy;  /* calls of this connection on the stack: it is freed when they are gone */
	uint8_t why;   /* enum close_id, while lingering and after the end */
	uint32_t linger_bytes;

	uint32_t idle_ms; /* how long it may be idle: of the site that its last request was for */
	uint32_t nth;     /* of its address' connections when it came; 0: it is not counted */
	struct proxy_part *proxy_part;

	struct ledger ledger;
	uint64_t since_ms; /* idle since; or: lingers since */
	uint64_t eof_us;

	uint16_t peer_port;
	char peer[46];
};
_Static_assert(sizeof(struct conn) <= 416, "an idle connection is small");

/* A connection just accepted; takes fd. -ENOMEM, or loop_add()'s. */
int conn_new(struct gate *g, int fd, struct listener *from, const struct sockaddr *peer,
	socklen_t peer_len, const struct admit *as);
/* End it now; what it ran is told. Harmless when it ended already. */
void conn_end(struct conn *c, enum close_id why);
/* Say the end to the client, but read on for a while, so that a reset does not overtake the answer
 * (RFC 9112 section 9.6). */
void conn_linger(struct conn *c, enum close_id why);
static inline bool conn_open(const struct conn *c)
{
	return c->state == CONN_OPEN;
}
/* Around everything that may end it: between the two c stays allocated. */
static inline void conn_enter(struct conn *c)
{
	must(c->busy < 200);
	c->busy++;
}
void conn_leave(struct conn *c);

/* Received bytes not used yet; conn_used() drops them from the front. */
static inline char *conn_in(struct conn *c, size_t *ret_n)
{
	*ret_n = c->in_len - c->in_at;
	return c->in ? c->in + c->in_at : NULL; /* an idle connection has no buffer */
}
static inline void conn_used(struct conn *c, size_t n)
{
	c->in_at += (uint32_t)n;
}
/* Receive more, or not; with bytes left over the buffer is kept until they are used. */
void conn_receive(struct conn *c, bool on);
/* Give the bytes to the protocol that is spoken; and drop them when they are used. */
void conn_run(struct conn *c);
void conn_drop_input(struct conn *c);
/* As loop_send(), encrypted where the connection is; the same of the others. */
int conn_send(struct conn *c, struct send_op *s);
void conn_send_cancel(struct conn *c);
/* Nothing more is sent. -errno. */
int conn_shut(struct conn *c);
/* Hear of the client's end without receiving. */
void conn_watch(struct conn *c);
/* Until when it may be idle, in loop_now_ms() time. */
uint64_t conn_idle_due(const struct conn *c);
/* The timer fires in ms at the latest. */
void conn_wake_in(struct conn *c, uint64_t ms);
/* The gate's connections: all, or those that carry no tunnel. */
enum conn_which { CONN_ALL, CONN_NO_TUNNEL };
void conn_end_all(struct gate *g, enum conn_which which, enum close_id why);
/* How many there are, and how many of them are tunnels. */
void conn_count(const struct gate *g, uint32_t *ret_conns, uint32_t *ret_tunnels);
/* Spare objects, at the gate's end. */
void conn_free_spares(struct gate *g);

op_done conn_on_recv, conn_on_hup, conn_on_timer;

/* accept.c */
int accept_listen(struct gate *g, uint32_t number, enum listener_kind kind, int fd, const char *address);
/* Listeners that waited for the snapshot that knows them. */
void accept_resume(struct gate *g);
void accept_unlisten(struct gate *g, uint32_t number);
void accept_unlisten_all(struct gate *g);
void listener_unref(struct listener *ls);
op_done accept_on, accept_on_timer;

/* Who asks in r, and by which way, as it is known of the connection. */
void conn_describe(const struct conn *c, struct req *r);

#endif
