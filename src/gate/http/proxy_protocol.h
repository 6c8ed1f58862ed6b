/*
 * proxy_protocol.h: the header by which a proxy in front of us says who its client is (PROXY protocol,
 * versions 1 and 2, as HAProxy's proxy-protocol.txt describes it). Pure: bytes to meaning.
 */
#ifndef STEAD_GATE_PROXY_PROTOCOL_H
#define STEAD_GATE_PROXY_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PROXY_V1_MAX = 107,  /* the specification's bound, CRLF included */
	PROXY_V2_MAX = 4096, /* ours, of the fixed part and all that its length announces */
};

struct proxy_header {
	/* Source and destination are told. Else the connection speaks for itself: LOCAL (a check of the
	 * proxy's own), UNKNOWN, a Unix socket, another family. */
	bool known;
	bool tls; /* the client's own connection is encrypted (PP2_TYPE_SSL) */
	uint8_t from[16], to[16]; /* IPv4 in its mapped form */
	uint16_t from_port, to_port;
};

/* Look at the first n bytes of a connection. > 0: the header, of so many bytes, is in *ret. 0: all n bytes
 * may begin one, more are needed. -EBADMSG: they are none, or one that breaks the specification;
 * -EMSGSIZE: longer than we take. Never looks behind the header; never asks for more than PROXY_V2_MAX. */
int proxy_parse(const void *p, size_t n, struct proxy_header *ret);

#endif
