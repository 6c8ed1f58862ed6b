/*
 * test_follow.c: an app's next release is another app of the same name. What the old one's workers give back behind the
 * switch is the new one's: nobody waits for workers that are about to go.
 */
#include "lib/must.h"
#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

enum { REQUESTS = 3 };

struct rig {
	struct sim *sim;
	struct loop *loop;
	struct gate g;
	struct peer p[2]; /* of FAKE_APP and of OTHER_APP */
	struct msg_worker m[2];
	struct fake_req *req[REQUESTS];
};

static void steps(struct rig *r, unsigned peer)
{
	for (int i = 0; i < 40; i++) {
		link_awake(&r->p[peer].e);
		peer_step(&r->p[peer]);
		loop_step(r->loop, 0);
	}
}

/* Two workers, and requests that the old release's has and did not begin. */
static void rig_up(struct rig *r)
{
	struct sim_options o = {.seed = 3};
	int fds[2];

	memset(r, 0, sizeof(*r));
	must(sim_new(&r->sim, &o) == 0 && loop_new_sim(&r->loop, r->sim, fake_ops, FAKE_KINDS) == 0);
	fake_gate_init(&r->g, r->loop);
	for (unsigned i = 0; i < 2; i++) {
		must(sim_seqpacket_pair(r->sim, fds) == 0);
		peer_init(&r->p[i], r->sim, fds[1]);
		r->m[i] = (struct msg_worker){.app = i == 0 ? FAKE_APP : OTHER_APP, .generation = 1};
		to_app_on_worker(r->g.t, &r->m[i], fds[0]);
		for (int n = 0; n < 10 && r->g.ups <= i; n++) {
			if (!r->p[i].up)
				peer_step(&r->p[i]);
			loop_step(r->loop, 0);
		}
	}
	must(r->g.ups == 2);
	atomic_store(&r->p[0].status->service_us, 80);
	for (unsigned i = 0; i < REQUESTS; i++) {
		r->req[i] = fake_req_new(&r->g, "GET", "/", 0);
		fake_req_start(r->req[i]);
	}
	loop_step(r->loop, 0);
}

static void rig_done(struct rig *r)
{
	for (unsigned i = 0; i < 2; i++)
		to_app_on_worker_gone(r->g.t, &r->m[i]);
	for (unsigned i = 0; i < REQUESTS; i++)
		fake_req_free(r->req[i]);
	for (int i = 0; i < 3; i++)
		loop_step(r->loop, 0);
	fake_gate_done(&r->g);
	for (unsigned i = 0; i < 2; i++)
		peer_done(&r->p[i]);
	loop_free(r->loop);
	sim_free(r->sim);
}

static void answered_by_the_new_one(struct rig *r)
{
	steps(r, 1);
	assert_int_equal(r->p[1].answered, REQUESTS);
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_true(r->req[i]->over && r->req[i]->fails == 0);
}

static void test_given_back(void **state)
{
	struct rig r;

	(void)state;
	rig_up(&r);
	to_app_on_snap(r.g.t, (struct snap *)fake_snap_of_other);
	to_app_on_worker_drain(r.g.t, &r.m[0]);
	answered_by_the_new_one(&r);
	assert_int_equal(r.p[0].answered, 0);
	rig_done(&r);
}

static void test_its_worker_dies(void **state)
{
	struct rig r;

	(void)state;
	rig_up(&r);
	must(link_begin(&r.p[0].e, 0, r.req[0]->r.id));
	to_app_on_snap(r.g.t, (struct snap *)fake_snap_of_other);
	to_app_on_worker_gone(r.g.t, &r.m[0]);
	answered_by_the_new_one(&r);
	rig_done(&r);
}

/* The worker goes first, and what it had waits until the snapshot names who follows. */
static void test_the_snapshot_comes_later(void **state)
{
	struct rig r;

	(void)state;
	rig_up(&r);
	to_app_on_worker_drain(r.g.t, &r.m[0]);
	steps(&r, 1);
	assert_int_equal(r.p[1].answered, 0);
	to_app_on_snap(r.g.t, (struct snap *)fake_snap_of_other);
	answered_by_the_new_one(&r);
	rig_done(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_given_back),
		cmocka_unit_test(test_its_worker_dies),
		cmocka_unit_test(test_the_snapshot_comes_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
