/*
 * loop_priv.h: what loop.c, loop_io.c, wheel.c and the two backends share; for nobody else.
 *
 * loop.c and loop_io.c hold everything that has meaning (which op waits, which is ready, what
 * readiness is remembered); a backend only says which descriptors became ready and does the calls.
 * So the simulator runs the same code as production.
 */
#ifndef STEAD_LIB_LOOP_PRIV_H
#define STEAD_LIB_LOOP_PRIV_H

#include "lib/loop.h"

#include <sys/socket.h>

/* op.state */
enum { OPS_IDLE = 0, OPS_WAIT, OPS_QUEUED, OPS_DEFERRED, OPS_ARMED };

/* op.what: what its turn does */
enum op_what {
	WHAT_NONE = 0,
	WHAT_RECV,
	WHAT_ACCEPT,
	WHAT_READABLE,
	WHAT_WRITABLE,
	WHAT_SEND,
	WHAT_HUP,
	WHAT_CONNECT,
	WHAT_DEFER,
	WHAT_TIMER,
	WHAT_JUMP,
	WHAT_JUMP_FD, /* the loop's own: the timerfd that tells of clock jumps */
};

/* lfd.flags: readiness as last seen. The upper 16 bits keep an errno of the socket that one of the
 * owner's ops has eaten (the kernel tells it once) for the other. */
enum {
	LFD_READABLE = 1,
	LFD_WRITABLE = 2,
	LFD_FULL = 4, /* the last send was told EAGAIN */
	LFD_RDHUP = 8,
	LFD_HUP = 16,
	LFD_ERR = 32,
	LFD_RDHUP_TOLD = 64, /* the hup op heard res 1 already */
	LFD_NOT_SOCKET = 128,
	LFD_ERRNO_SHIFT = 16,
};
#define LFD_CLOSING (LFD_RDHUP | LFD_HUP | LFD_ERR)

enum {
	LOOP_BUF_BYTES = 16 * 1024,
	LOOP_BUFS_MAX = 4096, /* lent at once: 64 MB */
	LOOP_BUFS_KEEP = 32,  /* free ones kept */
	LOOP_ROUNDS_MAX = 8,  /* of ready ops in a turn before the kernel is asked again */
	LOOP_SENDFILE_ONCE = 1024 * 1024, /* bytes; a fast reader must not hold the loop */
};

/* Who owns a descriptor. An event names descriptor and generation, so one that was meant for an
 * earlier owner of the number meets another generation and is dropped. */
struct loop_slot {
	struct lfd *f;
	uint32_t generation;
};

