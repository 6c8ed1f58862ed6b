/*
 * listeners.h: at which ports programs listen; see listeners.c.
 */
#ifndef STEAD_CTL_LISTENERS_H
#define STEAD_CTL_LISTENERS_H

#include <stdbool.h>
#include <sys/types.h>

struct ctl;

struct listener {
	unsigned port, uid, inode;
	bool exposed; /* at an address that is not the machine's own alone */
};
/* By one line of /proc/net/tcp or tcp6; false: nobody listens by it, and *ret is not to be used. */
bool listener_line(const char *line, struct listener *ret);
/* Does a process listen at that port of an address that is not the machine's own alone? */
bool listeners_exposed(unsigned port);
/* The port that a program listens at: as root one of that user, else of that session. 0: it is seen at none. */
unsigned listeners_own_port(const struct ctl *c, uid_t uid, pid_t session);

#endif
