/*
 * probe.c: the first real request, through the listener, as a client makes it.
 *
 * Called by the up flow when a gate serves the snapshot and the app is there. Owns its connection.
 * Any status below 500 is an answer of a live app; others are asked again, soon at first, until the
 * app's HealthTimeoutSec= is over.
 */
#include "ctl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MAX = 16 * 1024, AGAIN_MS = 50, AGAIN_MS_MAX = 1000 };

unsigned probe_status(const char *p, size_t n)
{
	unsigned status = 0;

	if (n < 12 || memcmp(p, "HTTP/1.", 7) != 0 || p[8] != ' ')
		return 0;
	for (unsigned i = 9; i < 12; i++) {
		if (p[i] < '0' || p[i] > '9')
			return 0;
		status = status * 10 + (unsigned)(p[i] - '0');
	}
	return status >= 100 ? status : 0;
}

/* Numeric "ADDR:PORT" to a socket address; an unspecified address is asked on its loopback. */
static int parse_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
	const char *colon = strrchr(text, ':');
	char host[64];
	size_t n = colon ? (size_t)(colon - text) : sizeof host;
	unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : 0;

	memset(ret, 0, sizeof *ret);
	if (n >= sizeof host || port == 0 || port > 65535)
		return -EINVAL;
	memcpy(host, text, n);
	host[n] = '\0';
	if (host[0] == '[' && n > 2 && host[n - 1] == ']') {
		host[n - 1] = '\0';
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		*ret_len = sizeof *v6;
		if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) != 1)
			return -EINVAL;
		if (IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
			v6->sin6_addr = in6addr_loopback;
		return 0;
	}
	v4->sin_family = AF_INET;
	v4->sin_port = htons((uint16_t)port);
	*ret_len = sizeof *v4;
	if (inet_pton(AF_INET, host, &v4->sin_addr) != 1)
		return -EINVAL;
	if (v4->sin_addr.s_addr == htonl(INADDR_ANY))
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return 0;
}

static void disconnect(struct probe *p)
{
	loop_close(p->ctl->loop, &p->lfd);
	buf_reset(&p->answer);
}

static void ended(struct probe *p, enum probe_end end)
{
	if (p->trial)
		upgrade_probed(p->ctl, end);
	else
		up_probed(p->ctl, end);
}

/* The try is over; another follows, or the end. */
static void again(struct probe *p, bool at_once)
{
	struct ctl *c = p->ctl;
	uint64_t now = loop_now_ms(c->loop);

	disconnect(p);
	if (p->good >= p->wanted) {
		probe_stop(p);
		ended(p, PROBE_LIVE);
	} else if (now >= p->give_up_ms) {
		probe_stop(p);
		ended(p, PROBE_TIMEOUT);
	} else {
		/* Each failed try may be a page of traceback in the app's log. */
		p->again_ms =
			at_once ? 0 : min_of(p->again_ms * 2 + AGAIN_MS, (unsigned)AGAIN_MS_MAX);
		loop_timer_in(c->loop, &p->timer, p->again_ms);
	}
}

static void try_once(struct probe *p)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int fd, err = parse_address(p->address, &addr, &len);

	fd = err ? -1 : socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || loop_add(p->ctl->loop, &p->lfd, fd) < 0) {
		if (fd >= 0)
			close(fd);
		again(p, false);
		return;
	}
	if (connect(fd, (struct sockaddr *)&addr, len) < 0 && errno != EINPROGRESS) {
		again(p, false);
		return;
	}
	loop_timer(p->ctl->loop, &p->timer, p->give_up_ms);
	loop_writable(p->ctl->loop, &p->lfd, &p->connect);
}

void probe_start(struct ctl *c, struct probe *p, const char *address, const char *path,
	unsigned count, uint64_t timeout_ms)
{
	*p = (struct probe){
		.ctl = c, .lfd = LFD_INIT, .wanted = count ? count : 1, .running = true, .site = APP_NUMBER};
	p->connect.kind = OP_PROBE_CONNECT;
	p->recv.kind = OP_PROBE_RECV;
	p->timer.op.kind = OP_PROBE_TIMER;
	p->give_up_ms = loop_now_ms(c->loop) + timeout_ms;
	buf_init(&p->answer, ANSWER_MAX);
	(void)snprintf(p->address, sizeof p->address, "%s", address);
	(void)snprintf(p->path, sizeof p->path, "%s%s", path[0] == '/' ? "" : "/", path);
	try_once(p);
}

void probe_stop(struct probe *p)
{
	if (!p->running)
		return;
	p->running = false;
	disconnect(p);
	loop_timer_stop(p->ctl->loop, &p->timer);
	buf_done(&p->answer);
}

void probe_on_connect(struct loop *l, struct op *op, int res)
{
	struct probe *p = container_of(op, struct probe, connect);
	const struct maintenance *m = &p->ctl->maintenance;
	char head[1500], token[64] = "";
	int n, error = 0;
	socklen_t len = sizeof error;

	/* What is behind the page, or behind a rule that ctl cannot keep to, is asked for. */
	if (p->coming || p->inside || maintenance_is(p->ctl, p->site))
		(void)snprintf(token, sizeof token, "Stead-Probe: %016llx%016llx\r\n",
			(unsigned long long)m->token[0], (unsigned long long)m->token[1]);
	n = snprintf(head, sizeof head,
		"GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: stead/" STEAD_VERSION
		"\r\nAccept: */*\r\n%sConnection: close\r\n\r\n",
		p->path, p->host[0] ? p->host : p->address, token);
	if (res < 0 || getsockopt(p->lfd.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error ||
		n >= (int)sizeof head ||
		send(p->lfd.fd, head, (size_t)n, MSG_NOSIGNAL) != (ssize_t)n) {
		again(p, false);
		return;
	}
	loop_recv(l, &p->lfd, &p->recv);
}

void probe_on_recv(struct loop *l, struct op *op, int res)
{
	struct probe *p = container_of(op, struct probe, recv);
	unsigned status;

	if (res > 0) {
		size_t room = ANSWER_MAX - p->answer.len;

		/* The status line is what counts; the rest is read so that the app sees a whole
		 * client. */
		buf_put(&p->answer, op->buf, min_of((size_t)res, room));
		loop_recv(l, &p->lfd, op);
		return;
	}
	status = p->answer.len ? probe_status(p->answer.p, p->answer.len) : 0;
	if (status)
		p->status = status;
	p->good = status && (status < 500 || p->any) ? p->good + 1 : 0;
	if (status >= 500 && !p->any && !p->told && !p->trial) {
		p->told = true;
		up_probe_failed(p->ctl, status);
	}
	again(p, p->good != 0);
}

void probe_on_timer(struct loop *l, struct op *op, int res)
{
	struct probe *p = container_of(op, struct probe, timer.op);

	(void)l;
	(void)res;
	if (p->lfd.fd >= 0)
		again(p, false);
	else
		try_once(p);
}
