/*
 * up.h: the gate's side of every backend: upstreams, their servers, connections to them, and calls: one
 * question to a backend and its answer, whoever asks.
 *
 * One struct up per gate. An upstream is kept by its name over snapshots, and so are its servers (by
 * number and address): their connections, health and counts outlive a reload. A call lies in its owner's
 * memory and names its owner by a small number (up_owners[]): a proxied request, a question of forward
 * auth, a probe. up_call.c drives it with the codec of the upstream's protocol (up_codec.h).
 *
 * What fails and when another server is asked instead: a call whose connection was refused, or lost on a
 * kept connection before the backend can have read it, goes to another server whatever its method; one
 * that was lost later only if its method is idempotent (RFC 9110 section 9.2.2), no byte of an answer
 * came and its body can be sent again; never more often than the upstream's `retry`.
 */
#ifndef STEAD_GATE_UP_H
#define STEAD_GATE_UP_H

#include "gate.h"
#include "up_codec.h"

#include <netinet/in.h>
#include <sys/un.h>

struct service;
struct tls;
struct up_call;
struct up_conn;
struct upstream;

enum {
	UP_OP_RECV = 0,
	UP_OP_SEND,
	UP_OP_CONNECT,
	UP_OP_CALL_TIMER,
	UP_OP_CALL_TURN,
	UP_OP_TICK,
	UP_OP_TURN,
	UP_OPS
};
op_done up_conn_on_recv, up_conn_on_send, up_conn_on_connect, up_call_on_timer, up_call_on_turn,
	up_on_tick, up_on_turn;
#define UP_OP_TABLE(base)                                                                          \
	[(base) + UP_OP_RECV] = up_conn_on_recv, [(base) + UP_OP_SEND] = up_conn_on_send,          \
		  [(base) + UP_OP_CONNECT] = up_conn_on_connect,                                   \
		  [(base) + UP_OP_CALL_TIMER] = up_call_on_timer,                                  \
		  [(base) + UP_OP_CALL_TURN] = up_call_on_turn, [(base) + UP_OP_TICK] = up_on_tick, \
		  [(base) + UP_OP_TURN] = up_on_turn

enum {
	UP_ADDRESSES_MAX = 8, /* of one name */
	UP_TRIED_MAX = 8,
	UP_TICK_MS = 1000,
	UP_IDLE_MS = 60000,   /* a kept connection that nobody used */
	UP_SPARE_MS = 1000,   /* … beyond KeepAlive= */
	UP_SHARE_MS = 1000,   /* a connection is kept at most so long where each holds a process: see up_conn_keep() */
	UP_SPARE_MAX = 1024,  /* kept beyond KeepAlive= for so short, of one upstream */
	UP_OUT_MIN_MS = 1000, /* a failed server rests so long, then twice as long, … */
	UP_OUT_MAX_MS = 60000,
};

/* Bytes that wait, in one growing piece, charged to the gate's budget. */
struct up_buf {
	char *p;
	uint32_t at, len, cap;
};

union up_address {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un un;
};

struct up_server {
	struct up_server *next;
	struct upstream *u;
	uint32_t kind, number, weight; /* enum snap_server_kind */
	uint16_t port;
	bool known;                    /* in the snapshot that serves */
	char *name;                    /* UNIX: path; NAME: host; else as text */
	char *label;                   /* as the access record shows it: unix:PATH, HOST:PORT */
	uint32_t label_len;
	uint8_t addresses[UP_ADDRESSES_MAX][16]; /* IPv4 in its mapped form */
	uint8_t naddresses, address_at;
	uint64_t resolve_at_ms;        /* NAME: ask again then */
	bool resolving;
	uint64_t hash;                 /* of what it is: for consistent hashing and the sticky cookie */

	/* health */
	uint32_t fails;        /* in a row */
	uint32_t out_ms;       /* it rested so long the last time */
	uint64_t out_until_ms; /* 0: it is in */
	bool trial;            /* one call tries whether it is well again */
	bool probed_down;      /* active probes say so */
	bool told_socket;      /* the log says that its Unix socket cannot be reached */
	uint32_t probe_fails;
	struct up_probe *probe; /* under way */
	struct service *service; /* a program that stead runs: service.c says what becomes of it */
	uint64_t up_since_ms;  /* slow start */

