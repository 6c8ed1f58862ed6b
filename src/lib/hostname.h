/*
 * hostname.h: host names and addresses as a Host field or a certificate has them, compared as
 * texts.
 *
 * All take lower case without a port; an IPv6 address may stand in its brackets. Pure; a length
 * says where a text ends, so it needs no NUL.
 */
#ifndef STEAD_LIB_HOSTNAME_H
#define STEAD_LIB_HOSTNAME_H

#include <stdbool.h>
#include <stddef.h>

/* Is it a name that never leaves this machine, or is for tests (RFC 6761 sections 6.2 and 6.3):
 * localhost, test, what lies below these, 127.0.0.0/8, ::1? */
bool hostname_is_local(const char *p, size_t n);
/* This machine itself, and nothing that a name server is asked for: localhost, 127.0.0.0/8, ::1. */
bool hostname_is_loopback(const char *p, size_t n);
/* Is it among these names, which stand with one blank between them? A name that begins with "*." is
 * for one label there (RFC 6125 section 6.4.3), and for no address. */
bool hostname_among(const char *names, size_t names_n, const char *p, size_t n);

/* Is it an IP address, in its one spelling and without brackets? */
bool hostname_is_address(const char *p);
/* … one that can be reached from everywhere (RFC 6890): not of a private network, of this machine or link. */
bool hostname_is_public_address(const char *p);
/* A name that people elsewhere can ask for (RFC 1123 section 2.1, RFC 5890): labels of letters in small, digits and hyphens,
 * at least two of them, the last one no number; no wildcard, no address, none of the local ones (RFC 6761, RFC 6762, RFC 7686,
 * RFC 8375, .internal). */
bool hostname_is_public(const char *p, size_t n);
/* An address as a name below in-addr.arpa or ip6.arpa (RFC 1035 section 3.5, RFC 3596 section 2.5); any other name as
 * it is. */
enum { HOSTNAME_REVERSE_MAX = 256 };
void hostname_reverse(const char *p, char ret[HOSTNAME_REVERSE_MAX]);

#endif
