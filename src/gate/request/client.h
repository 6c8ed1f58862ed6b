/*
 * client.h: who the client is behind proxies that the site trusts (TrustedProxies=).
 */
#ifndef STEAD_GATE_CLIENT_H
#define STEAD_GATE_CLIENT_H

#include "phases.h"

/* When the peer is trusted: r->peer becomes the client's address, r->via the proxy's, and X-Forwarded-Proto
 * says whether the client's own connection is encrypted. Else nothing of it is looked at. */
enum phase_end phase_client(struct req *r);
/* The last item of an X-Forwarded-For list that ends at *n: its trimmed place and length, *n moved before it.
 * False: there is none. */
bool client_last_item(const char *list, size_t *n, const char **ret_item, size_t *ret_len);
/* One item as an address: "1.2.3.4", "1.2.3.4:80", "2001:db8::1", "[2001:db8::1]:80". Canonical text in ret;
 * false: it is none ("unknown", a name, garbage). */
bool client_address(const char *item, size_t n, char ret[46], uint8_t ret_address[16]);

#endif
