/*
 * gate.c: a gate's birth, its snapshot, its end. Called by main.c, control.c and tests. Owns what
 * struct gate holds; talks to nobody itself.
 */
#include "gate.h"
#include "admit.h"
#include "aides.h"
#include "auth.h"
#include "cache.h"
#include "compress.h"
#include "conn.h"
#include "counters.h"
#include "filecache.h"
#include "http1.h"
#include "http2.h"
#include "outbuf.h"
#include "lib/buf.h"
#include "lib/event.h"
#include "lib/sys.h"
#include "limiter.h"
#include "challenge.h"
#include "maintenance.h"
#include "mime.h"
#include "regex.h"
#include "route.h"
#include "tcp.h"
#include "tls_server.h"
#include "up.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	BLOCK_BYTES = 4096,
	BLOCKS_MAX = 32768, /* 128 MB of requests under way: more than there are descriptors */
	BLOCKS_KEEP = 64,
	BUDGET_BYTES = 16 * 1024 * 1024,
	FDS_RESERVED = 1024, /* of files, links, channels */
	DRAIN_IDLE_MS = 5000,
	LEAVE_MS = 5000, /* before their end clients of tunnels are told */
	TELL_MS = 1000,  /* the parent hears of what is left so often at most */
};

static unsigned conns_bound(void)
{
	struct rlimit lim;
	rlim_t n = 1024;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0)
		n = lim.rlim_cur;
	if (n == RLIM_INFINITY || n > 1000000)
		n = 1000000;
	return (unsigned)(n > 2 * FDS_RESERVED ? n - FDS_RESERVED : n / 2);
}

static void set_limits(struct gate *g)
{
	const struct snap_site *s = route_default_site(g->snap);
	struct gate_limits *l = &g->limits;

	if (!s && g->snap)
		s = snap_site(g->snap, 0);
	*l = (struct gate_limits){10000, 60000, 100, HTTP1_HEAD_MAX};
	if (!s)
		return;
	if (s->header_timeout_ms)
		l->header_ms = s->header_timeout_ms;
	if (s->idle_timeout_ms)
		l->idle_ms = s->idle_timeout_ms;
	l->rate_min = s->rate_min;
	/* A head is read before its site is known: the largest bound first, the site's own then
	 * (phase_site()). */
	l->head_max = 0;
	for (uint32_t i = 0; (s = snap_site(g->snap, i)); i++)
		l->head_max = max_of(l->head_max, s->head_max ? s->head_max : HTTP1_HEAD_MAX);
	l->head_max = l->head_max < 1024 ? 1024 : min_of(l->head_max, 1024u * 1024);
}

int gate_new(struct gate **ret_gate, struct loop *l, const struct stream_ops *const *protos,
	const struct handler_ops *const *handlers)
{
	struct gate *g = calloc(1, sizeof(*g));
	int err;

	if (!g)
		return -ENOMEM;
	g->loop = l;
	g->protos = protos;
	g->handlers = handlers;
	g->counters_fd = -1;
	g->ring = (struct logring_writer){.fd = -1, .wake_fd = -1};
	g->parent.lfd = g->ctl.lfd = (struct lfd)LFD_INIT;
	g->access_flush.kind = OP_ACCESS_FLUSH;
	g->drain_timer.op.kind = OP_DRAIN_TIMER;
	g->accept_timer.op.kind = OP_ACCEPT_TIMER;
	g->conns_max = conns_bound();
	g->budget_max = BUDGET_BYTES;
	arena_pool_init(&g->pool, BLOCK_BYTES, BLOCKS_MAX, BLOCKS_KEEP);
	set_limits(g);
	err = sys_random(g->ids, sizeof(g->ids));
	if (!err)
		err = limiter_new(g);
	if (!err)
		err = admit_new(g);
	if (!err)
		err = counters_new(g);
	if (!err)
		err = logring_create(&g->ring);
	g->ring_ready = !err;
	if (!err)
		err = filecache_new(g);
	if (!err)
		err = up_new(&g->up, g, OP_UP);
	if (!err)
		err = tcp_new(g);
	if (!err)
		err = aides_new(g);
	if (!err)
		err = mime_new(&g->mime, "/etc/mime.types");
	if (err) {
		gate_free(g);
		return err;
	}
	*ret_gate = g;
	return 0;
}

void gate_free(struct gate *g)
{
	if (!g)
		return;
	g->draining = false;
	accept_unlisten_all(g);
	conn_end_all(g, CONN_ALL, CLOSE_DRAINED);
	cache_free(g);
	conn_free_spares(g);
	outbuf_free_spares(g);
	filecache_free(g);
	mime_free(g->mime);
	regex_free_all(g);
	compress_free(g);
	auth_free(g);
	tls_server_free(g);
	tcp_free(g);
	up_free(g->up);
	aides_free(g);
	snap_unref(g->snap);
	admit_free(g);
	limiter_free(g);
	maintenance_free(g);
	challenge_free(g);
	loop_timer_stop(g->loop, &g->scrape_timer);
	loop_timer_stop(g->loop, &g->drain_timer);
	loop_timer_stop(g->loop, &g->accept_timer);
	loop_defer_cancel(g->loop, &g->access_flush);
	if (g->ring_ready) {
		logring_flush(&g->ring);
		logring_done(&g->ring);
	}
	counters_free(g);
	arena_pool_done(&g->pool);
	free(g);
}

void gate_set_snap(struct gate *g, struct snap *s)
{
	struct snap *old = g->snap;

	g->snap = s;
	set_limits(g);
	admit_on_snap(g);
	if (s) {
		up_on_snap(g->up, s);
		tcp_on_snap(g, s);
		tls_demand_on_snap(g);
	}
	snap_unref(old);
}

