/*
 * look_dns.c: do the resolvers answer, and do the sites' names lead to this machine.
 *
 * Of a resolver's answer the head is read and nothing else (RFC 1035 section 4.1.1). Names are looked up by libc in a child
 * that gave all rights away first: it parses what strangers send.
 */
#include "doctor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/hostname.h"
#include "lib/sys.h"

enum { ANSWER_MS = 2000, NAME_MS = 6000, NOBODY = 65534, ADDRS_MAX = 8, RESOLVERS_MAX = 3 };

struct addrs {
	uint32_t n;
	bool failed;
	struct {
		uint8_t family, addr[16];
	} one[ADDRS_MAX];
};

/* ---- resolvers ---- */

static bool is_answered(const struct sockaddr *to, socklen_t n)
{
	/* One question: the name servers of the root. */
	uint8_t ask[17] = {[2] = 1, [5] = 1, [14] = 2, [16] = 1}, got[512];
	int fd = socket(to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	bool answered = false;
	ssize_t len;

	if (fd < 0 || sys_random(ask, 2) < 0 || connect(fd, to, n) < 0 || send(fd, ask, sizeof ask, 0) < 0)
		goto out;
	while (!answered && poll(&p, 1, ANSWER_MS) > 0) {
		len = recv(fd, got, sizeof got, 0);
		if (len < 0)
			break; /* nobody is there */
		answered = len >= 12 && memcmp(got, ask, 2) == 0 && (got[2] & 0x80) != 0;
	}
out:
	if (fd >= 0)
		(void)close(fd);
	return answered;
}

static bool try_resolver(const char *text)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_DGRAM}, *list = NULL;
	bool answered;

	if (getaddrinfo(text, "53", &hints, &list) != 0)
		return false;
	answered = is_answered(list->ai_addr, list->ai_addrlen) || is_answered(list->ai_addr, list->ai_addrlen);
	freeaddrinfo(list);
	return answered;
}

static void look_resolvers(struct doctor *d)
{
	char *text = doctor_text("/etc/resolv.conf"), *save = NULL;
	unsigned n = 0;

	for (char *line = strtok_r(text, "\n", &save); line && n < RESOLVERS_MAX; line = strtok_r(NULL, "\n", &save)) {
		char addr[64];

		if (sscanf(line, "nameserver %63s", addr) != 1)
			continue;
		n++;
		found(d, try_resolver(addr) ? FINDING_RESOLVER_OK : FINDING_RESOLVER_SILENT, NULL, "%s", addr);
	}
	if (!n)
		found(d, FINDING_RESOLVER_NONE, NULL, "%s", "/etc/resolv.conf");
	free(text);
}

/* ---- names ---- */

