/*
 * test_death.c: a worker dies between any two steps on the memory that it shares with the gate: every
 * one of them is tried, with each order in which the gate may learn of it.
 *
 * One worker dies before its k-th step, for every k until it lives to the end; another lives beside it,
 * and a successor comes. Every request ends exactly once (fake_gate.c checks); one that was not begun
 * is run by another; one with effects is never run twice, one without at most twice; what is answered
 * is the right worker's, whole and in order; nothing is left of the budget or of memory. With
 * STEAD_SIM_SEEDS there are more lives.
 */
#include "lib/must.h"
#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REQUESTS = 12, STEPS = 400, PEERS = 3, SEEDS = 1, SEEDS_LONG = 20 };

/* How the gate learns of it. */
enum notice { BY_SOCKET, BY_PARENT, BY_PARENT_LATE, NOTICES };

struct world {
	struct sim *sim;
	struct loop *loop;
	struct gate g;
	struct peer peers[PEERS];
	struct msg_worker m[PEERS];
	struct fake_req *req[REQUESTS];
	unsigned npeers, nreq;
};

static struct peer *add_peer(struct world *w)
{
	struct peer *p = &w->peers[w->npeers];
	int fds[2];

	must(sim_seqpacket_pair(w->sim, fds) == 0);
	peer_init(p, w->sim, fds[1]);
	p->number = w->npeers;
	p->pieces = true;
	w->m[w->npeers] = (struct msg_worker){
		.app = FAKE_APP, .slot = w->npeers, .generation = w->npeers + 1};
	to_app_on_worker(w->g.t, &w->m[w->npeers], fds[0]);
	w->npeers++;
	return p;
}

static void new_request(struct world *w)
{
	static const char *const methods[] = {"GET", "POST", "GET", "HEAD", "POST"};
	static const char bytes[9000];
	const char *method = methods[w->nreq % ARRAY_LEN(methods)];
	bool body = w->nreq % ARRAY_LEN(methods) == 4;
	struct fake_req *f = fake_req_new(&w->g, method, "/x", body ? -1 : 0);

	w->req[w->nreq++] = f;
	fake_req_start(f);
	if (body && !f->over)
		fake_req_body(f, bytes, sizeof(bytes), true);
}

/* The parent's part. False: there is nothing more to do. */
static void bury(struct world *w, struct peer *dead, enum notice how, unsigned since)
{
	if (how == BY_SOCKET && since == 0)
		sim_close(w->sim, dead->sock);
	if ((how == BY_PARENT && since == 0) || (how == BY_PARENT_LATE && since == 40) ||
		(how == BY_SOCKET && since == 3))
		to_app_on_worker_gone(w->g.t, &w->m[dead->number]);
	if (since == 20)
		(void)add_peer(w);
}

static unsigned times_run(const struct world *w, uint64_t id)
{
	unsigned n = 0;

	for (unsigned i = 0; i < w->npeers; i++)
		for (unsigned k = 0; k < w->peers[i].nran; k++)
			n += w->peers[i].ran[k] == id;
	return n;
}

static void check(const struct world *w, const struct fake_req *f)
{
	bool post = f->r.method == METHOD_POST;
	unsigned ran = times_run(w, f->r.id), number;
	unsigned long long id;

	assert_true(f->over && f->ends + f->fails == 1);
	/* A body that has left for a worker is nowhere else. */
	assert_true(ran <= (post ? 1 : 2) && (ran >= 1 || (f->fails && f->r.content_length < 0)));
	if (f->fails) {
		/* What had begun in the one that died. */
		assert_int_equal(f->failed, CLOSE_APP_DIED);
		assert_true(post || f->heads);
	}
	if (!f->heads)
		return;
	assert_int_equal(sscanf(f->head, "X-Test: %4x-%16llx\n", &number, &id), 2);
	assert_int_equal(number, f->r.up.slot);
	assert_int_equal(id, f->r.id);
	for (size_t i = 0; i < f->body.len; i++)
		assert_int_equal(f->body.p[i], peer_byte(id));
	if (f->ends)
		assert_int_equal(f->body.len, f->r.method == METHOD_HEAD ? 0 : 200);
}

/* True: it died. */
static bool run(uint64_t seed, unsigned die_at, enum notice how, unsigned *ret_failed)
{
	struct sim_options o = {.seed = seed};
	struct world *w = calloc(1, sizeof(*w));
	struct peer *victim;
	unsigned since = 0;
	bool died;

	must(w && sim_new(&w->sim, &o) == 0);
	must(loop_new_sim(&w->loop, w->sim, fake_ops, FAKE_KINDS) == 0);
	fake_gate_init(&w->g, w->loop);
	victim = add_peer(w);
	victim->die_at = die_at;
	(void)add_peer(w);
	for (unsigned i = 0; i < STEPS; i++) {
		if (w->nreq < REQUESTS && sim_chance(w->sim, 100))
			new_request(w);
		for (unsigned k = 0; k < w->npeers; k++)
			if (sim_chance(w->sim, 600))
				peer_step(&w->peers[k]);
		if (victim->dead)
			bury(w, victim, how, since++);
		loop_step(w->loop, 0);
		sim_advance_us(w->sim, sim_below(w->sim, 3000));
	}
	died = victim->dead;
	for (unsigned k = 0; k < w->nreq; k++) {
		check(w, w->req[k]);
		*ret_failed += w->req[k]->fails;
		fake_req_free(w->req[k]);
	}
	for (unsigned i = died; i < w->npeers; i++)
		to_app_on_worker_gone(w->g.t, &w->m[i]);
	loop_step(w->loop, 0);
	fake_gate_done(&w->g);
	victim->closed |= died && how == BY_SOCKET;
	for (unsigned i = 0; i < w->npeers; i++)
		peer_done(&w->peers[i]);
	loop_free(w->loop);
	sim_free(w->sim);
	free(w);
	return died;
}

static void every_step(void **state)
{
	unsigned deaths = 0, failed = 0, seeds = getenv("STEAD_SIM_SEEDS") ? SEEDS_LONG : SEEDS;

	(void)state;
	for (uint64_t seed = 1; seed <= seeds; seed++)
		for (enum notice how = 0; how < NOTICES; how++)
			for (unsigned k = 1; run(seed, k, how, &failed); k++)
				deaths++;
	print_message("%u deaths, %u requests failed with them\n", deaths, failed);
	assert_true(deaths > 500 && failed > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_step)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
