/*
 * test_wsgi.c: the real handler of the gate with a real Python worker: WSGI from end to end,
 * without HTTP.
 *
 * Arguments: the interpreter, the worker's script, the extension's folder, the folder with
 * wsgi_app.py. STEAD_BENCH=N measures N requests at 1, 8 and 64 at a time instead of testing.
 */
#include "link/link.h"
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char **args;

static pid_t spawn(const char *object, const char *threads, int link_fd)
{
	char fd[16];
	pid_t pid = fork();

	if (pid)
		return pid;
	/* A test that fails leaves no worker behind. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(fd, sizeof(fd), "%d", link_fd);
	fcntl(link_fd, F_SETFD, 0);
	setenv("STEAD_LINK_DIR", args[3], 1);
	setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
	if (chdir(args[4]) == 0)
		execl(args[1], args[1], args[2], "--wsgi", object, "--threads", threads,
			"--parent-fd", "-1", "--link-fd", fd, (char *)NULL);
	_exit(127);
}

static void rig_worker(struct rig *r, const char *object, const char *threads)
{
	int fd = rig_link(r);

	r->pid = spawn(object, threads, fd);
	close(fd);
}

static void rig_up(struct rig *r, const char *object, const char *threads)
{
	rig_begin(r);
	rig_worker(r, object, threads);
}

static int rig_end(struct rig *r)
{
	int status;

	kill(r->pid, SIGTERM);
	waitpid(r->pid, &status, 0);
	rig_finish(r);
	return status;
}

static void test_answers(void **state)
{
	struct rig r;
	struct fake_req *f;

	(void)state;
	rig_up(&r, "wsgi_app:app", "1");
	expect(&r, "/hello", 200, "Hello");
	assert_int_equal(r.g.ups, 1);
	expect(&r, "/environ?", 200, "ok");
	expect(&r, "/pieces", 200, "one two three");
	expect(&r, "/write", 200, "written returned");
	expect(&r, "/closed", 200, "closed 1");
	expect(&r, "/exc_info", 500, "replaced");
	expect(&r, "/validate", 200, "valid");
	expect(&r, "/file", 200, "file contents\n");
	expect(&r, "/file-like", 200, "like contents");
	expect(&r, "/file-offset", 200, "contents\n");
	expect(&r, "/late", 200, "");
	expect_fail(&r, "/raise", CLOSE_APP_ERROR);
	expect_fail(&r, "/raise-late", CLOSE_APP_ERROR);
	expect_fail(&r, "/exc_info-late", CLOSE_APP_ERROR);
	expect_fail(&r, "/twice", CLOSE_APP_ERROR);
	expect_fail(&r, "/no-start", CLOSE_APP_ERROR);
	expect_fail(&r, "/bad-header", CLOSE_APP_ERROR);
	expect_fail(&r, "/not-bytes", CLOSE_APP_ERROR);
	expect_fail(&r, "/exit", CLOSE_APP_ERROR);
	expect_fail(&r, "/short", CLOSE_APP_SHORT);
	expect(&r, "/long", 200, "1234");
	expect(&r, "/exact", 200, "abcdef");
	expect(&r, "/ran", 200, "behind,closed");
	expect(&r, "/beyond", 200, "abcdef");
	expect(&r, "/ran", 200, "behind,closed");
	f = get(&r, "HEAD", "/exact");
	assert_int_equal(f->r.status, 200);
	fake_req_free(f);
	expect(&r, "/ran", 200, "behind,closed");
	f = get(&r, "HEAD", "/hello");
	assert_int_equal(f->r.status, 200);
	assert_int_equal(f->body.len, 0);
	fake_req_free(f);
	f = get(&r, "GET", "/big");
	assert_int_equal(f->body.len, 3000000);
	fake_req_free(f);
	expect(&r, "/hello", 200, "Hello");
	assert_int_equal(r.g.bads, 0);
	assert_int_equal(rig_end(&r), 0);
}

static void test_bodies(void **state)
{
	static const char *const paths[] = {"/sum", "/sum-lines", "/sum-iter", "/sum-some"};
	static char bytes[50000];
	struct rig r;

	(void)state;
	rig_up(&r, "wsgi_app:app", "1");
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i % 97 ? 'a' + i % 23 : '\n');
	for (unsigned k = 0; k < ARRAY_LEN(paths); k++) {
		/* Chunked (-1) and with a length, in pieces as the client's window opens. */
		for (int chunked = 0; chunked < 2; chunked++) {
			struct fake_req *f =
				fake_req_new(&r.g, "POST", paths[k], chunked ? -1 : 1000000);
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
			assert_string_equal(buf_str(&f->body), "1000000");
			fake_req_free(f);
		}
	}
	assert_int_equal(rig_end(&r), 0);
}