static _Noreturn void look_up(const char *name, int fd)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	struct addrs a = {.n = 0};
	struct rlimit none = {0, 0};
	ssize_t ignored;

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
	if (geteuid() == 0 && (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
		_exit(1);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	a.failed = getaddrinfo(name, NULL, &hints, &list) != 0;
	for (struct addrinfo *i = a.failed ? NULL : list; i && a.n < ADDRS_MAX; i = i->ai_next) {
		a.one[a.n].family = (uint8_t)i->ai_family;
		if (i->ai_family == AF_INET)
			memcpy(a.one[a.n].addr, &((struct sockaddr_in *)(void *)i->ai_addr)->sin_addr, 4);
		else if (i->ai_family == AF_INET6)
			memcpy(a.one[a.n].addr, &((struct sockaddr_in6 *)(void *)i->ai_addr)->sin6_addr, 16);
		a.n++;
	}
	ignored = write(fd, &a, sizeof a);
	(void)ignored;
	_exit(0);
}

/* What the child says is input: bounded here. */
static void ask_name(const char *name, struct addrs *ret)
{
	int fds[2];
	pid_t pid;

	*ret = (struct addrs){.failed = true};
	if (pipe2(fds, O_CLOEXEC) < 0)
		return;
	pid = fork();
	if (pid == 0)
		look_up(name, fds[1]);
	(void)close(fds[1]);
	if (pid > 0) {
		struct pollfd p = {.fd = fds[0], .events = POLLIN};
		struct addrs got;

		if (poll(&p, 1, NAME_MS) > 0 && read(fds[0], &got, sizeof got) == sizeof got && got.n <= ADDRS_MAX)
			*ret = got;
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	(void)close(fds[0]);
}

static bool is_private(uint8_t family, const uint8_t *a)
{
	if (family == AF_INET)
		return a[0] == 10 || a[0] == 127 || (a[0] == 172 && a[1] >= 16 && a[1] < 32) || (a[0] == 192 && a[1] == 168) ||
		       (a[0] == 100 && a[1] >= 64 && a[1] < 128) || (a[0] == 169 && a[1] == 254);
	return (a[0] & 0xfe) == 0xfc || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80);
}

struct here {
	struct ifaddrs *list;
	bool is_public; /* this machine has an address of the world's own */
};

static bool is_here(const struct here *h, uint8_t family, const uint8_t *addr)
{
	for (struct ifaddrs *i = h->list; i; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != family)
			continue;
		if (family == AF_INET ? memcmp(&((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr, addr, 4) == 0
				      : memcmp(&((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr, addr, 16) == 0)
			return true;
	}
	return false;
}

static void see_here(struct here *h)
{
	*h = (struct here){.list = NULL};
	if (getifaddrs(&h->list) < 0)
		h->list = NULL;
	for (struct ifaddrs *i = h->list; i; i = i->ifa_next)
		if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && !(i->ifa_flags & IFF_LOOPBACK))
			h->is_public = h->is_public || !is_private(AF_INET, (uint8_t *)&((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr);
}

static void look_name(struct doctor *d, const struct here *h, const char *name)
{
	unsigned elsewhere = 0;
	char text[INET6_ADDRSTRLEN] = "", at[300] = "";
	struct addrs a;

	ask_name(name, &a);
	if (a.failed || !a.n) {
		found(d, FINDING_NAME_NOWHERE, name, "%s", name);
		return;
	}
	for (unsigned i = 0; i < a.n; i++) {
		if (a.one[i].family != AF_INET && a.one[i].family != AF_INET6)
			continue;
		if (is_here(h, a.one[i].family, a.one[i].addr))
			continue;
		elsewhere++;
		(void)inet_ntop(a.one[i].family, a.one[i].addr, text, sizeof text);
		(void)snprintf(at + strlen(at), sizeof at - strlen(at), " %s", text);
	}
	if (!elsewhere)
		found(d, FINDING_NAME_HERE, NULL, "%s", name);
	else
		found(d, h->is_public ? FINDING_NAME_ELSEWHERE : FINDING_NAME_BEHIND, name, "%s:%s", name, at);
}

/* Of a list of names: wildcards, addresses and names of this machine alone lead nowhere. Each is looked up once. */
static void look_one(struct doctor *d, const struct here *h, json_t *done, const char *s)
{
	if (!s || strchr(s, '*') || strchr(s, ':') || !strchr(s, '.') || strspn(s, "0123456789.") == strlen(s) ||
		hostname_is_local(s, strlen(s)) || json_object_get(done, s) || json_object_size(done) >= DOCTOR_NAMES_MAX)
		return;
	(void)json_object_set_new(done, s, json_true());
	look_name(d, h, s);
}

/* The names of all sites of the running stead, and those that certificates are for or are wanted for. */
static void look_names(struct doctor *d, const struct here *h)
{
	static const char *const keys[] = {"names", "wanted"};
	json_t *done = json_object();
	const json_t *one, *name;
	size_t i, k;

	json_array_foreach(d->domains, i, one) look_one(d, h, done, json_string_value(json_object_get(one, "name")));
	for (size_t n = 0; n < ARRAY_LEN(keys); n++)
		json_array_foreach(json_object_get(d->status, "certificates"), i, one)
			json_array_foreach(json_object_get(one, keys[n]), k, name) look_one(d, h, done, json_string_value(name));
	json_decref(done);
}

void look_dns(struct doctor *d)
{
	struct here h;

	look_resolvers(d);
	see_here(&h);
	look_names(d, &h);
	if (h.list)
		freeifaddrs(h.list);
}
