/*
 * listen.c: sockets that the parent binds and every gate accepts on.
 *
 * Called for ctl's BIND and UNBIND and for each new gate. Owns the listening descriptors, so a gate
 * that dies loses no connection that waits in the queue, and a port below 1024 needs no privilege
 * elsewhere. Never accepts. Addresses are numbers only: nothing is looked up here.
 */
#include "parent.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int listen_parse(const char *text, struct sockaddr_storage *ret_addr, socklen_t *ret_len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret_addr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_addr;
	const char *colon = strrchr(text, ':');
	char host[64], *end;

	if (colon == NULL || colon[1] < '0' || colon[1] > '9')
		return -EINVAL;
	unsigned long port = strtoul(colon + 1, &end, 10);
	size_t n = (size_t)(colon - text);
	if (*end != '\0' || port > 65535 || n >= sizeof(host))
		return -EINVAL;
	memset(ret_addr, 0, sizeof(*ret_addr));
	if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
		memcpy(host, text + 1, n - 2);
		host[n - 2] = '\0';
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		*ret_len = sizeof(*v6);
		return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1 ? 0 : -EINVAL;
	}
	memcpy(host, text, n);
	host[n] = '\0';
	v4->sin_family = AF_INET;
	v4->sin_port = htons((uint16_t)port);
	*ret_len = sizeof(*v4);
	return inet_pton(AF_INET, host, &v4->sin_addr) == 1 ? 0 : -EINVAL;
}

/* The kernel cuts it to its own bound. */
enum { BACKLOG_MAX = 1 << 20 };

static int open_listener(const char *address)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int one = 1, e = listen_parse(address, &addr, &len);

	if (e < 0)
		return e;
	int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* [::] and 0.0.0.0 are two listeners, on every system. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
		(addr.ss_family == AF_INET6 &&
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0) ||
		bind(fd, (struct sockaddr *)&addr, len) < 0 || listen(fd, BACKLOG_MAX) < 0) {
		e = -errno;
		close(fd);
		return e;
	}
	return fd;
}

/* What the socket is bound to: port 0 in the question became a free one. */
static void real_address(int fd, char ret[static 64])
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	char host[INET6_ADDRSTRLEN];

	if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		return;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&addr;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&addr;
	if (addr.ss_family == AF_INET6 && inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host)) != NULL)
		snprintf(ret, 64, "[%s]:%u", host, (unsigned)ntohs(v6->sin6_port));
	else if (addr.ss_family == AF_INET && inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host)) != NULL)
		snprintf(ret, 64, "%s:%u", host, (unsigned)ntohs(v4->sin_port));
}

static void give(struct parent *p, struct run *gate, struct listener *l)
{
	struct msg_listener m = {.listener = l->number, .kind = l->kind};

	p->ops->send(p, gate, MSG_LISTENER, 0, &m, sizeof(m), l->address, strlen(l->address) + 1,
		&l->fd, 1);
}

static void give_all(struct parent *p, struct listener *l)
{
	for (unsigned i = 0; i < gate_runs(p); i++)
		if (core_gate(p, i) != NULL)
			give(p, core_gate(p, i), l);
}

static void drop(struct parent *p, struct listener **at)
{
	struct listener *l = *at;
	struct msg_listener m = {.listener = l->number, .kind = l->kind};

	tell_gates(p, MSG_UNLISTEN, &m, sizeof(m), NULL, 0, NULL, 0);
	*at = l->next;
	p->listeners_n--;
	close(l->fd);
	free(l);
	parent_settle_soon(p);
}

static struct listener **find_number(struct parent *p, uint32_t number)
{
	struct listener **at = &p->listeners;

	while (*at != NULL && (*at)->number != number)
		at = &(*at)->next;
	return at;
}

static struct listener *find_address(struct parent *p, const char *address)
{
	struct listener *l = p->listeners;

	while (l != NULL && strcmp(l->address, address) != 0)
		l = l->next;
	return l;
}

