/*
 * listing.h: Listing=: a page of a folder's files.
 */
#ifndef STEAD_GATE_LISTING_H
#define STEAD_GATE_LISTING_H

#include "lib/buf.h"
#include "req.h"

enum { LISTING_ENTRIES_MAX = 2000, LISTING_BYTES_MAX = 1024 * 1024 };

/* The files below the folder that is open as dirfd, as HTML, or as JSON: names, sizes, times of change;
 * folders first, hidden names left out. More than LISTING_ENTRIES_MAX are not shown, and that is said.
 * 0; -errno. dirfd stays the caller's. */
int listing_make(struct req *r, int dirfd, bool json, struct buf *ret);
/* Would the client rather have JSON (RFC 9110 section 12.5.1: it names it, and not text/html)? */
bool listing_wants_json(const struct req *r);

#endif
