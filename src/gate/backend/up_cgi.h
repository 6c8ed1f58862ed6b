/*
 * up_cgi.h: bytes to the head of a CGI program's answer (RFC 3875 section 6). No socket, no clock, no
 * allocation; as strict as up_parse.h: what two readers could take in two ways is refused.
 */
#ifndef STEAD_GATE_UP_CGI_H
#define STEAD_GATE_UP_CGI_H

#include "up_codec.h"

/* Parse the head that begins at p. Names are lower-cased in place; fields point into p; those of the
 * connection are left out. > 0: the head's length; 0: more bytes are needed; < 0: minus the enum close_id. */
int up_cgi_parse(char *p, size_t n, struct up_head *ret_head);

/* Where the head ends in p: its length, or 0: further on. *scanned is 0 at first, and is kept from one
 * call to the next, which has the same bytes and more. */
size_t up_cgi_scan(const char *p, size_t n, size_t *scanned);

#endif