	/* balance */
	int64_t current;
	uint32_t active;
	uint32_t fresh; /* calls on new connections that no byte came on yet */

	struct up_call *calls; /* that were given to it and are not over */
	struct up_conn *idle; /* kept connections, newest first */
	unsigned conns;       /* all of them, kept or not */
	void *tls_session;    /* SSL_SESSION, to resume */
};

struct upstream {
	struct upstream *next, *name_next; /* of all; of those whose names share a bucket */
	struct up *up;
	char *name;
	bool known, needs_length; /* of the protocol: up_codec.h */
	uint32_t number, protocol, balance, flags;
	uint32_t check_ms, fail_max, retry, keep_alive, slow_start_ms;
	uint32_t connections_max; /* to one server; 0: no bound */
	uint32_t idle_ms;
	uint32_t queue, queue_timeout_ms, timeout_ms;
	uint32_t app; /* its servers are runs of that app's program; 0: those of the snapshot */
	char *check;  /* NULL: no probes */
	char *sticky; /* the cookie's name; NULL none */
	uint8_t sticky_key[16];
	struct up_server *servers;
	uint32_t active, weights;
	unsigned idle_n;
	struct up_call *first, *last; /* wait for a server */
	unsigned queued;
	uint64_t probe_at_ms;
	bool told_down; /* the log says that no server of it works */
	bool room;      /* a server of it may take a waiting call: looked at in the turn */
	char *script_root, *script_index; /* FastCGI: for probes; NULL: it runs no scripts */
};

struct up_conn {
	struct lfd lfd;
	struct op recv, connect;
	struct send_op send;
	struct up_conn *next, *prev; /* idle; or next alone: dead */
	struct gate *gate;
	struct up_server *server;    /* NULL: dead */
	struct up_call *call;        /* NULL: idle */
	struct tls *tls;
	char *in;                    /* received, not yet used; lent, or taken when in_taken */
	uint32_t in_at, in_len;
	bool in_taken, receiving, sending, connected, eof, idle, shut_wanted;
	uint32_t served;             /* answers that were whole */
	uint64_t idle_since_ms, born_ms;
	struct up_buf out;           /* not taken by the socket yet */
};

enum up_owner { UP_OWNER_NONE = 0, UP_OWNER_PROXY, UP_OWNER_AUTH, UP_OWNER_PROBE, UP_OWNER_CACHE, UP_OWNER_END };
enum up_call_state { UP_CALL_NEW = 0, UP_CALL_QUEUED, UP_CALL_CONNECTING, UP_CALL_ASKED, UP_CALL_TUNNEL, UP_CALL_OVER };

/* One question. The owner fills ask, arena, owner and body_may_repeat, and zeroes the rest. */
struct up_call {
	struct gate *gate;
	struct up_ask ask;
	struct arena *arena;
	struct upstream *u;
	struct up_server *server;
	struct up_conn *conn;
	const struct up_codec *codec;
	struct up_answer answer;
	uint8_t owner; /* enum up_owner */
	uint8_t state; /* enum up_call_state */
	uint8_t fail_why; /* to be told in the turn */
	uint8_t last_why; /* of the try before */
	unsigned tries;
	bool body_may_repeat; /* pull() can begin again */
	bool body_begun, body_ended, head_told, reused, counted, blocked;
	bool half;            /* tunnel: the backend has ended its side */
	bool fresh;           /* counted in its server's `fresh` */
	uint32_t idle_ms;     /* tunnel: it ends when so long nothing moved */
	uint32_t timeout_ms;  /* for the head of the answer; 0: the upstream's */
	bool connect_only;    /* a probe that asks nothing */
	bool pinned;          /* only `server` may answer (a probe) */
	const char *hold;     /* of the answer's body: not taken by the owner yet */
	size_t hold_len;
	bool hold_last;
	struct timer timer;
	struct op turn;
	uint64_t moved_ms, queue_until_ms;
	uint64_t begin_us;
	struct req_up *told; /* who was asked, and what came of it; NULL: nobody wants to know */
	struct up_call *next, *prev; /* of those that wait; while it is counted, of its server's */
	uint64_t key;         /* consistent hash: of the client's address */
	uint32_t sticky_number; /* the cookie's server; UINT32_MAX: none */
	unsigned ntried;
	const struct up_server *tried[UP_TRIED_MAX];
};

