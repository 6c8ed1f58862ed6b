/*
 * to_static.h: requests answered from a folder of files.
 */
#ifndef STEAD_GATE_TO_STATIC_H
#define STEAD_GATE_TO_STATIC_H

#include "req.h"

extern const struct handler_ops to_static_handler;

/* The request's path as it is looked for below the route's Root=. */
const char *static_path(const struct req *r, size_t *ret_len);
/* Does a segment of the path hide itself? */
bool static_is_hidden(const char *path, size_t len);
/* Answers for a folder without its slash: the same name with it, so that relative links in its page are right. */
void static_redirect(struct req *r);
/* Is there a file below Root= that would be served for that path, or an index when it ends with a slash?
 * The path is decoded and NUL-terminated, without dot segments. */
bool static_exists(struct req *r, const char *path, size_t len);

#endif
