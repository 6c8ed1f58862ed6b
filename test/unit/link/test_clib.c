/*
 * test_clib.c: the real handler of the gate with an app in C on libstead.so: from end to end,
 * without HTTP.
 *
 * Arguments: the app (capp.c), the folder with file.txt. The app is started as the parent does it:
 * with the channel that brings links, told by STEAD_LINK_FD. What it has to complain of stands on
 * its stderr.
 */
#include "lib/chan.h"
#include "link/link.h"
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static char **args;

/* Of the one app that runs: the way by which links come, its stderr and what it said there. */
static struct {
	int channel, errors;
	char said[4096];
} app;

static void spawn(struct rig *r, const char *how, const char *threads)
{
	int channel[2], errors[2];

	must(sys_socketpair_seqpacket(channel) == 0 && pipe2(errors, O_CLOEXEC) == 0);
	r->pid = fork();
	if (!r->pid) {
		/* A test that fails leaves no app behind. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(errors[1], 2);
		if (channel[1] != 3)
			dup2(channel[1], 3);
		else
			fcntl(3, F_SETFD, 0);
		setenv("STEAD_LINK_FD", "3", 1);
		setenv("STEAD_THREADS", threads, 1);
		if (chdir(args[2]) == 0)
			execl(args[1], args[1], how, (char *)NULL);
		_exit(127);
	}
	close(channel[1]);
	close(errors[1]);
	app.channel = channel[0];
	app.errors = errors[0];
}

/* One more gate's link, as the parent hands it over. */
static void link_up(struct rig *r)
{
	struct msg_hello hello = {.min = MSG_MAJOR_MIN, .max = MSG_MAJOR_MAX, .role = PROC_PARENT};
	int fd;

	fd = rig_link(r);
	must(chan_send_blocking(
		     app.channel, MSG_HELLO, 0, &hello, sizeof(hello), NULL, 0, NULL, 0) == 0);
	must(chan_send_blocking(app.channel, MSG_LINK, 0, &r->m, sizeof(r->m), NULL, 0, &fd, 1) ==
		0);
	close(fd);
}

static void rig_up(struct rig *r, const char *how, const char *threads)
{
	rig_begin(r);
	spawn(r, how, threads);
	link_up(r);
}

/* The app's end; app.said is what it said. */
static int rig_wait(struct rig *r)
{
	size_t at = 0;
	ssize_t n;
	int status;

	while ((n = read(app.errors, app.said + at, sizeof(app.said) - 1 - at)) > 0)
		at += (size_t)n;
	app.said[at] = 0;
	waitpid(r->pid, &status, 0);
	close(app.errors);
	close(app.channel);
	return status;
}

static int rig_end(struct rig *r)
{
	int status;

	kill(r->pid, SIGTERM);
	status = rig_wait(r);
	rig_finish(r);
	return status;
}

static void test_answers(void **state)
{
	struct rig r;
	struct fake_req *f;

	(void)state;
	rig_up(&r, "block", "1");
	expect(&r, "/hello", 200, "Hello, world!\n");
	assert_int_equal(r.g.ups, 1);
	f = get(&r, "GET", "/status");
	assert_int_equal(f->r.status, 418);
	assert_string_equal(buf_str(&f->body), "tea");
	assert_int_equal(f->length, 3);
	assert_non_null(strstr(f->head, "X-Kept: yes"));
	assert_null(strstr(f->head, "X-Gone"));
	fake_req_free(f);
	f = get(&r, "GET", "/pieces");
	assert_string_equal(buf_str(&f->body), "one two three");
	assert_int_equal(f->length, -1);
	fake_req_free(f);
	expect(&r, "/empty", 204, "");
	expect(&r, "/default", 200, "");
	expect_fail(&r, "/nothing", CLOSE_APP_ERROR);
	expect_fail(&r, "/fail", CLOSE_APP_ERROR);
	expect_fail(&r, "/fail-late", CLOSE_APP_ERROR);
	expect_fail(&r, "/short", CLOSE_APP_ERROR);
	expect(&r, "/file", 200, "file contents\n");
	expect(&r, "/file-part", 200, "contents");
	expect(&r, "/file-none", 200, "no such file");
	expect(&r, "/fork", 200, "child 7");
	expect(&r, "/large-head", 200, "large");
	f = get(&r, "HEAD", "/hello");
	assert_int_equal(f->r.status, 200);
	assert_int_equal(f->body.len, 0);
	assert_int_equal(f->length, 14);
	fake_req_free(f);
	f = get(&r, "HEAD", "/big");
	assert_int_equal(f->body.len, 0);
	fake_req_free(f);
	f = get(&r, "HEAD", "/file");
	assert_int_equal(f->length, 14);
	fake_req_free(f);
	f = get(&r, "GET", "/big");
	assert_int_equal(f->body.len, 3000000);
	fake_req_free(f);
	expect(&r, "/hello", 200, "Hello, world!\n");
	assert_int_equal(r.g.bads, 0);
	assert_int_equal(rig_end(&r), 0);
	assert_string_equal(app.said, "");
}

static void test_misuse(void **state)
{
	struct rig r;
	struct fake_req *f;

	(void)state;
	rig_up(&r, "block", "1");
	f = get(&r, "GET", "/misuse");
	assert_int_equal(f->fails, 0);
	assert_int_equal(f->body.len, 400);
	fake_req_free(f);
	expect(&r, "/hello", 200, "Hello, world!\n");
	assert_int_equal(rig_end(&r), 0);
	assert_string_equal(app.said, "");
}

static void test_fields(void **state)
{
	struct rig r;
	struct fake_req *f;

	(void)state;
	rig_up(&r, "block", "1");
	f = fake_req_new(&r.g, "POST", "/fields", 3);
	fake_req_field(f, "x-one", "1");
	fake_req_field(f, "x-one", "2");
	fake_req_field(f, "a_b", "left out");
	fake_req_field(f, "content-type", "text/x");
	fake_req_start(f);
	fake_req_body(f, "abc", 3, true);
	wait_over(&r, f);
	assert_int_equal(f->fails, 0);
	assert_string_equal(buf_str(&f->body),
		"content-length=3\nx-one=1, 2\ncontent-type=text/x\n"
		"POST /fields /fields ? http localhost 8080 127.0.0.1 0 HTTP/1.1 id 32\n"
		"1, 2 none ");
	fake_req_free(f);
	expect(&r, "/log", 200, "logged");
	assert_int_equal(rig_end(&r), 0);
	assert_int_equal(app.said[0], '[');
	assert_string_equal(app.said + 33, "] a line of two\n");
}

static void test_bodies(const char *how)
{
	static char bytes[50000];
	struct rig r;

	rig_up(&r, how, "1");
	memset(bytes, 'e', sizeof(bytes));
	/* Chunked (-1) and with a length, in pieces as the client's window opens. */
	for (int chunked = 0; chunked < 2; chunked++) {
		struct fake_req *f = fake_req_new(&r.g, "POST", "/echo", chunked ? -1 : 1000000);
		size_t sent = 0;

		fake_req_start(f);
		for (int i = 0; i < 20000 && !f->over; i++) {
			if (sent < 1000000 && sent - f->consumed <= 14000) {
				sent += 50000;
				fake_req_body(f, bytes, sizeof(bytes), sent == 1000000);
			}
			loop_step(r.loop, 10);
		}
		assert_true(f->over);
		assert_int_equal(f->fails, 0);
		assert_int_equal(f->body.len, 1000000);
		fake_req_free(f);
	}
	assert_int_equal(rig_end(&r), 0);
	assert_string_equal(app.said, "");
}

static void test_body_blocking(void **state)
{
	(void)state;
	test_bodies("block");
}

static void test_body_loop(void **state)
{
	(void)state;
	test_bodies("loop");
}

static void test_slow_client(void **state)
{
	struct rig r;
	struct fake_req *f;

	(void)state;
	rig_up(&r, "block", "1");
	f = fake_req_new(&r.g, "GET", "/big", 0);
	f->room = 1000;
	fake_req_start(f);
	for (int i = 0; i < 300; i++)
		loop_step(r.loop, 1);
	assert_false(f->over);
	assert_in_range(f->body.len, 1000, 1000);
	assert_in_range(r.g.budget_used, 1, LINK_WINDOW);
	for (int i = 0; i < 5000 && !f->over; i++) {
		if (!f->room)
			fake_req_room(f, 5000);
		loop_step(r.loop, 5);
	}
	assert_true(f->over);
	assert_int_equal(f->body.len, 3000000);
	fake_req_free(f);
	/* One that goes away in the middle is told, and the app serves on. */
	f = fake_req_new(&r.g, "GET", "/endless", 0);
	fake_req_start(f);
	for (int i = 0; i < 50; i++)
		loop_step(r.loop, 1);
	fake_req_abort(f);
	fake_req_free(f);
	expect(&r, "/hello", 200, "Hello, world!\n");
	assert_int_equal(rig_end(&r), 0);
	assert_string_equal(app.said, "");
}

static void test_threads(void **state)
{
	struct fake_req *f[20];
	struct rig r;

	(void)state;
	rig_up(&r, "threads", "4");
	expect(&r, "/hello", 200, "Hello, world!\n");
	/* Four meet at a barrier: only four at once can pass it. */
	for (int i = 0; i < 20; i++) {
		f[i] = fake_req_new(&r.g, "GET", "/barrier", 0);
		fake_req_start(f[i]);
	}
	for (int i = 0; i < 20; i++) {
		wait_over(&r, f[i]);
		assert_int_equal(f[i]->fails, 0);
		assert_string_equal(buf_str(&f[i]->body), "met");
		fake_req_free(f[i]);
	}
	assert_int_equal(rig_end(&r), 0);
	assert_string_equal(app.said, "");
}

/* Seven requests wait in one thread until an eighth lets them go: all are open at once. */
static void test_loop(void **state)
{
	struct fake_req *f[8];
	struct rig r;

	(void)state;
	rig_up(&r, "loop", "1");
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 8; i++) {
			f[i] = fake_req_new(&r.g, "GET", i < 7 ? "/wait" : "/go", 0);
			fake_req_start(f[i]);
			/* Sometimes the app has gone to sleep in between, sometimes not. */
			for (int k = 0; k < round * 3; k++)
				loop_step(r.loop, 1);
		}
		for (int i = 0; i < 8; i++) {
			wait_over(&r, f[i]);
			assert_int_equal(f[i]->fails, 0);
			assert_string_equal(buf_str(&f[i]->body), i < 7 ? "gone" : "go");
			fake_req_free(f[i]);
		}
	}
	assert_int_equal(rig_end(&r), 0);
	assert_string_equal(app.said, "");
}

