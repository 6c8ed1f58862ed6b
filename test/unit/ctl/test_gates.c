/*
 * test_gates.c: ctl tells how many gates there shall be, and says why one does not come up.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"

static void gate_state(struct ctl *c, uint32_t index, uint32_t unready, uint32_t err, int status)
{
	struct msg_proc_state st = {.role = PROC_GATE,
		.index = index,
		.generation = 10 + index,
		.phase = PHASE_BACKOFF,
		.unready = unready,
		.spawn_err = err,
		.status = status};

	memcpy(st.spawn_step, "root folder", err ? 12 : 0);
	procs_heard(c, &st);
}

static void end_of_up(struct rig *r, int fd, const char *error, const char *todo)
{
	json_t *o = rig_line(r, fd);

	while (o && !json_object_get(o, "error")) {
		json_decref(o);
		o = rig_line(r, fd);
	}
	assert_non_null(o);
	assert_non_null(strstr(json_string_value(json_object_get(o, "error")), error));
	assert_non_null(strstr(json_string_value(json_object_get(o, "todo")), todo));
	assert_int_equal(json_integer_value(json_object_get(o, "exit")), VERB_EXIT_FAILED);
	json_decref(o);
	rig_expect(r, MSG_SHUTDOWN);
	assert_null(r->c->up);
}

static void test_up_with_a_gate_that_cannot_start(void **state)
{
	static const struct {
		uint32_t err;
		int status;
		const char *error, *todo;
	} cases[] = {
		{EPERM, 127, "\"root folder\" failed: Operation not permitted", "may be executed"},
		{ENOENT, 127, "No such file", "install stead again"},
		{ENOMEM, 127, "memory", "ulimit"},
		{0, -11, "was ended by signal 11", "boot.log"},
		{0, 3, "exit status 3 before it was ready, 3 times", "boot.log"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig r;
		int fd;

		rig_init(&r);
		fd = rig_up(&r);
		rig_expect(&r, MSG_BIND);
		/* Twice may be the moment's; a gate that is not wanted is nobody's trouble. */
		gate_state(r.c, 0, 2, cases[i].err, cases[i].status);
		gate_state(r.c, 1, 9, cases[i].err, cases[i].status);
		assert_false(r.c->up->failing);
		gate_state(r.c, 0, 3, cases[i].err, cases[i].status);
		assert_true(r.c->up->failing);
		end_of_up(&r, fd, cases[i].error, cases[i].todo);
		close(fd);
		rig_done(&r);
	}
}

/* On its way up, and then ended by the parent, so many microseconds later. */
static void killed(struct ctl *c, enum proc role, uint32_t index, uint64_t after_us)
{
	struct msg_proc_state st = {.role = role,
		.index = index,
		.generation = 20,
		.pid = 100,
		.phase = PHASE_STARTING,
		.since_wall_us = 1000000};

	procs_heard(c, &st);
	st.phase = PHASE_STOPPING;
	st.since_wall_us += after_us;
	procs_heard(c, &st);
}

static void test_one_that_is_ended_before_it_was_ready(void **state)
{
	static const struct {
		enum proc role;
		uint64_t after_us;
		const char *error;
	} cases[] = {
		{PROC_GATE, 5001000, "Gate 0 (stead-gate) runs, and did not say that it is ready within 5 s"},
		{PROC_LOG, 4999000, "The log process (stead-log) runs, and did not say"},
		{PROC_GATE, 2000, "broke the message protocol"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig r;
		int fd;

		rig_init(&r);
		fd = rig_up(&r);
		rig_expect(&r, MSG_BIND);
		killed(r.c, PROC_GATE, 1, 5000000);
		assert_false(r.c->up->failing);
		killed(r.c, cases[i].role, 0, cases[i].after_us);
		end_of_up(&r, fd, cases[i].error, "boot.log");
		close(fd);
		rig_done(&r);
	}
}

static void test_up_with_a_gate_that_cannot_accept(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	rig_init(&r);
	up_gate_deaf(r.c, 0, EPERM, "127.0.0.1:80"); /* nobody asks */
	fd = rig_up(&r);
	rig_expect(&r, MSG_BIND);
	up_gate_deaf(r.c, 7, EMFILE, "127.0.0.1:80");
	assert_false(r.c->up->failing);
	up_gate_deaf(r.c, 0, EMFILE, "127.0.0.1:80");
	end_of_up(&r, fd, "Gate 0 (stead-gate) cannot accept connections on 127.0.0.1:80: Too many open files",
		"ulimit");
	close(fd);
	rig_done(&r);
}

static void test_gates_are_told(void **state)
{
	struct conf_app conf = {.gates = 3};
	struct msg_gates m;
	struct rig r;

	(void)state;
	rig_init(&r);
	assert_int_equal(gates_send(r.c, &conf), 0);
	rig_expect(&r, MSG_GATES);
	assert_int_equal(msg_get(&r.msg, &m, sizeof m, sizeof m), 0);
	assert_int_equal(m.count, 3);
	/* From now on all three must have the snapshot. */
	r.c->snap_generation = 7;
	r.c->gate[0].loaded = r.c->gate[1].loaded = 7;
	assert_false(sites_loaded(r.c));
	r.c->gate[2].loaded = 7;
	assert_true(sites_loaded(r.c));
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_up_with_a_gate_that_cannot_start),
		cmocka_unit_test(test_one_that_is_ended_before_it_was_ready),
		cmocka_unit_test(test_up_with_a_gate_that_cannot_accept),
		cmocka_unit_test(test_gates_are_told)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
