/*
 * auth.h: the process that checks passwords.
 */
#ifndef STEAD_AUTH_H
#define STEAD_AUTH_H

#include <stdbool.h>
#include <stddef.h>

enum { AUTH_PASSWORD_MAX = 512 /* what crypt(3) takes */ };

/* Is `password` the one that `hash` (crypt(5)) was made of? Takes as long as the hash wants, 1 to 300 ms.
 * An unknown or unsafe kind of hash (DES, MD5) is nobody's. Equal time wherever the two differ. */
bool auth_verify(const char *hash, const char *password);

#endif