/* What the owners are told. None is called from inside up_call_begin(), up_call_kick() … but always from
 * the loop; the owner may cancel the call in any of them. */
struct up_owner_ops {
	/* A 1xx answer. May be NULL. */
	void (*interim)(struct up_call *c, const struct up_head *h);
	/* The head; `end`: no body follows. */
	void (*head)(struct up_call *c, struct up_head *h, bool end);
	/* Returns how many bytes were taken; the rest is offered again after up_call_room(). `last`: the
	 * answer ends behind them. */
	size_t (*body)(struct up_call *c, const char *p, size_t n, bool last);
	void (*trailers)(struct up_call *c, const struct field *f, unsigned n); /* may be NULL */
	/* The answer is whole, the call over. */
	void (*end)(struct up_call *c);
	/* The call is over. */
	void (*fail)(struct up_call *c, enum close_id why, unsigned retry_after_s);
	/* The next bytes of the request's body: *ret_n bytes at *ret_p; 0 none now. *ret_end: none follows
	 * them. NULL: there is no body. */
	void (*pull)(struct up_call *c, const char **ret_p, size_t *ret_n, bool *ret_end);
	/* n bytes of what pull() gave are taken. */
	void (*pulled)(struct up_call *c, size_t n);
	/* The body is sent again from its beginning (body_may_repeat). */
	void (*rewind)(struct up_call *c);
	/* FastCGI's stderr. May be NULL. */
	void (*log)(struct up_call *c, const char *p, size_t n);
};
extern const struct up_owner_ops *const up_owners[UP_OWNER_END];

enum { UP_BUCKETS = 2048 };
struct up {
	struct gate *gate;
	struct upstream *all;
	struct upstream *by_name[UP_BUCKETS];
	struct upstream **by_index; /* of the snapshot that serves */
	unsigned nby_index;
	const struct snap *snap;
	struct service *services;
	struct app_down *downs; /* apps none of whose programs comes up */
	struct up_conn *dead;
	struct op turn;
	struct timer tick;
	void *tls_ctx, *tls_ctx_noverify;
	int ca_fd;
	bool room;        /* of some upstream */
	uint64_t spooled; /* bytes of buffered bodies in files */
	uint16_t op_base;
};

/* up_upstream.c */
int up_new(struct up **ret, struct gate *g, uint16_t op_base);
/* Every call must have been cancelled before. */
void up_free(struct up *up);
/* A new snapshot serves. */
void up_on_snap(struct up *up, struct snap *s);
/* An upstream by its index in s; NULL when there is none. */
struct upstream *up_find(struct up *up, struct snap *s, uint32_t index);
/* Look at rests, probes, queues and idle connections again, at the latest in ms. */
void up_tick_in(struct up *up, uint64_t ms);
/* Somebody who looks names up is there, or is gone: what is not known is to be asked. */
void up_ask_again(struct up *up);
/* A name was looked up: n addresses (0: it failed, the old ones stay), good for ttl_ms. */
void up_on_resolved(struct up *up, const char *name, const uint8_t (*addresses)[16], unsigned n, uint32_t ttl_ms);

/* A server that no snapshot names, with an address (IPv4 in its mapped form) or a Unix socket; not known yet. NULL: no
 * memory. */
struct up_server *up_server_add(struct upstream *u, uint32_t number, const char *path, const uint8_t *address, uint16_t port);

/* up_balance.c: the server for a call; NULL: none is usable that was not tried yet. */
struct up_server *up_pick(struct upstream *u, struct up_call *c);
bool up_server_usable(const struct up_server *s, uint64_t now_ms);
uint64_t up_siphash(const uint8_t key[16], const void *p, size_t n);

