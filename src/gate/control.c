/*
 * control.c: messages from the parent and from ctl, and what the gate says to them.
 *
 * Called by main.c and by channels. Owns the two channels. Whatever arrives was checked against
 * tbl/msgs.h before it is looked at; a snapshot is checked whole before it serves, and a damaged
 * one leaves the old one serving. The parent's end means the gate's own: nobody would restart or
 * feed it.
 */
#include "control.h"
#include "aides.h"
#include "cache.h"
#include "challenge.h"
#include "conn.h"
#include "counters.h"
#include "limiter.h"
#include "maintenance.h"
#include "scrape.h"
#include "service.h"
#include "tls_server.h"
#include "to_app.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void send_page(struct gate *g, enum page_kind kind, int fd)
{
	struct msg_page page = {
		.kind = kind, .role = PROC_GATE, .index = g->index, .generation = g->generation};

	(void)chan_send(&g->parent, MSG_PAGE, 0, &page, sizeof(page), NULL, 0, &fd, 1);
}

/* ctl */

static bool ctl_allowed(struct chan *c, const struct msg_head *h, unsigned nfds)
{
	(void)c;
	return msg_allowed(PROC_CTL, PROC_GATE, h->type, h->len, nfds);
}

static void overlay(struct gate *g, const struct msg *m)
{
	struct msg_overlay o;

	if (msg_get(m, &o, sizeof(o), offsetof(struct msg_overlay, token)) < 0)
		return;
	if (o.kind == OVERLAY_MAINTENANCE || o.kind == OVERLAY_STOPPED || o.kind == OVERLAY_PROBE) {
		maintenance_on_overlay(g, &o);
	} else {
		to_app_on_overlay(g->to_app, &o);
		services_on_overlay(gate_up(g), &o);
	}
}

static void say_loaded(struct gate *g, uint64_t generation, int err)
{
	struct msg_snap s = {.generation = generation, .err = (uint32_t)-err};

	if (chan_open(&g->ctl) && g->ctl_hello)
		(void)chan_send(&g->ctl, MSG_SNAP_LOADED, 0, &s, sizeof(s), NULL, 0, NULL, 0);
}

static void purged(struct gate *g, uint32_t id, uint64_t count, int err)
{
	struct msg_purged said = {.count = count, .err = (uint32_t)-err};

	if (chan_open(&g->ctl) && g->ctl_hello)
		(void)chan_send(&g->ctl, MSG_CACHE_PURGED, id, &said, sizeof(said), NULL, 0, NULL, 0);
}

static void purge(struct gate *g, const struct msg *m)
{
	struct msg_purge p;
	const char *what;
	size_t n;

	if (msg_get(m, &p, sizeof(p), sizeof(p)) < 0)
		return;
	what = msg_tail(m, sizeof(p), &n);
	cache_purge(g, (uint32_t)m->h.id, p.site, p.by_tag, what, n, purged);
}

static void ctl_got(struct chan *c, struct msg *m)
{
	struct gate *g = c->owner;

	if (!g->ctl_hello) {
		g->ctl_hello = gate_hello_holds(m);
		if (!g->ctl_hello)
			chan_close(c);
		/* A ctl that has just come learns what it would have learned when it happened. */
		if (g->ctl_hello && g->snap)
			say_loaded(g, snap_generation(g->snap), 0);
		if (g->ctl_hello && g->refused_err)
			say_loaded(g, g->refused, g->refused_err);
		if (g->ctl_hello)
			tls_demand_ctl_up(g);
	} else if (m->h.type == MSG_CACHE_PURGE) {
		purge(g, m);
	} else if (m->h.type == MSG_OVERLAY) {
		overlay(g, m);
	} else if (m->h.type == MSG_CHALLENGE) {
		if (challenge_heard(g, m) == 0)
			(void)chan_send(&g->ctl, MSG_CHALLENGED, m->h.id, NULL, 0, NULL, 0, NULL, 0);
	} else if (m->h.type == MSG_CHALLENGE_TLS) {
		if (tls_challenge_heard(g, m) == 0)
			(void)chan_send(&g->ctl, MSG_CHALLENGED, m->h.id, NULL, 0, NULL, 0, NULL, 0);
	} else if (m->h.type == MSG_CERT_DEMANDED) {
		if (tls_demand_heard(g, m) < 0)
			chan_close(c);
	} else if (m->h.type == MSG_METRICS) {
		scrape_answer(g, m->fds[0]);
	}
}

