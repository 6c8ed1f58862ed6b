/*
 * run.h: run one program to its end, without a shell, bounded in time, keeping the end of its
 * output.
 *
 * Used by db (initdb), build (python, pip) and act (useradd). Whatever the program leaves behind is
 * ended before run_program() returns, also after a timeout: the caller becomes a subreaper for
 * that.
 */
#ifndef STEAD_ONESHOT_RUN_H
#define STEAD_ONESHOT_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/buf.h"

enum { RUN_TAIL_BYTES = 3000, RUN_TAIL_LINES = 30, RUN_ARGS_MAX = 64 };

struct run {
	const char *const *argv; /* argv[0] is the absolute path */
	const char *const *envp;
	const char *cwd; /* NULL: where the caller is */
	unsigned timeout_ms;
	void (*line)(void *arg, const char *line); /* each whole line of output; may be NULL */
	void *arg;
	struct buf *output; /* all of it, as far as its bound goes; may be NULL */
};

struct run_end {
	int status;                    /* >= 0 the exit code, < 0 minus the signal */
	bool timed_out;                /* killed by us after timeout_ms */
	char tail[RUN_TAIL_BYTES + 1]; /* the last lines of stdout and stderr together */
};

/* 0 when the program ran (see ret_end), or -errno when it could not be started (-ENOENT, -EACCES
 * …). */
int run_program(const struct run *run, struct run_end *ret_end);
/* Remember output in `tail`, dropping whole lines from its front; exposed for tests. */
void run_tail_add(char *tail, size_t cap, const char *p, size_t n);

#endif
