/*
 * boot.h: what main.c does before the first process; see boot.c.
 */
#ifndef STEAD_PARENT_BOOT_H
#define STEAD_PARENT_BOOT_H

struct parent;

/* Check and open the state folder, take its lock, make what lies in it. The exit code to end with
 * (an explanation is on stderr), or 0. */
int boot_state(struct parent *p);
/* A server's: make both folders, and RUN/control, the name under which everybody finds STATE/control. As boot_state(). */
int boot_server(const char *state, const char *run);
/* Open the folder of the user's own certificate authority. One that is not to be had, or that others could look into,
 * is none: nothing else depends on it. */
void boot_ca(struct parent *p, const char *path);

#endif
