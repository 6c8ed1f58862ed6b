/*
 * acts_procs.c: forbidden acts on other processes, sockets of the network, what was inherited; and
 * bombs.
 */
#include "escape.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FORKS = 300, MEMORY = 400 << 20, DISK = 400 << 20, PIECE = 1 << 20 };

static int errno_of(long r)
{
	return r < 0 ? errno : 0;
}

static int trace(int pid)
{
	long r = ptrace(PTRACE_SEIZE, pid, NULL, NULL);

	return errno_of(r);
}

static int copy_memory(int pid, bool to)
{
	char here[8] = {0};
	struct iovec local = {here, sizeof(here)}, remote = {(void *)here, sizeof(here)};

	return errno_of(to ? process_vm_writev(pid, &local, 1, &remote, 1, 0)
			   : process_vm_readv(pid, &local, 1, &remote, 1, 0));
}

static int take_descriptor(int pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		return errno;
	return errno_of(syscall(SYS_pidfd_getfd, fd, 2, 0));
}

static int trace_parent(const struct targets *t)
{
	return trace(t->parent);
}
static int trace_other(const struct targets *t)
{
	return trace(t->other);
}
static int read_parent_vm(const struct targets *t)
{
	return copy_memory(t->parent, false);
}
static int write_other_vm(const struct targets *t)
{
	return copy_memory(t->other, true);
}
static int signal_parent(const struct targets *t)
{
	return errno_of(kill(t->parent, 0));
}
static int signal_other(const struct targets *t)
{
	return errno_of(kill(t->other, 0));
}
static int signal_init(const struct targets *t)
{
	(void)t;
	return errno_of(kill(1, 0));
}
static int take_parent_file(const struct targets *t)
{
	return take_descriptor(t->parent);
}
static int take_other_file(const struct targets *t)
{
	return take_descriptor(t->other);
}
static int compare_with_parent(const struct targets *t)
{
	return errno_of(syscall(SYS_kcmp, getpid(), t->parent, 0, 0, 0));
}
static int move_other_pages(const struct targets *t)
{
	return errno_of(syscall(SYS_move_pages, t->other, 0UL, NULL, NULL, NULL, 0));
}

static int enter_namespace(const struct targets *t)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	(void)t;
	/* Without /proc the call itself is what counts. */
	return errno_of(setns(fd >= 0 ? fd : 0, 0));
}

static int make_socket(int family, int type, int protocol)
{
	return errno_of(socket(family, type | SOCK_CLOEXEC, protocol));
}
static int listen_to_wire(const struct targets *t)
{
	(void)t;
	return make_socket(AF_PACKET, SOCK_RAW, 0);
}
static int send_raw(const struct targets *t)
{
	(void)t;
	return make_socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
}
static int use_kernel_ciphers(const struct targets *t)
{
	(void)t;
	return make_socket(38 /* AF_ALG */, SOCK_SEQPACKET, 0);
}
static int call_host(const struct targets *t)
{
	(void)t;
	return make_socket(40 /* AF_VSOCK */, SOCK_STREAM, 0);
}
static int hear_audit(const struct targets *t)
{
	(void)t;
	return make_socket(AF_NETLINK, SOCK_RAW, 9 /* NETLINK_AUDIT */);
}
static int change_firewall(const struct targets *t)
{
	(void)t;
	return make_socket(AF_NETLINK, SOCK_RAW, 12 /* NETLINK_NETFILTER */);
}
static int use_bluetooth(const struct targets *t)
{
	(void)t;
	return make_socket(31, SOCK_RAW, 1);
}

/* An address for the machine, by the kind of netlink that is allowed. */
static int add_an_address(const struct targets *t)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} ask = {{sizeof(ask), RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0},
		{.ifi_index = 1, .ifi_change = 0}};
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		char more[200];
	} answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	(void)t;
	if (fd < 0)
		return errno;
	if (send(fd, &ask, sizeof(ask), 0) < 0 || recv(fd, &answer, sizeof(answer), 0) < 0)
		return errno;
	return answer.h.nlmsg_type == NLMSG_ERROR ? -answer.e.error : 0;
}

