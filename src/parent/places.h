/*
 * places.h: where a program of an app is asked, and where it notifies: sockets, ports, variables.
 */
#ifndef STEAD_PARENT_PLACES_H
#define STEAD_PARENT_PLACES_H

#include "parent.h"

enum { PLACE_ENV_MAX = 9 };
struct place {
	char text[PLACE_ENV_MAX][192];
	char *env[PLACE_ENV_MAX + 1]; /* NULL-terminated: what it is told besides its spec's */
	char *pid_at[2];
	char **argv; /* its spec's, with the port in it; NULL: as it is. place_done() frees it */
};
/* The folder of all that, below /run/stead/backends or the runtime folder. */
void places_init(struct parent *p);
void places_done(struct parent *p);
/* Make what this run needs, unless it is there, as r->place. -errno, with the step's name; then there is none. */
int place_make(struct parent *p, struct run *r, const char **ret_step);
/* A command's words with what is known only now in them: "${NAME}" of PORT, MAINPID, SERVICE_RESULT, EXIT_CODE and
 * EXIT_STATUS, by `vars` (NAME=VALUE) or as nothing. One piece of memory to free(); NULL: -ENOMEM. */
char **place_words(char *const *argv, uint32_t argc, char *const *vars);
/* Does its life begin, with no process of its program before it and none beside it, so that RuntimeDirectory= is to be
 * empty? Before place_make(). */
bool place_begins(const struct run *r);
/* Its process is dead: its notifications are over, its port is free. */
void place_quiet(struct parent *p, struct run *r);
/* All of it has ended. What is handed over stays for the next one in its place. */
void place_ended(struct parent *p, struct run *r);
/* The slot goes. */
void place_bury(struct parent *p, struct run *r);
/* Nothing of it comes up: what waits in its socket is let go, so that it is answered elsewhere. The next start gets
 * another socket. */
void place_shut(struct parent *p, struct run *r);
/* Of the socket that is handed over. */
void place_path(const struct parent *p, const struct run *r, char ret[static PATH_MAX]);

#endif
