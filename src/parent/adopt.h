/*
 * adopt.h: going on with what another parent had: this program's older version before an exec, or one that was killed.
 */
#ifndef STEAD_PARENT_ADOPT_H
#define STEAD_PARENT_ADOPT_H

#include "parent.h"

/* Load the state in fd (an exec in place: descriptors have the numbers that it says), or when fd is -1 what the service
 * manager hands over; then have it stored there from now on, when `stored`. p is fresh. 1: there is a state; 0: there is
 * none; -errno: it cannot be used, and p is to be thrown away. */
int adopt_load(struct parent *p, int fd, bool stored);
/* Behind that, when the loop runs and the log ring is there: children, channels and timers. */
void adopt_go(struct parent *p);
/* A run's process and channel; of struct parent_ops. */
void adopt_real(struct parent *p, struct run *r);

#endif
