/*
 * calls.h: SystemCallFilter= as numbers (calls.c).
 */
#ifndef STEAD_CTL_CALLS_H
#define STEAD_CTL_CALLS_H

#include "lib/buf.h"
#include "tbl/tbl.h"

/* Append each call as PROC_SET has it, and set j's mode. How many they are. lines: NULL at the end;
 * may be NULL. */
uint32_t calls_pack(const char *const *lines, struct msg_jail *j, struct buf *b);

#endif
