/*
 * stead-gate: speaks to clients; serves files, asks the apps.
 *
 * Started by the parent with one descriptor, 3: the channel to it. Everything else comes over that:
 * the listening sockets, the snapshot, the workers' sockets, the log's page. Here are only the
 * start, the table of completions and the end; control.c hears, conn.c serves.
 */
#include "access.h"
#include "auth.h"
#include "cache.h"
#include "conn.h"
#include "control.h"
#include "http1.h"
#include "http2.h"
#include "jail.h"
#include "limiter.h"
#include "scrape.h"
#include "tcp.h"
#include "tls_server.h"
#include "to_app.h"
#include "up.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PARENT_FD = 3 };

static op_done *const gate_ops[OP_GATE_END] = {
	CHAN_OPS,
	[OP_ACCEPT] = accept_on,
	[OP_ACCEPT_TIMER] = accept_on_timer,
	[OP_CONN_RECV] = conn_on_recv,
	[OP_CONN_TIMER] = conn_on_timer,
	[OP_CONN_HUP] = conn_on_hup,
	[OP_H1_SEND] = http1_on_send,
	[OP_H1_TURN] = http1_on_turn,
	[OP_H2_SEND] = http2_on_send,
	[OP_H2_TURN] = http2_on_turn,
	[OP_ACCESS_FLUSH] = access_on_flush,
	[OP_DRAIN_TIMER] = control_on_drain,
	[OP_AUTH_TICK] = auth_on_tick,
	[OP_SCRAPE_TIMER] = scrape_on_timer,
	TCP_OP_TABLE,
	[OP_TLS_TURN] = tls_conn_on_turn,
	[OP_TLS_SEND] = tls_conn_on_sent,
	[OP_TLS_DEMAND] = tls_demand_on_timer,
	[OP_TLS_KEPT] = tls_buffers_on_timer,
	[OP_CACHE_TURN] = cache_on_turn,
	[OP_CACHE_TIMER] = cache_on_timer,
	TO_APP_OP_TABLE(OP_APP),
	UP_OP_TABLE(OP_UP),
};

struct to_app *gate_to_app(const struct gate *g)
{
	return g->to_app;
}

static void say_worker(struct gate *g, enum msg_type type, const struct msg_worker *w)
{
	(void)chan_send(&g->parent, (uint16_t)type, 0, w, sizeof(*w), NULL, 0, NULL, 0);
	if (chan_open(&g->ctl) && g->ctl_hello &&
		msg_allowed(PROC_GATE, PROC_CTL, (uint16_t)type, sizeof(*w), 0))
		(void)chan_send(&g->ctl, (uint16_t)type, 0, w, sizeof(*w), NULL, 0, NULL, 0);
}

static void want_app(struct gate *g, uint32_t app)
{
	struct msg_want m = {.role = PROC_WORKER, .app = app};

	if (chan_open(&g->parent))
		(void)chan_send(&g->parent, MSG_WANT, 0, &m, sizeof(m), NULL, 0, NULL, 0);
}

static void say_event(struct gate *g, enum event ev, const char *app, uint32_t slot, uint64_t ms,
	const char *text)
{
	char slot_text[16], ms_text[24];

	(void)snprintf(slot_text, sizeof(slot_text), "%u", slot);
	(void)snprintf(ms_text, sizeof(ms_text), "%llu", (unsigned long long)ms);
	if (ev == EV_REQUEST_DEADLINE)
		gate_event(g, ev, "app", app, "slot", slot_text, "ms", ms_text, "path",
			text ? text : "", (char *)NULL);
	else
		gate_event(g, ev, "app", app, "slot", slot_text, "why", text ? text : "",
			(char *)NULL);
}

int control_started(struct gate *g)
{
	struct to_app_env env = {
		.gate = g,
		.loop = g->loop,
		.op_base = OP_APP,
		.gate_index = g->index,
		.gate_generation = g->generation,
		.counters = g->counters,
		.budget_used = &g->budget_used,
		.budget_max = g->budget_max,
		.say = say_worker,
		.want = want_app,
		.queue_tell = limiter_queue_tell,
		.queue_others = limiter_queue_others,
		.event = say_event,
	};
	int err = to_app_new(&env, &g->to_app);

	if (err)
		return err;
	err = jail_close();
	/* A kernel without filters is rare and no reason not to serve; the log says what is off. */
	if (err)
		gate_event(
			g, EV_JAIL_SKIPPED, "what", "seccomp filter of the gate", (char *)NULL);
	return 0;
}

void gate_drained(struct gate *g)
{
	(void)chan_send(&g->parent, MSG_STOPPED, 0, NULL, 0, NULL, 0, NULL, 0);
	loop_stop(g->loop);
}

/* Each connection is a descriptor: take as many as we are allowed. */
static void raise_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &lim);
	}
}

int main(void)
{
	struct loop *l;
	struct gate *g;
	int err = loop_new_epoll(&l, gate_ops, OP_GATE_END);

	raise_limit();
	if (!err)
		err = gate_new(&g, l, gate_protos, req_handlers);
	if (err)
		fatal("gate", "no memory: %s", strerror(-err));
	err = control_open(g, PARENT_FD);
	if (err)
		fatal("gate", "descriptor 3 is not the parent's channel: %s", strerror(-err));
	err = loop_run(l);
	if (err)
		fatal("gate", "waiting failed: %s", strerror(-err));
	logring_flush(&g->ring);
	/* The kernel takes back the rest faster than we could. From within, so that what is ours still has an owner when
	 * somebody looks for memory that has none. */
	exit(0);
}