enum { WHEEL_LEVELS = 4, WHEEL_SLOTS = 256 };
struct wheel {
	uint64_t now_ms; /* everything due up to here was taken out */
	size_t armed;
	uint64_t used[WHEEL_LEVELS][WHEEL_SLOTS / 64]; /* bit per slot that is not empty */
	/* How far behind the begin of its time a slot's first timer is due, of those put there since it was empty. Level 0 has
	 * none: its slots are 1 ms. */
	uint32_t soonest_ms[WHEEL_LEVELS - 1][WHEEL_SLOTS];
	struct timer *slot[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, uint64_t now_ms);
/* t is not in the wheel; at_ms > now_ms. O(1). */
void wheel_add(struct wheel *w, struct timer *t);
void wheel_del(struct wheel *w, struct timer *t);
/* The time at which the wheel must be looked at next: when a timer is due, or was before it was stopped. UINT64_MAX: never.
 * The cost does not depend on how many there are. */
uint64_t wheel_next_ms(const struct wheel *w);
/* Take out the timers due up to now_ms, one a call; NULL: no more, and now_ms is reached. */
struct timer *wheel_take_due(struct wheel *w, uint64_t now_ms);

/* One backend. Everything returns -errno. */
struct loop_backend {
	void (*free)(struct loop *l);
	int (*watch)(struct loop *l, int fd, uint32_t generation);
	void (*unwatch)(struct loop *l, int fd);
	/* Wait and call loop_note() for what became ready; timeout -1: for ever. */
	int (*wait)(struct loop *l, int64_t timeout_us);
	uint64_t (*mono_us)(struct loop *l);
	uint64_t (*wall_us)(struct loop *l);
	int (*watch_clock)(struct loop *l);
	ssize_t (*recv)(struct loop *l, int fd, void *p, size_t n);
	ssize_t (*send)(struct loop *l, int fd, const void *p, size_t n, int flags);
	ssize_t (*read)(struct loop *l, int fd, void *p, size_t n);
	ssize_t (*write)(struct loop *l, int fd, const void *p, size_t n);
	ssize_t (*writev)(struct loop *l, int fd, const struct iovec *iov, int n);
	ssize_t (*recvmsg)(struct loop *l, int fd, struct msghdr *m, int flags);
	ssize_t (*sendmsg)(struct loop *l, int fd, const struct msghdr *m, int flags);
	ssize_t (*sendfile)(struct loop *l, int fd, int file_fd, uint64_t off, size_t n);
	int (*accept)(
		struct loop *l, int fd, struct sockaddr_storage *ret_peer, socklen_t *ret_len);
	/* A new descriptor that is connected, or being connected. */
	int (*connect)(struct loop *l, const struct sockaddr *to, socklen_t len);
	int (*socket_error)(struct loop *l, int fd); /* an errno ≥ 0, told once */
	int (*nonblock)(struct loop *l, int fd);
	int (*shutdown)(struct loop *l, int fd, int how);
	void (*close)(struct loop *l, int fd);
	int (*pipe)(struct loop *l, int ret_fds[2]);
	int (*socketpair)(struct loop *l, int ret_fds[2]);
	int (*dup)(struct loop *l, int fd);
};

struct loop_buf {
	struct loop_buf *next;
};

struct loop {
	const struct loop_backend *be;
	op_done *const *table;
	unsigned kinds;
	bool stopping;
	struct op ready;    /* list head: next is the oldest */
	struct op deferred; /* list head */
	struct op napping;  /* list head: deferred in the next turn, which waits at most nap_us */
	unsigned nap_us;

	struct loop_slot *slots; /* by fd - fd_base */
	int slots_n;
	int fd_base;

	char *lent; /* the buffer under the completion that runs now, or ready to be lent */
	struct loop_buf *bufs_free;
	unsigned bufs_free_n, bufs_out;

	struct wheel wheel;
	uint64_t now_us;
	uint64_t wall_us; /* 0: not read in this turn */

	int accepted_fd; /* the newest, known to be non-blocking; -1 */
	struct sockaddr_storage peer;
	socklen_t peer_len;

	struct op *jump;     /* who waits for a clock jump */
	int64_t jump_offset; /* wall minus monotonic as last told, µs */
	struct lfd jump_lfd;
	struct op jump_op;

	void *backend; /* the backend's own object */
};

void loop_init(struct loop *l, const struct loop_backend *be, void *backend, int fd_base,
	op_done *const *table, unsigned kinds);
/* A backend tells: LFD_READABLE | LFD_WRITABLE | LFD_RDHUP | LFD_HUP | LFD_ERR of fd became true.
 */
void loop_note(struct loop *l, int fd, uint32_t generation, uint32_t flags);
/* The backend's clock was set: tell who waits, if it jumped far enough. */
void loop_clock_was_set(struct loop *l);
/* Something is ready to run without waiting? */
bool loop_busy(const struct loop *l);
/* When the next timer needs a turn, in ms; UINT64_MAX: never. */
uint64_t loop_next_timer_ms(const struct loop *l);

static inline bool op_list_empty(const struct op *head)
{
	return head->next == head;
}
static inline void op_list_init(struct op *head)
{
	head->next = head->prev = head;
}
static inline void op_list_append(struct op *head, struct op *op)
{
	op->prev = head->prev;
	op->next = head;
	head->prev->next = op;
	head->prev = op;
}
static inline void op_list_del(struct op *op)
{
	op->prev->next = op->next;
	op->next->prev = op->prev;
	op->next = op->prev = NULL;
}

void op_queue(struct loop *l, struct op *op);
/* Out of the ready queue if it is there; idle afterwards. */
void op_cancel(struct op *op);
void op_complete(struct loop *l, struct op *op, int res);
/* loop_io.c: an op that waits on a descriptor has its turn. */
void loop_io_run(struct loop *l, struct op *op);
void loop_free_bufs(struct loop *l);

#endif
