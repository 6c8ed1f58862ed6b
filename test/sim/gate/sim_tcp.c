/*
 * sim_tcp.c: [Tcp] on the simulated loop, many seeds: a client and a server that both send a stream in
 * pieces and end it, short and refused writes, late bytes, a server that is not there, resets by both,
 * and a snapshot that changes in between.
 *
 * Invariants, for each seed: both streams of a pair that nobody broke arrive whole and in order, each with
 * its own end; every connection ends with exactly one close reason and one record; in the end no pair, no
 * descriptor and no connection at a server is left.
 *
 *   sim-tcp [FIRST [COUNT]]
 */
#include "access.h"
#include "lib/must.h"
#include "lib/sim.h"
#include "tcp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAIRS = 10, STREAM_MAX = 200000, STEPS_MAX = 2000000, OP_TAKE = OP_USER, LISTENER = 7 };

/* One side of a pair: it sends `all` bytes and then its end, and reads until the other's. */
struct side {
	int fd; /* -1: not there */
	unsigned index;
	size_t all, sent, got;
	uint64_t breaks_us; /* resets then; 0: never */
	bool said_end, heard_end, broke;
};

struct world {
	struct sim *s;
	struct loop *l, *servers;
	struct gate *g;
	struct logring_reader ring;
	struct lfd listen;
	struct op take;
	int fd; /* that clients connect to */
	uint64_t generation;
	unsigned connected, records;
	struct side client[PAIRS], server[PAIRS];
	int taken[PAIRS]; /* whose first byte has not come */
	unsigned ntaken;
	struct timer beat;
};

static op_done beat_on;
static op_done *const gate_table[OP_GATE_END] = {
	[OP_ACCEPT] = accept_on,
	[OP_ACCEPT_TIMER] = accept_on_timer,
	[OP_ACCESS_FLUSH] = access_on_flush,
	[OP_DRAIN_TIMER] = drain_on_timer,
	[OP_FAKE_TURN] = beat_on,
	TCP_OP_TABLE,
	UP_OP_TABLE(OP_UP),
};

void gate_drained(struct gate *g)
{
	(void)g;
}

struct to_app;
const struct stream_ops *const protos_none[PROTO_END];
const struct handler_ops *const handlers_none[8];

static void beat_on(struct loop *l, struct op *op, int res)
{
	(void)res;
	loop_timer_in(l, container_of(op, struct timer, op), 1);
}

static void take_on(struct loop *l, struct op *op, int res)
{
	struct world *w = container_of(op, struct world, take);

	if (res >= 0) {
		must(w->ntaken < PAIRS);
		w->taken[w->ntaken++] = res;
	}
	loop_accept(l, &w->listen, &w->take);
}

static op_done *const server_table[OP_TAKE + 1] = {[OP_TAKE] = take_on};

/* Byte i of the stream that side `from` (0 client, 1 server) of a pair sends; the first names the pair. */
static char byte_of(unsigned index, unsigned from, size_t i)
{
	return i ? (char)(index * 31 + from * 17 + i % 251) : (char)index;
}

