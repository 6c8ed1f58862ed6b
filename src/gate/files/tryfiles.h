/*
 * tryfiles.h: TryFiles=: files that are served before anything else answers.
 */
#ifndef STEAD_GATE_TRYFILES_H
#define STEAD_GATE_TRYFILES_H

#include "phases.h"

/* The entry with the request's path in $uri's place; NULL: no memory. */
const char *tryfiles_candidate(struct req *r, const char *text, size_t *ret_len);
/* The close whose status that is, of "=CODE". */
enum close_id tryfiles_close(const char *code);

/* Chooses the static handler when a file of the list is there; answers when the list ends with =CODE. Where
 * scripts are run phase_script() reads the list. */
enum phase_end phase_try_files(struct req *r);

#endif
