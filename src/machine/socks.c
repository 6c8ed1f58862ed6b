/*
 * socks.c: see socks.h. One request to the kernel for each family; the answer's lengths are checked before each use.
 */
#include "socks.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/sys.h"

enum { ANSWER_BYTES = 32 * 1024, ANSWERS_MAX = 100000, CGROUP_MAX = 64 * 1024 };

int socks_read(const void *p, size_t n, bool (*each)(void *arg, const struct sock_seen *s), void *arg)
{
	const char *at = p, *end = at + n;

	while ((size_t)(end - at) >= sizeof(struct nlmsghdr)) {
		struct inet_diag_msg m;
		struct nlmsghdr h;
		struct sock_seen s;

		memcpy(&h, at, sizeof h);
		if (h.nlmsg_len < sizeof h || h.nlmsg_len > (size_t)(end - at))
			return -EBADMSG;
		if (h.nlmsg_type == NLMSG_DONE)
			return 1;
		if (h.nlmsg_type == NLMSG_ERROR) {
			int err = 0;

			if (h.nlmsg_len >= NLMSG_HDRLEN + sizeof err)
				memcpy(&err, at + NLMSG_HDRLEN, sizeof err);
			return err < 0 ? err : -EBADMSG;
		}
		if (h.nlmsg_type == SOCK_DIAG_BY_FAMILY) {
			if (h.nlmsg_len < NLMSG_HDRLEN + sizeof m)
				return -EBADMSG;
			memcpy(&m, at + NLMSG_HDRLEN, sizeof m);
			s = (struct sock_seen){.v6 = m.idiag_family == AF_INET6,
				.local_port = ntohs(m.id.idiag_sport),
				.peer_port = ntohs(m.id.idiag_dport),
				.inode = m.idiag_inode,
				.uid = m.idiag_uid};
			memcpy(s.local, m.id.idiag_src, sizeof s.local);
			memcpy(s.peer, m.id.idiag_dst, sizeof s.peer);
			if (!each(arg, &s))
				return 1;
		}
		at += NLMSG_ALIGN(h.nlmsg_len) < (size_t)(end - at) ? NLMSG_ALIGN(h.nlmsg_len) : (size_t)(end - at);
	}
	return at == end ? 0 : -EBADMSG;
}

static int ask_family(int fd, uint8_t family, unsigned states, bool (*each)(void *arg, const struct sock_seen *s),
	void *arg)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} ask = {.h = {.nlmsg_len = sizeof ask, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.r = {.sdiag_family = family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = states}};
	char *mem = malloc(ANSWER_BYTES);
	int r = mem ? 0 : -ENOMEM;

	if (r == 0 && send(fd, &ask, sizeof ask, 0) < 0)
		r = -errno;
	for (unsigned i = 0; r == 0 && i < ANSWERS_MAX; i++) {
		ssize_t n = recv(fd, mem, ANSWER_BYTES, 0);

		if (n < 0 && errno == EINTR)
			continue;
		r = n < 0 ? -errno : n == 0 ? 1 : socks_read(mem, (size_t)n, each, arg);
	}
	free(mem);
	return r < 0 ? r : 0;
}

int socks_each(unsigned states, bool (*each)(void *arg, const struct sock_seen *s), void *arg)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	int r = 0;

	for (unsigned i = 0; i < sizeof families && r == 0; i++) {
		int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

		if (fd < 0)
			return -errno;
		r = ask_family(fd, families[i], states, each, arg);
		(void)close(fd);
		/* A kernel without IPv6 has no sockets of it. */
		if (families[i] == AF_INET6 && (r == -ENOENT || r == -EAFNOSUPPORT))
			r = 0;
	}
	return r;
}

/* The last part of the process's path in the cgroup tree that is a unit's name. */
static void find_unit(pid_t pid, char *ret, size_t cap)
{
	char path[40], *text = NULL, *part, *save = NULL;
	size_t n;

	*ret = '\0';
	(void)snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
	if (sys_read_file(AT_FDCWD, path, CGROUP_MAX, &text, &n) < 0)
		return;
	for (part = strtok_r(text, "/\n", &save); part; part = strtok_r(NULL, "/\n", &save)) {
		size_t len = strlen(part);

		if ((len > 8 && strcmp(part + len - 8, ".service") == 0) ||
			(len > 6 && strcmp(part + len - 6, ".scope") == 0))
			(void)snprintf(ret, cap, "%s", part);
	}
	free(text);
}

