/*
 * script.h: which program of a FastCGI backend answers a request: the scripts of PHP and the like.
 */
#ifndef STEAD_GATE_SCRIPT_H
#define STEAD_GATE_SCRIPT_H

#include "phases.h"

/* Chooses the script of a route whose backend runs scripts, or the static handler for another file that is
 * there; answers when there is neither. */
enum phase_end phase_script(struct req *r);

/* Does a path name the source of a script, or a copy of one that an editor left? In any case: such a file
 * is never served as it stands where scripts are run. */
bool script_is_source(const char *path, size_t n);

#endif
