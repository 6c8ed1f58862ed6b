/*
 * stead_priv.h: what the files of libstead share; for nobody else.
 */
#ifndef STEAD_LINK_STEAD_PRIV_H
#define STEAD_LINK_STEAD_PRIV_H

#include "link/link_env.h"
#include "link/link_field.h"
#include "link/link_worker.h"
#include "stead.h"

#include <stdatomic.h>

enum {
	STEAD_OPEN_MAX = 64,        /* requests open at once; as many as seats of a link */
	STEAD_HEAD_MAX = 60 * 1024, /* bytes of an answer's head */
	STEAD_FIELDS_MAX = 1000,    /* of an answer; as the gate takes */
};
_Static_assert(
	(int)STEAD_OPEN_MAX <= (int)LINK_SEATS && (int)STEAD_OPEN_MAX <= (int)LINK_THREADS_MAX,
	"every open request has a seat, and a place in the status page");

struct stead_pair {
	const char *name, *value;
};

struct stead_req {
	struct stead *s;
	struct link_req *link; /* NULL: not open */
	unsigned place;
	/* the request, taken apart when it is first looked at */
	bool parsed;
	const char *var[ENV_END];
	struct stead_pair *fields;
	size_t nfields, fields_cap;
	/* the answer */
	char *head;
	size_t head_len, head_cap;
	unsigned status, nheaders;
	bool is_head, knows_method;
	bool head_sent, ended, mute; /* mute: it has no body */
	int64_t length;              /* promised; -1 not */
	uint64_t sent;               /* body bytes given to the link, or swallowed */
};

struct stead {
	struct link_worker *worker;
	unsigned at_once;
	bool nonblock;
	_Atomic uint64_t used; /* a bit for each place that is taken */
	struct stead_req req[STEAD_OPEN_MAX];
};

/* stead_request.c: from one request to the next on the same place. */
int stead_req_parse(struct stead_req *r);
/* stead_answer.c */
void stead_answer_reset(struct stead_req *r);

#endif
