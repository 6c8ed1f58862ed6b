/*
 * app_priv.h: what the app handler's files share; for nobody else.
 *
 * A request is QUEUED in its app's queue or SENT to a worker, where it has a seat. The seat
 * outlives the request (seat.a NULL) until the worker has ended it: a late answer then meets
 * nobody, and a frame for an id that has no seat is a broken protocol. A tunnel keeps its seat and
 * its app_req for as long as it lives, but it is no running request: it has no deadline, counts for
 * no worker's load, and is charged to the budget by what waits and not by its window.
 */
#ifndef STEAD_GATE_APP_PRIV_H
#define STEAD_GATE_APP_PRIV_H

#include "link/link_gate.h"
#include "to_app.h"

enum {
	APP_SERVICE_FAST_US = 1000, /* only below it is anything given to a busy worker */
	APP_AHEAD_US = 1000,        /* … and only so much work */
	APP_AHEAD_SEVERAL_US = 400, /* … where another worker could do it meanwhile */
	APP_NAP_US = 500,           /* at most so long the gate looks away from busy workers */
	APP_NAP_PART = 8,           /* … and at most this part of what the queue's first has waited */
	APP_NAP_MIN_US = 30,        /* a shorter nap saves nothing */
	APP_NAPS_MAX = 3,           /* in vain, in a row */
	APP_TICK_MS = 5,            /* then what has not begun is taken back */
	APP_TICK_SLOW_MS = 100,     /* so often is looked at what runs and nobody waits for */
	APP_RETRY_AFTER_S = 2,
	APP_PROBES_MAX = 8, /* that wait at once, besides Queue= */
	APP_FAR_BLOCK = 64, /* far seats are made so many at a time */
};

/* Bytes that wait, in one growing piece. */
struct app_buf {
	char *p;
	uint32_t at, len, cap;
};

enum app_req_state { APP_REQ_QUEUED = 1, APP_REQ_SENT };

struct app_req {
	struct req *r;
	struct to_app *t;
	struct app *app;
	struct app_worker *w;        /* SENT */
	struct app_req *next, *prev; /* QUEUED; prev of the first is NULL */
	uint64_t queue_until_ms, queued_us;
	struct timer deadline;
	uint16_t seat;
	uint8_t state; /* enum app_req_state */
	bool replayed; /* given a second time already */
	bool probe;    /* of the site's health: a few have room of their own, before the others */
	bool head_sent;
	bool in_ended, in_end_told; /* the client's body is whole; the worker knows */
	bool in_moved;              /* some of the body has left for a worker */
	bool out_ended;             /* the worker's answer is whole */
	bool pumping;               /* app_pump_in() is on the stack */
	bool tunnel;                /* raw bytes both ways */
	struct app_buf in, out;
	uint32_t in_credit; /* bytes that the worker takes now */
	uint32_t grant;     /* bytes of room not told to the worker yet */
	uint32_t window;    /* the answer's, charged to the budget until its end; not a tunnel's */
	int64_t left;       /* of Content-Length; -1 none was given */
};

struct app_seat {
	uint64_t id;       /* 0: free */
	struct app_req *a; /* NULL: nobody waits any more */
	uint32_t room;     /* body bytes that the worker may still send */
	bool head_seen, stopped;
	bool back;                  /* stopped before it was begun */
	bool may_tunnel, tunnel;    /* it was offered; it is one */
	bool gone_owed, away_owed;  /* a frame that found no room yet */
	uint16_t next_free;         /* of the free far seats; 0: none */
	bool begun; /* it was seen begun, and its own time runs */
	bool late;  /* its time is over: the worker's end does not wait for it */
	uint32_t timeout_ms;
	uint32_t site; /* its row in the counters page */
	uint64_t given_us;
	uint64_t since_us; /* given, seen begun, or nobody waits any more */
};

struct app_worker {
	struct app_worker *next;
	struct to_app *t;
	struct app *app;
	struct msg_worker m; /* who it is */
	struct link_gate link;
	bool up, draining, idle_told, stuck, lost, hold;
	bool away, over; /* draining: tunnels take leave; requests have had their time */
	bool pending;   /* something could not be put into the ring */
	unsigned given; /* requests that have a seat */
	unsigned back;  /* … of which the worker will not begin so many */
	unsigned ran;   /* requests ended and not told to the parent yet */
	uint32_t service_us; /* what a request takes it, as its page said when the turn began */
	unsigned near, far, tunnels;
	uint64_t near_used;  /* a bit for each of the first LINK_SEATS */
	uint16_t far_free;   /* the first free far seat; 0: none yet */
	unsigned far_blocks; /* how many of the next are there */
	struct app_seat *far_block[LINK_FAR / APP_FAR_BLOCK];
	struct app_seat seats[LINK_SEATS];
};

struct app {
	struct app *next;
	uint32_t number;
	bool known; /* in the snapshot that serves */
	bool down; /* ctl says so */
	bool wanted; /* the parent was told that requests wait and there is no worker */
	uint32_t down_retry_s;
	unsigned queued, probes; /* probes: of those that wait */
	unsigned ahead; /* given to workers beyond what their threads run: they wait as well */
	char name[32];
	struct app_req *first, *last;
	struct app_worker *workers;
};

/* A call into the protocol may end the very request that makes it. Who needs it afterwards lays one
 * of these on the list, and finds `a` NULL when it is gone. */
struct app_guard {
	struct app_req *a;
	struct app_guard *up;
};