static void ctl_gone(struct chan *c, int why)
{
	(void)why;
	scrape_end(c->owner);
}

static const struct chan_ops ctl_ops = {ctl_allowed, ctl_got, ctl_gone};

static void hear_channel(struct gate *g, struct msg *m)
{
	struct msg_channel to;
	int fd;

	if (msg_get(m, &to, sizeof(to), sizeof(to)) < 0)
		return;
	fd = msg_take_fd(m, 0);
	if (to.role != PROC_CTL) {
		if (!aides_channel(g, to.role, fd))
			close(fd);
		return;
	}
	chan_close(&g->ctl);
	scrape_end(g);
	g->ctl_hello = false;
	if (chan_init(&g->ctl, g->loop, fd, &ctl_ops, g) < 0)
		close(fd);
	else
		gate_hello(&g->ctl);
}

/* parent */

static void hear_snap(struct gate *g, struct msg *m)
{
	struct msg_snap said;
	struct snap *s;
	int err;

	if (msg_get(m, &said, sizeof(said), sizeof(said)) < 0)
		return;
	said.cache = said.cache && m->nfds > 1;
	err = snap_load(m->fds, m->nfds - said.cache, &s);
	g->refused = said.generation;
	g->refused_err = err;
	if (err) {
		char generation[24];

		(void)snprintf(generation, sizeof(generation), "%llu",
			(unsigned long long)said.generation);
		gate_event(g, EV_SNAPSHOT_REFUSED, "generation", generation, "error",
			strerror(-err), (char *)NULL);
	} else {
		gate_set_snap(g, s);
		cache_attach(g, said.cache ? m->fds[m->nfds - 1] : -1);
		to_app_on_snap(g->to_app, s);
	}
	say_loaded(g, said.generation, err);
}

/* A gate that does not accept where it shall would look like one that serves. It says why and ends:
 * the parent tries again, at growing distances, as with one that cannot start. */
_Noreturn static void deaf(struct gate *g, uint32_t number, const char *address, int err)
{
	struct msg_bound m = {.listener = number, .err = (uint32_t)err};

	gate_event(g, EV_BIND_FAILED, "address", address, "error", strerror(err), (char *)NULL);
	logring_flush(&g->ring);
	if (chan_open(&g->ctl))
		(void)chan_send(&g->ctl, MSG_LISTEN_FAILED, 0, &m, sizeof(m), address,
			strlen(address) + 1, NULL, 0);
	fatal("gate", "cannot accept connections on %s: %s", address, strerror(err));
}

static void hear_listener(struct gate *g, struct msg *m)
{
	struct msg_listener l;
	char address[128] = "";
	const char *text;
	size_t n;
	int fd, err;

	if (msg_get(m, &l, sizeof(l), sizeof(l)) < 0)
		return;
	text = msg_tail(m, sizeof(l), &n);
	memcpy(address, text, min_of(n, sizeof(address) - 1));
	fd = msg_take_fd(m, 0);
	/* What is not known here is not spoken as if it was something else. */
	err = g->draining || (l.kind != LISTENER_HTTP && l.kind != LISTENER_TLS && l.kind != LISTENER_TCP &&
				      l.kind != LISTENER_METRICS)
		      ? -EPROTONOSUPPORT
		      : accept_listen(g, l.listener, (enum listener_kind)l.kind, fd, address);
	if (err) {
		close(fd);
		if (!g->draining)
			deaf(g, l.listener, address, -err);
	}
}

static void hear_start(struct gate *g, const struct msg *m)
{
	struct msg_start s;
	int err;

	if (g->started || msg_get(m, &s, sizeof(s), sizeof(s)) < 0)
		fatal("gate", "malformed START");
	g->started = true;
	g->index = s.index;
	g->place = s.place;
	g->gates = s.gates;
	g->generation = s.generation;
	g->root = s.root;
	g->counters->generation = s.generation;
	if (m->nfds > 0)
		counters_inherit(g, m->fds[0]);
	err = control_started(g);
	if (err)
		fatal("gate", "cannot start: %s", strerror(-err));
	send_page(g, PAGE_LOGRING, g->ring.fd);
	send_page(g, PAGE_COUNTERS, g->counters_fd);
	(void)chan_send(&g->parent, MSG_READY, 0, NULL, 0, NULL, 0, NULL, 0);
}

