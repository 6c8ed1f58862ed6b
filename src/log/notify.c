/*
 * notify.c: what programs of apps say by sd_notify(3), as typed messages to the parent.
 *
 * Called by main.c with NOTIFY and NOTIFY_END, and by the loop. Owns the sockets, of which the
 * parent keeps a second descriptor. The text is an app's: it is read here, where apps' output is
 * read anyway, so that the parent reads no byte of it. Of it some facts are passed on, with the
 * pid that the kernel names; STATUS= becomes a line of the app, and ctl shows the last one. A flood
 * waits in its socket. Descriptors that come along are closed unseen.
 */
#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/must.h"

/* A day: as long as TimeoutStartSec= can be. */
#define EXTEND_US_MAX (24 * 3600 * 1000000ULL)
enum { DATAGRAM_MAX = 4096, DATAGRAMS_A_TURN = 32, NOTIFY_REST_MS = 100 };

static bool is_word(const char *p, size_t n, const char *word)
{
	return n == strlen(word) && memcmp(p, word, n) == 0;
}

/* The value of that line when it is NAME=…; NULL. */
static const char *value_of(const char *p, size_t n, const char *name, size_t *ret_n)
{
	size_t len = strlen(name);

	if (n < len || memcmp(p, name, len) != 0)
		return NULL;
	*ret_n = n - len;
	return p + len;
}

/* Digits alone, at most `most`; else 0. */
static uint64_t number_of(const char *p, size_t n, uint64_t most)
{
	uint64_t value = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9' || value > (most - (uint64_t)(p[i] - '0')) / 10)
			return 0;
		value = value * 10 + (uint64_t)(p[i] - '0');
	}
	return value;
}

static void parse_line(const char *p, size_t n, struct said *ret)
{
	static const struct {
		const char *word;
		enum service_said what;
	} words[] = {{"READY=1", SAID_READY}, {"WATCHDOG=1", SAID_WATCHDOG}, {"STOPPING=1", SAID_STOPPING},
		{"RELOADING=1", SAID_RELOADING}, {"WATCHDOG=trigger", SAID_TRIGGER}};
	const char *value;
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (is_word(p, n, words[i].word))
			ret->what |= words[i].what;
	if ((value = value_of(p, n, "STATUS=", &len))) {
		ret->status = value;
		ret->status_n = len;
	} else if ((value = value_of(p, n, "MAINPID=", &len))) {
		ret->main_pid = (int32_t)number_of(value, len, INT32_MAX);
	} else if ((value = value_of(p, n, "EXTEND_TIMEOUT_USEC=", &len))) {
		uint64_t us = number_of(value, len, EXTEND_US_MAX);

		ret->extend_ms = (uint32_t)((us + 999) / 1000);
	}
}

void notify_parse(const char *p, size_t n, struct said *ret)
{
	*ret = (struct said){.what = 0};
	while (n > 0) {
		const char *end = memchr(p, '\n', n);
		size_t len = end ? (size_t)(end - p) : n;

		parse_line(p, len, ret);
		p += len + (end ? 1 : 0);
		n -= len + (end ? 1 : 0);
	}
}

/* One datagram and who sent it. Its bytes; -EAGAIN: none is there. */
static ssize_t receive(int fd, char mem[static DATAGRAM_MAX], pid_t *ret_pid)
{
	union {
		struct cmsghdr h;
		char mem[CMSG_SPACE(sizeof(struct ucred))];
	} control = {.mem = {0}};
	struct iovec iov = {mem, DATAGRAM_MAX};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.mem,
		.msg_controllen = sizeof control.mem};
	ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct ucred cred;

	if (n < 0)
		return -errno;
	*ret_pid = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS &&
			c->cmsg_len == CMSG_LEN(sizeof cred)) {
			memcpy(&cred, CMSG_DATA(c), sizeof cred);
			*ret_pid = cred.pid;
		}
	return n;
}

static void say(struct notify *n, const struct said *s, pid_t pid)
{
	struct msg_said m = {.app = n->info.app,
		.slot = n->info.slot,
		.generation = n->info.generation,
		.what = s->what,
		.pid = pid};
	struct msg_said_more more = {.app = n->info.app,
		.slot = n->info.slot,
		.generation = n->info.generation,
		.pid = pid,
		.main_pid = s->main_pid,
		.extend_ms = s->extend_ms};

	/* Who the main process is first: what else is said may be of that one. */
	if ((s->main_pid || s->extend_ms) && pid > 0)
		(void)chan_send(&n->log->parent, MSG_SAID_MORE, 0, &more, sizeof more, NULL, 0, NULL, 0);
	if (s->what && pid > 0)
		(void)chan_send(&n->log->parent, MSG_SAID, 0, &m, sizeof m, NULL, 0, NULL, 0);
}

