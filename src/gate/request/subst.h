/*
 * subst.h: texts of the configuration with variables in them: targets of redirects and rewrites, values of
 * edited header fields.
 *
 * $0 … $9 and ${name}: groups of the regular expression; $uri the decoded path; $request_uri the target
 * as it came; $args the query; $host; $scheme; $remote_addr; $request_id; $server_name the site's canonical
 * name; $$ a dollar. ${…} around any of them. An unknown variable is empty: check refuses it before.
 */
#ifndef STEAD_GATE_SUBST_H
#define STEAD_GATE_SUBST_H

#include "regex.h"
#include "req.h"

/* What the result is for decides how a client's bytes are made harmless in it. */
enum subst_for {
	SUBST_URL,   /* a URL: decoded bytes are percent-encoded; in its query & = + too */
	SUBST_PATH,  /* a decoded path: as they are */
	SUBST_VALUE, /* a field's value: control characters become blanks */
};

/* Arena memory, NUL-terminated; NULL: no memory, or longer than 8 KB. groups may be NULL. */
char *subst(struct req *r, const char *text, size_t len, const struct regex_groups *groups,
	enum subst_for what, size_t *ret_len);
/* Percent-encode what may not stand in a path (RFC 3986 section 3.3). Arena memory or NULL. */
char *subst_encode_path(struct req *r, const char *path, size_t len, size_t *ret_len);

#endif
