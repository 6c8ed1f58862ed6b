/*
 * test_oneshot.c: running programs, their last lines, removing trees, and the conversation with
 * ctl.
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/sys.h"
#include "oneshot/oneshot.h"
#include "oneshot/run.h"
#include "oneshot/tree.h"

static const char *const env[] = {"PATH=/usr/bin:/bin", NULL};

static int sh(const char *script, unsigned timeout_ms, struct run_end *end)
{
	const char *argv[] = {"/bin/sh", "-c", script, NULL};
	struct run run = {.argv = argv, .envp = env, .timeout_ms = timeout_ms};

	return run_program(&run, end);
}

static void test_run_ends(void **state)
{
	struct run_end end;

	(void)state;
	assert_int_equal(sh("echo out; echo err >&2; exit 3", 5000, &end), 0);
	assert_int_equal(end.status, 3);
	assert_non_null(strstr(end.tail, "out\n"));
	assert_non_null(strstr(end.tail, "err\n"));
	assert_int_equal(sh("kill -9 $$", 5000, &end), 0);
	assert_int_equal(end.status, -9);
	assert_false(end.timed_out);
	assert_int_equal(
		sh("test -z \"$HOME\" && test $(ls /proc/self/fd | wc -l) -eq 4", 5000, &end), 0);
	assert_int_equal(end.status, 0);
}

static void test_run_refuses(void **state)
{
	const char *argv[] = {"/nonexistent/program", NULL};
	struct run run = {.argv = argv, .envp = env, .timeout_ms = 1000};
	struct run_end end;

	(void)state;
	assert_int_equal(run_program(&run, &end), -ENOENT);
	argv[0] = "/bin/true";
	run.cwd = "/nonexistent";
	assert_int_equal(run_program(&run, &end), -ENOENT);
}

/* A program that does not end is ended with all that it started, also what left its session. */
static void test_run_timeout(void **state)
{
	struct run_end end;
	struct timespec a, b;
	char *pid_text, *stop;
	const char *dir = rig_folder();
	char script[256];
	long pid;

	(void)state;
	(void)clock_gettime(CLOCK_MONOTONIC, &a);
	(void)snprintf(script, sizeof script, "setsid sleep 60 & echo $! >%s/pid; sleep 60", dir);
	assert_int_equal(sh(script, 200, &end), 0);
	(void)clock_gettime(CLOCK_MONOTONIC, &b);
	assert_true(end.timed_out);
	assert_true(b.tv_sec - a.tv_sec < 10);
	pid_text = rig_read(dir, "pid");
	assert_non_null(pid_text);
	pid = strtol(pid_text, &stop, 10);
	free(pid_text);
	assert_true(pid > 1);
	assert_int_equal(kill((pid_t)pid, 0), -1);
	assert_int_equal(errno, ESRCH);
	rig_remove(dir);
}

static void count_line(void *arg, const char *line)
{
	unsigned *n = arg;

	assert_int_equal(strncmp(line, "line ", 5), 0);
	++*n;
}

static void test_run_tail(void **state)
{
	const char *argv[] = {"/bin/sh", "-c",
		"i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo \"line $i\"; done; printf 'line "
		"end'",
		NULL};
	unsigned lines = 0, breaks = 0;
	struct run run = {
		.argv = argv, .envp = env, .timeout_ms = 10000, .line = count_line, .arg = &lines};
	struct run_end end;

	(void)state;
	assert_int_equal(run_program(&run, &end), 0);
	assert_int_equal(lines, 501);
	for (const char *s = end.tail; (s = strchr(s, '\n')) != NULL; s++)
		breaks++;
	assert_int_equal(breaks, RUN_TAIL_LINES);
	assert_non_null(strstr(end.tail, "line 500\nline end"));
}

static void test_tail_add(void **state)
{
	char tail[16] = "";

	(void)state;
	run_tail_add(tail, sizeof tail, "abc\n", 4);
	assert_string_equal(tail, "abc\n");
	run_tail_add(tail, sizeof tail, "0123456789\n", 11);
	assert_string_equal(tail, "abc\n0123456789\n");
	run_tail_add(tail, sizeof tail, "x", 1);
	assert_string_equal(tail, "0123456789\nx");
	run_tail_add(tail, sizeof tail, "a line far longer than the room", 31);
	assert_int_equal(strlen(tail), sizeof tail - 1);
	run_tail_add(tail, sizeof tail, "a\0b\n", 4);
	assert_non_null(strstr(tail, "a b\n"));
}

static void test_tree_remove(void **state)
{
	const char *dir = rig_folder();
	int fd = open(dir, O_RDONLY | O_DIRECTORY);

	(void)state;
	assert_int_equal(mkdirat(fd, "a", 0700), 0);
	assert_int_equal(mkdirat(fd, "a/b", 0700), 0);
	assert_int_equal(mkdirat(fd, "outside", 0700), 0);
	rig_write(dir, "outside/kept", "x", 0600);
	rig_write(dir, "a/b/file", "x", 0400);
	assert_int_equal(symlinkat("../../outside", fd, "a/b/link"), 0);
	assert_int_equal(fchmodat(fd, "a/b", 0500, 0), 0);
	assert_int_equal(tree_remove(fd, "a"), 0);
	assert_int_equal(faccessat(fd, "a", F_OK, 0), -1);
	assert_int_equal(faccessat(fd, "outside/kept", F_OK, 0), 0);
	assert_int_equal(tree_remove(fd, "a"), 0);
	assert_int_equal(tree_empty(fd), 0);
	assert_int_equal(rmdir(dir), 0);
	close(fd);
}

