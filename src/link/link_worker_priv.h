/*
 * link_worker_priv.h: what the files of the worker's end share; for nobody else.
 */
#ifndef STEAD_LINK_LINK_WORKER_PRIV_H
#define STEAD_LINK_LINK_WORKER_PRIV_H

#include "link/link_worker.h"

#include <pthread.h>
#include <sys/types.h>

enum { LINK_WORKER_LINKS_MAX = 128, LINK_FAR_BLOCK = 64 };

/* FREE → WAITING (the REQ was read) → RUNNING (taken by a thread) → FREE by link_req_done(). The
 * seat is given up with the frame that ends the answer, because the gate may use it again at once
 * while the app still closes its iterable. */
enum link_req_state { LINK_REQ_FREE = 0, LINK_REQ_WAITING, LINK_REQ_RUNNING, LINK_REQ_OWES };

struct link_req {
	struct link_worker_link *link;
	struct link_req *next; /* of the waiting or the free ones */
	uint64_t id;
	uint64_t begun_us;
	uint16_t seat;
	uint8_t state; /* enum link_req_state; OWES: a WITHDRAWN is still to be told */
	bool in_end;   /* the request's body is whole */
	bool has_body;
	bool head_sent, ended;
	bool gone, gone_told; /* nobody waits for the answer */
	bool counted;         /* among the worker's busy ones */
	bool may_tunnel, tunnel;
	bool away;            /* the gate ends soon */
	bool touched;         /* among those that link_worker_touched() tells of */
	struct link_req *next_touched;
	void *user;           /* of who runs it */
	unsigned thread;
	uint32_t room;   /* bytes of the answer's body that may be sent */
	uint32_t window; /* … and how many at most */
	uint32_t credit; /* bytes read by the app and not told yet */
	char *env;
	size_t env_len, env_cap;
	char *in; /* a circle of in_cap bytes, a power of two; grows up to LINK_WINDOW */
	uint32_t in_at, in_len, in_cap;
};

struct link_worker_link {
	struct link_worker *w;
	int sock, wake_rd, wake_wr;
	bool up;          /* the gate's hello came */
	bool dead;        /* the gate is gone, or broke the protocol */
	bool owes;        /* some seat is in LINK_REQ_OWES */
	bool want;        /* some thread waits for room in the ring */
	bool put;         /* something was appended since the last flush */
	uint32_t files;   /* number of the last descriptor sent */
	unsigned running; /* requests that still point here */
	struct link_end end;
	struct link_req *seats[LINK_SEATS];
	struct link_req **far[LINK_FAR / LINK_FAR_BLOCK]; /* each made when a seat of it is given */
};

struct link_worker {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned nthreads;
	unsigned concurrency; /* 0: a request for each thread */
	enum link_form form;
	int parent_fd;
	int wakeup[2];
	int epoll_fd; /* of link_worker_fd(); -1: nobody asked for it */
	uint64_t armed; /* `events` at the last link_worker_arm() */
	int status_fd;
	struct link_status *status;
	_Atomic bool stopping;
	_Atomic bool forked;
	bool polling; /* one thread polls for all */
	unsigned waiters;
	uint64_t events; /* grows with everything that a waiter may wait for */
	unsigned busy;
	uint32_t service_us;
	uint64_t ended_us; /* when the last one ended; 0: somebody waited since */
	struct link_req *waiting, **waiting_tail;
	struct link_req *free;
	struct link_req *touched, **touched_tail;
	struct link_worker_link *links[LINK_WORKER_LINKS_MAX];
	unsigned nlinks;
	void *msg_mem;
};

/* Under the lock: the place of a seat, made when it must be; NULL: no memory, or (without make) it was
 * never given. */
struct link_req **link_seat(struct link_worker_link *k, unsigned seat, bool make);
/* Under the lock: something came for a request that runs. */
void link_touch(struct link_req *r);
/* Under the lock: look for running requests whose clients have gone. */
void link_look_gone(struct link_worker_link *k);
/* Under the lock: read what the gates wrote; true when anything was. */
bool link_pump(struct link_worker *w);
/* Under the lock: publish and wake the gate if it must be. */
void link_flush(struct link_worker_link *k);
/* Under the lock: this link is over. */
void link_break(struct link_worker_link *k);
/* Under the lock: for the next one; its buffers are kept unless they are large. */
void link_req_free(struct link_req *r);
/* Under the lock: tell the WITHDRAWN that found no room. */
void link_pay(struct link_worker_link *k);
uint64_t link_mono_us(void);

#endif
