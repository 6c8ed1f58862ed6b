/*
 * test_hostile.c: the gate's app handler against a worker that does everything wrong, beside one
 * that does everything right, in the simulator.
 *
 * freeunit 8cfb2728, 669987d6, 58d4a08f, 4bb53764 and #172: Unit's router trusted memory that apps can
 * write, and a sender's number that they can forge.
 *
 * Whatever the hostile one does: every request ends exactly once (fake_gate.c checks), no answer meets
 * another request than the one that its worker was given, those that a good one ran are right, the
 * other app's requests and worker notice nothing, the budget and the arenas come back to zero, and the broken worker is
 * told. STEAD_SIM_SEEDS: how many seeds (default 200).
 */
#include "lib/must.h"
#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REQUESTS = 60, STEPS = 4000 };

struct world {
	struct sim *sim;
	struct loop *loop;
	struct gate g;
	struct peer peers[40];
	struct msg_worker m[40];
	unsigned npeers;
	struct fake_req *req[REQUESTS];
	unsigned nreq;
	bool async;
};

static struct peer *add_peer(struct world *w, uint32_t app, bool hostile)
{
	struct peer *p = &w->peers[w->npeers];
	int fds[2];

	must(w->npeers < 40 && sim_seqpacket_pair(w->sim, fds) == 0);
	peer_init(p, w->sim, fds[1]);
	p->number = w->npeers;
	p->hostile = hostile;
	p->deaf = hostile && sim_chance(w->sim, 100);
	p->async = w->async;
	p->hostility = hostile ? 1 + (unsigned)sim_below(w->sim, 60) : 0;
	w->m[w->npeers] =
		(struct msg_worker){.app = app, .slot = w->npeers, .generation = w->npeers + 1};
	to_app_on_worker(w->g.t, &w->m[w->npeers], fds[0]);
	w->npeers++;
	return p;
}

static void new_request(struct world *w)
{
	static const char *const methods[] = {"GET", "HEAD", "POST", "OPTIONS"};
	bool body = sim_chance(w->sim, 200);
	struct fake_req *f = fake_req_new(
		&w->g, body ? "POST" : methods[sim_below(w->sim, 4)], "/x", body ? -1 : 0);
	static const char bytes[30000];

	fake_req_field(f, "host", "localhost");
	if (sim_chance(w->sim, 300))
		f->r.route = &w->g.other_route;
	if (!body && f->r.method == METHOD_GET && sim_chance(w->sim, 600))
		fake_req_upgrade(f);
	if (sim_chance(w->sim, 300))
		f->room = sim_below(w->sim, 1000);
	w->req[w->nreq++] = f;
	fake_req_start(f);
	if (body && !f->over)
		fake_req_body(f, bytes, sim_below(w->sim, sizeof(bytes)), true);
}

static void random_step(struct world *w)
{
	static const char bytes[3000];

	if (w->nreq < REQUESTS && sim_chance(w->sim, 150))
		new_request(w);
	if (w->nreq) {
		struct fake_req *f = w->req[sim_below(w->sim, w->nreq)];

		if (!f->over && sim_chance(w->sim, 200))
			fake_req_room(f, 500);
		if (!f->over && f->tunnels && sim_chance(w->sim, 300))
			fake_req_body(f, bytes, sim_below(w->sim, 3000), sim_chance(w->sim, 50));
		if (!f->over && sim_chance(w->sim, 4))
			fake_req_abort(f);
	}
	for (unsigned i = 0; i < w->npeers; i++) {
		if (sim_chance(w->sim, 500))
			peer_step(&w->peers[i]);
	}
	loop_step(w->loop, 0);
	if (sim_chance(w->sim, 300))
		sim_advance_us(w->sim, sim_below(w->sim, 3000));
}

/* What the parent does: a worker that was told bad dies and is replaced. */
static void replace(struct world *w, unsigned *bads, struct peer **bad)
{
	if (w->g.bads == *bads)
		return;
	*bads = w->g.bads;
	to_app_on_worker_gone(w->g.t, &w->m[*bad - w->peers]);
	if (w->npeers < 38)
		*bad = add_peer(w, FAKE_APP, true);
}

