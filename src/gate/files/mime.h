/*
 * mime.h: a file name's extension to its media type.
 */
#ifndef STEAD_GATE_MIME_H
#define STEAD_GATE_MIME_H

#include <stddef.h>

struct mime;
/* Reads the system's table if there is one; the built-in one says what it lacks. -ENOMEM. */
int mime_new(struct mime **ret_mime, const char *path);
void mime_free(struct mime *m);
/* Of the last extension of `name`; never NULL. The text lives as long as m. */
const char *mime_of(const struct mime *m, const char *name, size_t n, size_t *ret_len);

#endif