static bool holds(const char *pid, const char *wanted)
{
	char path[300], to[64];
	bool found = false;
	struct dirent *e;
	DIR *d;

	(void)snprintf(path, sizeof path, "/proc/%s/fd", pid);
	d = opendir(path);
	while (d && !found && (e = readdir(d)) != NULL) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, to, sizeof to - 1);

		if (n > 0) {
			to[n] = '\0';
			found = strcmp(to, wanted) == 0;
		}
	}
	if (d)
		(void)closedir(d);
	return found;
}

static void name_owner(pid_t pid, struct sock_owner *ret)
{
	char path[40], *text = NULL;
	size_t n;

	*ret = (struct sock_owner){.pid = pid};
	(void)snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
	if (sys_read_file(AT_FDCWD, path, 256, &text, &n) == 0)
		(void)snprintf(ret->comm, sizeof ret->comm, "%.*s", (int)strcspn(text, "\n"), text);
	free(text);
	find_unit(pid, ret->unit, sizeof ret->unit);
}

int socks_owner(uint32_t inode, struct sock_owner *ret)
{
	DIR *d = inode ? opendir("/proc") : NULL;
	char wanted[40];
	struct dirent *e;
	long found = 0;

	(void)snprintf(wanted, sizeof wanted, "socket:[%u]", inode);
	while (d && (e = readdir(d)) != NULL) {
		long pid = isdigit((unsigned char)e->d_name[0]) ? strtol(e->d_name, NULL, 10) : 0;

		if (pid > 1 && (!found || pid < found) && holds(e->d_name, wanted))
			found = pid;
	}
	if (d)
		(void)closedir(d);
	/* The system's first process keeps sockets for others: those of .socket units, and what a service has given it. */
	if (d && !found && holds("1", wanted))
		found = 1;
	if (!found)
		return -ENOENT;
	name_owner((pid_t)found, ret);
	return 0;
}

bool socks_is_loopback(const struct sock_seen *s)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	static const uint8_t one[16] = {[15] = 1};

	if (!s->v6)
		return s->peer[0] == 127;
	return memcmp(s->peer, one, sizeof one) == 0 ||
	       (memcmp(s->peer, mapped, sizeof mapped) == 0 && s->peer[12] == 127);
}

struct ssh {
	uint16_t *port;
	unsigned n;
	bool listen;
};

static void keep_port(struct ssh *ssh, uint16_t port)
{
	unsigned at = 0;

	while (at < ssh->n && ssh->port[at] < port)
		at++;
	if ((at < ssh->n && ssh->port[at] == port) || ssh->n == SSH_PORTS_MAX)
		return;
	memmove(ssh->port + at + 1, ssh->port + at, (ssh->n - at) * sizeof *ssh->port);
	ssh->port[at] = port;
	ssh->n++;
}

static bool see_ssh(void *arg, const struct sock_seen *s)
{
	struct sock_owner who;
	struct ssh *ssh = arg;

	/* What listens on a loopback address alone lets nobody in; what is open may be a tunnel's end. */
	if (!s->inode || (!ssh->listen && s->local_port > 1023 && s->peer_port <= 1023) || socks_owner(s->inode, &who) < 0)
		return true;
	/* Each connection has an sshd of its own, which OpenSSH 9.8 calls sshd-session. */
	if (strncmp(who.comm, "sshd", 4) == 0 || (ssh->listen && who.pid == 1 && s->local_port == 22))
		keep_port(ssh, s->local_port);
	return true;
}

unsigned socks_ssh_ports(uint16_t ret[SSH_PORTS_MAX])
{
	struct ssh ssh = {.port = ret, .listen = true};

	(void)socks_each(SOCKS_LISTEN, see_ssh, &ssh);
	return ssh.n;
}