/* To ctl, for `stead status`. */
static void tell_status(const struct notify *n)
{
	struct log *g = n->log;
	struct msg_said m = {.app = n->info.app,
		.slot = n->info.slot,
		.generation = n->info.generation,
		.pid = n->status_pid};

	if (g->ctl_greeted && chan_open(&g->ctl))
		(void)chan_send(
			&g->ctl, MSG_SAID_STATUS, 0, &m, sizeof m, n->status, n->status_n, NULL, 0);
}

void notify_tell_all(struct log *g)
{
	for (const struct notify *n = g->notifies; n; n = n->next)
		if (n->status_n)
			tell_status(n);
}

/* The same again is not worth a line. */
static void say_status(struct notify *n, const char *p, size_t len, pid_t pid)
{
	struct log *g = n->log;

	len = min_of(len, sizeof n->status);
	if (len == n->status_n && memcmp(p, n->status, len) == 0)
		return;
	memcpy(n->status, p, len);
	n->status_n = len;
	n->status_pid = pid;
	tell_status(n);
	buf_reset(&g->line);
	render_status(&g->line, loop_wall_us(g->loop), n, pid, p, len);
	log_line(g);
}

/* False: there may be more, which waits a moment. */
static bool read_all(struct notify *n)
{
	char mem[DATAGRAM_MAX];
	struct said said;
	pid_t pid = 0;

	for (unsigned i = 0; i < DATAGRAMS_A_TURN; i++) {
		ssize_t got = receive(n->lfd.fd, mem, &pid);

		if (got == -EINTR)
			continue;
		if (got < 0)
			return true;
		notify_parse(mem, (size_t)got, &said);
		say(n, &said, pid);
		if (said.status)
			say_status(n, said.status, said.status_n, pid);
	}
	return false;
}

void notify_on_readable(struct loop *l, struct op *op, int res)
{
	struct notify *n = container_of(op, struct notify, op);

	if (res >= 0 && !read_all(n))
		loop_timer_in(l, &n->rest, NOTIFY_REST_MS);
	else
		loop_readable(l, &n->lfd, &n->op);
	log_flush(n->log);
}

void notify_on_rest(struct loop *l, struct op *op, int res)
{
	struct notify *n = container_of(op, struct notify, rest.op);

	(void)res;
	loop_readable(l, &n->lfd, &n->op);
}

static void close_at(struct notify **at)
{
	struct notify *n = *at;

	*at = n->next;
	loop_timer_stop(n->log->loop, &n->rest);
	loop_close(n->log->loop, &n->lfd);
	n->log->streams_n--;
	free(n);
}

void notify_end(struct log *g, const struct msg *m)
{
	struct notify **at = &g->notifies;
	struct msg_service info;

	if (msg_get(m, &info, sizeof info, sizeof info) < 0)
		return;
	while (*at && ((*at)->info.app != info.app || (*at)->info.slot != info.slot ||
			      (*at)->info.generation != info.generation))
		at = &(*at)->next;
	if (*at)
		close_at(at);
}

void notify_add(struct log *g, struct msg *m)
{
	struct notify *n = calloc(1, sizeof *n);
	const char *name;
	size_t len;

	if (!n)
		return;
	n->lfd.fd = -1;
	n->log = g;
	n->op.kind = OP_NOTIFY;
	n->rest.op.kind = OP_NOTIFY_REST;
	if (msg_get(m, &n->info, sizeof n->info, sizeof n->info) < 0 || m->nfds < 1 ||
		g->streams_n >= g->streams_max || loop_add(g->loop, &n->lfd, m->fds[0]) < 0) {
		free(n);
		return;
	}
	(void)msg_take_fd(m, 0);
	name = msg_tail(m, sizeof n->info, &len);
	if (len)
		memcpy(n->app, name, min_of(strnlen(name, len), sizeof n->app - 1));
	n->next = g->notifies;
	g->notifies = n;
	g->streams_n++;
	loop_readable(g->loop, &n->lfd, &n->op);
}

void notify_done(struct log *g)
{
	while (g->notifies)
		close_at(&g->notifies);
}
