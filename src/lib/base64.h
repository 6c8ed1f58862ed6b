/*
 * base64.h: RFC 4648 section 4, with padding and nothing else in it.
 */
#ifndef STEAD_LIB_BASE64_H
#define STEAD_LIB_BASE64_H

#include <stddef.h>

/* How many bytes came of n characters, or -1; ret has room for n / 4 * 3. What is decoded has one spelling only. */
long base64_decode(const char *p, size_t n, char *ret);
/* The same in memory of the caller's, n of *ret_n; NULL: it is none, or there is no memory. */
void *base64_new(const char *p, size_t n, size_t *ret_n);
/* BASE64_BYTES(n) characters, the last of them NUL. */
#define BASE64_BYTES(n) (((n) + 2) / 3 * 4 + 1)
void base64_encode(const void *bytes, size_t n, char *ret);

#endif
