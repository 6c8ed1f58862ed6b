/*
 * tbl.h: the tables as C: an enum and an array of rows for each. The X-macro headers beside this file
 * are the only place where a visible name is declared; parser, help, completion, man pages,
 * `stead introspect` and tests read the arrays.
 */
#ifndef STEAD_TBL_TBL_H
#define STEAD_TBL_TBL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msg_payloads.h"

/* processes */
enum proc {
	PROC_NONE = 0,
#define PROC(NAME, name, many, oneshot, jail, about) PROC_##NAME,
#include "procs.h"
#undef PROC
	PROC_END
};
enum { PROC_MANY = 255 };
enum jail { JAIL_NONE, JAIL_USER, JAIL_ROOT, JAIL_APP };
struct proc_row {
	const char *name, *about;
	uint8_t many, oneshot, jail;
};
extern const struct proc_row proc_rows[PROC_END];

/* messages */
#define MSG(NAME, num, from, to, fixed, fds_min, fds_max, about) MSG_##NAME = num,
enum msg_type {
#include "msgs.h"
};
#undef MSG
#undef P
#undef P_ALL
#undef P_SELF_SERVING
struct msg_row {
	const char *name, *about;
	uint16_t type;
	uint32_t from, to;     /* bit per enum proc */
	uint16_t fixed_bytes;  /* payload at least this long */
	uint8_t fds_min, fds_max;
};
extern const struct msg_row msg_rows[];
extern const unsigned msg_rows_n;
/* NULL when there is no such message. */
const struct msg_row *msg_row(uint16_t type);
/* May `from` send this to `to`, with that many payload bytes and descriptors? */
bool msg_allowed(enum proc from, enum proc to, uint16_t type, size_t payload_bytes, unsigned nfds);

/* privileged acts */
enum act {
	ACT_NONE = 0,
#define ACT(NAME, name, args, about) ACT_##NAME,
#include "acts.h"
#undef ACT
	ACT_END
};
struct act_row {
	const char *name, *about;
	unsigned args;
};
extern const struct act_row act_rows[ACT_END];

/* close reasons: why a connection, a request or a worker's link ended */
enum close_id {
	CLOSE_NONE = 0,
#define CLOSE(NAME, name, scope, fault, status, text) CLOSE_##NAME,
#include "closes.h"
#undef CLOSE
	CLOSE_END
};
enum close_scope { CLOSE_CONN = 1, CLOSE_REQ = 2, CLOSE_LINK = 4 };
struct close {
	const char *name, *text; /* text: for people, in the error page and the log */
	uint8_t scope;           /* enum close_scope bits */
	bool fault;              /* counts as an error of the peer named in the text */
	uint16_t status;         /* HTTP status that answers a request ended so; 0: none is sent */
};
extern const struct close close_rows[CLOSE_END];

/* events */
enum level { LEVEL_DEBUG = 7, LEVEL_INFO = 6, LEVEL_NOTICE = 5, LEVEL_WARNING = 4, LEVEL_ERROR = 3, LEVEL_CRITICAL = 2 };
#define EVENT(NAME, id, level, fields, meaning, todo) EV_##NAME = id,
enum event {
#include "events.h"
};
#undef EVENT
struct event_row {
	uint32_t id; /* stable for ever */
	const char *name, *fields, *meaning, *todo;
	uint8_t level;
};
extern const struct event_row event_rows[];
extern const unsigned event_rows_n;
const struct event_row *event_row(uint32_t id);

/* metrics: every counter of a gate's page, in order */
enum metric {
#define METRIC(NAME, name, unit, scope, about) METRIC_##NAME,
#include "metrics.h"
#undef METRIC
	METRIC_END
};
enum metric_scope { METRIC_GATE = 0, METRIC_SITE = 1 };
struct metric_row {
	const char *name, *unit, *about;
	uint8_t scope;
};
extern const struct metric_row metric_rows[METRIC_END];

/* A gate's counters page (one writer: that gate; ctl maps it read-only and treats it as input). */
enum { COUNTER_SITES_MAX = 4096 };
struct counters_page {
	uint64_t magic; /* COUNTERS_MAGIC */
	uint64_t generation;
	_Atomic uint64_t gate[METRIC_END];
	uint32_t sites;
	uint32_t pad;
	/* by the site's number in the snapshot; sites beyond the bound share the last row */
	_Atomic uint64_t site[COUNTER_SITES_MAX][8];
};
#define COUNTERS_MAGIC 0x5354454144435431ull
/* columns of counters_page.site */
enum { SITE_REQUESTS, SITE_ERRORS_5XX, SITE_ERRORS_4XX, SITE_BYTES_OUT, SITE_ACTIVE, SITE_QUEUED, SITE_REPLAYED, SITE_TIME_US };

#endif
