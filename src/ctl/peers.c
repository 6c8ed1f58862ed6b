/*
 * peers.c: ctl's channels: to the parent, to each gate, to the log; each message to its file.
 *
 * Called by the loop. Owns the channels and the mapped counters pages. A malformed message drops
 * the channel; the parent's going is the end of this process, since it is its child.
 */
#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/sys.h"

void peers_hello(struct chan *ch)
{
	struct msg_hello h = {.min = MSG_MAJOR_MIN,
		.max = MSG_MAJOR_MAX,
		.role = PROC_CTL,
		.build = STEAD_VERSION};

	(void)chan_send(ch, MSG_HELLO, 0, &h, sizeof h, NULL, 0, NULL, 0);
}

bool peers_hello_holds(const struct msg *m)
{
	struct msg_hello h;

	return m->h.type == MSG_HELLO && msg_get(m, &h, sizeof h, sizeof h) == 0 &&
	       h.min <= MSG_MAJOR_MAX && h.max >= MSG_MAJOR_MIN;
}

int parent_send(struct ctl *c, uint16_t type, uint64_t id, const void *a, size_t a_len,
	const void *b, size_t b_len, const int *fds, unsigned nfds)
{
	int err = chan_open(&c->parent)
			  ? chan_send(&c->parent, type, id, a, a_len, b, b_len, fds, nfds)
			  : -EPIPE;

	/* A parent that does not read is a parent that does not watch: the next ctl finds a better
	 * one. */
	if (err == -ENOBUFS)
		fatal("ctl", "the parent does not read its channel");
	return err;
}

/* ---- gates ---- */

static bool gate_allowed(struct chan *ch, const struct msg_head *h, unsigned nfds)
{
	(void)ch;
	return msg_allowed(PROC_GATE, PROC_CTL, h->type, h->len, nfds);
}

/* Once for each generation: when the last of the gates serves it. */
static void tell_snapshot(struct ctl *c)
{
	char generation[24], bytes[24];

	if (c->snap_told == c->snap_generation || !sites_loaded(c))
		return;
	c->snap_told = c->snap_generation;
	(void)snprintf(generation, sizeof generation, "%" PRIu64, c->snap_generation);
	(void)snprintf(bytes, sizeof bytes, "%" PRIu64, c->snap_bytes);
	say(c, EV_SNAPSHOT, "generation", generation, "bytes", bytes, NULL);
}

static void hear_deaf(struct gate_peer *g, const struct msg *m)
{
	char address[128] = "?";
	struct msg_bound b;
	const char *tail;
	size_t n;

	if (msg_get(m, &b, sizeof b, sizeof b) < 0)
		return;
	tail = msg_tail(m, sizeof b, &n);
	if (n > 0 && n < sizeof address)
		memcpy(address, tail, n);
	up_gate_deaf(g->ctl, g->index, b.err, address);
}

static void gate_got(struct chan *ch, struct msg *m)
{
	struct gate_peer *g = ch->owner;
	struct msg_snap snap;
	struct unpack u;
	const char *tail;
	size_t n;

	if (!g->greeted) {
		g->greeted = peers_hello_holds(m);
		if (!g->greeted) {
			chan_close(ch);
			return;
		}
		trouble_tell(g);
		maintenance_tell(g);
		off_tell(g);
		acme_gate_up(g);
		return;
	}
	if (m->h.type == MSG_SNAP_LOADED && msg_get(m, &snap, sizeof snap, sizeof snap) == 0) {
		tail = msg_tail(m, sizeof snap, &n);
		unpack_init(&u, tail, n);
		g->loaded = snap.err ? g->loaded : snap.generation;
		if (snap.err)
			up_snap_refused(g->ctl, snap.err, n ? unpack_str(&u) : "");
		else
			tell_snapshot(g->ctl);
	}
	if (m->h.type == MSG_CHALLENGED)
		acme_gate_knows(g, m->h.id);
	if (m->h.type == MSG_CERT_DEMAND)
		demand_heard(g, m);
	if (m->h.type == MSG_CACHE_PURGED)
		purge_told(g->ctl, m);
	if (m->h.type == MSG_METRICS_ASK)
		metrics_tell(g);
	if (m->h.type == MSG_LISTEN_FAILED)
		hear_deaf(g, m);
	if (g->ctl->up)
		up_advance(g->ctl->up);
	verbs_settle(g->ctl);
	if (m->h.type == MSG_SNAP_LOADED)
		acme_turn(g->ctl);
}

