/*
 * inherit.c: listening sockets that whoever started us has bound already: socket activation.
 *
 * Called by main before anything else may open a descriptor, and by listen.c in the place of bind(). Owns those sockets
 * for as long as the parent lives: one that the configuration does not name now may be named after a reload, and what
 * waits in its queue is not lost. Source: sd_listen_fds(3), systemd.socket(5).
 */
#include "parent.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_FD = 3 };

static int option_of(int fd, int level, int name)
{
	int v = -1;
	socklen_t n = sizeof(v);

	return getsockopt(fd, level, name, &v, &n) < 0 ? -1 : v;
}

/* A stream socket of the internet that listens; others are not ours to know. */
static bool is_listener(int fd)
{
	int family = option_of(fd, SOL_SOCKET, SO_DOMAIN);

	return (family == AF_INET || family == AF_INET6) && option_of(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM &&
	       option_of(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1;
}

void inherit_init(struct parent *p)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
	long n = count != NULL ? strtol(count, NULL, 10) : 0;

	if (!p->server.on || pid == NULL || strtol(pid, NULL, 10) != getpid())
		n = 0;
	for (int fd = FIRST_FD; fd < FIRST_FD + n && p->server.given_n < ARRAY_LEN(p->server.given); fd++) {
		bool stored = names != NULL && strncmp(names, "stead-", 6) == 0; /* store.c */

		names = names != NULL && (names = strchr(names, ':')) != NULL ? names + 1 : NULL;
		if (stored || sys_cloexec(fd, true) < 0 || !is_listener(fd) || sys_nonblock(fd, true) < 0)
			continue;
		p->server.given[p->server.given_n++] = fd;
	}
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in *a4 = (const struct sockaddr_in *)a, *b4 = (const struct sockaddr_in *)b;
	const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)a, *b6 = (const struct sockaddr_in6 *)b;

	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return a4->sin_port == b4->sin_port && a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return a6->sin6_port == b6->sin6_port && memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0;
}

/* ListenStream=80 is [::]:80 for both protocols: who wants 0.0.0.0:80 has it there. */
static bool serves_both(int fd, const struct sockaddr_storage *got, const struct sockaddr_storage *want)
{
	const struct sockaddr_in6 *g = (const struct sockaddr_in6 *)got;
	const struct sockaddr_in *w = (const struct sockaddr_in *)want;

	return got->ss_family == AF_INET6 && want->ss_family == AF_INET && g->sin6_port == w->sin_port &&
	       IN6_IS_ADDR_UNSPECIFIED(&g->sin6_addr) && w->sin_addr.s_addr == htonl(INADDR_ANY) &&
	       option_of(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0;
}

int inherit_take(struct parent *p, const char *address)
{
	struct sockaddr_storage want, got;
	socklen_t n;

	if (p->server.given_n == 0 || listen_parse(address, &want, &n) < 0)
		return -ENOENT;
	for (unsigned i = 0; i < p->server.given_n; i++) {
		n = sizeof(got);
		if (getsockname(p->server.given[i], (struct sockaddr *)&got, &n) < 0 ||
			(!same_address(&got, &want) && !serves_both(p->server.given[i], &got, &want)))
			continue;
		int fd = fcntl(p->server.given[i], F_DUPFD_CLOEXEC, FIRST_FD);

		return fd < 0 ? -errno : fd;
	}
	return -ENOENT;
}

void inherit_done(struct parent *p)
{
	for (unsigned i = 0; i < p->server.given_n; i++)
		close(p->server.given[i]);
	p->server.given_n = 0;
}