static bool is_used(const struct gate *g)
{
	return g->conns || g->tcp->pairs;
}

static void tell_parent(struct gate *g)
{
	struct msg_gate_drains m;

	g->drain_tell_ms = 0;
	if (!chan_open(&g->parent))
		return;
	conn_count(g, &m.conns, &m.tunnels);
	for (const struct tcp_pair *t = g->tcp->pairs; t; t = t->next) {
		m.conns++;
		m.tunnels++;
	}
	(void)chan_send(&g->parent, MSG_GATE_DRAINS, 0, &m, sizeof(m), NULL, 0, NULL, 0);
}

bool gate_leaves(const struct gate *g)
{
	return g->draining && loop_now_ms(g->loop) >= g->tunnel_leave_ms;
}

static void arm_drain(struct gate *g)
{
	uint64_t now = loop_now_ms(g->loop), at = g->tunnel_end_ms;

	if (now < g->drain_end_ms)
		at = g->drain_end_ms;
	if (now < g->tunnel_leave_ms)
		at = min_of(at, g->tunnel_leave_ms);
	if (g->drain_tell_ms)
		at = min_of(at, g->drain_tell_ms);
	loop_timer(g->loop, &g->drain_timer, is_used(g) ? at : now);
}

/* Not with each connection that goes. */
static void tell_soon(struct gate *g)
{
	if (g->drain_tell_ms)
		return;
	g->drain_tell_ms = loop_now_ms(g->loop) + TELL_MS;
	arm_drain(g);
}

void gate_left(struct gate *g)
{
	if (!g->draining)
		return;
	tell_soon(g);
	if (!is_used(g))
		gate_drained(g);
}

static void bound_drain(struct gate *g, uint64_t drain_end_ms, uint64_t tunnel_end_ms)
{
	g->drain_end_ms = min_of(g->drain_end_ms, drain_end_ms);
	g->tunnel_end_ms = min_of(g->tunnel_end_ms, tunnel_end_ms);
	g->tunnel_end_ms = max_of(g->tunnel_end_ms, g->drain_end_ms);
	tunnel_end_ms -= min_of(tunnel_end_ms, (uint64_t)LEAVE_MS);
	g->tunnel_leave_ms = min_of(g->tunnel_leave_ms, tunnel_end_ms);
	arm_drain(g);
}

void gate_drain(struct gate *g, uint32_t drain_ms, uint32_t tunnel_ms)
{
	uint64_t now = loop_now_ms(g->loop);

	if (g->draining) {
		bound_drain(g, now + drain_ms, now + tunnel_ms);
		return;
	}
	g->draining = true;
	g->drain_end_ms = g->tunnel_end_ms = g->tunnel_leave_ms = UINT64_MAX;
	g->drain_began_ms = now;
	/* A client that reuses a connection just now finds it open, and is told to close by its
	 * answer. */
	g->drain_idle_ms = min_of(drain_ms / 4, (uint32_t)DRAIN_IDLE_MS);
	accept_unlisten_all(g);
	for (struct conn *c = g->conns; c; c = c->next) {
		conn_wake_in(c, g->drain_idle_ms);
		if (c->h2)
			http2_drain(c);
	}
	bound_drain(g, now + drain_ms, now + tunnel_ms);
	tell_soon(g);
}

void gate_hello(struct chan *c)
{
	struct msg_hello h = {.min = MSG_MAJOR_MIN,
		.max = MSG_MAJOR_MAX,
		.role = PROC_GATE,
		.build = STEAD_VERSION};

	(void)chan_send(c, MSG_HELLO, 0, &h, sizeof(h), NULL, 0, NULL, 0);
}

bool gate_hello_holds(const struct msg *m)
{
	struct msg_hello h;

	return m->h.type == MSG_HELLO && msg_get(m, &h, sizeof(h), sizeof(h)) == 0 &&
	       h.min <= MSG_MAJOR_MAX && h.max >= MSG_MAJOR_MIN;
}

void gate_event(struct gate *g, enum event ev, const char *name, ...)
{
	char mem[1024];
	struct buf b;
	va_list ap;

	if (!g->ring_ready)
		return;
	buf_fixed(&b, mem, sizeof(mem));
	event_begin(&b, ev);
	va_start(ap, name);
	for (; name; name = va_arg(ap, const char *))
		event_field_str(&b, name, va_arg(ap, const char *));
	va_end(ap);
	if (b.error)
		return;
	logring_put(&g->ring, LOGREC_EVENT, loop_wall_us(g->loop), b.p, b.len);
	loop_defer(g->loop, &g->access_flush);
}

/* Nobody is left, or the time of some is over. */
void drain_on_timer(struct loop *l, struct op *op, int res)
{
	struct gate *g = container_of(op, struct gate, drain_timer.op);
	uint64_t now = loop_now_ms(l);

	(void)res;
	if (!is_used(g)) {
		gate_drained(g);
		return;
	}
	if (now >= g->tunnel_end_ms) {
		conn_end_all(g, CONN_ALL, CLOSE_DRAINED);
		tcp_end_all(g, CLOSE_DRAINED);
		return;
	}
	if (g->drain_tell_ms && now >= g->drain_tell_ms)
		tell_parent(g);
	if (now >= g->drain_end_ms)
		conn_end_all(g, CONN_NO_TUNNEL, CLOSE_DRAINED);
	if (g->draining && is_used(g))
		arm_drain(g);
}