static void gate_gone(struct chan *ch, int why)
{
	struct gate_peer *g = ch->owner;

	(void)why;
	g->greeted = false;
	g->loaded = 0;
	acme_settle(g->ctl);
}

static const struct chan_ops gate_ops = {gate_allowed, gate_got, gate_gone};

/* ---- the log ---- */

static bool log_allowed(struct chan *ch, const struct msg_head *h, unsigned nfds)
{
	(void)ch;
	return msg_allowed(PROC_LOG, PROC_CTL, h->type, h->len, nfds);
}

static void log_got(struct chan *ch, struct msg *m)
{
	struct log_peer *log = ch->owner;

	if (log->greeted && m->h.type == MSG_ALERT_SEEN) {
		alerts_seen(log->ctl, m);
		return;
	}
	if (log->greeted && m->h.type == MSG_SAID_STATUS) {
		procs_said(log->ctl, m);
		return;
	}
	if (log->greeted) {
		logs_heard(log->ctl, m);
		return;
	}
	log->greeted = peers_hello_holds(m);
	if (!log->greeted)
		chan_close(ch);
	else
		logs_to(log->ctl);
}

static void log_gone(struct chan *ch, int why)
{
	struct log_peer *log = ch->owner;

	(void)why;
	log->greeted = false;
	logs_gone(log->ctl);
}

static const struct chan_ops log_ops = {log_allowed, log_got, log_gone};

/* ---- the parent ---- */

static void hear_start(struct ctl *c, const struct msg *m)
{
	char *const to[3] = {c->state_dir, c->run_dir, c->roles_dir};
	struct unpack u;
	size_t n;
	const char *tail;

	if (c->started || msg_get(m, &c->start, sizeof c->start, sizeof c->start) < 0)
		fatal("ctl", "malformed START");
	tail = msg_tail(m, sizeof c->start, &n);
	unpack_init(&u, tail, n);
	for (unsigned i = 0; i < 3 && !u.bad; i++) {
		const char *s = unpack_str(&u);

		if (strlen(s) >= CTL_DIR_MAX)
			fatal("ctl", "a path of START is too long");
		memcpy(to[i], s, strlen(s) + 1);
	}
	if (u.bad || c->start.gates > CTL_GATES_MAX)
		fatal("ctl", "malformed START");
	/* A parent of an older version may end here, one of a newer say more. */
	(void)snprintf(c->instance, sizeof c->instance, "%.90s", u.p < u.end ? unpack_str(&u) : "");
	c->started = true;
	ctl_started(c);
}

static void hear_channel(struct ctl *c, struct msg *m)
{
	struct msg_channel to;
	int fd = -1, err = msg_get(m, &to, sizeof to, sizeof to);

	if (err == 0 && to.role == PROC_GATE && to.index < CTL_GATES_MAX) {
		struct gate_peer *g = &c->gate[to.index];

		chan_close(&g->chan);
		g->ctl = c;
		g->index = to.index;
		g->generation = to.generation;
		g->greeted = false;
		g->loaded = 0;
		fd = msg_take_fd(m, 0);
		err = chan_init(&g->chan, c->loop, fd, &gate_ops, g);
		if (err == 0)
			peers_hello(&g->chan);
	} else if (err == 0 && to.role == PROC_LOG) {
		/* Closing it tells nobody, and its queries died with it. */
		chan_close(&c->log.chan);
		logs_gone(c);
		c->log.ctl = c;
		c->log.greeted = false;
		fd = msg_take_fd(m, 0);
		err = chan_init(&c->log.chan, c->loop, fd, &log_ops, &c->log);
		if (err == 0)
			peers_hello(&c->log.chan);
	} else if (err == 0 && to.role == PROC_KEYS) {
		fd = msg_take_fd(m, 0);
		err = certs_channel(c, fd);
	} else if (err == 0 && to.role == PROC_CERTS) {
		fd = msg_take_fd(m, 0);
		err = acme_channel(c, fd);
	}
	if (err < 0 && fd >= 0)
		close(fd);
}

static void hear_counters(struct ctl *c, struct msg *m)
{
	const struct counters_page *page;
	struct msg_page info;
	const void *map;

	if (msg_get(m, &info, sizeof info, sizeof info) < 0 || info.index >= CTL_GATES_MAX ||
		sys_shm_map(m->fds[0], sizeof *page, 0, NULL, &map) < 0)
		return;
	page = map;
	if (!counters_page_good(page)) {
		sys_shm_unmap(map, sizeof *page);
		return;
	}
	sys_shm_unmap(c->gate[info.index].counters, sizeof *page);
	c->gate[info.index].counters = page;
	c->gate[info.index].counters_generation = info.generation;
}

