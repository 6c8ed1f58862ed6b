/*
 * look_ports.c: who has the ports that the server is to listen on: 80 and 443, or what the operator wrote.
 */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sys.h"

enum { HOLDERS_MAX = 8, PORTS_MAX = 16, FILE_MAX = 1 << 20 };

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

/* The ports of that key, as the operator wrote it; what a server has without one. */
static void look_key(struct doctor *d, const struct conf *conf, enum conf_key key, uint16_t usual)
{
	const struct conf_value *v = conf ? conf_get(conf, key) : NULL;
	uint16_t seen[PORTS_MAX];
	unsigned n = 0;

	if (!v)
		look_one(d, usual);
	for (; v; v = v->next) {
		const char *colon = strrchr(v->text, ':');
		uint16_t port = colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
		bool again = false;

		for (unsigned i = 0; i < n; i++)
			again |= seen[i] == port;
		/* Left empty it means none; port 0 is whichever is free. */
		if (!port || again || n == PORTS_MAX)
			continue;
		seen[n++] = port;
		look_one(d, port);
	}
}

void look_ports(struct doctor *d)
{
	struct conf_facts facts = {.folder = "/etc/stead"};
	struct conf *conf = conf_new(&facts);
	char *text = NULL;
	size_t n;

	/* What is wrong in it is no matter of ports. */
	if (conf && sys_read_file(AT_FDCWD, "/etc/stead/stead.conf", FILE_MAX, &text, &n) == 0)
		(void)conf_read(conf, "stead.conf", text, n);
	free(text);
	look_key(d, conf, CONF_SERVER_LISTEN, 80);
	look_key(d, conf, CONF_SERVER_LISTEN_TLS, 443);
	conf_free(conf);
}
