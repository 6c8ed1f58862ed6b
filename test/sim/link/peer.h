/*
 * peer.h: a worker's end in the simulator, good or hostile. The good one is built of the ring calls
 * that the real one uses, without its threads and descriptors.
 */
#ifndef STEAD_TEST_PEER_H
#define STEAD_TEST_PEER_H

#include "fake_gate.h"
#include "lib/sim.h"
#include "link/link.h"

enum { PEER_HELD_MAX = 256 };

struct peer {
	struct sim *sim;
	int sock, wake_rd, wake_wr;
	struct link_end e;
	struct link_status *status;
	int status_fd;
	bool up, closed, hostile;
	bool async; /* many requests at once, and tunnels */
	unsigned hostility; /* permille of steps that do something wrong */
	struct {
		uint64_t id;
		uint16_t seat;
		bool in_end, offers, tunnel, gone;
		uint32_t echo, room; /* bytes to send back; that may be sent */
	} held[PEER_HELD_MAX];
	unsigned nheld;
	unsigned answered, tunnels, echoed;
};

void peer_init(struct peer *p, struct sim *s, int sock);
/* One step: reads, answers, or does something wrong. */
void peer_step(struct peer *p);
void peer_done(struct peer *p);

#endif
