/*
 * stead-log: drains the log rings of the other processes and the apps' stdout and stderr into
 * bounded files, and answers who asks for lines.
 *
 * Started by the parent; its descriptor 3 is the channel to it. Holds nothing but those files. When
 * it dies nobody waits: the rings overwrite, the pipes hold what they hold, and the next log
 * process goes on at the tails in the page that the parent keeps.
 */
#include "log.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/must.h"
#include "lib/sys.h"

static void hello(struct chan *c)
{
	struct msg_hello h = {.min = MSG_MAJOR_MIN,
		.max = MSG_MAJOR_MAX,
		.role = PROC_LOG,
		.build = STEAD_VERSION};

	(void)chan_send(c, MSG_HELLO, 0, &h, sizeof h, NULL, 0, NULL, 0);
}

static bool hello_holds(const struct msg *m)
{
	struct msg_hello h;

	return m->h.type == MSG_HELLO && msg_get(m, &h, sizeof h, sizeof h) == 0 &&
	       h.min <= MSG_MAJOR_MAX && h.max >= MSG_MAJOR_MIN;
}

static bool ctl_allowed(struct chan *c, const struct msg_head *h, unsigned nfds)
{
	(void)c;
	return msg_allowed(PROC_CTL, PROC_LOG, h->type, h->len, nfds);
}

static void ctl_got(struct chan *c, struct msg *m)
{
	struct log *g = c->owner;

	if (!g->ctl_greeted) {
		g->ctl_greeted = hello_holds(m);
		if (!g->ctl_greeted)
			chan_close(c);
		else {
			notify_tell_all(g);
			alert_tell_all(g);
		}
	} else if (m->h.type == MSG_LOG_QUERY) {
		query_start(g, m);
	} else if (m->h.type == MSG_LOG_TO) {
		struct msg_log_to to;

		if (msg_get(m, &to, sizeof to, sizeof to) == 0)
			ship_set(g, to.to), store_bound(&g->store, to.max_mib);
	} else if (m->h.type == MSG_ALERT_KEPT) {
		alert_kept(g, m->h.id);
	} else if (m->h.type == MSG_LOG_CANCEL) {
		query_cancel(g, m->h.id);
	}
}

static void ctl_gone(struct chan *c, int why)
{
	(void)why;
	query_cancel_all(c->owner);
}

static const struct chan_ops ctl_ops = {ctl_allowed, ctl_got, ctl_gone};

static void hear_channel(struct log *g, struct msg *m)
{
	struct msg_channel to;
	int fd;

	if (msg_get(m, &to, sizeof to, sizeof to) < 0 || to.role != PROC_CTL)
		return;
	query_cancel_all(g);
	chan_close(&g->ctl);
	g->ctl_greeted = false;
	fd = msg_take_fd(m, 0);
	if (chan_init(&g->ctl, g->loop, fd, &ctl_ops, g) < 0)
		close(fd);
	else
		hello(&g->ctl);
}

static void hear_start(struct log *g, struct msg *m)
{
	struct msg_page page = {.kind = PAGE_LOG, .role = PROC_LOG};
	struct msg_start start;
	int fds[2];

	if (g->started || msg_get(m, &start, sizeof start, sizeof start) < 0 || (!start.trial && m->nfds < 1))
		fatal("log", "malformed START");
	/* The files have one writer, and that is another one. */
	if (start.trial) {
		(void)chan_send(&g->parent, MSG_READY, 0, NULL, 0, NULL, 0, NULL, 0);
		return;
	}
	g->started = true;
	g->generation = page.generation = start.generation;
	store_open(&g->store, msg_take_fd(m, 0));
	if (start.server)
		journal_on(&g->journal);
	if (m->nfds > 1)
		rings_inherit(g, m->fds[1]);
	fds[0] = g->page_fd;
	fds[1] = g->wake_write;
	(void)chan_send(&g->parent, MSG_PAGE, 0, &page, sizeof page, NULL, 0, fds, 2);
	(void)chan_send(&g->parent, MSG_READY, 0, NULL, 0, NULL, 0, NULL, 0);
	log_work(g);
}

static void finish(struct log *g)
{
	(void)rings_drain(g);
	streams_finish(g);
	notify_done(g);
	alert_done(g);
	log_flush(g);
	(void)chan_send(&g->parent, MSG_STOPPED, 0, NULL, 0, NULL, 0, NULL, 0);
	loop_stop(g->loop);
}

static bool parent_allowed(struct chan *c, const struct msg_head *h, unsigned nfds)
{
	(void)c;
	return msg_allowed(PROC_PARENT, PROC_LOG, h->type, h->len, nfds);
}

static void parent_got(struct chan *c, struct msg *m)
{
	struct log *g = c->owner;

	if (!g->greeted) {
		if (!hello_holds(m))
			fatal("log", "the parent speaks another version");
		g->greeted = true;
	} else if (m->h.type == MSG_START) {
		hear_start(g, m);
	} else if (!g->started) {
		fatal("log", "a message before START");
	} else if (m->h.type == MSG_CHANNEL) {
		hear_channel(g, m);
	} else if (m->h.type == MSG_RING) {
		rings_add(g, m);
	} else if (m->h.type == MSG_STREAM) {
		streams_add(g, m);
	} else if (m->h.type == MSG_NOTIFY) {
		notify_add(g, m);
	} else if (m->h.type == MSG_NOTIFY_END) {
		notify_end(g, m);
	} else if (m->h.type == MSG_STOP) {
		finish(g);
	}
}

static void parent_gone(struct chan *c, int why)
{
	struct log *g = c->owner;

	(void)why;
	if (g->started)
		finish(g);
	loop_stop(g->loop);
}

static const struct chan_ops parent_ops = {parent_allowed, parent_got, parent_gone};

static op_done *const ops[LOG_OP_KINDS] = {
	CHAN_OPS,
	[OP_WAKE] = rings_on_wake,
	[OP_REST] = rings_on_rest,
	[OP_STREAM] = streams_on_readable,
	[OP_TELL] = streams_on_tell,
	[OP_PUMP] = query_on_pump,
	[OP_NOTIFY] = notify_on_readable,
	[OP_NOTIFY_REST] = notify_on_rest,
};

/* Two descriptors of each process of an app: more than the usual limit of 1024. */
static void raise_files(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &lim);
	}
}

int main(void)
{
	/* A file at the limit of its size is a full disk, no reason to die. */
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct log *g = calloc(1, sizeof *g);
	int err;

	(void)umask(0077);
	raise_files();
	(void)sigaction(SIGXFSZ, &ignore, NULL);
	if (!g)
		fatal("log", "no memory");
	g->ctl.lfd.fd = -1;
	g->ship.fd = -1;
	g->wake.fd = -1;
	g->pump.op.kind = OP_PUMP;
	g->streams_max = STREAMS_MAX;
	buf_init(&g->line, 4 * LINE_BYTES_MAX * 6);
	err = loop_new_epoll(&g->loop, ops, LOG_OP_KINDS);
	if (err == 0)
		err = rings_init(g);
	if (err == 0)
		err = chan_init(&g->parent, g->loop, 3, &parent_ops, g);
	if (err == 0)
		err = sys_cloexec(3, true);
	if (err < 0)
		fatal("log", "descriptor 3 is not the parent's channel: %s", strerror(-err));
	hello(&g->parent);
	err = loop_run(g->loop);
	if (err < 0)
		fatal("log", "waiting failed: %s", strerror(-err));
	if (g->started)
		store_close(&g->store);
	journal_off(&g->journal);
	return 0;
}