/* Whose answer it is, it says itself; who was given the request, the gate wrote down. */
static void check_answer(const struct world *w, const struct fake_req *f)
{
	const struct peer *given = &w->peers[f->r.up.slot];
	unsigned long long id;
	unsigned number;

	if (f->r.route == &w->g.other_route && f->fails)
		assert_int_equal(f->failed, CLOSE_APP_ERROR);
	if (!f->heads)
		return;
	if (sscanf(f->head, "X-Test: %4x-%16llx\n", &number, &id) != 2) {
		assert_true(given->hostile);
		return;
	}
	assert_int_equal(number, given->number);
	if (given->hostile)
		return;
	assert_int_equal(id, f->r.id);
	for (size_t i = 0; i < f->body.len; i++)
		assert_int_equal(f->body.p[i], peer_byte(id));
}

/* How many tunnels the good one had. */
static unsigned run_seed(uint64_t seed)
{
	struct sim_options o = {.seed = seed, .pieces_permille = 100, .reorder_permille = 100};
	struct world *w = calloc(1, sizeof(*w));
	struct peer *good, *bad, *other;
	unsigned bads = 0, tunnels;

	must(w && sim_new(&w->sim, &o) == 0);
	must(loop_new_sim(&w->loop, w->sim, fake_ops, FAKE_KINDS) == 0);
	fake_gate_init(&w->g, w->loop);
	w->async = seed % 2;
	good = add_peer(w, FAKE_APP, false);
	other = add_peer(w, OTHER_APP, false);
	bad = add_peer(w, FAKE_APP, true);
	for (unsigned i = 0; i < STEPS; i++) {
		random_step(w);
		replace(w, &bads, &bad);
	}
	/* The hostile one dies; everything left must come to its end by the good one, or by a
	 * deadline. */
	to_app_on_worker_gone(w->g.t, &w->m[bad - w->peers]);
	to_app_on_drain(w->g.t, true);
	sim_calm(w->sim);
	for (unsigned i = 0; i < 3000; i++) {
		peer_step(good);
		peer_step(other);
		for (unsigned k = 0; k < w->nreq; k++) {
			if (!w->req[k]->over)
				fake_req_room(w->req[k], 100000);
		}
		loop_step(w->loop, 0);
		sim_advance_us(w->sim, 500);
	}
	assert_int_equal(good->closed, false);
	assert_int_equal(other->closed, false);
	assert_int_equal(w->g.other_bads, 0);
	for (unsigned k = 0; k < w->nreq; k++) {
		if (!w->req[k]->over)
			printf("seed %llu request %u is not over: %u heads, %zu bytes; good holds "
			       "%u, bads %u\n",
				(unsigned long long)seed, k, w->req[k]->heads, w->req[k]->body.len,
				good->nheld, bads);
		assert_true(w->req[k]->over);
		check_answer(w, w->req[k]);
		fake_req_free(w->req[k]);
	}
	/* The good one is still good. */
	assert_true(good->answered > 0);
	assert_true(w->g.ups >= 1);
	to_app_on_worker_gone(w->g.t, &w->m[0]);
	to_app_on_worker_gone(w->g.t, &w->m[1]);
	loop_step(w->loop, 0);
	fake_gate_done(&w->g);
	for (unsigned i = 0; i < w->npeers; i++)
		peer_done(&w->peers[i]);
	loop_free(w->loop);
	sim_free(w->sim);
	tunnels = good->echoed ? good->tunnels : 0;
	free(w);
	return tunnels;
}

static void test_seeds(void **state)
{
	const char *n = getenv("STEAD_SIM_SEEDS");
	uint64_t count = n ? strtoull(n, NULL, 10) : 200, tunnels = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= count; seed++)
		tunnels += run_seed(seed);
	assert_true(tunnels > count / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_seeds)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
