/*
 * local_ca.h: what the user's own certificate authority may sign: names that never leave the
 * machine. keys makes it so, check looks whether one is so, before root lets the whole machine
 * trust it.
 */
#ifndef STEAD_SEAL_LOCAL_CA_H
#define STEAD_SEAL_LOCAL_CA_H

#include <stdbool.h>

struct x509_st;

/* As OpenSSL's configuration writes them (RFC 5280 section 4.2.1.10). */
#define LOCAL_CA_NAMES                                                                             \
	"critical,permitted;DNS:localhost,permitted;DNS:test,permitted;IP:127.0.0.0/255.0.0.0,"    \
	"permitted;IP:::1/FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF"

/* Is it an authority that is constrained to these, to the letter and critically, for TLS servers
 * only, with no other authority below it, and signed by itself? */
bool local_ca_is_confined(struct x509_st *x);

#endif
