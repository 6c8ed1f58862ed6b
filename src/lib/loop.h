/*
 * loop.h: the one event loop; everything that waits, waits here.
 *
 * Completion-shaped: the caller owns the operation (struct op, embedded in its own object), submits it,
 * and hears of it once, through the op table, when it is done. No code pointer lives in memory that a
 * peer's bytes may reach: an op carries a small `kind`, an index into the constant table that the
 * process gave to loop_new_*(). Kinds below OP_USER belong to lib; a process's own begin at OP_USER.
 *
 * Receiving takes no buffer. The loop lends a pooled one at readiness, so an idle connection owns none:
 * op->buf is valid during the completion only, unless the owner calls loop_buf_take().
 *
 * Two backends: epoll (edge-triggered, each descriptor registered once, no epoll_ctl per request) and
 * sim (virtual clock, seeded in-memory sockets; sim.h). A process touches no socket and no clock past
 * the loop. One loop, one thread. Completions are never delivered from inside a submission: a
 * submission either says that it is done by its result, or completes later from loop_step().
 */
#ifndef STEAD_LIB_LOOP_H
#define STEAD_LIB_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct loop;
struct op;

typedef void op_done(struct loop *l, struct op *op, int res);

enum {
	OP_NONE = 0, /* not a valid kind: a zeroed op that completes is a bug */
	OP_CHAN_IN,
	OP_CHAN_OUT,
	OP_CHAN_HUP,
	OP_USER = 16
};

struct op {
	uint16_t kind;
	uint8_t state; /* private: idle, waiting, queued */
	uint8_t what;  /* private: what to do when its turn comes */
	uint32_t buf_len; /* size of the lent buffer */
	char *buf;        /* recv: the lent bytes, res of them */
	struct op *next, *prev; /* private: ready queue */
	struct lfd *lfd;  /* private: what it waits on */
};

/* A descriptor known to the loop; embedded in its owner. */
struct lfd {
	int fd;          /* -1 when not attached */
	uint32_t flags;  /* private: LFD_* readiness as last seen */
	struct op *rd, *wr, *hup;
};

#define LFD_INIT {.fd = -1}

/* A timer is an op with a place in the wheel (1 ms ticks, 4 levels of 256 slots). */
struct timer {
	struct op op;
	struct timer *prev, *next;
	uint64_t at_ms; /* 0: not armed */
};

enum { SEND_IOV_MAX = 4 };

/* All of iov is sent before completion; the bytes are lent to the loop until then. */
struct send_op {
	struct op op;
	struct iovec iov[SEND_IOV_MAX];
	uint8_t iovcnt;
	bool more;     /* more follows at once (MSG_MORE) */
	/* when file_len > 0: after iov, file_len bytes of file_fd from file_off by sendfile */
	int file_fd;
	uint64_t file_off;
	uint64_t file_len;
	uint64_t sent; /* bytes gone so far, of all; read by the minimum-rate check */
};

/* The table has `kinds` entries, indexed by op.kind; it must outlive the loop. -ENOMEM, -EMFILE …
 * CHAN_OPS (chan.h) fills lib's own kinds. SIGPIPE becomes ignored in the whole process, because
 * sendfile() has no MSG_NOSIGNAL; whoever execs another program restores it. */
int loop_new_epoll(struct loop **ret_loop, op_done *const *table, unsigned kinds);
void loop_free(struct loop *l);

/* Run until loop_stop(). 0, or -errno when waiting itself failed. */
int loop_run(struct loop *l);
/* One turn: wait at most timeout_ms (-1: until something), deliver what completed. */
int loop_step(struct loop *l, int timeout_ms);
void loop_stop(struct loop *l);
/* `op` completes (res 0) at the end of this turn, after all that is ready now, before waiting: where a
 * process batches wake-ups. Submitting twice before it ran is one submission. */
void loop_defer(struct loop *l, struct op *op);
/* `op` completes (res 0) at the end of the next turn, and that turn waits at most `us`: for a process
 * that looks again soon by itself instead of asking to be woken. Not while it is deferred. */
void loop_nap(struct loop *l, struct op *op, unsigned us);
/* Before its owner is freed; harmless when it is not deferred. */
void loop_defer_cancel(struct loop *l, struct op *op);

/* Attach a non-blocking descriptor (the loop sets O_NONBLOCK); registered once, edge-triggered. */
int loop_add(struct loop *l, struct lfd *f, int fd);
/* Forget it; its waiting ops never complete. The descriptor stays open and is returned (-1 if none). */
int loop_del(struct loop *l, struct lfd *f);
/* loop_del() and close(). Idempotent. */
void loop_close(struct loop *l, struct lfd *f);

