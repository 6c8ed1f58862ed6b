/*
 * rig.h: the real handler of the gate before one app, a process, for the tests of apps' ends. Who
 * includes it starts the app, and sees its end.
 */
#ifndef STEAD_TEST_LINK_RIG_H
#define STEAD_TEST_LINK_RIG_H

#include "fake_gate.h"
#include "lib/must.h"
#include "lib/sys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>
#include <unistd.h>

struct rig {
	struct gate g;
	struct loop *loop;
	struct msg_worker m;
	pid_t pid;
};

static inline void rig_begin(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	must(loop_new_epoll(&r->loop, fake_ops, FAKE_KINDS) == 0);
	fake_gate_init(&r->g, r->loop);
}

/* A new link: the gate has one end, and the other is returned, for the worker. */
static inline int rig_link(struct rig *r)
{
	int fds[2];

	must(sys_socketpair_seqpacket(fds) == 0);
	r->m.app = FAKE_APP;
	r->m.generation++;
	to_app_on_worker(r->g.t, &r->m, fds[0]);
	return fds[1];
}

static inline void rig_finish(struct rig *r)
{
	to_app_on_worker_gone(r->g.t, &r->m);
	loop_step(r->loop, 0);
	fake_gate_done(&r->g);
	loop_free(r->loop);
}

static inline void wait_over(struct rig *r, struct fake_req *f)
{
	for (int i = 0; i < 2000 && !f->over; i++)
		loop_step(r->loop, 10);
	assert_true(f->over);
}

static inline struct fake_req *get(struct rig *r, const char *method, const char *path)
{
	struct fake_req *f = fake_req_new(&r->g, method, path, 0);

	fake_req_start(f);
	wait_over(r, f);
	return f;
}

static inline void expect(struct rig *r, const char *path, unsigned status, const char *body)
{
	struct fake_req *f = get(r, "GET", path);

	assert_int_equal(f->fails, 0);
	assert_int_equal(f->r.status, status);
	assert_string_equal(buf_str(&f->body), body);
	fake_req_free(f);
}

static inline void expect_fail(struct rig *r, const char *path, enum close_id why)
{
	struct fake_req *f = get(r, "GET", path);

	assert_int_equal(f->fails, 1);
	assert_int_equal(f->failed, why);
	fake_req_free(f);
}

#endif
