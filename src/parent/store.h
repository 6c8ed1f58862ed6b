/*
 * store.h: the parent's state and descriptors in the store of the service manager (sd_notify(3), FDSTORE=1).
 */
#ifndef STEAD_PARENT_STORE_H
#define STEAD_PARENT_STORE_H

#include "state.h"

#define STORE_STATE_NAME "stead-state-"

/* What LISTEN_FDS hands over under names of ours, close-on-exec from now on. *ret is the caller's, also when there is
 * none. -ENOMEM. */
int store_take(struct state_fd **ret, unsigned *ret_n);
/* state_load() of the state that is among them. -ENOENT: there is none. */
int store_load(struct parent *p, struct state_fd *have, unsigned have_n);
/* Keep the state in the store from now on, when there is a manager (NOTIFY_SOCKET). have: what is in it already;
 * sorted here. 0 or -ENOMEM. */
int store_init(struct parent *p, struct state_fd *have, unsigned have_n);
/* Out with all of `have`, which is in the store and of no use; this process is about to end. */
void store_forget(struct parent *p, struct state_fd *have, unsigned have_n);
/* The end of a turn: what changed. */
void store_update(struct parent *p);
op_done store_on_again;
/* Everything has stopped: out with all of it. */
void store_done(struct parent *p);

#endif