/* up_health.c */
void up_server_failed(struct up_server *s);
void up_server_answered(struct up_server *s);
/* It could not be connected to, and why: of a Unix socket the log says what to do. Before up_server_failed(). */
void up_server_refused(struct up_server *s, int err);
/* Probe each server of u, but for those that a probe is under way to. */
void up_probe(struct upstream *u);
void up_probe_cancel(struct up_server *s);
/* One, by this path. */
void up_probe_server(struct up_server *s, const char *path);
/* Of [Tcp]: no server took a connection, or one does again. Told once each. */
void up_tell_down(struct upstream *u, const char *why);
void up_tell_back(struct upstream *u);
extern const struct up_owner_ops up_probe_owner;

/* up_upstream.c. When who got that answer may come again; 0: it is not said. */
unsigned up_retry_after_s(const struct upstream *u, enum close_id why);

/* up_call.c */
/* Ask u. What comes of it is told through the owner's ops. */
void up_call_begin(struct up_call *c, struct upstream *u);
/* There is more of the request's body, or it has ended. */
void up_call_kick(struct up_call *c);
/* The owner takes bytes of the answer again. */
void up_call_room(struct up_call *c);
/* Forget it; harmless when it is over or was never begun. Nothing more is told. */
void up_call_cancel(struct up_call *c);
/* Waiting calls of u, now that a server may be usable. */
void up_call_dispatch(struct upstream *u);
/* Probes (pinned): ask this server. */
void up_call_begin_at(struct up_call *c, struct up_server *s);

/* up_answer.c and up_conn.c: leave server and connection; the connection is the caller's to close or keep. */
struct up_conn *up_call_leave(struct up_call *c);
/* A byte of the answer came, or none will: it is not fresh any more. */
void up_call_heard(struct up_call *c);
/* It is over with a fault, and its owner is told. Not from inside an owner's own call. */
void up_call_over(struct up_call *c, enum close_id why);
void up_call_wake_in(struct up_call *c, uint64_t ms);
void up_call_connected(struct up_call *c);
void up_call_lost(struct up_call *c, int err, bool connecting);
/* The backend said that it does not take this question: another may, whatever its method. */
void up_call_refused(struct up_call *c, enum close_id why);
void up_call_deliver(struct up_conn *n);
void up_call_sent(struct up_call *c);

/* up_drain.c */
/* It was given to that server, or is over. */
void up_call_link(struct up_call *c);
void up_call_unlink(struct up_call *c);
/* All calls to it but tunnels are over for that reason. */
void up_server_end_calls(struct up_server *s, enum close_id why);

/* up_conn.c */
/* Where to connect to, of several addresses in turn. 0: there is none. */
socklen_t up_server_address(struct up_server *s, union up_address *ret);
struct up_conn *up_conn_idle(struct up_server *s);
/* Each connection holds a process that another gate may wait for. */
bool up_is_shared(const struct upstream *u);
/* A new one; its call hears of it. 0 or -errno. */
int up_conn_open(struct up_server *s, struct up_call *c);
void up_conn_close(struct up_conn *n);
/* Keep it for the next call, or close it. */
void up_conn_keep(struct up_conn *n, bool may);
/* Send all of iov; what the socket does not take waits in n->out. 0 or -errno. */
int up_conn_write(struct up_conn *n, const struct iovec *iov, unsigned cnt);
void up_conn_receive(struct up_conn *n);
/* Say that nothing more is sent, behind what waits. */
void up_conn_shut(struct up_conn *n);
void up_conn_drop_input(struct up_conn *n);
void up_conn_close_idle(struct up_server *s, uint64_t older_than_ms);
/* Of those that the upstream keeps beyond KeepAlive=, the ones unused since before. */
void up_conn_close_spare(struct up_server *s, uint64_t older_than_ms);

int up_buf_put(struct gate *g, struct up_buf *b, const void *p, size_t n);
void up_buf_drop(struct gate *g, struct up_buf *b, size_t n);

/* up_forward.c: target, path and query as others shall read them, without the first `strip` bytes of the path.
 * 0, or minus the enum close_id. */
int up_target(struct req *r, struct up_ask *a, size_t strip);
/* up_forward.c: fill everything of c->ask from the request. 0, or minus the enum close_id. */
int up_forward(struct req *r, struct up_ask *a);
/* Does this request ask who is here, and not for a backend (Max-Forwards: 0)? */
bool up_forward_ends(const struct req *r);

static inline struct up *gate_up(const struct gate *g)
{
	return g->up;
}

#endif
