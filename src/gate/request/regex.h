/*
 * regex.h: regular expressions of routes, redirects and rewrites: PCRE2, compiled at first use and kept by
 * their text, so a reload compiles only what is new.
 *
 * Bounded: a pattern that would search without end costs at most the match limit, and then does not match
 * (event REGEX_LIMIT, at most one a minute). No JIT: a gate has no memory that is writable and executable.
 */
#ifndef STEAD_GATE_REGEX_H
#define STEAD_GATE_REGEX_H

#include "gate.h"

enum { REGEX_GROUPS = 10, REGEX_KEPT_MAX = 4096 };

struct regex_groups {
	const char *subject;
	const char *pattern; /* for the names of groups */
	size_t pattern_len;
	unsigned n; /* groups that there are; [0] is the whole */
	struct {
		size_t from, len; /* len 0: it took no part */
	} at[REGEX_GROUPS];
};

/* Does the pattern match somewhere in subject? One that cannot be compiled never does: check refuses it
 * before it gets here. ret_groups (may be NULL) points into subject. */
bool regex_match(struct gate *g, const char *pattern, size_t pattern_len, const char *subject, size_t len,
	struct regex_groups *ret_groups);
/* The number of the group ?<name>, or -1. */
int regex_group_number(struct gate *g, const struct regex_groups *groups, const char *name, size_t len);
void regex_free_all(struct gate *g);

#endif
