/*
 * access_list.h: Allow= and Deny=: networks that are served, and that are not.
 */
#ifndef STEAD_GATE_ACCESS_LIST_H
#define STEAD_GATE_ACCESS_LIST_H

#include "phases.h"

/* 403 for who is not to be served: where both lists match, the longer prefix counts, and of two of one
 * length Deny=; with an Allow= everybody else is out. */
enum phase_end phase_access(struct req *r);
/* An address as text to 16 bytes, IPv4 in its mapped form. False: it is none. */
bool address_parse(const char *text, uint8_t ret[16]);
/* And back: "192.0.2.1", "2001:db8::1". */
void address_text(const uint8_t address[16], char ret[46]);
bool address_in(const struct snap_cidr *net, const uint8_t address[16]);
/* Bits of the longest prefix of a list of struct snap_cidr that the address lies in; -1: in none. */
int address_match(const struct snap *s, struct snap_list list, const uint8_t address[16]);

#endif