static void test_failure_first_stays(void **state)
{
	struct failure f = {0};

	(void)state;
	assert_int_equal(failure_set(&f, ENOENT, EXIT_CODE_USAGE, "do", "first %d", 1), -ENOENT);
	assert_int_equal(failure_set(&f, EIO, EXIT_CODE_BUSY, "else", "second"), -ENOENT);
	assert_string_equal(f.text, "first 1");
	assert_string_equal(f.todo, "do");
	assert_int_equal(f.exit_code, EXIT_CODE_USAGE);
}

static void say(int fd, uint16_t type, uint64_t id, const void *p, size_t n)
{
	assert_int_equal(chan_send_blocking(fd, type, id, p, n, NULL, 0, NULL, 0), 0);
}

static void test_conversation(void **state)
{
	struct msg_hello hello = {.min = 1, .max = 1, .role = PROC_CTL};
	struct failure f = {0};
	static char mem[CHAN_PAYLOAD_MAX];
	struct oneshot o;
	struct msg_end end;
	struct unpack u;
	struct msg m;
	const char *tail;
	size_t n;
	int pair[2];

	(void)state;
	assert_int_equal(sys_socketpair_seqpacket(pair), 0);
	say(pair[0], MSG_HELLO, 0, &hello, sizeof hello);
	say(pair[0], MSG_BUILD_ASK, 42, "x", 1);
	assert_int_equal(oneshot_open(&o, pair[1], PROC_BUILD), 0);
	assert_int_equal(oneshot_receive(&o, MSG_BUILD_ASK), 0);
	oneshot_step(&o, 500, "half %d", 1);
	(void)failure_set(&f, ENOSPC, EXIT_CODE_FAILED, "todo", "text");
	assert_int_equal(oneshot_end(&o, MSG_BUILD_END, &f, "result"), 0);
	assert_int_equal(chan_recv_blocking(pair[0], &m, mem), 0);
	assert_int_equal(m.h.type, MSG_HELLO);
	assert_int_equal(chan_recv_blocking(pair[0], &m, mem), 0);
	assert_int_equal(m.h.type, MSG_DB_STEP);
	assert_int_equal(m.h.id, 42);
	assert_int_equal(chan_recv_blocking(pair[0], &m, mem), 0);
	assert_int_equal(m.h.type, MSG_BUILD_END);
	assert_int_equal(msg_get(&m, &end, sizeof end, sizeof end), 0);
	assert_int_equal(end.err, ENOSPC);
	tail = msg_tail(&m, sizeof end, &n);
	unpack_init(&u, tail, n);
	assert_string_equal(unpack_str(&u), "text");
	assert_string_equal(unpack_str(&u), "todo");
	assert_string_equal(unpack_str(&u), "result");
	assert_true(unpack_done(&u));
	oneshot_close(&o);
	close(pair[0]);
}

/* What is not the expected question ends the conversation. */
static void test_conversation_refused(void **state)
{
	struct msg_hello hello = {.min = 1, .max = 1, .role = PROC_CTL};
	struct msg_hello newer = {.min = 9, .max = 9, .role = PROC_CTL};
	struct oneshot o;
	int pair[2];

	(void)state;
	assert_int_equal(sys_socketpair_seqpacket(pair), 0);
	say(pair[0], MSG_HELLO, 0, &hello, sizeof hello);
	say(pair[0], MSG_ACT_ASK, 1, "xxxx", 4);
	assert_int_equal(oneshot_open(&o, pair[1], PROC_BUILD), 0);
	assert_int_equal(oneshot_receive(&o, MSG_BUILD_ASK), -EPROTO);
	oneshot_close(&o);
	close(pair[0]);

	assert_int_equal(sys_socketpair_seqpacket(pair), 0);
	say(pair[0], MSG_HELLO, 0, &newer, sizeof newer);
	assert_int_equal(oneshot_open(&o, pair[1], PROC_BUILD), -EPROTO);
	oneshot_close(&o);
	close(pair[0]);

	assert_int_equal(sys_socketpair_seqpacket(pair), 0);
	close(pair[0]);
	assert_true(oneshot_open(&o, pair[1], PROC_BUILD) < 0);
	oneshot_close(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_run_ends),
		cmocka_unit_test(test_run_refuses), cmocka_unit_test(test_run_timeout),
		cmocka_unit_test(test_run_tail), cmocka_unit_test(test_tail_add),
		cmocka_unit_test(test_tree_remove), cmocka_unit_test(test_failure_first_stays),
		cmocka_unit_test(test_conversation), cmocka_unit_test(test_conversation_refused)};

	(void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
