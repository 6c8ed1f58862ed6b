/*
 * test_nap.c: when the gate looks away from its workers instead of asking to be woken, and for how
 * long: only while every busy worker has enough to do, a small part of what the queue's first has
 * waited, and not when the last looks found nothing.
 */
#include "lib/must.h"
#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

enum { REQUESTS = 24, WAITED_US = 2400, NAP_US = WAITED_US / 8, NAPS_IN_VAIN = 3 };

struct rig {
	struct sim *sim;
	struct loop *loop;
	struct gate g;
	struct peer p;
	struct msg_worker m;
	struct fake_req *req[REQUESTS];
	unsigned nreq;
};

/* A worker that says that a request takes it so long, and has so many, of which all but the last
 * have waited so long. */
static void rig_up(struct rig *r, uint32_t service_us, unsigned requests, uint64_t waited_us)
{
	struct sim_options o = {.seed = 3};
	int fds[2];

	memset(r, 0, sizeof(*r));
	must(sim_new(&r->sim, &o) == 0 &&
		loop_new_sim(&r->loop, r->sim, fake_ops, FAKE_KINDS) == 0);
	fake_gate_init(&r->g, r->loop);
	must(sim_seqpacket_pair(r->sim, fds) == 0);
	peer_init(&r->p, r->sim, fds[1]);
	r->m = (struct msg_worker){.app = FAKE_APP, .generation = 1};
	to_app_on_worker(r->g.t, &r->m, fds[0]);
	for (int i = 0; i < 10 && !r->g.ups; i++) {
		if (!r->p.up)
			peer_step(&r->p);
		loop_step(r->loop, 0);
	}
	must(r->g.ups == 1);
	for (int i = 0; i < 3; i++)
		loop_step(r->loop, 0);
	atomic_store(&r->p.status->service_us, service_us);
	while (r->nreq < requests) {
		if (r->nreq + 1 == requests) {
			loop_step(r->loop, 0);
			sim_advance_us(r->sim, waited_us);
			loop_step(r->loop, 0);
		}
		r->req[r->nreq] = fake_req_new(&r->g, "GET", "/", 0);
		fake_req_start(r->req[r->nreq++]);
	}
	loop_step(r->loop, 0);
}

static void rig_done(struct rig *r)
{
	to_app_on_worker_gone(r->g.t, &r->m);
	for (unsigned i = 0; i < r->nreq; i++) {
		if (!r->req[i]->over)
			fake_req_abort(r->req[i]);
		fake_req_free(r->req[i]);
	}
	for (int i = 0; i < 3; i++)
		loop_step(r->loop, 0);
	fake_gate_done(&r->g);
	peer_done(&r->p);
	loop_free(r->loop);
	sim_free(r->sim);
}

static bool asks_to_be_woken(const struct rig *r)
{
	return atomic_load(&r->p.e.peer->sleep) % 2;
}

static void test_enough_to_do(void **state)
{
	struct rig r;
	uint64_t start;

	(void)state;
	rig_up(&r, 80, REQUESTS, WAITED_US);
	assert_false(asks_to_be_woken(&r));
	start = loop_now_us(r.loop);
	/* Nothing comes: it looks a few times, then it asks, and no turn comes by itself any more.
	 */
	for (int i = 1; i < NAPS_IN_VAIN; i++) {
		assert_false(asks_to_be_woken(&r));
		loop_step(r.loop, -1);
		/* Each is longer by what they waited in the last one. */
		assert_true(loop_now_us(r.loop) <= start + (uint64_t)i * NAP_US * 9 / 8);
	}
	assert_true(loop_now_us(r.loop) > start);
	loop_step(r.loop, 0);
	assert_true(asks_to_be_woken(&r));
	rig_done(&r);
}

/* While answers come it goes on looking, and every one of them is found without a wake-up. */
static void test_answers_come(void **state)
{
	struct rig r;
	unsigned answered = 0;

	(void)state;
	rig_up(&r, 80, REQUESTS, WAITED_US);
	for (int i = 0; i < 400 && answered < 3; i++) {
		link_awake(&r.p.e);
		peer_step(&r.p);
		assert_false(asks_to_be_woken(&r) && r.p.answered < 2);
		loop_step(r.loop, 1);
		answered = 0;
		for (unsigned k = 0; k < r.nreq; k++)
			answered += r.req[k]->over;
	}
	assert_true(answered >= 3);
	rig_done(&r);
}

static void test_not_enough(void **state)
{
	static const struct {
		uint32_t us;
		unsigned requests;
		uint64_t waited_us;
	} rows[] = {
		{80, 1, WAITED_US},          /* nobody waits behind it */
		{80, 5, WAITED_US},          /* it has them all: no queue */
		{80, REQUESTS, 160},         /* nobody waits for long */
		{0, REQUESTS, WAITED_US},    /* not known yet */
		{2, REQUESTS, WAITED_US},    /* so fast that it has them all */
		{5000, REQUESTS, WAITED_US}, /* slow: a wake-up costs nothing beside it */
		{UINT32_MAX, REQUESTS, WAITED_US},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct rig r;

		rig_up(&r, rows[i].us, rows[i].requests, rows[i].waited_us);
		assert_true(asks_to_be_woken(&r));
		rig_done(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_enough_to_do),
		cmocka_unit_test(test_answers_come),
		cmocka_unit_test(test_not_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