/* One receive. Completes with res > 0 (op->buf), 0 at the peer's end, or -errno. */
void loop_recv(struct loop *l, struct lfd *f, struct op *op);
/* Cancel a waiting receive (flow control); harmless when none waits. */
void loop_recv_cancel(struct loop *l, struct lfd *f);
/* Completes once (res 0, or -errno of the socket) when the peer is wholly gone (RST, both ways shut),
 * or with res 1 when it shut its sending side; waits beside any recv. */
void loop_hup(struct loop *l, struct lfd *f, struct op *op);
/* 0: all sent, `done` is not called. -EINPROGRESS: lent; completes with 0 or -errno. Else -errno at once. */
int loop_send(struct loop *l, struct lfd *f, struct send_op *op);
/* What of a cancelled send is left is dropped. */
void loop_send_cancel(struct loop *l, struct lfd *f);
/* Completes with a new connected, non-blocking, close-on-exec descriptor (res ≥ 0) or -errno; then
 * resubmit. peer/peer_len of the accepted address: loop_accepted_peer(), valid in the completion only. */
void loop_accept(struct loop *l, struct lfd *f, struct op *op);
const struct sockaddr *loop_accepted_peer(struct loop *l, socklen_t *ret_len);
/* A new stream socket, connected to an address and attached to f: completes with 0 or -errno. -errno at
 * once when it cannot be tried; then f is as before. */
int loop_connect(struct loop *l, struct lfd *f, const struct sockaddr *to, socklen_t len, struct op *op);
/* Raw readiness, for descriptors that are not streams (pidfd, signalfd, pipes used as wake-ups,
 * SEQPACKET sockets): completes with res 0 when readable; the owner then reads until EAGAIN itself
 * through loop_sys_*(). An owner that stops earlier, but behind a call that yielded something, is called
 * again when it submits again; one that made no call waits for the next edge. */
void loop_readable(struct loop *l, struct lfd *f, struct op *op);
void loop_writable(struct loop *l, struct lfd *f, struct op *op);

/* The descriptor calls of owners that use raw readiness, so that sim can stand in. As the system
 * calls, but -errno. */
ssize_t loop_sys_read(struct loop *l, int fd, void *p, size_t n);
/* The same of a stream of bytes (a pipe, no records) that loop_readable() watches: fewer bytes than asked for
 * were all, so the next loop_readable() waits for an edge and not for a read that finds nothing. */
ssize_t loop_sys_read_all(struct loop *l, struct lfd *f, void *p, size_t n);
ssize_t loop_sys_write(struct loop *l, int fd, const void *p, size_t n);
ssize_t loop_sys_recvmsg(struct loop *l, int fd, struct msghdr *m, int flags);
ssize_t loop_sys_sendmsg(struct loop *l, int fd, const struct msghdr *m, int flags);
void loop_sys_close(struct loop *l, int fd);
int loop_sys_shutdown(struct loop *l, int fd, int how);
/* New descriptors that this loop (sim too) can watch: close-on-exec; a pipe (both ends non-blocking),
 * a SEQPACKET pair, and a second descriptor for the same open file. */
int loop_sys_pipe(struct loop *l, int ret_fds[2]);
int loop_sys_socketpair(struct loop *l, int ret_fds[2]);
int loop_sys_dup(struct loop *l, int fd);

/* Keep the lent buffer of the completion that runs now: it is the caller's until loop_buf_give(). The
 * pool is bounded: NULL when too many are out (then copy what you need, or close). */
char *loop_buf_take(struct loop *l, struct op *op);
/* A buffer of the pool that nothing was received into, the caller's until loop_buf_give(); NULL as above. */
char *loop_buf_new(struct loop *l);
void loop_buf_give(struct loop *l, char *buf);
size_t loop_buf_bytes(const struct loop *l); /* size of each, 16 KB */

/* (Re-)arm: completes once with res 0, at_ms of loop_now_ms() time. Coarse: never early, up to 1 ms + a
 * turn late. No system call. */
void loop_timer(struct loop *l, struct timer *t, uint64_t at_ms);
void loop_timer_in(struct loop *l, struct timer *t, uint64_t ms);
void loop_timer_stop(struct loop *l, struct timer *t);

/* Monotonic time as of the start of this turn; no system call. loop_now_fresh_us() asks the kernel. */
uint64_t loop_now_ms(const struct loop *l);
uint64_t loop_now_us(const struct loop *l);
uint64_t loop_now_fresh_us(struct loop *l);
/* Wall clock of this turn in µs since 1970, read once a turn at most. */
uint64_t loop_wall_us(struct loop *l);
/* `op` completes with res 0 each time the wall clock jumped by more than a second against the
 * monotonic one (resubmit). */
void loop_clock_jump(struct loop *l, struct op *op);

#endif
