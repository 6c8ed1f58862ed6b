/*
 * unpack.h: what stead-build does with an app's files, as the app's user: see enum unpack_what.
 */
#ifndef STEAD_BUILD_UNPACK_H
#define STEAD_BUILD_UNPACK_H

#include <stdbool.h>
#include <stdint.h>

#include "oneshot/oneshot.h"

/* The one question of type UNPACK_ASK, which o holds. 0 or -errno with f set; -EPROTO: it is malformed. */
int unpack_answer(struct oneshot *o, struct failure *f);
/* The stream of fd becomes dir/name, whole or not at all. For tests too. */
int unpack_receive(struct oneshot *o, struct failure *f, int fd, int dir, const char *name);

/* Is that too little for that time: does whoever sends keep others from their turn? */
bool unpack_too_slow(uint64_t bytes, uint64_t ms);

#endif
