/*
 * said.h: what a backend writes to its error stream while it answers a request, as events of the site.
 */
#ifndef STEAD_GATE_SAID_H
#define STEAD_GATE_SAID_H

#include "req.h"

enum {
	SAID_LINE_MAX = 800,       /* bytes of an event's text; a longer line becomes several */
	SAID_BYTES_MAX = 8 * 1024, /* of one request; what is more is counted only */
};

/* Of one request; zeroed at first. */
struct said {
	char *line; /* arena memory */
	uint32_t len, told;
	uint64_t lost;
};

/* n bytes of the stream, cut anywhere. */
void said_take(struct req *r, struct said *s, const char *upstream, const char *p, size_t n);
/* The answer is over. Harmless when nothing was said. */
void said_end(struct req *r, struct said *s, const char *upstream);

#endif
