/*
 * socks.h: the machine's TCP sockets, as the kernel lists them (sock_diag(7)), and who holds one.
 *
 * Used by `stead doctor` (who has ports 80 and 443), by stead-act (which ports sshd has, and whether somebody
 * connected anew) and by ctl (whose program listens where nobody asks it). Reads the kernel only. Nothing here needs root; without it other users' processes stay unnamed.
 */
#ifndef STEAD_MACHINE_SOCKS_H
#define STEAD_MACHINE_SOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { SOCKS_ESTABLISHED = 1u << 1, SOCKS_LISTEN = 1u << 10 };

struct sock_seen {
	bool v6;
	uint8_t local[16], peer[16]; /* network order; of IPv4 the first four bytes */
	uint16_t local_port, peer_port;
	uint32_t inode, uid;
};

struct sock_owner {
	pid_t pid;
	char comm[17];
	char unit[128]; /* of systemd; "" when it is in none */
};

/* `each` is told of every socket in one of `states`; false ends the walk. 0, or -errno of the kernel's refusal. */
int socks_each(unsigned states, bool (*each)(void *arg, const struct sock_seen *s), void *arg);
/* The kernel's answer to one request, as bytes: exposed for tests. 1: the walk is over, 0: more comes, -errno. */
int socks_read(const void *p, size_t n, bool (*each)(void *arg, const struct sock_seen *s), void *arg);
/* The process with the lowest number that holds the socket; the system's first only if nobody else does, for it keeps
 * sockets for its services. -ENOENT: none that we may look at. */
int socks_owner(uint32_t inode, struct sock_owner *ret);
/* The peer is this machine itself, by a loopback address. */
bool socks_is_loopback(const struct sock_seen *s);

enum { SSH_PORTS_MAX = 4 };
/* The ports on which people come in by ssh: where a process called sshd listens, or systemd does for it (port 22), or
 * has a connection open. How many there are; the lowest first. */
unsigned socks_ssh_ports(uint16_t ret[SSH_PORTS_MAX]);

#endif
