/*
 * tryfiles.h: TryFiles=: files that are served before anything else answers.
 */
#ifndef STEAD_GATE_TRYFILES_H
#define STEAD_GATE_TRYFILES_H

#include "phases.h"

/* Chooses the static handler when a file of the list is there; answers when the list ends with =CODE. */
enum phase_end phase_try_files(struct req *r);

#endif
