/*
 * look_ports.c: who has ports 80 and 443, and the ports that the running stead listens on.
 */
#include "doctor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { HOLDERS_MAX = 8 };

struct holders {
	uint16_t port;
	struct sock_seen sock[HOLDERS_MAX];
	unsigned n;
};

static bool see(void *arg, const struct sock_seen *s)
{
	struct holders *h = arg;

	if (s->local_port == h->port && h->n < HOLDERS_MAX)
		h->sock[h->n++] = *s;
	return h->n < HOLDERS_MAX;
}

static bool is_steads(const struct sock_owner *o)
{
	return strncmp(o->comm, "stead-", 6) == 0 || strcmp(o->unit, "stead.service") == 0 || strcmp(o->unit, "stead.socket") == 0;
}

/* One word that ends the program which holds the port. */
static void mend(const struct sock_owner *o, char *ret, size_t cap)
{
	size_t n = strlen(o->unit);

	if (n > 8 && strcmp(o->unit + n - 8, ".service") == 0)
		(void)snprintf(ret, cap, "systemctl disable --now %s; or name other addresses in Listen= and ListenTls=", o->unit);
	else if (o->pid == 1)
		(void)snprintf(ret, cap, "systemctl list-sockets shows for whom it is kept: systemctl disable --now that unit; or name "
					 "other addresses in Listen= and ListenTls=");
	else
		(void)snprintf(ret, cap, "kill %d; or name other addresses in Listen= and ListenTls=", (int)o->pid);
}

static void look_one(struct doctor *d, uint16_t port)
{
	struct holders h = {.port = port};
	struct sock_owner who;
	char todo[240];
	int r = socks_each(SOCKS_LISTEN, see, &h);

	if (r < 0) {
		found(d, FINDING_PORT_UNSEEN, NULL, "port %u: %s", port, strerror(-r));
		return;
	}
	if (!h.n) {
		found(d, FINDING_PORT_FREE, NULL, "port %u", port);
		return;
	}
	for (unsigned i = 0; i < h.n; i++) {
		if (socks_owner(h.sock[i].inode, &who) < 0) {
			found(d, FINDING_PORT_UNSEEN, NULL, "port %u: somebody of user number %u listens", port,
				(unsigned)h.sock[i].uid);
			return;
		}
		if (is_steads(&who))
			continue;
		mend(&who, todo, sizeof todo);
		found(d, FINDING_PORT_TAKEN, todo, "port %u: %s, pid %d%s%s", port, who.comm, (int)who.pid, *who.unit ? ", " : "",
			who.unit);
		return;
	}
	found(d, FINDING_PORT_OURS, NULL, "port %u: %s, pid %d%s%s", port, who.comm, (int)who.pid, *who.unit ? ", " : "", who.unit);
}

void look_ports(struct doctor *d)
{
	look_one(d, 80);
	look_one(d, 443);
}