static void test_slow_client(void **state)
{
	struct rig r;
	struct fake_req *f;

	(void)state;
	rig_up(&r, "wsgi_app:app", "1");
	f = fake_req_new(&r.g, "GET", "/big", 0);
	f->room = 1000;
	fake_req_start(f);
	for (int i = 0; i < 300; i++)
		loop_step(r.loop, 1);
	assert_false(f->over);
	assert_in_range(f->body.len, 1000, 1000);
	/* What waits is bounded by the window. */
	assert_in_range(r.g.budget_used, 1, LINK_WINDOW);
	for (int i = 0; i < 5000 && !f->over; i++) {
		if (!f->room)
			fake_req_room(f, 5000);
		loop_step(r.loop, 5);
	}
	assert_true(f->over);
	assert_int_equal(f->body.len, 3000000);
	fake_req_free(f);
	/* One that goes away in the middle: the app's iterable is closed, and the worker serves on.
	 */
	f = fake_req_new(&r.g, "GET", "/endless", 0);
	fake_req_start(f);
	for (int i = 0; i < 50; i++)
		loop_step(r.loop, 1);
	fake_req_abort(f);
	fake_req_free(f);
	expect(&r, "/closed", 200, "closed 1");
	assert_int_equal(rig_end(&r), 0);
}

static void test_death(void **state)
{
	struct rig r;
	struct fake_req *f;
	int status;

	(void)state;
	rig_up(&r, "wsgi_app:app", "1");
	expect(&r, "/hello", 200, "Hello");
	f = fake_req_new(&r.g, "GET", "/die", 0);
	fake_req_start(f);
	for (int i = 0; i < 2000 && !r.g.bads; i++)
		loop_step(r.loop, 10);
	assert_int_equal(r.g.bads, 1);
	waitpid(r.pid, &status, 0);
	assert_false(f->over);
	/* Given once more to the next worker, which dies of it as well: then it is answered. */
	rig_worker(&r, "wsgi_app:app", "1");
	wait_over(&r, f);
	assert_int_equal(f->failed, CLOSE_APP_DIED);
	fake_req_free(f);
	waitpid(r.pid, &status, 0);
	rig_worker(&r, "wsgi_app:app", "1");
	f = fake_req_new(&r.g, "POST", "/die", 0);
	fake_req_start(f);
	wait_over(&r, f);
	assert_int_equal(f->failed, CLOSE_APP_DIED);
	fake_req_free(f);
	(void)rig_end(&r);
}

static void test_deadline(void **state)
{
	struct rig r;
	struct fake_req *f;
	int status;

	(void)state;
	rig_up(&r, "wsgi_app:app", "1");
	expect(&r, "/hello", 200, "Hello");
	r.g.route.request_timeout_ms = 200;
	expect_fail(&r, "/sleep", CLOSE_APP_TIMEOUT);
	assert_int_equal(r.g.stucks, 1);
	/* Nothing more is given to it. */
	r.g.site.queue_timeout_ms = 50;
	expect_fail(&r, "/hello", CLOSE_QUEUE_TIMEOUT);
	r.g.site.queue = 0;
	f = fake_req_new(&r.g, "GET", "/hello", 0);
	fake_req_start(f);
	assert_int_equal(f->failed, CLOSE_QUEUE_FULL);
	fake_req_free(f);
	kill(r.pid, SIGKILL);
	waitpid(r.pid, &status, 0);
	to_app_on_worker_gone(r.g.t, &r.m);
	loop_step(r.loop, 0);
	fake_gate_done(&r.g);
	loop_free(r.loop);
}

static void test_threads(void **state)
{
	struct fake_req *f[20];
	struct rig r;

	(void)state;
	rig_up(&r, "wsgi_app:make()", "4");
	expect(&r, "/hello", 200, "Hello");
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
}

