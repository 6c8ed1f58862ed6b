/*
 * gate.h: one gate as an object: everything that its files share. No state lives outside of it, so
 * several gates live in one simulator.
 */
#ifndef STEAD_GATE_GATE_H
#define STEAD_GATE_GATE_H

#include "lib/arena.h"
#include "lib/chan.h"
#include "lib/logring.h"
#include "lib/loop.h"
#include "snap/snap.h"
#include "stream.h"
#include "tbl/tbl.h"

/* Op kinds of this process; gate_ops[] (main.c) says who hears of each. */
enum gate_op {
	OP_ACCEPT = OP_USER,
	OP_ACCEPT_TIMER,
	OP_CONN_RECV,
	OP_CONN_TIMER,
	OP_CONN_HUP,
	OP_H1_SEND,
	OP_H1_TURN,
	OP_H2_SEND,
	OP_H2_TURN,
	OP_ACCESS_FLUSH,
	OP_DRAIN_TIMER,
	OP_AUTH_TICK,
	OP_TCP_RECV,
	OP_TCP_SEND,
	OP_TCP_CONNECT,
	OP_TCP_TIMER,
	OP_SCRAPE_TIMER,
	OP_CACHE_TURN,
	OP_CACHE_TIMER,
	OP_TLS_TURN,
	OP_TLS_SEND,
	OP_TLS_DEMAND,
	OP_TLS_KEPT,
	OP_FAKE_TURN, /* test/unit/gate only */
	OP_APP = 48,  /* to_app's own kinds begin here (TO_APP_OP_TABLE) */
	OP_UP = 56,   /* backends' own kinds begin here (UP_OP_TABLE) */
	OP_GATE_END = 64
};

struct conn;
struct to_app;
struct up;
struct tcp;
struct filecache;
struct scrape;
struct mime;
struct aide_link;
struct auth;
struct cache;
struct regexes;
struct compressors;
struct outbuf;
struct limiter;
struct admission;
struct maintenance;
struct challenges;
struct listener;
struct handler_ops;
struct tls_server;

/* What the gate goes by where no site is known yet: the default site's; the largest head of all. */
struct gate_limits {
	uint32_t header_ms, idle_ms, rate_min, head_max;
};

struct gate {
	struct loop *loop;
	uint64_t generation;
	uint32_t index, gates;
	uint32_t place; /* as in msg_start */
	bool root; /* jailed: folders lie below this process's own root */
	bool parent_hello, started;

	struct chan parent; /* fd 3 */
	struct chan ctl;    /* closed (chan_open() false) while there is none */
	bool ctl_hello;

	struct aide_link *aides; /* [AIDE_KINDS] */
	struct cache *cache;     /* NULL: no route ever had one */
	struct auth *auth;       /* NULL: nobody asked for a password yet */

	struct snap *snap; /* what serves now; NULL before the first */
	uint64_t refused;  /* the generation of a later one that was not taken, and why */
	int refused_err;
	struct gate_limits limits;
	struct limiter *limiter;     /* what is counted over all gates */
	struct admission *admission; /* who may connect */
	bool admits;                 /* … is looked at: some site has such a setting */

	struct arena_pool pool; /* blocks of requests */
	uint64_t req_seq;
	uint64_t ids[4]; /* state of the generator of requests' public ids */
	const struct stream_ops *const *protos;    /* [PROTO_END] */
	const struct handler_ops *const *handlers; /* [HANDLER_END] */

	/* connections */
	struct listener *listeners;
	struct conn *conns;      /* every open one */
	struct conn *conns_free; /* spare objects */
	unsigned conns_n, conns_free_n, conns_max;
	struct outbuf *out_free; /* spare buffers of answers under way */
	unsigned out_free_n;
	uint64_t budget_used, budget_max; /* bytes of answers and bodies held for slow peers */

	/* what requests leave behind */
	struct logring_writer ring;
	struct op access_flush;
	bool ring_ready;
	uint64_t records; /* written */
	struct counters_page *counters;
	int counters_fd;
	uint64_t closes[CLOSE_END]; /* connections that ended, by reason */
	uint64_t access_ts_s;       /* the second that access_ts shows */
	char access_ts[20];
	uint64_t date_s; /* the second that date shows */
	char date[32];   /* IMF-fixdate */

	struct filecache *files;
	struct mime *mime;
	struct regexes *regexes;
	struct compressors *compressors;
	struct to_app *to_app;
	struct up *up;           /* backends */
	struct tcp *tcp;         /* connections that are passed on */
	struct tls_server *tls;  /* towards clients; NULL: none has come */
	struct challenges *challenges;   /* of certificate authorities; NULL: none has come */
	struct maintenance *maintenance; /* what ctl said since the snapshot; NULL: nothing */

	bool draining;
	uint64_t drain_began_ms, drain_end_ms, tunnel_end_ms, tunnel_leave_ms;
	uint32_t drain_idle_ms; /* for each connection, from then or from its last answer on */
	uint64_t drain_tell_ms; /* the parent is told what is left; 0: nothing has changed */
	struct scrape *scrapes; /* requests on the port of Metrics= that wait for ctl */
	struct timer scrape_timer;
	struct timer drain_timer;
	struct timer accept_timer; /* retry after EMFILE */
	void *test;                /* a test's own */
};

/* Make a gate on this loop, without channels: main.c and tests add what they need. 0 or -errno; the
 * caller frees it with gate_free(). protos and handlers outlive it. */
int gate_new(struct gate **ret_gate, struct loop *l, const struct stream_ops *const *protos,
	const struct handler_ops *const *handlers);
void gate_free(struct gate *g);
/* The snapshot that serves from now on; takes the reference. */
void gate_set_snap(struct gate *g, struct snap *s);
/* Begin to end: no new connections, answers say close, all of it over in drain_ms but tunnels,
 * which have tunnel_ms. Again: not later than that. gate_drained() is called when nothing is left.
 */
void gate_drain(struct gate *g, uint32_t drain_ms, uint32_t tunnel_ms);
/* Is it time for tunnels to take leave of their clients? */
bool gate_leaves(const struct gate *g);
void gate_drained(struct gate *g);
/* A connection is gone: while draining, it may have been the last. */
void gate_left(struct gate *g);
op_done drain_on_timer;
/* The first message of every channel, both ways. */
void gate_hello(struct chan *c);
bool gate_hello_holds(const struct msg *m);
/* Emit an event; name/value pairs, closed by a NULL name. Dropped while there is no ring. */
void gate_event(struct gate *g, enum event ev, const char *name, ...) __attribute__((sentinel));

static inline void gate_count(struct gate *g, enum metric m, int64_t n)
{
	_Atomic uint64_t *c = &g->counters->gate[m];

	__atomic_store_n((uint64_t *)c,
		__atomic_load_n((uint64_t *)c, __ATOMIC_RELAXED) + (uint64_t)n, __ATOMIC_RELAXED);
}

#endif