static void test_death(void **state)
{
	struct rig r;
	struct fake_req *f;

	(void)state;
	rig_up(&r, "block", "1");
	expect(&r, "/hello", 200, "Hello, world!\n");
	f = fake_req_new(&r.g, "POST", "/die", 0);
	fake_req_start(f);
	wait_over(&r, f);
	assert_int_equal(f->failed, CLOSE_APP_DIED);
	fake_req_free(f);
	assert_int_equal(WTERMSIG(rig_wait(&r)), SIGABRT);
	/* The next one serves. */
	spawn(&r, "block", "1");
	link_up(&r);
	expect(&r, "/hello", 200, "Hello, world!\n");
	assert_int_equal(rig_end(&r), 0);
}

/* stead itself goes away: the app's loop ends, nobody waits for ever. */
static void test_parent_gone(void **state)
{
	static const char *const how[] = {"block", "loop"};
	struct rig r;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(how); i++) {
		rig_up(&r, how[i], "1");
		expect(&r, "/hello", 200, i ? "" : "Hello, world!\n");
		close(app.channel);
		app.channel = -1;
		assert_int_equal(rig_wait(&r), 0);
		to_app_on_worker_gone(r.g.t, &r.m);
		loop_step(r.loop, 0);
		fake_gate_done(&r.g);
		loop_free(r.loop);
	}
}

/* Not started by stead. */
static void test_alone(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		close(2);
		execl(args[1], args[1], (char *)NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(WEXITSTATUS(status), 2);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_misuse),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_body_blocking),
		cmocka_unit_test(test_body_loop),
		cmocka_unit_test(test_slow_client),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_death),
		cmocka_unit_test(test_parent_gone),
		cmocka_unit_test(test_alone),
	};

	must(argc == 3);
	args = argv;
	args[1] = realpath(argv[1], NULL); /* the app is started in another folder */
	must(args[1] != NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
