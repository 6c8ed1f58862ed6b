/*
 * oneshot.h: what the one-shot processes (db, build, act) share: one question in, findings, one
 * end.
 *
 * The process's descriptor 3 is its channel to ctl. oneshot_open() says HELLO both ways,
 * oneshot_receive() takes the one question, oneshot_step() tells what is being done and
 * oneshot_end() answers. A struct failure is how the parts hand an error up: what, where, why, and
 * what to do.
 */
#ifndef STEAD_ONESHOT_ONESHOT_H
#define STEAD_ONESHOT_ONESHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/chan.h"
#include "tbl/tbl.h"

/* Exit codes as the CLI shows them (interface.md). */
enum exit_code {
	EXIT_CODE_FAILED = 1,
	EXIT_CODE_USAGE = 2,
	EXIT_CODE_NO_SUCH = 4,
	EXIT_CODE_NOT_PERMITTED = 5,
	EXIT_CODE_PROTECTED = 6,
	EXIT_CODE_BUSY = 7,
};

struct failure {
	int err; /* an errno; 0: nothing failed */
	unsigned exit_code;
	char text[4096]; /* what, where, why */
	char todo[512];  /* what to do next */
};

/* Record a failure; the first one stays. Returns -err. `todo` may be "". */
int failure_set(struct failure *f, int err, unsigned exit_code, const char *todo, const char *fmt,
	...) __attribute__((format(printf, 5, 6)));

struct oneshot {
	int fd;
	enum proc role;
	uint64_t id; /* the question's */
	bool gone;   /* ctl no longer listens: nothing more is sent */
	char *mem;   /* CHAN_PAYLOAD_MAX bytes, holds the question */
	struct msg ask;
};

/* Take the channel `fd`, say HELLO and await the peer's. -ENOMEM, -EPIPE, -EPROTO. */
int oneshot_open(struct oneshot *o, int fd, enum proc role);
/* The one question, which must be of `type` (0: any) and allowed from ctl to this role; in o->ask, whose descriptors
 * are the caller's. -EPROTO. */
int oneshot_receive(struct oneshot *o, uint16_t type);
/* The same of somebody else than ctl. */
int oneshot_receive_from(struct oneshot *o, enum proc from, uint16_t type);
/* Tell what is being done; permille UINT32_MAX when unknown. An absent listener is no error. */
void oneshot_step(struct oneshot *o, uint32_t permille, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The answer: f->err 0 means done; `result` fills the third packed string ("" when there is none).
 */
int oneshot_end(struct oneshot *o, uint16_t type, const struct failure *f, const char *result);
void oneshot_close(struct oneshot *o);

#endif
