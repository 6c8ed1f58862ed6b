/*
 * gate_world.h: a gate on the simulated loop, with a site whose / are files and whose /app is an
 * app, for simulations and fuzz targets. They bring the app, the clients and what else has to be
 * true in the end.
 */
#ifndef STEAD_TEST_GATE_WORLD_H
#define STEAD_TEST_GATE_WORLD_H

#include "access.h"
#include "conn.h"
#include "errorpage.h"
#include "http1.h"
#include "lib/must.h"
#include "lib/sim.h"
#include "to_static.h"

#include "../../unit/snap/small_snap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct gate_world {
	struct sim *s;
	struct loop *l;
	struct gate *g;
	int listener;
	struct timer beat; /* so that time never runs ahead of the clients */
};

static void gate_world_on_beat(struct loop *l, struct op *op, int res)
{
	struct gate_world *w = container_of(op, struct gate_world, beat.op);

	(void)res;
	loop_timer_in(l, &w->beat, 1);
}

/* What every table of ops has; OP_APP is taken. */
#define GATE_WORLD_OPS                                                                             \
	[OP_ACCEPT] = accept_on, [OP_ACCEPT_TIMER] = accept_on_timer,                              \
	[OP_CONN_RECV] = conn_on_recv, [OP_CONN_TIMER] = conn_on_timer,                            \
	[OP_CONN_HUP] = conn_on_hup, [OP_H1_SEND] = http1_on_send, [OP_H1_TURN] = http1_on_turn,   \
	[OP_ACCESS_FLUSH] = access_on_flush, [OP_DRAIN_TIMER] = drain_on_timer,                    \
	[OP_APP] = gate_world_on_beat

/* What a gate is made of: its ops (of OP_GATE_END), protocols and handlers. */
struct gate_world_parts {
	op_done *const *ops;
	const struct stream_ops *const *protos;
	const struct handler_ops *const *handlers;
};

static inline void gate_world_give_snap(struct gate_world *w, const char *folder)
{
	const struct small_route routes[] = {{"/", folder, "index.html"}, {"/app", NULL, NULL}};
	const char *hosts[] = {"a"};
	struct small_snap in = {.name = "x",
		.hosts = hosts,
		.nhosts = 1,
		.routes = routes,
		.nroutes = 2,
		.limits = {.header_timeout_ms = 2000, .idle_timeout_ms = 5000, .rate_min = 10},
		.rest = snap_route_default(),
		.generation = 1};
	int fds[SNAP_SEGMENTS_MAX + 1];
	struct snap *s;
	unsigned n;

	in.rest.access = SNAP_ACCESS_JSON;
	in.rest.body_max = 10000000;
	must(small_snap_build(&in, fds, &n) == 0 && snap_load(fds, n, &s) == 0);
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
	gate_set_snap(w->g, s);
}

/* A gate that listens, with the files of `folder`. */
static inline void gate_world_new(struct gate_world *w, const struct sim_options *o,
	const struct gate_world_parts *parts, const char *folder)
{
	must(sim_new(&w->s, o) == 0);
	must(loop_new_sim(&w->l, w->s, parts->ops, OP_GATE_END) == 0);
	must(gate_new(&w->g, w->l, parts->protos, parts->handlers) == 0);
	gate_world_give_snap(w, folder);
	w->listener = sim_listen(w->s, 64);
	must(accept_listen(w->g, 1, false, w->listener, "127.0.0.1:80") == 0);
	w->beat.op.kind = OP_APP;
	loop_timer_in(w->l, &w->beat, 1);
}

/* Every connection has ended, each with one reason, and nothing of them may be left. */
static inline void gate_world_free(struct gate_world *w)
{
	const struct gate *g = w->g;
	uint64_t closes = 0;

	loop_timer_stop(w->l, &w->beat);
	must(!g->conns_n && g->pool.blocks_lent == 0 && g->budget_used == 0);
	for (unsigned i = 0; i < CLOSE_END; i++) {
		closes += g->closes[i];
		must(!g->closes[i] || close_rows[i].scope & CLOSE_CONN);
	}
	must(closes == g->counters->gate[METRIC_CONNS_ACCEPTED]);
	must(g->counters->gate[METRIC_CONNS_OPEN] == 0 &&
		g->counters->gate[METRIC_CONNS_ACTIVE] == 0);
	must(g->counters->gate[METRIC_REQUESTS_ACTIVE] == 0 &&
		g->counters->gate[METRIC_REQUESTS] == g->req_seq);
	gate_free(w->g);
	loop_free(w->l);
	sim_free(w->s);
}

/* A program of seeds: runs one(seed, folder) for each of them, with a folder that has the files
 * "small" (1,000 times s) and "big" (big_bytes times b). PROGRAM [FIRST [COUNT]]. */
static inline void gate_world_file(const char *folder, const char *name, char c, size_t n)
{
	char path[128], *p = malloc(n);
	FILE *f;

	must(p);
	memset(p, c, n);
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "we");
	must(f && fwrite(p, 1, n, f) == n);
	fclose(f);
	free(p);
}

static inline void gate_world_seeds(int argc, char **argv, uint64_t count, size_t big_bytes,
	void one(uint64_t seed, const char *folder))
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	char folder[] = "/tmp/stead-sim-XXXXXX", path[64];

	count = argc > 2 ? strtoull(argv[2], NULL, 10) : count;
	must(mkdtemp(folder));
	gate_world_file(folder, "small", 's', 1000);
	gate_world_file(folder, "big", 'b', big_bytes);
	for (uint64_t seed = first; seed < first + count; seed++) {
		/* seen when a must() ends the run */
		if (argc > 1)
			fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
		one(seed, folder);
	}
	(void)snprintf(path, sizeof(path), "%s/small", folder);
	unlink(path);
	(void)snprintf(path, sizeof(path), "%s/big", folder);
	unlink(path);
	rmdir(folder);
	printf("%llu seeds\n", (unsigned long long)count);
}

#endif
