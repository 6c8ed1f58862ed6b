/*
 * check_ask.c: stead-check, started by the command line itself and asked one question, as ctl does
 * it.
 *
 * Called by the verbs that look at files of whoever types them: check, cert import, cert trust. It
 * runs with his rights. What it answers is input: each message's form is looked at here, its
 * content by who asked.
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

enum { CHECK_FD = 3 };

static int ask(int fd, const struct msg_check_ask *q, const char *const text[4])
{
	struct msg_hello hello = {.min = MSG_MAJOR_MIN, .max = MSG_MAJOR_MAX, .role = PROC_CLI};
	struct buf b;
	int r;

	(void)snprintf(hello.build, sizeof(hello.build), "%s", STEAD_VERSION);
	r = chan_send_blocking(fd, MSG_HELLO, 0, &hello, sizeof(hello), NULL, 0, NULL, 0);
	buf_init(&b, CHAN_PAYLOAD_MAX - sizeof(*q));
	for (unsigned i = 0; i < 4; i++)
		pack_str(&b, text[i]);
	if (r == 0)
		r = b.error != 0 ? b.error
				 : chan_send_blocking(fd, MSG_CHECK_ASK, 1, q, sizeof(*q), b.p,
					   b.len, NULL, 0);
	buf_done(&b);
	return r;
}

/* Everything up to the end. The exit code that check gives, or -errno. */
static int hear(int fd, char *mem, check_heard *heard, void *arg)
{
	for (;;) {
		struct msg_end end;
		struct msg m;
		int r = chan_recv_blocking(fd, &m, mem);

		if (r < 0)
			return r;
		for (unsigned i = 0; i < m.nfds; i++)
			(void)close(msg_take_fd(&m, i));
		if (!msg_allowed(PROC_CHECK, PROC_CLI, m.h.type, m.h.len, 0))
			return -EPROTO;
		if (m.h.type != MSG_CHECK_END) {
			if (!heard(arg, &m))
				return -EPROTO;
			continue;
		}
		r = msg_get(&m, &end, sizeof(end), sizeof(end));
		return r < 0 ? r : (int)min_of(end.exit_code, 7u);
	}
}

static pid_t start(const char *roles_dir, int fds[2])
{
	char exe[PATH_MAX];
	char *argv[] = {"stead-check", NULL};
	pid_t pid;

	if (snprintf(exe, sizeof(exe), "%s/stead-check", roles_dir) >= PATH_MAX)
		return -1;
	if (sys_socketpair_seqpacket(fds) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
		/* dup2() to the same number would leave it close-on-exec. */
		if (fds[1] == CHECK_FD ? sys_cloexec(CHECK_FD, false) < 0
				       : dup2(fds[1], CHECK_FD) < 0)
			_exit(126);
		(void)execv(exe, argv);
		_exit(127);
	}
	(void)close(fds[1]);
	return pid;
}

int check_ask(const char *roles_dir, const struct msg_check_ask *q, const char *const text[4],
	check_heard *heard, void *arg)
{
	char *mem = malloc(CHAN_PAYLOAD_MAX);
	int fds[2] = {-1, -1}, r = -ENOMEM, status = 0;
	pid_t pid = mem != NULL ? start(roles_dir, fds) : -1;

	if (pid > 0) {
		r = ask(fds[0], q, text);
		if (r == 0)
			r = hear(fds[0], mem, heard, arg);
		(void)close(fds[0]);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	if (r < 0)
		fprintf(stderr, "stead: check: %s/stead-check did not answer: %s\n", roles_dir,
			WIFEXITED(status) && WEXITSTATUS(status) == 127 ? "it cannot be run"
									: strerror(-r));
	free(mem);
	return r;
}
