/*
 * notify.c: a server's word with systemd: READY=1, RELOADING=1, STATUS=, STOPPING=1, WATCHDOG=1.
 *
 * Called by main, stop (SIGHUP, the end) and hear (SERVING). Owns the socket and one timer. ctl says when what was asked
 * for is done; the parent alone speaks to systemd, so nobody else needs its socket. The watchdog's word comes from the
 * loop, at half of its time: a loop that hangs is silent. Nothing is waited for: what systemd does not take now is said
 * again. Without NOTIFY_SOCKET (another init, a shell) all of it does nothing.
 * Sources: sd_notify(3), sd_watchdog_enabled(3), systemd.service(5) Type=notify-reload.
 */
#include "parent.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { AGAIN_MS = 100 };

static int connect_to(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t n = strlen(path);

	if (n < 2 || n >= sizeof(addr.sun_path) || (path[0] != '/' && path[0] != '@'))
		return -EINVAL;
	memcpy(addr.sun_path, path, n + 1);
	if (path[0] == '@')
		addr.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0) {
		int e = -errno;

		close(fd);
		return e;
	}
	return fd;
}

/* Of WATCHDOG_USEC, when it is for us. */
static uint64_t watchdog_ms(void)
{
	const char *us = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

	if (us == NULL || (pid != NULL && strtol(pid, NULL, 10) != getpid()))
		return 0;
	return strtoull(us, NULL, 10) / 1000;
}

void notify_init(struct parent *p)
{
	const char *path = getenv("NOTIFY_SOCKET");

	p->server.notify.fd = -1;
	p->server.notify.timer.op.kind = OP_NOTIFY;
	if (!p->server.on || path == NULL)
		return;
	p->server.notify.fd = connect_to(path);
	if (p->server.notify.fd < 0) {
		fprintf(stderr, "stead: NOTIFY_SOCKET=%s cannot be connected to: %s\n", path, strerror(-p->server.notify.fd));
		return;
	}
	p->server.notify.half_ms = watchdog_ms() / 2;
	if (p->server.notify.half_ms != 0)
		loop_timer_in(p->loop, &p->server.notify.timer, p->server.notify.half_ms);
}

/* All of one message or nothing. */
static bool say(struct parent *p, const char *text)
{
	return p->server.notify.fd < 0 || send(p->server.notify.fd, text, strlen(text), MSG_NOSIGNAL) >= 0;
}

/* As it stands now; until systemd has taken it. */
static void tell(struct parent *p)
{
	struct notify *n = &p->server.notify;
	char reload[80], all[sizeof(n->status) + sizeof(reload) + 16];
	const char *state = "";

	snprintf(reload, sizeof(reload), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\n", loop_now_fresh_us(p->loop));
	if (n->stopping)
		state = "STOPPING=1\n";
	else if (n->reloading)
		state = reload;
	else if (n->ready)
		state = "READY=1\n";
	snprintf(all, sizeof(all), "%sSTATUS=%s\n", state, n->status);
	n->due = !say(p, all);
	if (n->due)
		loop_timer_in(p->loop, &n->timer, AGAIN_MS);
}

void notify_on_timer(struct loop *l, struct op *op, int res)
{
	struct parent *p = container_of(op, struct parent, server.notify.timer.op);

	(void)res;
	if (p->server.notify.half_ms != 0) {
		say(p, "WATCHDOG=1\n");
		disk_look(p);
	}
	if (p->server.notify.half_ms != 0)
		loop_timer_in(l, &p->server.notify.timer, p->server.notify.half_ms);
	if (p->server.notify.due)
		tell(p);
}

static void set_status(struct parent *p, const char *text, size_t n)
{
	n = min_of(n, sizeof(p->server.notify.status) - 1);
	for (size_t i = 0; i < n; i++)
		p->server.notify.status[i] = (unsigned char)text[i] < ' ' ? ' ' : text[i];
	p->server.notify.status[n] = '\0';
}

/* SERVING; it breaks no channel: a text more or less. */
void notify_serving(struct parent *p, struct msg *m)
{
	struct msg_serving s;
	const char *text;
	size_t n;

	if (msg_get(m, &s, sizeof(s), sizeof(s)) < 0)
		return;
	text = msg_tail(m, sizeof(s), &n);
	set_status(p, text, strnlen(text, n));
	if (s.done != 0) {
		p->server.notify.ready = true;
		p->server.notify.reloading = false;
	}
	tell(p);
}

void notify_reload(struct parent *p)
{
	struct run *ctl = core_ctl(p);

	/* A second one while the first is under way is another reload behind it; ctl keeps count. */
	if (p->server.notify.ready) {
		p->server.notify.reloading = true;
		set_status(p, "reading the configuration again", 31);
		tell(p);
	}
	/* Without a ctl the next one is told, by wire.c. */
	p->server.reload_due = ctl == NULL || !p->ops->send(p, ctl, MSG_RELOAD, 0, NULL, 0, NULL, 0, NULL, 0);
}

void notify_stopping(struct parent *p)
{
	if (p->server.notify.fd < 0)
		return;
	p->server.notify.stopping = true;
	set_status(p, "stopping", 8);
	tell(p);
}

void notify_done(struct parent *p)
{
	loop_timer_stop(p->loop, &p->server.notify.timer);
	if (p->server.notify.fd >= 0)
		close(p->server.notify.fd);
	p->server.notify.fd = -1;
}