/* The socket lives on under the number that a new ctl gave it. */
static void renumber(struct parent *p, struct listener *l, const struct msg_listener *m)
{
	struct msg_listener old = {.listener = l->number, .kind = l->kind};

	if (l->number == m->listener && l->kind == m->kind)
		return;
	tell_gates(p, MSG_UNLISTEN, &old, sizeof(old), NULL, 0, NULL, 0);
	l->number = m->listener;
	l->kind = m->kind;
	parent_settle_soon(p);
	give_all(p, l);
}

static int add(struct parent *p, const struct msg_listener *m, const char *address)
{
	struct listener *l = find_address(p, address);
	struct listener **same = find_number(p, m->listener);

	if (l != NULL) {
		if (*same != NULL && *same != l)
			drop(p, same);
		renumber(p, l, m);
		return 0;
	}
	if (p->listeners_n >= LISTENERS_MAX)
		return -EMFILE;
	int fd = inherit_take(p, address);
	if (fd == -ENOENT)
		fd = open_listener(address);
	if (fd < 0)
		return fd;
	if ((l = malloc(sizeof(*l))) == NULL) {
		close(fd);
		return -ENOMEM;
	}
	/* The number had another address before: the new one is bound, so the old one may go. */
	if (*same != NULL)
		drop(p, same);
	*l = (struct listener){
		.next = p->listeners, .number = m->listener, .kind = m->kind, .fd = fd};
	memcpy(l->address, address, strlen(address) + 1);
	if (strcmp(strrchr(address, ':'), ":0") == 0)
		real_address(fd, l->address);
	p->listeners = l;
	p->listeners_n++;
	give_all(p, l);
	say_text(p, EV_LISTENING, "address", l->address, NULL, NULL);
	return 0;
}

static void bound(struct parent *p, uint64_t id, uint32_t number, int err, const char *address)
{
	struct msg_bound m = {.listener = number, .err = (uint32_t)err};

	tell_ctl(p, MSG_BOUND, id, &m, sizeof(m), address, strlen(address) + 1, NULL, 0);
}

/* The text behind the fixed part, or NULL when it is not one whole string that fits. */
static const char *address_of(const struct msg *m, char ret[static 64])
{
	size_t n;
	const char *s = msg_tail(m, sizeof(struct msg_listener), &n);

	while (n > 0 && s[n - 1] == '\0')
		n--;
	if (n == 0 || n >= 64 || memchr(s, '\0', n) != NULL)
		return NULL;
	memcpy(ret, s, n);
	ret[n] = '\0';
	return ret;
}

void listen_bind(struct parent *p, struct msg *m)
{
	struct msg_listener ask = {0};
	char text[64];
	const char *address = NULL;
	int e = -EINVAL;

	if (msg_get(m, &ask, sizeof(ask), sizeof(ask)) == 0 &&
		(address = address_of(m, text)) != NULL)
		e = add(p, &ask, address);
	if (e < 0)
		say_text(p, EV_BIND_FAILED, "address", address != NULL ? address : "?", "error",
			strerror(-e));
	struct listener *l = e == 0 ? *find_number(p, ask.listener) : NULL;

	bound(p, m->h.id, ask.listener, -e, l != NULL ? l->address : address != NULL ? address : "");
}

void listen_unbind(struct parent *p, struct msg *m)
{
	struct msg_listener ask;

	if (msg_get(m, &ask, sizeof(ask), sizeof(ask)) < 0)
		return;
	struct listener **at = find_number(p, ask.listener);
	if (*at != NULL)
		drop(p, at);
}

void listen_give_gate(struct parent *p, struct run *gate)
{
	for (struct listener *l = p->listeners; l != NULL; l = l->next)
		give(p, gate, l);
}

void listen_give_ctl(struct parent *p)
{
	for (struct listener *l = p->listeners; l != NULL; l = l->next)
		bound(p, 0, l->number, 0, l->address);
}

void listen_done(struct parent *p)
{
	while (p->listeners != NULL) {
		struct listener *l = p->listeners;

		p->listeners = l->next;
		close(l->fd);
		free(l);
	}
	p->listeners_n = 0;
}