static void give_snap(struct world *w, int backend)
{
	struct snap_writer *sw = snap_writer_new();
	struct snap_server servers[2] = {{.kind = SNAP_SERVER_ADDRESS, .weight = 1, .number = 1},
		{.kind = SNAP_SERVER_ADDRESS, .weight = 1, .number = 2, .port = 60000}};
	struct snap_upstream up = {.protocol = SNAP_PROTO_TCP,
		.balance = SNAP_BALANCE_ROUND_ROBIN,
		.fail_max = 3,
		.retry = 3,
		.timeout_ms = 1000};
	struct snap_tcp tcp = {.listener = LISTENER, .idle_ms = 600000};
	struct snap_site site = {.head_max = 4096};
	struct snap_route route = snap_route_default();
	int fds[SNAP_SEGMENTS_MAX + 1];
	struct snap *snap;
	unsigned n;

	must(sw);
	servers[0].port = (uint16_t)(backend - SIM_FD_BASE);
	for (unsigned i = 0; i < 2; i++) {
		memcpy(servers[i].address, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", 16);
		servers[i].name = snap_put_str(sw, "127.0.0.1");
	}
	up.name = snap_put_str(sw, "tcp/sim");
	up.servers = snap_put_list(sw, servers, sizeof(servers[0]), 2);
	route.path = snap_put_str(sw, "/");
	site.name = snap_put_str(sw, "site");
	(void)snap_put_site(sw, &site, &route, 1);
	tcp.upstream = snap_put_upstream(sw, &up);
	tcp.name = snap_put_str(sw, "sim");
	(void)snap_put_tcp(sw, &tcp);
	must(snap_finish(sw, ++w->generation, 0, fds, &n) == 0);
	must(snap_load(fds, n, &snap) == 0);
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
	snap_writer_free(sw);
	gate_set_snap(w->g, snap);
}

static void leave(struct world *w, struct side *x)
{
	sim_close(w->s, x->fd);
	x->fd = -1;
}

/* It, or its peer, broke the pair: what it got may be cut. */
static bool may_be_cut(const struct world *w, const struct side *x)
{
	return w->client[x->index].broke || w->server[x->index].broke;
}

static void side_writes(struct world *w, struct side *x, unsigned from)
{
	char mem[3000];
	size_t n = min_of(x->all - x->sent, (size_t)sim_below(w->s, sizeof(mem)) + 1);
	ssize_t wrote;

	for (size_t i = 0; i < n; i++)
		mem[i] = byte_of(x->index, from, x->sent + i);
	wrote = n ? sim_write(w->s, x->fd, mem, n) : 0;
	if (wrote > 0)
		x->sent += (size_t)wrote;
	else if (wrote < 0 && wrote != -EAGAIN)
		must(may_be_cut(w, x));
	if (x->sent == x->all && !x->said_end) {
		x->said_end = true;
		(void)sim_shutdown(w->s, x->fd, SHUT_WR);
	}
}

static void side_reads(struct world *w, struct side *x, unsigned from, const struct side *other)
{
	char mem[5000];
	ssize_t n = sim_read(w->s, x->fd, mem, (size_t)sim_below(w->s, sizeof(mem)) + 1);

	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		must(may_be_cut(w, x) || (n == 0 && x->got == other->all));
		x->heard_end = true;
		if (n < 0)
			leave(w, x);
		return;
	}
	for (ssize_t i = 0; i < n; i++)
		must(mem[i] == byte_of(x->index, !from, x->got + (size_t)i));
	x->got += (size_t)n;
}

static void side_turn(struct world *w, struct side *x, unsigned from, const struct side *other)
{
	if (x->fd < 0)
		return;
	if (x->breaks_us && sim_now_us(w->s) >= x->breaks_us) {
		x->broke = true;
		sim_reset(w->s, x->fd);
		x->fd = -1;
		return;
	}
	side_writes(w, x, from);
	if (x->fd >= 0 && !x->heard_end)
		side_reads(w, x, from, other);
	if (x->fd >= 0 && x->heard_end && (x->said_end || may_be_cut(w, x)))
		leave(w, x);
}

/* Which pair a server's connection belongs to says its first byte. */
static void meet(struct world *w, unsigned at)
{
	char first;
	ssize_t n = sim_read(w->s, w->taken[at], &first, 1);
	struct side *x = &w->server[(unsigned char)first % PAIRS];

	if (n == -EAGAIN)
		return;
	if (n == 1) {
		must(x->fd < 0);
		x->fd = w->taken[at];
		x->got = 1;
	} else {
		sim_close(w->s, w->taken[at]);
	}
	w->taken[at] = w->taken[--w->ntaken];
}

static void begin(struct world *w)
{
	struct side *c = &w->client[w->connected];

	c->fd = sim_connect(w->s, w->fd);
	if (c->fd < 0)
		return;
	if (sim_chance(w->s, 150))
		c->breaks_us = sim_now_us(w->s) + sim_below(w->s, 100000);
	if (sim_chance(w->s, 150))
		w->server[w->connected].breaks_us = sim_now_us(w->s) + sim_below(w->s, 100000);
	w->connected++;
}

static bool is_over(const struct world *w)
{
	for (unsigned i = 0; i < PAIRS; i++)
		if (w->client[i].fd >= 0 || w->server[i].fd >= 0)
			return false;
	return w->connected == PAIRS && !w->g->tcp->n && !w->ntaken;
}

