/*
 * test_turn.c: for how long a deploy may hold the turn of everybody (ctl/deploy_turn.c), with the test as the parent.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "deploy.h"
#include "rig.h"

/* Its next line is the end: the status, and a part of why. */
static void expect_end(struct rig *r, int fd, json_int_t code, const char *why)
{
	json_t *o = rig_line(r, fd);

	while (strcmp(json_string_value(json_object_get(o, "event")), "end") != 0) {
		json_decref(o);
		o = rig_line(r, fd);
	}
	assert_int_equal(json_integer_value(json_object_get(o, "exit")), code);
	assert_non_null(strstr(json_string_value(json_object_get(o, "error")), why));
	json_decref(o);
}

/* A deploy that waits for its folder; its client. */
static int deploys(struct rig *r, const char *app)
{
	char text[100];
	int fd = rig_connect(r);
	json_t *o = NULL;

	/* What the one before it left is being taken away, by a process that the test as the parent does not start. */
	r->c->sweep.left = false;
	(void)snprintf(text, sizeof text, "{\"verb\":\"deploy\",\"app\":\"%s\",\"folder\":\"/srv\"}\n", app);
	rig_ask(fd, text);
	do {
		json_decref(o);
		o = rig_line(r, fd);
	} while (strcmp(json_string_value(json_object_get(o, "event")), "send") != 0);
	json_decref(o);
	return fd;
}

static void pass(struct rig *r, uint64_t seconds)
{
	struct up *u = r->c->up;

	u->started_us -= seconds * 1000000;
	u->deploy->asked_us -= seconds * 1000000;
	up_on_timer(r->c->loop, &u->timer.op, 0);
}

/* Nobody keeps everybody else from theirs by a deploy that does not go on. */
static void test_a_deploy_that_holds_the_turn(void **state)
{
	struct rig r;
	int fd, other;

	(void)state;
	rig_init(&r);
	assert_int_equal(control_open(r.c), 0);
	r.c->live_us = 1;
	fd = deploys(&r, "shop");
	pass(&r, 29);
	assert_false(r.c->up->failing);
	pass(&r, 2);
	expect_end(&r, fd, VERB_EXIT_FAILED, "did not begin within 30 seconds");
	close(fd);
	/* The folder comes; then a deployer has ten minutes once others wait, and an operator has all the time. */
	for (int deployers = 0; deployers < 2; deployers++) {
		fd = deploys(&r, "shop");
		r.c->up->deploy->receives = false;
		r.c->up->deploy->deployers = deployers;
		pass(&r, 601);
		assert_false(r.c->up->failing);
		other = rig_connect(&r);
		rig_ask(other, "{\"verb\":\"reload\"}\n");
		expect_end(&r, other, VERB_EXIT_BUSY, "under way");
		close(other);
		pass(&r, 0);
		assert_int_equal(r.c->up->failing, deployers);
		if (!deployers)
			pass(&r, 25 * 60);
		expect_end(&r, fd, deployers ? VERB_EXIT_BUSY : VERB_EXIT_FAILED, deployers ? "others wait" : "25 minutes");
		close(fd);
	}
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_deploy_that_holds_the_turn)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
