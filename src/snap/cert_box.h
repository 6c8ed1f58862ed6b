/*
 * cert_box.h: a certificate's private key in its sealed box, and what is known of the certificate
 * by whoever could read it: what CertificateBox= is, in base64. Written by check and keys, read by
 * ctl, which can read neither certificates nor boxes.
 */
#ifndef STEAD_SNAP_CERT_BOX_H
#define STEAD_SNAP_CERT_BOX_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/buf.h"
#include "tbl/tbl.h"

enum { CERT_NAMES_TEXT_MAX = 16 * 1024, CERT_ISSUER_TEXT_MAX = 256, CERT_SERIAL_TEXT_MAX = 48 };

/* Texts are NUL-terminated and point into what was read. */
struct cert_box_view {
	struct cert_box head;
	const char *names; /* host names and addresses that it is for: lower case, one blank between
			      them */
	const char *issuer; /* who signed it, as a person reads it */
	const char *serial; /* lower-case hex */
	const char *box;
	size_t box_n;
};
/* At the end of b. */
void cert_box_put(struct buf *b, const struct cert_box_view *v);
/* What another process wrote: false when it is not in form or over a bound. */
bool cert_box_read(const void *p, size_t n, struct cert_box_view *ret);

#endif
