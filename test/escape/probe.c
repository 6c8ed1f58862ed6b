/*
 * probe.c: stands where a program of stead's or of an app's would, with the same jail around it,
 * and tries to get out.
 *
 * Started by the real stead-parent (test/scenario/test_escape.py puts a copy in a role's place).
 * Writes a line "escape ACT RESULT" on stderr for each act: the errno that refused it, "SIGNAL n"
 * when the kernel ended it for it, or "DONE". Each act has a process of its own, so that what it
 * changes is gone behind it.
 *
 * Its targets stand in the program's own file, where the test has written them over `here`: a role
 * gets no arguments, and in the smallest jails there is no file to read.
 *
 *   --am-i-root   0 when it runs as root: what a setuid copy of it is asked
 */
#include "escape.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIELDS = 9, ACT_SECONDS = 20 };

/* Fields by name; volatile, or the compiler knows what is in it. */
static volatile char here[2048] = "@@stead-escape-targets@@";

static char text[sizeof(here)];

static bool read_targets(struct targets *t)
{
	char *at = text, *field[FIELDS];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = here[i];
	text[sizeof(text) - 1] = '\0';
	for (size_t i = 0; i < FIELDS; i++) {
		field[i] = strsep(&at, "\n");
		if (field[i] == NULL)
			return false;
	}
	*t = (struct targets){(int)strtol(field[0], NULL, 10), (int)strtol(field[1], NULL, 10),
		field[2], field[3], field[4], field[5], field[6], field[7], field[8]};
	return true;
}

static void say(const char *name, const char *fmt, int value)
{
	char line[128], result[64];
	int n;

	snprintf(result, sizeof(result), fmt, value);
	n = snprintf(line, sizeof(line), "escape %s %s\n", name, result);
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		_exit(3);
}

static void try(const struct act *a, const struct targets *t)
{
	int result[2], e = -1, status;

	if (pipe2(result, O_CLOEXEC) < 0)
		_exit(4);
	pid_t pid = fork();
	if (pid == 0) {
		alarm(ACT_SECONDS);
		e = a->run(t);
		if (write(result[1], &e, sizeof(e)) < 0)
			_exit(5);
		_exit(0);
	}
	close(result[1]);
	bool told = pid > 0 && read(result[0], &e, sizeof(e)) == sizeof(e);
	close(result[0]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		say(a->name, "BROKEN %d", errno);
	else if (told && e == 0)
		say(a->name, "DONE", 0);
	else if (told)
		say(a->name, strerrorname_np(e) != NULL ? strerrorname_np(e) : "errno %d", e);
	else
		say(a->name, "SIGNAL %d", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static void try_all(const struct act *all, size_t n, const struct targets *t, bool bombs)
{
	for (size_t i = 0; i < n; i++)
		if (all[i].bomb == 0 || bombs)
			try(&all[i], t);
}

int main(int argc, char **argv)
{
	struct targets t;
	bool bombs = argc > 1 && strcmp(argv[1], "--bombs") == 0;

	if (argc > 1 && strcmp(argv[1], "--am-i-root") == 0)
		return geteuid() == 0 ? 0 : 1;
	if (!read_targets(&t))
		return 6;
	sigaction(SIGTERM, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	try_all(acts_files, acts_files_n, &t, bombs);
	try_all(acts_calls, acts_calls_n, &t, bombs);
	try_all(acts_procs, acts_procs_n, &t, bombs);
	say("end", "%d", (int)(acts_files_n + acts_calls_n + acts_procs_n));
	/* A role that ends is started again: wait for the end that the test brings. */
	sigaction(SIGTERM, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	for (;;)
		poll(NULL, 0, -1);
}