struct to_app {
	struct to_app_env env;
	struct app *apps;
	unsigned active; /* requests queued and sent */
	struct app_guard *guards;
	bool awake;
	bool away; /* the gate ends: tunnels take leave */
	unsigned nap;     /* us: the gate looks at its workers again by itself */
	bool took;        /* frames in this turn */
	unsigned in_vain; /* naps in a row after which there was nothing */
	struct op kick;
	struct timer tick;
	bool ticking, tick_slow;
	struct app_worker *lost; /* freed in the kick, when nobody stands on them */
};

static inline void app_guard(struct to_app *t, struct app_guard *g, struct app_req *a)
{
	g->a = a;
	g->up = t->guards;
	t->guards = g;
}
/* Is it still there? */
static inline bool app_guarded(struct to_app *t, struct app_guard *g)
{
	t->guards = g->up;
	return g->a != NULL;
}

/* app_env.c: the block of a request in this form into p. Bytes, or -EMSGSIZE. */
long app_env_encode(const struct req *r, enum link_form form, char *p, size_t cap);

/* app_seat.c */
/* May this one be given a request (one that offers a tunnel) now, as far as seats go? */
bool app_seat_left(const struct app_worker *w, bool tunnel);
/* A free seat, zeroed but for its place in the count; there is one. NULL: no memory. */
struct app_seat *app_seat_take(struct app_worker *w, bool tunnel, uint16_t *ret_seat);
/* The worker has ended it. Who waits for it, or NULL. */
struct app_req *app_seat_leave(struct app_worker *w, unsigned seat);
/* Of a frame's number: NULL when there is no such seat. */
struct app_seat *app_seat_at(struct app_worker *w, unsigned seat);
/* The first used seat from *seat on, which is moved to it; NULL: there is none. */
struct app_seat *app_seat_next(struct app_worker *w, unsigned *seat);
/* Say GONE or AWAY where they are owed. */
void app_seat_tell(struct app_worker *w, unsigned seat);
void app_seats_free(struct app_worker *w);

/* app_tunnel.c */
/* Does this request offer what an app may accept? */
bool app_may_tunnel(const struct req *r);
/* The worker accepts: h is its head, 101. 0; -EPROTO. */
int app_tunnel_begin(struct app_req *a, struct resp_head *h);
/* Take leave of every client of a tunnel. */
void app_tunnels_away(struct to_app *t);
/* … of this worker. */
void app_tunnels_leave(struct app_worker *w);

/* to_app.c */
/* The release that follows one which no site names any more; else itself. */
struct app *app_successor(const struct to_app *t, struct app *app);

/* app_back.c */
/* The worker will not begin what has that seat. */
void app_taken_back(struct app_worker *w, struct app_seat *s);
/* Take back what this worker has not begun. */
void app_withdraw(struct app_worker *w);
/* It was replaced, and the requests that it still runs have had their time; or its tunnels as well. */
void app_end_requests(struct app_worker *w, bool tunnels);
/* Let the request wait again after its worker was lost, or answer 502. */
void app_replay(struct app_req *a, bool begun, enum close_id why);

/* app_queue.c */
void app_enqueue(struct app_req *a, bool front);
/* A new request, before which nobody waits: to a worker that takes one now. False: it must wait. True: it was given, or is
 * gone, or waits after all. */
bool app_give_now(struct app_req *a);
void app_dequeue(struct app_req *a);
/* So many more (or less) requests have a seat of this worker; of these it will not begin so many
 * more (or less). */
void app_given(struct app_worker *w, int given, int back);
/* Requests wait, and no worker is there or on its way: have one started. */
void app_want(struct app *app, struct to_app *t);
/* A seat is taken or given up: what the site's row says of workers. */
void app_count_seat(const struct app_worker *w, const struct app_seat *s, bool taken);
/* It becomes a tunnel. */
void app_count_tunnel(const struct app_worker *w, struct app_seat *s);
/* Give waiting requests to workers. */
void app_dispatch(struct app *app);
/* Of the request's site: one of the SITE_ columns. */
void app_count_site(const struct app_req *a, unsigned column, uint64_t n);
/* As much of the request's body as goes now. */
void app_pump_in(struct app_req *a);
/* r ends here: forget everything of it but its seat. Then the caller answers, or not. */
void app_forget(struct app_req *a);
void app_fail(struct app_req *a, enum close_id why, unsigned retry_after_s);
/* Forget it, and tell the worker that nobody waits. */
void app_stop(struct app_req *a);
bool app_charge(struct to_app *t, uint32_t n);
void app_uncharge(struct to_app *t, uint32_t n);
int app_buf_put(struct app_buf *b, const void *p, size_t n);
void app_buf_drop(struct app_buf *b, size_t n);

/* app_answer.c */
/* One frame of a worker, checked. 0; -EPROTO. */
int app_on_frame(struct app_worker *w, const struct link_desc *d, const char *p);
/* The client takes bytes again. */
void app_push_out(struct app_req *a);
/* Room that could not be told for want of a slot. */
void app_tell_room(struct app_req *a);

/* app_link.c */
void app_awake(struct to_app *t);
int app_worker_new(struct to_app *t, struct app *app, const struct msg_worker *m, int fd);
/* Everything that it ran fails or is replayed; why is told unless CLOSE_NONE. */
void app_worker_lost(struct app_worker *w, enum close_id why);
void app_worker_free(struct app_worker *w);
void app_drain(struct app_worker *w);
void app_say_idle(struct app_worker *w);
/* It does not come to an end with something: nothing new for it, and the parent is told. */
void app_stuck(struct app_worker *w, enum event why, uint64_t ms, const char *path);
/* Has it a thread that does nothing, as it says itself? */
bool app_worker_free_thread(const struct app_worker *w);
/* Look again soon at what was given and is not begun, or is run for nobody. */
void app_start_tick(struct to_app *t);
/* One more request has ended on it. */
void app_count_ran(struct app_worker *w);

#endif
