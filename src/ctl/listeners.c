/*
 * listeners.c: at which ports do programs listen: for the whole network too, or by their own choice?
 *
 * Called by procs.c when a program is up that is asked at a port: one that listens for the network is reached past the
 * gates, past the site's networks, passwords, rates and logs. Called by up_proc.c when a program was not ready in time:
 * most that speak HTTP have a port written into them, and whoever deploys one is told which it is. Reads /proc/net/tcp
 * and tcp6 (proc(5)) and, without root, which of the sockets a process of the program's session has. Changes nothing.
 */
#include "listeners.h"

#include "ctl.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "machine/socks.h"

enum { LISTENERS_MAX = 64 };

struct listeners {
	struct listener row[LISTENERS_MAX];
	unsigned n;
};

/* The addresses stand in hexadecimal, each 32-bit word in the machine's order: of 127.0.0.1 the 127 comes last. */
static bool is_loopback(const char *hex)
{
	size_t n = strlen(hex);

	if (n == 8)
		return strcmp(hex + 6, "7F") == 0;
	return strcmp(hex, "00000000000000000000000001000000") == 0 ||
	       (n == 32 && strncmp(hex, "0000000000000000FFFF0000", 24) == 0 && strcmp(hex + 30, "7F") == 0);
}

bool listener_line(const char *line, struct listener *ret)
{
	unsigned state;
	char hex[33];

	/* "sl: ADDRESS:PORT ADDRESS:PORT STATE TX:RX TIMER:WHEN RETRANSMITS UID TIMEOUT INODE …"; 0A is LISTEN. */
	if (sscanf(line, "%*u: %32[0-9A-F]:%4X %*32[0-9A-F]:%*4X %2X %*x:%*x %*x:%*x %*x %u %*u %u", hex, &ret->port, &state,
		    &ret->uid, &ret->inode) != 5)
		return false;
	ret->exposed = !is_loopback(hex);
	return state == 0x0a;
}

/* Those that `wanted` says yes to; no more than there is room for. */
static void each_listener(bool (*wanted)(const struct listener *l, unsigned number), unsigned number, struct listeners *ret)
{
	static const char *const files[] = {"/proc/net/tcp", "/proc/net/tcp6"};
	char line[512];

	for (unsigned i = 0; i < ARRAY_LEN(files); i++) {
		FILE *f = fopen(files[i], "re");

		while (f && ret->n < LISTENERS_MAX && fgets(line, sizeof line, f))
			if (listener_line(line, &ret->row[ret->n]) && wanted(&ret->row[ret->n], number))
				ret->n++;
		if (f)
			(void)fclose(f);
	}
}

static bool is_exposed(const struct listener *l, unsigned port)
{
	return l->port == port && l->exposed;
}

bool listeners_exposed(unsigned port)
{
	struct listeners all = {.n = 0};

	each_listener(is_exposed, port, &all);
	return all.n > 0;
}

static bool is_of_user(const struct listener *l, unsigned uid)
{
	return l->uid == uid;
}

/* Each program leads a session of its own, which what it starts stays in. */
static const struct listener *held_in_session(pid_t session, const struct listeners *all)
{
	struct sock_owner who;

	for (unsigned i = 0; i < all->n; i++)
		if (socks_owner(all->row[i].inode, &who) == 0 && getsid(who.pid) == session)
			return &all->row[i];
	return NULL;
}

unsigned listeners_own_port(const struct ctl *c, uid_t uid, pid_t session)
{
	const struct listener *found = NULL;
	struct listeners all = {.n = 0};

	each_listener(is_of_user, c->start.root ? uid : getuid(), &all);
	/* As root each app has a user of its own, whose descriptors ctl may not see. */
	if (all.n)
		found = c->start.root ? &all.row[0] : held_in_session(session, &all);
	return found ? found->port : 0;
}
