/*
 * role_ask.c: a one-shot role, started by the command line itself and asked one question, as ctl does
 * it.
 *
 * Called by check_ask.c and act_ask.c. It runs with the rights of whoever types the verb. What it answers is input:
 * each message's form is looked at here, its content by who asked.
 */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/must.h"
#include "lib/sys.h"

enum { ROLE_FD = 3 };

static int ask(int fd, const struct role_ask *a)
{
	struct msg_hello hello = {.min = MSG_MAJOR_MIN, .max = MSG_MAJOR_MAX, .role = PROC_CLI};
	struct buf b;
	int r;

	(void)snprintf(hello.build, sizeof(hello.build), "%s", STEAD_VERSION);
	r = chan_send_blocking(fd, MSG_HELLO, 0, &hello, sizeof(hello), NULL, 0, NULL, 0);
	buf_init(&b, CHAN_PAYLOAD_MAX - a->fixed_len);
	for (unsigned i = 0; i < a->ntext; i++)
		pack_str(&b, a->text[i]);
	if (r == 0)
		r = b.error != 0 ? b.error
				 : chan_send_blocking(fd, a->type, 1, a->fixed, a->fixed_len, b.p, b.len, NULL, 0);
	buf_done(&b);
	return r;
}

/* Everything up to the end: 0 behind it, or -errno. */
static int hear(int fd, char *mem, const struct role_ask *a)
{
	for (;;) {
		struct msg m;
		int r = chan_recv_blocking(fd, &m, mem);

		if (r < 0)
			return r;
		for (unsigned i = 0; i < m.nfds; i++)
			(void)close(msg_take_fd(&m, i));
		if (!msg_allowed(a->role, PROC_CLI, m.h.type, m.h.len, 0))
			return -EPROTO;
		if (m.h.type == MSG_HELLO)
			continue;
		if (!a->heard(a->arg, &m))
			return -EPROTO;
		if (m.h.type == a->end)
			return 0;
	}
}

static pid_t start(const struct role_ask *a, int fds[2])
{
	static char *const plain[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
	char exe[PATH_MAX], name[32];
	char *argv[] = {name, (char *)a->argument, NULL};
	pid_t pid;

	(void)snprintf(name, sizeof(name), "stead-%s", proc_rows[a->role].name);
	if (snprintf(exe, sizeof(exe), "%s/%s", a->roles, name) >= PATH_MAX)
		return -1;
	if (sys_socketpair_seqpacket(fds) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		if (a->apart)
			(void)setsid();
		else
			(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
		/* dup2() to the same number would leave it close-on-exec. */
		if (fds[1] == ROLE_FD ? sys_cloexec(ROLE_FD, false) < 0 : dup2(fds[1], ROLE_FD) < 0)
			_exit(126);
		(void)execve(exe, argv, a->apart ? (char *const *)plain : environ);
		_exit(127);
	}
	(void)close(fds[1]);
	return pid;
}

int role_ask(const struct role_ask *a)
{
	char *mem = malloc(CHAN_PAYLOAD_MAX);
	int fds[2] = {-1, -1}, r = -ENOMEM, status = 0;
	pid_t pid = mem != NULL ? start(a, fds) : -1;

	if (pid > 0) {
		r = ask(fds[0], a);
		if (r == 0)
			r = hear(fds[0], mem, a);
		(void)close(fds[0]);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	if (r < 0)
		fprintf(stderr, "stead: %s/stead-%s did not answer: %s\n", a->roles, proc_rows[a->role].name,
			WIFEXITED(status) && WEXITSTATUS(status) == 127 ? "it cannot be run" : strerror(-r));
	free(mem);
	return r;
}
