/*
 * sim.h: a world in memory for the loop: a virtual clock and sockets that misbehave by a seed.
 *
 * For tests only. Several loops (one for each simulated process) share one world; the same seed
 * gives the same run. Descriptors are plain ints from SIM_FD_BASE on, so a call that goes past the
 * loop meets EBADF and never a real descriptor; real descriptors (a memfd) may be sent through
 * simulated sockets. Faults: bytes arrive in pieces and late, sends are short or refused for a
 * while, events of one turn come in any order and some in a later turn, connections are reset,
 * descriptors run out.
 *
 * What a peer on the network does is written with sim_connect(), sim_write(), sim_read(),
 * sim_close() and sim_reset() from the test itself. Time passes only when no loop has anything to
 * do.
 */
#ifndef STEAD_LIB_SIM_H
#define STEAD_LIB_SIM_H

#include "lib/loop.h"

enum { SIM_FD_BASE = 1 << 20 };

struct sim_options {
	uint64_t seed;
	unsigned pieces_permille; /* of writes that arrive in pieces instead of at once */
	unsigned short_permille;  /* of writes that take only a part */
	unsigned refuse_permille; /* of writes that are told EAGAIN, and may go on a little later */
	unsigned reorder_permille; /* of readiness that is told in a later turn */
	unsigned emfile_permille;  /* of accepts that are told EMFILE */
	uint64_t latency_us_max;   /* of each piece, on top of at once */
	size_t stream_bytes;       /* each direction holds this much; 0: 64 KB */
	unsigned fds_max;          /* descriptors of the world; 0: 65536 */
};

struct sim;

/* -ENOMEM. Zeroed options: a world without faults. */
int sim_new(struct sim **ret_sim, const struct sim_options *o);
/* All loops must have been freed. Closes what is open. */
void sim_free(struct sim *s);
/* One more simulated process. -ENOMEM. */
int loop_new_sim(struct loop **ret_loop, struct sim *s, op_done *const *table, unsigned kinds);

uint64_t sim_random(struct sim *s);
/* 0 … n-1. */
uint64_t sim_below(struct sim *s, uint64_t n);
/* True in `permille` of 1000 calls. */
bool sim_chance(struct sim *s, unsigned permille);
uint64_t sim_now_us(const struct sim *s);
/* Let virtual time pass, without running anything. */
void sim_advance_us(struct sim *s, uint64_t us);
/* Set the wall clock (someone ran date): loops that wait for a jump hear of it. */
void sim_set_wall_us(struct sim *s, uint64_t wall_us);
/* Faults off from here on: for the end of a run, when everything must come to rest. */
void sim_calm(struct sim *s);

/* -EMFILE, -ENOMEM. Pairs are connected; both ends know their own faults. */
int sim_stream_pair(struct sim *s, int ret_fds[2]);
int sim_seqpacket_pair(struct sim *s, int ret_fds[2]);
int sim_pipe(struct sim *s, int ret_fds[2]); /* [0] reads, [1] writes */
/* A listening descriptor whose queue holds `backlog` connections. */
int sim_listen(struct sim *s, unsigned backlog);
/* The client's end of a new connection to it; the server's end waits to be accepted. -ECONNREFUSED:
 * closed, -EAGAIN: the queue is full. */
int sim_connect(struct sim *s, int listener_fd);

/* As the system calls on a non-blocking descriptor, but -errno. */
ssize_t sim_read(struct sim *s, int fd, void *p, size_t n);
ssize_t sim_write(struct sim *s, int fd, const void *p, size_t n);
ssize_t sim_recvmsg(struct sim *s, int fd, struct msghdr *m, int flags);
ssize_t sim_sendmsg(struct sim *s, int fd, const struct msghdr *m, int flags);
int sim_shutdown(struct sim *s, int fd, int how);
int sim_dup(struct sim *s, int fd);
void sim_close(struct sim *s, int fd);
/* This end vanishes with a RST: what is under way is lost, the peer is told ECONNRESET. */
void sim_reset(struct sim *s, int fd);
/* Open descriptors of the world, for leak checks. */
unsigned sim_open_fds(const struct sim *s);

/* One turn of one loop that has something to do, chosen by the seed; else the clock goes on to the
 * next thing that happens. False: nothing will ever happen again. */
bool sim_step(struct sim *s);
/* Step until done(arg), or nothing happens any more (-EDEADLK), or max_ms of virtual time went by
 * (-ETIMEDOUT), or the loops ran a million turns without time passing (-ELOOP: one of them spins).
 */
int sim_run_until(struct sim *s, bool (*done)(void *arg), void *arg, uint64_t max_ms);
/* Step for so long of virtual time, or until nothing happens any more. -ELOOP as above. */
int sim_run_ms(struct sim *s, uint64_t ms);

#endif
