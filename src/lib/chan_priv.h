/*
 * chan_priv.h: building and taking apart one datagram, shared by the looping and the blocking
 * channel.
 */
#ifndef STEAD_LIB_CHAN_PRIV_H
#define STEAD_LIB_CHAN_PRIV_H

#include "lib/chan.h"

/* The kernel's own bound on descriptors in one message (SCM_MAX_FD). Room for all of them means
 * that a cut control message is our own lack of descriptors and never the peer's trick. */
enum { CHAN_SCM_FDS_MAX = 253 };

/* A received datagram's control part, as big as it can get. */
union chan_control {
	struct cmsghdr align;
	char room[CMSG_SPACE(CHAN_SCM_FDS_MAX * sizeof(int))];
};

/* Descriptors of a received message go to fds (CHAN_SCM_FDS_MAX); how many there were. */
unsigned chan_take_fds(struct msghdr *m, int *fds);
/* Put descriptors into the control part of a message to send. */
void chan_put_fds(struct msghdr *m, union chan_control *control, const int *fds, unsigned nfds);

#endif
