/*
 * cert_known.h: certificates of sites that check need not look at again; see cert_known.c.
 */
#ifndef STEAD_CTL_CERT_KNOWN_H
#define STEAD_CTL_CERT_KNOWN_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/buf.h"

struct site_list;

/* What is known of these sites, to be handed to check with its question. The sites must stay while it is used. */
struct cert_known;
/* At that time, in seconds since 1970. NULL: nothing is, or there is no memory. */
struct cert_known *cert_known_new(const struct site_list *sites, uint64_t now_s);
void cert_known_free(struct cert_known *k);
/* Of sealed memory, as msg_check_known says; the caller's. -errno. */
int cert_known_fd(const struct cert_known *k);
/* A site's values, packed, as check told them: when it only told what it knew the certificate by, behind them
 * come the chain and the box that go with that. False: check was never told of it. `values` has no memory: b->error. */
bool cert_known_add(const struct cert_known *k, struct buf *values);

#endif
