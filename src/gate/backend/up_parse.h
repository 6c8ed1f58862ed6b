/*
 * up_parse.h: bytes to the head of a backend's answer (RFC 9112 sections 4 to 6). No socket, no clock,
 * no allocation; as strict as http1_parse.h: what two readers could take in two ways is refused.
 */
#ifndef STEAD_GATE_UP_PARSE_H
#define STEAD_GATE_UP_PARSE_H

#include "up_codec.h"

enum up_framing { UP_FRAMED_NONE = 0, UP_FRAMED_LENGTH, UP_FRAMED_CHUNKED, UP_FRAMED_CLOSE };

/* What the head says beside struct up_head. */
struct up_parsed {
	uint8_t framing; /* enum up_framing of the body that follows */
	uint8_t version_minor;
	bool keep; /* the connection may be used again behind this answer */
};

/* Parse the head that begins at p. `to_head`: it answers HEAD. Names are lower-cased in place; fields
 * point into p; those of the connection are left out. > 0: the head's length; 0: more bytes are needed;
 * < 0: minus the enum close_id. */
int up_parse_head(char *p, size_t n, bool to_head, struct up_head *ret_head, struct up_parsed *ret);

#endif