/* Each signal is heard at once, also one that comes while the threads go to sleep: they sleep until then. */
static void test_signals(void **state)
{
	struct fake_req *f[4];
	int heard[2];
	char fd[16], byte;
	struct rig r;

	(void)state;
	assert_int_equal(pipe(heard), 0);
	snprintf(fd, sizeof(fd), "%d", heard[1]);
	setenv("HEARD_FD", fd, 1);
	rig_up(&r, "wsgi_app:hears()", "4");
	unsetenv("HEARD_FD");
	expect(&r, "/hello", 200, "Hello");
	for (int i = 0; i < 1500; i++) {
		struct pollfd p = {.fd = heard[0], .events = POLLIN};

		for (unsigned k = 0; k < ARRAY_LEN(f); k++) {
			f[k] = fake_req_new(&r.g, "GET", "/hello", 0);
			fake_req_start(f[k]);
		}
		for (unsigned k = 0; k < ARRAY_LEN(f); k++) {
			wait_over(&r, f[k]);
			fake_req_free(f[k]);
		}
		assert_int_equal(kill(r.pid, SIGUSR2), 0);
		assert_int_equal(poll(&p, 1, 10000), 1);
		assert_int_equal(read(heard[0], &byte, 1), 1);
	}
	close(heard[0]);
	close(heard[1]);
	assert_int_equal(rig_end(&r), 0);
}

static void test_fork(void **state)
{
	struct rig r;

	(void)state;
	rig_up(&r, "wsgi_app:app", "1");
	expect(&r, "/fork", 200, "child 7");
	expect(&r, "/hello", 200, "Hello");
	assert_int_equal(r.g.bads, 0);
	assert_int_equal(rig_end(&r), 0);
}

static double cpu_us(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static double worker_us(pid_t pid)
{
	unsigned long u = 0, s = 0;
	char path[64], line[1024], *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
	f = fopen(path, "r");
	if (f && fgets(line, sizeof(line), f)) {
		u = strtoul(line, &p, 10);
		(void)s;
	}
	if (f)
		fclose(f);
	return (double)u / 1000;
}

static void bench(unsigned n, unsigned at_once)
{
	struct fake_req *f[64];
	struct rig r;
	double gate, worker;
	uint64_t t0;
	unsigned done = 0;

	rig_up(&r, "wsgi_app:hello", "1");
	fake_req_free(get(&r, "GET", "/hello"));
	gate = cpu_us(RUSAGE_SELF);
	worker = worker_us(r.pid);
	t0 = loop_now_fresh_us(r.loop);
	memset(f, 0, sizeof(f));
	while (done < n) {
		for (unsigned i = 0; i < at_once; i++) {
			if (f[i] && !f[i]->over)
				continue;
			if (f[i]) {
				fake_req_free(f[i]);
				done++;
			}
			f[i] = fake_req_new(&r.g, "GET", "/hello", 0);
			fake_req_field(f[i], "host", "localhost:8080");
			fake_req_field(f[i], "user-agent", "Mozilla/5.0 (X11; Linux x86_64)");
			fake_req_field(f[i], "accept", "text/html,application/xhtml+xml");
			fake_req_field(f[i], "connection", "keep-alive");
			fake_req_start(f[i]);
		}
		loop_step(r.loop, 1000);
	}
	t0 = loop_now_fresh_us(r.loop) - t0;
	printf("%2u at once: gate %.2f us, worker %.2f us, %.0f requests/s\n", at_once,
		(cpu_us(RUSAGE_SELF) - gate) / n, (worker_us(r.pid) - worker) / n,
		(double)n * 1e6 / (double)t0);
	for (unsigned i = 0; i < at_once; i++) {
		wait_over(&r, f[i]);
		fake_req_free(f[i]);
	}
	(void)rig_end(&r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_slow_client),
		cmocka_unit_test(test_death),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_fork),
	};
	const char *n = getenv("STEAD_BENCH");

	if (argc != 5)
		return 2;
	args = argv;
	if (n) {
		unsigned count = (unsigned)strtoul(n, NULL, 10);

		bench(count, 1);
		bench(count, 8);
		bench(count, 64);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
