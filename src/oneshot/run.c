/*
 * run.c: see run.h. The child gets /dev/null as its input and one pipe as its output; it dies with
 * its starter (PR_SET_PDEATHSIG), so a killed one-shot leaves no initdb or pip working on its own.
 */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/sys.h"

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static unsigned count_lines(const char *s)
{
	unsigned n = 0;

	for (; (s = strchr(s, '\n')) != NULL; s++)
		n++;
	return n;
}

void run_tail_add(char *tail, size_t cap, const char *p, size_t n)
{
	size_t len = strlen(tail);

	if (n > cap - 1) {
		p += n - (cap - 1);
		n = cap - 1;
	}
	if (len + n > cap - 1) {
		size_t drop = len + n - (cap - 1);
		const char *eol = drop < len ? strchr(tail + drop, '\n') : NULL;

		drop = eol ? (size_t)(eol - tail) + 1 : (drop < len ? drop : len);
		memmove(tail, tail + drop, len - drop + 1);
		len -= drop;
	}
	for (size_t i = 0; i < n; i++)
		tail[len++] = p[i] ? p[i] : ' ';
	tail[len] = 0;
	for (unsigned lines = count_lines(tail); lines > RUN_TAIL_LINES; lines--) {
		char *eol = strchr(tail, '\n');

		memmove(tail, eol + 1, strlen(eol + 1) + 1);
	}
}

/* Runs in the child; never returns. The errno of a failed exec goes to the starter through err_fd.
 */
static _Noreturn void child(const struct run *run, int out_fd, int err_fd, pid_t starter)
{
	sigset_t none;
	int null_fd, e;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != starter)
		_exit(127);
	null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(out_fd, 2) < 0)
		goto fail;
	/* Neither the channel to ctl (3) nor anything else that we hold may reach a program. */
	(void)close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	if (run->cwd && chdir(run->cwd) < 0)
		goto fail;
	(void)execve(run->argv[0], (char *const *)(uintptr_t)run->argv,
		(char *const *)(uintptr_t)run->envp);
fail:
	e = errno;
	(void)!write(err_fd, &e, sizeof e);
	_exit(127);
}

/* End every process that the program left behind: with us as subreaper they are our children. */
static void end_leftovers(void)
{
	char path[64], pids[4096];
	const char *at;
	int n;

	(void)snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
	for (unsigned turn = 0; turn < 200; turn++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return;
		n = (int)read(fd, pids, sizeof pids - 1);
		(void)close(fd);
		if (n <= 0)
			return;
		pids[n] = 0;
		at = pids;
		for (;;) {
			char *end;
			long pid = strtol(at, &end, 10);

			if (end == at || pid <= 1)
				break;
			at = end;
			(void)kill((pid_t)pid, SIGKILL);
			(void)waitpid((pid_t)pid, NULL, 0);
		}
	}
}

struct lines {
	char text[512];
	size_t len;
};

static void feed_lines(const struct run *run, struct lines *l, const char *p, size_t n)
{
	for (size_t i = 0; i < n && run->line; i++) {
		if (p[i] != '\n' && p[i] != '\r') {
			if (l->len < sizeof l->text - 1)
				l->text[l->len++] = p[i] ? p[i] : ' ';
			continue;
		}
		l->text[l->len] = 0;
		if (l->len)
			run->line(run->arg, l->text);
		l->len = 0;
	}
}

/* One read of the output; false when there is no more of it now. */
static bool drain(
	int fd, const struct run *run, struct lines *l, struct run_end *end, bool *ret_eof)
{
	char mem[4096];
	ssize_t n = read(fd, mem, sizeof mem);

	if (n > 0) {
		run_tail_add(end->tail, sizeof end->tail, mem, (size_t)n);
		feed_lines(run, l, mem, (size_t)n);
		if (run->output)
			buf_put(run->output, mem, (size_t)n);
		return true;
	}
	if (n == 0)
		*ret_eof = true;
	return n < 0 && errno == EINTR;
}

static void watch(pid_t pid, int pidfd, int out_fd, const struct run *run, struct run_end *end)
{
	int64_t deadline = now_ms() + run->timeout_ms;
	struct lines lines = {.len = 0};
	bool eof = false, ended = false;
	siginfo_t si = {0};

	while (!ended) {
		struct pollfd p[2] = {{.fd = pidfd, .events = POLLIN},
			{.fd = eof ? -1 : out_fd, .events = POLLIN}};
		int64_t left = deadline - now_ms();

		if (left <= 0 && !end->timed_out) {
			end->timed_out = true;
			(void)sys_pidfd_signal(pidfd, SIGKILL);
		}
		(void)poll(p, 2, end->timed_out ? 1000 : (int)left);
		if (p[1].revents)
			(void)drain(out_fd, run, &lines, end, &eof);
		ended = p[0].revents != 0;
	}
	/* Bounded: a descendant that holds the pipe and writes on must not keep us here. */
	for (unsigned i = 0; i < 64 && !eof && drain(out_fd, run, &lines, end, &eof); i++)
		;
	feed_lines(run, &lines, "\n", 1);
	if (waitid(P_PID, (id_t)pid, &si, WEXITED) < 0)
		end->status = -SIGKILL;
	else
		end->status = si.si_code == CLD_EXITED ? si.si_status : -si.si_status;
	end_leftovers();
}

int run_program(const struct run *run, struct run_end *ret_end)
{
	int out[2], err[2], e = 0, pidfd;
	pid_t pid, self = getpid();

	*ret_end = (struct run_end){.status = 0};
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (pipe2(out, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(err, O_CLOEXEC) < 0) {
		e = errno;
		(void)close(out[0]);
		(void)close(out[1]);
		return -e;
	}
	pid = fork();
	if (pid == 0)
		child(run, out[1], err[1], self);
	e = pid < 0 ? errno : 0;
	(void)close(out[1]);
	(void)close(err[1]);
	if (pid > 0) {
		ssize_t n;

		do
			n = read(err[0], &e, sizeof e);
		while (n < 0 && errno == EINTR);
		if (n != sizeof e)
			e = 0;
	}
	(void)close(err[0]);
	pidfd = pid > 0 && !e ? sys_pidfd_open(pid) : -1;
	if (pidfd >= 0) {
		(void)sys_nonblock(out[0], true);
		watch(pid, pidfd, out[0], run, ret_end);
		(void)close(pidfd);
	} else if (pid > 0) {
		if (!e)
			e = -pidfd;
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	(void)close(out[0]);
	return -e;
}
