/*
 * up_params.h: a request as CGI's variables (RFC 3875 section 4.1), for backends that speak in them.
 *
 * Pure: bytes in, bytes out. Each variable goes out as pair() and then its value, so that a value made
 * of several fields needs no copy.
 */
#ifndef STEAD_GATE_UP_PARAMS_H
#define STEAD_GATE_UP_PARAMS_H

#include "up_codec.h"

enum { UP_PARAM_NAME_MAX = 256 }; /* bytes of a variable's name, "HTTP_" among them */

/* Append lengths and name as the protocol writes them; value_len bytes of value follow. `arg` is what
 * up_params_put() was given. */
typedef void up_pair_fn(struct buf *b, void *arg, const char *name, size_t name_len, size_t value_len);

/* Append every variable of `a`. 0; -CLOSE_HEAD_TOO_LARGE: a field's name does not fit a variable's.
 * A full buffer is the buffer's sticky error. */
int up_params_put(const struct up_ask *a, struct buf *b, up_pair_fn *pair, void *arg);

#endif
