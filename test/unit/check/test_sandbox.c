/*
 * test_sandbox.c: what the child that parses untrusted text can still do, and what kills it.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "check.h"

/* How a child ends that enters the sandbox and then does this. */
static int end_of(void (*what)(int out))
{
	int status, fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
		if (sandbox_enter() < 0)
			_exit(9);
		what(fds[1]);
		_exit(0);
	}
	(void)close(fds[0]);
	(void)close(fds[1]);
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void computes(int out)
{
	char *big = malloc(8 * 1024 * 1024);

	(void)out;
	if (big == NULL)
		_exit(8);
	memset(big, 1, 8 * 1024 * 1024);
	big = realloc(big, 16 * 1024 * 1024);
	free(big);
}

static void opens(int out)
{
	(void)out;
	(void)open("/etc/passwd", O_RDONLY);
}

static void connects(int out)
{
	(void)out;
	(void)socket(AF_INET, SOCK_STREAM, 0);
}

static void starts(int out)
{
	(void)out;
	(void)execl("/bin/true", "true", (char *)NULL);
}

static void forks(int out)
{
	(void)out;
	(void)fork();
}

static void kills(int out)
{
	(void)out;
	(void)kill(getppid(), SIGTERM);
}

static void sandboxed(void **state)
{
	(void)state;
	assert_int_equal(end_of(computes), 0);
#ifndef WITHOUT_SANDBOX
	assert_int_equal(end_of(opens), -SIGSYS);
	assert_int_equal(end_of(connects), -SIGSYS);
	assert_int_equal(end_of(starts), -SIGSYS);
	assert_int_equal(end_of(forks), -SIGSYS);
	assert_int_equal(end_of(kills), -SIGSYS);
#else
	(void)opens, (void)connects, (void)starts, (void)forks, (void)kills;
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(sandboxed)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