static void hear_log_page(struct ctl *c, struct msg *m)
{
	struct msg_page info;
	int wake = msg_take_fd(m, 1);

	if (msg_get(m, &info, sizeof info, sizeof info) < 0 ||
		logring_attach(&c->ring, m->fds[0], info.slot, wake) < 0)
		close(wake);
	else
		loop_defer(c->loop, &c->flush);
}

static void hear_bound(struct ctl *c, const struct msg *m)
{
	struct msg_bound b;
	char address[128] = "";
	const char *tail;
	size_t n;

	if (msg_get(m, &b, sizeof b, sizeof b) < 0)
		return;
	tail = msg_tail(m, sizeof b, &n);
	if (n > 0 && n < sizeof address)
		memcpy(address, tail, n);
	if (!up_tcp_heard(c, m->h.id, b.err))
		up_bound(c, m->h.id, b.err, address);
}

static void hear_done(struct ctl *c, const struct msg *m)
{
	struct msg_done d;
	char text[256] = "";
	const char *tail;
	size_t n;

	if (msg_get(m, &d, sizeof d, sizeof d) < 0)
		return;
	tail = msg_tail(m, sizeof d, &n);
	memcpy(text, tail, min_of(n, sizeof text - 1));
	up_done(c, m->h.id, d.err, text);
}

static void hear_proc_state(struct ctl *c, const struct msg *m)
{
	struct msg_proc_state st;

	if (msg_get(m, &st, sizeof st, sizeof st) < 0)
		return;
	procs_heard(c, &st);
	verbs_settle(c);
}

static bool parent_allowed(struct chan *ch, const struct msg_head *h, unsigned nfds)
{
	(void)ch;
	return msg_allowed(PROC_PARENT, PROC_CTL, h->type, h->len, nfds);
}

static void parent_got(struct chan *ch, struct msg *m)
{
	struct ctl *c = ch->owner;

	if (!c->greeted) {
		if (!peers_hello_holds(m))
			fatal("ctl", "the parent speaks another version");
		c->greeted = true;
		return;
	}
	switch ((enum msg_type)m->h.type) {
	case MSG_START:
		hear_start(c, m);
		break;
	case MSG_CHANNEL:
		hear_channel(c, m);
		break;
	case MSG_LOG_PAGE:
		hear_log_page(c, m);
		break;
	case MSG_COUNTERS:
		hear_counters(c, m);
		break;
	case MSG_PROC_STATE:
		hear_proc_state(c, m);
		break;
	case MSG_PROTECTION:
		protection_heard(c, m);
		break;
	case MSG_ACCOUNTS:
		identity_heard(c, m);
		break;
	case MSG_DISK:
		off_heard_disk(c, m);
		break;
	case MSG_BOUND:
		hear_bound(c, m);
		break;
	case MSG_SPAWNED:
		ask_spawned(c, m);
		break;
	case MSG_EXITED:
		ask_exited(c, m);
		break;
	case MSG_DONE:
		hear_done(c, m);
		break;
	case MSG_RELOAD:
		server_reload(c);
		break;
	case MSG_UPGRADE_TRY:
		upgrade_try(c, m);
		break;
	case MSG_UPGRADED:
		upgrade_told(c, m);
		break;
	case MSG_STOP:
		c->told = true;
		(void)parent_send(c, MSG_STOPPED, 0, NULL, 0, NULL, 0, NULL, 0);
		loop_stop(c->loop);
		break;
	default:
		break;
	}
}

static void parent_gone(struct chan *ch, int why)
{
	struct ctl *c = ch->owner;

	(void)why;
	loop_stop(c->loop);
}

static const struct chan_ops parent_ops = {parent_allowed, parent_got, parent_gone};

int peers_init(struct ctl *c)
{
	int err;

	for (unsigned i = 0; i < CTL_GATES_MAX; i++)
		c->gate[i].chan.lfd.fd = -1;
	c->log.chan.lfd.fd = c->keys.chan.lfd.fd = c->certs.chan.lfd.fd = -1;
	c->log.ctl = c;
	err = chan_init(&c->parent, c->loop, 3, &parent_ops, c);
	if (err == 0) {
		err = sys_cloexec(3, true);
		peers_hello(&c->parent);
	}
	return err;
}