static void count_records(struct world *w)
{
	static char mem[LOGRING_RECORD_MAX];
	enum logrec type;
	uint64_t wall;
	size_t n;

	logring_flush(&w->g->ring);
	while (logring_next(&w->ring, mem, &type, &wall, &n) == 1)
		w->records += type == LOGREC_ACCESS;
}

static void run(struct world *w, int backend)
{
	for (unsigned steps = 0; !is_over(w); steps++) {
		must(steps < STEPS_MAX);
		if (w->connected < PAIRS && sim_chance(w->s, 50))
			begin(w);
		must(sim_step(w->s));
		for (unsigned i = 0; i < w->ntaken; i++)
			meet(w, i);
		for (unsigned i = 0; i < PAIRS; i++) {
			side_turn(w, &w->client[i], 0, &w->server[i]);
			side_turn(w, &w->server[i], 1, &w->client[i]);
		}
		if (sim_chance(w->s, 2))
			give_snap(w, backend);
		count_records(w);
	}
}

static void check_end(struct world *w)
{
	const _Atomic uint64_t *c = w->g->counters->gate;
	uint64_t closes = 0;

	count_records(w);
	for (unsigned i = 0; i < CLOSE_END; i++) {
		closes += w->g->closes[i];
		if (w->g->closes[i])
			must(close_rows[i].scope & CLOSE_CONN);
	}
	must(closes == PAIRS && c[METRIC_TCP_CONNS] == PAIRS && c[METRIC_TCP_OPEN] == 0);
	must(w->records == PAIRS);
	for (const struct upstream *u = w->g->up->all; u; u = u->next) {
		must(u->active == 0);
		for (const struct up_server *s = u->servers; s; s = s->next)
			must(s->active == 0);
	}
	for (unsigned i = 0; i < PAIRS; i++)
		if (!w->client[i].broke && !w->server[i].broke)
			must(w->client[i].got == w->server[i].all && w->server[i].got == w->client[i].all);
}

static void one_seed(uint64_t seed)
{
	struct sim_options o = {.seed = seed,
		.pieces_permille = 300,
		.short_permille = 300,
		.refuse_permille = 100,
		.reorder_permille = 200,
		.emfile_permille = seed % 3 ? 0 : 100,
		.latency_us_max = 2000,
		.stream_bytes = seed % 2 ? 4096 : 0};
	static struct world w;
	int backend;

	memset(&w, 0, sizeof(w));
	must(sim_new(&w.s, &o) == 0);
	must(loop_new_sim(&w.l, w.s, gate_table, OP_GATE_END) == 0);
	must(loop_new_sim(&w.servers, w.s, server_table, OP_TAKE + 1) == 0);
	must(gate_new(&w.g, w.l, protos_none, handlers_none) == 0);
	w.g->ring_ready = true;
	must(logring_open(&w.ring, w.g->ring.fd, 0) == 0);
	for (unsigned i = 0; i < PAIRS; i++) {
		w.client[i] = (struct side){.fd = -1, .index = i, .all = sim_below(w.s, STREAM_MAX) + 1};
		w.server[i] = (struct side){.fd = -1, .index = i, .all = sim_below(w.s, STREAM_MAX)};
	}
	w.fd = sim_listen(w.s, 64);
	backend = sim_listen(w.s, 64);
	w.listen = (struct lfd)LFD_INIT;
	w.take.kind = OP_TAKE;
	must(loop_add(w.servers, &w.listen, backend) == 0);
	loop_accept(w.servers, &w.listen, &w.take);
	must(accept_listen(w.g, LISTENER, LISTENER_TCP, w.fd, "127.0.0.1:80") == 0);
	give_snap(&w, backend);
	w.beat.op.kind = OP_FAKE_TURN;
	loop_timer_in(w.l, &w.beat, 1);
	run(&w, backend);
	loop_timer_stop(w.l, &w.beat);
	check_end(&w);
	logring_close(&w.ring);
	gate_free(w.g);
	loop_close(w.servers, &w.listen);
	must(sim_open_fds(w.s) == 0);
	loop_free(w.l);
	loop_free(w.servers);
	sim_free(w.s);
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 60;

	for (uint64_t seed = first; seed < first + count; seed++) {
		if (argc > 1)
			fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
		one_seed(seed);
	}
	printf("%llu seeds\n", (unsigned long long)count);
	return 0;
}
