/*
 * mailbox.h: addresses of mail.
 */
#ifndef STEAD_LIB_MAILBOX_H
#define STEAD_LIB_MAILBOX_H

#include <stdbool.h>

/* An address that can stand in SMTP's commands (RFC 5321 section 4.1.2) and in a header, without quoting: at most 254 bytes. */
bool mailbox_valid(const char *address);

#endif
