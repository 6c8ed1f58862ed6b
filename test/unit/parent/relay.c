/*
 * relay.c: a test child that stands in for any process that the parent starts.
 *
 * It passes messages, with their descriptors, between descriptor 3 and the test, so that the test
 * itself plays gate, ctl, log, a worker or a one-shot, while the process is a real one that can be
 * killed, stopped and inspected. The test listens on the abstract socket "stead-test-PID" of the
 * parent's pid, which a jail does not hide. The first datagram to the test is "NAME PID uid=U
 * gid=G". Datagrams from the test of type 0xffff are commands for the child itself:
 *
 *   exit N            print TEXT        complain TEXT (on stderr)      ignore SIGNUM
 *   child             fork one that sleeps
 *   daemon            double fork with setsid, then sleep
 *   busy              stop relaying and spin
 *   stat PATH         answer with "PATH errno" to the test
 *   hangup            close descriptor 3 and live on
 *   catch usr1        do not die of it
 */
#include "lib/chan.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { COMMAND = 0xffff, FD_UP = 3, BYTES_MAX = 70 * 1024 };

static int dial(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "stead-test-%d", (int)getppid());
	/* Above 3, which may be free. */
	int low = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int fd = fcntl(low, F_DUPFD_CLOEXEC, 10);

	close(low);

	for (int i = 0; i < 2000; i++) {
		if (connect(fd, (struct sockaddr *)&a,
			    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) ==
			0)
			return fd;
		nanosleep(&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
	}
	exit(99);
}

static void sleeper(bool daemon)
{
	if (fork() != 0)
		return;
	if (daemon) {
		setsid();
		if (fork() != 0)
			_exit(0);
		setsid();
	}
	for (;;)
		pause();
}

static void on_signal(int sig)
{
	(void)sig;
}

static void command(int test, char *text)
{
	char answer[300];
	struct stat st;
	struct sigaction ignore = {.sa_handler = SIG_IGN}, stacks = {.sa_handler = on_signal};

	if (strncmp(text, "exit ", 5) == 0)
		exit((int)strtol(text + 5, NULL, 10));
	if (strncmp(text, "print ", 6) == 0) {
		printf("%s\n", text + 6);
		fflush(stdout);
	} else if (strncmp(text, "complain ", 9) == 0) {
		fprintf(stderr, "%s\n", text + 9);
	} else if (strncmp(text, "ignore ", 7) == 0) {
		sigaction((int)strtol(text + 7, NULL, 10), &ignore, NULL);
	} else if (strcmp(text, "catch usr1") == 0) {
		sigaction(SIGUSR1, &stacks, NULL);
	} else if (strcmp(text, "hangup") == 0) {
		close(FD_UP);
		for (;;)
			pause();
	} else if (strcmp(text, "child") == 0) {
		sleeper(false);
	} else if (strcmp(text, "daemon") == 0) {
		sleeper(true);
	} else if (strcmp(text, "busy") == 0) {
		for (;;)
			pause();
	} else if (strncmp(text, "stat ", 5) == 0) {
		int e = stat(text + 5, &st) < 0 ? errno : 0;
		int n = snprintf(answer, sizeof(answer), "%s %d", text + 5, e);

		send(test, answer, (size_t)n, MSG_NOSIGNAL);
	} else {
		exit(98);
	}
}

/* One datagram from here to there. False at the end. */
static bool pass(int from, int to, bool commands)
{
	static char mem[BYTES_MAX];
	union {
		struct cmsghdr h;
		char mem[CMSG_SPACE(sizeof(int) * 64)];
	} c;
	struct iovec iov = {mem, sizeof(mem) - 1};
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)};
	ssize_t n = recvmsg(from, &m, 0);
	struct msg_head h;

	if (n <= 0)
		return false;
	if (commands && n >= (ssize_t)sizeof(h)) {
		memcpy(&h, mem, sizeof(h));
		if (h.type == COMMAND) {
			mem[n] = '\0';
			command(from, mem + sizeof(h));
			return true;
		}
	}
	iov.iov_len = (size_t)n;
	sendmsg(to, &m, MSG_NOSIGNAL);
	for (struct cmsghdr *h2 = CMSG_FIRSTHDR(&m); h2 != NULL; h2 = CMSG_NXTHDR(&m, h2)) {
		int fds[64];
		size_t bytes = h2->cmsg_len - CMSG_LEN(0);

		memcpy(fds, CMSG_DATA(h2), bytes);
		for (size_t i = 0; i < bytes / sizeof(int); i++)
			close(fds[i]);
	}
	return true;
}

int main(int argc, char **argv)
{
	char name[200];
	bool up = fcntl(FD_UP, F_GETFD) >= 0;
	int test = dial(), extra = 0;
	struct pollfd fds[2] = {{.fd = FD_UP, .events = POLLIN}, {.fd = test, .events = POLLIN}};

	/* Nothing but 0, 1, 2, 3 and our own may have come along. */
	for (int fd = 4; fd < 1024; fd++)
		if (fd != test && fcntl(fd, F_GETFD) >= 0)
			extra++;
	int n = snprintf(name, sizeof(name), "%s %d uid=%d gid=%d extra=%d args=%d", argv[0],
		(int)getpid(), (int)getuid(), (int)getgid(), extra, argc);

	send(test, name, (size_t)n, MSG_NOSIGNAL);
	if (!up)
		fds[0].fd = -1;
	for (;;) {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[0].revents != 0 && !pass(FD_UP, test, false))
			return 0;
		if (fds[1].revents != 0 && !pass(test, FD_UP, true))
			return 97;
	}
}