static int take_port_80(const struct targets *t)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(81)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)t;
	return fd < 0 ? errno : errno_of(bind(fd, (struct sockaddr *)&a, sizeof(a)));
}

static int connect_abstract(const struct targets *t)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t n = strlen(t->abstract);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	memcpy(a.sun_path + 1, t->abstract, n);
	return errno_of(connect(fd, (struct sockaddr *)&a,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)));
}

/* The test has made a segment by this key. */
static int take_shared_memory(const struct targets *t)
{
	return errno_of(shmget((key_t)t->other, 0, 0));
}

static int type_for_others(const struct targets *t)
{
	int e = 0;

	(void)t;
	for (int fd = 0; fd < 3; fd++) {
		if (ioctl(fd, TIOCSTI, "x") == 0)
			return 0;
		e = errno;
	}
	/* Where none is a terminal the filter must have said it. */
	return e;
}

/* More than 0 to 3 and what the probe itself has open. */
static int use_inherited(const struct targets *t)
{
	(void)t;
	for (int fd = 4; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0)
			return 0;
	return EPERM;
}

/* ---- bombs ---- */

static int bomb_forks(const struct targets *t)
{
	pid_t made[FORKS];
	int n = 0, e = 0;

	(void)t;
	for (; n < FORKS; n++) {
		pid_t pid = fork();

		if (pid == 0) {
			pause();
			_exit(0);
		}
		if (pid < 0) {
			e = errno;
			break;
		}
		made[n] = pid;
	}
	for (int i = 0; i < n; i++) {
		kill(made[i], SIGKILL);
		waitpid(made[i], NULL, 0);
	}
	return e;
}

static int bomb_memory(const struct targets *t)
{
	char *p = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)t;
	if (p == MAP_FAILED)
		return errno;
	for (size_t i = 0; i < MEMORY; i += 4096)
		p[i] = 1;
	return 0;
}

static int fill(const char *path)
{
	static char piece[PIECE];
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600), e = 0;

	if (fd < 0)
		return errno;
	sigaction(SIGXFSZ, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	for (size_t i = 0; e == 0 && i < DISK / PIECE; i++)
		e = write(fd, piece, PIECE) == PIECE ? 0 : errno == 0 ? ENOSPC : errno;
	close(fd);
	unlink(path);
	return e;
}

static int bomb_tmp(const struct targets *t)
{
	(void)t;
	return fill("/tmp/bomb");
}
static int bomb_shm(const struct targets *t)
{
	(void)t;
	return fill("/dev/shm/bomb");
}
static int bomb_data(const struct targets *t)
{
	(void)t;
	return fill("bomb"); /* in the folder that it was started in */
}

#define ROW(NAME)                                                                                  \
	{                                                                                          \
#NAME, NAME, 0                                                                     \
	}
#define BOMB(NAME)                                                                                 \
	{                                                                                          \
#NAME, NAME, 1                                                                     \
	}
const struct act acts_procs[] = {ROW(trace_parent), ROW(trace_other), ROW(read_parent_vm),
	ROW(write_other_vm), ROW(signal_parent), ROW(signal_other), ROW(signal_init),
	ROW(take_parent_file), ROW(take_other_file), ROW(compare_with_parent),
	ROW(move_other_pages), ROW(enter_namespace), ROW(listen_to_wire), ROW(send_raw),
	ROW(use_kernel_ciphers), ROW(call_host), ROW(hear_audit), ROW(change_firewall),
	ROW(use_bluetooth), ROW(add_an_address), ROW(take_port_80), ROW(connect_abstract),
	ROW(take_shared_memory), ROW(type_for_others), ROW(use_inherited), BOMB(bomb_forks),
	BOMB(bomb_memory), BOMB(bomb_tmp), BOMB(bomb_shm), BOMB(bomb_data)};
const size_t acts_procs_n = sizeof(acts_procs) / sizeof(*acts_procs);
