/*
 * peer.h: a worker's end in the simulator, good or hostile. The good one is built of the ring calls
 * that the real one uses, without its threads and descriptors.
 */
#ifndef STEAD_TEST_PEER_H
#define STEAD_TEST_PEER_H

#include "fake_gate.h"
#include "lib/sim.h"
#include "link/link.h"

enum { PEER_HELD_MAX = 256, PEER_RAN_MAX = 1024 };

struct peer {
	struct sim *sim;
	int sock, wake_rd, wake_wr;
	struct link_end e;
	struct link_status *status;
	int status_fd;
	bool up, closed, hostile;
	bool async; /* many requests at once, and tunnels */
	unsigned threads; /* 0: one */
	bool deaf;  /* never reads what it is given */
	bool pieces; /* answers in three frames */
	unsigned number;       /* said in each answer, with the request's id */
	unsigned ops, die_at;  /* dies before its so many-th step on shared memory; 0: never */
	bool dead;
	unsigned hostility; /* permille of steps that do something wrong */
	struct {
		uint64_t id;
		uint16_t seat;
		bool in_end, offers, tunnel, gone, begun;
		uint32_t echo, room; /* bytes to send back; that may be sent */
		unsigned sent;       /* pieces */
	} held[PEER_HELD_MAX];
	unsigned nheld;
	unsigned answered, tunnels, echoed;
	uint64_t ran[PEER_RAN_MAX]; /* ids that it began */
	unsigned nran;
};

/* What an answer says of itself: "NNNN-IIIIIIIIIIIIIIII", the peer's number and the request's id. */
enum { PEER_TAG = 21 };
/* Its body is this byte again and again. */
static inline char peer_byte(uint64_t id)
{
	return (char)('a' + id % 26);
}

void peer_init(struct peer *p, struct sim *s, int sock);
/* One step: reads, answers, or does something wrong. */
void peer_step(struct peer *p);
void peer_done(struct peer *p);

#endif