static void hear_worker(struct gate *g, struct msg *m)
{
	struct msg_worker w;

	if (msg_get(m, &w, sizeof(w), sizeof(w)) < 0)
		return;
	if (m->h.type == MSG_WORKER)
		to_app_on_worker(g->to_app, &w, msg_take_fd(m, 0));
	else if (m->h.type == MSG_WORKER_GONE)
		to_app_on_worker_gone(g->to_app, &w);
	else
		to_app_on_worker_drain(g->to_app, &w);
}

static void hear_log_page(struct gate *g, struct msg *m)
{
	struct msg_page p;
	int wake;

	if (msg_get(m, &p, sizeof(p), sizeof(p)) < 0)
		return;
	wake = msg_take_fd(m, 1);
	if (logring_attach(&g->ring, m->fds[0], p.slot, wake) < 0)
		close(wake);
	else
		loop_defer(g->loop, &g->access_flush);
}

static void stop_serving(struct gate *g, const struct msg_stop *stop)
{
	gate_drain(g, stop->drain_ms, stop->tunnel_ms);
	to_app_on_drain(g->to_app, gate_leaves(g));
}

void control_on_drain(struct loop *l, struct op *op, int res)
{
	struct gate *g = container_of(op, struct gate, drain_timer.op);

	to_app_on_drain(g->to_app, gate_leaves(g));
	drain_on_timer(l, op, res);
}

static void hear(struct gate *g, struct msg *m)
{
	struct msg_listener l;
	struct msg_stop stop;

	switch (m->h.type) {
	case MSG_CHANNEL:
		hear_channel(g, m);
		break;
	case MSG_SNAP:
		hear_snap(g, m);
		break;
	case MSG_LISTENER:
		hear_listener(g, m);
		break;
	case MSG_UNLISTEN:
		if (msg_get(m, &l, sizeof(l), sizeof(l)) == 0)
			accept_unlisten(g, l.listener);
		break;
	case MSG_WORKER:
	case MSG_WORKER_GONE:
	case MSG_WORKER_DRAIN:
		hear_worker(g, m);
		break;
	case MSG_SERVICE:
	case MSG_SERVICE_DRAIN:
	case MSG_SERVICE_GONE:
		service_heard(g, m);
		break;
	case MSG_LIMITS:
		/* Without it this gate counts for itself, which bounds its own clients. */
		(void)limiter_attach(g, m->fds[0]);
		break;
	case MSG_LOG_PAGE:
		hear_log_page(g, m);
		break;
	case MSG_STOP:
		if (msg_get(m, &stop, sizeof(stop), sizeof(stop)) == 0)
			stop_serving(g, &stop);
		break;
	default:
		break;
	}
}

static bool parent_allowed(struct chan *c, const struct msg_head *h, unsigned nfds)
{
	(void)c;
	return msg_allowed(PROC_PARENT, PROC_GATE, h->type, h->len, nfds);
}

static void parent_got(struct chan *c, struct msg *m)
{
	struct gate *g = c->owner;

	if (!g->parent_hello) {
		if (!gate_hello_holds(m))
			fatal("gate", "the parent speaks another version");
		g->parent_hello = true;
	} else if (m->h.type == MSG_START) {
		hear_start(g, m);
	} else if (!g->started) {
		fatal("gate", "a message before START");
	} else {
		hear(g, m);
	}
}

static void parent_gone(struct chan *c, int why)
{
	struct gate *g = c->owner;

	(void)why;
	loop_stop(g->loop);
}

static const struct chan_ops parent_ops = {parent_allowed, parent_got, parent_gone};

int control_open(struct gate *g, int fd)
{
	int err = chan_init(&g->parent, g->loop, fd, &parent_ops, g);

	if (!err)
		gate_hello(&g->parent);
	return err;
}

void control_close(struct gate *g)
{
	chan_close(&g->ctl);
	chan_close(&g->parent);
}
